"""What the base class does around a rule: clipping, decay, averages, accumulation, schedules, constraints."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.optimizers.trajectories import CASES, GOLDEN, OPTION_CASES, TOLERANCE, WEIGHTS, away, follow, path, worst


def variable(value: Any, name: str = "w") -> td.Variable:
    return td.Variable(np.asarray(value, np.float32), trainable=True, name=name)


def grad(value: Any) -> td.Tensor:
    return td.tensor(np.asarray(value, np.float32))


# -- against Keras -------------------------------------------------------------------------------------------------


def test_every_option_has_golden_values() -> None:
    configured = set().union(*(CASES[name]["config"] for name in OPTION_CASES))
    assert configured >= {
        "clipvalue", "clipnorm", "global_clipnorm", "weight_decay", "use_ema", "ema_overwrite_frequency",
        "gradient_accumulation_steps",
    }  # fmt: skip
    around = set().union(*(CASES[name] for name in OPTION_CASES))
    assert around >= {"schedule", "constraints", "exclude_from_weight_decay"}
    assert len(OPTION_CASES) == 33


@pytest.mark.parametrize("name", OPTION_CASES)
def test_trajectory_is_keras_s(backend: str, name: str) -> None:
    case, found = CASES[name], follow(CASES[name])
    np.testing.assert_allclose(found["learning_rates"], case["learning_rates"], rtol=2e-7)
    for weight in WEIGHTS:
        assert worst(found[weight], case[weight]) <= TOLERANCE
        # Keras moves the averages at every micro-batch; here an average is one of weights, which move every n-th.
        if f"{weight}_average" in case and "gradient_accumulation_steps" not in case["config"]:
            assert worst(found[f"{weight}_average"], case[f"{weight}_average"]) <= TOLERANCE
            assert away(found[f"{weight}_final"], case[f"{weight}_final"]) <= TOLERANCE


# -- weight decay --------------------------------------------------------------------------------------------------


def test_weight_decay_is_decoupled_from_the_gradient(backend: str) -> None:
    # Adam divides every gradient to the same length; decay that came through it would not be proportional.
    weight = variable([1.0, -10.0])
    td.optimizers.Adam(0.1, weight_decay=0.5).apply([grad([0.0, 0.0])], [weight])
    np.testing.assert_allclose(weight.numpy(), [0.95, -9.5], rtol=1e-6)


# -- averages ------------------------------------------------------------------------------------------------------


def test_average_begins_with_the_first_new_weight(backend: str) -> None:
    weight = variable([8.0])
    optimizer = td.optimizers.SGD(1.0, use_ema=True, ema_momentum=0.5)
    averages = []
    for g in (4.0, 2.0, 1.0):
        optimizer.apply([grad([g])], [weight])
        averages.append(optimizer.averages([weight])[0].item())
    # The weight is 4, 2, 1; half of the average is always the newest.
    assert averages == [4.0, 3.0, 2.0]
    assert weight.item() == 1.0


def test_average_of_a_weight_that_joins_later_begins_at_its_own_value(backend: str) -> None:
    early, late = variable([0.0]), variable([8.0])
    optimizer = td.optimizers.SGD(1.0, use_ema=True, ema_momentum=0.75)
    for _ in range(3):
        optimizer.apply([grad([1.0])], [early])
    optimizer.apply([grad([1.0]), grad([4.0])], [early, late])
    assert optimizer.averages([late])[0].item() == 0.75 * 8 + 0.25 * 4


def test_overwriting_puts_the_average_in_the_weight_s_place(backend: str) -> None:
    optimizer = td.optimizers.SGD(1.0, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2)
    found = path(optimizer, [8.0], [[4.0], [2.0], [1.0], [0.5]])
    # 4; 2 becomes the average 3; 2; 1.5 becomes the average 0.5 * (0.5 * 3 + 0.5 * 2) + 0.5 * 1.5 = 2.
    np.testing.assert_array_equal(found[:, 0], [4.0, 3.0, 2.0, 2.0])


def test_under_accumulation_the_average_moves_with_the_weight(backend: str) -> None:
    case = CASES["sgd_accumulation_ema"]
    found = follow(case)
    n, momentum = case["config"]["gradient_accumulation_steps"], case["config"]["ema_momentum"]
    for name in WEIGHTS:
        updated = case[name][n - 1 :: n].astype(np.float64)
        expected = [updated[0]]
        for value in updated[1:]:
            expected.append(momentum * expected[-1] + (1 - momentum) * value)
        np.testing.assert_allclose(found[f"{name}_average"][n - 1 :: n], expected, rtol=1e-5)


def test_averages_that_there_are_not(backend: str) -> None:
    weight, other = variable([1.0]), variable([1.0])
    with pytest.raises(ValueError, match=r"^sgd: it keeps no averages; construct it with use_ema=True\.$"):
        td.optimizers.SGD().averages([weight])
    optimizer = td.optimizers.SGD(use_ema=True)
    optimizer.apply([grad([1.0])], [weight])
    with pytest.raises(ValueError, match=r"^sgd: a weight that it has not updated yet has no average\.$"):
        optimizer.averages([weight, other])


def test_finalizing_changes_nothing_but_weights_with_an_average(backend: str) -> None:
    weight, other = variable([8.0]), variable([5.0])
    td.optimizers.SGD().finalize_variable_values([weight])
    optimizer = td.optimizers.SGD(1.0, use_ema=True, ema_momentum=0.5)
    for g in (4.0, 2.0):
        optimizer.apply([grad([g])], [weight])
    optimizer.finalize_variable_values([other, weight])
    assert [weight.item(), other.item()] == [3.0, 5.0]


# -- accumulation --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"clipnorm": 1.0}, {"weight_decay": 0.1}, {"use_ema": True}], ids=str)
def test_accumulation_is_an_update_with_the_mean_gradient(backend: str, options: dict[str, Any]) -> None:
    gradients = GOLDEN.inputs["unit_kernel"][:12]
    whole = path(td.optimizers.Nadam(0.1, **options), np.ones((4, 3)), gradients.reshape(3, 4, 4, 3).mean(axis=1))
    found = path(td.optimizers.Nadam(0.1, gradient_accumulation_steps=4, **options), np.ones((4, 3)), gradients)
    np.testing.assert_allclose(found[3::4], whole, rtol=1e-5)
    # Between updates the weight keeps its bits.
    for start, before in ((0, np.ones((4, 3))), (4, found[3]), (8, found[7])):
        np.testing.assert_array_equal(found[start : start + 3], np.stack([before] * 3))


def test_between_updates_only_the_sums_and_the_count_of_calls_change(backend: str) -> None:
    optimizer = td.optimizers.Nadam(use_ema=True, gradient_accumulation_steps=3)
    weight = variable([1.0, 2.0])
    for _ in range(3):
        optimizer.apply([grad([0.5, -0.5])], [weight])
    before = {v.name: v.numpy() for v in optimizer.variables}
    optimizer.apply([grad([5.0, -5.0])], [weight])
    changed = {v.name for v in optimizer.variables if (v.numpy() != before[v.name]).any()}
    assert changed == {"nadam/iterations", "nadam/w/accumulated"}
    assert (optimizer.iterations.item(), optimizer.step.item()) == (4, 1)


def test_nan_in_one_accumulation_does_not_reach_the_weight_before_its_update(backend: str) -> None:
    optimizer, weight = td.optimizers.Adam(gradient_accumulation_steps=2), variable([1.0])
    optimizer.apply([grad([np.nan])], [weight])
    assert weight.item() == 1.0
    assert np.isfinite(np.concatenate([v.numpy().ravel() for v in optimizer.variables[:3]])).all()


def test_without_a_gradient_what_was_accumulated_waits(backend: str) -> None:
    optimizer = td.optimizers.SGD(1.0, gradient_accumulation_steps=2)
    first, second = variable([0.0]), variable([0.0])
    optimizer.apply([grad([1.0]), grad([8.0])], [first, second])
    optimizer.apply([grad([1.0]), None], [first, second])
    assert [first.item(), second.item()] == [-1.0, 0.0]
    optimizer.apply([grad([1.0]), None], [first, second])
    optimizer.apply([grad([1.0]), grad([2.0])], [first, second])
    assert [first.item(), second.item()] == [-2.0, -5.0]


def test_a_schedule_counts_calls_and_t_counts_updates(backend: str) -> None:
    seen = []

    class Recorder(td.optimizers.SGD):
        def update(self, param, grad, state, learning_rate):
            seen.append((self.step.item(), round(learning_rate.item(), 6)))
            return super().update(param, grad, state, learning_rate)

    optimizer = Recorder(lambda step: 0.1 * (step + 1), gradient_accumulation_steps=3)
    path(optimizer, [0.0], [[1.0]] * 6)
    # The rule is called every time and every third call counts; at that call the schedule has seen 2, then 5 calls.
    assert seen[2::3] == [(1, 0.3), (2, 0.6)]
    assert (optimizer.iterations.item(), optimizer.step.item()) == (6, 2)


# -- the order -----------------------------------------------------------------------------------------------------


def test_order_is_clip_decay_update_average_constraint(backend: str) -> None:
    seen: dict[str, float] = {}

    class Recorder(td.optimizers.Optimizer):
        def init(self, param):
            return {}

        def update(self, param, grad, state, learning_rate):
            seen.update(param=param.item(), grad=grad.item())
            return param - learning_rate * grad, state

    def constraint(w: td.Tensor) -> td.Tensor:
        seen["constrained"] = w.item()
        return td.minimum(w, 0.25)

    weight = variable([2.0])
    weight.constraint = constraint
    optimizer = Recorder(
        0.5, clipvalue=1.0, weight_decay=0.5, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2
    )
    optimizer.apply([grad([8.0])], [weight])
    # The gradient is clipped to 1, the weight decays by 2 * 0.5 * 0.5, the rule makes 1.5 - 0.5 of it.
    assert seen == {"param": 1.5, "grad": 1.0, "constrained": 1.0}
    assert optimizer.averages([weight])[0].item() == 1.0  # taken before the constraint
    assert weight.item() == 0.25
    optimizer.apply([grad([0.0])], [weight])
    # 0.25 decays to 0.1875; the average of it and 1 takes its place and is what the constraint sees.
    assert seen == {"param": 0.1875, "grad": 0.0, "constrained": 0.59375}
    assert weight.item() == 0.25


def test_a_constraint_that_changes_the_shape_names_the_weight(backend: str) -> None:
    weight = variable([1.0, 2.0])
    weight.path = "dense/bias"
    weight.constraint = lambda w: w[:1]
    with pytest.raises(ValueError, match=r"'dense/bias' has shape \(2,\) and was assigned a value of shape \(1,\)"):
        td.optimizers.SGD().apply([grad([0.0, 0.0])], [weight])
