"""Grading: through the wall a function gets the verdict it gets here, and what is reported is what came."""
# ruff: noqa: E501, the functions that are judged stand in a line each

import csv
import inspect
import io
import json
import math
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from vae_tutorial import checks
from vae_tutorial.grade import load, make, notebooks
from vae_tutorial.grade.__main__ import main
from vae_tutorial.grade.assignment import READY_MADE, number, question
from vae_tutorial.grade.child import without_magics
from vae_tutorial.grade.judge import Graded, Result, grade, which
from vae_tutorial.grade.proxy import function_of
from vae_tutorial.grade.remote import Limits, Worker
from vae_tutorial.grade.report import as_csv, as_json, for_gradescope, from_json, page, table, write_all
from vae_tutorial.grade.submission import Submission, find, read
from vae_tutorial.grade.whole_class import Bar, Task, grade_all
from vae_tutorial.grade.wire import Broken, pack, unpack

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no fork on Windows")
READY = sorted(path.stem for path in READY_MADE.glob("*.py") if path.stem != "__init__")


@pytest.fixture(scope="module")
def worker():
    with Worker(Limits(patience=300.0)) as one:
        yield one


def local(source):
    names: dict = {}
    exec(source, names)
    return names


# Each check, with functions of every kind that it must see through the wall: names of mistakes come from gradients,
# NumPy, noise, arguments changed in place, random numbers, tuples, stubs, errors.
SOURCES = {
    "check_kl": {
        "right": "def kl(mu, log_var): return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)",
        "a slip": "def kl(mu, log_var): return 0.5 * (mu**2 + (0.5 * log_var).exp() - 1 - log_var).sum(-1)",
        "a mean": "def kl(mu, log_var): return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).mean()",
        "detached": "def kl(mu, log_var): return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1).detach()",
        "in part": "def kl(mu, log_var): return 0.5 * (mu**2 + log_var.detach().exp() - 1 - log_var).sum(-1)",
        "NumPy": "import numpy as np\ndef kl(mu, log_var):\n m, v = mu.numpy(), log_var.numpy()\n"
        " return 0.5 * (m**2 + np.exp(v) - 1 - v).sum(-1)",
        "in place": "def kl(mu, log_var):\n mu.data.add_(1)\n return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)",
        "a leaf in place": "def kl(mu, log_var):\n mu.add_(1)\n return mu.sum(-1)",
        "requires_grad": "def kl(mu, log_var):\n mu.requires_grad_(False)\n return (mu**2 + log_var).sum(-1)",
        "a tuple": "def kl(mu, log_var): return (0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1), mu)",
        "a dict": "def kl(mu, log_var): return {'kl': 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1), 'mu': mu}",
        "a stub": "def kl(mu, log_var): return ...",
        "None": "def kl(mu, log_var): pass",
        "text": "def kl(mu, log_var): return 'kl'",
        "integers": "def kl(mu, log_var): return mu.long().sum(-1)",
        "an error": "def kl(mu, log_var): return mu @ log_var",
        "its own error": "class Odd(Exception): pass\ndef kl(mu, log_var): raise Odd('of my own')",
        "random": "import torch\ndef kl(mu, log_var): return mu.sum(-1) + torch.randn(())",
        "memory": "n = [0]\ndef kl(mu, log_var):\n n[0] += 1\n return mu.sum(-1) + n[0]",
        "no_grad": "import torch\ndef kl(mu, log_var):\n k = 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)\n"
        " return k if torch.is_grad_enabled() else 2 * k",
        "float32": "import torch\ndef kl(mu, log_var): return (torch.ones(3) + mu.sum()).float()[:len(mu)]",
        "a default": "def kl(mu, log_var, beta=1.0): return beta * 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)",
    },
    "check_log_bernoulli": {
        "naive": "def log_prob(x, logits):\n p = logits.sigmoid()\n return (x * p.log() + (1 - x) * (1 - p).log()).sum(-1)"
    },
    "check_log_normal": {
        "no constant": "def log_n(x, mu, log_var): return -0.5 * ((x - mu)**2 / log_var.exp() + log_var).sum(-1)"
    },
    "check_reparameterize": {
        "given noise": "def sample(mu, log_var, eps): return mu + (0.5 * log_var).exp() * eps",
        "its own noise": "import torch\ndef sample(mu, log_var): return mu + (0.5 * log_var).exp() * torch.randn_like(mu)",
        "rsample": "import torch\ndef sample(mu, log_var): return torch.distributions.Normal(mu, (0.5 * log_var).exp()).rsample()",
        "no noise": "import torch\ndef sample(mu, log_var): return mu + torch.rand_like(mu)",
        "variance": "import torch\ndef sample(mu, log_var): return mu + log_var.exp() * torch.randn_like(mu)",
    },
    "check_elbo": {
        "a loss of four": "def loss(x_hat, x, mu, log_var):\n"
        " return ((x - x_hat)**2).sum() + 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum()",
        "twice the KL": "def elbo(model, x, eps):\n mu, log_var = model.encode(x)\n z = mu + (0.5 * log_var).exp() * eps\n"
        " return model.log_likelihood(x, z).mean(0) - (mu**2 + log_var.exp() - 1 - log_var).sum(-1)",
        "all sampled": "import torch\ndef elbo(model, x, eps):\n mu, log_var = model.encode(x)\n sd = (0.5 * log_var).exp()\n"
        " z = mu + sd * eps\n q = torch.distributions.Normal(mu, sd).log_prob(z).sum(-1)\n"
        " return (model.log_likelihood(x, z) + model.log_prior(z) - q).mean(0)",
        "the model changed": "def elbo(model, x, eps):\n next(model.parameters()).data.add_(1)\n return x.sum(-1)",
    },
    "check_iwae_bound": {"summed": "import torch\ndef bound(log_w): return torch.logsumexp(log_w, 0)"},
    "check_conditional_elbo": {
        "wrong": "def bound(model, x, seen, y, eps): return model.classify(x).sum(-1) + eps.sum(-1)"
    },
    "check_reduction": {"mean": "def error(x, mu): return ((x - mu)**2).mean(-1)"},
}
CASES = [(check, kind) for check, kinds in SOURCES.items() for kind in kinds]


