"""The published table, again: its record is complete, its model is worth what the record says, its script resumes."""

import ast
import json
import math
import signal
import statistics
import sys
from pathlib import Path

import objectives
import pytest
import reproduce
import torch
from torch.distributions import Bernoulli, Normal

from vae_tutorial import datasets
from vae_tutorial.checkpoints import CheckpointError, load
from vae_tutorial.evaluation import marginal_log_likelihood, unit_activity

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
ROUNDING = 0.0005  # nats: float32 sums over 784 pixels, measured 2e-5
CLOCKS = {"cpu_seconds", "wall_seconds", "measuring_cpu_seconds"}


def recorded(name):
    """The rows of a file of results; none where it does not exist yet, which a test of its own notices."""
    path = RESULTS / name
    return json.loads(path.read_text())["rows"] if path.exists() else {}


ROWS = recorded("reproduce.json")
FIELDS = dict(
    row=str, budget=str, objective=str, k=int, epochs=int, recipe=str, seed=int, device=str, n_train=int, n_test=int,
    n_samples=int, nll=float, stderr=float, first_nll=list, active_units=int, unit_activity=list, cpu_seconds=float,
    wall_seconds=float, measuring_cpu_seconds=float, date=str, package=str, commit=str, torch=str, threads=int,
    python=str, cpu=str, cores=int,
)  # fmt: skip


# The record


def test_the_record_holds_the_row_whose_model_is_kept():
    assert "VAE-1, full" in ROWS
    assert (RESULTS / "VAE-1-full.safetensors").stat().st_size < 2e6


def test_every_recipe_of_the_script_was_compared_for_as_long():
    choice = recorded("reproduce_choice.json")
    assert set(choice) == {str(recipe) for recipe in reproduce.RECIPES}
    assert len({tried["epochs"] for tried in choice.values()}) == 1
    for tried in choice.values():
        assert 80 < tried["nll"] < 120 and 0 < tried["stderr"] < 2 and tried["cpu_seconds"] > 0


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_complete_and_as_the_script_has_it(name):
    module, row = reproduce, ROWS[name]
    ours = module.ALL[row["row"]]
    assert name == f"{row['row']}, {row['budget']}" and name in module.RUNS
    more = {"active_by_layer": list} if len(ours.latent_dims) > 1 else {}
    assert {key: type(value) for key, value in row.items()} == FIELDS | more
    assert all(value != "" for value in row.values())
    expected = dict(
        objective=ours.objective, k=ours.k, epochs=ours.epochs[row["budget"]], recipe=str(module.RECIPE),
        seed=module.SEED, n_samples=module.N_SAMPLES, n_train=60_000, n_test=10_000,
    )  # fmt: skip
    assert {key: row[key] for key in expected} == expected


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_consistent(name):
    row = ROWS[name]
    assert 45 < row["nll"] < 206  # the entropy of the binarization, and independent pixels
    assert row["cpu_seconds"] > 0 and row["wall_seconds"] > 0 and row["measuring_cpu_seconds"] > 0
    first = row["first_nll"]
    assert len(first) == reproduce.KEPT and all(math.isfinite(value) for value in first)
    # The standard error of all 10,000 images, and the mean, from the spread of 100: its own error is some 10 %.
    spread = statistics.stdev(first)
    assert row["stderr"] * math.sqrt(row["n_test"]) == pytest.approx(spread, rel=0.5)
    assert row["nll"] == pytest.approx(statistics.mean(first), abs=5 * spread / math.sqrt(len(first)))
    activity = row["unit_activity"]
    assert (
        len(activity) == sum(reproduce.ALL[row["row"]].latent_dims)
        and activity == sorted(activity, reverse=True)
        and activity[-1] >= 0
    )
    assert row["active_units"] == sum(value > 0.01 for value in activity) > 0


def test_the_rows_of_one_budget_differ():
    """Objective and k have reached the training: no two rows are one run under two names."""
    assert len({tuple(row["first_nll"]) for row in ROWS.values()}) == len(ROWS)


def test_the_chapter_shows_the_published_values_of_the_script():
    notebook = json.loads((ROOT / "book" / "published_table.ipynb").read_text(encoding="utf-8"))
    (cell,) = [source for cell in notebook["cells"] if (source := "".join(cell["source"])).startswith("published = ")]
    shown = ast.literal_eval(ast.parse(cell).body[0].value)
    assert shown == {name: (row.nll, row.active_units) for name, row in reproduce.ROWS.items()}


# The model that is kept


@pytest.fixture(scope="module")
def x_test():
    """The black-and-white test images that were measured."""
    try:
        images = datasets.mnist().x_test
    except datasets.DatasetError as error:
        pytest.skip(f"MNIST can't be had, the model was NOT measured again: {str(error).splitlines()[0]}")
    return datasets.binarize(images, torch.Generator().manual_seed(3))


