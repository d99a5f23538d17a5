"""Bits back against SciPy's Gaussian, lengths by enumeration and by torch.distributions, and hostile archives."""

import hashlib
import math
import subprocess
import sys
import time
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm
from torch import nn
from torch.distributions import Bernoulli

pytest.importorskip("constriction", reason="no constriction: compression was NOT tested")
from constriction import stream

from vae_tutorial import coding
from vae_tutorial.architectures import resnet_vae
from vae_tutorial.bounds import elbo_terms
from vae_tutorial.coding import (
    ArchiveError,
    bucket_centers,
    compress,
    decompress,
    pixel_probabilities,
    pop,
    posterior_weights,
    push,
)
from vae_tutorial.datasets import digits
from vae_tutorial.likelihoods import bernoulli, normal
from vae_tutorial.models import VAE, mlp_vae
from vae_tutorial.posteriors import PlanarFlow
from vae_tutorial.priors import Gaussian
from vae_tutorial.training import fit

D, L = 12, 2
AnsCoder = stream.stack.AnsCoder


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def images(n, x_dim=D, seed=0):
    return (torch.rand(n, x_dim, generator=seeded(seed)) < 0.3).float()


def scaled(model, factor):
    """The same with larger weights: logits and means far out."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(factor)
    return model


MODEL = scaled(mlp_vae(D, 8, L, bernoulli, seed=1), 3.0)


def a_stack(n_words, seed=0):
    return np.random.default_rng(seed).integers(1, 2**32, n_words, dtype=np.uint32)


def n_bits(coder):
    """The binary logarithm of the stack, read as one number: its length in fractions of a bit."""
    return math.log2(int.from_bytes(coder.get_compressed().astype("<u4").tobytes(), "little"))


@pytest.fixture(scope="module")
def trained():
    data = digits()
    x, x_test = ((part > 0.5).float() for part in (data.x_train, data.x_test))
    model = mlp_vae(64, 64, 6, bernoulli, seed=0)
    fit(model, x, epochs=40, lr=3e-3, batch_size=128, seed=0, device="cpu", progress=False)
    return model, x_test


# The parts


@pytest.mark.parametrize("bits", [1, 2, 5, 16])
def test_the_buckets_have_the_same_prior_mass_and_the_centers_halve_it(bits):
    centers = bucket_centers(bits)
    assert centers.dtype == torch.float64 and len(centers) == 2**bits
    below = norm.cdf(centers.numpy()) * 2**bits
    assert np.allclose(below, np.arange(2**bits) + 0.5, rtol=0, atol=1e-7)


@pytest.mark.parametrize("mu, log_var, bits", [(0.3, -1.0, 3), (-2.0, 0.7, 6), (1.1, -8.0, 10), (4.0, 1.5, 4)])
def test_the_weights_are_the_posteriors_masses_by_scipy(mu, log_var, bits):
    edges = norm.ppf(np.arange(2**bits + 1) / 2**bits)
    mass = np.diff(norm.cdf(edges, mu, math.exp(log_var / 2)))
    weights = posterior_weights(*torch.tensor([[mu], [log_var]], dtype=torch.float64), bits)
    assert weights.dtype == torch.float32 and weights.shape == (1, 2**bits)
    assert np.allclose(weights[0].numpy(), mass * 2**24, rtol=0, atol=1.001)


@pytest.mark.parametrize("mu", [-1e30, -50.0, 0.0, 0.1, 50.0, 1e30])
@pytest.mark.parametrize("log_var", [-1e30, -300.0, -60.0, 0.0, 60.0, 300.0, 1e30])
def test_the_weights_are_integers_that_add_up_however_far_out(mu, log_var):
    for bits in (1, 7, 16):
        weights = posterior_weights(torch.tensor([[mu]]), torch.tensor([[log_var]]), bits).double()
        assert weights.min() >= 0 and weights.sum() == 2**24
        assert torch.equal(weights, weights.round())


def test_each_dimension_has_its_own_weights():
    mu, log_var = torch.randn(3, L, generator=seeded(0)), torch.randn(3, L, generator=seeded(1))
    weights = posterior_weights(mu, log_var, 4)
    assert weights.shape == (3, L, 16)
    for i in range(3):
        for j in range(L):
            assert torch.equal(weights[i, j], posterior_weights(mu[i, j : j + 1], log_var[i, j : j + 1], 4)[0])


def test_pixels_are_never_certain_and_rounded():
    logits = torch.tensor([-200.0, -11.0, -0.7, 0.0, 0.4, 9.0, 200.0])
    p = pixel_probabilities(logits)
    truth = 1 / (1 + np.exp(-logits.double().numpy()))
    assert np.allclose(p.numpy(), truth, rtol=0, atol=2**-16)
    assert torch.equal(p * 2**16, (p * 2**16).round()) and p.min() == 2**-16 and p.max() == 1 - 2**-16
    assert p.dtype == torch.float64


# Backwards


@pytest.mark.parametrize("bits", [1, 3, 10, 16])
@pytest.mark.parametrize("bits_back", [True, False])
def test_pop_gives_the_images_and_the_stack_that_was_there(bits, bits_back):
    x, before = images(5), a_stack(40)
    coder = AnsCoder(before)
    push(coder, MODEL, x, bits, bits_back=bits_back)
    assert len(coder.get_compressed()) > 38
    assert torch.equal(pop(coder, MODEL, 5, bits, bits_back=bits_back), x)
    if bits_back:
        assert np.array_equal(coder.get_compressed(), before)


def test_without_bits_back_an_empty_stack_will_do_and_is_left():
    coder = AnsCoder()
    push(coder, MODEL, images(4), 6, bits_back=False)
    assert not coder.is_empty()
    pop(coder, MODEL, 4, 6, bits_back=False)
    assert coder.is_empty()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 70), st.integers(1, 12), st.sampled_from([0.2, 3.0, 40.0]))
def test_any_images_come_back(seed, n, bits, factor):
    """Also where little is on the stack, or nothing: what is popped there is no draw, but comes back."""
    model = scaled(mlp_vae(5, 4, 3, bernoulli, seed=seed), factor)
    x = images(n, 5, seed)
    assert torch.equal(decompress(model, compress(model, x, bits=bits)), x)


def test_an_archive_of_nothing_but_zeros_counts_them():
    """Where all symbols are the first of their models, the stack stays as short as it was."""
    model = mlp_vae(1, 1, 1, bernoulli, seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.encoder[-1].bias.copy_(torch.tensor([-90.0, -9.0]))
        model.decoder[-1].bias.fill_(-90.0)
    for n in (1, 2, 40):
        assert torch.equal(decompress(model, compress(model, torch.zeros(n, 1), bits=1)), torch.zeros(n, 1))


@pytest.mark.parametrize("n", [1, 2, 9, 31, 250, 300, 1000])
def test_symbols_grow_and_no_image_is_left_out(n):
    starts = [*chain(*coding._starts(n)), n]
    sizes = [end - start for start, end in pairwise(starts)]
    assert starts[0] == 0 and sum(sizes) == n and min(sizes) >= 1 and max(sizes) <= 32
    for start, size in zip(starts, sizes, strict=False):
        assert size <= max(1, 1 + start // 8)
    assert sizes[:-1] == sorted(sizes[:-1]) and (n < 300 or sizes[-2] == 32)


def test_dtypes_and_modes_are_the_models():
    model = mlp_vae(D, 8, L, bernoulli, seed=2).double()
    model.encoder.insert(2, nn.Dropout(0.5))
    model.train()
    x = images(40).double()
    before = torch.get_rng_state()
    archive = compress(model, x)
    assert compress(model.eval(), x) == archive
    back = decompress(model.train(), archive)
    assert back.dtype == torch.float64 and torch.equal(back, x)
    assert all(module.training for module in model.modules())
    assert torch.equal(torch.get_rng_state(), before)


def test_images_of_a_network_with_batch_norm_and_convolutions():
    model = resnet_vae((8, 8), 3, bernoulli, seed=0)
    x = images(70, 64)
    assert torch.equal(decompress(model, compress(model, x)), x)


# Lengths


def by_hand(model, x, codes, bits):
    """log₂ q(z|x) − log₂ p(x|z) − log₂ p(z) of one image: SciPy's q, torch's Bernoulli, a uniform prior.

    And how far that may be off since each pixel's probability is rounded to a multiple of 2⁻¹⁶.
    """
    with torch.no_grad():
        mu, log_var = (part[0].double().numpy() for part in model.encode(x))
        z = norm.ppf((codes + 0.5) / 2**bits)
        probs = torch.sigmoid(model.decode(torch.tensor(z).float())).double()
        log_p = Bernoulli(probs).log_prob(x[0].double())
        log_x, rounding = log_p.sum().item() / math.log(2), (2**-17 / log_p.exp()).sum().item() / math.log(2)
    low, high = (norm.cdf(norm.ppf((codes + i) / 2**bits), mu, np.exp(log_var / 2)) for i in (0, 1))
    return np.log2(high - low).sum() - log_x + bits * len(codes), rounding


@pytest.mark.parametrize("bits", [3, 7])
def test_an_image_costs_what_the_equation_says(bits):
    for i in range(20):
        x, coder = images(1, seed=i), AnsCoder(a_stack(20, seed=i))
        before = n_bits(coder)
        with torch.no_grad():
            mu, log_var = MODEL.encode(x)
        family = stream.model.Categorical(perfect=False)
        codes = AnsCoder(a_stack(20, seed=i)).decode(family, posterior_weights(mu[0], log_var[0], bits).numpy())
        push(coder, MODEL, x, bits)
        cost, rounding = by_hand(MODEL, x, codes, bits)
        assert n_bits(coder) - before == pytest.approx(cost, abs=0.005 + rounding)


def test_without_bits_back_log_q_is_not_got_back():
    x, bits, coder = images(1, seed=3), 5, AnsCoder(a_stack(20))
    before = n_bits(coder)
    with torch.no_grad():
        mu, _ = MODEL.encode(x)
        codes = np.floor(norm.cdf(mu[0].double().numpy()) * 2**bits)
        z = norm.ppf((codes + 0.5) / 2**bits)
        probs = torch.sigmoid(MODEL.decode(torch.tensor(z).float())).double()
    push(coder, MODEL, x, bits, bits_back=False)
    log_x = Bernoulli(probs).log_prob(x[0].double()).sum().item()
    assert n_bits(coder) - before == pytest.approx(bits * L - log_x / math.log(2), abs=0.01)


def tiny():
    return scaled(mlp_vae(4, 6, 1, bernoulli, seed=4), 2.0)


def expected_bits(model, x, bits):
    """The mean of `by_hand` over all buckets of one latent dimension, by enumeration with SciPy."""
    with torch.no_grad():
        mu, log_var = (part[0].double().numpy() for part in model.encode(x))
    edges = norm.ppf(np.arange(2**bits + 1) / 2**bits)
    q = np.diff(norm.cdf(edges, mu[0], math.exp(log_var[0] / 2)))
    return sum(p * by_hand(model, x, np.array([i]), bits)[0] for i, p in enumerate(q) if p > 1e-12)


@pytest.mark.parametrize("bits", [1, 4])
def test_the_mean_length_over_stacks_is_the_expectation_by_enumeration(bits):
    """Its lowest 24 bits decide what is popped: of all their values every 2^13-th."""
    model, x, grown = tiny(), images(1, 4, seed=1), []
    for low in range(2**12, 2**24, 2**13):
        coder = AnsCoder(np.array([low + 2**30, 12345], np.uint32))
        before = n_bits(coder)
        push(coder, model, x, bits)
        grown.append(n_bits(coder) - before)
    assert len({round(g, 3) for g in grown}) > 1
    assert np.mean(grown) == pytest.approx(expected_bits(model, x, bits), abs=0.01)


def test_finer_buckets_lead_to_the_elbo():
    model, x = mlp_vae(4, 6, 1, bernoulli, seed=4), images(1, 4, seed=1)
    with torch.no_grad():
        mu, log_var = (part.double().item() for part in model.encode(x))

    def integrand(z):
        q = norm(mu, math.exp(log_var / 2))
        with torch.no_grad():
            logits = model.decode(torch.tensor([[z]]).float()).double()
        log_x = Bernoulli(logits=logits).log_prob(x.double()).sum().item()
        return q.pdf(z) * (q.logpdf(z) - norm.logpdf(z) - log_x)

    elbo_bits = quad(integrand, mu - 8, mu + 8, epsabs=1e-6, limit=200)[0] / math.log(2)
    lost = [expected_bits(model, x, bits) - elbo_bits for bits in (2, 4, 6, 9)]
    for coarse, fine in pairwise(lost):
        assert abs(fine) < abs(coarse) / 3
    assert abs(lost[-1]) < 1e-3 < abs(lost[0])


def test_an_archive_is_as_long_as_the_elbo_of_its_images(trained):
    """Five standard errors of the single draws; and hardly anything beside them but the header and the first z."""
    model, x = trained
    with torch.no_grad():
        terms = [elbo_terms(model, x, eps=eps[None], analytic_kl=False).elbo for eps in draws(50, len(x), 6)]
    per_image = -torch.stack(terms).double() / math.log(2)
    archive = compress(model, x)
    n_header = len(archive) - 4 * n_words(archive)
    measured, elbo = 32 * n_words(archive), per_image.mean(0).sum()
    first_z = 6 * 10
    stderr = per_image.var(0).sum().sqrt()
    assert abs(measured - first_z / 2 - 16 - elbo) < 5 * stderr + first_z / 2 + 16
    assert n_header < 130
    assert torch.equal(decompress(model, archive), x)


def draws(k, b, latent_dim):
    return torch.randn(k, b, latent_dim, generator=seeded(7))


def n_words(archive):
    size = coding.HEADER.size
    return (len(archive) - size - archive[size - 1] - 8) // 4


def test_the_first_image_alone_pays_for_its_z(trained):
    """Growing symbols pop only what is there: the archive is no longer than images pushed onto a full stack."""
    model, x = trained
    coder, n = AnsCoder(a_stack(1000)), 0
    before = n_bits(coder)
    for start, end in pairwise([*chain(*coding._starts(len(x))), len(x)]):
        push(coder, model, x[start:end], 10)
        n += 1
    full = n_bits(coder) - before
    archived = n_bits(AnsCoder(np.frombuffer(compress(model, x)[-8 - 4 * n_words(compress(model, x)) : -8], "<u4")))
    assert 20 < n < len(x)
    assert abs(archived - full) < 200  # of 8,000: another draw of every z, and one z of 60 bits


def test_one_image_alone_costs_its_z_and_its_pixels(trained):
    """By the equation of the joint, at the mean of q; the coder's first 24 bits and the last word may be lost.

    Were z popped from nothing, it would fit no image, which would cost twice as much.
    """
    model, x = trained
    for image in x[:20].split(1):
        with torch.no_grad():
            mu, _ = model.encode(image)
            log_x = Bernoulli(logits=model.decode(mu).double()).log_prob(image.double()).sum().item()
        expected = 6 * 10 - log_x / math.log(2)
        assert expected < 32 * n_words(compress(model, image)) < expected + 24 + 32


# Archives


X = images(3)
ARCHIVE = compress(MODEL, X, bits=4)


def signed(body):
    return body + hashlib.sha256(body).digest()[:8]


def forged(**fields):
    """The archive with other fields and the right checksum, as only somebody who knows the format writes it."""
    names = "magic", "bits", "n", "x_dim", "weights", "probe", "digest", "length"
    header = dict(zip(names, coding.HEADER.unpack_from(ARCHIVE), strict=True))
    rest = fields.pop("rest", ARCHIVE[coding.HEADER.size : -8])
    return signed(coding.HEADER.pack(*(header | fields).values()) + rest)


def test_the_archive_that_is_not_changed_is_read():
    assert torch.equal(decompress(MODEL, ARCHIVE), X) and forged() == ARCHIVE


def test_every_flipped_bit_and_every_changed_byte_is_refused():
    for i in range(len(ARCHIVE)):
        for other in (*(1 << bit for bit in range(8)), 0xFF):
            changed = bytearray(ARCHIVE)
            changed[i] ^= other
            with pytest.raises(ArchiveError, match="the archive (was not written by compress|is damaged or cut short)"):
                decompress(MODEL, bytes(changed))


def test_every_truncation_and_every_addition_is_refused():
    for length in range(len(ARCHIVE)):
        for cut in (ARCHIVE[:length], ARCHIVE[len(ARCHIVE) - length :]):
            with pytest.raises(ArchiveError):
                decompress(MODEL, cut)
    for more in (b"\0", b"\0\0\0\0", b"\1\0\0\0", ARCHIVE):
        with pytest.raises(ArchiveError, match="damaged or cut short"):
            decompress(MODEL, ARCHIVE + more)


@pytest.mark.parametrize("other", [
    mlp_vae(D, 8, L, bernoulli, seed=1),
    scaled(mlp_vae(D, 8, L, bernoulli, seed=1), 3.0).double(),
    mlp_vae(D + 1, 8, L, bernoulli, seed=1),
    mlp_vae(D, 9, L, bernoulli, seed=1),
    mlp_vae(D, 8, L + 1, bernoulli, seed=1),
])  # fmt: skip
def test_another_model_is_refused(other):
    with pytest.raises(ArchiveError, match="another model: its weights are not those of this one"):
        decompress(other, ARCHIVE)


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_one_changed_weight_is_another_model(part):
    other = scaled(mlp_vae(D, 8, L, bernoulli, seed=1), 3.0)
    assert torch.equal(decompress(other, ARCHIVE), X)
    with torch.no_grad():
        weight = getattr(other, part)[0].weight
        weight[0, 0] = torch.nextafter(weight[0, 0], torch.tensor(9.0))
    with pytest.raises(ArchiveError, match="another model"):
        decompress(other, ARCHIVE)


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_the_same_weights_that_compute_other_numbers_are_refused(part):
    """As on a machine whose kernels round otherwise: here by a rounding of 1e-6."""
    other = scaled(mlp_vae(D, 8, L, bernoulli, seed=1), 3.0)
    network = getattr(other, part)
    network.register_forward_hook(lambda module, inputs, output: output * (1 + 1e-6))
    with pytest.raises(ArchiveError, match=r"other numbers here, torch .*, than where .*, torch .*threads \d+"):
        decompress(other, ARCHIVE)


@pytest.mark.parametrize("change, said", [
    (dict(n=4), "does not give back"),
    (dict(n=1000), "does not give back"),
    (dict(n=2), "does not give back"),
    (dict(n=1), "does not give back"),
    (dict(n=2**32 - 1), "header says what none does"),
    (dict(n=0), "header says what none does"),
    (dict(bits=0), "header says what none does"),
    (dict(bits=17), "header says what none does"),
    (dict(bits=255), "header says what none does"),
    (dict(bits=5), "other numbers"),
    (dict(x_dim=D - 1), "another model"),
    (dict(x_dim=2**32 - 1), "header says what none does"),
    (dict(weights=bytes(8)), "another model"),
    (dict(probe=bytes(8)), "other numbers"),
    (dict(digest=bytes(8)), "does not give back"),
    (dict(digest=coding.HEADER.unpack_from(compress(MODEL, 1 - X, bits=4))[6]), "does not give back"),
    (dict(rest=b"\xff" + ARCHIVE[coding.HEADER.size + 1 : -8]), "header says what none does"),
    (dict(length=255), "header says what none does"),
    (dict(length=0), "header says what none does|does not give back"),  # by the length of the text
    (dict(rest=ARCHIVE[coding.HEADER.size : -9]), "header says what none does"),
    (dict(rest=b"", length=0), "header says what none does"),
    (dict(rest=ARCHIVE[coding.HEADER.size : -8] + bytes(4)), "header says what none does"),
    (dict(rest=ARCHIVE[coding.HEADER.size : -8] + b"\1\0\0\0"), "does not give back"),
    (dict(rest=ARCHIVE[coding.HEADER.size : -12]), "does not give back|none does"),
])  # fmt: skip
def test_a_forged_archive_is_refused(change, said):
    with pytest.raises(ArchiveError, match=said):
        decompress(MODEL, forged(**change))


def test_more_pixels_than_the_archive_can_hold_are_refused_at_once():
    start, most = time.perf_counter(), 2**19 * (len(ARCHIVE) - 8) // D
    with pytest.raises(ArchiveError, match="header says what none does"):
        decompress(MODEL, forged(n=most + 1))
    assert time.perf_counter() - start < 5
    with pytest.raises(ArchiveError, match="another model"):  # one less is not refused for its number
        decompress(mlp_vae(D, 8, L, bernoulli, seed=0), forged(n=most))


def test_an_archive_on_top_of_something_else_is_refused(monkeypatch):
    """The images come back, but something is left that `compress` did not begin with."""
    first, empty = iter([AnsCoder(np.array([7], np.uint32))]), coding._empty
    monkeypatch.setattr(coding, "_empty", lambda: next(first, None) or empty())
    archive = compress(MODEL, X, bits=4)
    with pytest.raises(ArchiveError, match="does not give back"):
        decompress(MODEL, archive)


def test_the_header_says_where_it_was_written():
    for word in (f"torch {torch.__version__}", "constriction ", ", cpu, ", f"threads {torch.get_num_threads()}"):
        assert word.encode() in ARCHIVE


def test_an_archive_is_the_same_in_another_process():
    code = (
        "import sys; sys.path[:0] = ['.', 'tests/package']\nimport test_coding as t\nsys.stdout.buffer.write(t.ARCHIVE)"
    )
    root = Path(__file__).parents[2]
    path = [str(root / "tests"), *sys.path]
    run = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path}\n{code}"], cwd=root, capture_output=True
    )
    assert run.returncode == 0, run.stderr.decode()
    assert run.stdout == ARCHIVE and torch.equal(decompress(MODEL, run.stdout), X)


# What is refused


@pytest.mark.parametrize("x, error, said", [
    (images(2) * 0.5, ValueError, "x must hold only 0 and 1; draw them with datasets.binarize"),
    (images(2) * 2.0, ValueError, "only 0 and 1"),
    (images(2)[0], ValueError, r"x must have shape \(B, D\)"),
    (images(0), ValueError, "no empty one"),
    (images(2).int(), TypeError, "x must hold floating-point numbers"),
    (images(2).double(), ValueError, "x of shape .* does not fit the network"),
    (images(2, D + 1), ValueError, "does not fit the network"),
    (images(2) * math.nan, ValueError, "x must be finite"),
    (X.numpy(), TypeError, "x must be a torch.Tensor"),
])  # fmt: skip
def test_other_images_are_refused(x, error, said):
    with pytest.raises(error, match=said):
        compress(MODEL, x)


@pytest.mark.parametrize("bits", [0, 17, -1, 2.0, True, None])
def test_other_bits_are_refused(bits):
    for call in (
        lambda: compress(MODEL, X, bits=bits),
        lambda: bucket_centers(bits),
        lambda: posterior_weights(torch.zeros(1), torch.zeros(1), bits),
        lambda: pop(AnsCoder(a_stack(9)), MODEL, 1, bits),
        lambda: push(AnsCoder(a_stack(9)), MODEL, X, bits, bits_back=False),
    ):
        with pytest.raises(ValueError, match="bits must be"):
            call()


@pytest.mark.parametrize("other", [
    mlp_vae(D, 8, L, normal(0.0), seed=0),
    mlp_vae(D, 8, L, bernoulli, seed=0, prior=Gaussian(L)),
    mlp_vae(D, 8, L, bernoulli, seed=0, posterior=PlanarFlow(L, 2, seed=0)),
])  # fmt: skip
def test_models_with_other_distributions_are_refused(other):
    said = "must have the likelihood bernoulli, the prior standard_normal and the posterior diagonal, got "
    for call in (lambda: compress(other, X), lambda: decompress(other, ARCHIVE)):
        with pytest.raises(TypeError, match=said):
            call()


def test_what_is_no_model_or_no_archive_is_refused():
    with pytest.raises(TypeError, match="model must be a VAE"):
        compress(MODEL.decoder, X)
    for archive in (list(ARCHIVE), "VAE", None):
        with pytest.raises(TypeError, match="archive must be bytes"):
            decompress(MODEL, archive)
    with pytest.raises(ValueError, match="n must be an integer"):
        pop(AnsCoder(), MODEL, 0, 4)
    for n in (7, 45):
        with pytest.raises(ArchiveError, match="does not begin as one"):
            decompress(MODEL, b"\x89PNG\r\n\x1a" * n)


def test_a_network_that_gives_nan_is_named():
    encoder = nn.Sequential(nn.Linear(D, 2 * L), nn.Softplus())
    with torch.no_grad():
        encoder[0].bias.fill_(math.nan)
    with pytest.raises(ValueError, match="mu must be finite"):
        compress(VAE(encoder, nn.Linear(L, D), L, bernoulli), images(2))


def test_a_missing_coder_is_named_with_its_remedy():
    code = "import sys; sys.modules['constriction'] = None\nimport vae_tutorial.coding"
    root = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert 'it comes with the extra "coding": pip install "vae_tutorial[coding]"' in run.stderr
