"""Auto-Encoding Variational Bayes: stochastic gradient ascent on the ELBO."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from vae_tutorial._extra import of_the_chapters
from vae_tutorial._restoring import restoring
from vae_tutorial._validation import require_count, require_number, require_positive, require_seed
from vae_tutorial.bounds import elbo_terms
from vae_tutorial.checkpoints.files import CheckpointError
from vae_tutorial.history import History
from vae_tutorial.models import VAE, require_vae
from vae_tutorial.schedules import Schedule
from vae_tutorial.training.arguments import checked_schedule, require_alike, require_objective, require_trainable
from vae_tutorial.training.device import compiled, cpu_threads, in_bfloat16, moved, require_device, require_threads
from vae_tutorial.training.examples import Data, examples
from vae_tutorial.training.held_out import mean_terms
from vae_tutorial.training.hints import Hints, remedy
from vae_tutorial.training.identity import architecture, identity
from vae_tutorial.training.launch import join
from vae_tutorial.training.run import Run
from vae_tutorial.training.step import Objective, take_step

with of_the_chapters():
    from tqdm import tqdm


def fit(
    model: VAE,
    x_train: Data,
    x_val: Data | None = None,
    *,
    epochs: int,
    seed: int,
    batch_size: int = 128,
    lr: float | Schedule = 1e-3,
    beta: float | Schedule = 1.0,
    n_samples: int = 1,
    objective: Objective = elbo_terms,
    average: float = 0.0,
    max_grad_norm: float | None = None,
    patience: int | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    callback: Callable[[History], object] | None = None,
    compile: bool = False,
    bfloat16: bool = False,
    threads: int = 1,
    device: torch.device | str | None = None,
    progress: bool = True,
) -> History:
    r"""Train a VAE by Auto-Encoding Variational Bayes (Kingma and Welling, 2014, Algorithm 1), with Adam.

    For each minibatch of M examples: draw :math:`\varepsilon`, estimate both terms of the ELBO by ``objective``, follow
    the gradient of log-likelihood − :math:`\beta` · KL in :math:`\theta` and :math:`\phi`. With :math:`\beta = 1` the
    loss is the minibatch mean of −ELBO; N times it is an unbiased estimate of −ELBO of the whole training set, the
    paper's N/M factor times a sum over M examples.

    Ctrl-C (or a notebook's stop button) ends training early: the model keeps the steps it has taken and the history
    its finished epochs. So does an error. A step is taken only with finite terms and a finite gradient; one that is
    refused leaves batch statistics as they were, too.

    Under ``torchrun --nproc-per-node P script.py``, where the script calls ``fit`` as ever, P processes train one model
    by PyTorch's ``DistributedDataParallel``, over gloo on CPUs and NCCL on GPUs. ``batch_size`` is then M of all of
    them together: each has its own share of every minibatch. An objective that takes its noise as ``eps``, as the
    package's do, gets that of a single process, so that the run is the single one's up to rounding; any other draws
    noise of its own on each. Rank 0 alone writes the checkpoint, calls ``callback`` and speaks. What stops one process,
    an error or Ctrl-C, stops all at the same step. Batch statistics would be a share's alone, and are refused.

    A likely mistake that is no error is said once, as a ``UserWarning`` with its remedy: a sigmoid before a likelihood
    that takes logits, an activation on the encoder's log-variances, columns that were not scaled, labels for x, a
    learned variance that falls without end.

    Args:
        model: the VAE; trained in place.
        x_train: training examples: a tensor or a NumPy array of shape (N, D), a file mapped into memory included; a
            tuple of such an x and more with the same first axis; or a ``torch.utils.data.Dataset`` of their rows.
        x_val: held-out examples, likewise, measured after every epoch; never trained on.
        epochs: passes over ``x_train``.
        seed: fixes the order of the examples and the noise: same seed, same machine, same bits. Layers that draw from
            PyTorch's global state, such as dropout, are not covered.
        batch_size: M, the number of examples in a minibatch.
        lr: Adam's learning rate; a positive number, or a function of the step (see `vae_tutorial.schedules`).
        beta: the weight of the KL term; a number of at least 0, or a function of the step.
        n_samples: K, noise draws per example and step; the paper calls it L.
        objective: ``objective(model, x, n_samples, generator=...)`` gives the `ElboTerms` of a minibatch. Where the
            examples have more parts than x, they come in order: ``objective(model, x, y, n_samples, generator=...)``.
        average: the decay d, from 0 to below 1, of an exponential average of the weights over the steps,
            :math:`\bar\theta_t = d \, \bar\theta_{t-1} + (1 - d) \, \theta_t`, divided by :math:`1 - d^t` since it
            starts at 0 (Kingma and Ba, 2015, section 7.2). Validation takes the average, and the model ends with it;
            training never sees it. 0 leaves it out.
        max_grad_norm: scale a gradient that is longer than this down to it (Pascanu et al., 2013).
        patience: stop after so many epochs in a row without a better validation ELBO; the model ends with the weights
            of the best epoch.
        checkpoint: a file that holds, after every epoch, all that is needed to go on.
        resume: go on from ``checkpoint`` where it exists: on the same machine, with as many ``threads`` and processes,
            to the bits of an uninterrupted run. The model, the data and the arguments must be the same, except for
            ``epochs``, ``callback``, ``device``, ``threads``, ``progress`` and the weights that the model comes with.
            Of a ``Dataset`` the first and the last example are compared; of modules class and attributes; of an
            objective its code and what it holds, not the functions it calls; of schedules the values where epochs
            start.
        callback: called with the history after every epoch, for a log of your own, such as
            ``lambda history: print(history.elbo[-1], file=log)``.
        compile: let ``torch.compile`` make one graph of the objective, which must take its noise as ``eps``. It takes a
            minute and, on a CPU, a C++ compiler. What only values can tell, such as gray pixels for a Bernoulli, is
            then noticed by no check.
        bfloat16: let the networks compute in bfloat16, for large ones on GPUs that are made for it. Weights, noise,
            the terms of the ELBO and validation stay in the precision they have.
        threads: how many CPU threads PyTorch uses meanwhile. Two or more wait for each other at every operation, and
            unless ``OMP_WAIT_POLICY=passive`` was in the environment when PyTorch was imported they wait spinning: next
            to another busy process a run then takes 10 times as long, or more. With one it gets its share.
        device: where to train; `best_device` when left out. The model returns to its own device afterwards.
        progress: show a progress bar.

    Returns:
        The `History`, that of the epochs before a resumption included.

    Raises:
        TypeError: ``model`` is no `VAE`, ``x_train`` or ``x_val`` is none of these, does not hold floating-point
            numbers, or has parts that the objective does not take; ``objective`` gives no `ElboTerms`; a number or
            ``seed`` is not one.
        RuntimeError: another process of the run has failed; the message says which, and how.
        ValueError: a shape or value is not valid, or not the same in all processes, the device is not at hand, nothing
            can be trained; or, with its epoch and batch, a term or a gradient stopped being finite: the model then
            keeps the steps before that batch, the checkpoint the epochs before.
        CheckpointError: ``checkpoint`` cannot be written, is damaged, exists without ``resume``, or belongs to another
            run; the message names the argument that differs.

    Example:
        >>> from vae_tutorial.likelihoods import bernoulli
        >>> from vae_tutorial.models import mlp_vae
        >>> x = torch.tensor([[0.0, 1.0, 1.0]]).repeat(64, 1)
        >>> model = mlp_vae(3, 8, 2, bernoulli, seed=0)
        >>> how = dict(epochs=20, lr=0.01, progress=False)
        >>> history = fit(model, x, seed=1, **how)
        >>> history.elbo[-1] > history.elbo[0]
        True
    """
    require_vae(model)
    train, val = examples("x_train", x_train), None if x_val is None else examples("x_val", x_val)
    require_count(epochs=epochs, batch_size=batch_size, n_samples=n_samples)
    epochs, batch_size, n_samples = int(epochs), int(batch_size), int(n_samples)  # NumPy's, which JSON cannot hold
    seed, threads = require_seed(seed=seed), require_threads(threads)
    require_objective("x_train", train, objective, n_samples=n_samples)
    if val is not None:
        require_alike(train, val)
    lr, beta = checked_schedule(lr=lr), checked_schedule(beta=beta)
    average = require_number(average=average)
    if not 0 <= average < 1:
        raise ValueError(f"average must be at least 0 and below 1, got {average!r}")
    max_grad_norm = None if max_grad_norm is None else require_positive(max_grad_norm=max_grad_norm)
    if patience is not None:
        require_count(patience=patience)
        patience = int(patience)
        if val is None:
            raise ValueError("patience needs x_val, whose ELBO it watches")
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be a function of the history, got {callback!r}")
    if compile and bfloat16:
        raise ValueError("compile and bfloat16 exclude each other: leave one out")
    if resume and checkpoint is None:
        raise ValueError("resume needs checkpoint, the file to go on from")
    require_trainable(model, bfloat16=bfloat16)
    ranks = join()
    device = require_device(ranks.place(device), model)

    if checkpoint is not None and not Path(checkpoint).parent.is_dir():
        raise CheckpointError(f"{checkpoint} cannot be written: there is no folder {Path(checkpoint).parent}")
    if checkpoint is not None and Path(checkpoint).is_dir():
        folder = Path(checkpoint).absolute()
        raise CheckpointError(f"checkpoint must be a file, got the folder {folder}; name a file in it")
    if checkpoint is not None and Path(checkpoint).exists() and not resume:
        raise CheckpointError(f"{checkpoint} exists: go on from it with resume=True, or delete it")

    ranks.require_alike(
        model, {"x_train": train, "x_val": val}, device, objective, seed=seed, epochs=epochs, batch_size=batch_size,
        n_samples=n_samples, average=average, max_grad_norm=max_grad_norm, patience=patience,
        compile=bool(compile), bfloat16=bool(bfloat16),
    )  # fmt: skip
    n_batches = math.ceil(len(train) / batch_size)
    fixed: dict[str, Any] = {}  # what resuming must not change
    if checkpoint is not None:
        fixed = dict(
            x_train=train.fingerprint(), x_val=val.fingerprint() if val else None, seed=seed, batch_size=batch_size,
            n_samples=n_samples, objective=identity(objective, model), average=average, max_grad_norm=max_grad_norm,
            patience=patience, compile=bool(compile), bfloat16=bool(bfloat16), model=architecture(model),
        )  # fmt: skip
    at_starts: dict[str, list[float]] = {"lr": [], "beta": []}

    def rates(step: int) -> tuple[float, float]:
        """Both schedules, each called once for every step, in order: one that has a memory remembers what it should."""
        now = lr(step), beta(step)
        if step % n_batches == 0:
            for values, value in zip(at_starts.values(), now, strict=True):
                values.append(value)
        return now

    def replayed(n_epochs: int) -> dict[str, list[float]]:
        """What the schedules say at the starts of so many epochs that were trained before."""
        for step in range(n_epochs * n_batches):
            rates(step)
        return at_starts

    train, val = train.to(device), val.to(device) if val else None
    in_training = compiled(objective) if compile else in_bfloat16(objective) if bfloat16 else objective
    hints = Hints(model, objective)

    def train_epoch(run: Run, epoch: int) -> list[float]:
        """One pass over the training set; gives the averages of both terms."""
        totals, mine = [0.0, 0.0], ranks.trained(in_training, model)
        order = torch.randperm(len(train), generator=run.generator).to(device)
        model.train()
        for batch, rows in enumerate(order.split(batch_size), start=1):
            now = 0.0
            try:
                with ranks.together():
                    x = train.take(ranks.share(rows))
                    if epoch == 1 and batch == 1 and ranks.rank == 0:
                        hints.before(x[0])
                    now, weight = rates(run.n_steps)
                    if batch == 1:
                        ranks.require_equal(lr=now, beta=weight)
                    for group in run.optimizer.param_groups:
                        group["lr"] = now
                    sums = take_step(
                        model, run.optimizer, *x, generator=run.generator, objective=mine,
                        n_samples=n_samples, beta=weight, max_grad_norm=max_grad_norm,
                    )  # fmt: skip
                    run.count_step()
            except ValueError as error:
                advice = remedy(error, x[0], now) if now else ""  # no rate: it is a schedule that failed
                raise ValueError(f"epoch {epoch}, batch {batch}: {error}{advice}") from error
            totals = [total + value for total, value in zip(totals, sums, strict=True)]
        with ranks.together():
            if ranks.rank == 0:
                hints.after(x[0], epoch)
        return [total / len(train) for total in ranks.total(totals)]

    def validate(run: Run, epoch: int) -> tuple[float, ...]:
        if val is None:
            return ()
        try:  # dropout off, and batch statistics left alone: nothing is learned from x_val
            return mean_terms(run.result(), val, n_samples, seed=seed, objective=objective, ranks=ranks)
        except ValueError as error:
            raise ValueError(f"epoch {epoch}, validation: {error}") from error

    history = History()
    try:
        with (
            tqdm(total=epochs, unit="epoch", disable=not progress or ranks.rank > 0) as bar,
            torch.inference_mode(False),
            torch.enable_grad(),
            cpu_threads(threads),
            moved(model, device),
            ranks.listening(),
        ):
            run = Run(model, seed=seed, average=average, patience=patience)
            with ranks.together():
                if checkpoint is not None and Path(checkpoint).exists():
                    run.restore(checkpoint, fixed, replayed, n_batches=n_batches)
            ranks.require_same(run.n_steps, checkpoint)
            history = run.history
            bar.initial = bar.n = len(history.elbo)
            start = time.perf_counter() - (history.seconds[-1] if history.seconds else 0.0)
            with restoring(run.finish):
                while len(history.elbo) < epochs and not run.out_of_patience():
                    epoch = len(history.elbo) + 1
                    trained, validated = train_epoch(run, epoch), validate(run, epoch)
                    history.append(*trained, *validated, seconds=time.perf_counter() - start)
                    run.keep_if_best()
                    with ranks.together():
                        if checkpoint is not None and ranks.rank == 0:
                            run.save(checkpoint, fixed | {name: values[:epoch] for name, values in at_starts.items()})
                        if callback is not None and ranks.rank == 0:
                            callback(history)
                    bar.update()
                    bar.set_postfix_str(f"ELBO {(history.val_elbo or history.elbo)[-1]:.2f} nats")
    except KeyboardInterrupt:
        history.interrupted = True
    return history
