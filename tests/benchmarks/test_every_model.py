"""Every model of the book: the record is complete and consistent, and the script that writes it does what it says."""

import json
import math
import sys
from types import SimpleNamespace

import pytest

pytest.importorskip("constriction", reason="no constriction: archives were NOT tested")
import every_model as benchmark
import models_of_the_book as book
import torch
from recording import rows_of
from torch.distributions import Bernoulli, Normal, kl_divergence

from vae_tutorial.checkpoints import load

ROWS = rows_of(benchmark.RESULTS)
FIELDS = dict(
    model=str, family=str, seed=int, epochs=int, n_test=int, parameters=int, train_seconds=float, sample_seconds=float,
    log_px=float, log_px_stderr=float, by=str, digits_stderr=float, gain=float, gain_stderr=float, date=str,
    package=str, commit=str, torch=str, threads=int, cpu=str, cores=int, python=str,
)  # fmt: skip
each_row = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())


def test_every_model_has_five_seeds_on_one_machine():
    recorded = {(row["model"], row["seed"]) for row in ROWS.values()}
    assert recorded == {(model, seed) for model in book.MODELS for seed in range(5)}
    assert len({(row["cpu"], row["torch"], row["python"], row["threads"]) for row in ROWS.values()}) == 1
    assert {row["threads"] for row in ROWS.values()} == {1}


@each_row
def test_a_row_says_what_was_measured_and_where(row):
    assert all(isinstance(row[name], kind) for name, kind in FIELDS.items())
    assert row["n_test"] == 360 and row["epochs"] == benchmark.EPOCHS
    assert row["best_epoch"] is None or 1 <= row["best_epoch"] <= row["epochs"]
    assert 0 < row["sample_seconds"] < 60 and 0 <= row["train_seconds"] < 600 and row["parameters"] >= 64


@each_row
def test_numbers_are_possible(row):
    """No model is worse than 64 coins, none better than 64 pixels that say nothing; a bound lies below."""
    assert -64 * math.log(2) < row["log_px"] < -5
    noise = math.hypot(row["log_px_stderr"], row["bound_stderr"] or 0.0)
    assert row["bound"] is None or row["bound"] < row["log_px"] + 5 * noise + 1e-5  # float32 beside float64
    assert 0 <= row["log_px_stderr"] < 0.1
    assert row["model"] != benchmark.REFERENCE or row["gain"] == 0
    reference = ROWS[f"{benchmark.REFERENCE}, seed {row['seed']}"]
    assert row["gain"] == pytest.approx(row["log_px"] - reference["log_px"], abs=1e-9)


@each_row
def test_an_archive_is_as_long_as_the_bound_says(row):
    if row["archive_bytes"] is None:
        assert not book.MODELS[row["model"]].coded
        return
    bits = 8 * (row["archive_bytes"] - row["archive_header_bytes"])
    assert bits == pytest.approx(-360 * row["bound"] / math.log(2), rel=0.06)


def test_independent_pixels_are_as_recorded():
    data = book.black_and_white()
    p = (data.x_train.sum(0) + 1) / (len(data.x_train) + 2)
    log_px = Bernoulli(p.double()).log_prob(data.x_test.double()).sum(-1).mean().item()
    for seed in range(5):
        assert ROWS[f"independent pixels, seed {seed}"]["log_px"] == pytest.approx(log_px, abs=1e-4)
    again = book.exactly(book.independent_pixels(0), data.x_test, 0).log_px.mean().item()
    assert again == pytest.approx(log_px, abs=1e-4)


def kept():
    """The model of two latents, seed 0, and log p(x) of the test digits by quadrature over the plane."""
    model = load(benchmark.RESULTS.with_name("every_model_two_latents.safetensors"))
    x, points = book.black_and_white().x_test, torch.linspace(-6, 6, 241)
    z = torch.cartesian_prod(points, points)
    with torch.no_grad():
        logits = model.decode(z)
    log_joint = x @ logits.T - torch.nn.functional.softplus(logits).sum(-1) - z.square().sum(-1) / 2
    return model, x, torch.logsumexp(log_joint.double(), -1) + math.log(0.05**2 / (2 * math.pi))


