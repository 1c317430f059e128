"""Symbolic tensors: their shapes, operators, what they refuse, and what layers know of their first call."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td

layers = td.layers
pytestmark = pytest.mark.usefixtures("backend")
X = np.array([[1.0, -2.0, 3.0], [0.5, 4.0, -1.0]], np.float32)
Y = np.array([[2.0, 2.0, 1.0], [3.0, 1.0, 2.0]], np.float32)


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        ({"shape": (3,)}, (None, 3)),
        ({"shape": ()}, (None,)),
        ({"shape": (None, 2), "batch_size": 5}, (5, None, 2)),
        ({"batch_shape": (4, 3)}, (4, 3)),
    ],
)
def test_an_input_has_its_shape_type_and_name(arguments: Any, shape: Any) -> None:
    x = td.Input(**arguments, dtype="float64", name="x")
    assert (x.shape, x.ndim, x.dtype, x.name) == (shape, len(shape), "float64", "x")
    assert isinstance(x.call.layer, layers.InputLayer)
    assert repr(x) == f"<SymbolicTensor shape={shape}, dtype=float64, of 'x'>"
    assert x.call.layer.output.key == x.key


@pytest.mark.parametrize("arguments", [{}, {"shape": (3.5,)}, {"shape": (3,), "batch_shape": (None, 3)}])
def test_an_input_without_a_right_shape_is_refused(arguments: Any) -> None:
    with pytest.raises(ValueError, match="InputLayer 'x'"):
        td.Input(**arguments, name="x")


@pytest.mark.parametrize("name", ["add", "sub", "mul", "truediv", "pow"])
def test_operators_are_those_of_tensors_on_either_side(name: str) -> None:
    function = getattr(operator, name)
    x, y = td.Input((3,)), td.Input((3,))
    both = td.Model([x, y], function(x, y))
    base = np.abs(X)
    np.testing.assert_allclose(both([base, Y]).numpy(), function(base, Y), rtol=1e-6)
    for constant in (2.0, np.array([1.0, 2.0, 0.5], np.float32)):
        model = td.Model(x, [function(x, constant), function(constant, x)])
        left, right = model(base)
        np.testing.assert_allclose(left.numpy(), function(base, constant), rtol=1e-6)
        np.testing.assert_allclose(right.numpy(), function(constant, base), rtol=1e-6)


def test_the_sign_the_product_of_matrices_and_tensors_as_constants() -> None:
    x = td.Input((3,))
    kernel = td.tensor(Y.T)
    negative, product = td.Model(x, [-x, x @ kernel])(X)
    np.testing.assert_array_equal(negative.numpy(), -X)
    np.testing.assert_allclose(product.numpy(), X @ Y.T, rtol=1e-6)
    assert (x @ kernel).shape == (None, 2)
    assert sum([x, x]).shape == (None, 3)  # type: ignore[comparison-overlap]  # 0 + x + x


REFUSED = {
    "bool": bool, "float": float, "int": int, "len": len, "iter": list, "unpacking": lambda x: [*x],
    "item": lambda x: x[:, 0], "in": lambda x: 1 in x, "asarray": np.asarray, "less": lambda x: x < 1,
    "abs": abs, "floor": lambda x: x // 2, "remainder": lambda x: 5 % x, "range": range,
    "concatenate": lambda x: np.concatenate([x, x]), "mean": np.mean, "exp": td.exp, "add": lambda x: td.add(x, 1),
    "stack": lambda x: td.stack([x, x]), "relu": td.activations.relu, "tensor": td.tensor,
    "of a Tensor": lambda x: td.ones((1, 3)) + x, "if": lambda x: 1 if x else 0,
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_needs_values_is_refused_with_the_way_out(name: str) -> None:
    x = td.Input((3,), name="pixels")
    with pytest.raises(TypeError, match=r"the symbolic tensor of 'pixels' has a shape \(None, 3\) and no values"):
        REFUSED[name](x)


def test_a_function_of_numpy_is_refused() -> None:
    with pytest.raises(TypeError, match="SymbolicTensor"):
        np.exp(td.Input((3,)))


@pytest.mark.parametrize("order", [1, -1])
def test_symbolic_tensors_and_values_in_one_call_are_refused(order: int) -> None:
    for value in (X, td.tensor(X), 3.0):
        with pytest.raises(TypeError, match=f"layer 'sum' is called with symbolic tensors and {type(value).__name__}"):
            layers.Add(name="sum")([td.Input((3,)), value][::order])


def test_two_are_equal_if_they_are_one() -> None:
    x, y = td.Input((3,)), td.Input((3,))
    assert x == x
    assert x != y
    assert len({x, y, x}) == 2
    assert y in [x, y]


def test_a_layer_tells_its_first_call() -> None:
    dense = layers.Dense(2, name="d")
    with pytest.raises(ValueError, match="layer 'd' has no output: it was not called on an Input, nor built in a"):
        _ = dense.output
    x, later = td.Input((3,)), td.Input((3,))
    first = dense(x)
    second = dense(later)
    assert dense.output.key == first.key != second.key
    assert dense.input is x
    del first, x
    assert dense.input is later  # nothing holds the first call any more
    del second
    with pytest.raises(ValueError, match="layer 'd' has no input"):
        _ = dense.input


def test_several_outputs_have_a_shape_each() -> None:
    class Both(layers.Layer):
        def call(self, inputs: Any) -> Any:
            return {"sum": td.sum(inputs, -1), "both": [inputs, td.concatenate([inputs, inputs], -1)]}

    x = td.Input((3,))
    made = Both()(x)
    assert made["sum"].shape == (None,)
    assert [part.shape for part in made["both"]] == [(None, 3), (None, 6)]
    np.testing.assert_array_equal(td.Model(x, made["both"][1])(X).numpy(), np.concatenate([X, X], 1))


def test_further_arguments_of_a_call_stay_in_the_graph() -> None:
    class Scaled(layers.Layer):
        def call(self, inputs: Any, other: Any, factor: float = 1.0) -> Any:
            return inputs + factor * other

        def compute_output_shape(self, input_shape: Any) -> Any:
            return input_shape

    x, y = td.Input((3,)), td.Input((3,))
    scaled = Scaled()
    model = td.Model([x, y], [scaled(x, y), scaled(x, other=y, factor=2.0)])
    one, two = model([X, Y])
    np.testing.assert_allclose(one.numpy(), X + Y)
    np.testing.assert_allclose(two.numpy(), X + 2 * Y)


def test_a_layer_that_does_not_fit_is_named_when_the_graph_is_drawn() -> None:
    with pytest.raises(ValueError, match="Concatenate 'c': the inputs must be equal but for the length of axis -1"):
        layers.Concatenate(name="c")([td.Input((2, 3)), td.Input((3, 3))])
    dense = layers.Dense(2, name="d")
    dense(td.Input((3,)))
    with pytest.raises(ValueError, match="Dense 'd' was built for 3 features"):
        td.Model(x := td.Input((4,)), dense(x))(np.ones((1, 4)))
