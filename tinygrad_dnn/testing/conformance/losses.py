"""The checks of losses: functions and classes of (y_true, y_pred), one value a sample."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dnn import ops
from tinygrad_dnn.layers import Dense
from tinygrad_dnn.models import Sequential
from tinygrad_dnn.tensor import Tensor, tensor
from tinygrad_dnn.testing.conformance.checking import CheckError, check
from tinygrad_dnn.testing.conformance.numerics import (
    expect_equal,
    expect_finite,
    expect_gradients,
    extremes,
    slopes,
)
from tinygrad_dnn.testing.conformance.subjects import SkipError, Subject
from tinygrad_dnn.testing.conformance.trials import Trial, trial_of

_FUNCTION = "return the mean over the last axis, one value a sample"


def data(subject: Subject) -> tuple[np.ndarray, np.ndarray]:
    """Return targets and predictions of 5 samples: what it declares as inputs, or probabilities of 3 classes."""
    if subject.inputs is not None:
        y_true, y_pred = subject.inputs
        return np.asarray(y_true), np.asarray(y_pred, np.float32)
    drawn = np.random.default_rng(1).uniform(0.05, 0.9, size=(5, 3))
    labels = 0.85 * np.eye(3)[np.arange(5) % 3] + 0.05
    return labels.astype(np.float32), (drawn / drawn.sum(axis=1, keepdims=True)).astype(np.float32)


def is_class(subject: Subject) -> bool:
    """Tell whether it reduces the samples' values itself, as classes do."""
    return isinstance(subject.obj, type)


@trial_of("losses")
def trial(subject: Subject, made: Any) -> Trial:
    """Compute the values and their gradient for the predictions."""

    def step(y_true: Tensor, y_pred: Tensor) -> list[Tensor]:
        y_pred = y_pred.detach().requires_grad_()
        values = made(y_true, y_pred)
        return [values.detach(), slopes(values, [y_pred])[0].detach()]

    y_true, y_pred = data(subject)
    return Trial(step, [(y_true, y_pred), (y_true, y_pred[::-1].copy()), (y_true, y_pred)])


@check("losses")
def gradients(subject: Subject) -> None:
    """Its first and second derivatives for the predictions equal finite differences in float64, away from kinks."""
    made = subject.make()
    y_true, y_pred = data(subject)
    target = y_true.astype(np.float64) if y_true.dtype.kind == "f" else y_true
    expect_gradients(
        lambda p: made(tensor(target), p), [y_pred.astype(np.float64)], "mend its gradient, or compose td's operations"
    )


@check("losses")
def one_value_a_sample(subject: Subject) -> None:
    """A function gives one value a sample and a class one number, in the predictions' type."""
    made = subject.make()
    y_true, y_pred = data(subject)
    expected = () if is_class(subject) else y_pred.shape[:-1]
    for dtype in ("float32", "float64"):
        values = made(tensor(y_true), tensor(y_pred, dtype))
        if not isinstance(values, Tensor) or values.shape != expected or values.dtype != dtype:
            came = f"{values.dtype}{list(values.shape)}" if isinstance(values, Tensor) else type(values).__name__
            raise CheckError(
                f"predictions {dtype}{list(y_pred.shape)} gave {came}", f"{dtype}{list(expected)}",
                "derive a class from td.losses.Loss, which reduces" if is_class(subject) else _FUNCTION,
            )  # fmt: skip


@check("losses")
def samples_apart(subject: Subject) -> None:
    """A sample's value does not depend on the other samples, and a class gives their mean."""
    made = subject.make()
    y_true, y_pred = data(subject)
    whole = made(tensor(y_true), tensor(y_pred))
    ones = [made(tensor(y_true[i : i + 1]), tensor(y_pred[i : i + 1])) for i in range(len(y_pred))]
    parts = ops.mean(ops.stack(ones)) if is_class(subject) else ops.concatenate(ones)
    expect_equal(
        [parts], [whole], "the samples one by one gave something else", "what the batch gives", _FUNCTION, 1e-5
    )