def test_the_kept_model_has_the_recorded_evidence_by_quadrature():
    row, (_, _, log_px) = ROWS["two latents, seed 0"], kept()
    assert log_px.mean().item() == pytest.approx(row["log_px"], abs=5 * row["log_px_stderr"] + 1e-4)


@pytest.mark.parametrize("measure", [book.by_draws, book.by_annealing])
def test_draws_and_chains_find_the_evidence_with_the_stated_error(measure):
    model, x, log_px = kept()
    with torch.no_grad():
        found = measure(model, x[:60], 0)
    assert (found.log_px - log_px[:60]).mean().abs() < 5 * benchmark.of_mean(found.stderr)
    assert benchmark.of_mean(found.stderr) < 0.1


def test_the_price_of_a_wae_is_the_mean_over_pairs():
    model, x = book.mlp(0), book.black_and_white().x_test[:4]
    with torch.no_grad():
        terms = book.mmd_terms(model, x, generator=torch.Generator().manual_seed(0))
        z, prior = model.encode(x)[0], torch.randn(4, book.L, generator=torch.Generator().manual_seed(0))

    def k(a, b):
        return math.exp(-sum((p - q) ** 2 for p, q in zip(a, b, strict=True)) / 8)

    z, prior = z.tolist(), prior.tolist()
    within = sum(k(s[i], s[j]) for s in (z, prior) for i in range(4) for j in range(4) if i != j) / 12
    across = sum(k(a, b) for a in z for b in prior) / 16
    assert terms.kl[0].item() == pytest.approx(100 * (within - 2 * across), rel=1e-4)
    torch.testing.assert_close(terms.log_likelihood, model.log_likelihood(x, torch.tensor(z)))


@pytest.mark.parametrize("name", book.MODELS)
def test_each_model_is_what_its_measure_says(name):
    """Untrained: a probability, with a bound below it; and samples that are black and white."""
    entry, x = book.MODELS[name], book.black_and_white().x_test[:6]
    model = entry.make(3).eval()
    model = model if entry.then is None else entry.then[0](model, 3)
    with torch.no_grad():
        found = entry.measure(model, x, 0)
        assert found.log_px.shape == found.stderr.shape == (6,) and found.log_px.dtype == torch.float64
        assert (found.log_px < 0).all()
        if entry.bound is not None:
            bound, stderr = entry.bound(model, x, 1)
            assert (bound < found.log_px + 5 * torch.hypot(stderr, found.stderr) + 1e-4).all()
    drawn = model.sample(7, generator=torch.Generator().manual_seed(0))
    assert drawn.shape == (7, 64) and ((drawn == 0) | (drawn == 1)).all()


def test_the_bound_of_a_diffusion_that_has_learned_nothing_is_that_of_fair_bits():
    model, x = book.MODELS["diffusion"].make(0), book.black_and_white().x_test[:6]
    with torch.no_grad():
        found = book.by_chain(model, x, 0)
    assert found.by == book.ONLY_A_BOUND
    assert found.log_px.mean().item() == pytest.approx(-64 * math.log(2), abs=5 * benchmark.of_mean(found.stderr))
    assert benchmark.of_mean(found.stderr) < 0.4


def test_a_diffusion_of_codes_begins_as_the_gaussian_of_all_codes():
    """Then its chain is exact, and the bound the ELBO under that Gaussian, by torch.distributions."""
    entry, data = book.MODELS["latent diffusion"], book.black_and_white()
    vae = entry.make(0)
    with torch.no_grad():
        vae.encoder[-1].bias += torch.linspace(-1.5, 1.5, 2 * book.L)  # asymmetric
        model, x = entry.then[0](vae, 0), data.x_test[:6]
        mu, log_var = vae.encode(data.x_train)
        codes = Normal(mu.mean(0), (mu.var(0) + log_var.exp().mean(0)).sqrt())
        mu, log_var = vae.encode(x)
        q = Normal(mu, torch.exp(log_var / 2))
        z = q.sample((4000,))
        told = Bernoulli(logits=vae.decode(z)).log_prob(x).sum(-1).mean(0) - kl_divergence(q, codes).sum(-1)
        bound, stderr = book.bound_of_chain(model, x, 0)
    assert bound.mean().item() == pytest.approx(told.mean().item(), abs=5 * benchmark.of_mean(stderr))
    assert benchmark.of_mean(stderr) < 0.4
    assert {name for name, p in model.named_parameters() if p.requires_grad} == {
        f"prior.{name}" for name, _ in model.prior.named_parameters()
    }