@pytest.fixture
def model():
    return load(RESULTS / "VAE-1-full.safetensors")


def gap_to_the_record(model, x):
    again = -marginal_log_likelihood(model, x, 5000, seed=4, progress=False)
    return (again - torch.tensor(ROWS["VAE-1, full"]["first_nll"][: len(x)], dtype=torch.float64)).abs()


def test_the_model_gives_its_recorded_values_again(model, x_test):
    assert gap_to_the_record(model, x_test[:10]).max() < ROUNDING


def test_a_model_rounded_to_bfloat16_does_not(model, x_test):
    """The power of the test above: of ten values, at least nine betray it."""
    for parameter in model.parameters():
        parameter.data = parameter.data.bfloat16().float()
    assert (gap_to_the_record(model, x_test[:10]) > 2 * ROUNDING).sum() >= 9


@torch.no_grad()
def test_a_route_without_our_code_confirms_the_record(model, x_test):
    """torch.distributions in float64 with other noise: five standard errors by the delta method."""
    model, n_samples, estimates, variances = model.double(), 5000, [], []
    generator = torch.Generator().manual_seed(7)
    for x in x_test[:8].double():
        mu, log_var = (part[0] for part in model.encode(x[None]))
        q = Normal(mu, log_var.exp().sqrt())
        z = q.mean + q.stddev * torch.randn(n_samples, len(mu), generator=generator).double()
        log_w = Bernoulli(logits=model.decode(z)).log_prob(x).sum(-1)
        log_w += (Normal(0 * mu, 1.0).log_prob(z) - q.log_prob(z)).sum(-1)
        estimates.append(log_w.logsumexp(0).item() - math.log(n_samples))
        variances.append(2 * (log_w.softmax(0) ** 2).sum().item())  # 1 / ESS, of both measurements
    gap = statistics.mean(estimates) + statistics.mean(ROWS["VAE-1, full"]["first_nll"][:8])
    assert abs(gap) < 5 * math.sqrt(sum(variances)) / 8


def test_the_model_has_its_recorded_active_units(model, x_test):
    again = unit_activity(model, x_test).sort(descending=True).values
    assert again.tolist() == pytest.approx(ROWS["VAE-1, full"]["unit_activity"], abs=1e-4)


# The script, with sixty gray images in place of MNIST, two epochs and few samples


@pytest.fixture
def small(monkeypatch, tmp_path):
    module = reproduce
    x = torch.rand(72, 784, generator=torch.Generator().manual_seed(0)).mul(255).round() / 255
    data = datasets.Dataset("mnist", x[:60], None, x[60:], None, image_shape=(28, 28))
    monkeypatch.setattr(module.datasets, "mnist", lambda: data)
    for name, value in dict(
        N_VAL=10, N_SAMPLES=20, PIECE=5, KEPT=3,
        RESULTS=tmp_path / "reproduce.json", CHOICE=tmp_path / "reproduce_choice.json",
    ).items():  # fmt: skip
        monkeypatch.setattr(module, name, value)
    for rows in (module.ROWS, module.TWO_LAYERS, module.ALL):
        for name, row in rows.items():
            monkeypatch.setitem(rows, name, row._replace(epochs=dict.fromkeys(row.epochs, 2)))
    # Two steps: the first to warm up, and to anneal.
    warmup_cosine, linear = module.warmup_cosine, module.linear
    monkeypatch.setattr(module, "warmup_cosine", lambda peak, n_steps, warmup: warmup_cosine(peak, n_steps, warmup=1))
    monkeypatch.setattr(module, "linear", lambda start, end, n_steps: linear(start, end, max(1, n_steps)))
    return module


@pytest.fixture
def command(small, monkeypatch, tmp_path):
    """The command line; what it changes of the process is put back."""
    threads, handler = torch.get_num_threads(), signal.getsignal(signal.SIGTERM)

    def run(*arguments):
        runs = ["--runs", str(tmp_path / "runs")]
        monkeypatch.setattr(sys, "argv", ["reproduce.py", "--device", "cpu", *runs, *arguments])
        small.main()

    yield run
    torch.set_num_threads(threads)
    signal.signal(signal.SIGTERM, handler)


def rows_of(path):
    return json.loads(path.read_text())["rows"]


def interrupt_at(monkeypatch, module, name, call):
    """Ctrl-C within the given call of a function of a script; gives the arguments of all calls before it."""
    function, calls = getattr(module, name), []

    def interrupting(*args, **kwargs):
        if len(calls) == call - 1:
            raise KeyboardInterrupt
        calls.append((args, kwargs))
        return function(*args, **kwargs)

    monkeypatch.setattr(module, name, interrupting)
    return calls


