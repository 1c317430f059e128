"""New Tensors: shapes, default types, and that each lives where it should."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td


@pytest.mark.parametrize("shape", [(), 3, (2, 3), [2, 0], (0,)], ids=repr)
def test_zeros_ones_and_full(shape: Any, backend: str) -> None:
    for out, expected in [
        (td.zeros(shape), np.zeros(shape, np.float32)),
        (td.ones(shape), np.ones(shape, np.float32)),
        (td.full(shape, 2.5), np.full(shape, 2.5, np.float32)),
        (td.full(shape, 2), np.full(shape, 2)),
        (td.full(shape, True), np.full(shape, True)),
        (td.zeros(shape, "int32"), np.zeros(shape, np.int32)),
        (td.ones(shape, np.float64), np.ones(shape)),
        (td.full(shape, 2, "float16"), np.full(shape, 2, np.float16)),
    ]:
        assert (out.dtype, out.backend.name, out.requires_grad) == (expected.dtype, backend, False)
        np.testing.assert_array_equal(out.numpy(), expected)


@pytest.mark.parametrize("like", [np.zeros((2, 3), np.float16), np.zeros((0, 2), np.int32), np.array(True), [1.0]])
def test_like_takes_shape_dtype_and_backend(like: Any, backend: str) -> None:
    x = td.tensor(like)
    for out, value in [(td.zeros_like(x), 0), (td.ones_like(x), 1), (td.full_like(x, 1), 1)]:
        assert (out.shape, out.dtype, out.backend.name) == (x.shape, x.dtype, backend)
        assert (out.numpy() == value).all()
    assert td.zeros_like(x, "float64").dtype == "float64"
    with td.backend.use("numpy"):
        assert td.ones_like(x).backend.name == backend


@pytest.mark.parametrize("limits", [(5,), (2, 5), (2, 9, 3), (5, 0, -2), (0.5, 2.0, 0.25), (0,), (1.0,)], ids=repr)
def test_arange(limits: Any, backend: str) -> None:
    out, expected = td.arange(*limits), np.arange(*limits)
    assert out.dtype == (expected.dtype if expected.dtype.kind == "i" else td.backend.floatx())
    np.testing.assert_array_equal(out.numpy(), expected.astype(out.dtype))
    assert td.arange(0, limits[0], 1, "float64").dtype == "float64"


def test_linspace_and_eye(backend: str) -> None:
    np.testing.assert_array_equal(td.linspace(0, 1, 5).numpy(), np.linspace(0, 1, 5, dtype=np.float32))
    np.testing.assert_array_equal(td.linspace(0, 1, 5, "float64").numpy(), np.linspace(0, 1, 5))
    np.testing.assert_array_equal(td.eye(3).numpy(), np.eye(3))
    np.testing.assert_array_equal(td.eye(2, 3, "int64").numpy(), np.eye(2, 3, dtype=int))


def test_gradients_may_be_asked_for_at_once(backend: str) -> None:
    assert td.zeros(2, requires_grad=True).requires_grad
    assert td.full(2, 1.0, requires_grad=True).is_leaf
    with pytest.raises(TypeError, match="only floating-point"):
        td.ones(2, "int64", requires_grad=True)


def test_default_type_follows_floatx(backend: str) -> None:
    td.backend.set_floatx("float64")
    try:
        for out in (td.zeros(1), td.ones(1), td.full(1, 0.5), td.arange(0.5), td.linspace(0, 1, 2), td.eye(1)):
            assert out.dtype == "float64"
    finally:
        td.backend.set_floatx("float32")


def test_operations_stand_at_the_top_level() -> None:
    assert not [name for name in td.ops.__all__ if getattr(td, name, None) is not getattr(td.ops, name)]
