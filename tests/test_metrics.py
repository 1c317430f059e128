"""Metrics: Keras's values batch by batch, how "accuracy" is resolved, state, weights, refusals, names."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.golden import storage
from tinygrad_dnn import metrics

SETS = [storage.load("metrics"), storage.load("metrics_more")]
GOLDEN = {name: case for golden in SETS for name, case in golden.cases.items()}
INPUTS = {name: golden.inputs for golden in SETS for name in golden.cases}
RESOLVED = sorted(name for name, case in GOLDEN.items() if case["metric"] == "accuracy")
BY_CLASS = sorted(GOLDEN.keys() - {*RESOLVED})
CLASSES = sorted({type(td.metrics.get(name)) for name in td.registry.metrics.names()}, key=lambda each: each.__name__)
BUILTIN = [each for each in CLASSES if each.__module__.startswith("tinygrad_dnn.")]


def batches(name: str, weighted: bool) -> Iterator[tuple[np.ndarray, td.Tensor, np.ndarray | None]]:
    """Yield targets, predictions and weights of each batch of a golden case."""
    case, inputs = GOLDEN[name], INPUTS[name]
    y_true, y_pred = (inputs[each] if isinstance(each, str) else each for each in (case["y_true"], case["y_pred"]))
    for batch in range(len(case["values"])):
        yield y_true[batch], td.tensor(y_pred[batch]), inputs["sample_weight"][batch] if weighted else None


def results(metric: metrics.Metric, name: str, weighted: bool) -> list[Any]:
    """Return the result after each batch of a golden case."""
    found = []
    for y_true, y_pred, weight in batches(name, weighted):
        arguments = (y_true,) if type(metric) is metrics.Mean else (y_true, y_pred)
        metric.update_state(*arguments, sample_weight=weight)
        assert metric.result().dtype == np.float32
        found.append(metric.result().numpy())
    return found


# -- Keras's values -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RESOLVED)
def test_accuracy_is_resolved_as_keras_does(backend: str, name: str) -> None:
    case = GOLDEN[name]
    resolved = metrics.resolve_accuracy(case["y_true"].shape[1:], case["y_pred"].shape[1:])
    assert resolved.__name__ == case["resolved"]
    for weighted, key in ((False, "values"), (True, "weighted_values")):
        metric = resolved(name="accuracy")
        assert metric.name == "accuracy"
        np.testing.assert_allclose(results(metric, name, weighted), case[key], rtol=1e-6)


@pytest.mark.parametrize("name", BY_CLASS)
def test_values_are_keras_s(backend: str, name: str) -> None:
    case = GOLDEN[name]
    for weighted, key in ((False, "values"), (True, "weighted_values")):
        metric = getattr(metrics, case["metric"])(**case["config"])
        found = results(metric, name, weighted)
        assert [each.shape for each in found] == [np.shape(each) for each in case[key]]
        np.testing.assert_allclose(found, case[key], rtol=2e-6, atol=1e-7)
        metric.reset_state()
        np.testing.assert_array_equal(results(metric, name, weighted), found)


@pytest.mark.parametrize("name", BY_CLASS)
def test_config_makes_a_metric_of_the_same_values(backend: str, name: str) -> None:
    case = GOLDEN[name]
    original = getattr(metrics, case["metric"])(**case["config"])
    again = metrics.get(metrics.serialize(original))
    assert again.get_config() == original.get_config()
    np.testing.assert_array_equal(results(again, name, True), results(original, name, True))


def test_all_builtins_have_golden_values() -> None:
    by_name = {case.get("resolved", case["metric"]) for case in GOLDEN.values()}
    assert {each.__name__ for each in BUILTIN} - by_name == {"Accuracy"}  # that one is tested below


def test_accuracy_compares_elements(backend: str) -> None:
    metric = metrics.Accuracy()
    metric.update_state([[1], [2], [3], [4]], [[0], [2], [3], [4]])
    assert metric.result().item() == 0.75
    metric.update_state([1.5], td.tensor([1.5]), sample_weight=[4.0])
    assert metric.result().item() == 0.875


# -- the running mean -----------------------------------------------------------------------------------------------


def test_mean_of_numbers_arrays_and_tables(backend: str) -> None:
    mean = metrics.Mean(name="loss")
    assert mean.result().item() == 0
    mean.update_state(3.0)
    assert mean.result().item() == 3
    mean.update_state(td.tensor(6.0), sample_weight=2.0)
    assert mean.result().item() == 5
    mean.update_state(np.array([1.0, 3.0, 5.0]))
    assert mean.result().item() == 4
    mean.update_state([[8.0, 12.0], [0.0, 4.0]])
    assert mean.result().item() == pytest.approx(36 / 8)
    mean.update_state([[8.0, 12.0], [0.0, 4.0]], sample_weight=[0.0, 2.0])
    assert mean.result().item() == pytest.approx(40 / 10)
    mean.update_state([0.0, 40.0], sample_weight=5.0)
    assert mean.result().item() == pytest.approx(140 / 15)


def test_weights_of_zero_make_no_nan(backend: str) -> None:
    mean = metrics.Mean()
    mean.update_state([1.0, 2.0], sample_weight=[0.0, 0.0])
    assert mean.result().item() == 0


def test_reset_begins_anew(backend: str) -> None:
    metric = metrics.SparseCategoricalAccuracy()
    metric.update_state([0], [[0.9, 0.1]])
    variables = list(metric.variables)
    metric.reset_state()
    assert metric.result().item() == 0
    assert [v.item() for v in variables] == [0, 0]
    assert all(a is b for a, b in zip(metric.variables, variables, strict=True))
    metric.update_state([0, 0], [[0.9, 0.1], [0.1, 0.9]])
    assert metric.result().item() == 0.5


def test_calling_updates_and_returns(backend: str) -> None:
    metric = metrics.MeanSquaredError()
    assert metric([[0.0]], [[2.0]]).item() == 4
    assert metric([[0.0]], [[0.0]], sample_weight=[3.0]).item() == 1
    assert metrics.Mean()([1.0, 3.0]).item() == 2


def test_an_epoch_of_many_batches_counts_exactly(backend: str) -> None:
    metric = metrics.SparseCategoricalAccuracy()
    y_pred = td.tensor(np.eye(10, dtype=np.float32)[np.arange(500) % 10])
    y_true = td.tensor(np.where(np.arange(500) % 4 == 0, 11, np.arange(500) % 10))
    for _ in range(200):
        metric.update_state(y_true, y_pred)
    assert metric.result().item() == 0.75
    assert [v.item() for v in metric.variables] == [75_000, 100_000]


def test_no_graph_is_kept(backend: str) -> None:
    y_pred = td.tensor([[0.5, 0.5]], requires_grad=True)
    metric = metrics.MeanSquaredError()
    metric.update_state([[0.0, 1.0]], y_pred * 1.0)
    assert not any(v.requires_grad for v in metric.variables)
    assert not metric.result().requires_grad
    mean = metrics.Mean()
    mean.update_state((y_pred * 1.0).sum(), sample_weight=y_pred.sum())
    assert not any(v.requires_grad for v in mean.variables)


# -- accuracies -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "float32", "float64"])
def test_classes_may_be_of_any_type(backend: str, dtype: str) -> None:
    y_pred = td.tensor(np.eye(300, dtype=np.float32)[[5, 261, 7]])
    y_true = np.array([5, 5, 7]).astype(dtype)
    for labels in (y_true, y_true[:, None], td.tensor(y_true)):
        np.testing.assert_array_equal(metrics.sparse_categorical_accuracy(labels, y_pred).numpy(), [1, 0, 1])
        found = metrics.sparse_top_k_categorical_accuracy(labels, y_pred, k=1)
        np.testing.assert_array_equal(found.numpy(), [1, 0, 1])


def test_top_k_counts_ties_and_not_nan(backend: str) -> None:
    y_pred = np.array([[0.4, 0.3, 0.3], [math.nan, 0.5, 0.5], [-1.0, -2.0, -3.0]], np.float32)
    for k, expected in {1: [0, 0, 0], 2: [1, 0, 1], 3: [1, 1, 1]}.items():
        found = metrics.sparse_top_k_categorical_accuracy([2, 0, 1], y_pred, k=k)
        np.testing.assert_array_equal(found.numpy(), expected)


def test_a_probability_at_the_threshold_counts_as_0(backend: str) -> None:
    p = np.array([[0.5], [np.nextafter(np.float32(0.5), np.float32(1))]], np.float32)
    np.testing.assert_array_equal(metrics.binary_accuracy([0, 1], p).numpy(), [1, 1])


def test_more_axes_are_averaged(backend: str) -> None:
    y_pred = np.eye(3)[np.array([[0, 1], [2, 2]])]
    metric = metrics.SparseCategoricalAccuracy()
    metric.update_state(np.array([[0, 0], [2, 2]]), y_pred)
    assert metric.result().item() == 0.75
    metric.update_state(np.array([[0, 0], [2, 2]]), y_pred, sample_weight=[2.0, 0.0])
    assert metric.result().item() == pytest.approx((1.5 + 1) / 4)


# -- refusals, own metrics, names -----------------------------------------------------------------------------------


@pytest.mark.parametrize("each", [each for each in BUILTIN if each is not metrics.Mean], ids=lambda each: each.__name__)
def test_shapes_that_do_not_fit_are_refused(backend: str, each: type[metrics.Metric]) -> None:
    with pytest.raises(ValueError, match=r"y_true has shape \(3, 2\) and y_pred \(4, 3\)"):
        each().update_state(td.zeros((3, 2)), td.zeros((4, 3)))
    with pytest.raises(ValueError, match=r"y_true has shape"):
        each().update_state(td.zeros((2, 2)), td.zeros(()))


def test_arguments_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"binary_accuracy: threshold must be a number in \[0, 1\], not 2"):
        metrics.BinaryAccuracy(threshold=2)
    with pytest.raises(ValueError, match="sparse_top_k_categorical_accuracy: k must be an integer of at least 1"):
        metrics.SparseTopKCategoricalAccuracy(k=0)
    with pytest.raises(ValueError, match=r"mean: sample_weight has shape \(3,\) and the values .* \(2,\)"):
        metrics.Mean().update_state([1.0, 2.0], sample_weight=[1.0, 1.0, 1.0])
    with pytest.raises(NotImplementedError, match="Metric does not define update_state"):
        metrics.Metric().update_state([0], [0])
    with pytest.raises(NotImplementedError, match="Metric does not define result"):
        metrics.Metric().result()


def test_own_metric_with_state_of_its_own(backend: str) -> None:
    class ConfusionMatrix(metrics.Metric):
        def __init__(self, classes: int, name: str | None = None) -> None:
            super().__init__(name=name)
            self.counts = self.add_variable((classes, classes), initializer="ones", dtype="int64", name="counts")

        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
            true, found = (td.one_hot(each, self.counts.shape[0]) for each in (y_true, td.argmax(y_pred, -1)))
            self.counts.assign(self.counts + td.cast(true.T @ found, "int64"))

        def result(self) -> td.Tensor:
            return self.counts * 1

    metric = ConfusionMatrix(2)
    assert (metric.name, metric.counts.name) == ("confusion_matrix", "confusion_matrix/counts")
    np.testing.assert_array_equal(metric.result().numpy(), [[1, 1], [1, 1]])
    metric.reset_state()
    metric.update_state([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])
    np.testing.assert_array_equal(metric.result().numpy(), [[1, 0], [1, 1]])
    assert metric.counts.dtype == np.int64


def test_type_of_state_and_result(backend: str) -> None:
    metric = metrics.MeanAbsoluteError(dtype="float64")
    metric.update_state(np.zeros((1, 1), np.float32), np.full((1, 1), 0.1, np.float32))
    assert metric.result().dtype == np.float64
    assert {v.dtype.name for v in metric.variables} == {"float64"}


@pytest.mark.parametrize("each", BUILTIN, ids=lambda each: each.__name__)
def test_config_makes_the_same_again(each: type[metrics.Metric]) -> None:
    original = each(name="own", dtype="float64")
    again = metrics.get(metrics.serialize(original))
    assert (type(again), again.name, again.dtype) == (each, "own", "float64")
    assert again.get_config() == original.get_config()


def test_config_keeps_what_is_special() -> None:
    assert metrics.BinaryAccuracy(threshold=0.7).get_config()["threshold"] == 0.7
    assert metrics.TopKCategoricalAccuracy(k=3).get_config()["k"] == 3


def test_names() -> None:
    assert type(metrics.get("mse")) is metrics.MeanSquaredError
    assert type(metrics.get("mae")) is metrics.MeanAbsoluteError
    assert type(metrics.get("acc")) is metrics.Accuracy
    for each in BUILTIN:
        name = each().name
        assert type(metrics.get(name)) is type(metrics.get(each.__name__)) is each
        assert metrics.get(name).name == name
    assert metrics.MeanMetricWrapper(metrics.binary_accuracy, threshold=0.2).name == "binary_accuracy"


def test_state_may_be_added_by_both_of_keras_s_names(backend: str) -> None:
    class Count(td.metrics.Metric):
        def __init__(self) -> None:
            super().__init__(name="count")
            self.seen = self.add_weight(name="seen", initializer="zeros")

        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
            self.seen.assign_add(len(y_true))

        def result(self) -> td.Tensor:
            return self.seen + 0

    metric = Count()
    metric.update_state(td.zeros((3, 1)), td.zeros((3, 1)))
    assert float(metric.result()) == 3
    assert metric.variables == [metric.seen]
    metric.reset_state()
    assert float(metric.result()) == 0
