"""The checks of initializers: host arrays of the shape, type, mean and variance that they claim."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from tinygrad_dnn.layers import Dense
from tinygrad_dnn.testing.conformance.checking import CheckError, check
from tinygrad_dnn.testing.conformance.numerics import expect_finite, host
from tinygrad_dnn.testing.conformance.subjects import SkipError, Subject, takes
from tinygrad_dnn.testing.conformance.trials import Trial, trial_of

_SHAPES = ((), (5,), (4, 3), (3, 3, 2, 4))
_LARGE = ((200, 300), (300, 100), (3, 3, 40, 60))
# A right initializer is failed once in some ten million runs.
_SIGMAS = 5.5


@trial_of("initializers")
def trial(subject: Subject, made: Any) -> Trial:
    """Draw weights of several shapes, twice."""
    return Trial(lambda: [_drawn(made, shape) for shape in _shapes(subject)], [(), ()])


@check("initializers")
def shape_and_dtype(subject: Subject) -> None:
    """It gives a host array of the shape and type asked for, float32 where none is named."""
    made = subject.make()
    for shape in _shapes(subject):
        for dtype in (None, "float32", "float64"):
            values = _drawn(made, shape, dtype)
            is_array = isinstance(values, (np.ndarray, np.generic))
            if not is_array or values.shape != shape or values.dtype != (dtype or "float32"):
                came = f"{values.dtype}{list(values.shape)}" if hasattr(values, "shape") else type(values).__name__
                raise CheckError(
                    f"shape {shape} and dtype {dtype} gave {came}",
                    f"a NumPy array {dtype or 'float32'}{list(shape)}",
                    "return np.asarray(values, dtype or td.backend.floatx()), and (): one number for the shape ()",
                )


@check("initializers")
def finite(subject: Subject) -> None:
    """All values are finite, for weights without elements too."""
    made = subject.make()
    shapes = _shapes(subject)
    for shape in (*shapes, (0, *shapes[-1][1:])):
        values = host(_drawn(made, shape))
        if not np.isfinite(values).all():
            first = values[~np.isfinite(values)][0]
            raise CheckError(f"a weight of shape {shape} has {first!s}", "finite numbers", "divide by no fan that is 0")


@check("initializers")
def seeded(subject: Subject) -> None:
    """With a seed it gives the same weight at each call, and without one it draws afresh: units must differ."""
    made = subject.make()
    if not takes(subject.obj, "seed"):
        raise SkipError("it takes no seed")
    shape = _shapes(subject)[-1]
    fixed = subject.make(seed=3)
    if not np.array_equal(_drawn(fixed, shape), _drawn(fixed, shape)):
        raise CheckError("with seed=3 two calls differ", "the same values", "draw from self.rng() at each call")
    if np.array_equal(_drawn(fixed, shape), _drawn(subject.make(seed=4), shape)):
        raise CheckError("seed=3 and seed=4 give the same", "other values", "hand the seed to super().__init__")
    if np.array_equal(_drawn(made, shape), _drawn(made, shape)):
        raise CheckError("without a seed two calls are equal", "fresh values", "draw from self.rng() at each call")


@check("initializers")
def mean(subject: Subject) -> None:
    """The mean of its values is the claimed one, within 5.5 standard errors."""
    claimed = subject.claim("mean")
    if claimed is None:
        raise SkipError("it claims no mean")
    made = subject.make()
    for shape in _large(subject):
        values = host(_drawn(made, shape, "float64"))
        error = _SIGMAS * float(values.std()) / np.sqrt(values.size) + 1e-9
        found, expected = float(values.mean()), float(claimed)
        if abs(found - expected) > error:
            raise CheckError(
                f"the mean of a weight of shape {shape} is {found:.4g}", f"{expected:.4g} +- {error:.2g}",
                "centre what is drawn, or claim another mean",
            )  # fmt: skip


@check("initializers")
def variance(subject: Subject) -> None:
    """The variance is the claimed one, a number or a function of (fan_in, fan_out), within 5.5 standard errors."""
    claimed = subject.claim("variance")
    if claimed is None:
        raise SkipError("it claims no variance")
    made = subject.make()
    for shape in _large(subject):
        window = int(np.prod(shape[:-2]))
        expected = float(claimed(window * shape[-2], window * shape[-1]) if callable(claimed) else claimed)
        values = host(_drawn(made, shape, "float64"))
        found = float(values.var())
        squares = (values - values.mean()) ** 2
        error = _SIGMAS * float(squares.std()) / np.sqrt(values.size) + 1e-9 * (1 + expected)
        if abs(found - expected) > error:
            raise CheckError(
                f"the variance of a weight of shape {shape} is {found:.4g}", f"{expected:.4g} +- {error:.2g}",
                "scale what is drawn by the fans of the shape, (*window, fan_in, fan_out), or claim another variance",
            )  # fmt: skip


@check("initializers")
def in_a_layer(subject: Subject) -> None:
    """Dense layers take it for their kernels, square ones and others, and their weights and outputs are finite."""
    made = subject.make()
    for units in (4, 3):
        layer = Dense(units, kernel_initializer=made)
        output = layer(np.ones((2, 4), np.float32))
        expect_finite(layer.kernel, f"a weight of a kernel of shape (4, {units}) is", 1.0, "divide by no difference")
        expect_finite(output, "an output is", 1.0, "keep the weights small")


def _shapes(subject: Subject) -> tuple[tuple[int, ...], ...]:
    return _SHAPES if subject.inputs is None else tuple(tuple(shape) for shape in subject.inputs)


def _large(subject: Subject) -> tuple[tuple[int, ...], ...]:
    """Return shapes of many elements, of as many axes as it takes."""
    axes = {len(shape) for shape in _shapes(subject)}
    return tuple(shape for shape in _LARGE if len(shape) in axes)


def _drawn(made: Any, shape: tuple[int, ...], dtype: str | None = None) -> Any:
    """Call an initializer as a layer does, with a layer where it wants one."""
    arguments: dict[str, Any] = {} if dtype is None else {"dtype": dtype}
    try:
        wants_layer = "layer" in inspect.signature(made).parameters
    except (TypeError, ValueError):
        wants_layer = False
    if wants_layer:
        arguments["layer"] = Dense(max(shape[-1:] or (1,)) or 1)
    return made(shape, **arguments)
