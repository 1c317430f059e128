"""fuse: the same outputs without batch normalisation, wherever that is exact, and a reason where it is not."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td

layers = td.layers
pytestmark = pytest.mark.usefixtures("backend")
BN = layers.BatchNormalization


def dense(units: int, activation: str | None = None, **kwargs: Any) -> Any:
    return layers.Dense(units, activation=activation, bias_initializer=td.initializers.RandomNormal(), **kwargs)


def trained(parts: list[Any], shape: tuple[int, ...] = (6,)) -> td.Sequential:
    """Return layers in a row whose normalisations seem trained."""
    return with_statistics(td.Sequential([layers.InputLayer(shape=shape), *parts], name="given"))


def with_statistics(model: Any) -> Any:
    """Return a model after giving its normalisations statistics, gammas and betas far from those at the start."""
    rng = np.random.default_rng(11)
    for layer, _ in model._flatten():
        if isinstance(layer, BN):
            for weight in layer.weights:
                low, high = (0.05, 4.0) if "variance" in weight.name or weight.name == "gamma" else (-3.0, 3.0)
                weight.assign(rng.uniform(low, high, weight.shape).astype(weight.dtype))
    return model


def assert_the_same(model: td.Sequential, fused: td.Sequential, shape: tuple[int, ...] = (6,)) -> None:
    x = np.random.default_rng(2).normal(size=(50, *shape)).astype(np.float32)
    expected = model.predict(x)
    np.testing.assert_allclose(fused.predict(x), expected, rtol=1e-5, atol=1e-5 * max(1.0, np.abs(expected).max()))
    assert not any(isinstance(layer, BN) for layer, _ in fused._flatten())


EXACT = {
    "dense, bn": lambda: [dense(5), BN()],
    "dense, bn, activation": lambda: [dense(5), BN(), layers.Activation("elu"), dense(3, "softmax")],
    "linear by name": lambda: [dense(5, "linear"), BN(), layers.Activation("linear"), dense(3)],
    "without bias": lambda: [dense(5, use_bias=False), BN(), layers.Activation("relu"), dense(3, use_bias=False)],
    "bn, dense": lambda: [BN(), dense(5, "elu")],
    "bn, dense without bias": lambda: [BN(), dense(5, "elu", use_bias=False)],
    "activation before bn": lambda: [dense(5, "selu"), BN(), dense(3, "softmax")],
    "on the input and before each activation": lambda: [
        BN(), dense(8), BN(), layers.Activation("elu"), dense(8), BN(), layers.Activation("elu"), dense(3, "softmax"),
    ],
    "two in a row": lambda: [dense(5, "elu"), BN(), BN(), dense(3)],
    "two in a row behind a linear dense": lambda: [dense(5), BN(), BN(), layers.Activation("tanh")],
    "without gamma": lambda: [dense(5), BN(scale=False), dense(4, "relu"), BN(scale=False), dense(3)],
    "without beta": lambda: [dense(5), BN(center=False), dense(4, "relu"), BN(center=False), dense(3)],
    "with another epsilon": lambda: [dense(5), BN(epsilon=0.5), layers.Activation("relu")],
    "across dropout": lambda: [dense(5, "elu"), layers.Dropout(0.5), BN(), layers.AlphaDropout(0.1), dense(3)],
    "dropout behind a linear dense": lambda: [dense(5), layers.Dropout(0.5), BN(), layers.Activation("elu"), dense(3)],
    "a model inside": lambda: [
        td.Sequential([dense(5, name="a"), td.Sequential([BN(), layers.Activation("elu")])]), dense(3, name="a"), BN(),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", EXACT)
def test_the_fused_model_predicts_the_same(name: str) -> None:
    model = trained(EXACT[name]())
    before, random = model.get_weights(), td.random.get_state()
    fused = td.fuse(model)
    assert_the_same(model, fused)
    assert td.random.get_state() == random
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert not {id(layer) for layer, _ in model._flatten()} & {id(layer) for layer, _ in fused._flatten()}
    assert not {id(w) for w in model.weights} & {id(w) for w in fused.weights}


def test_a_trained_network_of_twenty_layers_predicts_the_same() -> None:
    parts: list[Any] = [layers.Flatten(), BN()]
    for _ in range(20):
        parts += [layers.Dense(16, kernel_initializer="he_normal"), BN(), layers.Activation("elu")]
    model = td.Sequential([layers.InputLayer(shape=(4, 4)), *parts, layers.Dense(5, activation="softmax")])
    model.compile("nadam", "sparse_categorical_crossentropy")
    rng = np.random.default_rng(0)
    x = rng.normal(5, 3, size=(96, 4, 4)).astype(np.float32)
    model.fit(x, np.arange(96) % 5, epochs=2, verbose=0)
    fused = td.fuse(model)
    np.testing.assert_allclose(fused.predict(x), model.predict(x), atol=1e-5)
    assert [type(layer).__name__ for layer in fused.layers] == ["Flatten", *["Dense", "Activation"] * 20, "Dense"]
    assert fused.count_params() == model.count_params() - 4 * (16 + 20 * 16)


@pytest.mark.parametrize("axis", [1, 2, -1])
def test_before_flatten_every_axis_can_be_folded(axis: int) -> None:
    model = trained([BN(axis=axis), layers.Flatten(), dense(5, "elu")], shape=(3, 4))
    assert_the_same(model, td.fuse(model), shape=(3, 4))


IMAGES = {
    "conv, bn, activation, pooling": lambda: [
        conv(4), BN(), layers.ReLU(), layers.MaxPooling2D(2), conv(3, strides=2, padding="same"), BN(), layers.ReLU(),
    ],
    "bn on the input, conv": lambda: [BN(), conv(4), layers.Flatten(), dense(2)],
    "activation before bn, no padding": lambda: [conv(4, activation="elu"), BN(), conv(3, dilation_rate=2)],
    "one by one needs no padding": lambda: [conv(4, activation="elu"), BN(), conv(3, 1, strides=2, padding="same")],
    "without bias": lambda: [conv(4, use_bias=False), BN(), layers.ReLU(), BN(), conv(3, use_bias=False)],
    "across dropout of channels": lambda: [conv(4, activation="elu"), BN(), layers.SpatialDropout2D(0.5), conv(3)],
    "bn, flatten, dense": lambda: [conv(4, activation="elu"), BN(), layers.Flatten(), dense(2)],
}  # fmt: skip


def conv(filters: int, size: Any = (3, 2), **kwargs: Any) -> Any:
    return layers.Conv2D(filters, size, bias_initializer=td.initializers.RandomNormal(), **kwargs)


@pytest.mark.parametrize("name", IMAGES)
def test_convolutions_take_it_in(name: str) -> None:
    model = trained(IMAGES[name](), shape=(9, 8, 2))
    assert_the_same(model, td.fuse(model), shape=(9, 8, 2))


def test_two_before_flatten_on_different_axes() -> None:
    model = trained([BN(axis=1), BN(axis=2), layers.Flatten(), BN(), dense(5, "elu")], shape=(3, 4))
    assert_the_same(model, td.fuse(model), shape=(3, 4))


def test_dense_on_the_last_of_several_axes() -> None:
    model = trained([BN(), dense(5), BN(), layers.Activation("elu")], shape=(3, 4))
    assert_the_same(model, td.fuse(model), shape=(3, 4))


def test_the_formula_on_numbers() -> None:
    model = trained([layers.Dense(2), BN(epsilon=0.0)], shape=(1,))
    model.set_weights([[[1.0, 2.0]], [3.0, 4.0], [2.0, 3.0], [0.5, -0.5], [1.0, 2.0], [4.0, 9.0]])
    kernel, bias = td.fuse(model).get_weights()
    np.testing.assert_allclose(kernel, [[1.0 * 2 / 2, 2.0 * 3 / 3]])
    np.testing.assert_allclose(bias, [(3 - 1) * 2 / 2 + 0.5, (4 - 2) * 3 / 3 - 0.5])


def test_names_stay_and_doubles_are_told_apart() -> None:
    model = trained([td.Sequential([dense(5, name="a"), BN(), layers.Activation("elu")]), dense(3, name="a")])
    fused = td.fuse(model)
    assert (fused.name, [layer.name for layer in fused.layers][::2]) == ("given", ["a", "a_1"])
    assert [w.path for w in fused.weights] == ["a/kernel", "a/bias", "a_1/kernel", "a_1/bias"]


def test_a_model_built_by_its_data_and_one_in_float64() -> None:
    for dtype, atol in (("float32", 1e-5), ("float64", 1e-13)):
        model = td.Sequential([BN(dtype=dtype), layers.Dense(3, dtype=dtype)], dtype=dtype)
        x = np.random.default_rng(2).normal(size=(9, 4)).astype(dtype)
        model(x)
        fused = td.fuse(model)
        assert fused.predict(x).dtype == np.dtype(dtype)
        np.testing.assert_allclose(fused.predict(x), model.predict(x), atol=atol)


class Scale(layers.Layer):
    """Multiplies by a weight."""

    def build(self, input_shape: Any) -> None:
        self.factor = self.add_weight((input_shape[-1],), "random_normal", name="factor")

    def call(self, inputs: Any) -> Any:
        return inputs * self.factor


class Block(td.Model):
    """Adds what two layers make of its inputs to them."""

    def __init__(self, normalize: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inside = dense(6)
        if normalize:
            self.norm = BN()

    def call(self, inputs: Any) -> Any:
        return inputs + self.inside(inputs)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "normalize": hasattr(self, "norm")}


def test_other_layers_are_taken_over_with_their_weights() -> None:
    model = trained([dense(6), BN(), Scale(), Block(False), dense(3)])
    assert_the_same(model, td.fuse(model))


def drawn(draw: Any, shape: tuple[int, ...] = (6,)) -> td.Model:
    """Return a graph from one input whose normalisations seem trained."""
    x = td.Input(shape=shape)
    return with_statistics(td.Model(x, draw(x), name="given"))


def residual(x: Any) -> Any:
    for _ in range(2):
        hidden = layers.Activation("elu")(BN()(dense(6, use_bias=False)(x)))
        x = layers.Add()([x, BN()(dense(6)(layers.Dropout(0.3)(hidden)))])
    return dense(2, "softmax")(x)


def convolutional(x: Any) -> Any:
    hidden = layers.Activation("relu")(BN()(conv(3, padding="same")(x)))
    shortcut = BN()(conv(3, 1)(x))
    x = layers.Add()([BN()(conv(3, padding="same")(hidden)), shortcut])
    return dense(2)(layers.GlobalAveragePooling2D()(x))


def two_that_take_it_in(x: Any) -> Any:
    hidden = BN()(dense(6, "tanh")(x))
    return layers.Concatenate()([dense(3, "elu")(hidden), dense(2)(hidden)])


def a_model_inside(x: Any) -> Any:
    y = td.Input(shape=(6,))
    inner = td.Model(y, BN()(dense(6)(y)), name="inner")
    return td.Sequential([inner, dense(3, "elu"), BN(), dense(2)])(x) * 2


@pytest.mark.parametrize("draw", [residual, two_that_take_it_in, a_model_inside])
def test_graphs(draw: Any) -> None:
    model = drawn(draw)
    fused = td.fuse(model)
    assert type(fused) is td.Model
    assert_the_same(model, fused)


def test_a_graph_of_convolutions() -> None:
    model = drawn(convolutional, (5, 5, 2))
    assert_the_same(model, td.fuse(model), (5, 5, 2))


def test_several_inputs_and_outputs_keep_their_names_and_form() -> None:
    a, b = td.Input(shape=(3,), name="a"), td.Input(shape=(3,), name="b")
    shared = dense(4, "tanh", name="shared")
    sums = layers.Add()([shared(a), shared(b)])
    model = td.Model({"a": a, "b": b}, [BN()(dense(2, name="first")(sums)), dense(1, name="second")(sums)])
    fused = td.fuse(model)
    rng = np.random.default_rng(0)
    x = {name: rng.normal(size=(7, 3)).astype(np.float32) for name in "ab"}
    for got, expected in zip(fused.predict(x), model.predict(x), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-5)
    assert fused.input_names == ["a", "b"]
    assert fused.output_names == ["first", "second"]
    assert sum(layer.name == "shared" for layer in fused.layers) == 1


def test_dropout_that_always_acts_stays() -> None:
    model = drawn(lambda x: layers.Dropout(0.5)(BN()(dense(50)(x)), training=True))
    fused = td.fuse(model)
    assert 0.2 < (fused.predict(np.ones((20, 6))) == 0).mean() < 0.8


def used_twice(x: Any) -> Any:
    both = dense(6, name="both")
    return BN(name="norm")(both(both(x)))


def used_elsewhere(x: Any) -> Any:
    hidden = dense(6, name="hidden")(x)
    return layers.Add(name="sums")([hidden, BN(name="norm")(hidden)])


LONE = "must come after a Dense or Conv2D without activation, or before one with only Flatten or dropout between."


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda: trained([dense(5), dense(3)]), ValueError, "model 'given' has no BatchNormalization"),
        (lambda: td.Sequential([BN(), layers.Dense(3)], name="new"), ValueError, "model 'new' is not built: train it"),
        (lambda: Block(True), TypeError, "or a Model(inputs, outputs) with the call of its own, not Block"),
        (
            lambda: trained([dense(5, "relu", name="first"), BN(name="norm"), layers.Activation("elu", name="act")]),
            ValueError,
            "the batch normalisation 'norm' of model 'given' cannot be folded exactly: it follows 'first' (Dense with "
            "relu), and 'act' (Activation with elu) comes after it. It " + LONE,
        ),
        (
            lambda: trained([dense(5, "relu", name="first"), BN(name="norm")]),
            ValueError,
            "it follows 'first' (Dense with relu), and no layer with weights comes after it",
        ),
        (
            lambda: trained([dense(5, name="first"), layers.Activation("elu", name="act"), BN(), Scale(name="scale")]),
            ValueError,
            "it follows 'act' (Activation with elu), and 'scale' (Scale) comes after it",
        ),
        (
            lambda: trained([BN(axis=1), dense(3, name="only")], shape=(3, 4)),
            ValueError,
            "and its axis 1 is not the last, that of 'only' (Dense)",
        ),
        (
            lambda: trained([BN(), conv(3, padding="same", name="conv")], shape=(5, 5, 2)),
            ValueError,
            "and 'conv' (Conv2D) comes after it and surrounds the images by zeros",
        ),
        (
            lambda: trained([BN(), layers.ZeroPadding2D(name="pad"), conv(3)], shape=(5, 5, 2)),
            ValueError,
            "and 'pad' (ZeroPadding2D) comes after it",
        ),
        (
            lambda: trained([BN(axis=1), conv(3, name="conv")], shape=(5, 5, 2)),
            ValueError,
            "and its axis 1 is not the last, that of 'conv' (Conv2D)",
        ),
        (
            lambda: drawn(used_twice),
            ValueError,
            "'norm' of model 'given' cannot be folded exactly: it follows 'both' (Dense), and no layer with weights",
        ),
        (
            lambda: drawn(used_elsewhere),
            ValueError,
            "'norm' of model 'given' cannot be folded exactly: it follows 'hidden' (Dense), and 'sums' (Add) comes",
        ),
        (
            lambda: drawn(lambda x: BN(name="norm")(dense(5)(x), training=True)),
            ValueError,
            "'norm' of class BatchNormalization has a batch normalisation inside",
        ),
        (
            lambda: trained([dense(6), BN(), Block(True, name="block")]),
            ValueError,
            "'block' of class Block has a batch normalisation inside",
        ),
    ],
)
def test_what_is_refused(make: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match="fuse: .*" + re.escape(sentence)):
        td.fuse(make())
