"""What stands around the book for those who write to it or work on it: forms, settings, the development container."""

import json
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
FORMS = sorted(path for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config")


def read(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_for_issues_is_one_that_github_takes(path):
    form = read(path)
    assert {"name", "description", "body"} <= form.keys() <= {"name", "description", "labels", "body"}
    for field in form["body"]:
        assert field["type"] in ("input", "textarea") and field["attributes"]["label"]
        assert field["attributes"].keys() <= {"label", "description", "render"}
    ids = [field["id"] for field in form["body"]]
    assert len({*ids}) == len(ids)
    assert any(field.get("validations") == {"required": True} for field in form["body"])


def test_the_three_kinds_of_issues_have_a_form():
    assert [path.stem for path in FORMS] == ["command", "question", "text"]


def test_updates_are_asked_for_where_there_is_something_to_update():
    files = {"github-actions": ".github/workflows/test.yml", "npm": "package-lock.json"}
    settings = read(ROOT / ".github/dependabot.yml")
    assert settings["version"] == 2
    assert {update["package-ecosystem"] for update in settings["updates"]} == files.keys()
    assert all((ROOT / name).exists() for name in files.values())


def test_the_development_container_sets_up_what_a_reader_does():
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    running = (ROOT / "book/running.md").read_text(encoding="utf-8")
    make, *others = container["postCreateCommand"].split(" && ")
    assert re.search(rf"^{make.removeprefix('make ')}:", makefile, flags=re.MULTILINE)
    assert others and all(f"$ {command}\n" in running for command in others)
    assert int(re.search(r"^PORT \?= (\d+)$", makefile, flags=re.MULTILINE)[1]) in container["forwardPorts"]
    assert "jupyter lab --allow-root" in running  # its user is root


def test_the_checks_before_a_commit_are_those_of_make_lint_in_the_same_version():
    (repository,) = read(ROOT / ".pre-commit-config.yaml")["repos"]
    pinned = re.search(r"^ruff==.*$", (ROOT / "requirements.txt").read_text(encoding="utf-8"), flags=re.MULTILINE)[0]
    lint = re.findall(r"^\t\$\(BIN\)/(ruff \w+)", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert [" ".join(hook["entry"].split()[:2]) for hook in repository["hooks"]] == lint
    for hook in repository["hooks"]:
        assert hook["additional_dependencies"] == [pinned] and "jupyter" in hook["types_or"]
