"""The record of several processes is complete, and of the networks that the command measures."""

import distributed as benchmark
from recording import rows_of

RECORD = rows_of(benchmark.RESULTS)["gloo, one machine"]


def test_the_record_has_every_measurement_and_says_where_it_comes_from():
    batches = {str(batch) for batch in benchmark.BATCHES}
    for name, hidden in benchmark.HIDDEN.items():
        n_weights = sum(weight.numel() for weight in benchmark.network(hidden).parameters())
        for processes in ("alone", "beside", "two"):
            assert RECORD[processes][name]["parameters"] == n_weights
            assert RECORD[processes][name]["step"].keys() == batches
    assert RECORD["two"]["all_reduce"].keys() == {str(n) for n in benchmark.FLOATS}
    assert {"cpu", "cores", "torch", "commit", "date", "load"} <= RECORD.keys()


def test_more_work_took_longer():
    for processes in ("alone", "beside", "two"):
        for name in benchmark.HIDDEN:
            seconds = RECORD[processes][name]["step"]
            assert 0 < seconds["32"] < seconds["512"]
    reduces = RECORD["two"]["all_reduce"]
    assert 0 < reduces["16"] < reduces[str(benchmark.FLOATS[-1])]
