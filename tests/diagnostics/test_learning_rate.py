"""lr_finder: the sweep, its suggestion and its end; everything is restored, whatever happens; the plot."""

from __future__ import annotations

import random as python_random
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn.diagnostics import learning_rate

pytestmark = [pytest.mark.usefixtures("backend"), pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(96, 5)).astype(np.float32)
Y = (X[:, 0] + X[:, 1] > 0).astype(np.int64)


def network(optimizer: Any = "nadam", built: bool = False) -> td.Sequential:
    model = td.Sequential(
        [
            td.layers.Dense(8, activation="elu"), td.layers.BatchNormalization(), td.layers.Dropout(0.2),
            td.layers.Dense(2, activation="softmax"),
        ]
    )  # fmt: skip
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    if built:
        model.fit(X, Y, epochs=2, verbose=0)
    return model


def everything(model: td.Sequential) -> list[Any]:
    """Return all that training changes, as plain values."""
    states = [g.state for _, parts in model._flatten() for g in parts.generators.values()]
    metrics = [v for metric in model.metrics for v in metric.variables]
    variables = [*model.weights, *model.optimizer.variables, *states, *metrics]
    return [
        [v.tolist() for v in variables], model.built, model.optimizer.get_config(), td.random.get_state(),
        python_random.getstate(), np.random.get_state()[1].tolist(),  # noqa: NPY002
    ]  # fmt: skip


def rate() -> Any:
    return td.optimizers.Nadam(td.schedulers.ExponentialDecay(0.01, 10, 0.5), use_ema=True, weight_decay=0.01)


def accumulating() -> Any:
    return td.optimizers.SGD(0.1, momentum=0.9, gradient_accumulation_steps=3)


# -- the curve ---------------------------------------------------------------------------------------------------------


def test_the_sweep_is_a_training_with_rates_growing_by_a_constant_factor() -> None:
    model = network(td.optimizers.SGD(0.5), built=True)
    given = everything(model)
    random = td.random.get_state()
    curve = td.lr_finder(model, X, Y, batch_size=32, min_lr=1e-3, max_lr=1.0, steps=7)
    assert everything(model) == given
    np.testing.assert_allclose(curve.learning_rates, 10.0 ** np.linspace(-3, 0, 7))
    # The same by hand: two passes over the three batches in random order, and one batch of a third.
    td.random.set_state(random)
    rng, losses = td.random.generator(), []
    for learning_rate_, start in zip(curve.learning_rates, [0, 32, 64] * 3, strict=False):
        if start == 0:
            order = rng.permutation(len(X))
        chosen = order[start : start + 32]
        model.optimizer.learning_rate = learning_rate_
        losses.append(model.train_on_batch(X[chosen], Y[chosen])[0])
    assert curve.losses.tolist() == losses
    average, smoothed = 0.0, []
    for count, loss in enumerate(losses, start=1):
        average = 0.9 * average + 0.1 * loss
        smoothed.append(average / (1 - 0.9**count))
    np.testing.assert_allclose(curve.smoothed, smoothed)
    assert not curve.diverged


def test_it_stops_on_divergence_and_suggests_less() -> None:
    # Of (w - 1)^2 per feature, the rate 1 is the edge: beyond it every step is longer than the one before.
    model = td.Sequential([td.layers.Dense(1, use_bias=False, kernel_initializer="zeros", input_shape=(1,))])
    model.compile("sgd", "mse")
    ones = np.ones((32, 1), np.float32)
    curve = td.lr_finder(model, ones, ones, min_lr=1e-3, max_lr=1e3, steps=25, smoothing=0.0)
    assert curve.diverged
    assert len(curve.losses) < 25
    assert curve.losses[-1] > 4 * curve.losses.min()
    assert 1 < curve.learning_rates[-1] < 10
    # The loss is the product of (1 - 2 eta)^2 so far; its steepest fall per factor of eta has a known place.
    product = np.concatenate([[1.0], np.cumprod((1 - 2 * curve.learning_rates[:-1]) ** 2)])
    np.testing.assert_allclose(curve.losses, product, rtol=1e-3)
    assert curve.suggestion == curve.learning_rates[np.argmin(np.gradient(product[: np.argmin(product) + 1]))]


