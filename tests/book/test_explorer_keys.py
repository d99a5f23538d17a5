"""The explorer of keys: Threefry to the bit, the draws of jax.random, and what the mean of four loops is worth."""

import math

import numpy as np
import pytest
import torch
from driving import close, curve, explorer, move, rows, values
from scipy.special import erfinv

from vae_tutorial.gaussian import reparameterize

N_SEEDS, LONGEST = 256, 64
LOOPS = ["key, own = split(key)", "own = split(key, K)[k]", "own, _ = split(key)", "own = key"]
ALL = 2**32 - 1
# From the file kat_vectors of Random123, of 20 rounds: the count, the key, what comes out.
PUBLISHED = [
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    ((ALL, ALL), (ALL, ALL), (0x1CB996FC, 0xBB002BE7)),
    ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
]


# Threefry


@pytest.mark.parametrize("count, key, out", PUBLISHED)
def test_the_published_vectors(tab, count, key, out):
    assert tab.evaluate("([k, x]) => Explorers.threefry.mixed(k, x)", [key, count]) == [*out]


@pytest.fixture(scope="module")
def jax():
    return pytest.importorskip("jax", reason='no JAX: its keys were NOT compared; pip install "vae_tutorial[jax]"')


def some_keys(jax):
    """Keys of small seeds, and keys of which both words are large: 500 children of one."""
    return jax.numpy.concatenate([jax.vmap(jax.random.key)(np.arange(20)), jax.random.split(jax.random.key(3), 500)])


def words(jax, keys) -> list[list[int]]:
    return jax.random.key_data(keys).tolist()


def test_keys_are_those_of_jax(tab, jax):
    keys = words(jax, some_keys(jax))
    assert tab.evaluate("Array.from({ length: 20 }, (_, seed) => Explorers.threefry.fromSeed(seed))") == keys[:20]
    script = "([keys, n]) => keys.map(key => Array.from({ length: n }, (_, i) => Explorers.threefry.child(key, i)))"
    for n in (2, 9):
        children = jax.vmap(lambda key, n=n: jax.random.split(key, n))(some_keys(jax))
        assert tab.evaluate(script, [keys, n]) == words(jax, children)


def test_bits_uniform_and_normal_numbers_are_those_of_jax(tab, jax):
    with jax.enable_x64(True):
        keys = some_keys(jax)
        bits = jax.vmap(lambda key: jax.random.bits(key, (), "uint64"))(keys)
        uniform = jax.vmap(lambda key: jax.random.uniform(key, (), "float64"))(keys)
        normal = np.asarray(jax.vmap(lambda key: jax.random.normal(key, (), "float64"))(keys))
    both = [[bits >> 32, bits & ALL] for bits in bits.tolist()]
    found = tab.evaluate("keys => keys.map(key => Explorers.threefry.mixed(key, [0, 0]))", words(jax, keys))
    assert found == both
    assert tab.evaluate("keys => keys.map(Explorers.threefry.uniform)", words(jax, keys)) == uniform.tolist()
    found = rows(tab, "keys => keys.map(Explorers.threefry.normal)", words(jax, keys))
    assert np.abs(normal).max() > 2.5 and equal_but_for_rounding(found, normal)


def equal_but_for_rounding(found, normal) -> bool:
    """But for 32 roundings of erf at its value, about 1: a quantile moves by as much over the density there."""
    found, normal = np.asarray(found), np.asarray(normal)
    allowed = 32 * 2**-53 * np.sqrt(np.pi / 2) * np.exp(normal**2 / 2)
    return found.shape == normal.shape and bool((np.abs(found - normal) <= allowed).all())


def test_normal_numbers_are_quantiles(tab):
    keys = [[i, 7 * i + 1] for i in range(3000)]
    uniform = rows(tab, "keys => keys.map(Explorers.threefry.uniform)", keys).numpy()
    assert 0.45 < uniform.mean() < 0.55 and uniform.min() < 1e-3
    found = rows(tab, "keys => keys.map(Explorers.threefry.normal)", keys)
    assert equal_but_for_rounding(found, math.sqrt(2) * erfinv(2 * uniform - 1 + 2**-53))


def test_the_ends_of_the_uniform_numbers_have_a_quantile(tab):
    ends = np.array([0, 2**-52, 1 - 2**-52])
    found = rows(tab, "ends => ends.map(Explorers.threefry.quantile)", ends.tolist())
    assert equal_but_for_rounding(found, math.sqrt(2) * erfinv(2 * ends - 1 + 2**-53))


# The loops