def results(row):
    return {key: value for key, value in row.items() if key not in CLOCKS}


def test_a_run_gives_a_complete_record_and_a_model(small, command, tmp_path):
    command("VAE-1", "--budget", "full")
    row = rows_of(small.RESULTS)["VAE-1, full"]
    assert {key: type(value) for key, value in row.items()} == FIELDS
    x = datasets.binarize(small.datasets.mnist().x_test, torch.Generator().manual_seed(3))
    model = load(tmp_path / "runs" / "VAE-1-full.safetensors")
    # Pieces of five images, the noise of each fixed by where it begins.
    pieces = [-marginal_log_likelihood(model, x[i : i + 5], 20, seed=4 + i, progress=False) for i in (0, 5, 10)]
    nll = torch.cat(pieces)
    assert row["first_nll"] == nll[:3].tolist()
    assert row["nll"] == pytest.approx(statistics.mean(nll.tolist()), rel=1e-12)
    assert row["stderr"] == pytest.approx(statistics.stdev(nll.tolist()) / math.sqrt(12), rel=1e-12)
    means = model.encode(x)[0].detach().double()
    assert row["unit_activity"] == pytest.approx(sorted(means.var(0).tolist(), reverse=True), rel=1e-4)


def test_rows_of_two_layers_are_trained_where_they_are_named(small, command, tmp_path, capsys):
    command("two-VAE-1", "two-IWAE-5", "--budget", "full")
    rows = rows_of(small.RESULTS)
    assert [(row["objective"], row["k"]) for row in rows.values()] == [("VAE", 1), ("IWAE", 5)]
    printed = capsys.readouterr().out
    assert "(published: 85.33)" in printed and "(published: 83.89)" in printed
    x = datasets.binarize(small.datasets.mnist().x_test, torch.Generator().manual_seed(3))
    for name, row in rows.items():
        assert {key: type(value) for key, value in row.items()} == FIELDS | {"active_by_layer": list}
        model = load(tmp_path / "runs" / f"{name.replace(', ', '-')}.safetensors")
        activity = unit_activity(model, x)
        assert row["active_by_layer"] == [(activity[:100] > 0.01).sum().item(), (activity[100:] > 0.01).sum().item()]
        assert row["active_units"] == sum(row["active_by_layer"])
    sizes = [tuple(weight.shape) for weight in model.parameters() if weight.ndim == 2]
    widths = [(200, 784), (200, 200), (200, 200), (200, 100), (200, 200), (784, 200)]  # both ways between x and z_1
    assert sorted(sizes) == sorted([*widths, (100, 50), (100, 100), (200, 100), *[(100, 100)] * 3])


def test_a_model_of_two_layers_starts_at_the_mean_image(small):
    x = small.datasets.mnist().x_train
    bias = small.new_model(x, (100, 50)).decoder[-1].bias
    torch.testing.assert_close(torch.sigmoid(bias), x.mean(0).clamp(0.001, 0.999))


def test_objective_and_k_reach_the_training(small, command):
    command("VAE-1", "VAE-5", "IWAE-5", "--budget", "5 min")
    rows = rows_of(small.RESULTS)
    assert [(row["objective"], row["k"]) for row in rows.values()] == [("VAE", 1), ("VAE", 5), ("IWAE", 5)]
    assert len({row["nll"] for row in rows.values()}) == 3


def test_training_images_are_drawn_anew_each_epoch(small, command, monkeypatch):
    calls = interrupt_at(monkeypatch, objectives, "elbo_terms", call=0)
    command("VAE-1", "--budget", "5 min")
    (_, first, _), (_, second, _) = (args for args, _ in calls)
    assert set(first.unique().tolist()) == {0.0, 1.0}
    black = [x.sum(0) for x in (first, second)]  # of each pixel, whatever the order of the images
    assert (black[0] != black[1]).float().mean() > 0.5