@pytest.mark.parametrize("check, kind", CASES, ids=[" ".join(case) for case in CASES])
def test_a_function_is_told_there_what_it_is_told_here(worker, check, kind):
    source = SOURCES[check][kind]
    name = [line for line in source.splitlines() if line.startswith("def ")][-1][4:].partition("(")[0]
    judge = getattr(checks, check)
    here = judge(local(source)[name])
    with worker.run([source]) as child:
        there = judge(function_of(child, name))
    assert not child.ended
    assert plain(repr(there)) == plain(repr(here)) and there.passed == here.passed


def plain(said):
    """Numbers to three digits: those of a function that draws random ones are others in another process."""
    said = re.sub(r"-?\d+\.\d+(e-\d+)?", lambda m: f"{float(m[0]):.2g}" if abs(float(m[0])) > 1e-12 else "0", said)
    return said if "random" not in said else re.sub(r"[\d.]+", "", said)


@pytest.mark.parametrize("name", READY)
def test_a_ready_assignment_passes_its_solutions_and_no_stub(worker, name):
    assignment = load(name)
    for seed in (1, 2):
        questions = assignment.of("ada", seed)
        for solved in (True, False):
            cells = json.loads(notebooks.starter(assignment, questions, solved=solved))["cells"]
            code = tuple(cell["source"] for cell in cells if cell["cell_type"] == "code")
            graded = grade(worker, assignment, Submission("ada", code), seed)
            assert graded.earned == (graded.points if solved else 0), [r.said for r in graded.results]
            assert [result.notes for result in graded.results] == [()] * len(questions) or sys.platform != "linux"


