"""The optimizers' base class: applying, rules that others write, the learning rate, dtypes, state, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.optimizers.trajectories import BUILT_IN, path, waves


def variable(value: Any, dtype: str = "float32") -> td.Variable:
    return td.Variable(np.asarray(value, dtype), trainable=True, name="w")


def grad(value: Any) -> td.Tensor:
    return td.tensor(np.asarray(value, np.float32))


class Halving(td.optimizers.Optimizer):
    """A rule as someone else would write it: state of each weight, and a factor that all of them share."""

    def __init__(self, learning_rate: Any = 1.0, **kwargs: Any) -> None:
        super().__init__(learning_rate, **kwargs)
        self.factor = td.Variable(2.0, name="factor")
        self.seen: list[Any] = []

    def init(self, param: td.Tensor) -> dict[str, td.Tensor]:
        return {"sum": td.zeros_like(param), "calls": td.tensor(0.0)}

    def begin_step(self) -> None:
        self.factor.assign(self.factor * 0.5)

    def update(self, param, grad, state, learning_rate):
        self.seen.append((self.step.item(), param.shape, learning_rate.dtype, learning_rate.shape))
        total = state["sum"] + grad
        return param - learning_rate * self.factor * total, {"sum": total, "calls": state["calls"] + 1}


class InPlace(td.optimizers.Optimizer):
    """A rule that puts its new state into the dict that it was given."""

    def init(self, param: td.Tensor) -> dict[str, td.Tensor]:
        return {"m": td.zeros_like(param)}

    def update(self, param, grad, state, learning_rate):
        state["m"] = 0.5 * state["m"] + grad
        return param - learning_rate * state["m"], state


# -- applying ------------------------------------------------------------------------------------------------------


def test_apply_serves_a_loop_of_one_s_own(backend: str) -> None:
    weight = variable([3.0, -2.0])
    optimizer = td.optimizers.SGD(0.25)
    for _ in range(20):
        loss = ((weight - td.tensor([1.0, 1.0])) ** 2).sum()
        optimizer.apply(td.grad(loss, [weight]), [weight])
    # Each step halves the distance.
    np.testing.assert_allclose(weight.numpy(), [1 + 2 * 0.5**20, 1 - 3 * 0.5**20], rtol=1e-6)
    assert weight.is_leaf
    assert weight.requires_grad
    assert weight.grad is None


def test_apply_takes_the_gradients_that_backward_accumulated_and_leaf_tensors(backend: str) -> None:
    weight = td.tensor([2.0], requires_grad=True)
    (weight * weight).sum().backward()
    td.optimizers.SGD(0.5).apply([weight.grad], [weight])
    assert weight.tolist() == [0.0]


def test_apply_takes_gradients_from_the_host(backend: str) -> None:
    first, second = variable([2.0]), variable([2.0], "float64")
    td.optimizers.SGD(0.5, clipvalue=3.0).apply([np.array([4.0]), [1.0]], [first, second])
    assert [(w.item(), w.dtype, w.backend.name) for w in (first, second)] == [
        (0.5, np.float32, backend), (1.5, np.float64, backend),
    ]  # fmt: skip


def test_nothing_is_recorded_and_the_gradients_stay_as_they_are(backend: str) -> None:
    weight, gradient = variable([1.0, 2.0]), td.tensor([0.5, 0.5], requires_grad=True)
    optimizer = td.optimizers.Adam(clipnorm=0.1, use_ema=True, weight_decay=0.1)
    optimizer.apply([gradient * 2], [weight])
    assert gradient.tolist() == [0.5, 0.5]
    assert not any(v.requires_grad or not v.is_leaf for v in optimizer.variables)
    assert weight.is_leaf


@pytest.mark.parametrize("options", [{}, {"gradient_accumulation_steps": 2}], ids=str)
def test_a_scaled_loss_makes_the_same_steps(backend: str, options: dict[str, Any]) -> None:
    found = []
    for scale in (None, 1024.0):
        weight = variable([3.0, -2.0])
        optimizer = td.optimizers.SGD(0.25, momentum=0.5, clipnorm=2.0, loss_scale_factor=scale, **options)
        for _ in range(6):
            loss = ((weight - td.tensor([1.0, 1.0])) ** 2).sum()
            assert optimizer.scale_loss(loss).item() == loss.item() * (scale or 1)
            optimizer.apply(td.grad(optimizer.scale_loss(loss), [weight]), [weight])
        found.append(weight.numpy())
    np.testing.assert_array_equal(*found)


def test_a_loss_scale_keeps_small_gradients_of_float16(backend: str) -> None:
    moves = []
    for scale in (None, 1024.0):
        weight = variable([1.0])
        optimizer = td.optimizers.SGD(1e8, loss_scale_factor=scale)
        # Half of the chain rule's product is in float16, whose smallest number is 6e-8.
        loss = (td.cast(weight, "float16") * td.tensor(np.float16([1e-4])) * td.tensor(np.float16([1e-4]))).sum()
        optimizer.apply(td.grad(optimizer.scale_loss(loss), [weight]), [weight])
        moves.append(1 - weight.item())
    assert moves == [0.0, pytest.approx(1.0, rel=0.01)]


def test_a_gradient_of_none_leaves_its_weight_alone(backend: str) -> None:
    first, second = variable([1.0]), variable([2.0])
    optimizer = td.optimizers.Adam(0.1, weight_decay=0.1)
    for _ in range(3):
        optimizer.apply([grad([1.0]), None], [first, second])
    assert second.numpy() == np.float32(2.0)
    assert first.item() < 0.8
    assert {v.name for v in optimizer.variables if "/w/" in v.name} == {"adam/w/m", "adam/w/v"}
    assert sum("/w/" in v.name for v in optimizer.variables) == 2


def test_frozen_weights_are_untouched_and_thawed_ones_begin_anew(backend: str) -> None:
    hidden, output = td.layers.Dense(4, activation="tanh"), td.layers.Dense(1)
    x = td.tensor(np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32))
    optimizer = td.optimizers.Adam(0.1)

    def step() -> None:
        loss = (output(hidden(x)) ** 2).mean()
        weights = [*hidden.trainable_weights, *output.trainable_weights]
        optimizer.apply(td.grad(loss, weights), weights)

    step()
    hidden.trainable = False
    frozen, moving = hidden.get_weights(), output.get_weights()
    state = [v.numpy() for v in optimizer.variables if f"/{hidden.name}/" in v.name]
    step()
    for before, after in zip(frozen, hidden.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    assert not np.array_equal(moving[0], output.get_weights()[0])
    kept = [v.numpy() for v in optimizer.variables if f"/{hidden.name}/" in v.name]
    assert len(kept) == 4
    assert all(np.array_equal(a, b) for a, b in zip(state, kept, strict=True))
    hidden.trainable = True
    step()
    assert not np.array_equal(frozen[0], hidden.get_weights()[0])


def test_errors_of_apply(backend: str) -> None:
    optimizer, weight = td.optimizers.SGD(), variable([1.0, 2.0])
    with pytest.raises(ValueError, match=r"^sgd: 1 gradients were given for 2 weights\.$"):
        optimizer.apply([grad([0.0, 0.0])], [weight, weight])
    for grads, weights in (([None], [weight]), ([], [])):
        with pytest.raises(ValueError, match=r"^sgd: no weight has a gradient; was the loss computed from these"):
            optimizer.apply(grads, weights)
    with pytest.raises(TypeError, match=r"^sgd: weights are Variables or other leaf Tensors, not array"):
        optimizer.apply([grad([0.0, 0.0])], [np.zeros(2)])
    assert optimizer.iterations.item() == 0


@pytest.mark.parametrize("shape", [(1,), (2, 1), (), (3,)])
def test_a_gradient_of_another_shape_is_refused_before_anything_changes(backend: str, shape: tuple[int, ...]) -> None:
    first, second = variable([1.0]), variable([1.0, 2.0])
    second.path = "dense/bias"
    optimizer = td.optimizers.SGD()
    with pytest.raises(ValueError, match=r"^sgd: dense/bias of shape \(2,\) was given a gradient of shape \("):
        optimizer.apply([grad([1.0]), grad(np.ones(shape))], [first, second])
    assert (first.item(), optimizer.iterations.item()) == (1.0, 0)


@pytest.mark.parametrize("cls", BUILT_IN)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"clipnorm": 1.0, "weight_decay": 0.1},
        {"global_clipnorm": 1.0, "use_ema": True, "ema_overwrite_frequency": 2},
        {"normalize_gradients": True},
        {"gradient_accumulation_steps": 2},
    ],
    ids=str,
)
def test_an_update_asks_nothing_of_the_device(cls: str, options: dict[str, Any]) -> None:
    with td.backend.use("strict") as strict:
        schedule = td.schedulers.PiecewiseConstantDecay([2], [0.1, 0.01])
        optimizer = getattr(td.optimizers, cls)(schedule, **options)
        weights = [variable([1.0, 2.0]), variable([[1.0]])]
        gradients = [grad([1.0, 2.0]), grad([[1.0]])]
        optimizer.apply(gradients, weights)
        before = strict.host_syncs
        for _ in range(4):
            optimizer.apply(gradients, weights)
        assert strict.host_syncs == before


# -- rules that others write ---------------------------------------------------------------------------------------


def test_a_rule_is_init_update_and_begin_step(backend: str) -> None:
    optimizer, matrix, vector = Halving(), variable(np.zeros((2, 3))), variable(np.zeros(3))
    for _ in range(2):
        optimizer.apply([grad(np.ones((2, 3))), grad(np.ones(3))], [matrix, vector])
    assert td.optimizers.Optimizer().learning_rate.item() == np.float32(0.001)
    # Factors 1 and 1/2, sums 1 and 2: the step is 1 each time.
    np.testing.assert_array_equal(matrix.numpy(), np.full((2, 3), -2.0))
    np.testing.assert_array_equal(vector.numpy(), np.full(3, -2.0))
    assert optimizer.seen == [(t, s, np.float32, ()) for t in (1, 2) for s in ((2, 3), (3,))]
    state = {v.name: v.tolist() for v in optimizer.variables}
    assert (state["factor"], state["halving/iterations"]) == (0.5, 2)
    assert (state["halving/w/calls"], state["halving/w/sum"]) == (2.0, [2.0, 2.0, 2.0])


def test_options_of_the_base_class_work_around_any_rule(backend: str) -> None:
    optimizer = Halving(clipvalue=0.5, gradient_accumulation_steps=2, use_ema=True)
    found = path(optimizer, [0.0], [[9.0], [9.0], [-9.0], [-9.0]])
    np.testing.assert_array_equal(found[:, 0], [0.0, -0.5, -0.5, -0.5])
    assert optimizer.factor.item() == 0.5


@pytest.mark.parametrize("options", [{}, {"gradient_accumulation_steps": 2}], ids=str)
def test_a_rule_may_set_its_state_in_place(backend: str, options: dict[str, int]) -> None:
    optimizer = InPlace(1.0, **options)
    variables = None
    gradients = np.repeat([[1.0], [2.0], [-1.0]], 2 if options else 1, axis=0)
    weight = variable([0.0])
    for gradient in gradients:
        optimizer.apply([grad(gradient)], [weight])
        assert variables is None or [id(v) for v in optimizer.variables] == variables
        variables = [id(v) for v in optimizer.variables]
    # m is 1, 2.5, 0.25.
    assert weight.item() == -3.75
    assert all(isinstance(v, td.Variable) for v in optimizer.variables)


def test_state_may_have_any_name_and_shape(backend: str) -> None:
    class Counting(td.optimizers.Optimizer):
        def init(self, param):
            return {"average": td.tensor(0), "accumulated": td.zeros((2, 2))}

        def update(self, param, grad, state, learning_rate):
            assert state.keys() == {"average", "accumulated"}
            return param - grad, {"average": state["average"] + 1}

    optimizer, weight = Counting(use_ema=True, gradient_accumulation_steps=2), variable([0.0])
    for _ in range(4):
        optimizer.apply([grad([1.0])], [weight])
    assert weight.item() == -2.0
    assert optimizer.averages([weight])[0].item() == pytest.approx(-1.01)
    assert [v.item() for v in optimizer.variables if v.name == "counting/w/average" and not v.ndim] == [2]


def test_a_rule_without_its_methods() -> None:
    with pytest.raises(NotImplementedError, match=r"^optimizer Bare must define init\(param\) -> dict of state\.$"):
        type("Bare", (td.optimizers.Optimizer,), {})().apply([grad([1.0])], [variable([1.0])])
    bare = type("Bare", (td.optimizers.Optimizer,), {"init": lambda self, param: {}})()
    with pytest.raises(NotImplementedError, match=r"^optimizer Bare must define update\("):
        bare.apply([grad([1.0])], [variable([1.0])])


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda p, s: p, r"update must return \(new_param, new_state\), not Variable\."),
        (lambda p, s: (p, p), r"update must return \(new_param, new_state\), not tuple\."),
        (
            lambda p, s: (p, {"v": p}),
            r"update returned the state \['v'\], which init did not make: init made \['m'\]\.",
        ),
    ],
)
def test_a_rule_that_returns_something_else(result: Any, message: str) -> None:
    class Wrong(InPlace):
        def update(self, param, grad, state, learning_rate):
            return result(param, state)

    with pytest.raises(TypeError, match=f"^wrong: {message}$"):
        Wrong().apply([grad([1.0, 1.0])], [variable([1.0, 1.0])])


def test_init_that_returns_something_else() -> None:
    listing = type("Listing", (InPlace,), {"init": lambda self, param: [param]})()
    with pytest.raises(TypeError, match=r"^listing: init must return a dict of state, not list\.$"):
        listing.apply([grad([1.0])], [variable([1.0])])


# -- the learning rate ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), np.array(0.5), 0, lambda step: 0.5])
def test_learning_rate_is_set_by_hand_between_steps(backend: str, value: Any) -> None:
    optimizer, weight = td.optimizers.SGD(0.1), variable([0.0])
    optimizer.apply([grad([1.0])], [weight])
    optimizer.learning_rate = value
    expected = 0.5 if callable(value) else float(value)
    assert (optimizer.learning_rate.shape, optimizer.learning_rate.dtype) == ((), np.float32)
    assert optimizer.learning_rate.item() == expected
    optimizer.apply([grad([1.0])], [weight])
    np.testing.assert_allclose(weight.numpy(), [-0.1 - expected], rtol=1e-6)


def test_learning_rate_is_set_by_a_tensor_or_assigned(backend: str) -> None:
    optimizer = td.optimizers.SGD()
    optimizer.learning_rate = td.tensor(0.25)
    assert optimizer.learning_rate.item() == 0.25
    optimizer.learning_rate.assign(0.125)
    assert optimizer.learning_rate.item() == 0.125


def test_a_number_takes_a_schedule_s_place_and_back(backend: str) -> None:
    optimizer, weight = td.optimizers.SGD(td.schedulers.ExponentialDecay(1.0, 1, 0.5)), variable([0.0])
    rates = []
    for value in (None, None, 0.125, td.schedulers.PiecewiseConstantDecay([3], [0.0, 7.0]), None):
        if value is not None:
            optimizer.learning_rate = value
        rates.append(optimizer.learning_rate.item())
        optimizer.apply([grad([1.0])], [weight])
    # The step goes on: at 3 the piecewise schedule is at its boundary, at 4 behind it.
    assert rates == [1.0, 0.5, 0.125, 0.0, 7.0]
    assert weight.item() == -sum(rates)


@pytest.mark.parametrize(
    "schedule",
    [
        {
            "class_name": "ExponentialDecay",
            "config": {"initial_learning_rate": 1.0, "decay_steps": 1, "decay_rate": 0.5},
        },
        td.schedulers.ExponentialDecay(1.0, 1, 0.5),
        lambda step: 0.5**step,
        lambda step: 1.0 if step < 1 else 0.5,
    ],
)
def test_a_schedule_is_an_object_a_configuration_or_a_function(backend: str, schedule: Any) -> None:
    found = path(td.optimizers.SGD(schedule), [0.0], [[1.0], [1.0]])
    np.testing.assert_array_equal(found[:, 0], [-1.0, -1.5])


def test_a_schedule_is_named(backend: str) -> None:
    @td.registry.schedulers.register
    def tenth(step):
        return 0.1 / (step + 1)

    try:
        optimizer = td.optimizers.SGD("tenth")
        assert optimizer.learning_rate.item() == pytest.approx(0.1)
        assert optimizer.get_config()["learning_rate"] == "tenth"
    finally:
        td.plugins.reset()
    with pytest.raises(ValueError, match=r"^sgd: learning_rate: 'tenht' is not a known scheduler"):
        td.optimizers.SGD("tenht")


# -- dtypes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", BUILT_IN)
def test_float64_weights_keep_float64_state(backend: str, cls: str) -> None:
    make = getattr(td.optimizers, cls)
    optimizer, weight = make(0.01), variable([0.5, -1.0, 2.0], "float64")
    for gradient in waves(20):
        optimizer.apply([td.tensor(gradient)], [weight])
    assert {v.dtype for v in optimizer.variables if "/w/" in v.name} <= {np.dtype(np.float64)}
    td.backend.set_floatx("float64")
    try:
        exact = path(make(0.01), [0.5, -1.0, 2.0], waves(20), "float64")[-1]
    finally:
        td.backend.set_floatx("float32")
    # The learning rate and the corrections of t are of the default type, here float32.
    np.testing.assert_allclose(weight.numpy(), exact, rtol=1e-7)


def test_a_weight_keeps_its_dtype_whatever_its_gradient_s_and_the_default(backend: str) -> None:
    for dtype, floatx in (("float32", "float64"), ("float64", "float32"), ("float16", "float32")):
        td.backend.set_floatx(floatx)
        try:
            optimizer, weight = td.optimizers.Nadam(0.1, clipnorm=5.0, use_ema=True), variable([1.0, 1.0], dtype)
            optimizer.apply([td.tensor(np.array([1.0, -1.0]))], [weight])
        finally:
            td.backend.set_floatx("float32")
        assert weight.dtype == dtype
        np.testing.assert_allclose(weight.numpy(), [0.9, 1.1], rtol=0.1)


# -- state ---------------------------------------------------------------------------------------------------------


def test_variables_are_the_whole_state(backend: str) -> None:
    optimizer = td.optimizers.Nadam(use_ema=True, gradient_accumulation_steps=2)
    shared = {"nadam/iterations", "nadam/step", "nadam/learning_rate", "nadam/u_product"}
    assert {v.name for v in optimizer.variables} == shared
    layer = td.layers.Dense(2, name="dense_of_test")
    layer.build((None, 3))
    optimizer.build(layer.weights)
    optimizer.build(layer.weights)
    kept = ("m", "v", "average", "accumulated")
    expected = {f"nadam/dense_of_test/{w}/{key}" for w in ("kernel", "bias") for key in kept}
    assert {v.name for v in optimizer.variables} == shared | expected
    assert len(optimizer.variables) == 12


@pytest.mark.parametrize("cls", BUILT_IN)
@pytest.mark.parametrize("options", [{}, {"use_ema": True, "gradient_accumulation_steps": 3}], ids=str)
def test_training_resumes_from_the_variables_bit_for_bit(backend: str, cls: str, options: dict[str, Any]) -> None:
    config = {"momentum": 0.9} if cls in ("SGD", "RMSprop") else {}
    gradients = waves(20)
    whole = path(getattr(td.optimizers, cls)(0.1, **config, **options), np.ones(3), gradients)
    first = getattr(td.optimizers, cls)(0.1, **config, **options)
    path(first, np.ones(3), gradients[:10])
    # Another optimizer, of another learning rate, given the state of the first.
    second, weight = getattr(td.optimizers, cls)(7.0, **config, **options), variable(whole[9])
    second.build([weight])
    for ours, theirs in zip(second.variables, first.variables, strict=True):
        ours.assign(theirs.numpy())
    for gradient, expected in zip(gradients[10:], whole[10:], strict=True):
        second.apply([grad(gradient)], [weight])
        np.testing.assert_array_equal(weight.numpy(), expected)
