"""What each output is to learn: the forms in which losses, weights and metrics are given, and their names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn.objectives import Objectives

pytestmark = pytest.mark.usefixtures("backend")


def pair() -> tuple[td.Tensor, td.Tensor]:
    """Return targets and outputs, whose mean squared error is 5 / 4."""
    return td.tensor(np.array([[1.0, 2.0], [3.0, 4.0]])), td.tensor(np.array([[1.0, 0.0], [3.0, 5.0]]))


def made(loss: Any = "mse", weights: Any = None, metrics: Any = None, weighted: Any = None, outputs: Any = ()) -> Any:
    return Objectives(loss, weights, metrics, weighted, outputs)


@pytest.mark.parametrize("outputs", [(), ("only",)])
def test_one_output_has_plain_names_and_no_running_mean_of_its_own(outputs: Any) -> None:
    objectives = made(metrics=["mae", "mae"], weighted=["mae", "mse"], outputs=outputs)
    assert list(objectives.named) == ["mae", "mae_1", "weighted_mae", "mse"]
    assert [one.name for one in objectives.each] == [None]
    assert objectives.each[0].tracker is None


@pytest.mark.parametrize("metrics", [["mae"], [["mae"]], {"only": ["mae"]}])
def test_metrics_of_one_output_in_any_form(metrics: Any) -> None:
    assert list(made(metrics=metrics, outputs=["only"]).named) == ["mae"]
    assert list(made({"only": "mse"}, {"only": 2}, metrics, outputs=["only"]).named) == ["mae"]


def test_a_metric_named_loss_does_not_hide_the_loss() -> None:
    assert list(made(metrics=[td.metrics.MeanAbsoluteError(name="loss")]).named) == ["loss_1"]


def test_several_outputs_prefix_their_metrics() -> None:
    objectives = made(metrics=[["mae"], ["accuracy"]], weighted={"a": ["mae"]}, outputs=["a", "b"])
    assert list(objectives.named) == ["a_loss", "b_loss", "a_mae", "a_weighted_mae", "b_accuracy"]
    assert {name: metric.name for name, metric in objectives.named.items()} == {n: n for n in objectives.named}


def test_a_name_that_has_come_before_gets_a_number() -> None:
    assert list(made(outputs=["d", "d", "d_1", "d"]).named) == ["d_loss", "d_1_loss", "d_1_1_loss", "d_2_loss"]


def test_one_loss_among_several_outputs_is_the_loss() -> None:
    assert list(made([None, "mse"], outputs=["a", "b"]).named) == []
    assert list(made([None, "mse", "mae"], outputs=["a", "b", "c"]).named) == ["b_loss", "c_loss"]


def test_outputs_are_met_when_they_come() -> None:
    _, p = pair()
    objectives = made()
    assert [one is p for one in objectives.meet([p, p])] == [True, True]
    assert list(objectives.named) == ["output_0_loss", "output_1_loss"]
    kept = objectives.each
    objectives.meet((p, p))
    assert objectives.each is kept
    objectives = made({"v": td.losses.MeanSquaredError(), "u": td.losses.MeanAbsoluteError()})
    assert objectives.each == []
    objectives.meet({"u": p, "v": p})
    assert [type(one.loss).__name__ for one in objectives.each] == ["MeanAbsoluteError", "MeanSquaredError"]


def test_the_loss_is_counted_by_update_alone() -> None:
    objectives = made(weights=[1, 10], outputs=["a", "b"])
    y, p = pair()
    (a, _, _, w), (b, *_) = objectives.pairs([y, y], [p, p], None)
    assert float(a(y, p, w)) == pytest.approx(5 / 4)
    assert float(b(y, p, w)) == pytest.approx(50 / 4)
    assert float(objectives.named["b_loss"].result()) == 0
    for _ in range(2):  # once a call, not once an update
        b.update(y, p, w)
    assert float(objectives.named["b_loss"].result()) == pytest.approx(5 / 4)
    assert float(objectives.named["b_loss"].count) == 2


def test_targets_with_or_without_a_last_axis_of_one_are_not_spread_to_pairs() -> None:
    one = made(metrics=["mae"]).each[0]
    column, row = td.tensor(np.array([[1.0], [2.0]])), td.tensor(np.array([1.0, 4.0]))
    assert float(one(row, column, None)) == float(one(td.reshape(row, (2, 1)), column, None)) == 2
    one.update(row, column, None)
    assert float(one.metrics[0].result()) == 1


def nameless() -> td.metrics.Metric:
    """Return a metric whose name is none."""
    metric = td.metrics.MeanSquaredError()
    metric.name = None  # type: ignore[assignment]
    return metric


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"loss": {"c": "mse"}}, ValueError, r"loss: the model has no output 'c'; its outputs are \['a', 'b'\]"),
        ({"loss": {"a": "mse"}}, ValueError, "loss: there is none for the output 'b'; give one, or None for no loss"),
        ({"loss": ["mse"] * 3}, ValueError, r"loss: the model has 2 outputs, \['a', 'b'\]; give a list of as many"),
        ({"weights": [True, 1]}, ValueError, "loss_weights must be finite numbers, not True"),
        ({"metrics": "mae"}, ValueError, "metrics: the model has 2 outputs"),
        ({"metrics": {"c": []}}, ValueError, "metrics: the model has no output 'c'"),
        ({"weighted": [["mae"]]}, ValueError, "weighted_metrics: the model has 2 outputs"),
        ({"metrics": "mae", "outputs": ["a"]}, TypeError, r"metrics must be a list, as \['mae'\], not 'mae' alone"),
        ({"loss": ["mse", "mse"], "outputs": ["a"]}, ValueError, "loss: the model has the output 'a'; give a list"),
        ({"loss": "no such"}, ValueError, "compile: loss: 'no such' is not a known loss"),
        ({"metrics": [["mae"], ["no such"]]}, ValueError, "compile: metrics: 'no such' is not a known metric"),
        ({"metrics": [None], "outputs": ["a"]}, TypeError, "compile: among the metrics is None"),
        ({"metrics": [nameless()], "outputs": ["a"]}, TypeError, "the name of a metric must be a text"),
    ],
)
def test_what_does_not_fit_the_outputs_is_named(arguments: Any, error: Any, sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        made(**{"outputs": ["a", "b"], **arguments})


def test_targets_are_never_one_for_all() -> None:
    objectives = made(outputs=["a", "b"])
    y, p = pair()
    with pytest.raises(ValueError, match="y: the model has 2 outputs"):
        objectives.targets(y)
    assert [one is y for one in objectives.targets({"b": y})] == [False, True]
    assert objectives.targets(None) == [None, None]
    assert [w is y for *_, w in objectives.pairs([y, y], [p, p], y)] == [True, True]
