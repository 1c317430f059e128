"""PyTorch's state dicts: loaded they give PyTorch's outputs, written they are what was loaded, misfits are named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.golden import storage

CASES = storage.load("interchange_torch").cases
TORCH = {"epsilon": 1e-5}


def network(name: str) -> td.Model:
    """Return the network of a case, as this package has it."""
    k = td.layers
    rows: dict[str, list[Any]] = {
        "stack": [k.Dense(8, "elu", input_shape=(6,)), k.Dense(7, "elu"), k.Dense(3)],
        "normalized": [
            k.Dense(8, use_bias=False, input_shape=(6,)), k.BatchNormalization(**TORCH), k.ReLU(), k.Dense(3),
        ],
        "layers": [
            k.Dense(8, input_shape=(6,)), k.LayerNormalization(**TORCH), k.PReLU(shared_axes=[1]), k.Dense(5),
            k.PReLU(),
        ],
        "images": [
            k.Conv2D(4, (3, 2), input_shape=(11, 14, 3)), k.BatchNormalization(**TORCH), k.ReLU(), k.MaxPooling2D(2),
            k.Conv2D(5, 2, strides=2), k.PReLU(shared_axes=[1, 2]), k.Flatten(), k.Dense(6, "elu"), k.Dense(2),
        ],
    }  # fmt: skip
    return td.Sequential(rows[name])


def state(name: str) -> dict[str, np.ndarray]:
    """Return PyTorch's state dict of a case."""
    return {key.removeprefix("state/"): value for key, value in CASES[name].items() if key.startswith("state/")}


@pytest.mark.parametrize("name", CASES)
def test_gives_the_outputs_of_pytorch(name: str, backend: str) -> None:
    model, case = network(name), CASES[name]
    td.interchange.load_state_dict(model, state(name))
    x = case["x"].transpose(0, 2, 3, 1) if case["x"].ndim == 4 else case["x"]
    assert np.linalg.norm(model.predict(x, verbose=0) - case["y"]) <= 1e-5 * np.linalg.norm(case["y"])


@pytest.mark.parametrize("name", CASES)
def test_is_written_as_it_was_read(name: str) -> None:
    model, given = network(name), state(name)
    td.interchange.load_state_dict(model, given)
    modules = list(dict.fromkeys(key.rpartition(".")[0] for key in given))
    layers = [layer.name for layer in model.layers if layer.weights]
    written = td.interchange.state_dict(model, dict(zip(layers, modules, strict=True)))
    assert list(written) == list(given)
    for key, value in given.items():
        assert written[key].shape == value.shape
        assert written[key].dtype == value.dtype
        assert key.endswith("num_batches_tracked") or np.array_equal(written[key], value)