def test_nan_ends_the_sweep() -> None:
    model = network(td.optimizers.SGD())
    curve = td.lr_finder(model, X, Y, min_lr=1.0, max_lr=1e30, steps=40, divergence=float("inf"))
    assert curve.diverged
    assert not np.isfinite(curve.losses[-1])
    assert np.isfinite(curve.losses[:-1]).all()


def test_a_loss_that_only_rises_has_no_suggestion() -> None:
    class Rising(td.Sequential):
        def train_step(self, data: Any) -> dict[str, Any]:
            super().train_step(data)
            return {"loss": 1.0 + float(self.optimizer.learning_rate)}

    model = Rising([td.layers.Dense(1)])
    model.compile("sgd", "mse")
    assert td.lr_finder(model, X, Y[:, None], max_lr=0.1, steps=20).suggestion is None


def test_the_suggestion_trains_well() -> None:
    (x, y), _ = td.datasets.sample.load_data()
    x, y = (x[:1024].reshape(1024, -1) / 255.0).astype(np.float32), y[:1024]

    def fitted(learning_rate: float | None) -> float:
        td.utils.set_random_seed(3)
        model = td.Sequential(
            [td.layers.Dense(32, activation="elu", input_shape=(784,)), td.layers.Dense(10, activation="softmax")]
        )
        model.compile(td.optimizers.SGD(), "sparse_categorical_crossentropy")
        model.optimizer.learning_rate = learning_rate or td.lr_finder(model, x, y).suggestion
        return model.fit(x, y, epochs=2, verbose=0).history["loss"][-1]

    assert fitted(None) < min(fitted(1e-3), fitted(1.0))


