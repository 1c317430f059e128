"""Sequential and Model: how layers become a model, when it is built, what it shows, and what an error leaves behind."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td

layers = td.layers
pytestmark = pytest.mark.usefixtures("backend")
X = np.linspace(-1, 1, 24, dtype=np.float32).reshape(6, 4)


def small(**kwargs: Any) -> td.Sequential:
    return td.Sequential([layers.InputLayer(shape=(4,)), layers.Dense(3, activation="elu"), layers.Dense(2)], **kwargs)


def by_hand(model: td.Sequential, x: np.ndarray) -> np.ndarray:
    """Compute in float64 what ``small`` computes."""
    w1, b1, w2, b2 = (w.astype(np.float64) for w in model.get_weights())
    z = x @ w1 + b1
    return np.where(z > 0, z, np.expm1(z)) @ w2 + b2


# -- Sequential: putting layers together ------------------------------------------------------------------------------


def test_a_list_of_layers_computes_one_after_the_other() -> None:
    model = small()
    np.testing.assert_allclose(model(X).numpy(), by_hand(model, X), atol=1e-6)


def test_add_makes_the_same_model_as_a_list() -> None:
    added = td.Sequential()
    for layer in (layers.InputLayer(shape=(4,)), layers.Dense(3, activation="elu"), layers.Dense(2)):
        added.add(layer)
    added.set_weights(small().get_weights())
    np.testing.assert_allclose(added(X).numpy(), by_hand(added, X), atol=1e-6)


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(lambda: [layers.InputLayer(shape=(4,)), layers.Dense(3)], id="InputLayer"),
        pytest.param(lambda: [layers.Dense(3, input_shape=(4,))], id="input_shape"),
    ],
)
def test_a_model_that_knows_its_input_is_built_at_once(head: Any) -> None:
    model = td.Sequential(head())
    assert model.built
    assert (model.input_shape, model.output_shape) == ((None, 4), (None, 3))
    assert [w.shape for w in model.weights] == [(4, 3), (3,)]
    model.add(layers.Dense(2))
    assert model.output_shape == (None, 2)
    assert model.count_params() == 4 * 3 + 3 + 3 * 2 + 2


def test_a_model_without_a_shape_is_built_by_its_first_data() -> None:
    model = td.Sequential([layers.Dense(3), layers.Dense(2)])
    assert not model.built
    assert model.weights == []
    with pytest.raises(ValueError, match=r"model 'sequential.*' is not built: its shapes are known once it has"):
        _ = model.output_shape
    assert model(X).shape == (6, 2)
    assert (model.input_shape, model.output_shape) == ((None, 4), (None, 2))


def test_a_model_is_built_by_fit_by_predict_and_by_build() -> None:
    for build in (
        lambda model: model.predict(X),
        lambda model: model.fit(X, np.zeros((6, 3)), verbose=0),
        lambda model: model.build((None, 4)),
    ):
        model = td.Sequential([layers.Dense(3)])
        model.compile("sgd", "mse")
        build(model)
        assert model.built
        assert model.output_shape == (None, 3)


def test_the_length_of_a_batch_may_be_fixed_and_the_last_one_shorter() -> None:
    model = td.Sequential([layers.InputLayer(shape=(4,), batch_size=4), layers.Dense(1)])
    assert model.input_shape == (4, 4)
    assert model.predict(X, batch_size=4).shape == (6, 1)


def test_layers_may_be_given_by_name() -> None:
    assert td.Sequential(["flatten", {"class_name": "dense", "config": {"units": 2}}])(X).shape == (6, 2)


def test_pop_takes_the_last_layer_off() -> None:
    model = small()
    last = model.layers[-1]
    assert model.pop() is last
    assert model.output_shape == (None, 3)
    assert len(model.weights) == 2
    model.add(layers.Dense(5))
    assert model(X).shape == (6, 5)
    while model.layers:
        model.pop()
    with pytest.raises(ValueError, match="has no layer to take off"):
        model.pop()


def test_layers_lists_them_without_the_input_layer() -> None:
    model = small()
    assert [type(layer).__name__ for layer in model.layers] == ["Dense", "Dense"]
    assert model.get_layer(index=-1) is model.layers[1]
    assert model.get_layer(model.layers[0].name) is model.layers[0]


def test_layers_that_are_built_serve_a_second_model() -> None:
    first = small()
    second = td.Sequential(first.layers[:-1])
    second.add(layers.Dense(1, activation="sigmoid"))
    assert second(X).shape == (6, 1)
    assert second.layers[0] is first.layers[0]
    before = [w.numpy() for w in first.weights]
    second.compile("sgd", "binary_crossentropy")
    second.fit(X, np.arange(6) % 2, verbose=0)
    moved = [bool((w.numpy() != b).any()) for w, b in zip(first.weights, before, strict=True)]
    assert moved == [True, True, False, False]


def test_a_model_is_a_layer_of_another() -> None:
    inner = small(name="inner")
    outer = td.Sequential([inner, layers.Dense(1, name="head")])
    assert outer(X).shape == (6, 1)
    assert len(outer.weights) == 6
    np.testing.assert_allclose(td.Sequential([inner])(X).numpy(), by_hand(inner, X), atol=1e-6)
    inner.trainable = False
    assert [w.path for w in outer.trainable_weights] == ["head/kernel", "head/bias"]


def test_a_mask_depends_on_the_layers_place_and_not_on_when_it_was_made() -> None:
    def masks(names: list[str]) -> np.ndarray:
        td.utils.set_random_seed(3)
        made = {name: layers.Dropout({"a": 0.2, "b": 0.7}[name], name=name) for name in names}
        model = td.Sequential([layers.InputLayer(shape=(50,)), made["a"], layers.Flatten(), made["b"]])
        return model(np.ones((2, 50), np.float32), training=True).numpy()

    np.testing.assert_array_equal(masks(["a", "b"]), masks(["b", "a"]))


# -- Sequential: what an error leaves behind --------------------------------------------------------------------------


class Refusing(layers.Layer):
    """A layer that builds and then takes no inputs of fewer than 5 features."""

    def build(self, input_shape: Any) -> None:
        self.scale = self.add_weight((input_shape[-1],), "ones")

    def compute_output_shape(self, input_shape: Any) -> Any:
        if input_shape[-1] < 5:
            raise ValueError("at least 5 features are needed")
        return input_shape

    def call(self, inputs: Any) -> Any:
        return inputs * self.scale


def test_two_layers_cannot_have_one_name() -> None:
    with pytest.raises(ValueError, match="already has a layer named 'same'"):
        td.Sequential([layers.Dense(1, name="same"), layers.Dense(1, name="same")])
    model = td.Sequential([layers.Dense(1, name="same")])
    with pytest.raises(ValueError, match="already has a layer named 'same'"):
        model.add(layers.Dense(1, name="same"))
    with pytest.raises(ValueError, match="already has a layer named 'same'"):
        model.add(model.layers[0])
    assert len(model.layers) == 1


def test_an_input_layer_comes_first() -> None:
    model = td.Sequential([layers.Dense(1)])
    with pytest.raises(ValueError, match="is an InputLayer: it must come first"):
        model.add(layers.InputLayer(shape=(4,)))
    assert len(model.layers) == 1


def test_what_is_no_layer_is_refused() -> None:
    for wrong in (3, np.tanh, td.optimizers.SGD()):
        with pytest.raises(TypeError, match="a layer must be given as"):
            td.Sequential([wrong])
    with pytest.raises(ValueError, match=r"'dens' is not a known layer. Did you mean 'dense'"):
        td.Sequential(["dens"])


@pytest.mark.parametrize(
    ("layer", "error", "sentence"),
    [
        (None, TypeError, "model 'm': each layer must be one, not None"),
        ("dense", TypeError, "model 'm': each layer: .*missing 1 required positional argument: 'units'"),
        ("dens", ValueError, "model 'm': each layer: 'dens' is not a known layer"),
        ([td.layers.Flatten()], TypeError, "model 'm': each layer: a layer must be given as"),
    ],
)
def test_the_model_is_named_where_a_layer_is_none(layer: Any, error: Any, sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        td.Sequential([layer], name="m")


def test_a_model_is_no_layer_of_itself() -> None:
    model = td.Sequential(name="m")
    around = td.Sequential([td.layers.Flatten(), model])
    for itself in (model, around, td.Sequential([around])):
        with pytest.raises(ValueError, match="model 'm' cannot be a layer of itself"):
            model.add(itself)
    assert model.layers == []


def test_a_layer_that_does_not_fit_is_not_added() -> None:
    model = small()
    weights = model.get_weights()
    refusing = Refusing(name="refusing")
    with pytest.raises(ValueError, match=r"cannot build 'refusing' for inputs of shape \(None, 2\): at least 5"):
        model.add(refusing)
    assert len(model.layers) == 2
    assert model.output_shape == (None, 2)
    assert not refusing.built
    for now, before in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(now, before)
    model.add(layers.Dense(1))
    assert model(X).shape == (6, 1)


def test_a_model_that_cannot_be_built_for_some_data_can_be_for_others() -> None:
    model = td.Sequential([Refusing(name="refusing"), layers.Dense(1)])
    for data in (X, X[:, :3]):
        with pytest.raises(ValueError, match="at least 5 features are needed"):
            model(data)
        assert not model.built
        assert model.weights == []
    assert model(np.zeros((2, 7))).shape == (2, 1)
    assert [w.shape for w in model.weights] == [(7,), (7, 1), (1,)]


def test_an_empty_model_says_so() -> None:
    with pytest.raises(ValueError, match="has no layers: add one before building or calling it"):
        td.Sequential()(X)


def test_inputs_of_another_shape_are_refused_by_name() -> None:
    model = small(name="net")
    with pytest.raises(ValueError, match=r"model 'net' takes inputs of shape \(None, 4\) and got \(6, 3\)"):
        model(X[:, :3])
    with pytest.raises(ValueError, match=r"model 'net' takes inputs of shape \(None, 4\) and got \(4,\)"):
        model(X[0])


def test_a_layer_that_is_not_there_is_named() -> None:
    model = small(name="net")
    with pytest.raises(ValueError, match=r"model 'net' has no layer 'nothing'; its layers are \['dense"):
        model.get_layer("nothing")
    with pytest.raises(ValueError, match="has 2 layers; there is none at 2"):
        model.get_layer(index=2)
    with pytest.raises(ValueError, match="get_layer needs a layer's name or its index"):
        model.get_layer()


# -- what a model shows ------------------------------------------------------------------------------------------------


def test_summary_shows_names_shapes_and_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    model = td.Sequential(
        [
            layers.InputLayer(shape=(28, 28)), layers.Flatten(name="flat"), layers.Dense(10, name="hidden"),
            layers.BatchNormalization(name="norm [1]"), layers.Dense(2, name="out"),
        ],
        name="net",
    )  # fmt: skip
    model.layers[1].trainable = False
    model.summary()
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "Model: net"
    assert "flat (Flatten) (None, 784) 0" in lines
    assert "hidden (Dense) (None, 10) 7,850" in lines
    assert "norm [1] (BatchNormalization) (None, 10) 40" in lines
    assert "out (Dense) (None, 2) 22" in lines
    assert lines[-1] == "Parameters: 7,912 (30.9 KiB), trainable 42"


def test_summary_of_a_model_that_is_not_built(capsys: pytest.CaptureFixture[str]) -> None:
    td.Sequential([layers.Dense(10, name="hidden")]).summary()
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "hidden (Dense) ? not built" in lines


def test_summary_within_a_width_of_models_inside_and_of_what_is_trainable() -> None:
    inner = td.Sequential([layers.InputLayer(shape=(4,)), layers.Dense(2, name="first")], name="inner")
    model = td.Sequential([inner, layers.Dense(3, name="last", trainable=False)], name="outer")
    printed: list[str] = []
    model.summary(print_fn=printed.append, expand_nested=True, show_trainable=True)
    lines = [" ".join(line.split()) for line in printed]
    assert lines[2] == "Layer (type) Output shape Parameters Trainable"
    assert lines[4:7] == [
        "inner (Sequential) (None, 2) 10 yes", "first (Dense) (None, 2) 10 yes", "last (Dense) (None, 3) 9 no",
    ]  # fmt: skip
    assert printed[5].index("first") == printed[4].index("inner") + 2
    narrow: list[str] = []
    model.summary(30, print_fn=narrow.append)
    assert max(map(len, narrow[:-2])) <= 30
    assert not any("first" in line for line in narrow)
    for width in (19, 2.5, "wide"):
        with pytest.raises(ValueError, match="model 'outer': line_length must be an integer of at least 20, not "):
            model.summary(width)


def test_a_model_that_begins_with_one_is_built_for_its_input() -> None:
    inner = td.Sequential([layers.InputLayer(shape=(4,)), layers.Dense(2)])
    model = td.Sequential([inner, layers.Dense(3)])
    assert (model.built, model.input_shape, model.output_shape) == (True, (None, 4), (None, 3))
    assert not td.Sequential([td.Sequential([layers.Dense(2)]), layers.Dense(3)]).built
    two = td.Model([a := td.Input((2,)), b := td.Input((2,))], layers.Add()([a, b]))
    assert not td.Sequential([two, layers.Dense(3)]).built


# -- Model -------------------------------------------------------------------------------------------------------------


class Residual(td.Model):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = [layers.Dense(4, activation="elu", name=f"hidden_{i}") for i in range(2)]
        self.dropout = layers.Dropout(0.5)
        self.head = layers.Dense(1, name="head")

    def call(self, inputs: Any, training: bool = False) -> Any:
        outputs = inputs
        for layer in self.hidden:
            outputs = outputs + layer(outputs)
        return self.head(self.dropout(outputs))


def test_a_subclass_has_the_layers_it_sets_and_their_weights() -> None:
    model = Residual()
    assert [layer.name for layer in model.layers] == ["hidden_0", "hidden_1", model.dropout.name, "head"]
    assert not model.built
    assert model(X).shape == (6, 1)
    assert model.built
    assert [w.path for w in model.weights] == [
        "hidden_0/kernel", "hidden_0/bias", "hidden_1/kernel", "hidden_1/bias", "head/kernel", "head/bias",
    ]  # fmt: skip


def test_a_subclass_learns() -> None:
    model = Residual()
    model.compile(optimizer=td.optimizers.Adam(0.02), loss="mse")
    y = X.sum(axis=1, keepdims=True)
    history = model.fit(X, y, epochs=60, batch_size=3, verbose=0).history["loss"]
    assert history[-1] < 0.3 * history[0]
    assert model.predict(X).shape == (6, 1)


def test_training_reaches_the_layers_inside() -> None:
    model = Residual()
    calm = model(X).numpy()
    np.testing.assert_array_equal(calm, model(X, training=False).numpy())
    noisy = np.array([model(X, training=True) for _ in range(3)])
    assert noisy.shape == (3, 6, 1)
    assert np.ptp(noisy, axis=0).max() > 0


def test_a_call_that_fails_builds_nothing() -> None:
    model = Residual()
    with pytest.raises(ValueError, match=r"add\(float32\[6, 3\]"):
        model(X[:, :3])  # inputs + hidden(inputs): 3 and 4 features
    assert not model.built
    assert model.weights == []
    assert model(X).shape == (6, 1)


def test_a_summary_of_a_subclass(capsys: pytest.CaptureFixture[str]) -> None:
    model = Residual()
    model(X)
    model.summary()
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "hidden_0 (Dense) (None, 4) 20" in lines
    assert lines[-1].startswith("Parameters: 45 ")


def test_a_model_without_call_says_what_is_missing() -> None:
    class Nothing(td.Model):
        pass

    with pytest.raises(NotImplementedError, match=r"class Nothing must define call\(inputs\)"):
        Nothing()(X)


def test_a_model_that_nobody_holds_is_freed_at_once() -> None:
    model = small()
    model.compile("nadam", "mse", metrics=["mae"])
    model.fit(X, np.zeros((6, 2)), epochs=2, verbose=0, validation_split=0.5)
    kernel = weakref.ref(model.layers[0].kernel)
    gc.disable()
    try:
        del model
        assert kernel() is None, "a reference cycle keeps the model's weights"
    finally:
        gc.enable()