def test_a_second_stage_trains_the_prior_alone(tmp_path):
    entry = book.MODELS["latent diffusion"]
    row, model = benchmark.run(benchmark.REFERENCE, 0, 1, 12, tmp_path)
    row, chained = benchmark.run("latent diffusion", 0, 1, 12, tmp_path)
    for part in ("encoder", "decoder"):
        pairs = zip(getattr(model, part).parameters(), getattr(chained, part).parameters(), strict=True)
        assert all(torch.equal(p, q) for p, q in pairs)
    assert any(p.abs().sum() > 0 for p in chained.prior.network[-1].parameters())  # they begin at 0
    assert row["by"] == book.ONLY_A_BOUND and row["best_epoch"] == 1 and entry.measure is book.by_chain


def test_the_rate_of_the_masked_decoder_is_recorded():
    assert all(("rate" in row) == book.MODELS[row["model"]].rate for row in ROWS.values())
    assert all(row["rate"] >= 0 for row in ROWS.values() if row["model"] == "masked decoder")


def test_short_chains_said_too_little():
    assert all(("log_px_five_chains" in row) == (row["model"] == "WAE") for row in ROWS.values())
    assert all(row["log_px_five_chains"] < row["log_px"] for row in ROWS.values() if row["model"] == "WAE")


def test_masked_pixels_sum_to_one_and_are_drawn_as_often(monkeypatch):
    monkeypatch.setattr(book, "D", 4)
    model = book.Masked(None, 16, seed=0)
    with torch.no_grad():
        for parameter in model.pixels.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
        x = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4)
        p = model.log_likelihood(x, torch.zeros(16, 1)).exp()
    assert p.sum().item() == pytest.approx(1, abs=1e-5)
    drawn = model.sample(40_000, generator=torch.Generator().manual_seed(2))
    counted = torch.bincount((drawn @ torch.tensor([8.0, 4.0, 2.0, 1.0])).int(), minlength=16) / len(drawn)
    assert ((counted - p).abs() < 5 * (p * (1 - p) / len(drawn)).sqrt()).all()


def test_classes_are_summed_out():
    """Where no network hears the class, the sum over classes is the model without one."""
    entry, x = book.MODELS["given the class"], book.black_and_white().x_test[:5]
    model = entry.make(0)
    with torch.no_grad():
        for network in (model.encoder, model.decoder):
            network[0].weight[:, -book.N_CLASSES :] = 0
        deaf = model.given(torch.eye(book.N_CLASSES)[:1].expand(5, -1))
        for summed, alone in (
            (entry.measure(model, x, 0).log_px, book.by_draws(deaf, x, 0).log_px),
            (entry.bound(model, x, 0)[0], book.bound(deaf, x, 0)[0]),
        ):
            assert summed.mean().item() == pytest.approx(alone.mean().item(), abs=0.1)


def test_each_class_counts_a_tenth():
    """A decoder of which pixel 0 is black for class 3 alone: a tenth of the draws, a tenth of the probability."""
    model = book.MODELS["given the class"].make(0)
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.zero_()
        model.decoder[0].weight[0, book.L + 3] = 1
        model.decoder[-1].weight[0, 0], model.decoder[-1].bias[0] = 40, -20
        x = torch.tensor([0.0, 1.0])[:, None] * torch.eye(64)[:1]  # white, and with pixel 0 black
        found = book.over_classes(model, x, 0).log_px + 63 * math.log(2)
        drawn = model.sample(4000, generator=torch.Generator().manual_seed(0))[:, 0].mean().item()
    assert found.tolist() == pytest.approx([math.log(0.9), math.log(0.1)], abs=0.3)
    assert drawn == pytest.approx(0.1, abs=5 * math.sqrt(0.09 / 4000))


