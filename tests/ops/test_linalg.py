"""Matrix products of every combination of axes, against NumPy, with their derivatives."""

from __future__ import annotations

import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_dnn as td
from tests.ops.samples import signed
from tinygrad_dnn.testing import check_grads

SHAPES = [
    ((3,), (3,)),
    ((3,), (3, 2)),
    ((2, 3), (3,)),
    ((2, 3), (3, 4)),
    ((3,), (2, 3, 4)),
    ((2, 4, 3), (3,)),
    ((2, 4, 3), (3, 2)),
    ((4, 3), (2, 3, 2)),
    ((2, 4, 3), (2, 3, 2)),
    ((2, 1, 2, 3), (4, 3, 2)),
    ((1, 3), (3, 1)),
    ((0, 3), (3, 2)),
    ((2, 0), (0, 3)),
    ((0,), (0,)),
    ((2, 3), (3, 0)),
    ((0, 2, 3), (3, 2)),
    ((2, 0), (0,)),
    ((0,), (0, 2)),
]


@pytest.mark.parametrize(("left", "right"), SHAPES, ids=repr)
def test_value_is_numpys(left: tuple[int, ...], right: tuple[int, ...], backend: str) -> None:
    for dtype, tolerance in [(np.float64, 1e-13), (np.float32, 2e-6)]:
        x, y = signed(left).astype(dtype), signed(right, 1).astype(dtype)
        a, b = td.tensor(x), td.tensor(y)
        for out in (td.matmul(x, y), a @ b, a @ y, operator.matmul(x, b), td.dot(x, y)):
            expected = np.matmul(x, y)
            assert (out.shape, out.dtype) == (expected.shape, expected.dtype)
            np.testing.assert_allclose(out.numpy(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("left", "right"), SHAPES, ids=repr)
def test_derivatives(left: tuple[int, ...], right: tuple[int, ...], backend: str) -> None:
    check_grads(td.matmul, [signed(left), signed(right, 1)])


@given(data=st.data())
@settings(max_examples=60)
def test_leading_axes_broadcast(data: st.DataObject, backend: str) -> None:
    lengths = data.draw(st.lists(st.integers(1, 3), max_size=3))
    leading = [
        tuple(data.draw(st.sampled_from([1, n])) for n in lengths)[data.draw(st.integers(0, len(lengths))) :]
        for _ in range(2)
    ]
    n, k, m = (data.draw(st.integers(1, 3)) for _ in range(3))
    x, y = signed((*leading[0], n, k)), signed((*leading[1], k, m), 1)
    a, b = td.tensor(x, requires_grad=True), td.tensor(y, requires_grad=True)
    out = a @ b
    np.testing.assert_allclose(out.numpy(), x @ y, rtol=1e-12, atol=1e-12)
    ga, gb = td.grad(out.sum(), [a, b])
    assert (ga.shape, gb.shape) == (x.shape, y.shape)


def test_strided_operands(backend: str) -> None:
    x, y = signed((3, 4)), signed((3, 4), 1)
    np.testing.assert_allclose((td.tensor(x).T @ td.tensor(y)).numpy(), x.T @ y, rtol=1e-13)
    np.testing.assert_allclose((td.tensor(x)[:, ::2] @ td.tensor(y)[::2].T[:2]).numpy(), x[:, ::2] @ y[::2].T[:2])
    check_grads(lambda a, b: a.T[::2] @ b[:, ::-1], [x, y])


@pytest.mark.parametrize("dtype", ["int64", "int32"])
def test_integers_are_multiplied_as_integers(dtype: str, backend: str) -> None:
    out = td.matmul(td.tensor([[1, 2]], dtype), td.tensor([[3], [4]], dtype))
    assert (out.tolist(), out.dtype.name) == ([[11]], dtype)


def test_integers_beside_floats(backend: str) -> None:
    assert (td.tensor([[1.5]]) @ td.tensor([[2]])).dtype == "float32"
    assert (td.tensor([[1.5]]) @ [[2]]).tolist() == [[3.0]]


@pytest.mark.parametrize(
    ("left", "right"),
    [((2, 3), (2, 3)), ((3,), (4,)), ((), (3,)), ((3,), ()), ((2, 3), (4,)), ((3,), (4, 3))],
    ids=repr,
)
def test_shapes_that_do_not_fit_are_named(left: tuple[int, ...], right: tuple[int, ...], backend: str) -> None:
    named = f"matmul: shapes {left} and {right} do not fit".replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(ValueError, match=named):
        td.matmul(td.zeros(left), td.zeros(right))


def test_leading_axes_that_do_not_broadcast_are_named(backend: str) -> None:
    with pytest.raises(ValueError, match=r"^matmul\(float32\[2, 1, 3\].*float32\[4, 3, 1\].*\) is not possible: "):
        td.matmul(td.zeros((2, 1, 3)), td.zeros((4, 3, 1)))


def test_numbers_are_refused(backend: str) -> None:
    with pytest.raises(ValueError, match=r"matmul: shapes \(2, 2\) and \(\) do not fit"):
        td.zeros((2, 2)) @ 2.0


def test_outer(backend: str) -> None:
    x, y = signed((3,)), signed((2,))
    np.testing.assert_array_equal(td.outer(x, y).numpy(), np.outer(x, y))
    check_grads(td.outer, [x, y])
