"""The strict double's array: what refuses it, how it is indexed, what its memory holds."""

from __future__ import annotations

import copy
import math
import operator
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinygrad_dnn.backend.strict import StrictArray, StrictBackend
from tinygrad_dnn.backend.strict_memory import POISON, VARIED_SIZE


def host(*shape: int, dtype: str = "float32") -> np.ndarray:
    return np.arange(math.prod(shape)).reshape(shape).astype(dtype)


# -- nothing comes to the host, and nothing goes to the device, by itself ----------------------------------------------

TO_HOST = {
    "asarray": lambda x: np.asarray(x),
    "array": lambda x: np.array(x),
    "array of a list": lambda x: np.array([x, x]),
    "ascontiguousarray": lambda x: np.ascontiguousarray(x),
    "scalar type": lambda x: np.float32(x),
    "ufunc": lambda x: np.exp(x),
    "ufunc with a number": lambda x: np.add(x, 1.0),
    "ufunc of two": lambda x: np.add(np.ones(3, np.float32), x),
    "ufunc out": lambda x: np.exp(np.ones(3, np.float32), out=x),
    "reduction": lambda x: np.sum(x),
    "ufunc method": lambda x: np.add.reduce(x),
    "reshape": lambda x: np.reshape(x, (3, 1)),
    "concatenate": lambda x: np.concatenate([x, x]),
    "where": lambda x: np.where(np.ones(3, bool), x, 0),
    "matmul": lambda x: np.ones((3, 3), np.float32) @ x,
    "dot": lambda x: np.ones(3, np.float32).dot(x),
    "assignment": lambda x: operator.setitem(np.ones(3, np.float32), slice(None), x),
    "in-place operator": lambda x: operator.iadd(np.ones(3, np.float32), x),
    "index": lambda x: np.arange(9)[x],
    "copyto": lambda x: np.copyto(np.ones(3, np.float32), x),
    "from_dlpack": lambda x: np.from_dlpack(x),
    "memoryview": lambda x: memoryview(x),
    "operator": lambda x: np.ones(3, np.float32) * x,
    "comparison": lambda x: np.ones(3, np.float32) < x,
}


@pytest.mark.parametrize("route", TO_HOST.values(), ids=TO_HOST.keys())
def test_numpy_gets_no_device_array(xp: StrictBackend, route: Callable[[StrictArray], Any]) -> None:
    x = xp.from_host(np.ones(3, np.float32))
    syncs = xp.host_syncs
    with pytest.raises((TypeError, AttributeError, IndexError, BufferError)):
        route(x)
    assert xp.host_syncs == syncs


FOREIGN = {
    "array": np.ones(3, np.float32),
    "0-d array": np.array(1.0),
    "scalar": np.float32(1),
    "double, which is a float too": np.float64(1),
    "bool": np.bool_(True),
    "list": [1.0, 1.0, 1.0],
    "None": None,
}


@pytest.mark.parametrize("foreign", FOREIGN.values(), ids=FOREIGN.keys())
def test_operands_are_device_arrays_and_python_numbers(xp: StrictBackend, foreign: Any) -> None:
    x = xp.from_host(np.ones(3, np.float32))
    operators = (operator.add, operator.truediv, operator.pow, operator.eq, operator.lt, operator.iadd, operator.matmul)
    for apply in operators:
        with pytest.raises(TypeError, match="of the strict backend was given"):
            apply(x, foreign)
    for apply in (operator.add, operator.matmul):
        with pytest.raises(TypeError):
            apply(foreign, x)
    for call in (
        lambda: xp.maximum(x, foreign),
        lambda: xp.multiply(foreign, x),
        lambda: xp.add(x, x, out=foreign) if foreign is not None else xp.exp(None),
        lambda: xp.sum(foreign),
        lambda: xp.matmul(x, foreign),
        lambda: xp.take(x, foreign),
        lambda: xp.where(x > 0, x, foreign) if foreign is not None else xp.where(None),
        lambda: xp.concatenate([x, foreign]),
        lambda: xp.asarray(foreign),
        lambda: xp.scatter_add(x, xp.asarray(0), foreign),
        lambda: operator.setitem(x, slice(None), foreign),
        lambda: x[xp.asarray(0), foreign] if foreign is not None else x.fill(None),
    ):
        with pytest.raises(TypeError):
            call()


def test_unknown_objects_get_their_own_operator(xp: StrictBackend) -> None:
    class Tensor:
        def __radd__(self, other: object) -> str:
            return "mine"

    assert xp.ones(2) + Tensor() == "mine"
    with pytest.raises(TypeError):
        xp.ones(2) - Tensor()


def test_from_host_takes_numpy_arrays_only(xp: StrictBackend) -> None:
    for value in (1.0, [1.0], np.float32(1), xp.ones(1)):
        with pytest.raises(TypeError, match="from_host takes a NumPy array"):
            xp.from_host(value)  # type: ignore[arg-type]
    for array in (np.array(["a"]), np.array([None]), np.ones(2, complex)):
        with pytest.raises(TypeError, match="has no arrays of"):
            xp.from_host(array)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int32", "int64", "float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3, 4)])
