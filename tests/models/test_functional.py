"""Model(inputs, outputs): graphs of layers, shared and nested ones, parts of others; copies, freeing, summaries."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td

layers = td.layers
pytestmark = pytest.mark.usefixtures("backend")
RNG = np.random.default_rng(3)
A, B = RNG.normal(size=(6, 4)).astype(np.float32), RNG.normal(size=(6, 3)).astype(np.float32)


def residual(name: str = "residual") -> td.Model:
    x = td.Input((4,), name="x")
    h = layers.Add(name="sum")([x, layers.Dense(4, activation="tanh", name="inner")(x)])
    return td.Model(x, layers.Dense(2, name="out")(h), name=name)


def siamese() -> td.Model:
    a, b = td.Input((4,), name="a"), td.Input((4,), name="b")
    shared = layers.Dense(3, name="shared")
    return td.Model([a, b], layers.Subtract(name="apart")([shared(a), shared(b)]), name="siamese")


def two_by_two(form: Any = list) -> td.Model:
    a, b = td.Input((4,), name="a"), td.Input((3,), name="b")
    h = layers.Concatenate(name="both")([a, b])
    ends = form([layers.Dense(2, name="first")(h), layers.Dense(1, name="second")(h)])
    return td.Model(form([a, b]), ends, name="two")


def close(actual: Any, expected: Any) -> None:
    np.testing.assert_allclose(actual.detach().numpy(), expected, atol=1e-5)


# -- what a graph computes --------------------------------------------------------------------------------------------


def test_a_residual_block_adds_what_it_was_given() -> None:
    model = residual()
    w, b, v, c = model.get_weights()
    close(model(A), (A + np.tanh(A @ w + b)) @ v + c)
    assert (model.input_shape, model.output_shape) == ((None, 4), (None, 2))
    assert [layer.name for layer in model.layers] == ["x", "inner", "sum", "out"]
    assert model.built
    assert model.count_params() == 4 * 4 + 4 + 4 * 2 + 2


def test_operators_between_symbolic_tensors_are_layers() -> None:
    x = td.Input((4,))
    y = layers.Dense(4, name="d")(x)
    model = td.Model(x, -((1 - x) * y + x / 2 - y**2))
    d = A @ model.get_layer("d").get_weights()[0]
    close(model(A), -((1 - A) * d + A / 2 - d**2))


def test_a_layer_that_is_called_twice_has_its_weights_once_and_their_gradients_add_up() -> None:
    model = siamese()
    (kernel, bias), pair = model.weights, [A, A[::-1].copy()]
    close(model(pair), (A - A[::-1]) @ kernel.numpy())
    grads = td.grad(td.sum(model(pair) ** 2), [kernel, bias])
    apart = A - A[::-1]
    close(grads[0], 2 * apart.T @ (apart @ kernel.numpy()))
    close(grads[1], np.zeros(3))  # the bias is in both, once added and once subtracted


def test_a_layer_in_two_models_learns_in_both() -> None:
    shared = layers.Dense(3, name="shared")
    models = []
    for _ in range(2):
        x = td.Input((4,))
        models.append(td.Model(x, layers.Dense(1)(shared(x))))
        models[-1].compile("sgd", "mse")
    for model in models:
        before = shared.get_weights()[0]
        model.fit(A, np.ones((6, 1)), verbose=0)
        assert not np.array_equal(shared.get_weights()[0], before)
    assert shared.output.call.inputs is models[0].input  # of its first call


@pytest.mark.parametrize("row", [True, False])
def test_models_are_layers_of_models_shared_like_them(row: bool) -> None:
    inner = td.Sequential([layers.Dense(4, activation="tanh")], name="inner") if row else residual("inner")
    a, b = td.Input((4,)), td.Input((4,))
    model = td.Model([a, b], layers.Add()([inner(a), inner(b)]))
    assert [type(layer) for layer in model.layers] == [layers.InputLayer] * 2 + [type(inner), layers.Add]
    assert [w.path for w in model.weights] == [w.path for w in inner.weights]
    close(model([A, 2 * A]), inner(A).numpy() + inner(2 * A).numpy())


def test_a_part_of_a_model_extracts_features() -> None:
    row = td.Sequential([td.Input((4,)), layers.Dense(5, activation="elu"), layers.Dense(3), layers.Dense(1)])
    for base in (row, residual()):
        features = td.Model(base.input, base.layers[-2].output)
        last = base.layers[-1]
        close(features(A) @ last.kernel + last.bias, base.predict(A))
        assert td.Model(base.inputs, base.outputs)(A).shape == base(A).shape


def test_a_symbolic_tensor_inside_may_be_the_input() -> None:
    base = residual()
    tail = td.Model(base.get_layer("sum").output, base.output)
    assert [layer.name for layer in tail.layers] == ["out"]
    assert tail.input_shape == (None, 4)
    hidden = td.Model(base.input, base.get_layer("sum").output)
    close(tail(hidden(A)), base.predict(A))
    for other in (copy.deepcopy(tail), td.models.clone_model(tail)):
        other.set_weights(tail.get_weights())
        close(other(hidden(A)), base.predict(A))


class Twice(layers.Layer):
    """Gives two and three times its inputs."""

    def call(self, inputs: Any) -> Any:
        return [2 * inputs, 3 * inputs]


def test_of_two_outputs_of_a_call_one_may_be_an_input() -> None:
    x = td.Input((4,))
    two, three = Twice()(x)
    for model in (td.Model([x, two], three + two), td.Model([two, x], three + two)):
        data = [A, A + 1] if model.inputs[0] is x else [A + 1, A]
        close(copy.deepcopy(model)(data), model(data).numpy())
        close(model(data), 3 * A + A + 1)


def test_an_input_may_be_an_output_and_one_may_go_unused() -> None:
    x, unused = td.Input((4,)), td.Input((2,), name="unused")
    model = td.Model([x, unused], [x, layers.Dense(1)(x)])
    outputs = model([A, B[:, :2]])
    close(outputs[0], A)
    assert outputs[1].shape == (6, 1)
    assert [layer.name for layer in model.layers][1] == "unused"


def test_a_graph_computes_in_the_type_of_its_inputs() -> None:
    x = td.Input((4,), dtype="float64")
    model = td.Model(x, layers.Dense(2, dtype="float64", name="d")(x * 3) / 7)
    data = RNG.normal(size=(6, 4))
    outputs = model(data)
    assert outputs.dtype == model.dtype == "float64"
    np.testing.assert_allclose(outputs.numpy(), data * 3 @ model.get_weights()[0] / 7, rtol=1e-12)
    assert td.models.clone_model(model)(data).dtype == "float64"


def test_integers_go_in_as_they_are() -> None:
    x = td.Input((4,), dtype="int32")
    model = td.Model(x, [x, (x / 2) * 3])
    same, half = model(np.arange(8, dtype=np.int32).reshape(2, 4))
    assert same.dtype == "int32"
    np.testing.assert_allclose(half.numpy().ravel(), np.arange(8) * 1.5)


@pytest.mark.parametrize("form", [list, tuple])
def test_outputs_come_in_the_form_they_were_given(form: Any) -> None:
    model = two_by_two(form)
    for inputs in ([A, B], (A, B), {"b": B, "a": A}):
        outputs = model(inputs)
        assert type(outputs) is form
        close(outputs[1], two_by_hand(model)[1])
    assert model.input_shape == form([(None, 4), (None, 3)])
    assert model.output_shape == form([(None, 2), (None, 1)])
    assert (model.input_names, model.output_names) == (["a", "b"], ["first", "second"])


def two_by_hand(model: td.Model) -> list[np.ndarray]:
    h = np.concatenate([A, B], 1)
    return [h @ layer.get_weights()[0] for layer in model.layers[-2:]]


def test_a_list_of_one_is_that_one() -> None:
    x = td.Input((4,))
    for inputs, outputs in (([x], [layers.Dense(2)(x)]), ((x,), (layers.Dense(2)(x),))):
        model = td.Model(inputs=inputs, outputs=outputs)
        assert (model.input_shape, model.output_shape) == ((None, 4), (None, 2))
        assert (model.inputs, model.outputs) == (list(inputs), list(outputs))
        for data in (A, [A]):
            assert model(data).shape == (6, 2)
        assert model.predict(A).shape == (6, 2)
    assert set(td.Model(x, {"y": layers.Dense(2)(x)}).predict(A)) == {"y"}


def test_a_subclass_may_be_a_graph(capsys: pytest.CaptureFixture[str]) -> None:
    class Small(td.Model):
        def __init__(self, units: int) -> None:
            x = td.Input((4,))
            super().__init__(inputs=x, outputs=layers.Dense(units, name="d")(x), name="small")
            self.extra = layers.Dense(1)

        def train_step(self, data: Any) -> dict[str, Any]:
            return {**super().train_step(data), "steps": td.ones(())}

    model = Small(2)
    assert model(A).shape == (6, 2)
    assert model.built
    model.summary()
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["d", "(Dense)", "(None,", "2)", "10"] in rows
    assert any(row[-3:] == ["?", "not", "built"] for row in rows)
    model.compile("sgd", "mse")
    assert model.train_on_batch(A, B[:, :2], return_dict=True)["steps"] == 1
    with pytest.raises(ValueError, match="'small' of class Small cannot be made again"):
        td.models.clone_model(model)


def test_a_subclass_without_call_or_graph_is_named() -> None:
    class Empty(td.Model):
        pass

    with pytest.raises(NotImplementedError, match=r"model 'e' of class Empty must define call\(inputs\), or be made"):
        Empty(name="e")(A)


# -- training mode, streams, losses, freezing -------------------------------------------------------------------------


def test_a_mode_that_is_fixed_in_the_graph_holds_whatever_is_said_around_it() -> None:
    x = td.Input((100,))
    always, usual = layers.Dropout(0.5, name="always"), layers.Dropout(0.5, name="usual")
    model = td.Model(x, [always(x, training=True), usual(x), layers.Dropout(0.5)(x, training=False)])
    ones = np.ones((4, 100))
    for mode, dropped in ((False, [True, False, False]), (True, [True, True, False]), (None, [True, False, False])):
        assert [bool((y == 0).any()) for y in model(ones, training=mode)] == dropped
    inner = td.Sequential([layers.Dropout(0.5)])
    assert bool((td.Model(x, inner(x, training=True))(ones) == 0).any())


def noisy(names: Any = ("p", "q")) -> td.Model:
    made = {name: layers.Dropout(0.5, name=name) for name in sorted(names)}  # made in another order than called
    x = td.Input((50,))
    return td.Model(x, [made[name](x) for name in names])


def test_masks_go_by_the_place_in_the_graph() -> None:
    ones = np.ones((2, 50))
    td.random.set_seed(1)
    expected = [y.numpy() for y in noisy(("p", "q"))(ones, training=True)]
    td.random.set_seed(1)
    actual = [y.numpy() for y in noisy(("q", "p"))(ones, training=True)]
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(*expected)


def test_a_part_of_a_model_leaves_the_whole_its_masks() -> None:
    ones = np.ones((2, 50))
    td.random.set_seed(1)
    one, other = noisy(), noisy()
    for model in (one, other):
        model(ones, training=True)
    part = td.Model(one.input, one.get_layer("q").output)
    later, expected = one(ones, training=True), other(ones, training=True)
    for mask, same in zip(later, expected, strict=True):
        np.testing.assert_array_equal(mask.numpy(), same.numpy())
    assert part(ones, training=True).shape == (2, 50)


def test_models_inside_get_streams_of_their_own() -> None:
    x = td.Input((50,))
    rows = [td.Sequential([td.Input((50,)), layers.Dropout(0.5)]) for _ in range(2)]
    first, second = td.Model(x, [row(x) for row in rows])(np.ones((2, 50)), training=True)
    assert not np.array_equal(first.numpy(), second.numpy())


def test_penalties_of_layers_inside_are_counted_once_a_call() -> None:
    class Penalty(layers.Layer):
        def call(self, inputs: Any) -> Any:
            self.add_loss(td.mean(inputs))
            return inputs

    x = td.Input((4,))
    shared = layers.Dense(4, activity_regularizer=td.regularizers.L2(0.5), kernel_regularizer="l2", name="d")
    model = td.Model(x, Penalty()(shared(shared(x))))
    assert model.losses[1:] == []  # building added nothing but the kernel's
    d = shared
    once = d(A).numpy()
    twice = model(A).numpy()
    values = sorted(float(loss) for loss in model.losses)
    kernel = 0.01 * float((d.kernel.numpy() ** 2).sum())
    activities = [0.5 * float((y**2).sum()) / 6 for y in (once, twice)]
    assert values == pytest.approx(sorted([kernel, *activities, float(twice.mean())]), rel=1e-4)


def test_batch_normalisation_inside_moves_in_training_alone() -> None:
    x = td.Input((4,))
    norm = layers.BatchNormalization(momentum=0.5)
    model = td.Model(x, norm(x))
    before = norm.moving_mean.numpy()
    model(A)
    np.testing.assert_array_equal(norm.moving_mean.numpy(), before)
    close(td.mean(model(A, training=True), 0), np.zeros(4))
    np.testing.assert_allclose(norm.moving_mean.numpy(), A.mean(0) / 2, atol=1e-6)


def test_frozen_layers_stay_as_they_are() -> None:
    model = residual()
    model.get_layer("inner").trainable = False
    assert [w.path for w in model.trainable_weights] == ["out/kernel", "out/bias"]
    model.compile("sgd", "mse")
    before = model.get_weights()
    model.fit(A, B[:, :2], verbose=0)
    changed = [not np.array_equal(*pair) for pair in zip(before, model.get_weights(), strict=True)]
    assert changed == [False, False, True, True]


# -- clones and copies ------------------------------------------------------------------------------------------------


def nested_model() -> td.Model:
    a, b = td.Input((4,), name="a"), td.Input((4,), name="b")
    inner, row = residual(), td.Sequential([layers.Dense(2), layers.BatchNormalization()], name="row")
    h = layers.Concatenate()([inner(a), row(a), row(b), inner(b)])
    y = layers.Dropout(0.5)(layers.Lambda(lambda x, by: x * by, arguments={"by": 2.0})(h), training=False)
    return td.Model({"a": a, "b": b}, {"u": layers.Dense(1, name="u")(y), "v": y + np.ones(8, np.float32)}, name="nest")


@pytest.mark.parametrize("make", [residual, siamese, two_by_two, nested_model])
def test_a_clone_is_the_same_graph_of_new_layers(make: Any) -> None:
    model = make()
    clone = td.models.clone_model(model)
    assert type(clone) is td.Model
    assert [layer.name for layer in clone.layers] == [layer.name for layer in model.layers]
    assert [w.path for w in clone.weights] == [w.path for w in model.weights]
    assert not {id(w) for w in clone.weights} & {id(w) for w in model.weights}
    assert not any(layer in model.layers for layer in clone.layers)
    assert (clone.name, clone.input_shape, clone.output_shape) == (model.name, model.input_shape, model.output_shape)
    same_outputs(clone, model, with_weights=True)


def same_outputs(one: td.Model, other: td.Model, with_weights: bool = False) -> None:
    if with_weights:
        one.set_weights(other.get_weights())
    data = [np.resize(A, (6, *shape[1:])) for shape in td.nested.leaves(other.input_shape, layers.arguments.is_shape)]
    for actual, expected in zip(
        td.nested.leaves(one.predict(data)), td.nested.leaves(other.predict(data)), strict=True
    ):
        np.testing.assert_array_equal(actual, expected)


def by_pickle(model: td.Model) -> td.Model:
    return pickle.loads(pickle.dumps(model))  # type: ignore[no-any-return]  # noqa: S301  # just written


def without_lambda() -> td.Model:
    a, b = td.Input((4,), name="a"), td.Input((4,), name="b")
    inner, row = residual(), td.Sequential([layers.Dense(2), layers.BatchNormalization()], name="row")
    return td.Model((a, b), {"y": layers.Add()([inner(a), row(b), row(a)]) * 2.0, "a": a})


@pytest.mark.parametrize("make", [residual, siamese, two_by_two, without_lambda])
@pytest.mark.parametrize("copied", [copy.deepcopy, by_pickle])
def test_a_copy_is_a_graph_of_its_own(backend: str, make: Any, copied: Any) -> None:
    if backend != "numpy" and copied is by_pickle:
        copied = copy.deepcopy  # pickle is for arrays of the host
    model = make()
    model.compile("adam", "mse")
    other = copied(model)
    assert [layer.name for layer in other.layers] == [layer.name for layer in model.layers]
    assert (other.input_names, other.output_names) == (model.input_names, model.output_names)
    assert (other.input_shape, other.output_shape) == (model.input_shape, model.output_shape)
    same_outputs(other, model)
    other.set_weights([w + 1 for w in other.get_weights()])
    assert not np.array_equal(other.get_weights()[0], model.get_weights()[0])
    # Its layers know their place in it.
    last = other.outputs[0].call.layer
    assert last is not model.outputs[0].call.layer
    assert td.Model(other.input, last.output).output_shape == last.output.shape
    assert td.Model(other.inputs, other.outputs).count_params() == model.count_params()
    same_outputs(copied(other), other)


def test_models_that_share_layers_share_them_in_a_copy() -> None:
    base = residual()
    part = td.Model(base.input, base.get_layer("sum").output)
    other, other_part = copy.deepcopy([base, part])
    assert other_part.get_layer("inner") is other.get_layer("inner")
    np.testing.assert_array_equal(other_part.predict(A), part.predict(A))


@pytest.mark.parametrize("graph", [True, False])
def test_three_hundred_layers_are_copied(graph: bool) -> None:
    stack = [layers.Dense(1, name=f"d{i}") for i in range(300)]
    x = y = td.Input((1,), name="x")
    if graph:
        for layer in stack:
            y = layer(y)
        model = td.Model(x, y)
    else:
        model = td.Sequential([x, *stack])
    other = copy.deepcopy(model)
    assert td.Model(other.input, other.get_layer("d298").output).count_params() == 2 * 299
    assert td.models.clone_model(model).count_params() == 600


def test_a_model_is_freed_by_the_count_of_its_references() -> None:
    gc.collect()
    gc.disable()
    try:
        for make in (residual, siamese, two_by_two, nested_model):
            for then in (lambda made: made, copy.deepcopy, td.models.clone_model):
                model = then(make())
                gone = [weakref.ref(model), *map(weakref.ref, model.layers), weakref.ref(model.outputs[0].call)]
                del model
                assert [ref() for ref in gone] == [None] * len(gone)
    finally:
        gc.enable()


# -- what models are used for -----------------------------------------------------------------------------------------


def test_an_ensemble_of_graphs_averages_them() -> None:
    first, second = two_by_two_summed(), two_by_two_summed()
    both = td.models.Ensemble([first, second])
    expected = (first.predict([A, B]) + second.predict([A, B])) / 2
    np.testing.assert_allclose(both([A, B]).numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(both.predict([A, B]), expected, atol=1e-6)
    a, b = td.Input((4,)), td.Input((3,))
    np.testing.assert_allclose(td.Model([a, b], both([a, b])).predict([A, B]), expected, atol=1e-6)


def two_by_two_summed(rate: float = 0.0) -> td.Model:
    a, b = td.Input((4,)), td.Input((3,))
    h = layers.Dropout(rate)(layers.Concatenate()([a, b]))
    return td.Model([a, b], layers.Dense(1)(h))


def test_dropout_stays_on_in_a_graph_for_the_uncertainty() -> None:
    mean, std, _ = td.mc_dropout(two_by_two_summed(0.5), [A, B], n=4)
    assert mean.shape == (6, 1)
    assert bool((std > 0).all())
    a = td.Input((4,))
    with pytest.raises(ValueError, match="mc_dropout: model 'm' has several outputs: make a Model of its inputs and"):
        td.mc_dropout(td.Model(a, [layers.Dropout(0.5)(a), a], name="m"), A, n=2)


def test_the_learning_rate_of_a_graph_is_found_and_nothing_changed() -> None:
    model = two_by_two()
    model.compile("sgd", "mse")
    before = model.get_weights()
    curve = td.lr_finder(model, [A, B], [B[:, :2], B[:, :1]], steps=8)
    assert len(curve.losses) >= 2
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_summary_of_a_graph_says_what_is_connected(capsys: pytest.CaptureFixture[str]) -> None:
    siamese().summary()
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "Layer (type) Output shape Parameters Connected to" in lines
    at = next(i for i, line in enumerate(lines) if line.startswith("shared (Dense)"))
    assert lines[at] == "shared (Dense) (None, 3) 15 a"
    assert lines[at + 1] == "b"  # its second call
    assert "apart (Subtract) (None, 3) 0 shared, shared" in lines
    assert sum("shared (Dense)" in line for line in lines) == 1
    assert "a (InputLayer) (None, 4) 0" in lines
    assert any(line.startswith("Parameters: 15 ") for line in lines)


def test_the_summary_of_a_plain_row_has_no_such_column(capsys: pytest.CaptureFixture[str]) -> None:
    x = td.Input((4,))
    td.Model(x, layers.Dense(1)(layers.Dense(3)(x))).summary()
    assert "Connected" not in capsys.readouterr().out
    two_by_two().summary()
    assert "both (Concatenate)" in capsys.readouterr().out


# -- what is refused --------------------------------------------------------------------------------------------------


def refused(make: Any) -> Any:
    x, other = td.Input((4,), name="x"), td.Input((4,), name="other")
    d = layers.Dense(2, name="d")(x)
    return make(x, other, d)


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda x, o, d: td.Model(o, d, name="m"), ValueError,
         r"model 'm': an output depends on the Input 'x', which is not among the inputs \['other'\]: add it there"),
        (lambda x, o, d: td.Model(A, d, name="m"), TypeError, "model 'm': inputs must be what Input and layers called"),
        (lambda x, o, d: td.Model(x, 3, name="m"), TypeError, "model 'm': outputs must be .*, not 3"),
        (lambda x, o, d: td.Model(x, name="m"), TypeError, "model 'm': outputs must be .*, not None"),
        (lambda x, o, d: td.Model(outputs=d, name="m"), TypeError, "model 'm': inputs must be .*, not None"),
        (lambda x, o, d: td.Model([], d, name="m"), ValueError, "model 'm': inputs is empty"),
        (lambda x, o, d: td.Model([x, x], d, name="m"), ValueError, "model 'm': the input 'x' is given twice"),
        (lambda x, o, d: td.Model(x, layers.Dense(2, name="d")(d), name="m"), ValueError,
         "model 'm' has two layers named 'd': give each another name"),
        (lambda x, o, d: td.Model([x, td.Input((2,), name="x")], d, name="m"), ValueError, "two layers named 'x'"),
        (lambda x, o, d: td.Model(x, d, name="m")([x, o]), ValueError, "model 'm' takes one input, 'x', and got 2"),
        (lambda x, o, d: td.Model([x, o], d, name="m")(x), ValueError, r"takes 2 inputs, \['x', 'other'\], and got 1"),
        (lambda x, o, d: td.Model(x, d, name="m")(td.Input((3,))), ValueError, r"shape \(None, 4\) and got"),
        (lambda x, o, d: td.Model([x, o], d, name="m")(A, A), TypeError,
         r"model 'm' takes its inputs in one argument, several in a list or dict: model\(\[a, b\]\)"),
        (lambda x, o, d: td.Model(x, d, name="m")({"z": A}), ValueError, r"inputs \['x'\] by name, and got \['z'\]"),
        (lambda x, o, d: td.Model(x, d, name="m")(A[:, :2]), ValueError,
         r"model 'm' takes inputs of shape \(None, 4\) and got \(6, 2\): the first axis is the batch"),
        (lambda x, o, d: td.Sequential([d]), TypeError, "layer"),
        (lambda x, o, d: td.Sequential([layers.Dense(1)])([x, o]), ValueError, "takes one input and got several"),
    ],
)  # fmt: skip
def test_what_makes_no_graph_is_named(make: Any, error: Any, sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        refused(make)
