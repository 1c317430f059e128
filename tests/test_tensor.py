"""Tensor: how it is made, shown, brought to the host, compared, assigned to; its operators and its grad mode."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn.tensor import as_tensor

# -- making -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "dtype", "shape"),
    [
        (2, "int64", ()),
        (2.5, "float32", ()),
        (True, "bool", ()),
        ([1, 2], "int64", (2,)),
        ([[1.0], [2.0]], "float32", (2, 1)),
        ([], "float32", (0,)),
        ((1, 2.5), "float32", (2,)),
        (np.float64(2.5), "float64", ()),
        (np.zeros(2), "float64", (2,)),
        (np.zeros((1, 0), np.float16), "float16", (1, 0)),
        (np.array([1, 2], np.uint8), "uint8", (2,)),
        (range(3), "int64", (3,)),
    ],
    ids=repr,
)
def test_default_dtypes(data: Any, dtype: str, shape: tuple[int, ...], backend: str) -> None:
    for x in (td.tensor(data), td.Tensor(data)):
        assert (x.dtype.name, x.shape, x.ndim, x.size) == (dtype, shape, len(shape), int(np.prod(shape)))
        assert (x.backend.name, x.is_leaf, x.requires_grad, x.grad) == (backend, True, False, None)
    assert td.tensor(data, "float64").dtype == "float64"


def test_data_is_copied(backend: str) -> None:
    host = np.array([1.0, 2.0])
    x = td.tensor(host)
    y = td.tensor(x)
    host[0] = 9.0
    y.assign([3.0, 4.0])
    assert (x.tolist(), y.tolist()) == ([1.0, 2.0], [3.0, 4.0])


def test_lists_may_hold_tensors(backend: str) -> None:
    assert td.tensor([td.tensor([1.0, 2.0]), td.tensor([3.0, 4.0])]).tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert td.tensor([td.tensor(1.0), 2.0]).tolist() == [1.0, 2.0]


def test_as_tensor_leaves_tensors_alone(backend: str) -> None:
    x = td.tensor([1.0])
    assert as_tensor(x) is x
    assert as_tensor([1.0], like=x.to("numpy")).backend.name == "numpy"


def test_between_backends() -> None:
    with td.backend.use("numpy"):
        x = td.tensor([1.0, 2.0], requires_grad=True)
        on_strict = x.to("strict")
        assert x.to("numpy") is x
        assert (on_strict.backend.name, on_strict.tolist(), on_strict.requires_grad) == ("strict", [1.0, 2.0], False)
        assert td.tensor(on_strict).backend.name == "numpy"
        assert td.tensor(on_strict.data).tolist() == [1.0, 2.0]
    with pytest.raises(TypeError, match=r"^add\(float32\[2\] on numpy, float32\[2\] on strict\) is not possible: "):
        x + on_strict


# -- showing and leaving for the host -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (lambda: td.tensor(2.0), "Tensor(2., dtype=float32)"),
        (lambda: td.tensor([1, 2]), "Tensor([1, 2], dtype=int64)"),
        (lambda: td.tensor([]), "Tensor([], dtype=float32)"),
        (lambda: td.tensor([1.0], requires_grad=True), "Tensor([1.], dtype=float32, requires_grad=True)"),
        (lambda: td.Variable([1.0], trainable=True), "Variable([1.], dtype=float32, requires_grad=True)"),
        (lambda: td.tensor([[1.0], [2.0]]), "Tensor([[1.],\n        [2.]], dtype=float32)"),
    ],
)
def test_repr(x: Callable[[], td.Tensor], text: str, backend: str) -> None:
    assert repr(x()) == f"{x()}" == text


def test_repr_of_many_elements_is_short(backend: str) -> None:
    assert len(repr(td.zeros(10_000))) < 100


def test_numpy_is_a_copy(backend: str) -> None:
    x = td.tensor([1.0, 2.0])
    for host in (x.numpy(), np.array(x), np.asarray(x), np.array(x, copy=True), np.array(x, dtype=np.float64)):
        assert type(host) is np.ndarray
        assert host.flags.writeable
        host[:] = 9.0
    assert x.tolist() == [1.0, 2.0]
    assert x[::-1].numpy().flags.c_contiguous


def test_np_array_of_tensors(backend: str) -> None:
    x = td.tensor([[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(np.array([x, x]), np.array([x.numpy(), x.numpy()]))
    np.testing.assert_array_equal(np.array([x[0, 0], x[1, 1]]), [1.0, 4.0])
    np.testing.assert_array_equal(np.stack([x, x]), np.array([x.numpy(), x.numpy()]))
    assert np.asarray(x, np.float64).dtype == np.float64
    assert np.array(x).dtype == np.float32


def test_an_array_without_a_copy_is_refused(backend: str) -> None:
    with pytest.raises(ValueError, match="always copied to the host"):
        np.array(td.tensor([1.0]), copy=False)


def test_scalars(backend: str) -> None:
    for x in (td.tensor(2.5), td.tensor([2.5]), td.tensor([[2.5]])):
        assert (x.item(), float(x), int(x), bool(x)) == (2.5, 2.5, 2, True)
        assert type(x.item()) is float
        assert f"{x:.3f}" == "2.500"
    assert type(td.tensor([3]).item()) is int
    assert type(td.tensor(True).item()) is bool
    assert not td.tensor([0.0])
    assert list(range(5))[td.tensor(2)] == 2
    assert list(range(td.tensor([3]))) == [0, 1, 2]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: x.item(), ValueError, r"item\(\) takes a Tensor of one element, this one has shape \(2,\)"),
        (float, ValueError, "one element"),
        (int, ValueError, "one element"),
        (lambda x: f"{x:.2f}", ValueError, "one element"),
        (bool, ValueError, r"the truth of a Tensor of shape \(2,\) is ambiguous: use .any\(\)"),
        (lambda x: x if x else None, ValueError, "ambiguous"),
        (lambda x: len(x.sum()), TypeError, "a 0-d Tensor has no length"),
        (lambda x: iter(x.sum()), TypeError, "a 0-d Tensor has no length"),
        (lambda x: [1][x.sum()], TypeError, "an index is an integer, this Tensor is float32"),
        (lambda x: td.zeros((0,)).item(), ValueError, r"shape \(0,\)"),
        (lambda x: bool(td.zeros((0,))), ValueError, "ambiguous"),
        (lambda x: x.to("nowhere"), ValueError, "unknown backend 'nowhere'"),
    ],
)
def test_what_a_tensor_cannot_become(
    call: Callable[[td.Tensor], Any], error: type[Exception], message: str, backend: str
) -> None:
    with pytest.raises(error, match=message):
        call(td.tensor([1.0, 2.0]))


def test_iteration_unpacking_and_membership(backend: str) -> None:
    x = td.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    assert len(x) == 2
    first, second = x
    assert (first.tolist(), second.tolist()) == ([1.0, 2.0], [3.0, 4.0])
    assert first.requires_grad
    assert td.tensor(3.0) in td.tensor([1.0, 3.0])
    assert td.tensor(2.0) not in td.tensor([1.0, 3.0])


def test_tensors_are_keys_by_identity(backend: str) -> None:
    x, y = td.tensor([1.0]), td.tensor([1.0])
    assert {x: 1, y: 2} == {x: 1, y: 2}
    assert len({x, y, x}) == 2


def test_a_deep_copy_shares_no_state(backend: str) -> None:
    x = td.Variable([1.0, 2.0], trainable=True, name="w")
    y = copy.deepcopy(x)
    y.assign([3.0, 4.0])
    assert (x.tolist(), y.tolist(), y.name, y.requires_grad) == ([1.0, 2.0], [3.0, 4.0], "w", True)


# -- operators ----------------------------------------------------------------------------------------------------

BINARY = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.floordiv,
    operator.mod,
    operator.pow,
    operator.eq,
    operator.ne,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
]


@pytest.mark.parametrize("function", BINARY)
def test_operators_with_tensors_arrays_lists_and_numbers(function: Callable[[Any, Any], Any], backend: str) -> None:
    x, y = np.array([1.0, 2.0, 3.0], np.float32), np.array([3.0, 2.0, 0.5], np.float32)
    expected = function(x, y)
    for out in (
        function(td.tensor(x), td.tensor(y)),
        function(td.tensor(x), y),
        function(x, td.tensor(y)),
        function(td.tensor(x), y.tolist()),
        function(x.tolist(), td.tensor(y)),
    ):
        assert isinstance(out, td.Tensor)
        assert (out.backend.name, out.dtype) == (backend, expected.dtype)
        np.testing.assert_allclose(out.numpy(), expected, rtol=1e-6)
    for number in (2, 2.0, np.float32(2.0), np.float64(2.0), np.int64(2)):
        np.testing.assert_allclose(function(td.tensor(x), number).numpy(), function(x, 2), rtol=1e-6)
        np.testing.assert_allclose(function(number, td.tensor(x)).numpy(), function(2, x), rtol=1e-6)


@pytest.mark.parametrize("function", BINARY)
def test_array_on_the_left_of_broadcasting_operators(function: Callable[[Any, Any], Any], backend: str) -> None:
    out = function(np.ones((2, 1)), td.ones(3))
    assert isinstance(out, td.Tensor)
    assert out.shape == (2, 3)


def test_numpys_elementwise_functions_are_the_operations_of_their_name(backend: str) -> None:
    x = td.tensor([0.5, -0.5], requires_grad=True)
    out = np.tanh(np.absolute(x))
    assert isinstance(out, td.Tensor)
    out.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.sign([0.5, -0.5]) * (1 - np.tanh(0.5) ** 2), rtol=1e-6)
    assert (np.array([True, False]) & (x > 0)).tolist() == [True, False]
    assert (np.array([True, False]) | (x < 0)).tolist() == [True, True]
    assert (np.zeros(2) < x).tolist() == [True, False]


def test_numpys_functions_do_not_take_tensors_for_arrays_in_silence(backend: str) -> None:
    with pytest.raises(TypeError, match=r"np\.add does not take Tensors this way: use an operation of td"):
        np.add(np.ones(2), td.ones(2), out=np.ones(2))
    with pytest.raises(TypeError, match=r"np\.arcsinh does not take Tensors"):
        np.arcsinh(td.ones(2))
    with pytest.raises(TypeError, match=r"np\.add does not take Tensors this way"):
        np.add.reduce(td.ones(2))


def test_numpys_reductions_are_the_operations_of_their_name(backend: str) -> None:
    values = np.array([[0.5, 2.0, -1.0], [3.0, 0.0, 1.5]], np.float32)
    for function in (np.sum, np.mean, np.var, np.std, np.max, np.min, np.amax, np.amin, np.any, np.all):
        for options in ({}, {"axis": 0}, {"axis": (0, 1)}, {"axis": -1, "keepdims": True}):
            out = function(td.tensor(values), **options)
            assert isinstance(out, td.Tensor)
            np.testing.assert_allclose(out.numpy(), function(values, **options), rtol=1e-6)
    x = td.tensor(values)
    assert np.std(a=x, ddof=1, out=None).item() == pytest.approx(values.std(ddof=1))
    assert np.sum(x, 1).shape == (2,)
    leaf = td.tensor([1.0, 2.0], requires_grad=True)
    np.mean(leaf).backward()
    assert leaf.grad.tolist() == [0.5, 0.5]


def test_what_numpys_reductions_cannot_do_they_say(backend: str) -> None:
    x = td.ones((2, 2))
    for function, key, value in ((np.sum, "dtype", "f8"), (np.max, "out", np.empty(())), (np.mean, "where", False)):
        with pytest.raises(TypeError, match=rf"np\.{function.__name__} does not take Tensors with {key}: use td"):
            function(x, **{key: value})
    with pytest.raises(TypeError, match=r"np\.sum does not take Tensors with more than an axis by position"):
        np.sum(x, 0, np.float64)


def test_numpys_other_functions_get_the_values(backend: str) -> None:
    x = td.tensor([[1.0, 4.0], [3.0, 2.0]])
    assert np.argmax(x) == 1
    assert np.median(x) == 2.5
    assert np.concatenate([x, np.zeros((1, 2))]).shape == (3, 2)
    np.testing.assert_array_equal(np.sort(x), [[1, 4], [2, 3]])


def test_masked_values_are_refused(backend: str) -> None:
    masked = np.ma.masked_less([1.0, -9.0, 2.0], 0.0)
    with pytest.raises(ValueError, match=r"td\.tensor: data is a masked array, and 1 of its 3 values are masked"):
        td.tensor(masked)
    with pytest.raises(ValueError, match="masked"):
        td.ones(3) + masked
    assert td.tensor(masked[::2]).tolist() == [1.0, 2.0]


def test_nothing_but_numbers_is_compared(backend: str) -> None:
    x = td.ones(2)
    assert x != None  # noqa: E711  # what is asked
    assert x != "a"
    assert x not in ["a", None]


def test_requires_grad_is_checked_however_it_is_set(backend: str) -> None:
    whole = td.tensor([1, 2])
    with pytest.raises(TypeError, match="only floating-point Tensors have gradients, this one is int64"):
        whole.requires_grad = True
    leaf = td.ones(2)
    leaf.requires_grad = True
    with pytest.raises(ValueError, match="requires_grad is set on leaves"):
        (leaf * 2).requires_grad = False


def test_unary_operators(backend: str) -> None:
    x = td.tensor([1.0, -2.0])
    assert ((-x).tolist(), abs(x).tolist()) == ([-1.0, 2.0], [1.0, 2.0])
    assert +x is x
    assert (~td.tensor([True, False])).tolist() == [False, True]


def test_logical_operators(backend: str) -> None:
    x, y = td.tensor([True, True, False]), np.array([True, False, False])
    for out, expected in [(x & y, [True, False, False]), (x | y, [True, True, False])]:
        assert out.tolist() == expected
    assert (y & x).tolist() == [True, False, False]
    assert (y | x).tolist() == [True, True, False]
    assert (True & x).tolist() == [True, True, False]


def test_methods_are_the_functions(backend: str) -> None:
    values = np.array([[0.5, 1.0], [2.0, 0.25]], np.float32)
    x = td.tensor(values)
    for name in ("exp", "log", "sqrt", "tanh", "abs", "sum", "mean", "var", "std", "max", "min", "any", "all"):
        np.testing.assert_array_equal(getattr(x, name)().numpy(), getattr(td, name)(values).numpy())
    for name in ("sum", "mean", "var", "std", "max", "min", "any", "all"):
        np.testing.assert_array_equal(getattr(x, name)(1, True).numpy(), getattr(td, name)(values, 1, True).numpy())
    for name in ("argmax", "argmin"):
        np.testing.assert_array_equal(getattr(x, name)(1).numpy(), getattr(td, name)(values, 1).numpy())
        assert getattr(x, name)().item() == getattr(np, name)(values)


# -- state --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (operator.iadd, [3.0, 6.0]),
        (operator.isub, [-1.0, -2.0]),
        (operator.imul, [2.0, 8.0]),
        (operator.itruediv, [0.5, 0.5]),
    ],
)
def test_in_place_operators_assign(function: Callable[[Any, Any], Any], expected: list[float], backend: str) -> None:
    x = td.Variable([1.0, 2.0], name="x")
    other = x
    x = function(x, [2.0, 4.0])
    assert x is other
    assert x.tolist() == expected


def test_in_place_edits_keep_shape_and_dtype(backend: str) -> None:
    x = td.tensor([1, 2])
    with pytest.raises(TypeError, match="int64 and was assigned float32"):
        x += 0.5
    with pytest.raises(ValueError, match=r"shape \(2,\) and was assigned a value of shape \(3, 2\)"):
        x += td.ones((3, 2), "int64")
    assert x.tolist() == [1, 2]


def test_in_place_edit_of_a_leaf_that_needs_its_gradient(backend: str) -> None:
    w = td.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(
        RuntimeError, match=r"edited in place while gradients are recorded: do it inside td.no_grad\(\)"
    ):
        w += 1.0
    with pytest.raises(RuntimeError, match=r"x\[index\] = value cannot be recorded"):
        w[0] = 1.0
    with td.no_grad():
        w -= 0.5
        w[1] = 7.0
    assert (w.tolist(), w.requires_grad, w.is_leaf) == ([0.5, 7.0], True, True)


def test_in_place_operator_on_a_computed_tensor_names_the_new_value(backend: str) -> None:
    w = td.tensor([1.0, 2.0], requires_grad=True)
    y = first = w * 2
    y += w
    assert y is not first
    assert (first.tolist(), y.tolist()) == ([2.0, 4.0], [3.0, 6.0])
    assert td.grad(y.sum(), w).tolist() == [3.0, 3.0]


def test_assignment_does_not_reach_views_and_copies(backend: str) -> None:
    x = td.tensor([[1.0, 2.0], [3.0, 4.0]])
    views = [x[0], x.T, x.reshape(4), x.detach(), td.broadcast_to(x, (2, 2, 2)), x[[0, 1]]]
    before = [view.numpy() for view in views]
    x.assign(x * 0)
    x[0, 0] = 5.0
    for view, was in zip(views, before, strict=True):
        np.testing.assert_array_equal(view.numpy(), was)
    views[0].assign([7.0, 7.0])
    assert x.tolist() == [[5.0, 0.0], [0.0, 0.0]]


def test_two_tensors_bound_to_one_value_change_apart(backend: str) -> None:
    x, y = td.tensor([1.0, 2.0]), td.zeros(2)
    y.assign(x)
    y += 1.0
    x[0] = 9.0
    assert (x.tolist(), y.tolist()) == ([9.0, 2.0], [2.0, 3.0])


def test_variable(backend: str) -> None:
    w = td.Variable([1.0], trainable=True, name="kernel")
    assert (w.name, w.trainable, w.requires_grad, w.regularizer, w.constraint) == ("kernel", True, True, None, None)
    step = td.Variable(0)
    assert (step.name, step.trainable, step.requires_grad, step.dtype.name) == ("variable", False, False, "int64")
    with pytest.raises(TypeError, match="only floating-point"):
        td.Variable(0, trainable=True)


def test_requires_grad_is_set_on_leaves_of_floats(backend: str) -> None:
    x = td.tensor([1.0])
    assert x.requires_grad_() is x
    assert not x.requires_grad_(False).requires_grad
    y = td.tensor([1.0], requires_grad=True) * 2
    with pytest.raises(ValueError, match="requires_grad is set on leaves"):
        y.requires_grad_(False)
    assert y.detach().requires_grad_().is_leaf
