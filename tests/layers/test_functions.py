"""Lambda and Operation: what they compute, the shapes they tell, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td

layers = td.layers
pytestmark = pytest.mark.usefixtures("backend")
X = np.array([[1.0, -2.0, 3.0], [0.5, 4.0, -1.0]], np.float32)


def test_a_function_of_one_or_several_inputs() -> None:
    np.testing.assert_array_equal(layers.Lambda(lambda x: x * x)(X).numpy(), X * X)
    both = layers.Lambda(lambda xy: xy[0] - 2 * xy[1])
    np.testing.assert_array_equal(both([X, X]).numpy(), -X)
    a, b = td.Input((3,)), td.Input((3,))
    np.testing.assert_array_equal(td.Model([a, b], both([a, b]))([X, X]).numpy(), -X)


def test_further_arguments_come_by_name() -> None:
    layer = layers.Lambda(lambda x, by, plus=0: x * by + plus, arguments={"by": 2, "plus": 1})
    np.testing.assert_array_equal(layer(X).numpy(), 2 * X + 1)


def test_gradients_go_through() -> None:
    x = td.tensor(X, requires_grad=True)
    (grad,) = td.grad(td.sum(layers.Lambda(lambda x: x**3)(x)), [x])
    np.testing.assert_allclose(grad.numpy(), 3 * X**2, rtol=1e-6)


def test_a_function_with_a_parameter_training_is_told_the_mode() -> None:
    def negated(x: Any, training: bool = False) -> Any:
        return -x if training else x

    def unaware(x: Any) -> Any:
        training = 2  # a variable of that name is no parameter
        return x * training

    layer = layers.Lambda(negated)
    np.testing.assert_array_equal(layer(X, training=True).numpy(), -X)
    np.testing.assert_array_equal(layer(X).numpy(), X)
    np.testing.assert_array_equal(layers.Lambda(unaware)(X, training=True).numpy(), 2 * X)


@pytest.mark.parametrize(
    ("function", "given", "shape"),
    [
        (lambda x: td.sum(x, -1), None, (None,)),
        (lambda x: td.concatenate([x, x], -1), None, (None, 6)),
        (lambda x: td.sum(x, -1, keepdims=True), (1,), (None, 1)),
        (lambda x: td.sum(x, -1, keepdims=True), lambda shape: (*shape[:-1], 1), (None, 1)),
    ],
)
def test_the_shape_is_found_or_said(function: Any, given: Any, shape: Any) -> None:
    x = td.Input((3,))
    assert layers.Lambda(function, output_shape=given)(x).shape == shape


def test_the_said_shape_of_several_inputs() -> None:
    a, b = td.Input((3,), batch_size=2), td.Input((4,), batch_size=2)
    assert layers.Lambda(lambda ab: ab[1], output_shape=(4,))([a, b]).shape == (2, 4)


def test_an_unknown_length_stays_unknown() -> None:
    x = td.Input((None, 3))
    assert layers.Lambda(lambda x: x[:, ::2])(x).shape == (None, None, 3)
    assert layers.Lambda(lambda x: td.mean(x, 1))(x).shape == (None, 3)


def test_the_configuration_makes_the_same_layer() -> None:
    for layer in (
        layers.Lambda(abs, output_shape=(3,), arguments={}, name="f"),
        layers.Operation("subtract", [1.0, None], name="s"),
        layers.Operation("exp"),
    ):
        again = type(layer).from_config(layer.get_config())
        assert again.get_config() == layer.get_config()
        np.testing.assert_array_equal(again(X).numpy(), layer(X).numpy())


def test_an_operation_is_named_after_its_function_and_apart_from_layers() -> None:
    x = td.Input((3,))
    names = [layers.Add()([x, x]).name, (x + 1).name, (x + 2).name, (x * 2).name]
    assert len(set(names)) == 4
    assert [name.rstrip("_0123456789") for name in names] == ["add", "add", "add", "multiply"]
    assert layers.Operation("exp", name="e").name == "e"


def test_an_operation_by_name() -> None:
    np.testing.assert_allclose(layers.Operation("exp")(X).numpy(), np.exp(X), rtol=1e-6)
    np.testing.assert_array_equal(layers.Operation("multiply")([X, X]).numpy(), X * X)
    np.testing.assert_array_equal(layers.Operation("power", [None, 2])(X).numpy(), X**2)


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda: layers.Lambda(3, name="f"), TypeError, "Lambda 'f': the function must be one, not 3"),
        (lambda: layers.Lambda(abs, (1.5,), name="f"), ValueError, r"Lambda 'f': output_shape is a tuple of lengths"),
        (lambda: layers.Operation("no such", name="o"), ValueError, "Operation 'o': operation must .* not 'no such'"),
        (lambda: layers.Lambda(lambda x: x["a"], name="f")(td.Input((3,))), ValueError,
         "layer 'f' cannot be run on zeros to find the shape of its output"),
    ],
)  # fmt: skip
def test_what_is_no_function_is_refused(make: Any, error: Any, sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        make()
