"""Training with several inputs and outputs: Keras's runs of 20 steps, and data, losses and metrics in every form."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.golden import functional_networks, storage
from tinygrad_dnn import nested

layers = td.layers
pytestmark = pytest.mark.usefixtures("backend")
GOLDEN = storage.load("functional")
RNG = np.random.default_rng(5)
A, B = RNG.normal(size=(10, 4)).astype(np.float32), RNG.normal(size=(10, 3)).astype(np.float32)
Y, Z = RNG.normal(size=(10, 2)).astype(np.float32), RNG.normal(size=(10, 1)).astype(np.float32)
W = np.arange(10, dtype=np.float32) / 5


def model(form: Any = list, **compiling: Any) -> td.Model:
    """Return two inputs, a and b, and two outputs, first and second, all weights the same each time."""
    a, b = td.Input((4,), name="a"), td.Input((3,), name="b")
    h = layers.Dense(5, activation="tanh", name="h")(layers.Concatenate(name="c")([a, b]))
    first, second = layers.Dense(2, name="first")(h), layers.Dense(1, name="second")(h)
    if form is dict:
        made = td.Model({"p": a, "q": b}, {"y": first, "z": second})
    else:
        made = td.Model(form([a, b]), form([first, second]))
    rng = np.random.default_rng(6)
    made.set_weights([rng.normal(size=w.shape) / 2 for w in made.weights])
    if compiling:
        made.compile(td.optimizers.SGD(0.1), **compiling)
    return made


def same_weights(one: td.Model, other: td.Model) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


# -- Keras's runs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", functional_networks.NETWORKS, ids=lambda network: network.__name__)
def test_twenty_steps_are_those_of_keras(network: Any) -> None:
    case = GOLDEN.cases[network.__name__]
    made, x, y, settings, fitting = network(td, GOLDEN.inputs)
    weights = functional_networks.named_weights(made)
    assert sorted(f"initial/{name}" for name in weights) == sorted(key for key in case if key.startswith("initial/"))
    for name, weight in weights.items():
        weight.assign(case[f"initial/{name}"])
    made.compile(td.optimizers.SGD(0.05, momentum=0.9), **settings)
    history = made.fit(x, y, epochs=4, batch_size=5, shuffle=False, verbose=0, **fitting).history
    assert sorted(history) == sorted(case["history"])
    for key, values in case["history"].items():
        np.testing.assert_allclose(history[key], values, rtol=2e-5, atol=1e-6, err_msg=key)
    for name, weight in weights.items():
        final = case[f"final/{name}"]
        assert np.linalg.norm(weight.numpy() - final) <= 2e-5 * np.linalg.norm(final), name
    np.testing.assert_allclose(made.evaluate(x, y, verbose=0), case["evaluate"], rtol=2e-5, atol=1e-6)
    for i, part in enumerate(nested.leaves(made.predict(x))):
        np.testing.assert_allclose(part, case[f"predict_{i}"], rtol=0, atol=2e-5)


def test_a_frozen_part_keeps_weights_and_moving_averages() -> None:
    case = GOLDEN.cases["extracted"]
    for name in ("base_1/kernel", "base_norm/gamma", "base_norm/moving_mean", "base_2/bias"):
        np.testing.assert_array_equal(case[f"initial/{name}"], case[f"final/{name}"])
    assert not np.array_equal(case["initial/classes/kernel"], case["final/classes/kernel"])


# -- forms of inputs and targets --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "x", "y"),
    [
        (list, [A, B], [Y, Z]),
        (list, (A, B), (Y, Z)),
        (list, {"b": B, "a": A}, {"second": Z, "first": Y}),
        (tuple, (A, B), (Y, Z)),
        (tuple, [A, B], [Y, Z]),
        (dict, {"q": B, "p": A}, {"z": Z, "y": Y}),
        (dict, [A, B], [Y, Z]),
    ],
)
def test_data_in_any_form_train_the_same(form: Any, x: Any, y: Any) -> None:
    expected = model(loss="mse")
    for part in (slice(0, 4), slice(4, 8), slice(8, 12)):
        expected.train_on_batch([A[part], B[part]], [Y[part], Z[part]])
    trained = model(form, loss="mse")
    trained.fit(x, y, batch_size=4, shuffle=False, verbose=0)
    assert same_weights(trained, expected)
    outputs = trained.predict(x, batch_size=4)
    assert type(outputs) is form
    assert type(trained.predict_on_batch(x)) is form
    for part, whole in zip(nested.leaves(outputs), expected.predict([A, B]), strict=True):
        np.testing.assert_allclose(part, whole, atol=1e-6)


def batches() -> Iterator[Any]:
    for start in (0, 5):
        part = slice(start, start + 5)
        yield {"a": A[part], "b": B[part]}, [Y[part], Z[part]]


def test_batches_from_a_generator_train_as_arrays_do() -> None:
    # As many batches as a generator may have would be worth machine code, which rounds otherwise.
    expected, trained = (model(loss="mse", jit_compile=False) for _ in range(2))
    history = expected.fit([A, B], [Y, Z], batch_size=5, shuffle=False, verbose=0).history
    assert trained.fit(batches(), verbose=0).history == history
    assert same_weights(trained, expected)
    np.testing.assert_allclose(trained.evaluate(batches()), expected.evaluate([A, B], [Y, Z]), rtol=1e-6)
    listed = trained.predict([(x,) for x, _ in batches()])
    np.testing.assert_array_equal(listed[1], expected.predict([A, B])[1])


def test_shuffling_keeps_the_samples_of_all_arrays_together() -> None:
    made = model(loss="mse")
    made.optimizer.learning_rate = 0.0
    order = []

    class Seen(td.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            order.append(float(logs["loss"]))

    td.random.set_seed(1)
    whole = made.fit([A, B], [Y, Z], batch_size=3, verbose=0, callbacks=Seen()).history["loss"][0]
    assert whole == pytest.approx(made.evaluate([A, B], [Y, Z])[0], rel=1e-5)
    again = made.fit([A, B], [Y, Z], batch_size=3, verbose=0, shuffle=False, callbacks=Seen()).history["loss"][0]
    assert again == pytest.approx(whole, rel=1e-5)
    assert order[:4] != pytest.approx(order[4:])


def test_the_last_part_is_split_off_all_arrays_to_validate_on() -> None:
    split, apart = model(loss="mse"), model(loss="mse")
    one = split.fit([A, B], {"first": Y, "second": Z}, validation_split=0.3, shuffle=False, verbose=0).history
    held = ({"a": A[7:], "b": B[7:]}, [Y[7:], Z[7:]])
    assert apart.fit([A[:7], B[:7]], [Y[:7], Z[:7]], validation_data=held, shuffle=False, verbose=0).history == one
    assert sorted(one) == sorted(
        ["loss", "first_loss", "second_loss", "val_loss", "val_first_loss", "val_second_loss"]
    )
    assert one["val_loss"][0] == pytest.approx(one["val_first_loss"][0] + one["val_second_loss"][0])


@pytest.mark.parametrize("form", [list, tuple])
def test_validation_data_in_any_form(form: Any) -> None:
    still = {"verbose": 0, "shuffle": False}
    expected = model(loss="mse").fit([A, B], [Y, Z], validation_data=({"a": A, "b": B}, [Y, Z]), **still).history
    pair = (form([A, B]), form([Y, Z]))
    for data, lengths in ((pair, {}), ([pair], {}), (iter([pair]), {"validation_steps": 1})):
        assert model(loss="mse").fit([A, B], [Y, Z], validation_data=data, **still, **lengths).history == expected


@pytest.mark.parametrize("given", [[A, B], (A, B), {"a": A, "b": B}])
def test_a_step_is_handed_inputs_alone_as_keras_does(given: Any) -> None:
    packed = td.data.Batch(given).packed()
    assert isinstance(packed, tuple) is not isinstance(given, dict)
    unpacked = td.data.unpack_x_y_sample_weight(packed)
    assert unpacked.x is given
    assert unpacked.y is unpacked.sample_weight is None


# -- losses, their weights, metrics -----------------------------------------------------------------------------------


def by_hand(made: td.Model, weights: np.ndarray | float = 1.0) -> tuple[float, float]:
    """Return the mean squared errors of the two outputs."""
    first, second = made.predict([A, B])
    return float((((first - Y) ** 2).mean(1) * weights).mean()), float((((second - Z) ** 2).mean(1) * weights).mean())


@pytest.mark.parametrize(
    ("loss", "loss_weights", "factors"),
    [
        ("mse", None, (1, 1)),
        (["mse", "mse"], [1, 0.5], (1, 0.5)),
        (["mse", td.losses.MeanSquaredError()], {"second": 3}, (1, 3)),
        ({"second": "mse", "first": "mse"}, {"first": 0.5, "second": 2}, (0.5, 2)),
        ("mse", 0.25, (0.25, 0.25)),
        (lambda y, p: td.mean((y - p) ** 2, -1), [2, 0], (2, 0)),
    ],
)
def test_the_loss_is_the_weighted_sum_of_those_of_the_outputs(loss: Any, loss_weights: Any, factors: Any) -> None:
    made = model(loss=loss, loss_weights=loss_weights)
    first, second = by_hand(made)
    total = factors[0] * first + factors[1] * second
    assert made.evaluate([A, B], [Y, Z]) == pytest.approx([total, first, second], rel=1e-5)
    assert made.test_on_batch([A, B], [Y, Z]) == pytest.approx([total, first, second], rel=1e-5)


@pytest.mark.parametrize(
    ("loss", "y"),
    [
        ([None, "mse"], [Y, Z]),
        ([None, "mse"], [None, Z]),
        ({"first": None, "second": "mse"}, {"second": Z}),
    ],
)
def test_an_output_without_a_loss_needs_no_targets(loss: Any, y: Any) -> None:
    made = model(loss=loss)
    untouched = made.get_layer("first").get_weights()
    history = made.fit([A, B], y, verbose=0).history
    assert list(history) == ["loss"]  # one loss is the loss
    np.testing.assert_array_equal(made.get_layer("first").get_weights()[0], untouched[0])
    assert made.evaluate([A, B], y) == pytest.approx(by_hand(made)[1], rel=1e-5)


@pytest.mark.parametrize(
    ("weights", "factors"),
    [(W, (W, W)), ([W, None], (W, 1.0)), ({"second": W}, (1.0, W)), ([W, W[::-1]], (W, W[::-1]))],
)
def test_each_output_may_have_sample_weights(weights: Any, factors: Any) -> None:
    made = model(loss="mse", metrics=[["mse"], ["mse"]], weighted_metrics={"first": ["mse"], "second": ["mae"]})
    first, second = by_hand(made, factors[0])[0], by_hand(made, factors[1])[1]
    values = made.evaluate([A, B], [Y, Z], sample_weight=weights, return_dict=True)
    assert values["loss"] == pytest.approx(first + second, rel=1e-5)
    assert (values["first_loss"], values["second_loss"]) == pytest.approx((first, second), rel=1e-5)
    assert values["first_mse"] == pytest.approx(by_hand(made)[0], rel=1e-5)
    assert values["first_weighted_mse"] == pytest.approx(first / np.mean(factors[0]), rel=1e-5)
    error = np.abs(made.predict([A, B])[1] - Z)[:, 0] * np.ones(10) * factors[1]
    assert values["second_mae"] == pytest.approx(error.mean() / np.mean(factors[1]), rel=1e-5)


@pytest.mark.parametrize(
    ("metrics", "names"),
    [
        ([["mae"], ["mse", "mae"]], ["first_mae", "second_mae", "second_mse"]),
        (["mae", "mse"], ["first_mae", "second_mse"]),
        ({"second": ["mae"]}, ["second_mae"]),
        ({"first": "mae", "second": ["mae", "mae"]}, ["first_mae", "second_mae", "second_mae_1"]),
    ],
)
def test_metrics_are_named_by_output_in_keras_s_order(metrics: Any, names: list[str]) -> None:
    made = model(loss="mse", metrics=metrics)
    values = made.test_on_batch([A, B], [Y, Z], return_dict=True)
    assert list(values) == ["loss", "first_loss", "second_loss", *names]
    assert made.train_on_batch([A, B], [Y, Z]) == pytest.approx([float(value) for value in values.values()])
    assert list(made.fit([A, B], [Y, Z], verbose=0).history) == list(values)


def test_evaluate_sorts_metrics_by_name_and_losses_by_output() -> None:
    a = td.Input((4,))
    made = td.Model(a, [layers.Dense(2, name="main")(a), layers.Dense(1, name="aux")(a)])
    made.compile("sgd", "mse", metrics=[["mse", "mae"], ["mae"]])
    values = made.evaluate(A, [Y, Z], return_dict=True)
    assert list(values) == ["loss", "main_loss", "aux_loss", "aux_mae", "main_mae", "main_mse"]
    assert made.evaluate(A, [Y, Z]) == list(values.values())


def test_a_metric_of_the_user_keeps_its_name_when_compiled_again() -> None:
    mine = td.metrics.MeanAbsoluteError(name="mine")
    made = model()
    for _ in range(2):
        made.compile("sgd", "mse", metrics=[[mine], []])
        assert "first_mine" in made.fit([A, B], [Y, Z], verbose=0).history
    assert mine.name == "mine"


def test_the_keys_of_a_dict_of_outputs_name_them() -> None:
    made = model(dict, loss={"z": "mae", "y": "mse"}, metrics={"z": ["mse"]})
    assert made.output_names == ["y", "z"]
    history = made.fit({"p": A, "q": B}, {"y": Y, "z": Z}, verbose=0).history
    assert list(history) == ["loss", "y_loss", "z_loss", "z_mse"]
    with pytest.raises(ValueError, match=r"loss: the model has no output 'first'; its outputs are \['y', 'z'\]"):
        made.compile("sgd", {"first": "mse", "second": "mse"})


def test_two_outputs_of_one_layer_are_told_apart() -> None:
    a, b = td.Input((4,)), td.Input((4,))
    shared = layers.Dense(2, name="d")
    made = td.Model([a, b], [shared(a), shared(b)])
    made.compile("sgd", ["mse", "mae"], metrics={"d_1": ["mse"]})
    values = made.test_on_batch([A, 2 * A], [Y, Y], return_dict=True)
    assert list(values) == ["loss", "d_loss", "d_1_loss", "d_1_mse"]
    assert values["loss"] == pytest.approx(values["d_loss"] + values["d_1_loss"])


def test_penalties_join_the_sum_once() -> None:
    a = td.Input((4,))
    h = layers.Dense(3, activity_regularizer=td.regularizers.L2(0.1), name="h")(a)
    made = td.Model(a, [layers.Dense(1, name="u")(h), layers.Dense(1, name="v")(h)])
    made.compile("sgd", "mse")
    total, u, v = made.evaluate(A, [Z, Z], batch_size=10)
    hidden = td.Model(a, h).predict(A)
    assert total - u - v == pytest.approx(0.1 * float((hidden**2).sum()) / 10, rel=1e-4)


class Both(td.Model):
    """Gives two outputs without being a graph."""

    def __init__(self, form: Any) -> None:
        super().__init__()
        self.form = form
        self.one, self.two = layers.Dense(2), layers.Dense(1)

    def call(self, inputs: Any) -> Any:
        a, b = inputs
        outputs = [self.one(a), self.two(b)]
        return {"y": outputs[0], "z": outputs[1]} if self.form is dict else self.form(outputs)


@pytest.mark.parametrize(
    ("form", "loss", "y", "names"),
    [
        (list, "mse", [Y, Z], ["output_0_loss", "output_1_loss"]),
        (tuple, ["mse", "mae"], [Y, Z], ["output_0_loss", "output_1_loss"]),
        (dict, {"y": "mse", "z": "mae"}, {"z": Z, "y": Y}, ["y_loss", "z_loss"]),
    ],
)
def test_a_subclass_s_outputs_are_known_by_its_first_batch(form: Any, loss: Any, y: Any, names: list[str]) -> None:
    made = Both(form)
    made.compile("sgd", loss, metrics=None)
    assert list(made.fit([A, B], y, verbose=0).history) == ["loss", *names]
    assert type(made.predict_on_batch([A, B])) is form
    outputs = list(nested.leaves(made.predict([A, B])))  # two inputs, since it was built for two, and not two batches
    np.testing.assert_allclose(outputs[0], A @ made.one.get_weights()[0] + made.one.get_weights()[1], atol=1e-5)


def test_another_length_of_the_samples_is_tried_without_touching_the_running_means() -> None:
    a = td.Input((None, 2))
    made = td.Model(a, [layers.Lambda(lambda x: td.mean(x, 1), name="m")(a), layers.Dense(1, name="d")(a)])
    made.compile("sgd", [None, "mse"])
    made.compile("sgd", ["mse", "mse"])
    made.optimizer.learning_rate = 0.0
    data = [(RNG.normal(size=(2, n, 2)), [np.zeros((2, 2)), np.zeros((2, n, 1))]) for n in (3, 4)]
    single = [made.test_on_batch(*batch)[1] for batch in data]
    assert made.evaluate(data)[1] == pytest.approx(np.mean(single), rel=1e-5)


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"loss": {"zz": "mse"}}, ValueError, r"loss: the model has no output 'zz'; its outputs are \['first', 'sec"),
        ({"loss": {"second": "mse"}}, ValueError, "loss: there is none for the output 'first'; give one, or None"),
        ({"loss": ["mse"]}, ValueError, r"loss: the model has 2 outputs, \['first', 'second'\]; give a list"),
        ({"loss": "mse", "metrics": ["mae"]}, ValueError, "metrics: the model has 2 outputs"),
        ({"loss": "mse", "metrics": {"zz": ["mae"]}}, ValueError, "metrics: the model has no output 'zz'"),
        ({"loss": "mse", "weighted_metrics": [["mae"]] * 3}, ValueError, "weighted_metrics: the model has 2 outputs"),
        ({"loss": "mse", "loss_weights": [1.0]}, ValueError, "loss_weights: the model has 2 outputs"),
        ({"loss": "mse", "loss_weights": [1.0, np.nan]}, ValueError, "loss_weights must be finite numbers, not nan"),
        ({"loss": "mse", "loss_weights": [1.0, "2"]}, ValueError, "loss_weights must be finite numbers, not '2'"),
        ({"loss": "mse", "metrics": {"first": [3]}}, TypeError, "3"),
    ],
)
def test_compile_names_what_does_not_fit_the_outputs(arguments: Any, error: Any, sentence: str) -> None:
    made = model(loss="mse")
    before = made._objectives
    with pytest.raises(error, match=sentence):
        made.compile("sgd", **arguments)
    assert made._objectives is before  # nothing has changed


def test_one_metric_cannot_count_two_outputs() -> None:
    mine = td.metrics.MeanAbsoluteError(name="mine")
    with pytest.raises(ValueError, match="metrics: 'mine' is given twice; give each output a metric of its own"):
        model(loss="mse", metrics=[[mine], [mine]])


@pytest.mark.parametrize(
    ("x", "y", "sentence"),
    [
        ([A, B], Y, r"y: the model has 2 outputs, \['first', 'second'\]; give a list of as many entries"),
        ([A, B], [Y, Z, Z], "y: the model has 2 outputs"),
        ([A, B], {"first": Y, "zz": Z}, "y: the model has no output 'zz'"),
        ([A, B], {"first": Y}, "the loss of model 'm', output 'second', needs targets, and there are none: give y"),
        ([A, B], [Y, None], "the loss of model 'm', output 'second', needs targets"),
        ([A, B], [Y, Z[:9]], r"fit: x\[0\] has 10 samples and y\[1\] has 9"),
        ([A, B[:9]], [Y, Z], r"fit: x\[0\] has 10 samples and x\[1\] has 9"),
        ([A, None], [Y, Z], r"fit: x\[1\] must be an array of numbers"),
        ({"a": A}, [Y, Z], r"model 'm' takes the inputs \['a', 'b'\] by name, and got \['a'\]"),
        ({"a": A, "zz": B}, [Y, Z], r"takes the inputs \['a', 'b'\] by name, and got \['a', 'zz'\]"),
        ([A], [Y, Z], r"model 'm' takes 2 inputs, \['a', 'b'\], and got 1"),
        ([B, A], [Y, Z], r"model 'm', input 'a' takes inputs of shape \(None, 4\) and got \(10, 3\)"),
    ],
)
def test_fit_names_what_does_not_fit_the_model(x: Any, y: Any, sentence: str) -> None:
    made = model(loss="mse")
    made.name = "m"
    made._graph.owner = "model 'm'"  # type: ignore[union-attr]
    before = made.get_weights()
    with pytest.raises(ValueError, match=sentence):
        made.fit(x, y, verbose=0)
    np.testing.assert_array_equal(made.get_weights()[0], before[0])


def test_class_weights_need_one_output() -> None:
    with pytest.raises(ValueError, match="class_weight needs one array of targets, and there are several"):
        model(loss="mse").fit([A, B], [Y, Z], class_weight={0: 1.0}, verbose=0)


def test_a_nan_in_one_of_several_arrays_is_named_by_its_place() -> None:
    bad = Z.copy()
    bad[3] = np.nan
    with pytest.raises(ValueError, match=r"fit: y\['second'\] holds nan at sample 3"):
        model(loss="mse").fit([A, B], {"first": Y, "second": bad}, verbose=0)
