"""LSUV: each layer's sums have variance 1 on real data, and orthonormal kernels without them."""

import numpy as np
import pytest

import tinygrad_dnn as td

X = np.random.default_rng(0).standard_normal((256, 20)).astype("float32") * 3 + 1


def scaled(model, **arguments):
    """Train for no step but one of learning rate 0."""
    model.compile(td.optimizers.SGD(0.0), "mse")
    model.fit(X, X[:, :2], verbose=0, callbacks=[td.registry.callbacks.get("lsuv", inputs=X, **arguments)])
    return model


def test_orthonormal_without_data():
    kernel = td.initializers.get("lsuv", seed=1)((20, 8), dtype="float64")
    np.testing.assert_allclose(kernel.T @ kernel, np.eye(8), atol=1e-12)
    said = td.initializers.serialize(td.initializers.get("lsuv", seed=1))
    assert said == {"class_name": "lsuv", "config": {"seed": 1}}
    np.testing.assert_array_equal(td.initializers.get(said)((20, 8), dtype="float64"), kernel)


@pytest.mark.parametrize("bias", ["zeros", "ones", "random_normal"])
def test_variance_of_every_layer(bias):
    td.utils.set_random_seed(0)
    hidden = [
        td.layers.Dense(30, activation="relu", kernel_initializer="lsuv", bias_initializer=bias) for _ in range(8)
    ]
    model = scaled(td.Sequential([*hidden, td.layers.Dense(2)]))
    values = X
    for layer in hidden:
        kernel, offset = layer.get_weights()
        sums = values @ kernel + offset
        assert abs(sums.var() - 1) < 0.011
        values = np.maximum(sums, 0)
        assert layer.activation is td.activations.relu
    kernel, offset = model.layers[-1].get_weights()
    np.testing.assert_allclose(model.predict(X, verbose=0), values @ kernel + offset, rtol=1e-3, atol=1e-4)


def test_only_layers_that_ask_for_it():
    td.utils.set_random_seed(0)
    inputs = td.Input(shape=(20,))
    plain = td.layers.Dense(20, activation="relu", name="plain")
    asking = td.layers.Dense(20, kernel_initializer="lsuv", name="asking")
    model = td.Model(inputs, td.layers.Dense(2)(td.layers.Add()([plain(inputs), asking(plain(inputs))])))
    before = plain.get_weights()[0]
    scaled(model)
    np.testing.assert_array_equal(plain.get_weights()[0], before)
    values = np.maximum(X @ before, 0)
    assert (values @ asking.get_weights()[0]).var() == pytest.approx(1, abs=0.011)


def test_a_trained_model_is_left_alone():
    model = scaled(td.Sequential([td.layers.Dense(2, kernel_initializer="lsuv")]))
    kernel = model.get_weights()[0]
    model.fit(2 * X, X[:, :2], verbose=0, callbacks=[td.registry.callbacks.get("lsuv", inputs=2 * X)])
    np.testing.assert_array_equal(model.get_weights()[0], kernel)


def test_errors():
    with pytest.warns(UserWarning, match='no layer of the model has the initializer "lsuv"'):
        scaled(td.Sequential([td.layers.Dense(2)]))
    dead = td.layers.Dense(20, activation="relu", kernel_initializer="zeros")
    with pytest.raises(ValueError, match="the sums of layer 'last' do not vary"):
        scaled(td.Sequential([dead, td.layers.Dense(2, kernel_initializer="lsuv", name="last")]))
    with pytest.raises(ValueError, match="LSUV: tolerance must be a number above 0"):
        td.registry.callbacks.get("lsuv", inputs=X, tolerance=0)
    with pytest.raises(ValueError, match="LSUV: max_iterations must be an integer of at least 1"):
        td.registry.callbacks.get("lsuv", inputs=X, max_iterations=0)


def test_a_model_that_is_no_graph():
    class Own(td.Model):
        def __init__(self):
            super().__init__()
            self.dense = td.layers.Dense(2, kernel_initializer="lsuv")

        def call(self, inputs):
            return self.dense(inputs)

    with pytest.raises(ValueError, match=r"LSUV: the model must be a Sequential or Model\(inputs, outputs\)"):
        scaled(Own())
