"""Layers and models on other backends: everything they hold comes along, and training goes on to the same bits."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn.backend.strict import StrictBackend
from tinygrad_dnn.layers.moving import held_by, move

RNG = np.random.default_rng(3)
X, Y = RNG.normal(size=(24, 6)).astype("float32"), RNG.integers(0, 3, 24)


@pytest.fixture(autouse=True)
def _at_home() -> Iterator[None]:
    with td.backend.use("numpy"):
        yield


def network(optimizer: Any = None) -> Any:
    """Return a model with one of each kind of state."""
    td.random.set_seed(5)
    layers = td.layers
    model = td.Sequential([
        td.Input(shape=(6,)), layers.Dense(8, activation="elu", kernel_regularizer="l2"), layers.BatchNormalization(),
        layers.Dropout(0.5), layers.GaussianNoise(0.1), layers.Dense(3, activation="softmax"),
    ])  # fmt: skip
    made = optimizer or td.optimizers.Adam(0.01, use_ema=True, amsgrad=True, global_clipnorm=1.0)
    model.compile(made, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def state_of(model: Any) -> dict[str, np.ndarray]:
    found = {**td.saving.state.weights(model), **td.saving.state.streams(model)}
    found |= td.saving.state.optimizer_state(model.optimizer, td.saving.state.weights(model))
    found |= {f"{m.name}/{v.name}": v for m in model.metrics for v in m.variables}
    return {name: variable.numpy() for name, variable in found.items()}


def fit(model: Any, where: str, epochs: int = 2) -> list[float]:
    td.random.set_seed(9)  # the order of the samples
    with td.backend.use(where):
        losses: list[float] = model.fit(X, Y, batch_size=8, epochs=epochs, verbose=0).history["loss"]
    return losses


def one_by_one(model: Any, where: str) -> list[float]:
    with td.backend.use(where):
        return [float(model.train_on_batch(X[i : i + 8], Y[i : i + 8], return_dict=True)["loss"]) for i in (0, 8, 16)]


@pytest.mark.parametrize("go_on", [fit, one_by_one])
@pytest.mark.parametrize("way", [["strict"], ["strict", "numpy"], ["strict", "strict", "numpy", "strict"]])
def test_training_goes_on_bit_for_bit(go_on: Any, way: list[str]) -> None:
    stays, moves = network(), network()
    for model in (stays, moves):
        fit(model, "numpy")
    for where in way:
        expected = go_on(stays, "numpy")
        assert moves.to(where) is moves
        assert {x.backend.name for x in held_by([moves])} == {where}
        assert go_on(moves, where) == expected
        before, after = state_of(stays), state_of(moves)
        assert before.keys() == after.keys()
        for name in before:
            assert before[name].tobytes() == after[name].tobytes(), name


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: td.optimizers.SGD(0.1, momentum=0.9, gradient_accumulation_steps=2),
        lambda: td.optimizers.RMSprop(td.schedulers.ExponentialDecay(0.1, 4, 0.5)),
        lambda: td.optimizers.Adamax(0.01),
        lambda: td.optimizers.Adafactor(0.01),
    ],
)
def test_optimizers_come_along(optimizer: Any) -> None:
    stays, moves = network(optimizer()), network(optimizer())
    for model in (stays, moves):
        one_by_one(model, "numpy")
    assert one_by_one(stays, "numpy") == one_by_one(moves.to("strict"), "strict")
    assert [v.numpy().tobytes() for v in stays.weights] == [v.numpy().tobytes() for v in moves.weights]


def test_mixed_precision_and_its_loss_scale_come_along() -> None:
    with td.mixed_precision("float16"):
        stays, moves = network("adam"), network("adam")
    for model in (stays, moves):
        one_by_one(model, "numpy")
    assert one_by_one(stays, "numpy") == one_by_one(moves.to("strict"), "strict")
    assert {x.backend.name for x in held_by([moves.optimizer])} == {"strict"}
    before, after = ([v.numpy().tobytes() for v in held_by([m])] for m in (stays, moves))
    assert before == after


def test_several_outputs_and_their_losses_come_along() -> None:
    def make() -> Any:
        td.random.set_seed(1)
        x = td.Input(shape=(6,))
        model = td.Model(x, {"a": td.layers.Dense(1)(x), "b": td.layers.Dense(1)(x)})
        model.compile("adam", {"a": "mse", "b": td.losses.Huber()}, metrics={"a": ["mae"]})
        return model

    targets = {"a": X[:, :1], "b": X[:, 1:2]}
    stays, moves = make(), make()
    for model, where in ((stays, "numpy"), (moves, "strict")):
        model.train_on_batch(X, targets)
        model.to(where)
    with td.backend.use("strict"):
        there = moves.train_on_batch(X, targets)
    assert stays.train_on_batch(X, targets) == there
    assert {v.backend.name for m in moves.metrics for v in m.variables} == {"strict"}


def test_what_a_layer_of_ones_own_holds_comes_along() -> None:
    class Own(td.layers.Layer):
        def __init__(self, scales: Any) -> None:
            super().__init__()
            self.scales = scales
            self.parts = {"dropout": (td.layers.Dropout(0.5),), "function": functools.partial(max, td.tensor(2.0))}
            self.seen: Any = None

        def call(self, inputs: Any) -> Any:
            self.seen = inputs * self.scales[0]
            return self.seen

        def get_config(self) -> dict[str, Any]:
            return {}

    layer = Own([td.tensor([2.0]), {td.tensor([3.0])}])
    layer(td.tensor([[1.0]], requires_grad=True))
    held = list(held_by([layer]))
    assert [x.tolist() for x in held[:2]] == [[2.0], [3.0]]
    assert len(held) == 2 + 2 + 1  # a stream has a state, and what it counts by
    layer.to("strict")
    assert {x.backend.name for x in held} == {"strict"}
    assert layer.seen.backend.name == "numpy", "what a call has left is no state"


def test_gradients_come_along_and_a_backward_pass_over_the_old_values_is_refused() -> None:
    layer = td.layers.Dense(2, use_bias=False)
    layer.build((None, 6))
    kernel = layer.kernel
    out = (kernel * kernel).sum()
    out.backward(retain_graph=True)
    grad = kernel.grad.numpy()
    layer.to("strict")
    assert kernel.grad.backend.name == "strict"
    np.testing.assert_array_equal(kernel.grad.numpy(), grad)
    assert kernel.requires_grad
    with pytest.raises(RuntimeError, match="assigned"):
        out.backward()


def test_there_already_nothing_is_done() -> None:
    model = network()
    before = [v.data for v in held_by([model])]
    model.to("numpy").to("numpy:0")
    assert all(v.data is old for v, old in zip(held_by([model]), before, strict=True))


def test_what_cannot_be_brought_leaves_all_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network()
    real, made = StrictBackend.from_host, []

    def full(self: StrictBackend, array: np.ndarray) -> Any:
        made.append(array)
        if len(made) == 4:
            raise MemoryError("out of memory")
        return real(self, array)

    monkeypatch.setattr(StrictBackend, "from_host", full)
    with pytest.raises(MemoryError):
        model.to("strict")
    assert {x.backend.name for x in held_by([model])} == {"numpy"}
    for where, message in (("jax", "unknown backend 'jax'"), ("strict:1", "none is numbered 1"), (3, "unknown")):
        with pytest.raises(ValueError, match=message):
            move([model], where)  # type: ignore[arg-type]


def test_an_unbuilt_model_is_built_where_the_thread_is() -> None:
    model = td.Sequential([td.layers.Dense(2)])
    model.to("strict")
    assert model(X).backend.name == "numpy"


def test_copies_of_a_moved_model_are_there_too() -> None:
    with pytest.raises(TypeError, match="not pickled"):
        copy.copy(td.zeros((1,)).to("strict").data).__reduce__()
    model = network().to("strict")
    assert {x.backend.name for x in held_by([copy.deepcopy(model)])} == {"strict"}


@pytest.mark.parametrize("call", ["model", "fit", "predict", "layer"])
def test_a_batch_elsewhere_is_told_in_one_sentence(call: str) -> None:
    model = network().to("strict")
    calls = {
        "model": lambda: model(X),
        "fit": lambda: model.fit(X, Y, verbose=0),
        "predict": lambda: model.predict(X),
        "layer": lambda: model.layers[0](X),
    }
    name = model.layers[0].name if call == "layer" else model.name
    message = (
        f"{name!r} has its weights on backend 'strict' and was given inputs on 'numpy': call its .to('numpy'), or make "
        r"the inputs where it is, after td.backend.use('strict')."
    )
    with pytest.raises(TypeError) as caught:
        calls[call]()
    assert str(caught.value) == message


def test_another_type_error_stays_what_it_is() -> None:
    class Wrong(td.layers.Layer):
        def call(self, inputs: Any) -> Any:
            raise TypeError("of its own")

    with pytest.raises(TypeError, match="of its own"):
        Wrong()(X)
