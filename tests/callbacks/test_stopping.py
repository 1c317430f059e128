"""TerminateOnNaN: training ends where the loss is no number, and only there."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_dnn as td

X = np.linspace(-1, 1, 40, dtype=np.float32).reshape(10, 4)
Y = X.sum(axis=1, keepdims=True)


def network(learning_rate: float = 0.1) -> td.Sequential:
    model = td.Sequential([td.layers.Dense(1)])
    model.compile(td.optimizers.SGD(learning_rate), "mse")
    return model


@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")
def test_nan_ends_the_training_after_the_step(backend: str, capsys: pytest.CaptureFixture[str]) -> None:
    model, batches = network(1e30), []
    counting = td.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: batches.append(batch))
    history = model.fit(X, Y, batch_size=2, epochs=5, callbacks=[counting, "terminate_on_nan"], verbose=0)
    on_host = backend == "numpy"  # else the values are looked at when the epoch has ended, as it is a short one
    assert batches == ([0, 1] if on_host else [0, 1, 2, 3, 4])
    assert history.epoch == [0]
    assert not np.isfinite(history.history["loss"][0])
    where = "inf after batch 1" if on_host else "nan after epoch 1"
    assert capsys.readouterr().out.startswith(f"TerminateOnNaN: the loss is {where}; a lower learning rate")


@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")
def test_nan_may_be_an_error() -> None:
    callback = td.callbacks.TerminateOnNaN(raise_error=True)
    with pytest.raises(RuntimeError, match=r"TerminateOnNaN: the loss is (inf|nan) after (batch|epoch) 1"):
        network(1e30).fit(X, Y, batch_size=2, callbacks=[callback], verbose=0)


def test_a_number_does_not_end_it(backend: str) -> None:
    assert network().fit(X, Y, epochs=2, callbacks=[td.callbacks.TerminateOnNaN()], verbose=0).epoch == [0, 1]
    td.callbacks.TerminateOnNaN().on_train_batch_end(0, {"other": float("nan")})