def test_host_and_back(device: Any, shape: tuple[int, ...], dtype: str) -> None:
    sent = np.asarray(np.arange(math.prod(shape)).reshape(shape) % 2, dtype=dtype)
    there = device.from_host(sent)
    back = device.to_host(there)
    assert type(back) is np.ndarray
    assert (back.shape, back.dtype) == (shape, sent.dtype)
    assert (there.shape, there.dtype, there.ndim, there.size) == (shape, sent.dtype, len(shape), sent.size)
    assert (there.nbytes, there.itemsize) == (sent.nbytes, sent.itemsize)
    np.testing.assert_array_equal(back, sent)


def test_copies_to_and_from_the_host_share_nothing(device: Any) -> None:
    sent = np.ones(3)
    there = device.from_host(sent)
    sent[:] = 7
    back = device.to_host(there)
    back[:] = 8
    np.testing.assert_array_equal(device.to_host(there), np.ones(3))


def test_from_host_keeps_fortran_order_and_takes_either_byte_order(device: Any) -> None:
    fortran = device.from_host(np.asfortranarray(host(2, 3)))
    assert (fortran.flags.f_contiguous, fortran.flags.c_contiguous) == (True, False)
    assert device.from_host(host(2, 3, 4).transpose(1, 0, 2)).flags.c_contiguous
    assert device.to_host(device.from_host(host(2, 3).T)).flags.c_contiguous
    big_endian = device.from_host(np.array([1, 2], ">i4"))
    assert big_endian.dtype == np.dtype("int32")
    np.testing.assert_array_equal(device.to_host(big_endian), [1, 2])


def test_no_pickle_no_hash(xp: StrictBackend) -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(xp.ones(2))
    with pytest.raises(TypeError, match="unhashable"):
        hash(xp.ones(2))


# -- indices -----------------------------------------------------------------------------------------------------------


def test_index_arrays_out_of_range_wrap(device: Any) -> None:
    x = device.from_host(np.array([10, 11, 12]))
    wild = device.from_host(np.array([3, -4, 7, -1]))
    wrapped = [10, 12, 11, 12]
    np.testing.assert_array_equal(device.to_host(device.take(x, wild)), wrapped)
    np.testing.assert_array_equal(device.to_host(device.take(x, 4)), 11)
    np.testing.assert_array_equal(device.to_host(x[wild]), wrapped)
    grid = device.from_host(host(3, 2, dtype="int64"))
    np.testing.assert_array_equal(device.to_host(grid[wild, wild + 1]), [0, 5, 2, 4])
    x[wild[:1]] = 99
    device.scatter_add(x, wild[1:2], device.from_host(np.array([5])))
    np.testing.assert_array_equal(device.to_host(x), [99, 11, 17])


def test_plain_integers_out_of_range_raise(device: Any) -> None:
    with pytest.raises(IndexError):
        device.ones(3)[3]


def test_small_index_types_reach_long_axes(device: Any) -> None:
    x = device.arange(300)
    assert device.to_host(x[device.from_host(np.array([-1], np.int8))]).tolist() == [299]
    assert device.to_host(device.take(x, device.from_host(np.array([255], np.uint8)))).tolist() == [255]


def test_indices_that_fit_no_axis(xp: StrictBackend) -> None:
    i = xp.arange(2)
    for x, key in ((xp.ones((0,)), i), (xp.ones((2,)), (i, i)), (xp.ones((2,)), i * 1.0), (xp.ones((2,)), (0, 0))):
        with pytest.raises(IndexError):
            x[key]
    with pytest.raises(TypeError):
        xp.ones(3)[True]
    with pytest.raises(TypeError):
        xp.ones(3)[[0, 1]]
    with pytest.raises(TypeError):
        xp.ones(3)[xp.asarray(1) :]


def test_a_repeated_index_keeps_another_value_than_numpys(xp: StrictBackend) -> None:
    for x in (xp.zeros((2, 3)), xp.zeros((2, 3), order="F"), xp.zeros((3, 2)).T):
        x[:, xp.from_host(np.array([1, 1, 2]))] = xp.from_host(np.array([[[5.0, 6.0, 7.0]]]))
        np.testing.assert_array_equal(xp.to_host(x), [[0, 5, 7], [0, 5, 7]])


def test_assignment(device: Any) -> None:
    expected = host(4, 3)
    x = device.from_host(expected)
    column = np.array([[-1.0], [-2.0]], np.float32)
    for key, value in (((slice(1, 3),), column), ((0, 0), 9.0), ((..., 2), 4), ((slice(None, None, 2), 1), 0.5)):
        expected[key] = value
        x[key] = device.from_host(value) if isinstance(value, np.ndarray) else value
    expected[[3, 1]] = expected[[0, 2]]
    x[device.from_host(np.array([3, 1]))] = x[device.from_host(np.array([0, 2]))]
    expected[expected < 0] = 0
    x[x < 0] = 0
    expected[1:] = expected[:-1].copy()
    x[1:] = x[:-1]
    np.testing.assert_array_equal(device.to_host(x), expected)


