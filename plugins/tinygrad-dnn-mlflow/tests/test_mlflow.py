"""The MLflow logger against a stand-in that records the calls."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

import tinygrad_dnn as td

X = np.random.default_rng(0).standard_normal((32, 3)).astype("float32")


def train(*, stop=False, epochs=3, **arguments):
    def interrupt(batch, logs=None):
        raise RuntimeError("stopped")

    model = td.Sequential([td.layers.Dense(1)])
    model.compile(td.optimizers.get("nadam", learning_rate=0.01), "mse", metrics=["mae"])
    callbacks = [td.registry.callbacks.get("mlflow", **arguments)]
    if stop:
        callbacks.append(td.callbacks.LambdaCallback(on_train_batch_end=interrupt))
    return model.fit(X, X[:, :1], epochs=epochs, validation_split=0.25, verbose=0, callbacks=callbacks).history


@pytest.fixture
def calls(monkeypatch):
    """Put a module named mlflow in its place, and return the list of what is called."""
    made, active = [], []

    def recorded(name):
        def call(*arguments, **named):
            made.append((name, arguments, named))
            if name in ("start_run", "end_run"):
                active[:] = [object()] if name == "start_run" else []

        return call

    names = ("set_tracking_uri", "set_experiment", "start_run", "end_run", "log_params", "log_metrics")
    stand_in = SimpleNamespace(active_run=lambda: active[-1] if active else None, **{n: recorded(n) for n in names})
    monkeypatch.setitem(sys.modules, "mlflow", stand_in)
    return made


def test_a_run_of_its_own(calls):
    history = train(run_name="first", experiment="small", tracking_uri="sqlite:///a.db", parameters={"data": "noise"})
    names = [name for name, _, _ in calls]
    begin = ["set_tracking_uri", "set_experiment", "start_run", "log_params"]
    assert names == [*begin, *["log_metrics"] * 3, "end_run"]
    assert calls[0][1:] == (("sqlite:///a.db",), {})
    assert calls[1][1:] == (("small",), {})
    assert calls[2][1:] == ((), {"run_name": "first"})
    (parameters,) = calls[3][1]
    assert parameters["data"] == "noise"
    assert parameters["epochs"] == 3
    assert parameters["optimizer"].startswith("nadam of tinygrad-dnn ")
    assert parameters["optimizer.beta_1"] == 0.9
    for epoch, (_, (values,), named) in enumerate(calls[4:7]):
        assert named == {"step": epoch}
        assert set(values) == {"loss", "mae", "val_loss", "val_mae", "learning_rate"}
        assert values["val_loss"] == history["val_loss"][epoch]
        assert values["learning_rate"] == pytest.approx(0.01)
        assert all(type(value) is float for value in values.values())
    assert calls[-1][1] == ("FINISHED",)


def test_an_error_fails_the_run(calls):
    with pytest.raises(RuntimeError, match="stopped"):
        train(stop=True)
    assert calls[-1][:2] == ("end_run", ("FAILED",))


def test_an_active_run_is_used_and_stays_active(calls):
    sys.modules["mlflow"].start_run()
    train(epochs=1)
    assert [name for name, _, _ in calls] == ["start_run", "log_params", "log_metrics"]


def test_mlflow_is_imported_when_training_begins(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    td.registry.callbacks.get("mlflow")
    with pytest.raises(ImportError, match="MLflowLogger needs MLflow: pip install mlflow-skinny, or mlflow"):
        train()


@td.testing.parametrize_with_checks(["mlflow"])
def test_conformance(calls, subject, check):
    outcome, message = check(subject)
    assert outcome != "failed", message
