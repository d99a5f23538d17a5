"""An assignment: a Python file of solutions, each marked with its check and its points.

The file is its own solution. What students get is the same file with the bodies of the marked functions taken out.
"""

import ast
import hashlib
import inspect
import re
import runpy
import unicodedata
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from vae_tutorial.checks import Check

Function = Callable[..., Any]
READY_MADE = Path(__file__).with_name("assignments")


@dataclass(frozen=True)
class Question:
    """One function to write, in one variant.

    Attributes:
        name: of the function.
        check: takes the function and, where it has parameters of these names, ``seed`` and the constants.
        points: what it is worth.
        constants: the numbers of this variant.
        check_text: how the check is written in the assignment.
        solution: source of the function, without its marks.
        stub: the same up to the end of its docstring, and ``return ...``.
    """

    name: str
    check: Callable[..., Check]
    points: float
    constants: dict[str, Any]
    check_text: str
    solution: str
    stub: str

    def judge(self, fn: Callable[..., Any], seed: int) -> Check:
        """What the check says to a function, its further points drawn from a seed."""
        takes_seed = "seed" in inspect.signature(self.check).parameters
        return self.check(fn, **self.constants, **({"seed": seed} if takes_seed else {}))

    @property
    def call(self) -> str:
        """How students may call the check, with points that everybody knows."""
        constants = "".join(f", {name}={value!r}" for name, value in self.constants.items())
        return f"{self.check_text}({self.name}{constants})"


@dataclass(frozen=True)
class Assignment:
    """All questions, each in its variants.

    Attributes:
        name: of its file.
        text: the docstring of the file, which says what is to be done.
        imports: the imports that students need, those of this package left out.
        helpers: what their public checks need as well.
        questions: for each name its variants.
        source: the file itself.
        public: the same without the solutions; it grades as the file does.
    """

    name: str
    text: str
    imports: str
    helpers: str
    questions: dict[str, list[Question]]
    source: str
    public: str

    def of(self, student: str, seed: int) -> list[Question]:
        """The questions of one student: of each, one variant, which seed and name decide."""
        return [many[number(seed, student, name) % len(many)] for name, many in self.questions.items()]

    @property
    def varied(self) -> bool:
        return any(len(variants) > 1 for variants in self.questions.values())


def number(seed: int, *names: str) -> int:
    """A number that nobody guesses who does not know the seed; a Mac's way to write an accent changes nothing."""
    text = "/".join([str(seed), *names])
    return int.from_bytes(
        hashlib.sha256(unicodedata.normalize("NFC", text).encode("utf-8", "surrogateescape")).digest()[:4], "big"
    )


@dataclass(frozen=True)
class _Marked:
    fn: Callable[..., Any]
    check: Callable[..., Check]
    points: float
    constants: dict[str, tuple[Any, ...]]


_marked: ContextVar[list[_Marked] | None] = ContextVar("marked", default=None)


def question(
    check: Callable[..., Check], *, points: float = 1, **constants: tuple[Any, ...]
) -> Callable[[Function], Function]:
    """Mark a function of an assignment as a question; the function itself is the solution.

    Several functions of one name are variants of one question. So are the values of a constant: ``prior_var=(0.25,
    4.0)`` makes two, the check is called with ``prior_var=0.25`` or ``prior_var=4.0``, and the word ``PRIOR_VAR`` in
    the function and its docstring stands for the number.

    Args:
        check: takes the function, and gives a `Check`; points that students shall not know it draws from its ``seed``.
        points: what the question is worth.
        constants: the values that each can have.

    Returns:
        The decorator, which leaves the function as it is.

    Raises:
        ValueError: ``points`` is not above 0, or a constant has no values.
    """
    if not points > 0:
        raise ValueError(f"points must be above 0, got {points!r}")
    for name, values in constants.items():
        if not isinstance(values, tuple) or not values:
            raise ValueError(f"{name} must be a tuple of the values it can have, got {values!r}")

    def mark(fn: Function) -> Function:
        marked = _marked.get()
        if marked is not None:
            marked.append(_Marked(fn, check, points, constants))
        return fn

    return mark


def load(path: str | Path) -> Assignment:
    """Read an assignment: a file, or the name of one that comes with the package.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it has no question.
    """
    path = Path(path)
    if not path.is_file():
        ready = sorted(p.stem for p in READY_MADE.glob("*.py") if p.stem != "__init__")
        if path.name not in ready:
            raise FileNotFoundError(f"there is no assignment {path}: name a file, or one of {', '.join(ready)}")
        path = READY_MADE / f"{path.name}.py"
    source = path.read_text(encoding="utf-8")
    marked: list[_Marked] = []
    token = _marked.set(marked)
    try:
        runpy.run_path(str(path))
    finally:
        _marked.reset(token)
    if not marked:
        raise ValueError(f"{path} has no question: mark its functions with @question(check_…, points=…)")
    tree = ast.parse(source)
    nodes: dict[int, Any] = {n.decorator_list[0].lineno: n for n in tree.body if _is_marked(n)}  # type: ignore[attr-defined]
    questions: dict[str, list[Question]] = {}
    for one in marked:
        node = nodes[one.fn.__code__.co_firstlineno]
        for values in product(*one.constants.values()):
            constants = dict(zip(one.constants, values, strict=True))
            questions.setdefault(node.name, []).append(_variant(one, node, source, constants))
    rest = [node for node in tree.body if not _is_marked(node) and not _is_text(node)]
    imports = [node for node in rest if isinstance(node, (ast.Import, ast.ImportFrom))]
    own = [node for node in imports if not _of_package(node)]
    helpers = [node for node in rest if node not in own and not _of_grade(node)]

    def text(some: list[Any], between: str) -> str:
        return between.join(ast.get_source_segment(source, node) or "" for node in some)

    public = source.splitlines()
    for node in sorted(nodes.values(), key=lambda node: -node.lineno):
        public[node.lineno - 1 : node.end_lineno] = _stub(node, source)
    return Assignment(
        path.stem,
        ast.get_docstring(tree) or "",
        text(own, "\n"),
        text(helpers, "\n"),
        questions,
        source,
        "\n".join(public) + "\n",
    )


def _stub(node: Any, source: str) -> list[str]:
    """The lines of a function up to the end of its docstring, and dots."""
    has_text = ast.get_docstring(node) is not None
    head = source.splitlines()[node.lineno - 1 : node.body[0].end_lineno if has_text else node.body[0].lineno - 1]
    return [*head, "    return ...  # your code in place of the dots"]


def _variant(one: _Marked, node: Any, source: str, constants: dict[str, Any]) -> Question:
    def with_numbers(text: str) -> str:
        for name, value in constants.items():
            text = re.sub(rf"\b{name.upper()}\b", repr(value), text)
        return text

    solution = "\n".join(source.splitlines()[node.lineno - 1 : node.end_lineno])
    stub = "\n".join(_stub(node, source))
    check_text = ast.unparse(node.decorator_list[0].args[0])
    return Question(node.name, one.check, one.points, constants, check_text, with_numbers(solution), with_numbers(stub))


def _is_marked(node: ast.AST) -> bool:
    marks = node.decorator_list if isinstance(node, ast.FunctionDef) else []
    return any(isinstance(mark, ast.Call) and ast.unparse(mark.func).endswith("question") for mark in marks)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _of_package(node: ast.Import | ast.ImportFrom) -> bool:
    names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
    return any(name.partition(".")[0] == "vae_tutorial" for name in names)


def _of_grade(node: ast.AST) -> bool:
    return isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vae_tutorial.grade")
