"""A learning rate to begin with: the loss of a model while its learning rate grows from step to step."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_dnn import ops
from tinygrad_dnn.checks import as_integer, as_number
from tinygrad_dnn.data import ArrayBatches, Batch, is_arrays
from tinygrad_dnn.diagnostics.snapshot import Snapshot
from tinygrad_dnn.interruption import BetweenSteps
from tinygrad_dnn.models import Model


@dataclass(frozen=True)
class LearningRateCurve:
    """What ``lr_finder`` returns: the loss at each learning rate.

    Attributes:
        learning_rates: The learning rate of each step, (steps made,).
        losses: The loss of each step's batch before its update, (steps made,); the last may be infinite or NaN.
        smoothed: Their exponential average, corrected for its start, (steps made,).
        suggestion: The learning rate where ``smoothed`` falls most steeply per power of ten; None where it never falls.
        diverged: Whether the loss grew so much, or became so little a number, that the sweep ended early.

    Example:
        >>> rates, losses = np.logspace(-4, 0, 5), np.array([2.0, 1.9, 1.0, 0.9, 4.0])
        >>> td.diagnostics.LearningRateCurve(rates, losses, losses, rates[2], True).suggestion
        np.float64(0.01)
    """

    learning_rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    suggestion: float | None
    diverged: bool

    def plot(self, target: Any = None) -> Any:
        """Draw the curve and the suggestion, the learning rate on a logarithmic axis.

        Args:
            target: Matplotlib axes to draw on, or the path of a picture to write (.png, .svg, .pdf).

        Returns:
            The axes.

        Raises:
            ImportError: Matplotlib is not installed.
        """
        axes, path = target, None
        if target is None or isinstance(target, (str, os.PathLike)):
            try:
                from matplotlib.figure import Figure
            except ImportError as error:
                raise ImportError("drawing needs matplotlib: pip install 'tinygrad-dnn[plot]'.") from error
            axes, path = Figure(figsize=(7, 4), layout="constrained").add_subplot(), target
        axes.plot(self.learning_rates, self.losses, color="0.8", label="loss of the batch")
        axes.plot(self.learning_rates, self.smoothed, label="smoothed")
        if self.suggestion is not None:
            axes.axvline(self.suggestion, color="C3", linestyle="--", label=f"suggestion: {self.suggestion:.1e}")
        axes.set(xscale="log", xlabel="learning rate", ylabel="loss")
        finite = self.losses[np.isfinite(self.losses)]
        if finite.size:
            # Up to twice the fall of the loss: the last, exploding ones would press the rest of the curve flat.
            low, first = finite.min(), self.smoothed[0]
            axes.set_ylim(low - 0.05 * (first - low) - 1e-12, first + (first - low) + 1e-12)
        axes.legend()
        if path is not None:
            axes.figure.savefig(path)
        return axes


def lr_finder(
    model: Model,
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    batch_size: int | None = None,
    min_lr: float = 1e-6,
    max_lr: float = 10.0,
    steps: int = 100,
    smoothing: float = 0.9,
    divergence: float = 4.0,
) -> LearningRateCurve:
    """Train while the learning rate grows by a constant factor a step, watch the loss, and undo it all.

    Everything is as before in the end, also after an error or Ctrl-C: weights, moving averages, the optimizer's state,
    counters and learning rate or schedule, metrics, and all random state, so that training goes on as if nothing had
    been. The best rate to train with is about the suggestion, and well below the rate where the loss is least.

    Args:
        model: A compiled model.
        x: Inputs, (samples, ...).
        y: Targets, (samples, ...).
        sample_weight: How much each sample counts.
        batch_size: Samples a step, 32 by default; use that of the training to come. The samples are gone through in
            random order as often as the steps need.
        min_lr: The learning rate of the first step, above 0.
        max_lr: That of the last, above ``min_lr``.
        steps: How many steps the sweep has, at least 2.
        smoothing: How much of the average loss stays at each step, in [0, 1).
        divergence: The sweep ends when the average loss is this many times its least value, above 1; or no number.

    Raises:
        RuntimeError: The model is not compiled.
        ValueError: An argument is out of its range, or the data do not fit each other, the model or the loss.
        KeyboardInterrupt: There was a Ctrl-C.

    Example:
        >>> model = td.models.Sequential([td.layers.Dense(1)])
        >>> model.compile(optimizer="sgd", loss="mse")
        >>> x = np.random.default_rng(0).normal(size=(64, 3))
        >>> curve = td.lr_finder(model, x, x.sum(axis=1, keepdims=True), steps=50)
        >>> curve.diverged, 1e-3 < curve.suggestion < 1, int(model.optimizer.iterations)
        (True, True, 0)

    Reference:
        Smith (2017): Cyclical learning rates for training neural networks. WACV.
    """
    if not isinstance(model, Model):
        raise TypeError(f"lr_finder: it takes a model, not {type(model).__name__}.")
    model._require_compiled("lr_finder")
    as_integer(steps, "lr_finder: steps", "[2, inf)")
    min_lr = as_number(min_lr, "lr_finder: min_lr", "(0, inf)")
    max_lr = as_number(max_lr, "lr_finder: max_lr", f"({min_lr!r}, inf)", f"a number above min_lr={min_lr!r}")
    smoothing = as_number(smoothing, "lr_finder: smoothing", "[0, 1)")
    divergence = as_number(divergence, "lr_finder: divergence", "(1, inf]")
    if not is_arrays(x, y, "lr_finder", model._number_of_inputs()):
        raise ValueError("lr_finder: x must be an array, not batches, which could not be given back.")
    rates = np.geomspace(min_lr, max_lr, steps)
    losses: list[float] = []
    smoothed: list[float] = []
    diverged = False
    with _undone(model) as between:
        batches = ArrayBatches(x, y, sample_weight, batch_size, rng=ops.random.generator(), caller="lr_finder")
        endless = itertools.chain.from_iterable(itertools.repeat(batches))
        average = 0.0
        for count, batch in enumerate(between.waiting(itertools.islice(endless, steps)), start=1):
            loss = _step(model, batch, float(rates[count - 1]))
            average = smoothing * average + (1 - smoothing) * loss
            losses.append(loss)
            smoothed.append(average / (1 - smoothing**count))
            diverged = not math.isfinite(loss) or smoothed[-1] > divergence * min(smoothed)
            if diverged:
                break
    made = rates[: len(losses)]
    curve = np.array(smoothed)
    # So long the average is one of few batches: their noise is the steepest part of the curve.
    settled = min(math.ceil(1 / (1 - smoothing)), steps // 4)
    return LearningRateCurve(made, np.array(losses), curve, _steepest(made[settled:], curve[settled:]), diverged)


@contextmanager
def _undone(model: Model) -> Iterator[BetweenSteps]:
    """Undo what a ``with`` block does to a model; a Ctrl-C acts between two steps, and not while this is undone."""
    with BetweenSteps() as between:
        snapshot = Snapshot(model)
        try:
            yield between
        finally:
            snapshot.restore()


def _step(model: Model, batch: Batch, learning_rate: float) -> float:
    model.optimizer.learning_rate = learning_rate
    values = model.train_on_batch(*batch, return_dict=True)
    if "loss" not in values:
        raise ValueError(
            f"lr_finder: train_step of model {model.name!r} returns no 'loss', only {sorted(values)}: add it."
        )
    return float(values["loss"])


def _steepest(rates: np.ndarray, curve: np.ndarray) -> float | None:
    """Return the rate where a curve over log(rate) falls most steeply before its least value."""
    least = int(np.nanargmin(curve)) if np.isfinite(curve).any() else 0
    if not least:
        return None
    slopes = np.gradient(curve[: least + 1], np.log10(rates[: least + 1]))
    return float(rates[np.argmin(slopes)])