def in_jax(jax, loop: str, seed: int, K: int) -> tuple[list[list[int]], list[float]]:
    """The program as it stands on its button, run by Python."""
    split, normal = jax.random.split, jax.random.normal
    names = dict(key=jax.random.key(seed), split=split, K=K)
    own, noise = [], []
    for k in range(K):
        names["k"] = k
        exec(loop, names)
        own.append(jax.random.key_data(names["own"]).tolist())
        noise.append(float(normal(names["own"], (), "float64")))
    return own, noise


@pytest.mark.parametrize("loop", LOOPS)
def test_the_loops_are_those_of_jax(tab, jax, loop):
    with jax.enable_x64(True):
        own, noise = in_jax(jax, loop, 5, 11)
    assert tab.evaluate("loop => Explorers.keys.keys(loop, 5, 11)", loop) == own
    assert equal_but_for_rounding(drawn(tab, loop, 5, 11) - 1, noise)


def drawn(tab, loop: str, seed: int, K: int) -> np.ndarray:
    return drawn_of_seeds(tab, loop, [seed], K)[0]


def drawn_of_seeds(tab, loop: str, seeds: list[int], K: int) -> np.ndarray:
    script = "([loop, seeds, K]) => seeds.map(seed => Explorers.keys.draws(Explorers.keys.keys(loop, seed, K)))"
    return rows(tab, script, [loop, seeds, K]).numpy()


def test_a_draw_is_the_gradient_that_the_caption_names(tab):
    noise = torch.tensor(drawn(tab, LOOPS[0], 2, 8) - 1)
    mu = torch.zeros(8, 1, dtype=torch.float64, requires_grad=True)
    z = reparameterize(mu, torch.full_like(mu, math.log(0.25)), noise[:, None])
    (gradient,) = torch.autograd.grad(((z + 0.5) ** 2).sum(), mu)
    assert close(drawn(tab, LOOPS[0], 2, 8), gradient[:, 0], 1e-15)


@pytest.mark.parametrize("loop", LOOPS)
def test_the_error_is_measured_and_is_what_it_should_be(tab, loop):
    assert tab.evaluate("Object.keys(Explorers.keys.LOOPS)") == LOOPS
    all_draws = drawn_of_seeds(tab, loop, [*range(N_SEEDS)], LONGEST)
    rounds = np.arange(1, LONGEST + 1)
    errors = np.sqrt(np.mean((np.cumsum(all_draws, 1) / rounds - 1) ** 2, 0))
    measured = rows(tab, "loop => Explorers.keys.measured(loop)", loop).numpy()
    assert close(measured, errors, 1e-12)
    script = "loop => Array.from({ length: 64 }, (_, k) => Explorers.keys.error(Explorers.keys.keys(loop, 0, k + 1)))"
    exact = 1 / np.sqrt(rounds) if loop in LOOPS[:2] else np.ones(LONGEST)
    assert close(rows(tab, script, loop), exact, 1e-15)
    assert (np.abs(measured / exact - 1) < 5 / math.sqrt(2 * N_SEEDS)).all()


def test_what_the_draws_claim(tab):
    for loop in LOOPS[:2]:
        draws = drawn(tab, loop, 4, 9)
        claimed = tab.evaluate("values => Explorers.keys.claim(values)", draws.tolist())
        assert claimed == pytest.approx(draws.std(ddof=1) / 3, abs=1e-14)
    assert tab.evaluate("values => Explorers.keys.claim(values)", [0.7] * 8) == pytest.approx(0, abs=1e-15)
    assert close(rows(tab, "Explorers.keys.means([3, -1, 0.5])"), [3, 1, 2.5 / 3], 1e-15)


# The page


@pytest.mark.parametrize("loop, K, bet, words", [
    (LOOPS[0], 1, None, "One round, one draw: −0.40, off by 1.40. Its standard error is 1 in all four loops."),
    (LOOPS[0], 64, "1", "64 keys, 64 numbers: the mean is 1.11, off by 0.11. Standard error: 1/√64 = 0.125; the draws"),
    (LOOPS[1], 64, None, "64 keys, 64 numbers: the mean is"),
    (LOOPS[2], 64, "1", "You were right. split changes nothing: key stays, and own with it. 64 times the draw 2.88"),
    (LOOPS[2], 64, "1/8", "Not as you bet. split changes nothing"),
    (LOOPS[2], 64, "0", "Not as you bet. split changes nothing"),
    (LOOPS[2], 63, "1", "split changes nothing: key stays, and own with it. 63 times"),
    (LOOPS[3], 64, "1", "One key. 64 times the draw 0.79, off by 0.21. They agree, and claim no error at all; it is 1"),
])  # fmt: skip
def test_what_is_said(tab, loop, K, bet, words):
    script = "([loop, K, bet]) => Explorers.keys.verdict(loop, Explorers.keys.keys(loop, 0, K), bet)"
    assert tab.evaluate(script, [loop, K, bet]).startswith(words)