def test_a_row_is_about_the_digits_it_names(tmp_path):
    row, model = benchmark.run(benchmark.REFERENCE, 0, 1, 12, tmp_path)
    x = book.black_and_white().x_test[:12]
    with torch.no_grad():
        bound = book.bound(model, x, benchmark.SEED_BOUND)[0].mean().item()
    assert row["bound"] == pytest.approx(bound) and row["parameters"] == 9936 and "rate" not in row
    row, model = benchmark.run("masked decoder", 0, 1, 12, tmp_path)
    mu, log_var = model.encode(x)
    kl = kl_divergence(Normal(mu, torch.exp(log_var / 2)), Normal(0.0, 1.0)).sum(-1).mean().item()
    assert row["rate"] == pytest.approx(kl, rel=1e-3, abs=1e-6)
    row, model = benchmark.run("independent pixels", 0, 1, 12, tmp_path)
    each = book.exactly(model, book.black_and_white().x_test[:12], 0).log_px.detach().numpy()
    saved = each - torch.load(tmp_path / "reference-0-1-12.pt").numpy()
    assert row["log_px"] == pytest.approx(each.mean()) and row["gain"] == pytest.approx(saved.mean())
    assert row["digits_stderr"] == pytest.approx(each.std(ddof=1) / 12**0.5)
    assert row["gain_stderr"] == pytest.approx(saved.std(ddof=1) / 12**0.5) and row["parameters"] == 64
    assert benchmark.of_mean(torch.tensor([3.0, 4.0])) == pytest.approx(2.5)


@pytest.mark.parametrize("labels", [False, True])
def test_the_epoch_that_was_best_is_told_and_nothing_stops_early(monkeypatch, labels):
    told = {}

    def fit(model, *given, **how):
        told.update(how, given=given)
        return SimpleNamespace(val_elbo=[-3.0, -1.0, -2.0])

    monkeypatch.setattr(benchmark, "fit", fit)
    assert benchmark.train(dict(beta=2.0), None, 7, 3, labels) == 2
    assert told["patience"] == told["epochs"] == 3 and told["seed"] == 7 and told["beta"] == 2
    assert [len(part[0] if labels else part) for part in told["given"]] == [1200, 237]
    assert max(told["lr"](step) for step in range(30)) == pytest.approx(0.02)


def test_a_thousand_draws_are_timed():
    asked = []
    benchmark.sampling_seconds(SimpleNamespace(sample=lambda n, generator: asked.append((n, generator.initial_seed()))))
    assert {n for n, _ in asked} == {1000} and len(set(asked)) == 4


def call(monkeypatch, folder, *arguments):
    given = ["--epochs", "1", "--test", "12", "--seed", "0", "--runs", str(folder / "runs")]
    results = folder / "results.json"
    monkeypatch.setattr(sys, "argv", ["every_model.py", *arguments, *given, "--results", str(results)])
    benchmark.main()
    return json.loads(results.read_text())["rows"]


def test_rows_are_recorded_once_and_with_their_provenance(monkeypatch, tmp_path, capsys):
    names = benchmark.REFERENCE, "two latents", "independent pixels", "given the class"
    rows = call(monkeypatch, tmp_path, *names)
    assert list(rows) == [name for name in benchmark.ORDER if name.removesuffix(", seed 0") in names]
    for row in rows.values():
        assert all(isinstance(row[name], kind) for name, kind in FIELDS.items())
        assert row["n_test"] == 12 and row["epochs"] == 1
    assert rows["independent pixels, seed 0"]["best_epoch"] is None
    assert load(tmp_path / "results_two_latents.safetensors").latent_dim == 2
    assert call(monkeypatch, tmp_path, benchmark.REFERENCE) == rows
    assert "plain VAE, seed 0: recorded before" in capsys.readouterr().out


def test_another_model_is_refused(monkeypatch, tmp_path, capsys):
    with pytest.raises(SystemExit):
        call(monkeypatch, tmp_path, "GAN")
    assert "got GAN" in capsys.readouterr().err
