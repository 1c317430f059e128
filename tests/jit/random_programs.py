"""Random programs of elementwise, view, reduction, product and index operations, with the arrays to run them on."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_dnn as td
from tinygrad_dnn import ops
from tinygrad_dnn.jit.program import Program
from tinygrad_dnn.jit.recording import record
from tinygrad_dnn.ops import window
from tinygrad_dnn.ops.index import _SLOT, SCATTER_ADD
from tinygrad_dnn.tensor import apply

_UNARY = ("exp", "expm1", "tanh", "sqrt", "log1p", "negative", "abs", "sign", "floor", "erf", "sin")
_BINARY = ("add", "subtract", "multiply", "divide", "maximum", "minimum")
_COMPARISONS = ("equal", "less", "less_equal", "greater", "greater_equal", "not_equal")
_SHAPES = ((4, 6), (6,), (4, 1), (), (1, 6), (3, 4, 6), (6, 4))


class RandomFunction:
    """A function of Tensors that does the same random operations in each call.

    Args:
        seed: What they are drawn by.
        steps: How many there are.
        dtype: The Tensors' dtype.
    """

    def __init__(self, seed: int, steps: int, dtype: str) -> None:
        draw = np.random.default_rng(seed)
        self.seed = seed
        self.steps = steps
        self.arrays = [draw.normal(size=shape).astype(dtype) for shape in _SHAPES]
        self.weights = [td.Variable(draw.normal(size=shape), dtype=dtype, name="state") for shape in _SHAPES[:3]]
        self.stream = td.random.SeedGenerator(seed)
        self.state = [*self.weights, self.stream.state]

    def __call__(self, arguments: list[td.Tensor]) -> Any:
        draw = np.random.default_rng(self.seed)
        pool: list[td.Tensor] = [*arguments, *self.weights]
        for _ in range(self.steps):
            pool.append(self._bounded(self._step(draw, pool)))
            if draw.random() < 0.1:
                target = self.weights[draw.integers(len(self.weights))]
                fitting = [x for x in pool if x.shape == target.shape]
                target.assign(fitting[draw.integers(len(fitting))])
        return [pool[i] for i in draw.integers(len(pool), size=3)] + [pool[-1]]

    def _bounded(self, x: td.Tensor) -> td.Tensor:
        # Small differences must not grow from step to step, or results could not be compared.
        return td.maximum(td.minimum(x, 4.0), -4.0) if x.dtype.kind == "f" else x

    def _step(self, draw: np.random.Generator, pool: list[td.Tensor]) -> td.Tensor:
        x = pool[draw.integers(len(pool))]
        kind = draw.integers(13)
        if kind <= 1:
            name = _UNARY[draw.integers(len(_UNARY))]
            if name in ("sqrt", "log1p"):
                x = td.abs(x)
            return getattr(ops, name)(x)  # type: ignore[no-any-return]
        if kind <= 4:
            y = self._partner(draw, x, pool)
            name = _BINARY[draw.integers(len(_BINARY))]
            if name == "divide":
                y = td.abs(y) + 0.5
            return getattr(ops, name)(x, y)  # type: ignore[no-any-return]
        if kind == 5:
            y = self._partner(draw, x, pool)
            condition = getattr(ops, _COMPARISONS[draw.integers(len(_COMPARISONS))])(x, y)
            return td.where(condition, x, 0.5) if draw.random() < 0.7 else td.cast(condition, x.dtype)
        if kind == 6 and x.ndim:
            axes = tuple(int(i) for i in np.flatnonzero(draw.random(x.ndim) < 0.6)) or None
            name = ("sum", "max", "min", "mean")[draw.integers(4)]
            return getattr(ops, name)(x, axes, keepdims=bool(draw.random() < 0.5))  # type: ignore[no-any-return]
        if kind == 7 and x.ndim:
            return self._view(draw, x)
        if kind == 8:
            fitting = [y for y in pool if y.ndim > 1 and x.ndim > 1 and y.shape[-2] == x.shape[-1]]
            fitting = [y for y in fitting if x.ndim == 2 or y.ndim == 2 or x.shape[:-2] == y.shape[:-2]]
            if fitting:
                return td.matmul(x, fitting[draw.integers(len(fitting))]) * 0.3
        if kind == 9 and x.ndim and x.shape[0] > 1:
            if draw.random() < 0.5:
                return td.take(x, draw.integers(x.shape[0], size=3))
            return td.concatenate([x, x * 2.0])
        if kind == 10 and x.ndim:
            return self._placed(draw, x)
        if kind == 11:
            return self.stream.uniform(x.shape, dtype=x.dtype) * x
        if kind == 12 and x.ndim > 1 and min(x.shape) > 1:
            return self._windowed(draw, x)
        return x * 0.5 + 0.25

    def _placed(self, draw: np.random.Generator, x: td.Tensor) -> td.Tensor:
        """Return something that depends on elements' places."""
        axis = int(draw.integers(x.ndim))
        kind = draw.integers(4)
        if kind == 0:
            return td.cumsum(x, axis)
        place = (td.argmax, td.argmin)[draw.integers(2)](x, axis)
        if kind == 1:
            return td.cast(place, x.dtype)
        if kind == 2:
            return td.take(x, place, axis) if x.size < 200 else td.take(x, td.reshape(place, (-1,))[:2], axis)
        template = (slice(None),) * axis + (_SLOT,)
        values = td.take(x, np.arange(3) % x.shape[axis], axis)
        places = td.reshape(place, (-1,))[:1] * td.tensor(np.array([1, 0, 1]))
        return apply(SCATTER_ADD, (values, places), {"template": template, "shape": x.shape})

    def _windowed(self, draw: np.random.Generator, x: td.Tensor) -> td.Tensor:
        """Return something of the windows of matrices as images."""
        images = td.reshape(x, (-1, *x.shape[-2:], 1))
        strides = int(draw.integers(1, 3))
        kind = draw.integers(3)
        if kind == 0:
            kernel = td.reshape(td.reshape(x, (-1,))[:8] if x.size > 7 else td.ones(8, dtype=x.dtype), (2, 2, 1, 2))
            return window.conv(images, kernel, strides)[..., 0] * 0.3
        seen = window.windows(images, 2, strides)
        if kind == 1:
            return td.max(seen, (3, 4, 5))
        attributes = {"size": images.shape[1:3], "strides": (strides,) * 2, "dilation": (1, 1)}
        return td.reshape(apply(window.FOLD, (seen * 0.5,), attributes), x.shape)

    def _partner(self, draw: np.random.Generator, x: td.Tensor, pool: list[td.Tensor]) -> Any:
        fitting = [y for y in pool if _broadcast(x.shape, y.shape)]
        return fitting[draw.integers(len(fitting))] if draw.random() < 0.85 else float(draw.normal())

    def _view(self, draw: np.random.Generator, x: td.Tensor) -> td.Tensor:
        kind = draw.integers(5)
        if kind == 0:
            return td.transpose(x)
        if kind == 1:
            return td.reshape(x, (-1,)) if x.ndim > 1 else td.reshape(x, (1, -1))
        if kind == 2:
            return x[..., ::-1] if draw.random() < 0.5 else x[..., :: 1 + draw.integers(2)]
        if kind == 3:
            return td.broadcast_to(x, (2, *x.shape)) if x.ndim < 3 else x[0]
        return td.pad(x, [(1, 0)] * x.ndim) if x.size < 200 else x[:1]

    def program(self) -> Program:
        """Return what a call computes."""
        return record(self, [td.tensor(x) for x in self.arrays]).program


def _broadcast(x: tuple[int, ...], y: tuple[int, ...]) -> bool:
    try:
        return np.prod(np.broadcast_shapes(x, y)) <= 2000
    except ValueError:
        return False
