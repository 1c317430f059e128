"""What every primitive is tried on: inputs away from its kinks, with NumPy's answer.

A new primitive adds its own here: tests/ops/test_conformance.py fails for one that has no samples.
"""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from tinygrad_dnn import ops
from tinygrad_dnn.backend.base import philox_uniform
from tinygrad_dnn.graph import Primitive
from tinygrad_dnn.ops import elementwise, index, linalg, random, reduce, shape, window
from tinygrad_dnn.ops.cast import ASSIGN, CAST
from tinygrad_dnn.tensor import Tensor, apply


@dataclass(frozen=True)
class Sample:
    """One call of a primitive: its inputs (arrays and Python numbers), its attributes, and the function it stands for.

    ``reference`` is called with the inputs on the host.
    """

    primitive: Primitive
    reference: Callable[..., Any]
    inputs: tuple[Any, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    note: str = ""

    def __str__(self) -> str:
        operands = ",".join(str(list(x.shape)) if isinstance(x, np.ndarray) else repr(x) for x in self.inputs)
        return f"{self.primitive.name}({operands}{self.note})"

    def __call__(self, *arrays: Tensor) -> Tensor:
        """Run the primitive on Tensors in place of the arrays among its inputs."""
        remaining = iter(arrays)
        operands = tuple(next(remaining) if isinstance(x, np.ndarray) else x for x in self.inputs)
        return apply(self.primitive, operands, self.attributes or None)

    @property
    def arrays(self) -> list[np.ndarray]:
        """The inputs that are arrays."""
        return [x for x in self.inputs if isinstance(x, np.ndarray)]

    def expected(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """Return NumPy's answer for ``arrays`` in place of the sample's own."""
        remaining = iter(arrays)
        return np.asarray(self.reference(*(next(remaining) if isinstance(x, np.ndarray) else x for x in self.inputs)))


def primitives() -> dict[str, Primitive]:
    """Return every primitive that a module of the ops package defines, by its name in the source."""
    found = {}
    for info in pkgutil.iter_modules(ops.__path__):
        module = importlib.import_module(f"tinygrad_dnn.ops.{info.name}")
        for name, value in vars(module).items():
            if isinstance(value, Primitive):
                found[name] = value
    return found


# -- numbers ------------------------------------------------------------------------------------------------------


def _random(size: Sequence[int], seed: int) -> np.random.Generator:
    return np.random.default_rng([20, seed, *size])  # the same numbers whatever was drawn before


def positive(size: Sequence[int], seed: int = 0) -> np.ndarray:
    """Draw from [0.3, 2]."""
    return np.asarray(_random(size, seed).uniform(0.3, 2.0, size))


def signed(size: Sequence[int], seed: int = 0) -> np.ndarray:
    """Draw from [0.3, 2] with a random sign, and so away from 0."""
    return np.asarray(positive(size, seed) * _random(size, seed + 1000).choice([-1.0, 1.0], size))


def distinct(size: Sequence[int], seed: int = 0) -> np.ndarray:
    """Draw from the odd multiples of 0.1 without repeating one; 0.1 apart from those of an odd seed."""
    count = int(np.prod(size))
    return np.asarray((_random(size, seed).permutation(count).reshape(size) - count // 2) * 0.2 + 0.1 + seed % 2 * 0.1)


def integers(size: Sequence[int], seed: int = 0) -> np.ndarray:
    """Draw from -3 to 3."""
    return np.asarray(_random(size, seed).integers(-3, 4, size))


def halves(size: Sequence[int], seed: int = 0) -> np.ndarray:
    """Draw from the few halves in [-1.5, 1.5], so that some are equal."""
    return np.asarray(integers(size, seed) / 2)


def booleans(size: Sequence[int], seed: int = 0) -> np.ndarray:
    """Draw truth values."""
    return np.asarray(_random(size, seed).random(size) < 0.5)


def divisors(size: Sequence[int], seed: int = 0) -> np.ndarray:
    """Draw 0.83 and 1.33, of which no small multiple is near a multiple of 0.1."""
    return np.asarray(0.83 + 0.5 * booleans(size, seed))


# -- samples by family --------------------------------------------------------------------------------------------

SHAPES: list[tuple[int, ...]] = [(2, 3), (2, 1, 2), (), (0, 3)]
PAIRS: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((2, 3), (2, 3)),
    ((2, 2, 2), (2,)),
    ((3, 1), (1, 2)),
    ((), (3,)),
    ((2, 1), ()),
    ((), ()),
    ((0, 3), (3,)),
    ((1, 1), (0, 2)),
]

_Draw = Callable[[Sequence[int], int], np.ndarray]


def _unary(primitive: Primitive, draw: _Draw) -> Iterator[Sample]:
    for size in SHAPES:
        yield Sample(primitive, getattr(np, primitive.name), (draw(size, 0),))


def _binary(primitive: Primitive, left: _Draw, right: _Draw, number: float = 1.7) -> Iterator[Sample]:
    reference = getattr(np, primitive.name)
    for one, other in PAIRS:
        yield Sample(primitive, reference, (left(one, 0), right(other, 1)))
    yield Sample(primitive, reference, (left((2, 3), 0), number))
    yield Sample(primitive, reference, (number, right((2, 3), 1)))


def _compared(primitive: Primitive) -> Iterator[Sample]:
    yield from _binary(primitive, halves, halves, 0.5)
    yield Sample(primitive, getattr(np, primitive.name), (integers((2, 3)), integers((3,), 1)), note=" int")
    yield Sample(primitive, getattr(np, primitive.name), (booleans((2, 3)), booleans((3,), 1)), note=" bool")


def _elementwise() -> Iterator[Sample]:
    for primitive in (
        elementwise.NEGATIVE,
        elementwise.ABS,
        elementwise.SIGN,
        elementwise.EXP,
        elementwise.EXPM1,
        elementwise.SIN,
        elementwise.COS,
        elementwise.TANH,
        elementwise.ISFINITE,
        elementwise.ISNAN,
    ):
        yield from _unary(primitive, signed)
    for primitive in (elementwise.LOG, elementwise.LOG1P, elementwise.SQRT):
        yield from _unary(primitive, positive)
    yield from _unary(elementwise.FLOOR, distinct)
    for size in SHAPES:
        yield Sample(elementwise.ERF, _erf, (signed(size),))
    for special in (elementwise.ISFINITE, elementwise.ISNAN):
        yield Sample(special, getattr(np, special.name), (np.array([0.0, np.inf, -np.inf, np.nan]),), note=" special")
    for primitive in (elementwise.ADD, elementwise.SUBTRACT, elementwise.MULTIPLY, elementwise.DIVIDE):
        yield from _binary(primitive, signed, signed)
    for primitive in (elementwise.FLOOR_DIVIDE, elementwise.REMAINDER):
        yield from _binary(primitive, distinct, divisors)
    yield from _binary(elementwise.POWER, positive, signed)
    yield Sample(elementwise.POWER, np.power, (signed((2, 3)), 3), note=" negative base")
    yield Sample(elementwise.POWER, np.power, (signed((2, 3)), 0), note=" zeroth power")
    for primitive in (elementwise.MAXIMUM, elementwise.MINIMUM):
        yield from _binary(primitive, distinct, distinct)
    for primitive in (
        elementwise.EQUAL,
        elementwise.NOT_EQUAL,
        elementwise.LESS,
        elementwise.LESS_EQUAL,
        elementwise.GREATER,
        elementwise.GREATER_EQUAL,
    ):
        yield from _compared(primitive)
    for primitive in (elementwise.LOGICAL_AND, elementwise.LOGICAL_OR):
        for one, other in PAIRS:
            yield Sample(primitive, getattr(np, primitive.name), (booleans(one), booleans(other, 1)))
    yield from _unary(elementwise.LOGICAL_NOT, booleans)
    for one, other in PAIRS:
        yield Sample(elementwise.WHERE, np.where, (booleans(one), signed(other, 1), signed(one, 2)))
    yield Sample(elementwise.WHERE, np.where, (booleans((2, 3)), signed((3,)), 0.5))
    yield Sample(elementwise.WHERE, np.where, (booleans((2, 3)), 0.5, signed((2, 1))))


def _erf(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.vectorize(math.erf, [float])(x)).astype(x.dtype)


def _cast() -> Iterator[Sample]:
    for size in SHAPES:
        for dtype in (np.float32, np.float64, np.int32, np.bool_):
            attributes = {"dtype": np.dtype(dtype)}
            yield Sample(CAST, lambda x, t=dtype: x.astype(t), (signed(size),), attributes, f" {dtype.__name__}")
        yield Sample(ASSIGN, lambda target, value: value, (signed(size), signed(size, 1)))


REDUCED: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((2, 3), (0, 1)),
    ((2, 3), (1,)),
    ((2, 2, 2), (0, 2)),
    ((2, 3), ()),
    ((3,), (0,)),
    ((), ()),
]


def _reduce() -> Iterator[Sample]:
    for primitive, draw in ((reduce.SUM, signed), (reduce.MAX, distinct), (reduce.MIN, distinct)):
        reference = getattr(np, primitive.name)
        empty = [((0, 3), (1,)), ((0, 3), (0,)), ((0,), (0,))] if primitive is reduce.SUM else [((0, 3), (1,))]
        for size, axis in REDUCED + empty:
            for keepdims in (False, True):
                attributes = {"axis": axis, "keepdims": keepdims}
                bound = lambda x, r=reference, a=attributes: r(x, **a)  # noqa: E731
                yield Sample(primitive, bound, (draw(size, 0),), attributes, f" {axis} {keepdims}")
    for primitive in (reduce.ARGMAX, reduce.ARGMIN):
        for size, place in [((2, 3), None), ((2, 3), 0), ((2, 3), 1), ((), None), ((0, 3), 1)]:
            reference = getattr(np, primitive.name)
            bound = lambda x, r=reference, a=place: r(x, axis=a)  # noqa: E731
            yield Sample(primitive, bound, (distinct(size),), {"axis": place}, f" {place}")
    for size, along in [((2, 3), 0), ((2, 3), 1), ((3,), 0), ((0, 3), 0), ((0, 3), 1)]:
        yield Sample(reduce.CUMSUM, lambda x, a=along: np.cumsum(x, a), (signed(size),), {"axis": along}, f" {along}")


def _shape() -> Iterator[Sample]:
    for size, target in [((2, 3), (3, 2)), ((2, 3), (-1,)), ((), (1, 1)), ((0, 3), (3, 0)), ((2, 2, 3), (4, 3))]:
        attributes: dict[str, Any] = {"shape": target}
        yield Sample(shape.RESHAPE, lambda x, t=target: x.reshape(t), (signed(size),), attributes, f" {target}")
    for size, axes in [((2, 3), (1, 0)), ((2, 1, 3), (2, 0, 1)), ((2, 1, 3), (1, 2, 0)), ((), ()), ((0, 3), (1, 0))]:
        attributes = {"axes": axes}
        yield Sample(shape.TRANSPOSE, lambda x, a=axes: x.transpose(a), (signed(size),), attributes, f" {axes}")
    for size, target in [((3,), (2, 3)), ((2, 1), (2, 3)), ((), (2, 2)), ((1,), (0,)), ((0, 1), (2, 0, 3)), ((), ())]:
        attributes = {"shape": target}
        bound = lambda x, t=target: np.broadcast_to(x, t)  # noqa: E731
        yield Sample(shape.BROADCAST_TO, bound, (signed(size),), attributes, f" {target}")
    yield from _slices()
    joined: list[tuple[list[tuple[int, ...]], int]] = [
        ([(2, 3), (1, 3), (2, 3)], 0),
        ([(2, 3), (2, 1)], 1),
        ([(3,)], 0),
        ([(0, 3), (2, 3)], 0),
        ([(0, 3), (0, 2)], 1),
    ]
    for sizes, axis in joined:
        inputs = tuple(signed(size, i) for i, size in enumerate(sizes))
        yield Sample(shape.CONCATENATE, partial(_concatenated, axis=axis), inputs, {"axis": axis}, f" {axis}")


def _concatenated(*arrays: np.ndarray, axis: int) -> np.ndarray:
    return np.concatenate(arrays, axis)


def _slices() -> Iterator[Sample]:
    places: list[tuple[tuple[int, ...], Any]] = [
        ((2, 3), (slice(None), 1)),
        ((2, 3), (slice(None, None, -1), slice(0, 3, 2))),
        ((2, 3), (Ellipsis, None, slice(1, None))),
        ((2, 3), (-1, -2)),
        ((3,), (slice(2, 2),)),
        ((), ()),
        ((0, 3), (slice(None), 1)),
    ]
    for size, place in places:
        yield Sample(shape.SLICE, lambda x, i=place: x[i], (signed(size),), {"index": place}, f" {place}")
        part = np.zeros(size)[place]
        attributes: dict[str, Any] = {"index": place, "shape": size}
        bound = lambda x, i=place, s=size: _unsliced(x, i, s)  # noqa: E731
        yield Sample(shape.UNSLICE, bound, (signed(np.shape(part)),), attributes, f" {place}")


def _unsliced(x: np.ndarray, place: Any, size: tuple[int, ...]) -> np.ndarray:
    out = np.zeros(size, x.dtype)
    out[place] = x
    return out


def _linalg() -> Iterator[Sample]:
    for left, right in [
        ((2, 3), (3, 2)),
        ((2, 2, 3), (3, 1)),
        ((1, 3), (2, 3, 2)),
        ((2, 1, 1, 2), (3, 2, 1)),
        ((0, 3), (3, 2)),
        ((2, 0), (0, 2)),
        ((1, 1), (1, 1)),
    ]:
        yield Sample(linalg.MATMUL, np.matmul, (signed(left), signed(right, 1)))


def _index() -> Iterator[Sample]:
    slot, rest = index._SLOT, slice(None)
    cases: list[tuple[tuple[int, ...], tuple[Any, ...], list[np.ndarray]]] = [
        ((4,), (slot,), [np.array([0, 2, 2, -1])]),
        ((2, 3), (slot, slot), [np.array([0, 1, 1]), np.array([2, 0, 0])]),
        ((2, 3), (rest, slot), [np.array([[0, 2], [1, 1]])]),
        ((2, 3), (slot, rest), [np.array([1, 1])]),
        ((2, 2, 3), (slot, rest, slot), [np.array([0, 1, 0]), np.array([2, 0, 2])]),
        ((2, 3), (None, slot, 1), [np.array([1, 0, 0])]),
        ((3,), (slot,), [np.zeros(0, np.int64)]),
        ((3,), (slot,), [np.array(1)]),
        ((0, 3), (rest, slot), [np.array([1, 1])]),
    ]
    for size, template, arrays in cases:
        attributes: dict[str, Any] = {"template": template}
        bound = lambda x, *indices, t=template: x[index._filled(t, indices)]  # noqa: E731
        yield Sample(index.GATHER, bound, (signed(size), *arrays), attributes, f" {template}")
        values = signed(np.zeros(size)[index._filled(template, tuple(arrays))].shape)
        bound = lambda x, *indices, t=template, s=size: _added(x, index._filled(t, indices), s)  # noqa: E731
        yield Sample(index.SCATTER_ADD, bound, (values, *arrays), {**attributes, "shape": size}, f" {template}")


def _added(x: np.ndarray, place: Any, size: tuple[int, ...]) -> np.ndarray:
    out = np.zeros(size, x.dtype)
    np.add.at(out, place, x)
    return out


def _uniform() -> Iterator[Sample]:
    for size in SHAPES:
        for dtype in (np.float32, np.float64):
            attributes = {"shape": size, "dtype": np.dtype(dtype)}
            bound = lambda state, a=attributes: philox_uniform(state, **a)  # noqa: E731
            yield Sample(random.UNIFORM, bound, (np.array([5, 2, 3]),), attributes, f" {size} {dtype.__name__}")


# Images, window, strides, dilation, filters: the general case, windows apart, with gaps, no images, and one element.
WINDOWED: list[tuple[tuple[int, ...], tuple[int, int], tuple[int, int], tuple[int, int], int]] = [
    ((2, 3, 4, 2), (2, 3), (1, 1), (1, 1), 3),
    ((1, 4, 3, 1), (2, 1), (2, 3), (1, 1), 2),
    ((1, 4, 5, 2), (2, 2), (1, 2), (3, 2), 1),
    ((0, 2, 2, 1), (2, 2), (1, 1), (1, 1), 1),
    ((1, 1, 1, 1), (1, 1), (1, 1), (1, 1), 1),
]


def _window() -> Iterator[Sample]:
    for size, reach, strides, dilation, filters in WINDOWED:
        note = f" {reach} {strides} {dilation}"
        steps: dict[str, Any] = {"strides": strides, "dilation": dilation}
        x, kernel = signed(size), signed((*reach, size[3], filters), 1)
        seen = windows_of(x, reach, strides, dilation)
        y = signed((*seen.shape[:3], filters), 2)
        within, inside = {**steps, "size": reach}, {**steps, "size": size[1:3]}
        bound: Callable[..., Any] = lambda x, a=(reach, strides, dilation): windows_of(x, *a)  # noqa: E731
        yield Sample(window.WINDOWS, bound, (x,), within, note)
        bound = lambda x, a=(size[1:3], strides, dilation): folded(x, *a)  # noqa: E731
        yield Sample(window.FOLD, bound, (signed(seen.shape, 3),), inside, note)
        bound = lambda x, k, b, a=(reach, strides, dilation): (  # noqa: E731
            np.einsum("nrsijc,ijcf->nrsf", windows_of(x, *a), k) + b
        )
        yield Sample(window.CONVOLVE, bound, (x, kernel, signed((filters,), 4)), steps, note)
        yield Sample(window.CONVOLVE, bound, (x, kernel, 0.0), steps, note)
        bound = lambda y, k, a=(size[1:3], strides, dilation): folded(  # noqa: E731
            np.einsum("nrsf,ijcf->nrsijc", y, k), *a
        )
        yield Sample(window.CONVOLVE_TRANSPOSED, bound, (y, kernel), inside, note)
        bound = lambda x, y, a=(reach, strides, dilation): np.einsum(  # noqa: E731
            "nrsijc,nrsf->ijcf", windows_of(x, *a), y
        )
        yield Sample(window.CONVOLVE_KERNEL, bound, (x, y), within, note)


def _seen(
    lengths: Sequence[int], size: tuple[int, int], strides: tuple[int, int], dilation: tuple[int, int]
) -> Iterator[tuple[tuple[int, ...], tuple[Any, ...]]]:
    """Yield each row and column of windows with the rows and columns of the image that the window sees."""
    spans = [(n - 1) * d + 1 for n, d in zip(size, dilation, strict=True)]
    counts = [(n - span) // s + 1 for n, span, s in zip(lengths, spans, strides, strict=True)]
    for spot in np.ndindex(*counts):
        starts = [i * s for i, s in zip(spot, strides, strict=True)]
        yield spot, tuple(slice(a, a + n, d) for a, n, d in zip(starts, spans, dilation, strict=True))


def windows_of(x: np.ndarray, size: tuple[int, int], strides: tuple[int, int], dilation: tuple[int, int]) -> np.ndarray:
    """Return the windows of images, copied one by one: (batch, rows, columns, *size, channels)."""
    found = {spot: x[:, rows, columns] for spot, (rows, columns) in _seen(x.shape[1:3], size, strides, dilation)}
    down, right = (i + 1 for i in max(found))
    out = np.stack([found[i, j] for i in range(down) for j in range(right)], axis=1)
    return out.reshape(len(x), down, right, *size, x.shape[3])


def folded(x: np.ndarray, lengths: Sequence[int], strides: tuple[int, int], dilation: tuple[int, int]) -> np.ndarray:
    """Return the sum of windows at their places in images, added one by one."""
    out = np.zeros((len(x), *lengths, x.shape[-1]), x.dtype)
    for (i, j), (rows, columns) in _seen(lengths, x.shape[3:5], strides, dilation):
        out[:, rows, columns] += x[:, i, j]
    return out


SAMPLES: list[Sample] = [
    *_elementwise(),
    *_cast(),
    *_reduce(),
    *_shape(),
    *_linalg(),
    *_index(),
    *_uniform(),
    *_window(),
]