class Tensorlike:
    """What has ``detach``, ``cpu`` and ``numpy``, as PyTorch's tensors have."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def detach(self) -> Tensorlike:
        return self

    def cpu(self) -> Tensorlike:
        return self

    def numpy(self) -> np.ndarray:
        return self.array


class Arraylike:
    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.array


@pytest.mark.parametrize("wrap", [Tensorlike, Arraylike, lambda array: array.tolist()])
def test_takes_tensors_and_what_numpy_takes(wrap: Any) -> None:
    plain, wrapped = network("stack"), network("stack")
    td.interchange.load_state_dict(plain, state("stack"))
    td.interchange.load_state_dict(wrapped, {key: wrap(value) for key, value in state("stack").items()})
    assert all(map(np.array_equal, plain.get_weights(), wrapped.get_weights()))


def test_names_say_which_module_is_which_layer() -> None:
    rng = np.random.default_rng(0)
    model = td.Sequential([td.layers.Dense(3, name="a", input_shape=(3,)), td.layers.Dense(3, name="b")])
    given = {f"net.{m}.{w}": rng.normal(size=(3, 3) if w == "weight" else 3) for m in "xy" for w in ("weight", "bias")}
    td.interchange.load_state_dict(model, given, {"net.x": "b", "net.y": "a"})
    np.testing.assert_allclose(model.get_layer("b").kernel.numpy(), given["net.x.weight"].T, rtol=1e-6)
    np.testing.assert_allclose(model.get_layer("a").bias.numpy(), given["net.y.bias"], rtol=1e-6)


def test_what_follows_flattened_images_has_its_features_in_order() -> None:
    k, rng = td.layers, np.random.default_rng(0)
    model = td.Sequential(
        [k.Flatten(input_shape=(2, 3, 4)), k.BatchNormalization(name="b"), k.Dropout(0.5), k.Dense(5, name="d")]
    )
    given = {f"b.{key}": rng.uniform(0.5, 1.5, 24) for key in ("weight", "bias", "running_mean", "running_var")}
    given |= {"d.weight": rng.normal(size=(5, 24)), "d.bias": rng.normal(size=5)}
    td.interchange.load_state_dict(model, given)
    x = rng.normal(size=(6, 4, 2, 3))  # as PyTorch has images
    flat = (x.reshape(6, -1) - given["b.running_mean"]) / np.sqrt(given["b.running_var"] + 1e-3)
    expected = (flat * given["b.weight"] + given["b.bias"]) @ given["d.weight"].T + given["d.bias"]
    found = model.predict(x.transpose(0, 2, 3, 1).astype(np.float32), verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    for key, value in td.interchange.state_dict(model).items():
        assert key == "b.num_batches_tracked" or np.allclose(value, given[key], rtol=1e-6)


def test_refuses_where_the_order_of_features_cannot_be_seen() -> None:
    head = td.Sequential([td.layers.Dense(2, name="first", input_shape=(24,))])
    model = td.Sequential([td.layers.Flatten(input_shape=(2, 3, 4)), head], name="outer")
    with pytest.raises(ValueError, match="Dense 'first' is the first of a model inside 'outer', and whether its"):
        td.interchange.state_dict(model)
    assert td.interchange.state_dict(head)["first.weight"].shape == (2, 24)


def test_layers_of_models_inside_count_in_order() -> None:
    inner = td.Sequential([td.layers.Dense(4, name="inside", input_shape=(3,))])
    model = td.Sequential([inner, td.layers.Dense(2, name="outside")])
    assert list(td.interchange.state_dict(model)) == ["inside.weight", "inside.bias", "outside.weight", "outside.bias"]


@pytest.mark.parametrize(
    ("change", "names", "message"),
    [
        (lambda s: s.pop("0.bias"), None, "Dense 'one' and the module '0' do not fit: the layer takes"),
        (lambda s: s.update({"4.weight": np.ones(2)}), None, "the dict has 3 modules, .* and the model 2 layers"),
        (
            lambda s: s.update({"0.weight": np.ones((3, 2))}), None,
            r"'weight' must have shape \(2, 3\), as PyTorch orders its axes, not \(3, 2\)",
        ),
        (lambda s: s.update({"0.bias": "text"}), None, "'0.bias' must be an array of numbers, not str"),
        (lambda s: None, {"0": "three"}, "names says that '0' is 'three'; the dict has"),
        (lambda s: None, {"0": "one"}, r"names must give each of \['one', 'two'\] one module"),
        (lambda s: None, {"0": "one", "2": "one"}, r"names must give each of \['one', 'two'\] one module"),
    ],
)  # fmt: skip
def test_what_does_not_fit_changes_nothing(change: Any, names: Any, message: str) -> None:
    model = td.Sequential([td.layers.Dense(2, name="one", input_shape=(3,)), td.layers.Dense(1, name="two")])
    given = {"0.weight": np.ones((2, 3)), "0.bias": np.ones(2), "2.weight": np.ones((1, 2)), "2.bias": np.ones(1)}
    change(given)
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        td.interchange.load_state_dict(model, given, names)
    assert all(map(np.array_equal, before, model.get_weights()))


def test_refuses_what_pytorch_does_not_have() -> None:
    model = td.Sequential([td.layers.Normalization(name="n", input_shape=(3,)), td.layers.Dense(1)])
    with pytest.raises(ValueError, match="state_dict: Normalization 'n' has weights, and is none of PyTorch's"):
        td.interchange.state_dict(model)
    with pytest.raises(ValueError, match=r"state_dict: model .* is not built"):
        td.interchange.state_dict(td.Sequential([td.layers.Dense(1)]))
    with pytest.raises(TypeError, match="load_state_dict: it takes a model, not dict"):
        td.interchange.load_state_dict({}, {})
    model = td.Sequential([td.layers.Dense(1, name="d", input_shape=(2,))])
    with pytest.raises(ValueError, match="has no layer 'e' with weights"):
        td.interchange.state_dict(model, {"e": "0"})
