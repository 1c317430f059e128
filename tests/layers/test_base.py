"""Layer's weights: building, adding, collecting through nested layers, freezing, getting and setting."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td


class Scale(td.layers.Layer):
    """A layer as a user writes it: one weight, and one that only counts."""

    def build(self, input_shape):
        self.calls = self.add_weight(dtype="int64", name="calls")
        self.factor = self.add_weight((input_shape[-1],), "ones", name="factor")

    def call(self, inputs):
        self.calls.assign(self.calls + 1)
        return inputs * self.factor


class Block(td.layers.Layer):
    """Layers as attributes, in lists and in dicts, and a Variable set by hand."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first = Scale(name="first")
        self.rest = [Scale(name="second"), {"third": (Scale(name="third"),)}]
        self.offset = td.Variable([0.0], trainable=True, name="offset")
        self.note = "text"

    def call(self, inputs):
        for layer in (self.first, self.rest[0], self.rest[1]["third"][0]):
            inputs = layer(inputs)
        return inputs + self.offset


X = np.ones((2, 3), np.float32)


def paths(weights: list[td.Variable]) -> list[str]:
    return [w.path for w in weights]


# -- building ------------------------------------------------------------------------------------------------------


def test_a_layer_is_built_at_its_first_call(backend: str) -> None:
    layer = Scale(name="scale")
    assert (layer.built, layer.weights) == (False, [])
    with pytest.raises(
        ValueError, match=r"^'scale' has no weights yet: call it on data, or its build\(input_shape\), fir"
    ):
        layer.count_params()
    np.testing.assert_array_equal(layer(X).numpy(), X)
    assert layer.built
    assert layer.factor.shape == (3,)
    assert layer.factor.backend.name == backend
    assert layer.count_params() == 4
    factor = layer.factor
    layer(X)
    assert layer.factor is factor
    assert layer.calls.item() == 2


def test_build_sees_the_shape_of_each_input_with_an_unknown_batch(backend: str) -> None:
    seen = []

    class Several(td.layers.Layer):
        def build(self, input_shape):
            seen.append(input_shape)

        def call(self, inputs):
            return inputs[0] + inputs[1] if isinstance(inputs, (list, tuple)) else inputs

    Several()(np.zeros((7, 3, 2)))
    assert Several()([np.zeros((7, 3)), td.zeros((7, 1))]).shape == (7, 3)
    assert Several()((np.zeros((7, 3)), np.zeros((7, 1)))).shape == (7, 3)
    assert seen == [(None, 3, 2), ((None, 3), (None, 1)), ((None, 3), (None, 1))]


def test_build_by_hand_and_ensure_built(backend: str) -> None:
    layer = td.layers.Dense(2)
    layer.build((None, 3))
    assert layer.built
    kernel = layer.kernel
    layer.ensure_built((None, 5))
    assert layer.kernel is kernel


def test_building_twice_is_refused_and_changes_nothing(backend: str) -> None:
    class Noted(td.layers.Dense):
        def build(self, input_shape):
            self.note = input_shape
            super().build(input_shape)

    layer = Noted(2, name="d")
    layer.build((None, 3))
    before = layer.weights
    with pytest.raises(
        ValueError, match=r"^layer 'd' is built already and takes no further weight 'kernel': make weights"
    ):
        layer.build((None, 5))
    assert (layer.built, layer.note) == (True, (None, 3))
    assert [id(w) for w in layer.weights] == [id(w) for w in before]
    assert layer(X).shape == (2, 2)


def test_a_build_that_fails_leaves_no_trace(backend: str) -> None:
    layer = td.layers.Dense(2, bias_initializer=lambda shape, dtype=None: np.zeros(7), name="d")
    for _ in range(2):
        with pytest.raises(
            ValueError, match=r"^layer 'd': the initializer of 'bias' returned shape \(7,\), expected \(2,\)"
        ):
            layer(X)
        assert (layer.built, layer.weights, layer.bias) == (False, [], None)
    layer.bias_initializer = td.initializers.Ones()
    layer(np.zeros((1, 4)))
    assert [w.shape for w in layer.weights] == [(4, 2), (2,)]


