"""The explorer of bits back: its coder against the integers themselves, its costs against torch's distributions."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from driving import close, curve, explorer, number, values
from playwright.sync_api import Page
from torch.distributions import Categorical, kl_divergence

M = 16
P_Z = [5, 11]
P_X = [[2, 4, 10], [9, 6, 1]]
Q_Z = [[3, 13], [6, 10], [15, 1]]
ANSWERS = "nothing", "1 bit: z is one of two", "the entropy of q(z | x)"


def owned(y: int, f: list[int], n: int) -> list[int]:
    """The first n whole numbers that belong to y, counted one by one."""
    owner = [symbol for symbol, count in enumerate(f) for _ in range(count)]
    return [s for s in range(M * (n // f[y] + 1)) if owner[s % M] == y][:n]


def distribution(*counts) -> Categorical:
    return Categorical(torch.tensor(counts, dtype=torch.float64))


# The coder


@pytest.mark.parametrize("f", [P_Z, *P_X, *Q_Z])
def test_a_push_leads_to_the_number_of_that_rank_and_a_pop_back(tab, f):
    script = """([f, n]) => f.map((_, y) => Array.from({ length: n }, (_, s) => {
        const { put, take } = Explorers.bits_back;
        const pushed = put(BigInt(s), y, f);
        const [rest, popped] = take(pushed, f);
        return [Number(pushed), Number(rest), popped];
    }))"""
    for y, found in enumerate(tab.evaluate(script, [f, 60])):
        assert found == [[pushed, s, y] for s, pushed in enumerate(owned(y, f, 60))]


@pytest.mark.parametrize("power", [0, 3, 51, 52, 53, 200, 3000])
def test_the_length_of_a_number_of_any_size(tab, power):
    s = 3**power + 12
    assert tab.evaluate("s => Explorers.bits_back.bits(BigInt(s))", str(s)) == pytest.approx(math.log2(s), rel=1e-13)


def test_the_stack_is_random_and_the_images_are_the_models(tab):
    script = """seeds => seeds.map(seed => {
        const { images, stack } = Explorers.bits_back.source(seed);
        return [stack.toString(2), images];
    })"""
    found = tab.evaluate(script, list(range(1, 101)))
    assert {len(stack) for stack, _ in found} == {201} and {stack[0] for stack, _ in found} == {"1"}
    ones = sum(stack[1:].count("1") for stack, _ in found)
    assert abs(ones - 10_000) < 5 * math.sqrt(20_000 / 4)
    counts = np.bincount([x for _, images in found for x in images], minlength=3)
    shares = np.array([5 * a + 11 * b for a, b in zip(*P_X, strict=True)]) / 256
    assert (np.abs(counts - 30_000 * shares) < 5 * np.sqrt(30_000 * shares * (1 - shares))).all()


SEND = """([n, seed]) => {
    const { back, forward, source } = Explorers.bits_back;
    const { stack, images } = source(seed);
    let state = { s: stack, done: 0 };
    const stacks = [stack];
    for (let i = 0; i < 3 * n; i++) { state = forward(state, images[Math.floor(i / 3)]); stacks.push(state.s); }
    const read = [], undone = [];
    for (let i = 0; i < 3 * n; i++) {
        const { s, done } = state;
        state = back({ s, done, ...(done ? { z: state.z } : {}), ...(done === 1 ? { x: state.x } : {}) });
        undone.push(state.s);
        if (state.done === 1) read.push(state.x);
    }
    return { images: images.slice(0, n), stacks: stacks.map(String), undone: undone.map(String), read };
}"""


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_reader_who_knows_only_the_stack_has_images_and_stack(tab, seed):
    found = tab.evaluate(SEND, [300, seed])
    assert found["read"] == found["images"][::-1] and found["undone"] == found["stacks"][-2::-1]
    stacks = [int(s) for s in found["stacks"]]
    for x, (start, popped, image, end) in zip(
        found["images"], zip(stacks[::3], stacks[1::3], stacks[2::3], stacks[3::3], strict=False), strict=True
    ):
        mixed = start - start % M + (start % M ^ start // 2**64 % M)  # in the low digit alone
        z = int(mixed % M >= Q_Z[x][0])
        steps = [(popped, start, Q_Z[x][z]), (popped, image, P_X[z][x]), (image, end, P_Z[z])]
        for low, high, count in steps:  # the exact growth is -log2 of the probability, but for the last digits
            assert abs(Fraction(low * M, high * count) - 1) < Fraction(1, 2**60)


def test_many_images_cost_the_elbo_and_what_is_pushed_alone_costs_more(tab):
    """10,200 images and five standard errors, for each x."""
    script = """() => {
        const { back, bits, forward, source } = Explorers.bits_back;
        const costs = [[], [], []];
        for (let seed = 1; seed <= 34; seed++) {
            const { stack, images } = source(seed);
            let state = { s: stack, done: 0 };
            for (const x of images) {
                const lengths = [bits(state.s)];
                for (let i = 0; i < 3; i++) lengths.push(bits((state = forward(state, x)).s));
                costs[x].push([lengths[3] - lengths[0], lengths[3] - lengths[1]]);
            }
        }
        return costs;
    }"""
    for x, rows in enumerate(tab.evaluate(script)):
        rows = np.array(rows)
        errors = rows.std(0) / math.sqrt(len(rows))
        exact = [tab.evaluate(f"x => Explorers.bits_back.{name}(x)", x) for name in ("negativeElbo", "pushed")]
        assert len(rows) > 2000 and (np.abs(rows.mean(0) - exact) < 5 * errors).all()


# The exact costs


def test_the_exact_costs_are_those_of_torchs_distributions(tab):
    prior, decoder = distribution(*P_Z), distribution(*P_X)
    log_joint = prior.logits[:, None] + decoder.logits  # (z, x)
    log_x = log_joint.logsumexp(0)
    gaps = []
    for x in range(3):
        q, posterior = distribution(*Q_Z[x]), Categorical(logits=log_joint[:, x])
        gaps.append(kl_divergence(q, posterior))
        elbo = q.probs @ decoder.logits[:, x] - kl_divergence(q, prior)
        script = "x => ['evidence', 'negativeElbo', 'entropyOfQ', 'pushed'].map(name => Explorers.bits_back[name](x))"
        bits = torch.stack([-elbo, q.entropy(), q.entropy() - elbo]) / math.log(2)
        assert close(tab.evaluate(script, x), [log_x[x].exp(), *bits], 1e-12)
    entropy = Categorical(logits=log_x).entropy() / math.log(2)
    assert tab.evaluate("Explorers.bits_back.entropy") == pytest.approx(entropy.item(), rel=1e-12)
    gap = (log_x.exp() @ torch.stack(gaps) / math.log(2)).item()
    assert tab.evaluate("Explorers.bits_back.average(Explorers.bits_back.negativeElbo)") == pytest.approx(
        entropy.item() + gap, rel=1e-12
    )


def test_costs_are_means_over_whole_images(tab):
    lengths = [100, 97, 103, 104, 102, 104, 105, 104]  # two images, and one under way
    found = tab.evaluate("lengths => Explorers.bits_back.costs(lengths)", lengths)
    assert found == [dict(images=1, back=4, without=7), dict(images=2, back=2.5, without=5)]
    assert tab.evaluate("Explorers.bits_back.costs([100, 97, 98])") == []


# The explorer


def press(found, *names: str) -> str:
    for name in names:
        found.get_by_role("button", name=name, exact=True).click()
    return found.get_by_role("status").inner_text()


def bars(found) -> list[list[float]]:
    """Where each bar begins on the left, and its length, in bits."""
    places = found.locator("rect").evaluate_all("all => all.map(n => ['x', 'width'].map(a => +n.getAttribute(a)))")
    return [[(x - 10) * 9 / 340 - 5, width * 9 / 340] for x, width in places]


def fresh(tab: Page):
    tab.reload()
    tab.wait_for_selector(".explorer-bits_back .explorer-live")
    return explorer(tab, "bits_back")


def test_an_image_goes_step_by_step_and_comes_back(tab):
    found = fresh(tab)
    images, stacks = (tab.evaluate(SEND, [1, 1])[name] for name in ("images", "stacks"))
    lengths = [math.log2(int(s)) for s in stacks]
    x, grown = images[0], np.diff(lengths)
    z = int(round(2 ** grown[0] * M) != Q_Z[x][0])
    names = ["pops", f"q(z | x = {x})", Q_Z[x][z]], ["pushes", f"p(x | z = {z})", P_X[z][x]], ["pushes", "p(z)", P_Z[z]]
    for i, (verb, name, count) in enumerate(names):
        what = f"x = {x}" if i == 1 else f"z = {z}"
        assert press(found, "step") == (
            f"The sender {verb} {what} with {name}, where it has {count} of 16. "
            f"The stack is {abs(grown[i]):.2f} bits {'longer' if grown[i] > 0 else 'shorter'}."
        )
        drawn = bars(found)
        ends = [sorted(lengths[j : j + 2]) for j in range(i + 1)]
        assert close([row[0] for row in drawn[: i + 1]], [low - lengths[0] for low, _ in ends], 1e-9)
        assert close([row[1] for row in drawn], [high - low for low, high in ends] + [0] * (2 - i), 1e-9)
        assert values(found)[1] == pytest.approx(lengths[i + 1])
    assert values(found)[2] == pytest.approx(grown.sum())
    expected = tab.evaluate("x => Explorers.bits_back.negativeElbo(x)", x)
    at = 10 + (expected + 5) * 340 / 9
    assert found.locator(".aim").get_attribute("d").startswith(f"M{at:.6f}"[:8])
    for i, (verb, name, count) in reversed(list(enumerate(names))):
        back = "pushes" if verb == "pops" else "pops"
        assert press(found, "step back") == (
            f"The reader {back} {f'x = {x}' if i == 1 else f'z = {z}'} with {name}, where it has {count} of 16. "
            f"The stack is {abs(grown[i]):.2f} bits {'shorter' if grown[i] > 0 else 'longer'}. "
            "As it was before the sender's step."
        )
        assert values(found)[1] == pytest.approx(lengths[i])
    assert "200 random bits" in press(found, "step back")


def test_many_images_are_sent_and_read(tab):
    found = fresh(tab)
    press(found, "step")
    for n in (100, 200, 300, 300):
        said = press(found, "100 images")
        assert (
            said.startswith(f"{n} images at {values(found)[2]:.2f} bits each. The mean settles")
            and values(found)[0] == n
        )
    lengths = [math.log2(int(s)) for s in tab.evaluate(SEND, [300, 1])["stacks"]]
    assert values(found)[1:3] == pytest.approx([lengths[-1], (lengths[-1] - lengths[0]) / 300])
    drawn = curve(found.locator(".curve.q"))
    n = np.arange(1, 301)
    costs = (np.array(lengths[3::3]) - lengths[0]) / n
    places = np.stack([38 + n * 312 / 300, 280 - (costs - 1) * 270 / 2], -1)
    assert np.abs(drawn - places).max() < 0.00501
    last = np.diff(lengths[-4:])
    assert close([width for _, width in bars(found)], np.abs(last), 1e-9)
    press(found, "step back", "step back")  # the last image is under way again
    assert close([width for _, width in bars(found)], [abs(last[0]), 0, 0], 1e-9)
    press(found, "step", "step")
    assert "full" in press(found, "step")
    assert press(found, "read all") == (
        "300 images read, the last one first. The stack is the number that it was, to the last bit."
    )
    assert values(found)[0] == 0 and found.locator(".curve.q").get_attribute("d") == ""
    assert "200 random bits" in press(found, "read all")


def test_what_the_bet_is_on_is_hidden_until_it_is_made(tab):
    found = fresh(tab)
    press(found, "100 images")
    assert np.isnan(values(found)[4:6]).all() and found.locator(".curve.all").get_attribute("d") == ""
    assert found.get_by_text("without bits back", exact=True).is_hidden()
    for answer in ANSWERS:
        said = press(found, answer)
        start = "You were right" if answer == ANSWERS[2] else "Not as you bet"
        assert said.startswith(f"{start}: 0.70 bits, the mean entropy of q(z | x).")
    lengths = np.log2([float(int(s)) for s in tab.evaluate(SEND, [100, 1])["stacks"]])
    assert values(found)[4] == pytest.approx((lengths[3::3] - lengths[1::3][: len(lengths[3::3])]).mean())
    entropies = [distribution(*q).entropy().item() / math.log(2) for q in Q_Z]
    mean = np.array([109, 86, 61]) @ entropies / 256
    assert values(found)[5] - values(found)[3] == pytest.approx(mean) and f"{mean:.2f}" == "0.70"
    mark = found.get_by_text("without bits back", exact=True)
    assert mark.is_visible()
    assert number(mark, "y") == pytest.approx(280 - (values(found)[5] - 1) * 270 / 2 + 16)
    assert curve(found.locator(".curve.all"))[-1, 1] == pytest.approx(280 - (values(found)[4] - 1) * 270 / 2, abs=0.01)


def test_keys_press_the_buttons(tab):
    found = fresh(tab)
    found.get_by_role("button", name="step", exact=True).focus()
    tab.keyboard.press("Enter")
    assert found.get_by_role("status").inner_text().startswith("The sender pops z")
