"""Layers of several inputs: Keras's values and gradients, shapes, and inputs that do not fit together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.layers.golden import assert_as_recorded, cases
from tinygrad_dnn.testing import check_grads

NAMES = ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"]


@pytest.mark.parametrize("name", cases(*NAMES))
def test_values_and_gradients_are_keras_s(backend: str, name: str) -> None:
    assert_as_recorded(name)


@pytest.mark.parametrize("cls", NAMES)
def test_gradients_are_those_of_finite_differences(backend: str, cls: str) -> None:
    layer = getattr(td.layers, cls)(dtype="float64")
    x, y = np.array([[1.0, -2.0, 3.0]]), np.array([[0.5, 2.0, -1.0]])
    check_grads(lambda x, y: layer([x, y]) ** 2, [x, y])


@pytest.mark.parametrize("cls", NAMES)
def test_inputs_may_be_a_tuple_of_arrays_and_are_left_alone(backend: str, cls: str) -> None:
    x, y = np.float32([[1, -2, 3]]), np.float32([[0.5, 2, -1]])
    inputs = [x, td.tensor(y)]
    layer = getattr(td.layers, cls)()
    first, second = layer(inputs), layer(tuple(inputs))
    np.testing.assert_array_equal(first.numpy(), second.numpy())
    assert inputs[0] is x
    assert layer.weights == []


@pytest.mark.parametrize("cls", ["Add", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"])
def test_a_list_of_one_is_itself(backend: str, cls: str) -> None:
    x = td.random.normal((2, 3))
    np.testing.assert_array_equal(getattr(td.layers, cls)()([x]).numpy(), x.numpy())


def test_equal_values_give_the_gradient_to_the_first(backend: str) -> None:
    for cls in ("Maximum", "Minimum"):
        x, y = (td.tensor([[1.0, 2.0]], requires_grad=True) for _ in range(2))
        gx, gy = td.grad(getattr(td.layers, cls)()([x, y]).sum(), [x, y])
        assert (gx.tolist(), gy.tolist()) == ([[1.0, 1.0]], [[0.0, 0.0]])


def test_a_residual_block_in_a_model(backend: str) -> None:
    class Residual(td.layers.Layer):
        """x + Dense(x)."""

        def __init__(self, units: int, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.dense, self.add = td.layers.Dense(units), td.layers.Add()

        def call(self, inputs: td.Tensor) -> td.Tensor:
            return self.add([inputs, self.dense(inputs)])

    model = td.Sequential([td.layers.InputLayer((3,)), Residual(3), Residual(3)])
    model.set_weights([np.zeros(w.shape) for w in model.weights])
    x = np.float32([[1, 2, 3]])
    np.testing.assert_array_equal(model(x).numpy(), x)
    assert model.output_shape == (None, 3)


# -- shapes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cls", "config", "shapes", "expected"),
    [
        ("Add", {}, [(None, 3), (None, 3)], (None, 3)),
        ("Add", {}, [(None, 1, 4), (None, 5, 4)], (None, 5, 4)),
        ("Add", {}, [(None, None, 4), (None, 5, 1)], (None, None, 4)),
        ("Multiply", {}, [(None, 1), (None, 1)], (None, 1)),
        ("Concatenate", {}, [(None, 3), (None, 2)], (None, 5)),
        ("Concatenate", {"axis": 1}, [(None, 3, 4), (None, 2, 4)], (None, 5, 4)),
        ("Concatenate", {"axis": -2}, [(None, 3, 4), (None, None, 4)], (None, None, 4)),
        ("Concatenate", {}, [(None, None, 4), (None, 5, 2)], (None, None, 6)),
    ],
)
def test_output_shape(cls: str, config: dict[str, Any], shapes: list[Any], expected: tuple[Any, ...]) -> None:
    assert getattr(td.layers, cls)(**config).compute_output_shape(shapes) == expected


@pytest.mark.parametrize(
    ("cls", "config", "shapes", "message"),
    [
        ("Add", {}, [(2, 3), (2, 4)], r"the inputs must broadcast to one shape; theirs are \[\(None, 3\), \(None, 4\)"),
        ("Add", {}, [(2, 3), (2, 3, 3)], "the inputs must have equally many axes"),
        ("Subtract", {}, [(2, 3)] * 3, "the inputs must be two; theirs are"),
        ("Subtract", {}, [(2, 3)], "the inputs must be two; theirs are"),
        ("Concatenate", {}, [(2, 3, 4), (2, 4, 4)], "the inputs must be equal but for the length of axis -1; theirs"),
        ("Concatenate", {"axis": 2}, [(2, 3), (2, 4)], "the inputs must have axis 2, and it must not be the batch's"),
        ("Concatenate", {"axis": 0}, [(2, 3), (2, 3)], "the inputs must have axis 0, and it must not be the batch's"),
        ("Concatenate", {"axis": -2}, [(2, 3), (2, 3)], "the inputs must have axis -2, and it must not be the batch's"),
    ],
)
def test_inputs_that_do_not_fit_together(
    backend: str, cls: str, config: dict[str, Any], shapes: list[tuple[int, ...]], message: str
) -> None:
    layer = getattr(td.layers, cls)(name="m", **config)
    with pytest.raises(ValueError, match=f"^{cls} 'm': {message}"):
        layer([np.ones(shape) for shape in shapes])
    assert not layer.built


def test_what_fits_no_more_after_building(backend: str) -> None:
    layer = td.layers.Add(name="m")
    layer([np.ones((2, 3)), np.ones((2, 3))])
    with pytest.raises(ValueError, match=r"^Add 'm': the inputs must broadcast to one shape; theirs are \[\(2, 3\), "):
        layer([np.ones((2, 3)), np.ones((2, 4))])


@pytest.mark.parametrize("cls", NAMES)
def test_one_tensor_is_no_list(backend: str, cls: str) -> None:
    layer = getattr(td.layers, cls)(name="m")
    with pytest.raises(
        ValueError, match=rf"^{cls} 'm' is called with a list of inputs, not with one of shape \(None, "
    ):
        layer(np.ones((2, 3)))
    layer([np.ones((2, 3)), np.ones((2, 3))])
    with pytest.raises(
        ValueError, match=rf"^{cls} 'm' is called with a list of inputs, not with one of shape \(2, 3\)"
    ):
        layer(np.ones((2, 3)))


@pytest.mark.parametrize("axis", ["last", None, 1.0, True])
def test_axis_is_an_integer(axis: Any) -> None:
    with pytest.raises(ValueError, match=r"^Concatenate 'm': axis must be an integer, not "):
        td.layers.Concatenate(axis, name="m")


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "average", "maximum", "minimum", "concatenate"])
def test_a_function_makes_the_layer_and_calls_it(name: str) -> None:
    function, layer = getattr(td.layers, name), getattr(td.layers, name.capitalize())
    values = [np.array([[1.0, 4.0]], "float32"), np.array([[3.0, 2.0]], "float32")]
    np.testing.assert_array_equal(function(values).numpy(), layer()(values).numpy())
    made = function([td.Input((3,)), td.Input((3,))], name="joined")
    assert (type(made.call.layer), made.name) == (layer, "joined")