@check("losses")
def sample_weights(subject: Subject) -> None:
    """A class multiplies each sample's value by its weight: twos double the loss, and zeros take samples out."""
    if not is_class(subject):
        raise SkipError("a function has no sample_weight; Loss and fit weigh what it gives")
    made = subject.make()
    y_true, y_pred = data(subject)
    n = len(y_pred)
    plain = made(tensor(y_true), tensor(y_pred))
    double = made(tensor(y_true), tensor(y_pred), sample_weight=tensor(np.full(n, 2.0, np.float32)))
    first = np.arange(n) < 2
    chosen = made(tensor(y_true), tensor(y_pred), sample_weight=tensor(first.astype(np.float32)))
    alone = made(tensor(y_true[:2]), tensor(y_pred[:2]))
    expect_equal(
        [double, chosen], [plain * 2, alone * (2 / n)], "with sample weights it gave something else",
        "the mean of the samples' values times their weights", "derive it from td.losses.Loss and write call", 1e-5,
    )  # fmt: skip


@check("losses")
def finite_values(subject: Subject) -> None:
    """Predictions of 0, +-1, +-1e3 and +-1e4, which are what logits may be, give finite values."""
    made = subject.make()
    for y_true, y_pred in _extreme(subject):
        expect_finite(
            made(tensor(y_true), tensor(y_pred)), "the loss is", y_pred[:, 0], "clip what a logarithm is taken of"
        )


@check("losses")
def finite_gradients(subject: Subject) -> None:
    """The gradient for such predictions is finite too, wherever the loss itself is."""
    made = subject.make()
    for y_true, values in _extreme(subject):
        y_pred = tensor(values, requires_grad=True)
        loss = made(tensor(y_true), y_pred)
        if np.isfinite(loss.numpy()).all():
            expect_finite(
                slopes(loss, [y_pred])[0], "the slope is", values, "clip inside the logarithm or root, not outside"
            )


@check("losses")
def zero_for_perfect(subject: Subject) -> None:
    """Where it claims so, predictions that equal the targets give 0."""
    if not subject.claim("zero_for_perfect"):
        raise SkipError("it does not claim to be 0 for perfect predictions")
    y_true, _ = data(subject)
    found = subject.make()(tensor(y_true), tensor(y_true.astype(np.float32))).numpy()
    if np.abs(found).max() > 1e-5:
        raise CheckError(
            f"perfect predictions give {np.abs(found).max():g}", "0 but for rounding", "subtract its least value, or "
            "claim nothing",
        )  # fmt: skip


@check("losses")
def in_a_model(subject: Subject) -> None:
    """Fit trains on it by name or object: the weights change and stay finite, and History has its values."""
    made = subject.make()
    y_true, y_pred = data(subject)
    are_probabilities = y_pred.min() >= 0 and y_pred.max() <= 1 and not subject.arguments.get("from_logits")
    activation = "softmax" if are_probabilities else None
    model = Sequential([Dense(y_pred.shape[-1], activation=activation)])
    model.compile("sgd", loss=made)
    x = np.random.default_rng(3).normal(size=(len(y_pred), 4)).astype(np.float32)
    model(x)
    before = model.layers[0].kernel.numpy()
    history = model.fit(x, y_true, epochs=2, batch_size=len(x), verbose=0)
    expect_finite(model.layers[0].kernel, "after training a weight is", 0.0, "look at the loss's slope")
    expect_finite(np.array(history.history["loss"]), "the history's loss is", 0.0, "look at the loss")
    if np.array_equal(before, model.layers[0].kernel.numpy()):
        raise CheckError("training changed no weight", "weights that learn", "let its slope not be 0 everywhere")


def _extreme(subject: Subject) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return targets with predictions of one extreme number, and of each beside each other."""
    y_true, y_pred = data(subject)
    points = extremes(subject.claim("domain"))
    rows = [np.full(y_pred.shape, point, np.float32) for point in points]
    rows += [np.resize(np.roll(points, shift), y_pred.shape).astype(np.float32) for shift in range(len(points))]
    return [(y_true, row) for row in rows]
