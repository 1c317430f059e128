"""clone_model: the same architecture with fresh weights, and what cannot be cloned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td

layers = td.layers
pytestmark = pytest.mark.usefixtures("backend")
X = np.linspace(-1, 1, 24, dtype=np.float32).reshape(6, 4)


def network() -> td.Sequential:
    return td.Sequential(
        [
            layers.InputLayer(shape=(4,)),
            layers.Dense(
                5, activation="elu", kernel_initializer="he_normal", kernel_regularizer=td.regularizers.L2(0.01),
                kernel_constraint=td.constraints.MaxNorm(1.0), name="hidden",
            ),
            layers.BatchNormalization(momentum=0.8, name="norm"),
            td.Sequential([layers.Dropout(0.25, seed=3), layers.AlphaDropout(0.5)], name="noise"),
            layers.Dense(2, use_bias=False, trainable=False, name="outputs"),
        ],
        name="network",
    )  # fmt: skip


def all_layers(model: td.Model) -> list[Any]:
    return [layer for layer, _ in model._flatten()]


def test_the_clone_has_the_same_layers_with_fresh_weights() -> None:
    model = network()
    clone = td.models.clone_model(model)
    assert type(clone) is td.Sequential
    assert [type(a) for a in all_layers(clone)] == [type(a) for a in all_layers(model)]
    assert [a.name for a in all_layers(clone)] == [a.name for a in all_layers(model)]
    simple = [a for a in all_layers(model) if not isinstance(a, td.Model)]
    assert [a.get_config() for a in all_layers(clone) if not isinstance(a, td.Model)] == [
        a.get_config() for a in simple
    ]
    assert not {id(a) for a in all_layers(clone)} & {id(a) for a in all_layers(model)}
    assert clone.built
    assert [w.shape for w in clone.weights] == [w.shape for w in model.weights]
    assert [w.path for w in clone.trainable_weights] == [w.path for w in model.trainable_weights]
    assert not np.array_equal(clone.weights[0].numpy(), model.weights[0].numpy())
    assert (clone.name, clone.input_shape, clone.output_shape) == ("network", (None, 4), (None, 2))
    assert not clone._compiled


def test_with_the_weights_it_computes_the_same_and_learns_apart() -> None:
    model = network()
    clone = td.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(clone.predict(X), model.predict(X))
    before = model.get_weights()
    clone.compile("sgd", "mse")
    clone.fit(X, np.ones((6, 2)), verbose=0)
    assert not np.array_equal(clone.weights[0].numpy(), before[0])
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_seeded_initializer_draws_the_same() -> None:
    model = td.Sequential([layers.Dense(3, kernel_initializer=td.initializers.HeNormal(seed=2), input_shape=(4,))])
    np.testing.assert_array_equal(td.models.clone_model(model).get_weights()[0], model.get_weights()[0])


def test_a_model_that_is_not_built_gives_one_that_is_not() -> None:
    model = td.Sequential([layers.Dense(3)])
    assert not td.models.clone_model(model).built
    model(X)
    clone = td.models.clone_model(model)
    assert clone.built
    assert clone.weights[0].shape == (4, 3)


def test_a_frozen_model_gives_a_frozen_one() -> None:
    model = network()
    model.trainable = False
    clone = td.models.clone_model(model)
    assert not clone.trainable
    assert clone.trainable_weights == []


def test_a_layer_that_is_shared_inside_is_shared_in_the_clone() -> None:
    shared = layers.Dense(4)
    model = td.Sequential([td.Sequential([shared], name="a"), td.Sequential([shared], name="b")])
    model(X)
    clone = td.models.clone_model(model)
    first, second = clone.layers
    assert first.layers[0] is second.layers[0]
    assert len(clone.weights) == 2


class Residual(td.Model):
    """Adds what a layer makes of its inputs to them."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.hidden = layers.Dense(units)

    def call(self, inputs: Any) -> Any:
        return inputs + self.hidden(inputs)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


class Forgetful(layers.Layer):
    """Has an argument that its configuration lacks."""

    def __init__(self, factor: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, inputs: Any) -> Any:
        return inputs * self.factor


class Bare(td.Model):
    """Takes no arguments, not even those of every layer."""

    def __init__(self) -> None:
        super().__init__()


def test_a_model_of_a_class_that_describes_itself() -> None:
    for model in (Residual(4, name="residual"), td.Sequential([Residual(4, name="residual")])):
        model(X)
        clone = td.models.clone_model(model)
        assert type(clone) is type(model)
        clone.set_weights(model.get_weights())
        np.testing.assert_array_equal(clone.predict(X), model.predict(X))


def test_an_ensemble_is_cloned_with_its_members() -> None:
    model = td.models.Ensemble([network(), network()])
    model(X)
    clone = td.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(clone.predict(X), model.predict(X))
    assert not {id(w) for w in clone.weights} & {id(w) for w in model.weights}


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        (Forgetful(3.0, name="f"), r"'f' of class Forgetful cannot be made again: get_config\(\) of Forgetful does not "
         "return the argument 'factor'"),
        (layers.Dense(2, activation=lambda x: x, name="d"), "'d' of class Dense cannot be made again: .* not a regist"),
        (Bare(), "of class Bare cannot be made again: .*unexpected keyword argument"),
    ],
)  # fmt: skip
def test_what_cannot_be_made_again_is_refused(layer: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        td.models.clone_model(td.Sequential([layer]))


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(TypeError, match="clone_model: it takes a model, not Dense"):
        td.models.clone_model(layers.Dense(1))  # type: ignore[arg-type]
