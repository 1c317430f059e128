"""Weights by name, from files of this project and others: what fits is taken, and what differs is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

import tinygrad_dnn as td
from tinygrad_dnn import saving

L = td.layers


def network(units: int = 4, name: str | None = "hidden") -> td.Sequential:
    hidden, last = L.Dense(units, name=name), L.Dense(1, name="last")
    return td.Sequential([td.Input(shape=(3,)), hidden, L.BatchNormalization(), last])


def same_weights(first: td.Model, second: td.Model) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first.get_weights(), second.get_weights(), strict=True))


def test_weights_alone(backend: str, tmp_path: Path) -> None:
    first, second = network(), network()
    first.layers[1].moving_mean.assign(np.arange(4, dtype="float32"))
    assert not same_weights(first, second)
    first.save_weights(tmp_path / "weights")
    second.load_weights(tmp_path / "weights")
    assert same_weights(first, second)
    assert second.predict(np.ones((2, 3)), verbose=0).tolist() == first.predict(np.ones((2, 3)), verbose=0).tolist()
    with pytest.raises(td.models.FileError, match=r"holds weights and no model: make the model, and then load_weights"):
        td.models.load_model(tmp_path / "weights")


def test_weights_of_a_whole_models_file(tmp_path: Path) -> None:
    first, second = network(), network()
    first.compile("adam", "mse")
    first.fit(np.ones((4, 3)), np.ones((4, 1)), verbose=0)
    first.save(tmp_path / "model")
    second.load_weights(tmp_path / "model")
    assert same_weights(first, second)


@pytest.mark.parametrize("spell", [str, lambda name: name.replace("/", ".")])
def test_a_file_of_another_program(spell: object, tmp_path: Path) -> None:
    first, second = network(), network()
    arrays = {spell(name): w.numpy() for name, w in saving.state.weights(first).items()}
    safetensors.numpy.save_file(arrays, tmp_path / "theirs.safetensors", {"format": "pt"})
    second.load_weights(tmp_path / "theirs.safetensors")
    assert same_weights(first, second)


def test_automatic_names_by_a_layers_own(tmp_path: Path) -> None:
    first, second = network(name=None), network(name=None)
    safetensors.numpy.save_file({w.path: w.numpy() for w in second.weights}, tmp_path / "paths")
    second.set_weights([w * 0 for w in second.get_weights()])
    second.load_weights(tmp_path / "paths")
    assert not same_weights(first, second)
    assert second.layers[0].kernel.numpy().any()


def test_another_type_of_the_same_kind_is_cast(tmp_path: Path) -> None:
    model = network()
    wide = {name: w.numpy().astype("float64") for name, w in saving.state.weights(model).items()}
    saving.write_tensors(tmp_path / "wide", wide, {})
    before = model.get_weights()
    model.set_weights([w * 0 for w in before])
    model.load_weights(tmp_path / "wide")
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), before, strict=True))
    assert {w.dtype.name for w in model.weights} == {"float32"}


def test_what_differs_is_listed_with_counts_and_nothing_changes(tmp_path: Path) -> None:
    arrays = {name: w.numpy() for name, w in saving.state.weights(network(5)).items()}
    del arrays["last/bias"]
    arrays |= {f"extra_{number}": np.ones(1) for number in range(7)} | {"last/kernel": np.ones((5, 1), "complex64")}
    saving.write_tensors(tmp_path / "file", arrays, {})
    model = network()
    before = model.get_weights()
    with pytest.raises(td.models.FileError) as raised:
        model.load_weights(tmp_path / "file")
    text = str(raised.value)
    assert "1 missing ('last/bias')" in text
    assert "7 unexpected ('extra_0', 'extra_1', 'extra_2', 'extra_3', 'extra_4', ...)" in text
    assert "7 of another shape ('hidden/kernel': (3, 5) in the file, (3, 4) in the model, " in text
    assert "1 of another type ('last/kernel': complex64 in the file, float32 in the model)" in text
    assert "skip_mismatch=True" in text
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), before, strict=True))


def test_what_fits_alone(tmp_path: Path) -> None:
    arrays = {"last/bias": np.array([7.0], "float32"), "hidden/kernel": np.ones((3, 9), "float32")}
    saving.write_tensors(tmp_path / "file", arrays, {})
    model = network()
    before = model.layers[0].kernel.numpy()
    model.load_weights(tmp_path / "file", skip_mismatch=True)
    assert model.layers[2].bias.numpy() == 7
    assert np.array_equal(model.layers[0].kernel.numpy(), before)


def test_a_model_that_is_not_built(tmp_path: Path) -> None:
    later = td.Sequential([L.Dense(1)])
    for act in (later.save_weights, later.load_weights):
        network().save_weights(tmp_path / "weights")
        with pytest.raises(ValueError, match="is not built"):
            act(tmp_path / "weights")


def test_a_subclass_keeps_its_weights_without_get_config(tmp_path: Path) -> None:
    class Own(td.Model):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = L.Dense(4), [L.Dense(2), L.Dense(2)]

        def call(self, inputs: td.Tensor) -> td.Tensor:
            return self.second[0](self.first(inputs)) + self.second[1](self.first(inputs))

    first, second = Own(), Own()
    for model in (first, second):
        model(np.ones((2, 3)))
    first.save_weights(tmp_path / "weights")
    second.load_weights(tmp_path / "weights")
    assert same_weights(first, second)


def test_training_after_loading_weights_sees_them(tmp_path: Path) -> None:
    first, second = network(), network()
    for model in (first, second):
        model.compile("sgd", "mse")
        model.fit(np.ones((32, 3)), np.ones((32, 1)), batch_size=4, verbose=0)
    first.save_weights(tmp_path / "weights")
    second.load_weights(tmp_path / "weights")
    losses = []
    for model in (first, second):
        td.utils.set_random_seed(1)
        losses.append(model.fit(np.ones((32, 3)), np.ones((32, 1)), batch_size=4, verbose=0).history["loss"])
    assert losses[0] == losses[1]
    # The file's arrays are the model's own: training one does not change the other.
    assert np.array_equal(second.layers[0].kernel.numpy(), first.layers[0].kernel.numpy())
