"""Indexing against NumPy: basic, by arrays, by masks, mixed; reading, writing, gradients, errors."""

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
from tinygrad_dnn.testing import check_grads

X = signed((3, 4, 2))

INDICES: dict[str, Any] = {
    "int": 1,
    "negative": -1,
    "np.int64": np.int64(2),
    "ints": (0, -1, 1),
    "slice": slice(1, 3),
    "step": slice(None, None, 2),
    "reversed": (slice(None, None, -1), slice(3, 0, -2)),
    "beyond": slice(1, 100),
    "empty": slice(2, 1),
    "ellipsis": Ellipsis,
    "ellipsis last": (..., 0),
    "ellipsis middle": (0, ..., 1),
    "ellipsis of nothing": (0, 1, ..., 1),
    "none": None,
    "nones": (None, slice(None), None, 1),
    "nothing": (),
    "list": [0, 2, 2],
    "empty list": [],
    "array": np.array([[0, -1], [2, 2]]),
    "0-d array": np.array(1),
    "unsigned array": np.array([2, 0], np.uint8),
    "two arrays": (np.array([0, 2, 2]), np.array([1, 1, 3])),
    "arrays that broadcast": (np.array([[0], [2]]), np.array([1, 3, 3])),
    "array and slice": (slice(None), [3, 0, 0]),
    "array, slice, array": ([0, 2], slice(1, 3), [1, 0]),
    "array and int": ([0, 2, 2], 1),
    "int, slice, array": (1, slice(None), [0, 1, 1]),
    "array and none": (None, [0, 2], None),
    "ellipsis and array": (..., [1, 0, 1]),
    "mask": X[..., 0] > 0,
    "whole mask": X > 0,
    "mask of one axis": np.array([True, False, True]),
    "mask in the middle": (slice(None), np.array([True, False, True, True])),
    "mask and int": (np.array([True, False, True]), 2),
    "mask list": [True, False, True],
    "mask of nothing": np.zeros(3, bool),
    "mask and array": (np.array([True, False, True]), [1, 3]),
}


def on_device(index: Any) -> Any:
    """Return an index with its arrays as Tensors."""
    if isinstance(index, tuple):
        return tuple(on_device(part) for part in index)
    if isinstance(index, (list, np.ndarray)):
        return td.tensor(np.asarray(index, None if len(np.shape(index)) == 0 or len(index) else np.int64))
    return index


@pytest.mark.parametrize("name", INDICES)
def test_value_is_numpys(name: str, backend: str) -> None:
    index = INDICES[name]
    x, expected = td.tensor(X), X[index]
    for out in (x[index], x[on_device(index)], td.ops.getitem(X, index)):
        assert (out.shape, out.dtype, out.backend.name) == (np.shape(expected), expected.dtype, backend)
        np.testing.assert_array_equal(out.numpy(), expected)


@pytest.mark.parametrize("name", INDICES)
def test_derivatives(name: str, backend: str) -> None:
    index = INDICES[name]
    check_grads(lambda x: x[index] ** 2, X)
    check_grads(lambda x: (x * x)[on_device(index)], X)


@pytest.mark.parametrize("name", INDICES)
def test_setitem_is_numpys(name: str, backend: str) -> None:
    index = INDICES[name]
    part = np.shape(X[index])
    for value in (2.5, np.arange(np.prod(part, dtype=int)).reshape(part) + 0.5, np.ones(part[-1:])):
        expected, x, before = X.copy(), td.tensor(X), td.tensor(X)
        if name in ("list", "two arrays", "array and slice", "array and int", "int, slice, array", "array",
                    "ellipsis and array", "arrays that broadcast") and np.ndim(value):  # fmt: skip
            value = np.full(part, 1.5)  # which of two values one place keeps is not defined
        expected[index] = value
        out = td.ops.setitem(before, index, value)
        x[index] = value
        np.testing.assert_array_equal(x.numpy(), expected)
        np.testing.assert_array_equal(out.numpy(), expected)
        np.testing.assert_array_equal(before.numpy(), X)
        x = td.tensor(X)
        x[on_device(index)] = td.tensor(value)
        np.testing.assert_array_equal(x.numpy(), expected)


