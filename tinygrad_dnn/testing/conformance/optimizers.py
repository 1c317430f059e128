"""The checks of optimizers' single steps: state, types, schedules, clipping, decay, gradients of zero."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_dnn import ops
from tinygrad_dnn.saving import state
from tinygrad_dnn.schedulers import PiecewiseConstantDecay
from tinygrad_dnn.tensor import Tensor, Variable, tensor
from tinygrad_dnn.testing.conformance.checking import CheckError, check
from tinygrad_dnn.testing.conformance.numerics import expect_equal, expect_finite
from tinygrad_dnn.testing.conformance.subjects import SkipError, Subject
from tinygrad_dnn.testing.conformance.trials import Trial, trial_of

_SHAPES = ((3, 4), (4,), ())
_KEYWORDS = "take **kwargs and hand them to super().__init__"


def _start(shape: tuple[int, ...], dtype: str = "float32") -> Variable:
    values = np.linspace(0.5, -1.0, int(np.prod(shape))).reshape(shape)
    return Variable(values.astype(dtype), trainable=True, name=f"weight{len(shape)}")


def _gradients(
    steps: int, shapes: Sequence[tuple[int, ...]] = _SHAPES, dtype: str = "float32"
) -> list[list[np.ndarray]]:
    """Return gradients that change from step to step, none of them 0."""
    random = np.random.default_rng(2)
    return [[(random.normal(0.3, 1.0, size=shape)).astype(dtype) for shape in shapes] for _ in range(steps)]


@trial_of("optimizers")
def trial(subject: Subject, made: Any) -> Trial:
    """Make updates of weights of several shapes."""
    weights = [_start(shape) for shape in _SHAPES]

    def step(*gradients: Tensor) -> list[Tensor]:
        made.apply(gradients, weights)
        return [weight.detach() for weight in weights]

    return Trial(step, _gradients(5))


def _moved(made: Any, gradients: Sequence[Sequence[np.ndarray]], weights: Sequence[Variable]) -> list[np.ndarray]:
    """Return the weights after updates along these gradients."""
    for each in gradients:
        made.apply([tensor(g) for g in each], weights)
    return [weight.numpy() for weight in weights]


def _after(made: Any, gradients: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
    return _moved(made, gradients, [_start(g.shape, g.dtype.name) for g in gradients[0]])


@check("optimizers")
def state_saved(subject: Subject) -> None:
    """An optimizer made anew from its configuration and saved state goes on as if it had not been interrupted."""
    feeds = _gradients(8)
    straight = subject.make()
    expected = _after(straight, feeds)
    made, weights = subject.make(), [_start(shape) for shape in _SHAPES]
    _moved(made, feeds[:4], weights)
    named = {f"w{i}": weight for i, weight in enumerate(weights)}
    kept = {key: value.numpy() for key, value in state.optimizer_state(made, named).items()}
    again = subject.again(made) if hasattr(made, "get_config") else subject.make()
    again.build(weights)
    fresh = state.optimizer_state(again, named)
    for key, value in kept.items():
        if key in fresh:
            state.bind(fresh[key], np.array(value))
    expect_equal(
        _moved(again, feeds[4:], weights), expected, "resumed after 4 of 8 steps it gave something else",
        "what a run straight through gives",
        "keep state of a weight in what init returns, and shared state in Variables that are attributes",
    )  # fmt: skip


@check("optimizers")
def shape_and_dtype(subject: Subject) -> None:
    """Weights of float32 and float64 and of 0 to 4 axes keep shape and type, and float64 is computed in float64."""
    shapes = ((), (3,), (2, 3), (2, 2, 3, 4), (1, 1))
    for dtype in ("float32", "float64"):
        made = subject.make()
        feeds = _gradients(3, shapes, dtype)
        for value, shape in zip(_after(made, feeds), shapes, strict=True):
            if value.shape != shape or value.dtype != dtype:
                raise CheckError(
                    f"a weight {dtype}{list(shape)} became {value.dtype}{list(value.shape)}", "its shape and type",
                    "reduce with keepdims, and let constants be Python's numbers",
                )  # fmt: skip
            if dtype == "float64" and value.size > 1 and np.array_equal(value, value.astype(np.float32)):
                raise CheckError(
                    "a float64 weight was computed in float32", "float64's precision", "cast nothing to float32"
                )
            expect_finite(value, f"a {dtype} weight of shape {shape} becomes", 1.0, "treat weights of few axes as well")


@check("optimizers")
def frozen_weights(subject: Subject) -> None:
    """A weight without a gradient stays, and gets its own state when it has one again: layers are frozen so."""
    made = subject.make()
    frozen, free = _start((3,)), _start((3, 4))
    before = frozen.numpy()
    for each in _gradients(3, ((3, 4),)):
        made.apply([None, tensor(each[0])], [frozen, free])
    expect_equal([frozen], [before], "a weight without gradient changed", "its old value", "leave apply to the base")
    made.apply([tensor(before), None], [frozen, free])
    if np.array_equal(frozen.numpy(), before):
        raise CheckError("a weight that was thawed stayed", "an update", "leave apply to the base class")


@check("optimizers")
def schedules(subject: Subject) -> None:
    """A schedule's rate counts at each step, and so does a rate that is set by hand in between."""
    feeds = _gradients(6)
    scheduled = subject.make(learning_rate=PiecewiseConstantDecay([2], [0.01, 0.001]))
    by_hand = subject.make(learning_rate=0.01)
    weights = [_start(shape) for shape in _SHAPES]
    _moved(by_hand, feeds[:3], weights)
    by_hand.learning_rate = 0.001
    expected = _moved(by_hand, feeds[3:], weights)
    found = _after(scheduled, feeds)
    expect_equal(
        found, expected, "a schedule gave something else than setting the same rates", "the same weights",
        "use the learning_rate that update is given, and keep none back", 1e-6,
    )  # fmt: skip
    if np.array_equal(found[0], _after(subject.make(learning_rate=0.01), feeds)[0]):
        raise CheckError("a smaller rate changed nothing", "smaller steps", "use the learning_rate given to update")


