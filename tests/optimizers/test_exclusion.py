"""Which weights are left out of weight decay: by their names, or themselves; what else decays unequally."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td


def variable(value: Any, name: str = "w") -> td.Variable:
    return td.Variable(np.asarray(value, np.float32), trainable=True, name=name)


def grad(value: Any) -> td.Tensor:
    return td.tensor(np.asarray(value, np.float32))


@pytest.mark.parametrize(
    ("names", "decayed"),
    [
        (["bias"], ["kernel", "gamma"]),
        ("bias", ["kernel", "gamma"]),
        (["^b", "mm"], ["kernel"]),
        (["dense_bias_free"], ["kernel", "bias", "gamma"]),
        ([], ["kernel", "bias", "gamma"]),
    ],
)
def test_weights_are_left_out_of_decay_by_their_own_names(backend: str, names: Any, decayed: list[str]) -> None:
    weights = [variable([1.0], name) for name in ("kernel", "bias", "gamma")]
    for weight in weights:
        weight.path = f"dense_bias_free/{weight.name}"
    optimizer = td.optimizers.SGD(1.0, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=names)
    optimizer.apply([grad([0.0])] * 3, weights)
    assert [weight.name for weight in weights if weight.item() == 0.5] == decayed
    assert {weight.item() for weight in weights} <= {0.5, 1.0}


def test_weights_are_left_out_of_decay_by_themselves_until_the_next_call(backend: str) -> None:
    first, second, plain = variable([1.0]), variable([1.0]), td.tensor([1.0], requires_grad=True)
    optimizer = td.optimizers.SGD(1.0, weight_decay=0.5)
    optimizer.exclude_from_weight_decay([first, plain])
    optimizer.apply([grad([0.0])] * 3, [first, second, plain])
    assert [w.item() for w in (first, second, plain)] == [1.0, 0.5, 1.0]
    optimizer.exclude_from_weight_decay([second])
    optimizer.apply([grad([0.0])] * 3, [first, second, plain])
    assert [w.item() for w in (first, second, plain)] == [0.5, 0.5, 0.5]


def test_the_weights_left_out_are_those_of_a_copy_too(backend: str) -> None:
    weights = [variable([1.0]), variable([1.0])]
    optimizer = td.optimizers.SGD(1.0, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(weights[:1])
    copied, copies = copy.deepcopy((optimizer, weights))
    copied.apply([grad([0.0])] * 2, copies)
    assert [weight.item() for weight in copies] == [1.0, 0.5]


def test_none_leaves_nothing_out_as_in_keras(backend: str) -> None:
    weight, optimizer = variable([1.0], "bias"), td.optimizers.SGD(1.0, weight_decay=0.5)
    optimizer.exclude_from_weight_decay([weight], "bias")
    optimizer.exclude_from_weight_decay(None, None)
    optimizer.apply([grad([0.0])], [weight])
    assert weight.item() == 0.5


def test_what_is_no_weight_and_no_pattern() -> None:
    optimizer = td.optimizers.SGD(weight_decay=0.5)
    for wrong in ("bias", [np.zeros(2)], [td.layers.Dense(2)]):
        with pytest.raises(TypeError, match=r"^sgd: var_list must be a list of weights, as layer\.weights is; it has "):
            optimizer.exclude_from_weight_decay(wrong)
    for wrong in (3, [3], [None]):
        with pytest.raises(ValueError, match=r"^sgd: var_names must be a list of regular expressions, not "):
            optimizer.exclude_from_weight_decay(var_names=wrong)
    with pytest.raises(ValueError, match=r"^sgd: var_names must be regular expressions, not '\*': nothing to repeat"):
        optimizer.exclude_from_weight_decay(var_names="*")


def test_a_rule_may_decay_its_weights_unequally(backend: str) -> None:
    class Matrices(td.optimizers.SGD):
        def decay_of(self, weight):
            return self.weight_decay if weight.ndim > 1 else None

    weights = [variable([[1.0]], "kernel"), variable([1.0], "bias"), variable([[1.0]], "gamma")]
    optimizer = Matrices(1.0, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names="gamma")
    optimizer.apply([grad([[0.0]]), grad([0.0]), grad([[0.0]])], weights)
    assert [weight.item() for weight in weights] == [0.5, 1.0, 1.0]


def trained(name: str, decay: float | None, leave_out: Any = None, how: str = "eager", folder: Any = None) -> list[Any]:
    """Return the kernel and the bias of a model after steps of an optimizer, some of them made after it was loaded."""
    td.utils.set_random_seed(7)
    model = td.Sequential([td.layers.Dense(2, input_shape=(2,), kernel_initializer="ones", bias_initializer="ones")])
    decays = {"weight_decay": decay, **({"adam_weight_decay": decay} if name == "muon" else {})}
    optimizer = td.registry.optimizers.get(name, learning_rate=0.1, **decays)
    model.compile(optimizer, "mse", run_eagerly=how != "jit", jit_compile=how == "jit")
    if leave_out is not None:
        optimizer.exclude_from_weight_decay(**leave_out(model.layers[-1]))
    x, y = np.linspace(-1, 1, 12).reshape(6, 2), np.linspace(2, 3, 12).reshape(6, 2)
    for _ in range(2):
        model.fit(x, y, batch_size=2, epochs=2, shuffle=False, verbose=0)
        if how == "loaded":
            model.save(folder / "model")
            model = td.models.load_model(folder / "model")
    return [weight.numpy() for weight in model.weights]


@pytest.mark.parametrize("how", ["eager", "jit", "loaded"])
@pytest.mark.parametrize("name", td.registry.optimizers.names())
def test_every_optimizer_leaves_weights_out(name: str, how: str, tmp_path: Any) -> None:
    kernel, bias = trained(name, 0.0 if name == "adamw" else None)
    decayed = trained(name, 0.5)
    assert np.abs(decayed[0] - kernel).max() > 1e-4
    for leave_out in (
        lambda layer: {"var_names": ["nothing", "bias"]}, lambda layer: {"var_list": [layer.bias]},
        lambda layer: {"var_list": [layer.bias], "var_names": ["^unknown$"]},
    ):  # fmt: skip
        found = trained(name, 0.5, leave_out, how, tmp_path)
        # What is left out is not the same weight as without any decay: its gradient depends on the others.
        assert np.abs(found[1] - decayed[1]).max() > 1e-4
    everything = trained(name, 0.5, lambda layer: {"var_names": "kernel|bias"}, how, tmp_path)
    for one, other in zip(everything, (kernel, bias), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-6)