def test_five_assignments_are_ready_and_some_are_varied():
    assert len(READY) == 5
    assert load("gaussian").varied and not load("importance").varied
    given = {tuple(q.solution for q in load("gaussian").of(f"s{i}", 7)) for i in range(200)}
    assert len(given) == 12  # three conventions, four priors
    once, again = ([q.solution for q in load("gaussian").of("ada", 7)] for _ in range(2))
    assert once == again


ASSIGNMENT = '''"""# Two

Write them.
"""

import math
import torch
from vae_tutorial.checks import check_kl, check_reparameterize
from vae_tutorial.grade import question

@question(check_kl, points=2)
def kl(mu, log_var):
    """The KL."""
    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)

@question(check_reparameterize)
def sample(mu, log_var, eps):
    return mu + torch.exp(0.5 * log_var) * eps
'''
KL = "def kl(mu, log_var):\n    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)\n"
SAMPLE = "import torch\ndef sample(mu, log_var, eps):\n    return mu + torch.exp(0.5 * log_var) * eps\n"


@pytest.fixture
def two(tmp_path):
    (tmp_path / "two.py").write_text(ASSIGNMENT, encoding="utf-8")
    return str(tmp_path / "two.py")


def test_what_students_get_has_no_solution(two, tmp_path):
    assignment = load(two)
    first = [variants[0] for variants in assignment.questions.values()]
    shown = notebooks.starter(assignment, first) + notebooks.file(assignment, first) + assignment.public
    assert "0.5" not in shown and "The KL." in shown and "check_kl(kl)" in shown
    (tmp_path / "public.py").write_text(assignment.public, encoding="utf-8")
    assert list(load(tmp_path / "public.py").questions) == ["kl", "sample"]
    names = local(notebooks.file(assignment, first))
    assert names["kl"](1, 2) is ... and names["kl"].__doc__ == "The KL."
    notebook = notebooks.starter(assignment, first)
    assert notebook.count('"id"') == len(set(re.findall(r'"id": "(.*?)"', notebook)))


def test_an_assignment_without_questions_or_with_bad_marks_is_refused(tmp_path):
    (tmp_path / "none.py").write_text("import math\n")
    with pytest.raises(ValueError, match="has no question"):
        load(tmp_path / "none.py")
    with pytest.raises(FileNotFoundError, match="there is no assignment .*name a file, or one of beyond, elbo"):
        load(tmp_path / "missing")
    with pytest.raises(ValueError, match="points must be above 0, got 0"):
        question(checks.check_kl, points=0)
    with pytest.raises(ValueError, match="c must be a tuple of the values it can have, got 3"):
        question(checks.check_kl, c=3)
    assert question(checks.check_kl)(math.sin) is math.sin  # outside of load it does nothing