@check("optimizers")
def clipping(subject: Subject) -> None:
    """Under clipvalue, clipnorm and global_clipnorm it moves as for gradients that were clipped before."""
    feeds = _gradients(4)
    norms = [np.sqrt(sum(float((g.astype(float) ** 2).sum()) for g in each)) for each in feeds]
    clipped = {
        "clipvalue": [[np.clip(g, -0.2, 0.2) for g in each] for each in feeds],
        "clipnorm": [[g * np.float32(min(1.0, 0.2 / float(np.linalg.norm(g)))) for g in each] for each in feeds],
        "global_clipnorm": [
            [g * np.float32(min(1.0, 0.2 / norm)) for g in each] for each, norm in zip(feeds, norms, strict=True)
        ],
    }
    for key, gradients in clipped.items():
        try:
            made = subject.make(**{key: 0.2})
        except TypeError as error:
            raise CheckError(f"it does not take {key} ({error})", "the base class's arguments", _KEYWORDS) from error
        expect_equal(
            _after(made, feeds), _after(subject.make(), gradients), f"with {key}=0.2 it moved otherwise",
            "what clipped gradients give", f"{_KEYWORDS}, and leave apply to the base class", 1e-4,
        )  # fmt: skip


@check("optimizers")
def weight_decay(subject: Subject) -> None:
    """Decoupled decay first takes weight * weight_decay * learning_rate away, then the rule goes on as without."""
    if subject.claim("decays_weights"):
        raise SkipError("it claims to decay weights in its own way")
    (feed,) = _gradients(1, ((3, 4),))
    try:
        made = subject.make(learning_rate=0.1, weight_decay=0.5)
    except TypeError as error:
        raise CheckError(f"it does not take weight_decay ({error})", "the base class's arguments", _KEYWORDS) from error
    plain = subject.make(learning_rate=0.1, weight_decay=0.0)
    shrunk = Variable(_start((3, 4)).numpy() * np.float32(0.95), trainable=True)
    expect_equal(
        _after(made, [feed]), _moved(plain, [feed], [shrunk]), "with weight_decay=0.5 it moved otherwise",
        "an update of the weight times 1 - 0.5 * learning_rate", f"{_KEYWORDS}, and start from the param given", 1e-5,
    )  # fmt: skip


@check("optimizers")
def zero_gradients(subject: Subject) -> None:
    """Gradients of 0, from the first step on, give neither NaN nor infinity: dead units have no others."""
    for value in _after(subject.make(), [[np.zeros(shape, np.float32) for shape in _SHAPES]] * 4):
        expect_finite(value, "for gradients of 0 a weight becomes", 0.0, "add epsilon to what is divided by")


@check("optimizers")
def zero_gradients_keep(subject: Subject) -> None:
    """A weight whose gradients were always 0 stays where it is, unless it claims to move without."""
    if subject.claim("moves_without_gradient"):
        raise SkipError("it claims to move weights without a gradient")
    found = _after(subject.make(weight_decay=0.0), [[np.zeros(shape, np.float32) for shape in _SHAPES]] * 4)
    finite = [np.isfinite(value).all() for value in found]
    if all(finite):
        expect_equal(
            found, [_start(shape) for shape in _SHAPES], "gradients of 0 moved a weight", "the weight as it was",
            "take a step in the gradient's direction, or claim moves_without_gradient", 1e-6,
        )  # fmt: skip


@check("optimizers")
def extreme_gradients(subject: Subject) -> None:
    """Gradients of +-1e4 and of +-1e-12 leave weights and state finite in float32."""
    for size in (1e4, -1e4, 1e-12, -1e-12):
        made = subject.make()
        weights = [_start(shape) for shape in _SHAPES]
        found = _moved(made, [[np.full(shape, size, np.float32) for shape in _SHAPES]] * 4, weights)
        for value in (*found, *made.variables):
            expect_finite(value, "a weight or state becomes", size, "add epsilon under the root or quotient")


@check("optimizers")
def constraints(subject: Subject) -> None:
    """A weight with a constraint complies after each update."""
    weight = _start((3, 4))
    weight.constraint = lambda w: ops.clip(w, -0.25, 0.25)
    found = _moved(subject.make(), _gradients(3, ((3, 4),)), [weight])[0]
    if np.abs(found).max() > 0.25:
        raise CheckError(
            f"a weight is {np.abs(found).max():g}", "at most its constraint's 0.25", "leave apply to the base class"
        )