# -- everything is restored --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["nadam", rate, accumulating])
@pytest.mark.parametrize("built", [False, True])
def test_training_goes_on_as_if_nothing_had_been(optimizer: Any, built: bool) -> None:
    def histories(sweep: bool) -> Any:
        td.utils.set_random_seed(5)
        model = network(optimizer() if callable(optimizer) else optimizer, built)
        before = everything(model)
        if sweep:
            td.lr_finder(model, X, Y, steps=12)
        assert everything(model) == before
        return model.fit(X, Y, epochs=2, verbose=0).history, model.get_weights()

    expected, weights = histories(False)
    history, others = histories(True)
    assert history == expected
    for one, other in zip(weights, others, strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_error_in_a_step_restores_too() -> None:
    class Failing(td.Sequential):
        steps = 0

        def train_step(self, data: Any) -> dict[str, Any]:
            self.steps += 1
            if self.steps == 5:
                raise RuntimeError("out of luck")
            return super().train_step(data)

    model = Failing([td.layers.Dense(2, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    before = everything(model)
    with pytest.raises(RuntimeError, match="out of luck"):
        td.lr_finder(model, X, Y)
    assert everything(model) == before
    assert model.steps == 0


def test_ctrl_c_restores_too(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network(built=True)
    before, steps = everything(model), []
    step = learning_rate._step

    def interrupted(*args: Any) -> float:
        steps.append(args)
        if len(steps) == 3:
            signal.raise_signal(signal.SIGINT)
        return step(*args)

    monkeypatch.setattr(learning_rate, "_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        td.lr_finder(model, X, Y)
    assert len(steps) == 3
    assert everything(model) == before


def test_a_ctrl_c_while_restoring_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network(built=True)
    before = everything(model)
    restore = learning_rate.Snapshot.restore

    def interrupted(self: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        restore(self)

    monkeypatch.setattr(learning_rate.Snapshot, "restore", interrupted)
    with pytest.raises(KeyboardInterrupt):
        td.lr_finder(model, X, Y, steps=2)
    assert everything(model) == before


def test_what_a_models_own_step_changes_is_restored() -> None:
    class Own(td.Sequential):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self.second = td.optimizers.Adam(0.1)
            self.seen: list[float] = []
            self.means = {"loss": td.metrics.Mean()}

        def train_step(self, data: Any) -> dict[str, Any]:
            values = super().train_step(data)
            self.second.apply([td.ones_like(w) for w in self.trainable_weights], self.trainable_weights)
            self.seen.append(python_random.random() + np.random.random())  # noqa: NPY002
            self.means["loss"].update_state(values["loss"])
            self.noted = True
            return values

    model = Own([td.layers.Dense(2, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    before, seen = everything(model), model.seen
    td.lr_finder(model, X, Y, steps=4)
    assert everything(model) == before
    assert seen is model.seen
    assert seen == []
    assert not hasattr(model, "noted")
    assert len(model.second.variables) == 2
    assert float(model.means["loss"].result()) == 0


# -- the plot ----------------------------------------------------------------------------------------------------------


def test_plot_writes_a_picture_or_draws_on_axes(tmp_path: Path) -> None:
    figure = pytest.importorskip("matplotlib.figure")
    curve = td.lr_finder(network(), X, Y, steps=30)
    curve.plot(tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes()[:4] == b"\x89PNG"
    given = figure.Figure().add_subplot()
    assert curve.plot(given) is given
    lines = {line.get_label(): line.get_xydata() for line in given.lines}
    np.testing.assert_array_equal(lines["smoothed"], np.stack([curve.learning_rates, curve.smoothed], axis=1))
    assert f"suggestion: {curve.suggestion:.1e}" in lines
    assert given.get_xscale() == "log"


def test_plot_of_a_sweep_that_only_failed() -> None:
    pytest.importorskip("matplotlib")
    nan = np.array([np.nan])
    axes = td.diagnostics.LearningRateCurve(np.array([1.0]), nan, nan, None, True).plot()
    assert len(axes.lines) == 2


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kwargs", "sentence"),
    [
        ({"min_lr": 0.0}, "min_lr must be a number above 0, not 0.0"),
        ({"min_lr": float("nan")}, "min_lr must be a number above 0, not nan"),
        ({"min_lr": 1e-3, "max_lr": 1e-3}, "max_lr must be a number above min_lr=0.001, not 0.001"),
        ({"max_lr": float("inf")}, "max_lr must be a number above min_lr=1e-06, not inf"),
        ({"steps": 1}, "steps must be an integer of at least 2, not 1"),
        ({"smoothing": 1.0}, "smoothing must be a number in [0, 1), not 1.0"),
        ({"divergence": 1.0}, "divergence must be a number above 1, not 1.0"),
        ({"min_lr": "low"}, "min_lr must be a number above 0, not 'low'"),
        ({"batch_size": 0}, "batch_size must be an integer of at least 1, not 0"),
    ],
)
def test_an_argument_out_of_its_range_is_refused(kwargs: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match="lr_finder: .*" + re.escape(sentence)):
        td.lr_finder(network(), X, Y, **kwargs)


def test_what_is_no_compiled_model_or_no_array_is_refused() -> None:
    with pytest.raises(TypeError, match="lr_finder: it takes a model, not Dense"):
        td.lr_finder(td.layers.Dense(1), X, Y)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match=r"lr_finder: the model 'raw' is not compiled; call model\.compile"):
        td.lr_finder(td.Sequential([td.layers.Dense(1)], name="raw"), X, Y)
    with pytest.raises(ValueError, match="lr_finder: x must be an array, not batches"):
        td.lr_finder(network(), iter([(X, Y)]))
    with pytest.raises(ValueError, match="lr_finder: x has 96 samples and y has 3"):
        td.lr_finder(network(), X, Y[:3])


def test_a_step_without_a_loss_is_refused() -> None:
    class Silent(td.Sequential):
        def train_step(self, data: Any) -> dict[str, Any]:
            return {"other": super().train_step(data)["loss"]}

    model = Silent([td.layers.Dense(2, activation="softmax")], name="silent")
    model.compile("adam", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=r"train_step of model 'silent' returns no 'loss', only \['other'\]"):
        td.lr_finder(model, X, Y)
