"""mc_dropout: which layers act, what the numbers are, and what it leaves as it was."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td

layers = td.layers
pytestmark = pytest.mark.usefixtures("backend")
X = np.linspace(-1, 1, 24, dtype=np.float32).reshape(6, 4)
EYE = np.eye(2, dtype=np.float32)


class MCDropout(td.layers.Dropout):
    """Dropout that always drops."""

    def call(self, inputs: Any, training: bool = False) -> Any:
        return super().call(inputs, training=True)


class Noise(td.layers.Layer):
    """Shows whether it acts as in training."""

    def call(self, inputs: Any, training: bool = False) -> Any:
        return inputs + 1000.0 if training else inputs


def classifier(*parts: Any) -> td.Sequential:
    return td.Sequential([layers.Dense(30, activation="elu"), *parts, layers.Dense(3, activation="softmax")])


def test_mean_std_and_entropy_are_those_of_the_passes() -> None:
    model = classifier(layers.Dropout(0.5))
    model(X)
    generator = model.layers[1].seed_generator
    before = generator.state.numpy()
    mean, std, entropy = td.mc_dropout(model, X, n=25)
    generator.state.assign(before)
    passes = np.array([model(X, training=True) for _ in range(25)], np.float64)
    np.testing.assert_allclose(mean, passes.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(std, passes.std(axis=0), atol=1e-6)
    p = passes.mean(axis=0)
    np.testing.assert_allclose(entropy, -(p * np.log(p)).sum(axis=-1), atol=1e-6)
    assert (mean.dtype, std.dtype, entropy.dtype) == (np.float32,) * 3


@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_the_standard_deviation_is_that_of_a_dropped_unit(rate: float) -> None:
    # A unit of value 1 becomes 1 / (1 - rate) with probability 1 - rate, else 0: mean 1, variance rate / (1 - rate).
    n, samples = 40, 1000
    mean, std, entropy = td.mc_dropout(
        td.Sequential([layers.Dropout(rate, seed=4)]), np.ones((samples, 1)), n, batch_size=samples
    )
    variance = rate / (1 - rate)
    fourth = (1 - rate) * variance**4 + rate
    assert abs(mean.mean() - 1) < 4 * np.sqrt(variance / (n * samples))
    error = np.sqrt((fourth - variance**2) / (n * samples) + 2 * variance**2 / (n**2 * samples))
    assert abs((std**2).mean() - variance * (n - 1) / n) < 4 * error
    assert entropy is None


def test_only_dropout_acts_and_nothing_moves() -> None:
    model = classifier(layers.BatchNormalization(), Noise(), layers.Dropout(0.5), layers.AlphaDropout(0.1))
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(X, np.arange(6) % 3, verbose=0)
    weights = model.get_weights()
    first, second = td.mc_dropout(model, X, n=3), td.mc_dropout(model, X, n=3)
    assert (first.std > 0).all()
    assert not np.array_equal(first.mean, second.mean)
    assert first.mean.max() <= 1
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    np.testing.assert_array_equal(model.predict(X), model.predict(X))


def test_batch_normalization_takes_its_moving_averages() -> None:
    model = classifier(layers.BatchNormalization(), layers.Dropout(0.0))
    mean, std, _ = td.mc_dropout(model, X, n=3)
    np.testing.assert_allclose(mean, model.predict(X), atol=1e-7)
    assert std.max() < 1e-7


def test_dropout_acts_in_models_inside_models_and_where_training_is_said_to_be_off() -> None:
    class Off(td.Model):
        def __init__(self) -> None:
            super().__init__()
            self.parts = {"drop": [layers.Dropout(0.5)]}

        def call(self, inputs: Any, training: bool = False) -> Any:
            return self.parts["drop"][0](inputs, training=False)

    for inside in (td.Sequential([td.Sequential([layers.Dropout(0.5)])]), Off()):
        _, std, _ = td.mc_dropout(classifier(inside), X, n=5)
        assert (std > 0).all()


def test_dropout_that_is_made_when_a_layer_is_built_acts() -> None:
    class Late(td.layers.Layer):
        def build(self, input_shape: Any) -> None:
            self.drop = layers.Dropout(0.5)

        def call(self, inputs: Any) -> Any:
            return self.drop(inputs)

    assert (td.mc_dropout(classifier(Late()), X, n=5).std > 0).all()


def test_a_subclass_counts_and_its_own_way_stays() -> None:
    model = classifier(MCDropout(0.5))
    _, std, _ = td.mc_dropout(model, X, n=5)
    assert (std > 0).all()
    assert not np.array_equal(model.predict(X), model.predict(X))


@pytest.mark.parametrize("layer", [layers.GaussianDropout, layers.SpatialDropout2D, layers.AlphaDropout])
def test_every_dropout_acts_and_noise_does_not(layer: Any) -> None:
    images = np.ones((2, 3, 3, 4), np.float32)
    assert (td.mc_dropout(td.Sequential([layer(0.5)]), images, n=9).std > 0).any()
    with pytest.raises(ValueError, match="has no dropout layer"):
        td.mc_dropout(td.Sequential([layers.GaussianNoise(0.5)]), images)


def test_a_layer_of_ones_own_counts_if_its_class_says_so() -> None:
    class Own(Noise):
        is_dropout = True

    mean, _, _ = td.mc_dropout(td.Sequential([Own(), Noise()]), X, n=2)
    np.testing.assert_allclose(mean, X + 1000.0)


def test_the_streams_advance_as_in_training() -> None:
    model = classifier(layers.Dropout(0.5))
    model(X)
    generator = model.layers[1].seed_generator
    seed, stream, draws = generator.state.tolist()
    td.mc_dropout(model, X, n=7, batch_size=4)
    assert generator.state.tolist() == [seed, stream, draws + 7 * 2]


def test_the_entropy_of_one_probability_is_that_of_two_classes() -> None:
    model = td.Sequential([layers.Dense(8), layers.Dropout(0.5), layers.Dense(1, activation="sigmoid")])
    mean, _, entropy = td.mc_dropout(model, X, n=20)
    p = mean[:, 0].astype(np.float64)
    assert entropy is not None
    np.testing.assert_allclose(entropy, -(p * np.log(p) + (1 - p) * np.log(1 - p)), atol=1e-6)


def test_a_certain_prediction_has_no_entropy() -> None:
    # Logits 2000 apart: the exponential of the lesser is 0.
    model = td.Sequential([layers.Dropout(0.5), layers.Activation("softmax")])
    still = td.Sequential([layers.Dropout(0.0), layers.Activation("softmax")])
    mean, _, entropy = td.mc_dropout(still, 2000 * EYE, n=2)
    np.testing.assert_array_equal(mean, EYE)
    assert entropy is not None
    np.testing.assert_array_equal(entropy, [0.0, 0.0])
    # A unit dropped makes even odds of it.
    entropy = td.mc_dropout(model, 2000 * EYE, n=500).entropy
    assert entropy is not None
    even = 3 / 4 * np.log(4 / 3) + 1 / 4 * np.log(4)  # of (1, 0) and (1/2, 1/2) in turn
    assert np.abs(entropy - even).max() < 4 * 0.25 / np.sqrt(500) * np.log(3)


def test_outputs_that_are_no_probabilities_have_no_entropy() -> None:
    for rows in ([[0.5, 0.4]], [[1.5, -0.5]], [[1.2]], [[-0.1]]):
        assert td.mc_dropout(td.Sequential([layers.Dropout(0.0)]), np.array(rows), n=2).entropy is None


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ((classifier(), X), ValueError, "has no dropout layer, so all passes would be the same"),
        ((classifier(layers.Dropout(0.1)), X, 1), ValueError, "n must be an integer of at least 2, not 1"),
        ((classifier(layers.Dropout(0.1)), X, 2.0), ValueError, "n must be an integer of at least 2, not 2.0"),
        ((classifier(layers.Dropout(0.1)), [(X,)], 2), ValueError, "x must be an array, which can be gone through"),
        ((layers.Dropout(0.1), X), TypeError, "it takes a model, not Dropout"),
    ],
)
def test_what_is_refused(arguments: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match="mc_dropout: .*" + re.escape(sentence)):
        td.mc_dropout(*arguments)


def test_the_mode_ends_with_an_error() -> None:
    model = classifier(layers.Dropout(0.5))
    model(X)
    with pytest.raises(ValueError, match="takes inputs of shape"):
        td.mc_dropout(model, X[:, :2])
    np.testing.assert_array_equal(model.predict(X), model.predict(X))