@pytest.mark.parametrize("name", ["int", "slice", "reversed", "ellipsis last", "two arrays distinct", "mask", "none"])
def test_derivatives_of_setitem(name: str, backend: str) -> None:
    index = {**INDICES, "two arrays distinct": ([0, 2], [1, 3])}[name]
    check_grads(lambda x, v: td.ops.setitem(x * x, index, v * v), [X, signed(np.shape(X[index]), 1)])
    check_grads(lambda x, v: td.ops.setitem(x * x, index, v), [X, signed(())])


# -- any index ----------------------------------------------------------------------------------------------------


@given(data=st.data())
@settings(max_examples=80)
def test_any_basic_index(data: st.DataObject, backend: str) -> None:
    shape = data.draw(npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
    index = data.draw(npst.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))
    values = np.arange(np.prod(shape, dtype=int), dtype=np.float64).reshape(shape)
    x = td.tensor(values, requires_grad=True)
    out = x[index]
    assert out.shape == np.shape(values[index])
    np.testing.assert_array_equal(out.numpy(), values[index])
    expected = np.zeros(shape)
    expected[index] = 1.0
    np.testing.assert_array_equal(td.grad(out.sum(), x).numpy(), expected)


@given(data=st.data())
@settings(max_examples=80)
def test_any_index_by_arrays_slices_and_masks(data: st.DataObject, backend: str) -> None:
    shape = data.draw(npst.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=3))
    result = data.draw(npst.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=2))
    parts: list[Any] = []
    for n in shape:
        kind = data.draw(st.sampled_from(["array", "mask", "slice", "int", "new"]))
        if kind == "array":
            parts.append(data.draw(npst.arrays(np.int64, result, elements=st.integers(-n, n - 1))))
        elif kind == "mask" and not any(isinstance(p, np.ndarray) for p in parts):
            parts.append(data.draw(npst.arrays(bool, (n,))))
            result = (int(parts[-1].sum()),)
        elif kind == "int":
            parts.append(data.draw(st.integers(-n, n - 1)))
        else:
            parts.extend([data.draw(st.slices(n))] if kind != "new" else [None, slice(None)])
    index = tuple(parts)
    values = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    x = td.tensor(values, requires_grad=True)
    out = x[on_device(index) if data.draw(st.booleans()) else index]
    assert out.shape == np.shape(values[index])
    np.testing.assert_array_equal(out.numpy(), values[index])
    expected = np.zeros(shape)
    np.add.at(expected, index, 1.0)
    np.testing.assert_array_equal(td.grad(out.sum(), x).numpy(), expected)


@given(data=st.data())
@settings(max_examples=60)
def test_setitem_with_any_basic_index(data: st.DataObject, backend: str) -> None:
    shape = data.draw(npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
    index = data.draw(npst.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))
    values = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    x, expected = td.tensor(values), values.copy()
    expected[index] = -1
    x[index] = -1
    np.testing.assert_array_equal(x.numpy(), expected)


# -- errors -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (3, r"index 3 is out of range for axis 0 of a Tensor of shape \(3, 4, 2\)"),
        (-4, r"index -4 is out of range for axis 0 of a Tensor of shape \(3, 4, 2\)"),
        ((0, 4), "index 4 is out of range for axis 1"),
        ((..., 2), "index 2 is out of range for axis 2"),
        ((None, 0, slice(None), -3), "index -3 is out of range for axis 2"),
        ([0, 3], "indices from 0 to 3 were given for axis 0"),
        ((slice(None), [-5, 0]), "indices from -5 to 0 were given for axis 1"),
        ((0, 0, 0, 0), r"4 indices were given for a Tensor of shape \(3, 4, 2\)"),
        ((np.zeros((3, 4), bool), 0, 0), r"4 indices were given for a Tensor of shape \(3, 4, 2\)"),
        (np.zeros(4, bool), r"a mask of shape \(4,\) was given for axes of shape \(3,\)"),
        ((0, np.zeros((4, 3), bool)), r"a mask of shape \(4, 3\) was given for axes of shape \(4, 2\)"),
        (1.0, r"indexed by integers, slices, masks, None or ..., not by 1.0"),
        ("a", "not by 'a'"),
        ([0.5], r"not by \[0.5\]"),
        (True, "not indexed by a single truth value"),
        ((0, np.True_), "not indexed by a single truth value"),
        ((..., 0, ...), "single ellipsis"),
        (([0, 1], [0, 1, 2]), r"^gather\(.*\) is not possible: "),
    ],
    ids=repr,
)
def test_impossible_indices_are_refused_with_a_sentence(index: Any, message: str, backend: str) -> None:
    with pytest.raises(IndexError, match=message):
        td.tensor(X)[index]