def test_a_subclass_s_build_may_call_its_base_s_anywhere(backend: str) -> None:
    class Before(td.layers.Dense):
        def build(self, input_shape):
            super().build(input_shape)
            self.extra = self.add_weight((1,), name="extra")

    class After(td.layers.Layer):
        def build(self, input_shape):
            super().build(input_shape)
            self.kernel = self.add_weight((1,), name="kernel")
            super().build(input_shape)

    for layer, names in ((Before(2), ["kernel", "bias", "extra"]), (After(), ["kernel"])):
        layer.build((None, 3))
        assert layer.built
        assert [w.name for w in layer.weights] == names


def test_nothing_is_recorded_while_building(backend: str) -> None:
    seen = []

    class Watching(td.layers.Layer):
        def build(self, input_shape):
            seen.append(td.is_grad_enabled())

        def call(self, inputs):
            seen.append(td.is_grad_enabled())
            return inputs

    Watching()(X)
    assert seen == [False, True]


def test_a_layer_without_call_says_so() -> None:
    with pytest.raises(NotImplementedError, match=r"^layer 'bare' of class Bare must define call\(inputs\)\.$"):
        type("Bare", (td.layers.Layer,), {})(name="bare")(X)


# -- add_weight ----------------------------------------------------------------------------------------------------


def test_a_call_that_returns_nothing_says_so() -> None:
    class Forgetful(td.layers.Layer):
        def call(self, inputs: td.Tensor) -> None:
            inputs * 2

    for use in (lambda layer: layer(np.ones((1, 2))), lambda layer: layer(td.Input((2,)))):
        with pytest.raises((TypeError, ValueError), match="layer 'forgetful': call returned None: it must return"):
            use(Forgetful(name="forgetful"))


def test_add_weight_makes_a_named_variable(backend: str) -> None:
    layer = td.layers.Layer(name="own", dtype="float64")
    weight = layer.add_weight((200, 300), regularizer="l2", constraint="non_neg", trainable=False, name="w")
    assert isinstance(weight, td.Variable)
    assert (weight.path, weight.name, weight.dtype, weight.trainable) == ("own/w", "w", np.float64, False)
    assert isinstance(weight.regularizer, td.regularizers.L2)
    assert isinstance(weight.constraint, td.constraints.NonNeg)
    # glorot_uniform by default
    assert np.sqrt(6 / 500) * 0.999 < np.abs(weight.numpy()).max() <= np.sqrt(6 / 500)
    assert layer.add_weight().shape == ()
    assert layer.add_weight([np.int64(2), 1], "ones").tolist() == [[1.0], [1.0]]
    counter = layer.add_weight((2,), dtype="int32")
    assert (counter.tolist(), counter.trainable, counter.dtype) == ([0, 0], False, np.int32)
    assert paths(layer.weights) == ["own/weight_1", "own/weight_2", "own/w", "own/weight_3"]


def test_an_initializer_that_wants_its_layer_is_given_it(backend: str) -> None:
    seen = []

    def initializer(shape, dtype=None, *, layer):
        seen.append(layer)
        return np.zeros(shape, dtype)

    class Named(td.initializers.Initializer):
        def __call__(self, shape, dtype=None, layer=None):
            seen.append(layer.name)
            return np.zeros(shape, dtype)

    layer = td.layers.Layer(name="own")
    layer.add_weight((2,), initializer)
    layer.add_weight((2,), Named())
    layer.add_weight((2,), np.zeros)
    assert seen == [layer, "own"]


@pytest.mark.parametrize("shape", [(None, 3), 3, (-1,), (2.5,), "ab"])
def test_a_weight_needs_a_shape_that_is_known(shape: Any) -> None:
    with pytest.raises(
        ValueError, match=r"^layer 'own': (the shape of|every length of) the weight 'w' (is a tuple|must be)"
    ):
        td.layers.Layer(name="own").add_weight(shape, name="w")


def test_an_unknown_initializer_adds_no_weight() -> None:
    layer = td.layers.Layer()
    expected = r"^layer 'layer\w*': the weight '.*': initializer: 'he_norml' is not a known initializer\. Did you mean"
    with pytest.raises(ValueError, match=expected):
        layer.add_weight((2, 2), "he_norml")
    assert layer.weights == []


