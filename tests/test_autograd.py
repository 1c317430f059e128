"""Differentiation of graphs: long and branching ones, kept and freed ones, higher orders, and what is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_dnn as td
from tests.ops.samples import signed
from tinygrad_dnn.tensor import Tensor
from tinygrad_dnn.testing import check_grads


def leaf(value: Any, dtype: str = "float64") -> Tensor:
    return td.tensor(value, dtype, requires_grad=True)


# -- graphs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [10_000])
def test_a_long_chain(length: int, backend: str) -> None:
    x = leaf(1.0)
    y = x
    for _ in range(length):
        y = y * 1.0001
    y.backward()
    assert x.grad is not None
    assert x.grad.item() == pytest.approx(1.0001**length, rel=1e-10)


def test_a_long_chain_of_gradients_of_gradients(backend: str) -> None:
    x = leaf(1.0)
    y = x
    for _ in range(1000):
        y = y * x
    first = td.grad(y, x, create_graph=True)
    assert td.grad(first, x).item() == 1001 * 1000


def test_diamonds_and_shared_subexpressions(backend: str) -> None:
    def f(x: Tensor) -> Tensor:
        shared = x * x
        left, right = shared + x, td.exp(shared * 0.1)
        return left * right + shared * left + right

    check_grads(f, signed((3,)), order=3)


def test_each_doubling_counts_twice(backend: str) -> None:
    x = leaf(1.0)
    y = x
    for _ in range(60):  # 2**60 paths, and each operation is gone through once
        y = y + y
    y.backward()
    assert x.grad is not None
    assert x.grad.item() == 2.0**60


OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / (b * b + 1),
    "matmul": lambda a, b: a @ b.T,
    "transpose": lambda a, b: a.T * 1.5,
    "sum": lambda a, b: td.broadcast_to(a.sum(0), b.shape),
    "where": lambda a, b: td.where([[True, False], [False, True]], a, b),
}


@given(data=st.data())
@settings(max_examples=25)
def test_random_graphs(data: st.DataObject, backend: str) -> None:
    steps = [
        (
            data.draw(st.sampled_from(list(OPERATIONS))),
            data.draw(st.integers(0, i + 1)),
            data.draw(st.integers(0, i + 1)),
        )
        for i in range(data.draw(st.integers(1, 10)))
    ]

    def f(x: Tensor, y: Tensor) -> Tensor:
        values = [x, y]
        for name, i, j in steps:
            values.append(OPERATIONS[name](td.tanh(values[i]), td.tanh(values[j])))
        return values[-1]

    check_grads(f, [signed((2, 2)), signed((2, 2), 1)])


def test_same_tensor_as_both_operands(backend: str) -> None:
    x = leaf(signed((2, 2)))
    for out, expected in [
        (x * x, 2 * x.numpy()),
        (x + x, np.full((2, 2), 2.0)),
        (x / x, np.zeros((2, 2))),
        (td.maximum(x, x), np.ones((2, 2))),
        (td.concatenate([x, x]), np.full((2, 2), 2.0)),
    ]:
        np.testing.assert_allclose(td.grad(out.sum(), x).numpy(), expected, atol=1e-15)


# -- backward -----------------------------------------------------------------------------------------------------


def test_gradients_accumulate(backend: str) -> None:
    x = leaf([1.0, 2.0])
    (x * x).sum().backward()
    assert x.grad is not None
    first = x.grad
    assert first.tolist() == [2.0, 4.0]
    (x * 3).sum().backward()
    assert x.grad.tolist() == [5.0, 7.0]
    assert first.tolist() == [2.0, 4.0]
    x.grad = None
    (x * 3).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [3.0, 3.0]
    assert (x.grad.dtype, x.grad.backend.name, x.grad.requires_grad) == ("float64", backend, False)


def test_gradients_of_two_leaves_are_edited_apart(backend: str) -> None:
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    start = td.tensor([1.0, 1.0], "float64")
    (x + y).backward(start)
    assert x.grad is not None
    assert y.grad is not None
    x.grad *= 10.0
    start.assign([7.0, 7.0])
    assert (x.grad.tolist(), y.grad.tolist()) == ([10.0, 10.0], [1.0, 1.0])
    gx, gy = td.grad((x + y).sum(), [x, y])
    gx[0] = 5.0
    assert gy.tolist() == [1.0, 1.0]


def test_backward_of_several_elements_takes_the_gradient_to_start_from(backend: str) -> None:
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    (x * x).backward(td.tensor([[1.0, 0.0], [0.5, 2.0]]))
    assert x.grad is not None
    assert x.grad.tolist() == [[2.0, 0.0], [3.0, 16.0]]
    with pytest.raises(
        ValueError, match=r"shape \(2, 2\) needs the gradient to start from: .*by .sum\(\) or .mean\(\)"
    ):
        (x * x).backward()
    with pytest.raises(ValueError, match=r"the gradient has shape \(2,\), the Tensor it belongs to \(2, 2\)"):
        (x * x).backward(td.ones(2))


def test_backward_of_one_element_of_any_shape(backend: str) -> None:
    x = leaf([2.0])
    (x * x).reshape(1, 1).backward()
    assert x.grad is not None
    assert x.grad.tolist() == [4.0]


def test_backward_of_a_leaf(backend: str) -> None:
    x = leaf(2.0)
    x.backward()
    assert x.grad is not None
    assert x.grad.item() == 1.0


def test_gradients_reach_leaves_alone(backend: str) -> None:
    x, constant = leaf(2.0), td.tensor(3.0, "float64")
    middle = x * constant
    (middle * middle).backward()
    assert x.grad is not None
    assert x.grad.item() == 36.0
    assert middle.grad is None
    assert constant.grad is None


@pytest.mark.parametrize(
    "make",
    [
        lambda x: td.tensor(1.0),
        lambda x: x.detach() * 2,
        lambda x: td.cast(td.cast(x, "int64"), "float64"),
        lambda x: td.sign(x),
        lambda x: td.no_grad()(lambda: x * 2)(),
    ],
)
def test_what_has_no_history_has_no_gradient(make: Any, backend: str) -> None:
    with pytest.raises(RuntimeError, match=r"no gradient can be taken: the Tensor was not computed from one with"):
        make(leaf(2.0)).backward()
    with pytest.raises(RuntimeError, match=r"no gradient can be taken"):
        td.grad(make(leaf(2.0)), leaf(1.0))


# -- keeping and freeing the graph --------------------------------------------------------------------------------


def test_a_second_pass_needs_the_graph_kept(backend: str) -> None:
    x = leaf(3.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad is not None
    assert x.grad.item() == 12.0
    for again in (lambda: y.backward(), lambda: td.grad(y, x), lambda: (y * 2).backward()):
        with pytest.raises(
            RuntimeError, match="this graph was freed by an earlier backward pass: pass retain_graph=True"
        ):
            again()
    assert x.grad.item() == 12.0


def test_two_outputs_of_one_graph(backend: str) -> None:
    x = leaf(3.0)
    shared = x * x
    one, other = shared * 2, shared + 1
    one.backward(retain_graph=True)
    other.backward()
    assert x.grad is not None
    assert x.grad.item() == 18.0


def test_creating_a_graph_keeps_the_first(backend: str) -> None:
    x = leaf(3.0)
    y = x**3
    first = td.grad(y, x, create_graph=True)
    second = td.grad(first, x, create_graph=True)
    third = td.grad(second, x)
    assert (first.item(), second.item(), third.item()) == (27.0, 18.0, 6.0)


def test_backward_with_create_graph(backend: str) -> None:
    x = leaf(3.0)
    (x**3).backward(create_graph=True)
    assert x.grad is not None
    assert x.grad.requires_grad
    assert td.grad(x.grad, x).item() == 18.0
    x.grad = None  # the gradient holds its graph, and that holds x


# -- grad of Tensors ----------------------------------------------------------------------------------------------


def test_grad_leaves_grad_attributes_alone(backend: str) -> None:
    x, y = leaf(3.0), leaf(4.0)
    assert [g.item() for g in td.grad(x * y, [x, y])] == [4.0, 3.0]
    assert td.grad(x * y, x).item() == 4.0
    assert (x.grad, y.grad) == (None, None)


def test_grad_for_what_was_computed(backend: str) -> None:
    x = leaf(3.0)
    middle = x * x
    out = middle * middle + x
    gm, gx = td.grad(out, [middle, x])
    assert (gm.item(), gx.item()) == (18.0, 109.0)
    out = td.exp(x)
    assert td.grad(out, out).item() == 1.0


def test_grad_of_several_outputs_is_of_their_sum(backend: str) -> None:
    x = leaf(3.0)
    shared = x * x
    assert td.grad([shared, shared * x, shared], x).item() == 6.0 + 27.0 + 6.0


def test_grad_takes_a_gradient_for_each_output(backend: str) -> None:
    x = leaf([1.0, 2.0])
    (g,) = td.grad([x * x, x.sum()], [x], [td.tensor([1.0, 10.0]), td.tensor(100.0)])
    assert g.tolist() == [102.0, 140.0]
    assert td.grad(x * x, x, td.tensor([1.0, 10.0])).tolist() == [2.0, 40.0]
    assert td.grad(x * x, x, td.tensor([1.0, 10.0], "int64")).tolist() == [2.0, 40.0]
    with pytest.raises(ValueError, match="1 gradients to start from were given for 2 outputs"):
        td.grad([x * x, x.sum()], [x], [td.ones(2)])


def test_unused_inputs(backend: str) -> None:
    x, y = leaf(3.0), td.Variable(4.0, "float64", trainable=True, name="bias")
    assert td.grad(x * x, [x, y], allow_unused=True)[1] is None
    with pytest.raises(RuntimeError, match=r"input 1 \(bias\) of shape \(\) was not used to compute the outputs"):
        td.grad(x * x, [x, y])
    with pytest.raises(RuntimeError, match=r"input 0 of shape \(\) was not used .* or does not require a gradient"):
        td.grad(x * x, td.tensor(1.0))


def test_gradients_stop_at_what_is_asked_for(backend: str) -> None:
    x = leaf(3.0)
    middle = x * x
    x.assign(5.0)  # the slope of middle needs the old value, the slope in middle does not
    assert td.grad(middle * 2, middle).item() == 2.0


# -- dtypes and shapes of gradients -------------------------------------------------------------------------------


def test_mixed_precision(backend: str) -> None:
    half, single, double = leaf([1.0, 2.0], "float16"), leaf([1.0, 2.0], "float32"), leaf([3.0, 4.0])
    gradients = td.grad((half * single * double).sum(), [half, single, double])
    assert [g.dtype.name for g in gradients] == ["float16", "float32", "float64"]
    assert gradients[0].tolist() == [3.0, 8.0]


@pytest.mark.parametrize("shapes", [((1,), (0,)), ((1, 1), (0, 2)), ((0, 3), (3,)), ((), (0,)), ((1, 3), (2, 0, 3))])
def test_gradients_of_what_is_empty(shapes: Any, backend: str) -> None:
    x, y = (leaf(np.ones(shape)) for shape in shapes)
    gx, gy = td.grad((x * y).sum(), [x, y])
    assert (gx.shape, gy.shape) == shapes
    assert not gx.numpy().any()


# -- threads ------------------------------------------------------------------------------------------------------


def test_threads_differentiate_at_the_same_time() -> None:
    wrong: list[Any] = []
    w = leaf(3.0)
    start = threading.Barrier(4)

    def work(number: int) -> None:
        start.wait()
        for _ in range(100):
            gradient = td.grad(w * w * number, w).item()
            nested = td.grad(td.grad(lambda x: x**3))(float(number)).item()
            if gradient != 6.0 * number or nested != 6.0 * number:
                wrong.append((number, gradient, nested))

    workers = [threading.Thread(target=work, args=(number,)) for number in range(1, 5)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong
