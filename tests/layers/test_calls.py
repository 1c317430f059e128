"""Calling a layer: inputs and their dtypes, the training mode, losses on the way, threads, output shapes."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td

X = np.ones((4, 3), np.float32)


class Identity(td.layers.Layer):
    """Remember what ``call`` was given."""

    def call(self, inputs):
        self.seen = inputs
        return inputs


class Mode(td.layers.Layer):
    """Remember in which mode it was called, and where."""

    modes: list[tuple[str, Any]] = []  # noqa: RUF012  # each test has its own

    def call(self, inputs, training=False):
        self.modes.append((self.name, training))
        return inputs


@pytest.fixture
def modes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Return what the layers of this test were told, in order."""
    seen: list[tuple[str, Any]] = []
    monkeypatch.setattr(Mode, "modes", seen)
    return seen


# -- inputs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("given", "expected"),
    [("float16", None), ("float32", None), ("float64", None), ("uint8", "uint8"), ("int64", "int64"), ("bool", "bool")],
)
def test_floats_are_cast_to_the_layer_s_dtype_and_integers_are_not(
    backend: str, dtype: str, given: str, expected: str | None
) -> None:
    layer, x = Identity(dtype=dtype), X.astype(given)
    for inputs in (x, td.tensor(x)):
        layer(inputs)
        assert (layer.seen.dtype, layer.seen.backend.name) == (expected or dtype, backend)
    layer([x, td.tensor(x)])
    assert [each.dtype for each in layer.seen] == [expected or dtype] * 2


def test_integers_become_floats_where_weights_are(backend: str) -> None:
    pixels = np.array([[0, 128, 255]], np.uint8)
    layer = td.layers.Dense(1, kernel_initializer="ones")
    assert layer(pixels).dtype == np.float32
    assert layer(pixels).item() == 383
    assert td.layers.Dropout(0.5)(pixels, training=True).dtype == np.float32
    assert td.layers.AlphaDropout(0.5)(pixels, training=True).dtype == np.float32


def test_lists_of_numbers_are_one_input_and_lists_of_arrays_several(backend: str) -> None:
    layer = Identity()
    layer([[1.0, 2.0], [3.0, 4.0]])
    assert (layer.seen.shape, layer.seen.dtype) == ((2, 2), np.float32)
    layer([np.ones(2), td.ones((2, 1))])
    assert [x.shape for x in layer.seen] == [(2,), (2, 1)]
    layer((np.ones(2), np.ones((2, 1))))
    assert isinstance(layer.seen, tuple)


def test_a_tensor_of_the_right_dtype_is_passed_on_as_it_is(backend: str) -> None:
    layer, x = Identity(), td.tensor(X, requires_grad=True)
    layer(x)
    assert layer.seen is x


