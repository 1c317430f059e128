"""Spectral norm: NumPy's largest singular value, gradients, extremes, configuration."""

import json

import numpy as np
import pytest

import tinygrad_dnn as td


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5), (3, 3, 2, 7)])
def test_largest_singular_value(shape):
    weight = np.random.default_rng(1).standard_normal(shape)
    sigma = np.linalg.norm(weight.reshape(-1, shape[-1]), 2)
    penalty = td.regularizers.get("spectral_norm", factor=0.3, iterations=200)
    assert penalty(td.tensor(weight)).item() == pytest.approx(0.15 * sigma**2, rel=1e-6)


def test_default_iterations_are_enough_for_three_hundredths():
    for seed in range(5):
        weight = np.random.default_rng(seed).standard_normal((300, 100))
        sigma = td.regularizers.get("spectral_norm", factor=2.0)(td.tensor(weight)).item() ** 0.5
        assert 0.97 < sigma / np.linalg.norm(weight, 2) <= 1 + 1e-12


@pytest.mark.parametrize("iterations", [1, 20])
@pytest.mark.parametrize("shape", [(5, 4), (3, 6)])
def test_gradients(shape, iterations):
    penalty = td.regularizers.get("spectral_norm", factor=0.5, iterations=iterations)
    td.testing.check_grads(penalty, [td.tensor(np.random.default_rng(2).standard_normal(shape))], order=2)


def test_gradient_is_the_outer_product_of_the_singular_vectors():
    weight = np.random.default_rng(3).standard_normal((6, 4))
    u, s, vt = np.linalg.svd(weight)
    penalty = td.regularizers.get("spectral_norm", factor=1.0, iterations=300)
    gradient = td.grad(penalty)(td.tensor(weight)).numpy()
    np.testing.assert_allclose(gradient, s[0] * np.outer(u[:, 0], vt[0]), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("scale", [0.0, 1e-15, 1e15])
def test_extremes(scale):
    weight = td.tensor(np.full((3, 4), scale, "float32"))
    penalty = td.regularizers.get("spectral_norm", factor=2.0)
    np.testing.assert_allclose(penalty(weight).numpy(), np.float32(scale) ** 2 * 12, rtol=1e-5)
    np.testing.assert_allclose(td.grad(penalty)(weight).numpy(), 2 * scale, rtol=1e-5)


def test_training_makes_it_smaller():
    x = np.random.default_rng(0).standard_normal((64, 8)).astype("float32")
    norms = {}
    for factor in (0.0, 1.0):
        td.utils.set_random_seed(0)
        regularizer = td.regularizers.get("spectral_norm", factor=factor)
        model = td.Sequential([td.layers.Dense(8, kernel_regularizer=regularizer)])
        model.compile(td.optimizers.SGD(0.1), "mse")
        model.fit(x, 3 * x, epochs=10, verbose=0)
        norms[factor] = np.linalg.norm(model.get_weights()[0], 2)
    assert norms[1.0] < 0.7 * norms[0.0]


def test_configuration_and_arguments():
    penalty = td.regularizers.get("spectral_norm", factor=0.5, iterations=3)
    said = json.loads(json.dumps(td.regularizers.serialize(penalty)))
    assert td.regularizers.get(said).get_config() == {"factor": 0.5, "iterations": 3}
    with pytest.raises(ValueError, match="SpectralNorm: factor must be a number of at least 0"):
        td.regularizers.get("spectral_norm", factor=-1)
    with pytest.raises(ValueError, match="SpectralNorm: iterations must be an integer of at least 1"):
        td.regularizers.get("spectral_norm", iterations=0)
    with pytest.raises(ValueError, match=r"SpectralNorm takes a matrix, not a weight of shape \(3,\)"):
        penalty(td.ones(3))