def test_a_class_is_graded_resumed_and_reported(two, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "subs"
    folder.mkdir()
    (folder / "ada.py").write_text(KL + SAMPLE)
    (folder / "bo.py").write_text(KL.replace("def kl", "def KL_div") + "print('\\x1b[31m<b>hi')\n")
    cells = [
        {"cell_type": "markdown", "source": "x"},
        {"cell_type": "code", "source": ["%matplotlib inline\n", SAMPLE]},
    ]
    (folder / "cy.ipynb").write_text(json.dumps({"cells": cells}))
    (folder / "dan.ipynb").write_text("{")
    out = tmp_path / "grades"
    assert main([two, str(folder), "--seed", "5", "--out", str(out), "--jobs", "1"]) == 1
    shown = capsys.readouterr().out
    assert shown.splitlines()[0].split() == ["student", "kl", "sample", "points"]
    assert [line.split()[:3] for line in shown.splitlines()[1:5]] == [
        ["ada", "2", "1"], ["bo", "2", "0"], ["cy", "0", "1"], ["dan", "0", "0"]
    ]  # fmt: skip
    assert shown.splitlines()[5].split() == "solved by 2 2 all by 1 of 4".split()
    rows = list(csv.DictReader(io.StringIO((out / "grades.csv").read_text())))
    assert [(row["student"], row["earned"], row["points"]) for row in rows] == [
        ("ada", "3", "3"), ("bo", "2", "3"), ("cy", "1", "3"), ("dan", "0", "3")
    ]  # fmt: skip
    data = json.loads((out / "grades.json").read_text(encoding="utf-8"))
    assert data[1]["results"][0]["notes"] == ["KL_div was graded in the place of kl."]
    feedback = (out / "feedback" / "bo.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;hi" in feedback and "\x1b" not in feedback and "2 of 3 points" in feedback
    assert "cannot be read" in (out / "feedback" / "dan.html").read_text(encoding="utf-8")
    # What is there is not graded again, unless it has changed.
    monkeypatch.setattr("vae_tutorial.grade.remote.Worker.__init__", lambda *_: pytest.fail("graded again"))
    assert main([two, str(folder), "--seed", "5", "--out", str(out), "--jobs", "1"]) == 1
    assert capsys.readouterr().out == shown
    monkeypatch.undo()
    (folder / "bo.py").write_text(KL + SAMPLE)
    main([two, str(folder), "--seed", "5", "--out", str(out), "--jobs", "1"])
    assert "bo         2   1       3 of 3" in capsys.readouterr().out


def test_one_submission_is_told_in_words_and_by_exit_status(two, tmp_path, capsys):
    (tmp_path / "answers.py").write_text(KL + SAMPLE.replace("0.5 * ", ""))
    answers = str(tmp_path / "answers.py")
    assert main([two, answers, "--jobs", "1"]) == 1
    assert "the variance stands where the standard deviation belongs" in capsys.readouterr().out
    assert main([two, answers, "--only", "kl", "--jobs", "1"]) == 0
    assert main([two, answers, "--only", "nothing"]) == 2
    assert main([two, str(tmp_path / "missing.py")]) == 2
    assert main(["gaussian", answers]) == 2
    assert "give the --seed of the notebooks" in capsys.readouterr().err


def test_an_assignment_is_tried_on_itself(two, tmp_path, capsys):
    assert main([two]) == 0
    assert capsys.readouterr().out.count("ok ") == 4
    (tmp_path / "bad.py").write_text(ASSIGNMENT.replace("- 1 -", "- 2 -"), encoding="utf-8")
    assert main([str(tmp_path / "bad.py")]) == 1
    assert "NOT kl: its solution fails" in capsys.readouterr().out


def test_several_at_a_time_give_the_same(two):
    submissions = [Submission("ada", (KL + SAMPLE,)), Submission("bo", (KL,))]
    seen: list = []
    graded = grade_all(Task(two, 3, Limits()), submissions, 2, None, seen.append)
    assert [(one.student, one.earned) for one in graded] == [("ada", 3), ("bo", 2)] and seen == [0, 1, 2]


def test_files_are_found_by_students(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("a.py", "b/c.ipynb", ".hidden.py", "notes.txt"):
        (tmp_path / name).write_text("")
    assert list(find([tmp_path])) == ["a", "b_c"]
    with pytest.raises(ValueError, match="are of one student, a"):
        find([tmp_path, tmp_path / "a.py"])
    with pytest.raises(FileNotFoundError, match="there is no .py or .ipynb file"):
        find([tmp_path / "notes"]) if (tmp_path / "notes").mkdir() is None else None


def test_magics_are_left_out(tmp_path):
    source = ["%load_ext x\n!pip install y\nif True:\n    %time\nx = 1 % 2\n", "%%bash\nls\n", "%%time\ny = 2\n"]
    cells = [{"cell_type": "code", "source": s} for s in source]
    (tmp_path / "n.ipynb").write_text(json.dumps({"cells": cells}))
    came = tuple(map(without_magics, read(tmp_path / "n.ipynb", "n").cells))
    assert came == ("pass\npass\nif True:\n    pass\nx = 1 % 2\n", "", "pass\ny = 2\n")


def test_links_and_pipes_are_not_read(tmp_path, two):
    """A link may lead to the solution, to another's answer, or to a device without end."""
    (tmp_path / "s" / "folder.py").mkdir(parents=True)
    (tmp_path / "s" / "eve.py").symlink_to(two)
    (tmp_path / "s" / "dev.py").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "s" / "pipe.py")
    found = find([tmp_path / "s"])
    assert list(found) == ["dev", "eve", "pipe"]
    for student, path in found.items():
        came = read(path, student)
        assert came.cells == () and "a link" in came.problem


def test_names_of_any_kind_are_reported(tmp_path):
    for student in ("a" * 251, "x;=cmd", "\udcff", "a\nb", " =cmd"):
        one = Graded(student, (Result("kl", 1, False, "\ud800"),))
        write_all([one], tmp_path, "T")
        task = json.loads((tmp_path / "grades.json").read_text(encoding="utf-8"))
        assert task[0]["student"] == student
        assert len(table([one]).splitlines()) == 2
        row = as_csv([one]).splitlines()[1]
        assert row.startswith("'") == ("cmd" in student)


def test_an_accent_and_a_folder_change_nothing(tmp_path, monkeypatch, capsys):
    assert number(1, "e\u0301") == number(1, "\u00e9")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "names").write_bytes(b"\xef\xbb\xbfada\r\n")
    assert make.main(["starter", "gaussian", "gaussian", "--students", "names", "--seed", "9"]) == 0
    assert [path.name for path in (tmp_path / "gaussian").iterdir()] == ["ada.ipynb"]
    assert load("gaussian").varied  # a folder of that name is no assignment
    (tmp_path / "names").write_text("../ada\n")
    assert make.main(["starter", "gaussian", "x", "--students", "names", "--seed", "9"]) == 2
    assert "cannot be the name of a file" in capsys.readouterr().err


def test_hidden_tests_do_not_tell_the_secret(two):
    """nbgrader shows them in its feedback."""
    questions = load(two).of("", 20261130)
    for write_it in (notebooks.for_nbgrader, notebooks.for_otter):
        assert "seed=" in write_it(load(two), questions, 20261130) and "20261130" not in write_it(
            load(two), questions, 20261130
        )


def test_the_function_meant_is_guessed(two):
    kl, sample = (variants[0] for variants in load(two).questions.values())
    names = ["kl", "sample"]
    assert which(kl, {"KL": [], "sample": []}, names)[0] == "KL"
    assert which(sample, {"kl": [], "my_sample": []}, names)[0] == "my_sample"
    same = [("mu", True), ("log_var", True), ("eps", True)]
    assert which(sample, {"draw": same, "f": []}, names)[0] == "draw"
    assert which(sample, {"draw": same, "other": same}, names) == ("", "")
    assert which(kl, {"Sample": [("mu", True), ("log_var", True)]}, names) == ("", "")  # that is another question


def test_reports_show_text_as_text():
    one = Graded("=cmd", (Result("kl", 2, True, "PASS <x>", ("n",), "out"), Result("s", 1.5, False, "\x1b[2J")))
    assert as_csv([one]).splitlines()[1] == "'=cmd,2,0,2,3.5"
    assert from_json(json.loads(json.dumps(as_json(one)))) == one
    assert "PASS &lt;x&gt;" in page(one, "T") and "\x1b" not in page(one, "T") + table([one])
    data = for_gradescope(one)
    assert data["score"] == 2 and [test["status"] for test in data["tests"]] == ["passed", "failed"]
    assert data["tests"][1]["max_score"] == 1.5 and data["tests"][1]["output"] == "\\x1b[2J"


def test_values_are_packed_and_nothing_else():
    for value in (..., None, 3, 2.5, (1, [2, {"a": torch.ones(2)}]), True):
        tensors: list = []
        back = unpack(json.loads(json.dumps(pack(value, tensors))), tensors)
        assert repr(back) == repr(value)
    assert type(unpack(pack(object(), []), [])).__name__ == "object"
    assert type(unpack(pack(torch.eye(2).to_sparse(), []), [])).__name__ == "Tensor"
    for broken in (3, {}, {"kind": "tensor", "at": 7}, {"kind": "tuple", "items": 3}, {"kind": "dict", "items": []}):
        with pytest.raises(Broken):
            unpack(broken, [])


def test_the_bar_counts(capsys, monkeypatch):
    bar = Bar(20)
    for n in range(21):
        bar(n)
    assert capsys.readouterr().err.splitlines()[-1].endswith("20 of 20")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    Bar(2)(2)
    assert "\r[##############################] 2 of 2" in capsys.readouterr().err


# Adapters. Otter and nbgrader are run in environments of their own: make adapters.


@pytest.mark.parametrize("kind", make.KINDS)
def test_every_kind_is_written(two, tmp_path, kind, capsys):
    assert make.main([kind, two, str(tmp_path / kind), "--seed", "5"]) == 0
    for path in (tmp_path / kind).rglob("*.ipynb"):
        assert json.loads(path.read_text(encoding="utf-8"))["nbformat"] == 4
    assert make.main(["starter", two, str(tmp_path), "--students", str(tmp_path / "none")]) == 2
    assert "Nothing was written" in capsys.readouterr().err


def test_each_student_has_a_notebook(tmp_path):
    (tmp_path / "names").write_text("ada\nbo\n\n")
    assert make.main(["solution", "gaussian", str(tmp_path), "--students", str(tmp_path / "names"), "--seed", "9"]) == 0
    assert sorted(path.name for path in tmp_path.glob("*.ipynb")) == ["ada.ipynb", "bo.ipynb"]
    assert main(["gaussian", str(tmp_path / "ada.ipynb"), "--seed", "9", "--jobs", "1"]) == 0


def run(command, folder, **environment):
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path} | environment
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, encoding="utf-8")