@pytest.mark.parametrize("inputs", ["text", None, {"a": "text"}, [[1.0], [1.0, 2.0]]])
def test_inputs_that_are_no_numbers(inputs: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^layer 'd': a Tensor is made of "):
        td.layers.Dense(2, name="d")(inputs)


def test_a_scalar_is_no_batch() -> None:
    with pytest.raises(ValueError, match=r"^layer 'f': an input has at least the batch's axis; this one is 0-d\.$"):
        td.layers.Flatten(name="f")(1.0)


def test_further_arguments_reach_call(backend: str) -> None:
    class Affine(td.layers.Layer):
        def call(self, inputs, scale, shift=0.0):
            return inputs * scale + shift

    np.testing.assert_array_equal(Affine()(X, 2.0, shift=1.0).numpy(), 3 * X)


# -- the training mode ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False, None, 1, 0])
def test_training_is_what_was_said_else_false(backend: str, modes: list[Any], training: Any) -> None:
    Mode(name="m")(X, training=training)
    assert modes == [("m", bool(training))]
    assert type(modes[0][1]) is bool


@pytest.mark.parametrize("training", [True, False, None])
def test_layers_inside_act_as_the_one_around_them(backend: str, modes: list[Any], training: Any) -> None:
    class Silent(td.layers.Layer):
        """Its call does not take the mode, and lets it through all the same."""

        def __init__(self):
            super().__init__()
            self.inner = td.Sequential([Mode(name="a"), td.Sequential([Mode(name="b")])])
            self.fixed = Mode(name="c")

        def call(self, inputs):
            return self.fixed(self.inner(inputs), training=not training)

    layer = Silent()
    layer(X, training=training)
    modes.clear()
    layer(X, training=training)
    assert modes == [("a", bool(training)), ("b", bool(training)), ("c", not training)]


def test_what_a_layer_says_inside_counts_for_its_own_layers_alone(backend: str, modes: list[Any]) -> None:
    class Opposite(td.layers.Layer):
        def __init__(self):
            super().__init__()
            self.first, self.second = td.Sequential([Mode(name="a")]), Mode(name="b")

        def call(self, inputs, training=False):
            return self.second(self.first(inputs, training=not training))

    layer = Opposite()
    for training in (True, False):
        layer(X, training=training)
        assert modes[-2:] == [("a", not training), ("b", training)]


def test_a_default_of_true_counts_where_nothing_is_said(backend: str, modes: list[Any]) -> None:
    class Eager(Mode):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.inner = Mode(name="inner")

        def call(self, inputs, training=True):
            return self.inner(super().call(inputs, training))

    Eager(name="e")(X)
    model = td.Sequential([Eager(name="e")])
    model(X)
    modes.clear()
    for training in (None, False, True):
        model(X, training=training)
    assert modes == [("e", True), ("inner", True), ("e", False), ("inner", False), ("e", True), ("inner", True)]


def test_call_may_take_any_keyword(backend: str) -> None:
    class Anything(td.layers.Layer):
        def call(self, inputs, **kwargs):
            self.seen = kwargs
            return inputs

    layer = Anything()
    layer(X, training=True, other=1)
    assert layer.seen == {"training": True, "other": 1}


def test_an_error_inside_ends_the_mode(backend: str, modes: list[Any]) -> None:
    class Failing(td.layers.Layer):
        def call(self, inputs):
            self.add_loss(1.0)
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        td.Sequential([td.layers.InputLayer((3,)), Identity(), td.layers.Activation("relu"), Wrapped(Failing())])(
            X, training=True
        )
    Mode(name="after")(X)
    assert modes == [("after", False)]
    layer = Adding([2.0])
    layer(X)
    assert [loss.item() for loss in layer.losses] == [2.0]


class Wrapped(td.layers.Layer):
    """A layer in a layer, whose shapes are known without running it."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def call(self, inputs):
        return self.inner(inputs)

    def compute_output_shape(self, input_shape):
        return input_shape


# -- losses --------------------------------------------------------------------------------------------------------


class Adding(td.layers.Layer):
    """Add losses, and pass the inputs through the layers inside."""

    def __init__(self, values, inner=()):
        super().__init__()
        self.values, self.inner = values, list(inner)

    def call(self, inputs):
        for value in self.values:
            self.add_loss(value)
        for layer in self.inner:
            inputs = layer(inputs)
        return inputs


def values(layer: td.layers.Layer) -> list[float]:
    return [loss.item() for loss in layer.losses]


def test_losses_are_those_of_the_last_call_with_all_inside(backend: str) -> None:
    inner = Adding([2.0, 3.0])
    outer = Adding([1.0], [inner, td.Sequential([Adding([4.0])]), inner])
    for _ in range(2):
        outer(X)
        assert values(outer) == [1.0, 2.0, 3.0, 4.0, 2.0, 3.0]
    outer.values = []
    outer(X)
    assert values(outer) == [2.0, 3.0, 4.0, 2.0, 3.0]


def test_a_loss_is_a_number_a_tensor_or_a_list_and_counts_by_its_sum(backend: str) -> None:
    layer = Adding([1, td.tensor(2.0), td.tensor([[3.0, 4.0]]), [5.0, td.tensor([6.0, 7.0])]])
    layer(X)
    assert values(layer) == [1, 2, 7, 5, 13]
    assert all(isinstance(loss, td.Tensor) and loss.shape == () for loss in layer.losses)


def test_a_variable_that_is_a_loss_is_no_weight_for_that(backend: str) -> None:
    elsewhere = td.Variable(2.0, trainable=True)

    class Outside(td.layers.Layer):
        def call(self, inputs):
            self.add_loss(elsewhere)
            return inputs

    layer = Outside()
    layer(X)
    assert values(layer) == [2.0]
    assert layer.weights == []


def test_losses_have_gradients(backend: str) -> None:
    class Penalised(td.layers.Dense):
        def call(self, inputs):
            outputs = super().call(inputs)
            self.add_loss((outputs * outputs).sum())
            return outputs

    layer = Penalised(2)
    outputs = layer(X)
    (slope,) = td.grad(layer.losses[0], [layer.bias])
    np.testing.assert_allclose(slope.numpy(), 2 * outputs.numpy().sum(axis=0), rtol=1e-5)


def test_activity_regularizers_of_several_outputs_and_of_layers_inside(backend: str) -> None:
    class Two(td.layers.Layer):
        def call(self, inputs):
            return inputs, 2 * inputs

    layer = Two(activity_regularizer=td.regularizers.L1(0.5))
    layer(X)
    assert values(layer) == [1.5, 3.0]
    outer = Adding([], [td.layers.Flatten(activity_regularizer=td.regularizers.L1(0.5)), Identity()])
    outer(X)
    assert values(outer) == [1.5]


def test_finding_an_output_shape_adds_no_loss(backend: str) -> None:
    # The Sequential is built inside the outer call, and runs its layer to find the shape of what it gives.
    outer = Adding([1.0], [td.Sequential([Adding([2.0])])])
    outer(X)
    assert values(outer) == [1.0, 2.0]
    layer = Adding([3.0])
    layer(X)
    layer.values = [4.0]
    layer.compute_output_shape((None, 3))
    assert values(layer) == [3.0]


# -- threads -------------------------------------------------------------------------------------------------------


def test_a_call_s_mode_and_losses_belong_to_its_thread(backend: str, modes: list[Any]) -> None:
    inside, leave = threading.Event(), threading.Event()

    class Waiting(td.layers.Layer):
        def call(self, inputs):
            self.add_loss(1.0)
            inside.set()
            assert leave.wait(10)
            return inputs

    waiting, other = Waiting(), Adding([2.0], [Mode(name="other")])

    def call() -> None:
        with td.backend.use(backend):
            waiting(X, training=True)

    thread = threading.Thread(target=call)
    thread.start()
    assert inside.wait(10)
    other(X)
    leave.set()
    thread.join()
    assert modes == [("other", False)]
    assert (values(other), values(waiting)) == ([2.0], [1.0])


# -- output shapes -------------------------------------------------------------------------------------------------


def test_an_output_shape_is_found_by_running_the_layer(backend: str) -> None:
    seen = []

    class Half(td.layers.Layer):
        def build(self, input_shape):
            self.built_for = input_shape

        def call(self, inputs, training=True):
            seen.append((training, td.is_grad_enabled()))
            return td.concatenate([inputs, inputs], axis=2)[:, ::2]

    layer = Half()
    assert layer.compute_output_shape((None, 6, 3)) == (None, 3, 6)
    assert layer.built_for == (None, 6, 3)
    layer = Half()
    assert layer.compute_output_shape((8, None, 3)) == (8, None, 6)
    assert layer.built_for == (8, None, 3)
    assert Half().compute_output_shape((None, None, None)) == (None, None, None)
    model = td.Sequential([td.layers.InputLayer((None, 3)), Half(), td.layers.Dense(5)])
    assert model.output_shape == (None, None, 5)
    assert set(seen) == {(False, False)}
    assert model(np.zeros((2, 7, 3))).shape == (2, 4, 5)


def test_an_output_shape_of_several_inputs(backend: str) -> None:
    class Join(td.layers.Layer):
        def call(self, inputs):
            return td.concatenate(inputs, axis=1)

    assert Join().compute_output_shape(((None, 3), (None, 4))) == (None, 7)


def test_the_shapes_of_several_outputs(backend: str) -> None:
    both = {"call": lambda self, inputs: {"same": inputs, "sums": (td.sum(inputs, -1), td.sum(inputs, -2))}}
    layer = type("Both", (td.layers.Layer,), both)()
    shapes = layer.compute_output_shape((None, None, 3))
    assert shapes == {"same": (None, None, 3), "sums": ((None, None), (None, 3))}


def test_an_output_shape_that_cannot_be_found(backend: str) -> None:
    rows = {"call": lambda self, inputs: td.take(td.eye(3), inputs, axis=0)}
    layer = type("Odd", (td.layers.Layer,), rows)(name="odd")
    with pytest.raises(
        ValueError, match=r"^layer 'odd' cannot be run on zeros to find the shape of its output \(.*\): def"
    ):
        layer.compute_output_shape((None, 3))


def test_finding_an_output_shape_changes_no_statistics_and_no_mode(backend: str, modes: list[Any]) -> None:
    inner = td.layers.BatchNormalization()
    outer = Adding([], [inner, Mode(name="m")])
    outer.compute_output_shape((None, 3))
    assert [w.tolist() for w in inner.weights] == [[1.0] * 3, [0.0] * 3, [0.0] * 3, [1.0] * 3]
    assert {training for _, training in modes} == {False}


def test_training_may_be_given_by_its_place(backend: str) -> None:
    class Noisy(td.layers.Layer):
        def call(self, inputs, scale=1.0, training=False):
            return inputs * scale + (100.0 if training else 0.0)

    x = np.ones((2, 500), "float32")
    noisy = Noisy()
    assert [noisy(x, *args).numpy()[0, 0] for args in ((2.0, True), (2.0, False), (2.0,), ())] == [102, 2, 2, 1]
    dropout = td.layers.Dropout(0.5, seed=1)
    assert 0 in dropout(x, True).numpy()
    assert 0 not in dropout(x, False).numpy()
    assert 0 in td.Sequential([dropout])(x, True).numpy()
