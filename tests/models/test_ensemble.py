"""Ensemble: the mean of the members' outputs, evaluated, trained and cloned as one model."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_dnn as td

layers = td.layers
pytestmark = pytest.mark.usefixtures("backend")
X = np.linspace(-1, 1, 24, dtype=np.float32).reshape(6, 4)
Y = np.arange(6) % 3


def members(count: int = 3) -> list[td.Sequential]:
    return [
        td.Sequential([layers.Dense(8, activation="elu"), layers.Dense(3, activation="softmax")]) for _ in range(count)
    ]


def test_it_predicts_the_mean() -> None:
    models = members()
    ensemble = td.models.Ensemble(models)
    mean = np.mean([model.predict(X) for model in models], axis=0)
    np.testing.assert_allclose(ensemble.predict(X), mean, atol=1e-7)
    np.testing.assert_allclose(ensemble(X).numpy(), mean, atol=1e-7)
    assert ensemble.layers == models
    assert ensemble.get_layer(index=1) is models[1]


def test_it_evaluates_the_mean() -> None:
    models = members()
    ensemble = td.models.Ensemble(models)
    ensemble.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    p = np.mean([model.predict(X) for model in models], axis=0).astype(np.float64)
    loss, accuracy = ensemble.evaluate(X, Y, verbose=0)
    assert loss == pytest.approx(-np.log(p[range(6), Y]).mean(), rel=1e-5)
    assert accuracy == pytest.approx((p.argmax(axis=1) == Y).mean())


def test_the_members_dropout_rests_at_inference_and_acts_in_mc_dropout() -> None:
    models = [td.Sequential([layers.Dropout(0.5), layers.Dense(3, activation="softmax")]) for _ in range(2)]
    ensemble = td.models.Ensemble(models)
    np.testing.assert_array_equal(ensemble.predict(X), ensemble.predict(X))
    assert (td.mc_dropout(ensemble, X, n=5).std > 0).all()


def test_fit_trains_all_members_on_the_loss_of_their_mean() -> None:
    models = members()
    ensemble = td.models.Ensemble(models)
    ensemble.compile(td.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    ensemble(X)
    before = [model.get_weights()[0] for model in models]
    history = ensemble.fit(X, Y, epochs=10, verbose=0).history["loss"]
    assert history[-1] < history[0]
    assert not any(np.array_equal(old, model.get_weights()[0]) for old, model in zip(before, models, strict=True))


def test_members_may_be_of_different_kinds() -> None:
    other = td.Sequential([layers.BatchNormalization(), layers.Dense(3, activation="softmax")])
    ensemble = td.models.Ensemble([*members(1), other, layers.Dense(3)])
    assert ensemble.predict(X).shape == (6, 3)
    assert ensemble.count_params() == 4 * 8 + 8 + 8 * 3 + 3 + 4 * 4 + 4 * 3 + 3 + 4 * 3 + 3


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="ensemble 'none' has no members: give it at least one model"):
        td.models.Ensemble([], name="none")
    with pytest.raises(TypeError, match="a member is a model or a layer, not 'dense'"):
        td.models.Ensemble(["dense"])  # type: ignore[list-item]
    unlike = td.models.Ensemble([layers.Dense(2, name="two"), layers.Dense(3, name="three")])
    with pytest.raises(ValueError, match=r"outputs must have one shape, not \{'two': \(6, 2\), 'three': \(6, 3\)\}"):
        unlike(X)
