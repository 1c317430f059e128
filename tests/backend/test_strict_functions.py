"""The strict double's functions: those that CuPy has, with its arguments, and NumPy's results."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinygrad_dnn.backend.strict import StrictBackend
from tinygrad_dnn.backend.strict_table import CONSTANTS, SIGNATURES, UFUNCS


def host(*shape: int, dtype: str = "float32") -> np.ndarray:
    return np.arange(math.prod(shape)).reshape(shape).astype(dtype)


def test_what_cupy_is_not_known_to_have_is_missing(xp: StrictBackend) -> None:
    for name in ("fromiter", "nanargmin_", "lexsort", "einsum_path", "longdouble", "testing"):
        with pytest.raises(AttributeError, match=f"no '{name}': it is not known to exist in CuPy"):
            getattr(xp, name)
    assert not hasattr(xp.ones(2), "sort")


def test_every_listed_function_is_numpys() -> None:
    for name in UFUNCS:
        assert isinstance(getattr(np, name), np.ufunc), name
        assert getattr(np, name).nout == 1, name
    for name in CONSTANTS | SIGNATURES.keys():
        assert hasattr(np, name), name
    assert not UFUNCS & SIGNATURES.keys()


UNKNOWN_ARGUMENTS = {
    "ufunc where": lambda xp, x: xp.add(x, x, where=x > 0),
    "ufunc order": lambda xp, x: xp.exp(x, order="F"),
    "sum where": lambda xp, x: xp.sum(x, where=x > 0),
    "sum initial": lambda xp, x: xp.sum(x, initial=1.0),
    "max initial": lambda xp, x: xp.max(x, initial=1.0),
    "max initial by place": lambda xp, x: xp.max(x, 0, None, False, 1.0),
    "take mode": lambda xp, x: xp.take(x, xp.asarray(0), mode="clip"),
    "clip min": lambda xp, x: xp.clip(x, min=0.0),
    "where out": lambda xp, x: xp.where(x > 0, x, x, out=x),
    "argsort stable": lambda xp, x: xp.argsort(x, stable=True),
    "reshape shape": lambda xp, x: xp.reshape(x, shape=(3,)),
    "concatenate by place": lambda xp, x: xp.concatenate([x], 0, None, "float64"),
    "zeros device": lambda xp, x: xp.zeros(3, device="cpu"),
    "too many operands": lambda xp, x: xp.exp(x, x, x),
    "too few operands": lambda xp, x: xp.add(x),
    "array by keyword": lambda xp, x: xp.sum(a=x),
}


@pytest.mark.parametrize("call", UNKNOWN_ARGUMENTS.values(), ids=UNKNOWN_ARGUMENTS.keys())
def test_arguments_that_cupy_lacks_are_refused(xp: StrictBackend, call: Callable[..., Any]) -> None:
    with pytest.raises(TypeError):
        call(xp, xp.from_host(host(3)))


def test_sort_has_one_kind(device: Any) -> None:
    x = device.from_host(np.array([1, 0, 1, 0]))
    np.testing.assert_array_equal(device.to_host(device.argsort(x)), [1, 3, 0, 2])
    np.testing.assert_array_equal(device.to_host(device.sort(x, axis=0)), [0, 0, 1, 1])
    with pytest.raises(ValueError, match="kind"):
        device.sort(x, kind="quicksort")


SAME_AS_NUMPY = {
    "add": lambda xp, x, y, i: xp.add(x, y),
    "broadcasting": lambda xp, x, y, i: x + y[0],
    "number": lambda xp, x, y, i: 1 - x * 2.5,
    "power": lambda xp, x, y, i: xp.abs(x) ** 1.5,
    "integer division": lambda xp, x, y, i: i // 3 + i % 2,
    "comparison": lambda xp, x, y, i: (x > y) & ~(x == 0) | (x <= -1),
    "exp": lambda xp, x, y, i: xp.exp(xp.minimum(x, 1)),
    "dtype": lambda xp, x, y, i: xp.add(i, i, dtype="float32"),
    "number beside integers": lambda xp, x, y, i: i * 0.5,
    "0-d": lambda xp, x, y, i: xp.exp(xp.sum(x)),
    "sum": lambda xp, x, y, i: xp.sum(x),
    "sum of an axis": lambda xp, x, y, i: xp.sum(x, axis=0),
    "sum of axes": lambda xp, x, y, i: xp.sum(x, axis=(0, 1), keepdims=True),
    "sum of booleans": lambda xp, x, y, i: xp.sum(x > 0, dtype=np.float32),
    "sum of a transpose": lambda xp, x, y, i: xp.sum(x.T, axis=1),
    "mean": lambda xp, x, y, i: xp.mean(x, axis=1),
    "var": lambda xp, x, y, i: xp.var(x, axis=0, ddof=1),
    "max": lambda xp, x, y, i: xp.max(x, axis=1, keepdims=True),
    "prod": lambda xp, x, y, i: xp.prod(x),
    "any": lambda xp, x, y, i: xp.any(x > 2, axis=0),
    "all": lambda xp, x, y, i: xp.all(x > -99),
    "argmax": lambda xp, x, y, i: xp.argmax(x, axis=1),
    "argmin": lambda xp, x, y, i: xp.argmin(x),
    "count_nonzero": lambda xp, x, y, i: xp.count_nonzero(x > 0),
    "cumsum": lambda xp, x, y, i: xp.cumsum(x, axis=1),
    "matmul": lambda xp, x, y, i: xp.matmul(x, y.T),
    "operator matmul": lambda xp, x, y, i: x @ xp.transpose(y, (1, 0)),
    "vector": lambda xp, x, y, i: x @ y[0],
    "inner": lambda xp, x, y, i: x[0] @ y[0],
    "batched": lambda xp, x, y, i: xp.expand_dims(x, 0) @ xp.swapaxes(y, 0, 1),
    "where": lambda xp, x, y, i: xp.where(x > 0, x, -1.0),
    "clip": lambda xp, x, y, i: xp.clip(x, -1.0, None),
    "concatenate": lambda xp, x, y, i: xp.concatenate([x, y], axis=1),
    "stack": lambda xp, x, y, i: xp.stack((x, y), axis=-1),
    "take": lambda xp, x, y, i: xp.take(x, i[:3], axis=1),
    "take flat": lambda xp, x, y, i: xp.take(x, i),
    "take one": lambda xp, x, y, i: xp.take(x, 1, axis=0),
    "take along": lambda xp, x, y, i: xp.take_along_axis(x, xp.argsort(x, axis=1), axis=1),
    "reshape": lambda xp, x, y, i: xp.reshape(x + y, (3, 4)),
    "method reshape": lambda xp, x, y, i: (x * y).reshape(2, -1),
    "ravel": lambda xp, x, y, i: xp.ravel(x.T),
    "transpose": lambda xp, x, y, i: x.transpose(1, 0),
    "moveaxis": lambda xp, x, y, i: xp.moveaxis(x, 0, -1),
    "broadcast_to": lambda xp, x, y, i: xp.broadcast_to(x, (2, 4, 3)),
    "squeeze": lambda xp, x, y, i: xp.squeeze(xp.expand_dims(x, 1), axis=1),
    "flip": lambda xp, x, y, i: xp.flip(x, axis=0),
    "windows": lambda xp, x, y, i: xp.lib.stride_tricks.sliding_window_view(x, (2, 2), axis=(0, 1)),
    "tile": lambda xp, x, y, i: xp.tile(x, (2, 1)),
    "repeat": lambda xp, x, y, i: xp.repeat(x, 2, axis=0),
    "tril": lambda xp, x, y, i: xp.tril(x),
    "split": lambda xp, x, y, i: xp.split(x, 2, axis=0)[1],
    "full": lambda xp, x, y, i: xp.full((2, 2), 7, dtype=np.float32),
    "arange": lambda xp, x, y, i: xp.arange(2, 9, 3),
    "eye": lambda xp, x, y, i: xp.eye(3, dtype="float32"),
    "zeros_like": lambda xp, x, y, i: xp.zeros_like(x, dtype="int64"),
    "astype": lambda xp, x, y, i: x.astype(np.int32),
    "asarray": lambda xp, x, y, i: xp.asarray(3.0),
    "one element": lambda xp, x, y, i: x[1, -1],
    "row": lambda xp, x, y, i: x[2],
    "slices": lambda xp, x, y, i: x[::-2, 1:],
    "new axis": lambda xp, x, y, i: x[..., None, 0],
    "array index": lambda xp, x, y, i: x[i[:2]],
    "array index after a slice": lambda xp, x, y, i: x[:, i[:2]],
    "two array indices": lambda xp, x, y, i: x[i[:3], i[:3] - 1],
    "array index beside an integer": lambda xp, x, y, i: x[1, i[:2]],
    "array indices apart": lambda xp, x, y, i: xp.stack([x, y])[i[:2] % 2, :, i[:2]],
    "mask": lambda xp, x, y, i: x[x > 0],
    "mask of rows": lambda xp, x, y, i: x[i[:4] > 1, 1:],
    "0-d index": lambda xp, x, y, i: x[i[1]],
    "nonzero": lambda xp, x, y, i: xp.nonzero(x > 0)[1],
    "allclose": lambda xp, x, y, i: xp.allclose(x, x),
    "array_equal": lambda xp, x, y, i: xp.array_equal(x, y),
    "isclose": lambda xp, x, y, i: xp.isclose(x, y, rtol=0.5),
    "array_split": lambda xp, x, y, i: xp.array_split(x, 3, axis=0)[2],
    "amax": lambda xp, x, y, i: xp.amax(x, 0) - xp.amin(x, 0),
    "min": lambda xp, x, y, i: xp.min(x, axis=0),
    "std": lambda xp, x, y, i: xp.std(x, axis=0),
    "cumprod": lambda xp, x, y, i: xp.cumprod(x, axis=0),
    "trace": lambda xp, x, y, i: xp.trace(x, 1),
    "roll": lambda xp, x, y, i: xp.roll(x, 2, axis=0),
    "triu": lambda xp, x, y, i: xp.triu(x, 1),
    "identity": lambda xp, x, y, i: xp.identity(3, dtype="float32"),
    "ones_like": lambda xp, x, y, i: xp.ones_like(x) + xp.ones((4, 3), dtype="float32"),
    "full_like": lambda xp, x, y, i: xp.full_like(x, 2.5),
    "asfortranarray": lambda xp, x, y, i: xp.asfortranarray(x),
    "copy": lambda xp, x, y, i: xp.copy(x.T),
}


@pytest.mark.parametrize("call", SAME_AS_NUMPY.values(), ids=SAME_AS_NUMPY.keys())
def test_results_are_numpys(device: Any, call: Callable[..., Any]) -> None:
    x = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    y = np.random.default_rng(1).standard_normal((4, 3)).astype(np.float32)
    i = np.arange(6)
    expected = np.asarray(call(np, x, y, i))
    result = call(device, *(device.from_host(array) for array in (x, y, i)))
    assert isinstance(result, device.array_type)
    assert (result.shape, result.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(device.to_host(result), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", sorted(UFUNCS))
def test_ufuncs_are_numpys(device: Any, name: str) -> None:
    ufunc = getattr(np, name)
    for dtype in ("float32", "int64", "bool"):
        if not any(types.startswith(np.dtype(dtype).char * ufunc.nin) for types in ufunc.types):
            continue
        operands = [np.array([[1, 2], [1, 1]], dtype), np.array([[1, 1], [1, 2]], dtype)][: ufunc.nin]
        with np.errstate(all="ignore"):
            expected = ufunc(*operands)
            result = device.to_host(getattr(device, name)(*(device.from_host(x) for x in operands)))
        assert result.dtype == expected.dtype
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


def test_dtypes_follow_python_numbers_and_arrays(device: Any) -> None:
    x = device.ones((2,), dtype=np.float32)
    wide = device.asarray(1.0)
    assert wide.dtype == np.float64
    assert (x + 1.0).dtype == np.float32
    assert (x + wide).dtype == np.float64
    assert device.result_type(x, 1.0) == np.float32
    assert device.result_type(x, wide) == np.float64


@pytest.mark.parametrize("name", ["sum", "max", "mean", "argmax", "any", "prod", "count_nonzero"])
def test_reductions_give_0d_arrays(device: Any, name: str) -> None:
    result = getattr(device, name)(device.ones((2, 3)))
    assert isinstance(result, device.array_type)
    assert result.shape == ()


def test_out_takes_the_result(device: Any) -> None:
    x = device.from_host(host(2, 3))
    out = device.zeros((2, 3), dtype=np.float32)
    assert device.add(x, 1, out=out) is out
    assert device.multiply(x, 2.0, out) is out
    np.testing.assert_array_equal(device.to_host(out), host(2, 3) * 2)
    total = device.empty((3,), dtype=np.float32)
    assert device.sum(x, axis=0, out=total) is total
    np.testing.assert_array_equal(device.to_host(total), [3, 5, 7])
    x += 1
    np.testing.assert_array_equal(device.to_host(x), host(2, 3) + 1)
    with pytest.raises(TypeError):
        device.add(x, 1, out=device.zeros((2, 3), dtype=np.int64))
    with pytest.raises(ValueError, match=r"shape|broadcast|mismatch"):
        device.add(x, 1, out=device.zeros((3, 3), dtype=np.float32))


def test_out_is_of_the_results_shape(device: Any) -> None:
    """NumPy broadcasts a result into a larger out; CuPy does not."""
    x = device.from_host(host(3))
    for call in (
        lambda out: device.add(x, 1, out=out),
        lambda out: device.add(1, x, out),
        lambda out: device.sum(out, axis=0, out=out),
        lambda out: device.max(x, axis=0, keepdims=True, out=out),
    ):
        with pytest.raises(ValueError, match=r"shape|mismatch|wrong number of dimensions"):
            call(device.zeros((2, 3), dtype=np.float32))


def test_what_the_host_must_know_is_no_device_array(xp: StrictBackend) -> None:
    x, two = xp.ones((2, 3)), xp.asarray(2)
    calls = (lambda: xp.repeat(x, two), lambda: xp.sum(x, axis=two), lambda: xp.roll(x, two, 0), lambda: xp.ones(two))
    for call in calls:
        with pytest.raises(TypeError, match="is known to the host"):
            call()
    np.testing.assert_array_equal(xp.to_host(xp.full((2,), two)), [2, 2])


def test_integer_powers_are_cupys(device: Any) -> None:
    """NumPy refuses negative ones; CuPy cannot look before it computes."""
    x = device.from_host(np.array([-2, -1, 0, 1, 2]))
    negative = device.from_host(np.array([-3, -3, -1, -1, -2]))
    for powers in (x**negative, device.power(x, negative)):
        np.testing.assert_array_equal(device.to_host(powers), [0, -1, 0, 1, 0])
    np.testing.assert_array_equal(device.to_host(device.power(x, -2)), [0, 1, 0, 1, 0])
    np.testing.assert_array_equal(device.to_host(2 ** device.from_host(np.array([-1, 3]))), [0, 8])
    np.testing.assert_array_equal(device.to_host(x**3), [-8, -1, 0, 1, 8])
    with np.errstate(divide="ignore"):
        np.testing.assert_array_equal(device.to_host(device.from_host(host(3)) ** -1), [np.inf, 1, 0.5])
    small = device.power(device.from_host(np.array([2, 3], np.int8)), -1)
    assert small.dtype == np.int8
    x **= negative
    np.testing.assert_array_equal(device.to_host(x), [0, -1, 0, 1, 0])


def test_matmul_wants_what_cupys_wants(device: Any) -> None:
    x = device.ones((2, 3))
    for bad in (device.ones((2, 3)), device.asarray(1.0)):
        with pytest.raises(ValueError, match=r".+"):
            device.matmul(x, bad)
    out = device.empty((2, 2))
    assert device.matmul(x, x.T, out=out) is out
    np.testing.assert_array_equal(device.to_host(out), np.full((2, 2), 3.0))
    square = device.from_host(host(3, 3))
    device.matmul(square, square, out=square)
    np.testing.assert_array_equal(device.to_host(square), host(3, 3) @ host(3, 3))
    fortran = device.asfortranarray(device.zeros((2, 2)))
    device.matmul(x, x.T, out=fortran)
    np.testing.assert_array_equal(device.to_host(fortran), np.full((2, 2), 3.0))
