"""What a Tensor was assigned counts from then on, and what it was computed as no longer does."""

import numpy as np
import pytest

import tinygrad_dnn as td


def test_a_use_after_the_assignment_sends_no_gradient_into_the_old_history(backend: str) -> None:
    w = td.tensor(3.0, requires_grad=True)
    y = w * 2
    early = y + 1
    y.assign(5.0)
    late = y * y
    assert td.grad(early + late, w).item() == 2.0  # early's alone


def test_the_assigned_tensor_itself_has_no_gradient(backend: str) -> None:
    w = td.tensor(3.0, requires_grad=True)
    y = w * 2
    y.assign(5.0)
    with pytest.raises(RuntimeError, match="was assigned a new value after it was computed"):
        td.grad(y, w)


def test_a_gradient_for_a_tensor_halfway_leaves_what_is_below_it_usable(backend: str) -> None:
    w = td.tensor(3.0, requires_grad=True)
    hidden = w * w
    loss = hidden * 4
    assert td.grad(loss, hidden).item() == 4.0
    assert td.grad(hidden, w).item() == 6.0
    with pytest.raises(RuntimeError, match="freed by an earlier backward pass"):
        td.grad(loss, hidden)


def test_every_in_place_operator_changes_the_tensor_itself(backend: str) -> None:
    x = td.tensor([5.0, 7.0])
    same = x
    x += 1
    x -= 2
    x *= 3
    x /= 2
    x **= 2
    x //= 4
    x %= 5
    expected = np.array([5.0, 7.0]) + 1 - 2
    expected = ((expected * 3 / 2) ** 2 // 4) % 5
    np.testing.assert_allclose(same.numpy(), expected)
    assert x is same


@pytest.mark.parametrize("operator", ["&", "|", "~"])
def test_operators_of_masks_refuse_numbers(backend: str, operator: str) -> None:
    mask, number = td.tensor([True, False]), td.tensor([6, 3])
    with pytest.raises(TypeError, match="takes boolean Tensors, not int64"):
        _ = ~number if operator == "~" else (mask & number if operator == "&" else mask | number)
    with pytest.raises(TypeError, match="takes boolean Tensors, not int64"):
        _ = ~number if operator == "~" else (number & 1 if operator == "&" else number | 1)


def test_the_norms_gradient_at_zero_is_zero(backend: str) -> None:
    x = td.zeros((3,), requires_grad=True)
    td.norm(x).backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 0.0, 0.0]
    assert np.isnan(td.norm(td.tensor([float("nan"), 0.0])).item())


def test_a_host_generator_and_a_device_stream_of_one_seed_differ() -> None:
    host = td.random.generator(7).random(4)
    stream = td.random.SeedGenerator(7).uniform((4,), dtype="float64").numpy()
    assert not np.any(np.isclose(host, stream))


def test_a_variable_is_added_to_and_taken_from(backend: str) -> None:
    w, n = td.Variable([1.0, 2.0], trainable=True), td.Variable(3)
    assert w.assign_add([0.5, 0.5]) is w
    assert w.assign_sub(td.tensor(1.0)).tolist() == [0.5, 1.5]
    assert n.assign_add(2).assign_sub(1).item() == 4
    step = td.jit(lambda x: n.assign_add(x) * 1)
    assert [step(td.tensor(1)).item() for _ in range(4)] == [5, 6, 7, 8]
    (w * w).sum().backward()
    assert w.grad.tolist() == [1.0, 3.0]
    with pytest.raises(TypeError):
        n.assign_add(0.5)
