"""Shapes: what is composed of the views, against NumPy, and the sentences for impossible shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import tinygrad_dnn as td
from tests.ops.samples import signed
from tinygrad_dnn.ops import normalize_axes, sum_to
from tinygrad_dnn.testing import check_grads

X = signed((2, 3, 4))
NUMPYS_24: Any = np.int64(24)

CALLS: dict[str, tuple[Callable[[Any], Any], Callable[[np.ndarray], Any]]] = {
    "reshape -1": (lambda x: td.reshape(x, (4, -1)), lambda x: x.reshape(4, -1)),
    "reshape int": (lambda x: td.reshape(x, 24), lambda x: x.reshape(24)),
    "reshape np.int64": (lambda x: td.reshape(x, NUMPYS_24), lambda x: x.reshape(24)),
    "ravel": (td.ravel, np.ravel),
    "transpose": (td.transpose, np.transpose),
    "transpose axes": (lambda x: td.transpose(x, (1, -1, 0)), lambda x: np.transpose(x, (1, -1, 0))),
    "swapaxes": (lambda x: td.swapaxes(x, 0, -1), lambda x: np.swapaxes(x, 0, -1)),
    "moveaxis 0 -1": (lambda x: td.moveaxis(x, 0, -1), lambda x: np.moveaxis(x, 0, -1)),
    "moveaxis 2 0": (lambda x: td.moveaxis(x, 2, 0), lambda x: np.moveaxis(x, 2, 0)),
    "moveaxis -1 1": (lambda x: td.moveaxis(x, -1, 1), lambda x: np.moveaxis(x, -1, 1)),
    "moveaxis 1 -2": (lambda x: td.moveaxis(x, 1, -2), lambda x: np.moveaxis(x, 1, -2)),
    "broadcast_to": (lambda x: td.broadcast_to(x, (2, 2, 3, 4)), lambda x: np.broadcast_to(x, (2, 2, 3, 4))),
    "expand_dims 1": (lambda x: td.expand_dims(x, 1), lambda x: np.expand_dims(x, 1)),
    "expand_dims -1": (lambda x: td.expand_dims(x, -1), lambda x: np.expand_dims(x, -1)),
    "expand_dims 3": (lambda x: td.expand_dims(x, 3), lambda x: np.expand_dims(x, 3)),
    "squeeze": (lambda x: td.squeeze(td.reshape(x, (1, 6, 1, 4))), lambda x: x.reshape(6, 4)),
    "squeeze axis": (lambda x: td.squeeze(td.reshape(x, (1, 6, 1, 4)), -2), lambda x: x.reshape(1, 6, 4)),
    "squeeze axes": (lambda x: td.squeeze(td.reshape(x, (1, 6, 1, 4)), (0, 2)), lambda x: x.reshape(6, 4)),
    "flip": (td.flip, np.flip),
    "flip axis": (lambda x: td.flip(x, -1), lambda x: np.flip(x, -1)),
    "flip axes": (lambda x: td.flip(x, (0, 2)), lambda x: np.flip(x, (0, 2))),
    "concatenate": (lambda x: td.concatenate([x, x * 2], -1), lambda x: np.concatenate([x, x * 2], -1)),
    "concatenate one": (lambda x: td.concatenate([x]), lambda x: x),
    "concatenate rows": (td.concatenate, np.concatenate),
    "stack": (lambda x: td.stack([x, x * 2]), lambda x: np.stack([x, x * 2])),
    "stack -1": (lambda x: td.stack([x, x * 2], -1), lambda x: np.stack([x, x * 2], -1)),
    "stack 2": (lambda x: td.stack([x, x * 2], 2), lambda x: np.stack([x, x * 2], 2)),
    "split": (lambda x: td.split(x, 2, -1)[1], lambda x: np.split(x, 2, -1)[1]),
    "split places": (lambda x: td.split(x, [1, 3], 2)[1], lambda x: np.split(x, [1, 3], 2)[1]),
    "pad": (lambda x: td.pad(x, [(1, 0), (0, 2), (1, 1)]), lambda x: np.pad(x, [(1, 0), (0, 2), (1, 1)])),
    "pad value": (
        lambda x: td.pad(x, [(1, 0), (0, 2), (1, 1)], 2.5),
        lambda x: np.pad(x, [(1, 0), (0, 2), (1, 1)], constant_values=2.5),
    ),
    "tile": (lambda x: td.tile(x, (2, 1, 3)), lambda x: np.tile(x, (2, 1, 3))),
    "tile none": (lambda x: td.tile(x, (2, 0, 3)), lambda x: np.tile(x, (2, 0, 3))),
}


@pytest.mark.parametrize("name", CALLS)
def test_value_is_numpys(name: str, backend: str) -> None:
    ours, theirs = CALLS[name]
    for values in (X, X.astype(np.float32), *([] if name == "pad value" else [(X * 10).astype(np.int64)])):
        out, expected = ours(td.tensor(values)), theirs(values)
        assert (out.shape, out.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_array_equal(out.numpy(), expected)


@pytest.mark.parametrize("name", CALLS)
def test_derivatives(name: str, backend: str) -> None:
    ours, _ = CALLS[name]
    check_grads(lambda x: ours(x * x), X)


def test_tensor_methods(backend: str) -> None:
    x = td.tensor(X)
    for out, expected in [
        (x.T, X.T),
        (x.transpose(), X.T),
        (x.transpose(1, 2, 0), X.transpose(1, 2, 0)),
        (x.transpose((1, 2, 0)), X.transpose(1, 2, 0)),
        (x.reshape(3, -1), X.reshape(3, -1)),
        (x.reshape((3, -1)), X.reshape(3, -1)),
        (x.reshape([3, -1]), X.reshape(3, -1)),
        (x.reshape(-1), X.reshape(-1)),
        (x.flatten(), X.ravel()),
        (x[:1].squeeze(), X[0]),
        (x[:1].squeeze(0), X[0]),
    ]:
        np.testing.assert_array_equal(out.numpy(), expected)


@given(data=st.data())
@settings(max_examples=60)
def test_reshape_and_transpose_of_any_shape(data: st.DataObject, backend: str) -> None:
    shape = data.draw(npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3))
    values = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    x = td.tensor(values)
    order = data.draw(st.permutations(range(len(shape))))
    assert td.transpose(x, order).numpy().tolist() == values.transpose(order).tolist()
    turned = td.transpose(x, order)
    assert td.reshape(turned, (values.size,)).tolist() == values.transpose(order).reshape(-1).tolist()


@given(shapes=npst.mutually_broadcastable_shapes(num_shapes=1, base_shape=(2, 1, 3), max_dims=4, max_side=3))
@settings(max_examples=60)
def test_sum_to_undoes_broadcasting(shapes: Any, backend: str) -> None:
    (shape,) = shapes.input_shapes
    small = signed(shape)
    large = np.broadcast_to(small, shapes.result_shape)
    count = large.size // max(small.size, 1)
    out = sum_to(td.tensor(large), shape)
    np.testing.assert_allclose(out.numpy(), small * count, rtol=1e-12)
    assert td.broadcast_to(td.tensor(small), shapes.result_shape).numpy().tolist() == large.tolist()


@given(data=st.data())
@settings(max_examples=60)
def test_split_and_concatenate_are_inverse(data: st.DataObject, backend: str) -> None:
    shape = data.draw(npst.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    places = sorted(data.draw(st.lists(st.integers(0, shape[axis]), max_size=3)))
    values = np.arange(np.prod(shape)).reshape(shape)
    parts = td.split(values, places, axis)
    assert [p.tolist() for p in parts] == [p.tolist() for p in np.split(values, places, axis)]
    assert td.concatenate(parts, axis).tolist() == values.tolist()


def test_split_of_nothing_and_beyond_the_end(backend: str) -> None:
    assert [p.shape for p in td.split(td.zeros((0, 2)), 3)] == [(0, 2)] * 3
    assert [p.tolist() for p in td.split([1, 2, 3], [2, 6])] == [[1, 2], [3], []]


def test_padding_keeps_the_values_exactly(backend: str) -> None:
    assert td.pad([1e-8, 3.0], [(1, 1)], 1e4).tolist() == [1e4, np.float32(1e-8), 3.0, 1e4]
    assert td.pad([1.0], [(0, 1)], -np.inf).tolist() == [1.0, -np.inf]
    assert td.pad([1, 2], [(1, 0)], 7).tolist() == [7, 1, 2]
    assert td.pad([1, 2], [(1, 0)], 7).dtype == "int64"


def test_what_changes_nothing_is_the_tensor_itself(backend: str) -> None:
    x = td.tensor(X)
    assert td.reshape(x, x.shape) is x
    assert td.broadcast_to(x, x.shape) is x
    assert td.squeeze(x) is x


def test_reshape_of_a_view_copies_in_row_major_order(backend: str) -> None:
    x = td.tensor(X)
    np.testing.assert_array_equal(x.T[::2].reshape(-1).numpy(), X.T[::2].reshape(-1))


FAULTS: dict[str, tuple[Callable[[], Any], str]] = {
    "reshape": (lambda: td.zeros((2, 3)).reshape(4), r"^reshape\(float32\[2, 3\].*shape=\(4,\)\) is not possible: "),
    "reshape two": (lambda: td.zeros((2, 3)).reshape(-1, -1), r"^reshape\(.*shape=\(-1, -1\)\) is not possible: "),
    "broadcast_to": (lambda: td.broadcast_to(td.zeros(3), (2, 4)), r"^broadcast_to\(float32\[3\].*\) is not possible"),
    "transpose": (lambda: td.transpose(td.zeros((2, 3)), (0, 2)), r"axis \(0, 2\) does not fit a Tensor of 2 axes"),
    "transpose few": (lambda: td.transpose(td.zeros((2, 3)), (0,)), r"^transpose\(.*axes=\(0,\)\) is not possible"),
    "swapaxes": (lambda: td.swapaxes(td.zeros((2, 3)), 0, 2), "axis 2 does not fit a Tensor of 2 axes"),
    "moveaxis": (lambda: td.moveaxis(td.zeros((2, 3)), 2, 0), "axis 2 does not fit a Tensor of 2 axes"),
    "moveaxis to": (lambda: td.moveaxis(td.zeros((2, 3)), 0, 2), "axis 2 does not fit a Tensor of 2 axes"),
    "expand_dims": (lambda: td.expand_dims(td.zeros(3), 3), "expand_dims: axis 3 does not fit a Tensor of 1 axes"),
    "squeeze": (lambda: td.squeeze(td.zeros((2, 1)), 0), r"squeeze: axis 0 of a Tensor of shape \(2, 1\) has length 2"),
    "squeeze axis": (lambda: td.squeeze(td.zeros((2, 1)), 3), "axis 3 does not fit a Tensor of 2 axes"),
    "squeeze 0-d": (lambda: td.squeeze(td.zeros(()), 0), "axis 0 does not fit a Tensor of 0 axes"),
    "flip": (lambda: td.flip(td.zeros(3), 1), "axis 1 does not fit a Tensor of 1 axes"),
    "concatenate": (lambda: td.concatenate([]), "concatenate needs at least one Tensor"),
    "concatenate shapes": (
        lambda: td.concatenate([td.zeros((2, 3)), td.zeros((2, 4))]),
        r"^concatenate\(float32\[2, 3\].*float32\[2, 4\].*axis=0\) is not possible: ",
    ),
    "concatenate axis": (lambda: td.concatenate([td.zeros(3)], 1), "axis 1 does not fit a Tensor of 1 axes"),
    "stack": (lambda: td.stack([td.zeros(2), td.zeros(3)]), r"^concatenate\(.*\) is not possible"),
    "stack nothing": (lambda: td.stack([]), "needs at least one Tensor"),
    "split": (lambda: td.split(td.zeros(5), 2), "an axis of length 5 does not divide into 2 equal sections"),
    "split none": (lambda: td.split(td.zeros(5), 0), "an axis of length 5 does not divide into 0 equal sections"),
    "split axis": (lambda: td.split(td.zeros(4), 2, 1), "axis 1 does not fit a Tensor of 1 axes"),
    "pad": (lambda: td.pad(td.zeros((2, 2)), [(1, 1)]), "does not give a pair of lengths for each axis"),
    "pad negative": (lambda: td.pad(td.zeros(2), [(-1, 1)]), "does not give a pair of lengths for each axis"),
    "tile": (lambda: td.tile(td.zeros((2, 2)), (2,)), r"tile: \(2,\) does not name each axis of shape \(2, 2\)"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_impossible_shapes_are_refused_with_a_sentence(name: str, backend: str) -> None:
    call, message = FAULTS[name]
    with pytest.raises(ValueError, match=message):
        call()


def test_normalize_axes() -> None:
    assert normalize_axes(None, 3) == (0, 1, 2)
    assert normalize_axes(-1, 3) == normalize_axes(np.max([1, 2]), 3) == (2,)
    assert normalize_axes([0, -1], 3) == (0, 2)
    assert normalize_axes((), 3) == ()
