"""The notebooks for Otter and nbgrader, run by Otter and nbgrader themselves: assigned, released, graded.

Both bring many libraries and would hold back others: each has an environment of its own, which ``make adapters`` sets
up before it runs this file.
"""

import csv
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from vae_tutorial.grade import make

ROOT = Path(__file__).parents[2]
OTTER = Path(os.environ.get("OTTER", ROOT / ".venv-otter" / "bin" / "otter"))
NBGRADER = Path(os.environ.get("NBGRADER", ROOT / ".venv-nbgrader" / "bin" / "nbgrader"))


def run(folder, program, *arguments):
    path = os.pathsep.join([str(program.parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT), "JUPYTER_PLATFORM_DIRS": "1"}
    done = subprocess.run([program, *arguments], cwd=folder, env=environment, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def answered(notebook, answers):
    """A notebook with functions in the place of the cells that define them."""
    data = json.loads(notebook.read_text(encoding="utf-8"))
    for cell in data["cells"]:
        source = "".join(cell["source"])
        for name, answer in answers.items():
            if cell["cell_type"] == "code" and source.startswith(f"def {name}("):
                cell["source"] = answer
    return json.dumps(data)


BOUND = "def bound(log_w):\n    return torch.logsumexp(log_w, 0) - math.log(len(log_w))\n"
RATIO = "def log_ratio(z, mu):\n    return (mu * z - 0.5 * mu**2).sum(-1)\n"
ONE_WRONG = {"bound": BOUND.replace(" - math.log(len(log_w))", ""), "log_ratio": RATIO}


@pytest.mark.skipif(not OTTER.exists(), reason="Otter-Grader is not there: make adapters")
def test_otter_assigns_and_grades(tmp_path):
    make.main(["otter", "importance", str(tmp_path), "--seed", "7"])
    run(tmp_path, OTTER, "assign", "importance.ipynb", "dist")  # which also tries the solutions
    (autograder,) = (tmp_path / "dist" / "autograder").glob("*.zip")
    student = tmp_path / "dist" / "student" / "importance.ipynb"
    assert "logsumexp(log_w" not in student.read_text(encoding="utf-8")
    for name, answers, score in (("right", {}, 7), ("wrong", ONE_WRONG, 1)):
        folder = tmp_path / name
        folder.mkdir()
        source = tmp_path / "dist" / "autograder" / "importance.ipynb" if name == "right" else student
        (folder / "importance.ipynb").write_text(answered(source, answers), encoding="utf-8")
        run(folder, OTTER, "run", "-a", str(autograder), "importance.ipynb")
        results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        assert sum(test.get("score", 0) for test in results["tests"]) == score
    assert "the weights are summed, where they should be averaged" in json.dumps(results, ensure_ascii=False)


@pytest.mark.skipif(not NBGRADER.exists(), reason="nbgrader is not there: make adapters")
def test_nbgrader_releases_and_grades(tmp_path):
    make.main(["nbgrader", "importance", str(tmp_path), "--seed", "7"])
    run(tmp_path, NBGRADER, "generate_assignment", "importance")
    released = tmp_path / "release" / "importance" / "importance.ipynb"
    text = released.read_text(encoding="utf-8")
    assert "logsumexp(log_w" not in text and "HIDDEN" not in text and "seed=7" not in text
    for student, answers in (("ada", None), ("bo", ONE_WRONG)):
        folder = tmp_path / "submitted" / student / "importance"
        folder.mkdir(parents=True)
        if answers is None:
            shutil.copy(tmp_path / "source" / "importance" / "importance.ipynb", folder)
        else:
            (folder / "importance.ipynb").write_text(answered(released, answers), encoding="utf-8")
    run(tmp_path, NBGRADER, "autograde", "importance")
    run(tmp_path, NBGRADER, "export")
    with open(tmp_path / "grades.csv", encoding="utf-8") as file:
        scores = {row["student_id"]: (float(row["score"]), float(row["max_score"])) for row in csv.DictReader(file)}
    assert scores == {"ada": (7, 7), "bo": (1, 7)}