def test_no_weight_joins_a_layer_that_is_built(backend: str) -> None:
    class Late(td.layers.Layer):
        def call(self, inputs):
            self.factor = self.add_weight((3,), name="factor")
            return inputs * self.factor

    with pytest.raises(
        ValueError, match=r"^layer 'late' is built already and takes no further weight 'factor': make weigh"
    ):
        Late(name="late")(X)


# -- which weights a layer has -------------------------------------------------------------------------------------


def test_weights_are_those_of_each_layer_the_trainable_ones_first(backend: str) -> None:
    block = Block(name="block")
    assert paths(block.weights) == ["offset"]
    block(X)
    each = [f"{name}/{w}" for name in ("first", "second", "third") for w in ("factor", "calls")]
    assert paths(block.weights) == ["offset", *each]
    assert paths(block.trainable_weights) == ["offset", *each[::2]]
    assert paths(block.non_trainable_weights) == each[1::2]
    assert block.count_params() == 1 + 3 * 4


def test_lists_and_dicts_may_grow_and_attributes_may_change_later(backend: str) -> None:
    block = Block()
    block(X)
    block.rest.append(Scale(name="fourth"))
    block.rest[1]["fifth"] = Scale(name="fifth")
    for layer in (block.rest[2], block.rest[1]["fifth"]):
        layer(X)
    assert paths(block.weights)[-4:] == ["fifth/factor", "fifth/calls", "fourth/factor", "fourth/calls"]
    block.first = Scale(name="sixth")
    block.first(X)
    assert "first/factor" not in paths(block.weights)
    assert "sixth/factor" in paths(block.weights)
    del block.rest
    assert paths(block.weights) == ["offset", "sixth/factor", "sixth/calls"]


def test_what_is_shared_counts_once(backend: str) -> None:
    shared = td.layers.Dense(3)
    outer = Block()
    outer.rest = [shared, [shared, {"again": shared}]]
    outer.tied = shared
    shared(X)
    outer.first(X)
    outer.alias = shared.kernel
    assert len(outer.weights) == 1 + 1 + 2 + 1
    assert len({id(w) for w in outer.weights}) == len(outer.weights)
    outer.itself = outer
    assert len(outer.weights) == len(outer.trainable_weights) + 1


def test_weights_keep_their_order_of_creation_and_not_that_of_their_names(backend: str) -> None:
    class Backwards(td.layers.Layer):
        def build(self, input_shape):
            first = self.add_weight((1,), name="z")
            second = self.add_weight((2,), name="a", trainable=False)
            third = self.add_weight((3,), name="m")
            self.a, self.b, self.c = third, second, first

        def call(self, inputs):
            return inputs

    layer = Backwards()
    layer(X)
    assert [w.name for w in layer.weights] == ["z", "m", "a"]


# -- freezing ------------------------------------------------------------------------------------------------------


def test_trainable_reaches_every_layer_inside_and_back(backend: str) -> None:
    block = Block()
    block(X)
    block.trainable = False
    assert not block.first.trainable
    assert not block.rest[1]["third"][0].trainable
    assert block.trainable_weights == []
    assert block.non_trainable_weights == block.weights
    block.trainable = True
    assert len(block.trainable_weights) == 4


def test_freezing_one_layer_inside(backend: str) -> None:
    block = Block()
    block(X)
    block.rest[0].trainable = False
    assert block.trainable
    assert paths(block.trainable_weights) == ["offset", "first/factor", "third/factor"]


def test_inside_a_frozen_layer_nothing_is_trained(backend: str) -> None:
    # Made frozen, its layers come later; frozen later, one of its layers is thawed or joins.
    made, later = Block(trainable=False), Block()
    later.trainable = False
    later.first.trainable = True
    later.rest.append(td.layers.Dense(3))
    for block in (made, later):
        block(X)
        assert block.trainable_weights == []
    assert len(later.first.trainable_weights) == 1
    holder = Block()
    holder.first, holder.rest = made, [made.first, {"third": (Scale(),)}]
    holder(X)
    # What is also reached from outside of the frozen layer is trained.
    assert sum(w is made.first.factor for w in holder.trainable_weights) == 1
    assert not any(w is made.offset for w in holder.trainable_weights)


