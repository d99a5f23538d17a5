"""Runs that lose nothing: what is refused is refused before training, by its name, and leaves all as it was."""

import math
import threading
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from vae_tutorial.bounds import ElboTerms, elbo, elbo_terms, iwae_terms
from vae_tutorial.checkpoints import CheckpointError
from vae_tutorial.checkpoints.files import read, write
from vae_tutorial.likelihoods import bernoulli, continuous_bernoulli, normal
from vae_tutorial.models import VAE, mlp_vae
from vae_tutorial.priors import Gaussian
from vae_tutorial.training import evaluate, fit, take_step

D, L = 3, 2
X = (torch.rand(10, D, generator=torch.Generator().manual_seed(0)) > 0.4).float()
X_VAL = (torch.rand(7, D, generator=torch.Generator().manual_seed(1)) > 0.4).float()


def small_vae(likelihood=bernoulli, seed=0, **how):
    return mlp_vae(D, 6, L, likelihood, seed=seed, **how)


def train(model, x=X, x_val=X_VAL, **how):
    how = dict(epochs=2, seed=5, batch_size=4, device="cpu", progress=False, lr=0.01) | how
    return fit(model, x, x_val, **how)


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same_bits(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def modes(model):
    return [module.training for module in model.modules()]


# Going on with something else


class Weighted:
    def __init__(self, weight):
        self.weight = weight

    def __call__(self, *arguments, **how):
        log_likelihood, kl = elbo_terms(*arguments, **how)
        return ElboTerms(log_likelihood, self.weight * kl)


def scaled(scale, *arguments, **how):
    log_likelihood, kl = elbo_terms(*arguments, **how)
    return ElboTerms(log_likelihood, scale.mean() * kl)


def of(objective):
    return dict(objective=objective)


LONG = torch.ones(5000)
OTHERS = {
    "variance": (lambda: small_vae(normal(0.0)), lambda: small_vae(normal(-2.0)), {}, {}, "model, VAE was .*log_var=0"),
    "likelihood": (small_vae, lambda: small_vae(continuous_bernoulli), {}, {}, "model, VAE was .*bernoulli"),
    "activation": (small_vae, lambda: small_vae(activation=nn.Tanh), {}, {}, "model, encoder.1 was .*ReLU.*Tanh"),
    "prior": (small_vae, lambda: small_vae(prior=Gaussian(L)), {}, {}, "model, prior was .*StandardNormal.*Gauss"),
    "layer": (small_vae, lambda: mlp_vae(D, (6, 6), L, bernoulli, seed=0), {}, {}, "model, encoder.2 was .*, is "),
    "lambda": (
        small_vae,
        small_vae,
        of(lambda m, x, n, generator: elbo_terms(m, x, n, generator=generator)),
        of(lambda m, x, n, generator: iwae_terms(m, x, n, generator=generator)),
        "objective was .*<lambda> of code",
    ),
    "attribute": (small_vae, small_vae, of(Weighted(1.0)), of(Weighted(5.0)), r"objective was .*=1.0.*, is .*=5.0"),
    "tensor": (
        small_vae,
        small_vae,
        of(partial(scaled, LONG)),
        of(partial(scaled, torch.cat([LONG[:1000], 9 * LONG[:3000], LONG[:1000]]))),
        r"objective was .*scaled.*\(5000,\) with SHA-256",
    ),
}  # fmt: skip


@pytest.mark.parametrize("first, then, how, other, message", OTHERS.values(), ids=OTHERS.keys())
def test_another_model_or_objective_is_refused_by_name(tmp_path, first, then, how, other, message):
    train(first(), checkpoint=tmp_path / "run", **how)
    model = then().train()
    before, mode = state(model), modes(model)
    with pytest.raises(CheckpointError, match=f"run belongs to another run: {message}"):
        train(model, checkpoint=tmp_path / "run", resume=True, epochs=4, **other)
    assert same_bits(state(model), before) and modes(model) == mode


def test_equal_objects_go_on(tmp_path):
    how = dict(checkpoint=tmp_path / "run", resume=True)
    for epochs in (2, 4):
        objective = partial(scaled, torch.full((3,), 0.5))
        assert len(train(small_vae(seed=epochs), epochs=epochs, objective=objective, **how).elbo) == epochs


def shorter(name):
    return lambda tensors, content: tensors.update({name: tensors[name].flatten()[:1]})


def of_dtype(name, dtype):
    return lambda tensors, content: tensors.update({name: tensors[name].to(dtype)})


def without(name):
    return lambda tensors, content: tensors.pop(name)


def with_content(**changes):
    return lambda tensors, content: content.update(changes)


DAMAGES = {
    "first moment": (
        shorter("optimizer.0.exp_avg"),
        r"optimizer.0.exp_avg was '\(1,\) float32', is '\(6, 3\) float32'",
    ),
    "second moment": (shorter("optimizer.6.exp_avg_sq"), "optimizer.6.exp_avg_sq was"),
    "its dtype": (of_dtype("optimizer.0.exp_avg", torch.int8), r"optimizer.0.exp_avg was '\(6, 3\) int8'"),
    "step": (of_dtype("optimizer.1.step", torch.float64), r"optimizer.1.step was '\(\) float64', is '\(\) float32'"),
    "step missing": (without("optimizer.1.step"), "optimizer.1.step was None"),
    "moments of no weight": (
        lambda tensors, content: tensors.update({"optimizer.99.exp_avg": torch.ones(1)}),
        "optimizer.99.exp_avg was",
    ),
    "moments of no number": (
        lambda tensors, content: tensors.update({"optimizer.x.y": torch.ones(1)}),
        "optimizer.x.y was",
    ),
    "average": (shorter("average.encoder.0.weight"), "average.encoder.0.weight was"),
    "average missing": (without("average.encoder.0.weight"), "average.encoder.0.weight was None"),
    "best": (of_dtype("best.decoder.0.bias", torch.float64), "best.decoder.0.bias was .*float64"),
    "best missing": (without("best.decoder.0.bias"), "best.decoder.0.bias was None"),
    "weight": (shorter("model.encoder.0.weight"), "belongs to another model: encoder.0.weight was"),
    "generator": (shorter("generator.state"), "generator.state was"),
    "generator's dtype": (of_dtype("generator.state", torch.int64), "generator.state was .* int64"),
    "generator missing": (without("generator.state"), "generator.state was None"),
    "no state of a generator": (
        lambda tensors, content: tensors.update({"generator.state": torch.full_like(tensors["generator.state"], 255)}),
        "holds no state of a generator",
    ),
    "another tensor": (lambda tensors, content: tensors.update({"code": torch.ones(1)}), "holds a tensor code, which"),
    "steps": (with_content(n_steps=7), "holds 7 steps, which should be 6"),
    "steps of a billion": (with_content(n_steps=10**18), "steps, which should be 6"),
    "no number of steps": (with_content(n_steps="6"), "holds no number of steps, '6'"),
    "steps true": (with_content(n_steps=True), "holds no number of steps, True"),
    "settings": (with_content(settings=[]), "or no settings"),
    "a setting less": (
        lambda tensors, content: content["settings"].pop("model"),
        "does not say its model: .* train again",
    ),
    "lr of no epoch": (lambda tensors, content: content["settings"].update(lr=[]), r"lr was \[\], is \[0.01, 0.01\]"),
    "history": (with_content(history={}), "does not hold a history"),
    "kind": (with_content(kind="dance"), "does not hold a run"),
    "a key more": (with_content(code="print()"), "does not hold a run"),
    "a key less": (lambda tensors, content: content.pop("n_steps"), "does not hold a run"),
}


@pytest.mark.parametrize("damage, message", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_file_that_no_run_wrote_is_refused_before_anything_is_loaded(tmp_path, damage, message):
    path, how = tmp_path / "run", dict(average=0.5, patience=5)
    train(small_vae(), checkpoint=path, **how)
    tensors, content = read(path)
    damage(tensors, content)
    write(path, tensors, content)
    model = small_vae(seed=9)
    before = state(model)
    with pytest.raises(CheckpointError, match=message):
        train(model, checkpoint=path, resume=True, epochs=4, **how)
    assert same_bits(state(model), before) and model.training


@pytest.mark.parametrize("content", [[], {}, 7, None, "run"])
def test_a_file_with_another_content_is_refused(tmp_path, content):
    write(tmp_path / "run", {"model.x": torch.ones(1)}, content)
    with pytest.raises(CheckpointError, match="does not hold a run|was not written by this package"):
        train(small_vae(), checkpoint=tmp_path / "run", resume=True)


def test_weights_without_a_gradient_have_no_moments_and_go_on(tmp_path):
    def frozen():
        model = small_vae()
        model.encoder.requires_grad_(False)
        return model

    reference = train(whole := frozen(), epochs=4)
    train(frozen(), checkpoint=tmp_path / "run")
    history = train(model := frozen(), checkpoint=tmp_path / "run", resume=True, epochs=4)
    assert history.elbo == reference.elbo and same_bits(state(model), state(whole))


class Remembering:
    """A rate that depends on how often it was asked."""

    def __init__(self, value):
        self.value = value

    def __call__(self, step):
        self.value *= 0.9
        return self.value


def test_a_schedule_with_a_memory_trains_the_same_with_a_checkpoint_and_in_two_parts(tmp_path):
    def how():
        return dict(lr=Remembering(0.1), beta=Remembering(1.0))

    reference = train(plain := small_vae(), epochs=4, **how())
    train(with_file := small_vae(), epochs=4, checkpoint=tmp_path / "whole", **how())
    train(small_vae(), epochs=1, checkpoint=tmp_path / "parts", **how())
    history = train(parts := small_vae(), epochs=4, checkpoint=tmp_path / "parts", resume=True, **how())
    assert same_bits(state(plain), state(with_file)) and same_bits(state(plain), state(parts))
    assert history.elbo == reference.elbo


# Arguments


def test_numbers_of_numpy_are_numbers(tmp_path):
    how = dict(
        epochs=2, seed=5, batch_size=4, n_samples=1, patience=3, average=0.5, max_grad_norm=1.0, lr=0.01, beta=1.0
    )
    types = dict.fromkeys(how, np.int64) | dict(
        average=np.float64, max_grad_norm=np.float32, lr=np.float64, beta=np.int8
    )
    train(plain := small_vae(), checkpoint=tmp_path / "plain", threads=1, **how)
    given = {name: types[name](value) for name, value in how.items()}
    train(model := small_vae(), checkpoint=tmp_path / "numpy", threads=np.int64(1), **given)
    assert same_bits(state(plain), state(model))
    train(model, checkpoint=tmp_path / "numpy", resume=True, **how)
    assert evaluate(model, X, np.int64(2), seed=np.int64(3), batch_size=np.int32(4)) == evaluate(
        model, X, 2, seed=3, batch_size=4
    )


@pytest.mark.parametrize(
    "how, error, message",
    [
        (dict(seed=None), TypeError, "seed must be an integer, such as seed=0, got None"),
        (dict(seed=1.5), TypeError, "seed must be an integer, such as seed=0, got 1.5"),
        (dict(seed="7"), TypeError, "seed must be an integer, such as seed=0, got '7'"),
        (dict(seed=True), TypeError, "seed must be an integer, such as seed=0, got True"),
        (dict(seed=2**64), ValueError, r"seed must lie between -2\*\*63 and 2\*\*64 - 1, got 18446744073709551616"),
        (dict(lr=True), TypeError, "lr must be one finite number, got True"),
        (dict(lr=None), TypeError, "lr must be one finite number, got None"),
        (dict(beta=np.True_), TypeError, "beta must be one finite number, got .*True"),
        (dict(average=None), TypeError, "average must be one finite number, got None"),
        (dict(average=False), TypeError, "average must be one finite number, got False"),
        (dict(max_grad_norm=True), TypeError, "max_grad_norm must be one finite number, got True"),
        (dict(threads=10**6), ValueError, r"threads must be at most \d+, got 1000000; more than there are cores"),
        (dict(threads=True), ValueError, "threads must be an integer of at least 1, got True"),
        (dict(device="meta"), ValueError, 'device and model must hold numbers, and "meta" holds none'),
        (dict(device="gpu"), ValueError, 'device must be one such as "cpu", "cuda" or "mps", got \'gpu\''),
        (dict(device=1.5), ValueError, "device must be one such as .* got 1.5"),
        (dict(callback="print"), TypeError, "callback must be a function of the history, got 'print'"),
        (dict(objective="elbo"), TypeError, "objective must be a function, such as .*elbo_terms, got 'elbo'"),
        (dict(objective=None), TypeError, "objective must be a function, .* got None"),
        (dict(x_val=torch.arange(7)), TypeError, r"x_val must hold.*looks like labels, shape \(7,\) from 0 to 6"),
        (dict(x_val=np.arange(7.0)), TypeError, r"x_val must hold examples.*looks like labels, shape \(7,\)"),
        (dict(x_val=torch.arange(7.0)[:, None]), ValueError, r"x_val must have the 3 columns.*it looks like labels"),
        (dict(x=X.reshape(10, 1, 3)), ValueError, r"x_train must have shape \(B, D\).*give x_train.flatten\(1\)"),
        (dict(x=X[0] + 0.5), ValueError, r"x_train must have shape \(B, D\).*give x_train\[None\]"),
        (dict(x=list(X)), TypeError, r"x_train must be .* got list; give torch.stack\(x_train\)"),
        (dict(x=torch.utils.data.DataLoader(X)), TypeError, "x_train must be .* got DataLoader; give its dataset"),
    ],
)  # fmt: skip
def test_bad_arguments_are_named_before_training(how, error, message):
    def never(*arguments, generator):
        raise AssertionError("trained")

    model = small_vae()
    with pytest.raises(error, match=f"^{message}"):
        train(model, **dict(objective=never) | how)
    assert same_bits(state(model), state(small_vae())) and model.training


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_at_hand_is_named():
    with pytest.raises(ValueError, match="^device 'cuda' is not at hand: "):
        train(small_vae(), device="cuda")


def nothing_to_train():
    class Half(nn.Module):
        def forward(self, x):
            return x[:, [0, 1, 0, 1]]

    return VAE(Half(), nn.Identity(), L, normal(0.0))


def in_inference_mode():
    with torch.inference_mode():
        return small_vae()


MODELS = {
    "no parameters": (nothing_to_train, {}, "model must have parameters to train, and its networks have none"),
    "frozen": (lambda: small_vae().requires_grad_(False), {}, r"model must have parameters.*requires_grad_\(\)"),
    "float64": (lambda: small_vae().double(), dict(bfloat16=True), "bfloat16 does nothing for a model in float64"),
    "on meta": (lambda: small_vae().to("meta"), {}, 'device and model must hold numbers, and "meta" holds none'),
    "in inference mode": (in_inference_mode, {}, r"model was made inside torch.inference_mode\(\)"),
}  # fmt: skip


@pytest.mark.parametrize("make, how, message", MODELS.values(), ids=MODELS.keys())
def test_a_model_that_cannot_be_trained_is_told_why(make, how, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        train(make(), **how)


def test_a_model_on_two_devices_is_refused():
    model = small_vae()
    model.encoder.to("meta")
    with pytest.raises(ValueError, match="^model must lie on one device, it lies on cpu, meta"):
        train(model)


class Pair(nn.Module):
    """The usual encoder of tutorials."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(D, L), nn.Linear(D, L)

    def forward(self, x):
        return self.a(x), self.b(x)


@pytest.mark.parametrize("call", [train, lambda model: evaluate(model, X, seed=0)], ids=["fit", "evaluate"])
@pytest.mark.parametrize(
    "make, message",
    [
        (Pair, r"model must be a VAE, got Pair; make one of its two networks: VAE\(encoder, decoder"),
        (lambda: nn.DataParallel(small_vae()), "model must be a VAE, got DataParallel around one: give model.module"),
        (lambda: None, "model must be a VAE, got NoneType"),
        (
            lambda: VAE(Pair(), nn.Linear(L, D), L, bernoulli),
            r"the encoder must give one floating-point tensor, got tuple; end .*torch.cat\(\[mu, log_var\], -1\)",
        ),
    ],
)
def test_what_is_no_vae_is_told_the_remedy(make, message, call):
    with pytest.raises(TypeError, match=f"^{message}"):
        call(make())


def test_an_encoder_of_a_pair_is_told_the_remedy_in_bfloat16_too():
    with pytest.raises(TypeError, match="the encoder must give one floating-point tensor, got tuple"):
        train(VAE(Pair(), nn.Linear(L, D), L, bernoulli), bfloat16=True)


def terms_of(change):
    return lambda *arguments, **how: change(elbo_terms(*arguments, **how))


OBJECTIVES = {
    "tuple": (
        terms_of(tuple),
        TypeError,
        "objective must give ElboTerms of two tensors, got tuple; end it with return",
    ),
    "scalar": (terms_of(lambda t: -t.elbo.mean()), TypeError, r"objective must give .*, got a tensor of shape \(\)"),
    "nothing": (terms_of(lambda t: None), TypeError, "objective must give .*, got NoneType"),
    "numbers": (terms_of(lambda t: ElboTerms(1.0, 2.0)), TypeError, "objective must give .*, got ElboTerms"),
    "detached": (
        terms_of(lambda t: ElboTerms(*(v.detach() for v in t))),
        ValueError,
        "epoch 1, batch 1: the objective has no gradient: it was detached",
    ),
    "without the model": (
        lambda m, x, n, generator: ElboTerms(*(torch.zeros(len(x), requires_grad=True) for _ in "ab")),
        ValueError,
        "epoch 1, batch 1: the objective has no gradient with respect to the model's parameters",
    ),
}


@pytest.mark.parametrize("objective, error, message", OBJECTIVES.values(), ids=OBJECTIVES.keys())
def test_an_objective_that_cannot_be_followed_is_told_why(objective, error, message):
    with pytest.raises(error, match=f"^{message}"):
        train(small_vae(), objective=objective)


class Looked(nn.Module):
    """A layer with sparse gradients."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(2, 2 * L, sparse=True)

    def forward(self, x):
        return self.table(x.long()).mean(1)


@pytest.mark.parametrize("how", [{}, dict(max_grad_norm=1.0)], ids=str)
def test_a_sparse_gradient_is_refused_with_the_reason(how):
    model = VAE(Looked(), nn.Linear(L, D), L, bernoulli)
    with pytest.raises(TypeError, match="^the gradient with respect to encoder.table.weight is sparse.*sparse=False"):
        train(model, **how)
    assert same_bits(state(model), state(model))


# What is left as it was


def test_x_gets_no_gradient():
    x, x_val = X.clone().requires_grad_(), X_VAL.clone().requires_grad_()
    train(small_vae(), x, x_val)
    evaluate(small_vae(), x, seed=0)
    assert x.grad is None and x_val.grad is None and x.requires_grad


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_a_run_is_the_same_where_gradients_are_off(context):
    train(plain := small_vae())
    with context():
        train(model := plain_copy())
        assert not torch.is_grad_enabled() and torch.is_inference_mode_enabled() == (context is torch.inference_mode)
    assert same_bits(state(plain), state(model))


def plain_copy():
    with torch.inference_mode(False):
        return small_vae()


def with_statistics():
    torch_state = torch.get_rng_state()
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(D, 8), nn.BatchNorm1d(8), nn.Linear(8, 2 * L))
    model = VAE(encoder, nn.Linear(L, D), L, normal(0.0))
    torch.set_rng_state(torch_state)
    return model


@pytest.mark.parametrize("how", [{}, dict(average=0.9)], ids=str)
def test_a_refused_step_leaves_batch_statistics_as_they_were(how):
    x = torch.randn(64, D, generator=torch.Generator().manual_seed(0))
    x[50] = 3e38
    model = with_statistics()
    with pytest.raises(ValueError, match=r"^epoch 1, batch \d: .* must be finite"):
        fit(model, x, epochs=2, seed=1, batch_size=16, progress=False, **how)
    assert all(value.isfinite().all() for value in model.state_dict().values())
    assert elbo(model, x[:4]).isfinite().all()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_step_that_fails_changes_nothing_at_all(error):
    def failing(*arguments, **how):
        elbo_terms(*arguments, **how)
        raise error

    model = with_statistics()
    model.encoder.register_buffer("seen", torch.zeros(()))
    model.encoder.register_forward_hook(lambda module, *_: setattr(module, "seen", module.seen + 1))
    optimizer, before, kept = torch.optim.Adam(model.parameters()), state(model), model.encoder.seen
    with pytest.raises(error):
        take_step(model, optimizer, X, generator=torch.Generator(), objective=failing)
    assert same_bits(state(model), before) and model.encoder.seen is kept
    take_step(model, optimizer, X, generator=torch.Generator())
    assert not same_bits(state(model), before) and model.encoder.seen == 1


def test_evaluate_is_the_same_in_either_mode_and_changes_none():
    model = VAE(
        nn.Sequential(nn.Linear(D, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2 * L)),
        nn.Sequential(nn.Linear(L, 8), nn.Dropout(0.5), nn.Linear(8, D)),
        L,
        bernoulli,
    )
    model.decoder[1].eval()
    before, mode, random_state = state(model), modes(model), torch.get_rng_state()
    first = evaluate(model, X, 3, seed=0)
    assert modes(model) == mode and same_bits(state(model), before) and torch.equal(torch.get_rng_state(), random_state)
    assert evaluate(model.eval(), X, 3, seed=0) == first and math.isfinite(first[0])
    assert not any(modes(model))


def test_runs_in_threads_have_the_bits_of_runs_one_after_the_other():
    def run(seed):
        model = small_vae(seed=seed)
        history = train(model, seed=seed, average=0.5, epochs=5)
        return history.elbo, history.val_elbo, state(model), evaluate(model, X, seed=seed)

    expected, found = [run(seed) for seed in range(4)], {}
    threads = [threading.Thread(target=lambda s=seed: found.update({s: run(s)})) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in range(4):
        *numbers, weights, measured = found[seed]
        assert (*numbers, measured) == (*expected[seed][:2], expected[seed][3]) and same_bits(
            weights, expected[seed][2]
        )
