"""What a student handed in: the code of a file or notebook, whatever its encoding."""

import json
import tokenize
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

MOST_BYTES = 50_000_000  # of a notebook, pictures included


@dataclass(frozen=True)
class Submission:
    """A student's name, the code in pieces that are run one by one, and why there is none."""

    student: str
    cells: tuple[str, ...]
    problem: str = ""


def find(paths: list[Path]) -> dict[str, Path]:
    """The files, by the students' names: of a folder all files and notebooks in it.

    Raises:
        FileNotFoundError: there is no such file or folder, or nothing in it.
        ValueError: two files are of one name.
    """
    found: dict[str, Path] = {}
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"there is no {path}")
        files = (
            sorted(p for p in path.rglob("*") if p.suffix in (".py", ".ipynb") and not _is_folder(p))
            if path.is_dir()
            else [path]
        )
        files = [p for p in files if not any(part.startswith(".") for part in p.relative_to(path).parts)]
        for file in files:
            inside = file.relative_to(path).with_suffix("").parts if path.is_dir() else (file.stem,)
            name = "_".join(inside)
            if name in found:
                raise ValueError(f"{found[name]} and {file} are of one student, {name}: rename one")
            found[name] = file
    if not found:
        raise FileNotFoundError("there is no .py or .ipynb file to grade")
    return found


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def read(path: Path, student: str) -> Submission:
    """The code of a file; a damaged one has a problem and no code."""
    try:
        if path.is_symlink() or not path.is_file():
            return Submission(student, (), "It is no file of its own but a link, or nothing that can be read.")
        if path.stat().st_size > MOST_BYTES:
            return Submission(student, (), f"The file has more than {MOST_BYTES // 1_000_000} MB.")
        raw = path.read_bytes()
        if path.suffix != ".ipynb":
            return Submission(student, (text_of(raw),))
        cells = json.loads(text_of(raw))["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        kind = "notebook" if path.suffix == ".ipynb" else "file"
        return Submission(student, (), f"The {kind} cannot be read: {type(error).__name__}: {error}"[:300])
    return Submission(student, tuple(code))


def text_of(raw: bytes) -> str:
    """The text, by its mark or its own word on the encoding, else UTF-8, else as Windows writes."""
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig")):
        if raw.startswith(mark):
            return raw.decode(encoding, errors="replace")
    try:
        encoding, _ = tokenize.detect_encoding(BytesIO(raw).readline)
        return raw.decode(encoding)
    except (SyntaxError, UnicodeDecodeError):
        return raw.decode("cp1252", errors="replace")