def test_a_weight_that_is_not_trainable_stays_so(backend: str) -> None:
    layer = Scale()
    layer(X)
    layer.trainable = True
    assert paths(layer.trainable_weights) == [f"{layer.name}/factor"]


# -- getting and setting -------------------------------------------------------------------------------------------


def test_get_weights_returns_copies_and_set_weights_takes_them(backend: str) -> None:
    first, second = (td.Sequential([td.layers.Dense(3), td.layers.BatchNormalization()]) for _ in range(2))
    for model in (first, second):
        model(X, training=True)
    values = first.get_weights()
    assert all(type(v) is np.ndarray for v in values)
    second.set_weights(values)
    np.testing.assert_array_equal(second(X).numpy(), first(X).numpy())
    values[0][:] = 0
    assert first.weights[0].numpy().any()
    assert second.weights[0].numpy().any()


def test_set_weights_takes_any_numbers_and_keeps_the_dtype(backend: str) -> None:
    layer = td.layers.Dense(1)
    layer.build((None, 2))
    layer.set_weights([[[1], [2]], td.tensor(np.array([3.0]))])
    assert [w.tolist() for w in layer.weights] == [[[1.0], [2.0]], [3.0]]
    assert {w.dtype for w in layer.weights} == {np.dtype(np.float32)}
    assert {w.backend.name for w in layer.weights} == {backend}


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ([], ValueError, r"'d' has 2 weights and was given 0\."),
        ([np.ones((3, 2))], ValueError, r"'d' has 2 weights and was given 1\."),
        ([np.ones((3, 2)), np.ones(3)], ValueError, r"weight 'd/bias' has shape \(2,\) and was given \(3,\)"),
        ([np.ones((2, 3)), np.ones(2)], ValueError, r"weight 'd/kernel' has shape \(3, 2\) and was given \(2, 3\)"),
        ([np.ones((3, 2)), ["a", "b"]], TypeError, "a Tensor is made of numbers"),
    ],
)
def test_set_weights_that_do_not_fit_changes_nothing(backend: str, wrong: Any, error: type, message: str) -> None:
    layer = td.layers.Dense(2, name="d")
    layer.build((None, 3))
    before = layer.get_weights()
    with pytest.raises(error, match=f"^{message}"):
        layer.set_weights(wrong)
    for ours, theirs in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_set_weights_before_there_are_any() -> None:
    message = (
        r"^'d' has 0 weights and was given 2; it is not built yet, so call it or its build\(input_shape\) first\.$"
    )
    with pytest.raises(ValueError, match=message):
        td.layers.Dense(2, name="d").set_weights([np.ones((3, 2)), np.ones(2)])


# -- seeds ---------------------------------------------------------------------------------------------------------


def test_set_random_seed_repeats_the_first_weights(backend: str) -> None:
    def drawn() -> list[np.ndarray]:
        td.utils.set_random_seed(8)
        layers = [td.layers.Dense(4), td.layers.Dense(4, kernel_initializer="he_normal")]
        for layer in layers:
            layer.build((None, 4))
        return [layer.kernel.numpy() for layer in layers]

    first = drawn()
    np.testing.assert_array_equal(first, drawn())
    assert not np.array_equal(*first)
    td.utils.set_random_seed(9)
    layer = td.layers.Dense(4)
    layer.build((None, 4))
    assert not np.array_equal(layer.kernel.numpy(), first[0])


def test_a_length_may_stand_for_the_shape_of_a_sample_with_one_axis() -> None:
    model = td.Sequential([td.layers.Dense(2, input_dim=3)])
    assert (model.built, model.input_shape) == (True, (None, 3))
    assert td.layers.Dense(2, input_dim=3, name="d").get_config()["input_shape"] == [3]
    with pytest.raises(ValueError, match=r"^layer 'd': input_dim must be an integer of at least 0, not \(3,\)"):
        td.layers.Dense(2, input_dim=(3,), name="d")