@pytest.mark.parametrize("module, name", [(objectives, "elbo_terms"), (reproduce, "marginal_log_likelihood")])
def test_an_interrupted_run_goes_on_to_the_same_result(small, command, monkeypatch, tmp_path, module, name):
    command("VAE-1", "--budget", "full")
    whole = rows_of(small.RESULTS)["VAE-1, full"]
    small.RESULTS.unlink()
    for path in (tmp_path / "runs").iterdir():
        path.unlink()

    with monkeypatch.context() as patch:
        interrupt_at(patch, module, name, call=2)
        with pytest.raises((SystemExit, KeyboardInterrupt)) as stopped:
            command("VAE-1", "--budget", "full")
    assert stopped.type is KeyboardInterrupt or "interrupted; the same command goes on" in str(stopped.value)
    assert not small.RESULTS.exists()
    clocks = {path.name: json.loads(path.read_text()) for path in (tmp_path / "runs").glob("*.seconds.json")}

    calls = interrupt_at(monkeypatch, module, name, call=0)
    command("VAE-1", "--budget", "full")
    assert len(calls) == {"elbo_terms": 1, "marginal_log_likelihood": 2}[name]  # of 2 epochs, of 3 pieces
    resumed = rows_of(small.RESULTS)["VAE-1, full"]
    assert results(resumed) == results(whole)
    spent = [resumed["cpu_seconds"], resumed["measuring_cpu_seconds"]]
    assert all(now > before[0] for now, before in zip(spent, sorted(clocks.values(), reverse=True), strict=False))


def test_what_was_measured_of_another_model_is_not_taken_over(small, command, tmp_path, monkeypatch):
    command("VAE-1", "--budget", "full")
    before = rows_of(small.RESULTS)["VAE-1, full"]["nll"]
    small.RESULTS.unlink()
    (tmp_path / "runs" / "VAE-1-full.run.safetensors").unlink()
    monkeypatch.setattr(small, "SEED", 1)
    command("VAE-1", "--budget", "full")
    assert rows_of(small.RESULTS)["VAE-1, full"]["nll"] != before


def test_a_run_that_began_otherwise_is_not_continued(small, command, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_at(patch, small, "marginal_log_likelihood", call=1)
        command("VAE-1", "--budget", "full")
    monkeypatch.setattr(small, "SEED", 1)
    with pytest.raises(CheckpointError, match="belongs to another run: seed was 0, is 1"):
        command("VAE-1", "--budget", "full")


def test_finished_rows_are_skipped_and_stay(small, command, monkeypatch, capsys):
    command("VAE-1", "--budget", "5 min")
    before = small.RESULTS.read_text()
    monkeypatch.setattr(small, "run", lambda *arguments: pytest.fail("a finished row was run again"))
    command("VAE-1", "--budget", "5 min")
    assert "VAE-1, 5 min: finished before" in capsys.readouterr().out
    assert small.RESULTS.read_text() == before


@pytest.mark.parametrize("device, names", [("cpu", ["VAE-1", "VAE-5", "IWAE-5"]), ("cuda", None)])
def test_rows_of_fifty_draws_need_a_gpu_or_a_name(small, command, monkeypatch, device, names):
    ran = []
    monkeypatch.setattr(small, "run", lambda name, budget, *_: ran.append((name, budget)) or dict(nll=0.0))
    command("--device", device)
    assert ran == [(name, budget) for name in names or small.ROWS for budget in small.ROWS[name].epochs]
    ran.clear()
    command("--device", device, "--budget", "5 min")
    assert ran == []  # all of these are finished
    command("--device", device, "VAE-50")
    assert ran == ([("VAE-50", "full")] if device == "cpu" else [])


def test_a_row_or_budget_that_is_not_there_is_named(small, command, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        command("VAE-2")
    assert "VAE-50, IWAE-50, two-VAE-1, two-IWAE-5, two-IWAE-50, got VAE-2" in capsys.readouterr().err
    command("IWAE-50", "--budget", "5 min")
    assert "IWAE-50: not trained for 5 min" in capsys.readouterr().out
    assert not small.RESULTS.exists()


def test_recipes_are_compared_on_training_images_only(small, command, monkeypatch, capsys):
    x_train = small.datasets.mnist().x_train
    trained = interrupt_at(monkeypatch, small, "train", call=0)
    measured = interrupt_at(monkeypatch, small, "marginal_log_likelihood", call=0)
    command("--choose", "2")
    choice = rows_of(small.CHOICE)
    assert list(choice) == [str(recipe) for recipe in small.RECIPES]
    assert str(small.RECIPE) in choice  # the one that the rows are trained by
    held_out = datasets.binarize(x_train[50:], torch.Generator().manual_seed(2))
    for (recipe, row), (args, _), ((_, x, *_), _) in zip(choice.items(), trained, measured, strict=True):
        assert torch.equal(args[0], x_train[:50]) and str(args[4]) == recipe
        assert torch.equal(x, held_out)
        assert row["epochs"] == 2 and row["stderr"] > 0
    assert len({row["nll"] for row in choice.values()}) > 1

    command("--choose", "2")
    assert len(trained) == len(choice) and capsys.readouterr().out.count("finished before") == len(choice)
    with pytest.raises(ValueError, match="n_steps"):
        command("--choose", "0")
    assert not small.RESULTS.exists()