def test_scatter_add_counts_repeated_indices(device: Any) -> None:
    target = device.zeros((3, 2), dtype=np.float32)
    index = device.from_host(np.array([0, 2, 0]))
    result = device.scatter_add(target, index, device.from_host(host(3, 2)))
    assert result is target
    np.testing.assert_array_equal(device.to_host(target), [[4, 6], [0, 0], [2, 3]])
    device.scatter_add(target, (slice(None), 1), 1.0)
    device.scatter_add(target, (index, index % 2), device.from_host(np.ones(3, np.float32)))
    np.testing.assert_array_equal(device.to_host(target), [[6, 7], [0, 1], [3, 4]])
    with pytest.raises(TypeError):
        device.scatter_add(device.zeros(3, dtype=np.int8), index, 1)


def test_float_to_integer_keeps_within_the_type(device: Any) -> None:
    x = device.from_host(np.array([-1.5, 1.5, np.nan, np.inf, -np.inf, 3e9]))
    assert device.to_host(x.astype(np.int32)).tolist() == [-1, 1, 0, 2**31 - 1, -(2**31), 2**31 - 1]


# -- views, memory, layout ---------------------------------------------------------------------------------------------


def test_views_share_memory_and_copies_do_not(device: Any) -> None:
    x = device.zeros((2, 3))
    views = [
        x[0],
        x.T,
        x.reshape(3, 2),
        device.reshape(x, (6,)),
        device.transpose(x),
        device.expand_dims(x, 0),
        x[..., 1],
    ]
    views += [device.swapaxes(x, 0, 1), device.moveaxis(x, 0, 1), device.squeeze(x[None]), device.flip(x, axis=1)]
    views += [device.broadcast_to(x, (4, 2, 3)), device.ravel(x), *device.split(x, 2), x[0, 0], *x]
    copies = [x.copy(), x.astype(x.dtype), device.copy(x), x + 0, x[device.arange(2)], copy.deepcopy(x)]
    x.fill(1.0)
    assert all(device.to_host(view).all() for view in views)
    assert not any(device.to_host(other).any() for other in copies)
    for same in (x.astype(x.dtype, copy=False), device.asarray(x), device.ascontiguousarray(x)):
        assert same is x


def test_new_memory_is_poisoned(xp: StrictBackend) -> None:
    assert np.isnan(xp.to_host(xp.empty((2, 2)))).all()
    assert np.isnan(xp.to_host(xp.empty_like(xp.ones(3, dtype="float16")))).all()
    assert (xp.to_host(xp.empty(2, dtype="int16")) == np.frombuffer(b"\xa5\xa5", np.int16)).all()
    assert (xp.to_host(xp.empty(2, dtype=np.uint8)) == 0xA5).all()


def test_freed_memory_is_poisoned_when_the_last_view_goes(xp: StrictBackend) -> None:
    for make in (
        lambda: xp.ones((2, 3)),
        lambda: xp.ones((2, 3)) + 1,
        lambda: xp.sum(xp.ones((2, 3)), axis=0),
        lambda: xp.ones(4)[xp.arange(2)],
        lambda: xp.from_host(np.ones(3)),
    ):
        array = make()
        memory = array._data
        view = array[1:]
        del array
        assert not np.isnan(memory).any()
        del view
        assert np.isnan(memory).all()
    memory = xp.arange(3)._data
    assert (memory == POISON[memory.dtype.char]).all()


def test_layouts_vary_by_function_and_shape_and_repeat(xp: StrictBackend) -> None:
    x = xp.from_host(np.random.default_rng(0).standard_normal((5, 4)))
    layouts = {
        (name, shape): getattr(xp, name)(x[:, :shape]).flags.c_contiguous
        for name in ("exp", "sin", "negative", "square", "abs", "tanh")
        for shape in (2, 3, 4)
    }
    assert set(layouts.values()) == {True, False}
    assert {getattr(xp, name)(x[:, :shape]).flags.c_contiguous == c for (name, shape), c in layouts.items()} == {True}
    for chosen in (xp.zeros((4, 5)), xp.empty((4, 5)), x.copy(), xp.ascontiguousarray(xp.exp(x)), xp.eye(4)):
        assert chosen.flags.c_contiguous
    large = xp.ones((VARIED_SIZE, 2))
    assert (large + 1).flags.c_contiguous


def test_values_do_not_depend_on_layout(xp: StrictBackend) -> None:
    sent = np.random.default_rng(0).standard_normal((33, 65)).astype(np.float32)
    c, f = xp.from_host(sent), xp.from_host(np.asfortranarray(sent))
    assert c.strides != f.strides
    for call in (
        lambda x: xp.sum(x),
        lambda x: xp.sum(x, axis=0),
        lambda x: xp.mean(x, axis=1),
        lambda x: x @ x.T,
        lambda x: xp.exp(x) + x,
        lambda x: xp.reshape(x, (65, 33)),
        lambda x: xp.cumsum(x),
    ):
        assert xp.to_host(call(c)).tobytes() == xp.to_host(call(f)).tobytes()
