"""A history comes back from its file number for number, and nothing else passes for one."""

import json
import math
import os
import sys

import pytest

from vae_tutorial.checkpoints import CheckpointError
from vae_tutorial.history import History

HISTORY = History([-9.0, -7.1], [1 / 3, 2e-17], [-9.5, -8.0], [1.5, 2.0], [0.1, math.pi], True)
WITHOUT_VALIDATION = History([-9.0], [1.0], seconds=[0.5])


@pytest.mark.parametrize("history", [HISTORY, WITHOUT_VALIDATION, History()], ids=["full", "no validation", "empty"])
def test_a_saved_history_comes_back(tmp_path, history):
    history.save(tmp_path / "history.json")
    again = History.load(tmp_path / "history.json")
    assert again == history and again.elbo == history.elbo and again.val_elbo == history.val_elbo
    assert os.listdir(tmp_path) == ["history.json"]


def test_whole_numbers_may_be_written_without_a_point(tmp_path):
    path, largest = tmp_path / "history.json", int(sys.float_info.max)
    path.write_text(json.dumps(COLUMNS | {"kl": [1, largest]}))
    assert History.load(path).kl == [1.0, sys.float_info.max]


def test_a_file_has_a_line_for_each_number(tmp_path):
    HISTORY.save(tmp_path / "history.json")
    text = (tmp_path / "history.json").read_text()
    assert text.startswith('{\n "log_likelihood": [\n  -9.0,\n  -7.1\n ],\n')


COLUMNS = json.loads(json.dumps(HISTORY.__dict__))


@pytest.mark.parametrize(
    "columns, message",
    [
        ([], "expected the columns log_likelihood, kl"),
        ({name: column for name, column in COLUMNS.items() if name != "kl"}, "expected the columns"),
        (COLUMNS | {"loss": [1.0, 2.0]}, "expected the columns"),
        (COLUMNS | {"kl": [1.0]}, r"expected columns of one length, got \[2, 1, 2, 2, 2\]"),
        (COLUMNS | {"val_kl": []}, "expected columns of one length"),
        (COLUMNS | {"val_kl": [1.0], "val_log_likelihood": [1.0]}, "expected columns of one length"),
        (COLUMNS | {"seconds": []}, "expected columns of one length"),
        (COLUMNS | {"kl": 3.0}, "expected a list of finite numbers in each column"),
        (COLUMNS | {"kl": [1.0, "2"]}, "expected a list of finite numbers"),
        (COLUMNS | {"kl": [1.0, math.nan]}, "expected a list of finite numbers"),
        (COLUMNS | {"kl": [1.0, True]}, "expected a list of finite numbers"),
        (COLUMNS | {"interrupted": 1}, "expected .* interrupted true or false"),
    ],
)
def test_what_is_no_history_is_named(tmp_path, columns, message):
    path = tmp_path / "history.json"
    path.write_text(json.dumps(columns))
    with pytest.raises(CheckpointError, match=f"history.json does not hold a history: {message}"):
        History.load(path)


def test_damaged_and_missing_files_are_named(tmp_path):
    path = tmp_path / "history.json"
    with pytest.raises(CheckpointError, match="history.json cannot be read: .*No such file"):
        History.load(path)
    HISTORY.save(path)
    for data in (path.read_bytes()[:-5], b"\x80\x04\xff", b""):
        path.write_bytes(data)
        with pytest.raises(CheckpointError, match="history.json does not hold a history"):
            History.load(path)
    with pytest.raises(CheckpointError, match="cannot be written"):
        HISTORY.save(tmp_path / "nowhere" / "history.json")


def test_a_history_starts_empty_and_shares_nothing():
    first, second = History(), History()
    first.append(-2.0, 1.0, seconds=0.1)
    assert second == History() and second.elbo == second.val_elbo == [] and not second.interrupted
    first.append(-2.0, 0.5, -3.0, 0.25, seconds=0.2)
    assert (first.elbo, first.val_elbo, first.seconds) == ([-3.0, -2.5], [-3.25], [0.1, 0.2])


def test_terms_of_unequal_length_have_no_elbo():
    history = History([-2.0, -3.0], [1.0], [-2.0], [1.0, 0.5])
    for bound in ("elbo", "val_elbo"):
        with pytest.raises(ValueError, match="shorter|longer"):
            getattr(history, bound)


@pytest.mark.parametrize("number", ["1" + "0" * 400, "-1" + "0" * 400, "1e999"])
def test_a_number_that_no_float_holds_is_named(tmp_path, number):
    path = tmp_path / "history.json"
    path.write_text(json.dumps(COLUMNS | {"kl": [1.0, 0.0]}).replace("[1.0, 0.0]", f"[1.0, {number}]"))
    with pytest.raises(
        CheckpointError, match="history.json does not hold a history: expected a list of finite numbers"
    ):
        History.load(path)


def test_a_file_of_brackets_is_named(tmp_path):
    path = tmp_path / "history.json"
    path.write_text("[" * 100_000)
    with pytest.raises(CheckpointError, match="history.json does not hold a history"):
        History.load(path)