def test_a_bet_shows_64_rounds_and_the_keys_move_the_sliders(tab):
    found = explorer(tab, "keys")
    said, tables = found.get_by_role("status"), found.locator("table")
    press = lambda name: found.get_by_role("button", name=name, exact=True).click()  # noqa: E731
    dots = lambda: found.locator(".draws").get_attribute("d").count("M")  # noqa: E731
    assert said.inner_text().startswith("8 keys, 8 numbers") and dots() == 8
    for repeating in LOOPS[2:]:
        press(repeating)
        assert said.inner_text().startswith("Bet first") and dots() == 1
        mean, claimed, exact, measured = values(tables.last)
        assert math.isnan(claimed) and exact == 1 and 0.8 < measured < 1.2
        assert mean == drawn(tab, repeating, 0, 1)[0]
    press("0")
    assert said.inner_text().startswith("Not as you bet") and dots() == 64
    assert found.get_by_role("button", name=LOOPS[2], exact=True).get_attribute("aria-pressed") == "true"
    assert tables.first.locator(".hex").all_inner_texts() == ["6b200159 99ba4efe"] * 4
    slider = found.get_by_role("slider", name="Number of rounds")
    for _ in range(61):
        slider.press("ArrowLeft")
    assert dots() == 3 and tables.first.locator(".hex").all_inner_texts() == ["6b200159 99ba4efe"] * 3 + ["–"]
    press(LOOPS[1])
    found.get_by_role("slider", name="Seed of the first key").press("ArrowRight")
    draws = drawn(tab, LOOPS[1], 1, 3)
    assert close(values(tables.first)[:3], draws - 1, 1e-15) and math.isnan(values(tables.first)[3])
    expected = [draws.mean(), draws.std(ddof=1) / math.sqrt(3), 1 / math.sqrt(3)]
    assert close(values(tables.last)[:3], expected, 1e-15)
    assert values(tables.last)[3] == tab.evaluate("loop => Explorers.keys.measured(loop)[2]", LOOPS[1])
    keys = tab.evaluate("loop => Explorers.keys.keys(loop, 1, 3)", LOOPS[1])
    assert tables.first.locator(".hex").all_inner_texts()[:3] == [f"{a:08x} {b:08x}" for a, b in keys]


def test_the_drawing_is_where_the_numbers_say(tab):
    found = explorer(tab, "keys")
    found.get_by_role("button", name=LOOPS[0], exact=True).click()
    move(found, "Seed of the first key", 3)
    move(found, "Number of rounds", 9)
    draws = drawn(tab, LOOPS[0], 3, 9)
    rounds = np.arange(1, 10)
    across = 38 + 312 / 65 * rounds
    shown = found.locator(".draws").get_attribute("d").replace("h0", "").replace("M", " ").split()
    shown = np.array(shown, dtype=float).reshape(-1, 2)
    height = lambda value: 10 + 160 / 8 * (5 - value)  # noqa: E731
    assert close(shown, np.stack([across, height(draws)], 1), 0.006)
    running = curve(found.locator(".wide svg").first.locator(".curve:not(.exact)"))
    assert close(running, np.stack([across, height(np.cumsum(draws) / rounds)], 1), 0.006)
    assert close(curve(found.locator(".curve.exact"))[:, 1], [height(1), height(1)], 0.006)
    errors = found.locator(".wide svg.inside").last
    height = lambda value: 170 - 160 / 1.6 * value  # noqa: E731
    exact = curve(errors.locator(".curve:not(.score)"))
    assert close(exact, np.stack([across, height(1 / np.sqrt(rounds))], 1), 0.006)
    claimed = [draws[:k].std(ddof=1) / math.sqrt(k) for k in rounds[1:]]
    assert close(curve(errors.locator(".curve.score")), np.stack([across[1:], height(np.array(claimed))], 1), 0.006)
    rings = curve(errors.locator(".mark"))
    measured = rows(tab, "loop => Explorers.keys.measured(loop)", LOOPS[0]).numpy()[[0, 1, 3, 7]]
    assert close(rings, np.stack([across[[0, 1, 3, 7]] - 3, height(measured)], 1), 1e-9)


def test_no_draw_leaves_the_axes(tab):
    """Of all seeds that the slider has."""
    for loop in LOOPS:
        assert np.abs(drawn_of_seeds(tab, loop, [*range(21)], LONGEST) - 1).max() < 4