def test_the_layout_of_a_gradescope_container(two, tmp_path):
    """/autograder with source, submission and results, as the documentation of Gradescope has it."""
    make.main(["gradescope", two, str(tmp_path / "made"), "--seed", "5"])
    root = tmp_path / "autograder"
    for name in ("source", "submission", "results", "bin"):
        (root / name).mkdir(parents=True)
    run(
        [sys.executable, "-m", "zipfile", "-e", str(tmp_path / "made" / "autograder.zip"), str(root / "source")],
        tmp_path,
    )
    (root / "submission" / "my answers.py").write_text(KL)
    (root / "bin" / "python3").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (root / "bin" / "python3").chmod(0o755)
    done = run(
        ["bash", str(root / "source" / "run_autograder")],
        tmp_path,
        AUTOGRADER=str(root),
        PATH=f"{root / 'bin'}:{os.environ['PATH']}",
    )
    assert done.returncode == 0, done.stderr
    results = json.loads((root / "results" / "results.json").read_text())
    assert results["score"] == 2 and [test["score"] for test in results["tests"]] == [2, 0]
    assert "There is no function sample." in results["tests"][1]["output"]


def test_the_command_of_github_classroom(two, tmp_path):
    """Each step of the workflow is run as it stands, in the repository that students get."""
    make.main(["classroom", two, str(tmp_path / "repository")])
    workflow = (tmp_path / "repository" / ".github" / "workflows" / "classroom.yml").read_text()
    commands = re.findall(r"command: python (.*)", workflow)
    assert len(commands) == 2 and re.findall(r"max-score: (\d+)", workflow) == ["2", "1"]
    (tmp_path / "repository" / "answers.py").write_text(KL)
    codes = [run([sys.executable, *command.split()], tmp_path / "repository").returncode for command in commands]
    assert codes == [0, 1]
    assert "0.5" not in (tmp_path / "repository" / "assignment.py").read_text()


def test_the_public_names_are_documented():
    from vae_tutorial import grade as package

    assert all(inspect.getdoc(getattr(package, name)) for name in package.__all__)
    assert textwrap.dedent(make.__doc__).count("\n  ") >= len(make.KINDS)
