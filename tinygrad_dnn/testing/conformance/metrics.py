"""The checks of metrics: values that are updated batch by batch and reset when an epoch begins."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dnn.layers import Dense
from tinygrad_dnn.models import Sequential
from tinygrad_dnn.tensor import Tensor, tensor
from tinygrad_dnn.testing.conformance.checking import CheckError, check
from tinygrad_dnn.testing.conformance.numerics import expect_equal, expect_finite, host
from tinygrad_dnn.testing.conformance.subjects import Subject
from tinygrad_dnn.testing.conformance.trials import Trial, trial_of

_SUMS = "add each batch's sums to the state, and divide in result()"


def data(subject: Subject) -> tuple[np.ndarray, ...]:
    """Return what update_state takes of 8 samples: what it declares as inputs, or probabilities of 3 classes."""
    if subject.inputs is not None:
        return tuple(np.asarray(x) for x in subject.inputs)
    drawn = np.random.default_rng(6).uniform(0.05, 0.9, size=(8, 3))
    labels = np.eye(3, dtype=np.float32)[np.array([0, 1, 2, 0, 2, 2, 1, 0])]
    return labels, (drawn / drawn.sum(axis=1, keepdims=True)).astype(np.float32)


def _part(arrays: tuple[np.ndarray, ...], chosen: Any) -> list[Tensor]:
    return [tensor(x[chosen]) for x in arrays]


def _result(made: Any) -> np.ndarray:
    return host(made.result())


@trial_of("metrics")
def trial(subject: Subject, made: Any) -> Trial:
    """Take in three batches, with the result after each."""
    arrays = data(subject)

    def step(*batch: Tensor) -> list[Any]:
        made.update_state(*batch)
        return [made.result()]

    return Trial(step, [tuple(x[part] for x in arrays) for part in (slice(0, 4), slice(4, 8), slice(2, 6))])


@check("metrics")
def in_parts(subject: Subject) -> None:
    """Batches of different lengths give what all samples at once give: the last batch of an epoch is short."""
    arrays = data(subject)
    whole, parts = subject.make(), subject.make()
    whole.update_state(*_part(arrays, slice(None)))
    for part in (slice(0, 3), slice(3, 7), slice(7, 8)):
        parts.update_state(*_part(arrays, part))
    expect_equal(
        [_result(parts)], [_result(whole)], "in batches of 3, 4 and 1 it gave something else",
        "what all samples at once give", _SUMS, 1e-5,
    )  # fmt: skip


@check("metrics")
def reset(subject: Subject) -> None:
    """After reset_state it is as new: an epoch's value has nothing of the one before."""
    arrays = data(subject)
    used, new = subject.make(), subject.make()
    used.update_state(*_part(arrays, slice(0, 5)))
    used.reset_state()
    for made in (used, new):
        made.update_state(*_part(arrays, slice(4, 8)))
    expect_equal(
        [_result(used)], [_result(new)], "after reset_state it gave something else", "what a new one gives",
        "set all of the state back to where it began",
    )  # fmt: skip


@check("metrics")
def weighted(subject: Subject) -> None:
    """A sample of weight 0 counts for nothing, and equal weights change nothing."""
    arrays = data(subject)
    made = [subject.make() for _ in range(4)]
    ones, first = np.ones(len(arrays[0]), np.float32), np.arange(len(arrays[0])) < 5
    weights = tensor(ones), tensor(first.astype(np.float32))
    made[0].update_state(*_part(arrays, slice(None)))
    made[1].update_state(*_part(arrays, slice(None)), sample_weight=weights[0])
    made[2].update_state(*_part(arrays, slice(0, 5)))
    made[3].update_state(*_part(arrays, slice(None)), sample_weight=weights[1])
    expect_equal(
        [_result(made[1]), _result(made[3])], [_result(made[0]), _result(made[2])],
        "with sample_weight of ones, or of zeros for the last, it gave something else",
        "what no weights, or the other samples alone, give", "multiply sums and counts by the weights", 1e-5,
    )  # fmt: skip


@check("metrics")
def result_is_pure(subject: Subject) -> None:
    """result() is finite, changes no state, and may be read after each batch, before the first one too."""
    made = subject.make()
    expect_finite(_result(made), "before any sample the result is", 0.0, "let a count of 0 give 0")
    made.update_state(*_part(data(subject), slice(None)))
    first, second = _result(made), _result(made)
    expect_finite(first, "the result is", 0.0, "let a count of 0 give 0")
    expect_equal([second], [first], "read twice it differs", "one value", "change the state in update_state alone")


@check("metrics")
def state_in_variables(subject: Subject) -> None:
    """Its whole state is in ``variables``: copied to a new object, they give the same result."""
    made, new = subject.make(), subject.make()
    arrays = data(subject)
    for each in (made, new):
        each.update_state(*_part(arrays, slice(4, 5)))  # which builds what is built at first use
    made.update_state(*_part(arrays, slice(0, 5)))
    for variable, kept in zip(_variables(new), _variables(made), strict=True):
        variable.assign(kept.numpy())
    expect_equal(
        [_result(new)], [_result(made)], "with the other's variables it gave something else", "the other's result",
        "make all state with add_variable, and change it by assign",
    )  # fmt: skip


def _variables(made: Any) -> list[Any]:
    found = getattr(made, "variables", None)
    if found is None:
        raise CheckError("it has no variables", "a list of its state", "derive it from td.metrics.Metric")
    return list(found)


@check("metrics")
def in_a_model(subject: Subject) -> None:
    """Compile takes it, and fit and evaluate log a finite number under its name."""
    made = subject.make()
    arrays = data(subject)
    if len(arrays) != 2:
        made(*_part(arrays, slice(None)))
        return
    name = getattr(made, "name", None)
    if not isinstance(name, str) or not name:
        raise CheckError(f"its name is {name!r}", "a text for logs", "call super().__init__(dtype, name)")
    y_true, y_pred = arrays
    model = Sequential([Dense(y_pred.shape[-1] if y_pred.ndim > 1 else 1, activation="softmax")])
    model.compile("sgd", loss=lambda t, p: ((p - 0.3) ** 2).mean(axis=-1), metrics=[made])
    x = np.random.default_rng(3).normal(size=(len(y_true), 4)).astype(np.float32)
    history = model.fit(x, y_true, epochs=1, batch_size=4, verbose=0).history
    logs = model.evaluate(x, y_true, batch_size=4, verbose=0, return_dict=True)
    if name not in history or name not in logs:
        raise CheckError(
            f"the logs have {', '.join(sorted(history))}", f"its name {name!r}", "set self.name to a text of its own"
        )
    expect_finite(np.asarray(logs[name]), "evaluate gives", 0.0, "let a count of 0 give 0")