def test_float_tensors_are_no_indices(backend: str) -> None:
    with pytest.raises(IndexError, match="indexed by integers or booleans, not by float32"):
        td.tensor(X)[td.tensor([0.0])]


@pytest.mark.parametrize("index", [3, -4, [0, 3], (0, 4), (0, 0, 0, 0), 0.5, np.zeros(4, bool)], ids=repr)
def test_impossible_places_are_not_written(index: Any, backend: str) -> None:
    x = td.tensor(X)
    with pytest.raises(IndexError):
        x[index] = 0.0
    np.testing.assert_array_equal(x.numpy(), X)


@pytest.mark.parametrize("value", [np.zeros(3), np.zeros((2, 4, 2)), [1.0, 2.0, 3.0]], ids=repr)
def test_values_that_do_not_fit_are_not_written(value: Any, backend: str) -> None:
    x = td.tensor(X)
    with pytest.raises(ValueError, match=r"^broadcast_to\(.*shape=\(4, 2\)\) is not possible"):
        x[0] = value
    np.testing.assert_array_equal(x.numpy(), X)


def test_tensor_indices_out_of_range_on_the_host() -> None:
    with td.backend.use("numpy"), pytest.raises(IndexError, match=r"^gather\(float32\[3\] on numpy, int64\[1\]"):
        td.zeros(3)[td.tensor([3])]


# -- take and one_hot ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
@pytest.mark.parametrize("indices", [0, [1, 0, 1], [[0], [1]], np.array([-1], np.int32), []], ids=repr)
def test_take(indices: Any, axis: int, backend: str) -> None:
    expected = np.take(X, np.asarray(indices, int), axis)
    np.testing.assert_array_equal(td.take(X, indices, axis).numpy(), expected)
    np.testing.assert_array_equal(td.take(td.tensor(X), td.tensor(np.asarray(indices, int)), axis).numpy(), expected)
    check_grads(lambda x: td.take(x * x, indices, axis), X)


def test_take_out_of_range(backend: str) -> None:
    for axis in (3, -4):
        with pytest.raises(ValueError, match=f"axis {axis} does not fit a Tensor of 3 axes"):
            td.take(X, [0], axis)
    with pytest.raises(IndexError, match="indices from 4 to 4 were given for axis 1"):
        td.take(X, [4], 1)


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "float32"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 2), (0,)])
def test_one_hot(dtype: str, shape: tuple[int, ...], backend: str) -> None:
    labels = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    out = td.one_hot(td.tensor(labels), 300)
    assert (out.shape, out.dtype.name) == ((*shape, 300), td.backend.floatx())
    np.testing.assert_array_equal(out.numpy(), np.eye(300)[labels.astype(int)])


def test_one_hot_of_other_labels(backend: str) -> None:
    assert td.one_hot([True, False], 3).tolist() == [[0, 1, 0], [1, 0, 0]]
    assert td.one_hot([3, -1], 3).tolist() == [[0, 0, 0], [0, 0, 0]]
    assert td.one_hot([1], 2, "int32").dtype == "int32"


# -- gradients accumulate where an index repeats ------------------------------------------------------------------


@pytest.mark.parametrize("function", [lambda x: x[[1, 1, 1]], lambda x: td.take(x, [1, 1, 1])])
def test_repeated_indices_add_their_gradients(function: Callable[[td.Tensor], td.Tensor], backend: str) -> None:
    x = td.tensor([1.0, 2.0], requires_grad=True)
    assert td.grad((function(x) * [1.0, 2.0, 3.0]).sum(), x).tolist() == [0.0, 6.0]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_repeated_indices_add_in_every_float(dtype: str, backend: str) -> None:
    x = td.ones(2, dtype, requires_grad=True)
    g = td.grad(x[[0, 0]].sum(), x)
    assert (g.tolist(), g.dtype) == ([2.0, 0.0], dtype)
