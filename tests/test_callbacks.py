"""Callbacks: when each is called and with what, early stopping as Keras's, and what is shown while training."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.golden import storage

GOLDEN = storage.load("callbacks")
STOPPING = [name for name in GOLDEN.cases if name.startswith("early_stopping_")]
X = np.linspace(-1, 1, 40, dtype=np.float32).reshape(10, 4)
Y = X.sum(axis=1, keepdims=True)
EarlyStopping = td.callbacks.EarlyStopping


def network() -> td.Sequential:
    model = td.Sequential([td.layers.Dense(1)])
    model.compile(td.optimizers.SGD(0.1), "mse", metrics=["mae"])
    return model


class Noting(td.callbacks.Callback):
    """Notes each call: its moment, its number, and the keys of its logs."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []


def _note(moment: str) -> Any:
    def method(self: Noting, *args: Any, **kwargs: Any) -> None:
        *numbers, logs = args
        self.calls.append((moment, *numbers, *logs))

    return method


for _moment in {name for name in dir(td.callbacks.Callback) if name.startswith("on_")} - {"on_resume", "on_progress"}:
    setattr(Noting, _moment, _note(_moment.removeprefix("on_")))


# -- who is called, when, with what ------------------------------------------------------------------------------------


def test_fit_calls_in_keras_order(backend: str) -> None:
    noting = Noting()
    network().fit(X, Y, batch_size=5, epochs=2, validation_data=(X, Y), callbacks=[noting], verbose=0)
    values = ("loss", "mae")
    batches = [call for i in (0, 1) for call in (("train_batch_begin", i), ("train_batch_end", i, *values))]
    validation = [call for i in (0, 1) for call in (("test_batch_begin", i), ("test_batch_end", i, *values))]
    expected: list[tuple[Any, ...]] = [("train_begin",)]
    for epoch in (0, 1):
        expected += [("epoch_begin", epoch), *batches, ("test_begin",), *validation, ("test_end", *values)]
        expected += [("epoch_end", epoch, *values, "val_loss", "val_mae")]
    expected += [("train_end", *values, "val_loss", "val_mae")]
    assert noting.calls == expected


@pytest.mark.parametrize("error", [None, RuntimeError, KeyboardInterrupt])
def test_each_callback_is_closed_however_training_ends(backend: str, error: type[BaseException] | None) -> None:
    closed = []

    class Holding(td.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            assert not closed
            if error is not None:
                raise error("enough")

        def close(self) -> None:
            closed.append(self)

    holding = [Holding(), Holding()]
    with contextlib.nullcontext() if error is None else pytest.raises(error, match="enough"):
        network().fit(X, Y, callbacks=holding, verbose=0)
    assert sorted(map(id, closed)) == sorted(map(id, holding))


def test_evaluate_and_predict_call_too(backend: str) -> None:
    noting, model = Noting(), network()
    model.evaluate(X, Y, batch_size=5, callbacks=noting, verbose=0)
    model.predict(X, batch_size=5, callbacks=[noting])
    values = ("loss", "mae")
    assert noting.calls == [
        ("test_begin",),
        ("test_batch_begin", 0), ("test_batch_end", 0, *values),
        ("test_batch_begin", 1), ("test_batch_end", 1, *values),
        ("test_end", *values),
        ("predict_begin",),
        ("predict_batch_begin", 0), ("predict_batch_end", 0, "outputs"),
        ("predict_batch_begin", 1), ("predict_batch_end", 1, "outputs"),
        ("predict_end",),
    ]  # fmt: skip


def test_callbacks_are_called_in_the_order_given(backend: str) -> None:
    order: list[str] = []
    callbacks = [
        td.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs, name=name: order.append(name)) for name in "abc"
    ]
    network().fit(X, Y, epochs=2, callbacks=callbacks, verbose=0)
    assert order == list("abcabc")


def test_a_callback_knows_its_model_and_what_was_asked_for(backend: str) -> None:
    callback, model = td.callbacks.Callback(), network()
    model.fit(X, Y, batch_size=3, epochs=2, callbacks=[callback], verbose=0)
    assert callback.model is model
    assert callback.params == {"epochs": 2, "steps": 4, "verbose": 0}
    model.fit(((X, Y) for _ in range(2)), callbacks=callback, verbose=0)
    assert callback.params == {"epochs": 1, "steps": None, "verbose": 0}


def test_what_a_callback_adds_to_an_epochs_logs_is_in_the_history(backend: str) -> None:
    class Rate(td.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            logs["learning_rate"] = float(self.model.optimizer.learning_rate)

    history = network().fit(X, Y, epochs=2, callbacks=[Rate()], verbose=0).history
    assert history["learning_rate"] == pytest.approx([0.1, 0.1])


def test_an_epochs_logs_are_numbers_in_a_dict(backend: str) -> None:
    kept: list[dict[str, Any]] = []
    callback = td.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: kept.append(logs))
    history = network().fit(X, Y, epochs=2, validation_data=(X, Y), callbacks=[callback], verbose=0).history
    assert all(type(logs) is dict for logs in kept)
    assert {key: [logs[key] for logs in kept] for key in kept[0]} == history


def test_a_batchs_logs_are_the_means_of_the_epoch_so_far(backend: str) -> None:
    kept: list[dict[str, float]] = []
    callback = td.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: kept.append(dict(logs)))
    model = network()
    model.optimizer.learning_rate = 0.0
    model.fit(X, Y, batch_size=5, shuffle=False, epochs=2, callbacks=[callback], verbose=0)
    half = model.evaluate(X[:5], Y[:5], verbose=0, return_dict=True)
    whole = model.evaluate(X, Y, verbose=0, return_dict=True)
    for logs, expected in zip(kept, [half, whole, half, whole], strict=True):
        assert logs == pytest.approx(expected, rel=1e-5)


def test_outputs_are_arrays_in_the_logs_of_predict(backend: str) -> None:
    kept: list[np.ndarray] = []
    callback = td.callbacks.LambdaCallback(on_predict_batch_end=lambda batch, logs: kept.append(logs["outputs"]))
    outputs = network().predict(X, batch_size=5, callbacks=[callback])
    np.testing.assert_array_equal(np.concatenate(kept), outputs)


def test_a_name_or_a_class_will_do(backend: str) -> None:
    for given in ("history", td.callbacks.History):
        assert len(network().fit(X, Y, callbacks=[given], verbose=0).epoch) == 1


@pytest.mark.parametrize(
    ("wrong", "error", "sentence"),
    [
        (print, TypeError, "a callback must be given as a name"),
        (object(), TypeError, "a callback must be given as a name"),
        ("earlystop", ValueError, "'earlystop' is not a known callback. Did you mean 'early"),
        (type("Alike", (), {"on_epoch_end": print})(), TypeError, "a class derived from td.callbacks.Callback"),
    ],
)
def test_what_is_no_callback_is_refused_before_training(wrong: Any, error: type, sentence: str, backend: str) -> None:
    model = network()
    with pytest.raises(error, match=sentence):
        model.fit(X, Y, callbacks=[td.callbacks.History(), wrong], verbose=0)
    assert int(model.optimizer.step) == 0


# -- Logs --------------------------------------------------------------------------------------------------------------


def test_logs_fetch_a_value_once_and_when_it_is_read() -> None:
    with td.backend.use("strict"):
        logs = td.callbacks.Logs({"loss": td.tensor(0.5), "accuracy": td.tensor(0.25), "step": 3})
        device = td.backend.get("strict")
        before = device.host_syncs
        assert "loss" in logs
        assert "missing" not in logs
        assert list(logs) == ["loss", "accuracy", "step"]
        assert logs.get("missing") is None
        assert logs["step"] == 3
        assert device.host_syncs == before
        assert logs["loss"] == logs.get("loss") == 0.5
        assert device.host_syncs == before + 1
        assert dict(logs) == {"loss": 0.5, "accuracy": 0.25, "step": 3}
        assert device.host_syncs == before + 1, "the accuracy came with the loss"


def test_logs_can_be_changed_as_a_dict() -> None:
    logs = td.callbacks.Logs({"loss": td.tensor(0.5)})
    logs["more"] = 1
    logs.update({"loss": 2.0})
    assert repr(logs) == "{'loss': 2.0, 'more': 1}"
    del logs["more"]
    assert len(logs) == 1
    with pytest.raises(KeyError):
        _ = logs["more"]


# -- LambdaCallback ----------------------------------------------------------------------------------------------------


def test_lambdas_listen_to_any_moment(backend: str) -> None:
    heard: list[Any] = []
    callback = td.callbacks.LambdaCallback(
        on_train_begin=lambda logs: heard.append("begin"),
        on_epoch_begin=lambda epoch, logs: heard.append(epoch),
        on_test_end=lambda logs: heard.append("test"),
        on_train_end=lambda logs: heard.append(sorted(logs)),
    )
    network().fit(X, Y, epochs=2, validation_data=(X, Y), callbacks=[callback], verbose=0)
    assert heard == ["begin", 0, "test", 1, "test", ["loss", "mae", "val_loss", "val_mae"]]


def test_lambdas_for_no_moment_are_refused() -> None:
    with pytest.raises(TypeError, match="'on_batch_finish' is no moment; choose among on_batch_begin"):
        td.callbacks.LambdaCallback(on_batch_finish=print)
    with pytest.raises(TypeError, match="on_epoch_end must be a function, not 3"):
        td.callbacks.LambdaCallback(on_epoch_end=3)


# -- EarlyStopping -----------------------------------------------------------------------------------------------------


class Stub:
    """Stands for a model whose weights name the epoch they belong to."""

    stop_training = False

    def __init__(self) -> None:
        self.weights = [np.array([-1.0])]

    def get_weights(self) -> list[np.ndarray]:
        return [weight.copy() for weight in self.weights]

    def set_weights(self, weights: list[np.ndarray]) -> None:
        self.weights = [weight.copy() for weight in weights]


@pytest.mark.parametrize("name", STOPPING)
@pytest.mark.filterwarnings("ignore:EarlyStopping watches 'loss'")
def test_early_stopping_decides_as_keras_does(name: str) -> None:
    case = GOLDEN.cases[name]
    callback, model = EarlyStopping(**case["config"]), Stub()
    callback.set_model(model)
    callback.on_train_begin()
    waits = []
    for epoch, value in enumerate(GOLDEN.inputs["sequences"][case["sequence"]]):
        model.weights = [np.array([float(epoch)])]
        callback.on_epoch_end(epoch, {callback.monitor: float(value)})
        waits.append(callback.wait)
        if model.stop_training:
            break
    callback.on_train_end()
    assert (len(waits), model.stop_training, waits) == (case["epochs_run"], case["stopped"], case["waits"])
    assert (callback.stopped_epoch, callback.best_epoch) == (case["stopped_epoch"], case["best_epoch"])
    assert int(model.weights[0][0]) == case["weights_of_epoch"]
    if case["best"] is None:
        assert callback.best is None
    else:
        assert callback.best == pytest.approx(float(case["best"]), nan_ok=True)


def test_early_stopping_stops_a_fit_and_restores_the_best_weights(backend: str) -> None:
    kept: list[list[np.ndarray]] = []

    class Spoiling(td.callbacks.Callback):
        """Makes the model worse from the fourth epoch on, and remembers its weights."""

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch >= 3:
                self.model.set_weights([weight + 10 for weight in self.model.get_weights()])

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            kept.append(self.model.get_weights())

    model = network()
    model.optimizer.learning_rate = 0.001
    stopping = EarlyStopping(patience=2, restore_best_weights=True)
    history = model.fit(X, Y, epochs=50, validation_data=(X, Y), callbacks=[Spoiling(), stopping], verbose=0)
    assert (history.epoch[-1], stopping.stopped_epoch, stopping.best_epoch) == (4, 4, 2)
    for now, best in zip(model.get_weights(), kept[2], strict=True):
        np.testing.assert_array_equal(now, best)
    assert stopping.best == min(history.history["val_loss"])


def test_a_second_fit_begins_anew(backend: str) -> None:
    model, stopping = network(), EarlyStopping(patience=1, baseline=-1.0)
    assert len(model.fit(X, Y, epochs=5, validation_data=(X, Y), callbacks=[stopping], verbose=0).epoch) == 5
    model.optimizer.learning_rate = 0.0
    assert len(model.fit(X, Y, epochs=5, validation_data=(X, Y), callbacks=[stopping], verbose=0).epoch) == 2


@pytest.mark.parametrize(
    ("monitor", "upwards"),
    [("val_loss", False), ("val_accuracy", True), ("val_acc", True), ("val_mae", False), ("val_auc", True)],
)
def test_the_direction_follows_from_the_name(monitor: str, upwards: bool) -> None:
    stopping = EarlyStopping(monitor=monitor, patience=1)
    stopping.set_model(Stub())
    for epoch, value in enumerate([1.0, 2.0]):
        stopping.on_epoch_end(epoch, {monitor: value})
    assert stopping.best == (2.0 if upwards else 1.0)


def test_watching_the_training_loss_is_warned_about(backend: str) -> None:
    with pytest.warns(UserWarning, match=r"watches 'loss', a value of the training data.*watch 'val_loss'"):
        network().fit(X, Y, callbacks=[EarlyStopping(monitor="loss", patience=2)], verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network().fit(X, Y, validation_data=(X, Y), callbacks=[EarlyStopping(patience=2)], verbose=0)


def test_a_value_that_is_not_there_is_warned_about(backend: str) -> None:
    model = network()
    with pytest.warns(UserWarning, match=r"watches 'val_loss', but the logs have 'loss', 'mae': give fit validation"):
        history = model.fit(X, Y, epochs=3, callbacks=[EarlyStopping()], verbose=0)
    assert len(history.epoch) == 3
    with pytest.warns(UserWarning, match="watches 'val_lose', but the logs have 'loss', 'mae', 'val_loss', 'val_mae'"):
        model.fit(X, Y, validation_data=(X, Y), callbacks=[EarlyStopping(monitor="val_lose")], verbose=0)


def test_it_says_that_it_stops_where_asked(backend: str, capsys: pytest.CaptureFixture[str]) -> None:
    model = network()
    model.optimizer.learning_rate = 0.0
    stopping = EarlyStopping(verbose=1, restore_best_weights=True)
    model.fit(X, Y, epochs=5, validation_data=(X, Y), callbacks=[stopping], verbose=0)
    assert capsys.readouterr().out.splitlines() == [
        "Epoch 2: early stopping, val_loss did not improve.",
        "Restoring the weights of the best epoch: 1.",
    ]
    model.fit(X, Y, epochs=1, validation_data=(X, Y), callbacks=[stopping], verbose=0)
    assert capsys.readouterr().out == "Restoring the weights of the best epoch: 1.\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"mode": "down"}, "mode must be 'auto', 'min' or 'max', not 'down'"),
        ({"patience": -1}, "patience must be an integer of at least 0, not -1"),
        ({"patience": "5"}, "patience must be an integer of at least 0, not '5'"),
        ({"start_from_epoch": -1}, "start_from_epoch must be an integer of at least 0, not -1"),
        ({"min_delta": "small"}, "min_delta must be a finite number, not 'small'"),
        ({"baseline": "low"}, "baseline must be a finite number, not 'low'"),
        ({"monitor": 3}, "monitor must be the name of a value, not 3"),
    ],
)
def test_early_stopping_refuses_what_makes_no_sense(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=f"EarlyStopping: {sentence}"):
        EarlyStopping(**arguments)


# -- what is shown -----------------------------------------------------------------------------------------------------

EPOCH = r"Epoch {}/{} - \d+\.\d s - loss: \d\.\d{{4}} - mae: \d\.\d{{4}}"


def test_verbose_0_is_silent(backend: str, capsys: pytest.CaptureFixture[str]) -> None:
    model = network()
    model.fit(X, Y, epochs=2, verbose=0, validation_data=(X, Y))
    model.evaluate(X, Y, verbose=0)
    model.predict(X, verbose=0)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("verbose", [1, 2, "auto"])
def test_one_line_an_epoch_where_there_is_no_terminal(
    verbose: Any, backend: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = network()
    model.fit(X, Y, epochs=3, initial_epoch=1, verbose=verbose)
    output, errors = capsys.readouterr()
    assert errors == ""
    lines = output.splitlines()
    assert len(lines) == 2
    for number, line in zip((2, 3), lines, strict=True):
        assert re.fullmatch(EPOCH.format(number, 3), line)
    model.fit(X, Y, verbose=verbose, validation_data=(X, Y))
    assert re.search(r" - val_loss: \d\.\d{4} - val_mae: \d\.\d{4}$", capsys.readouterr().out.rstrip())


def test_an_output_that_knows_nothing_of_terminals_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain:
        text = ""

        def write(self, text: str) -> None:
            self.text += text

        def flush(self) -> None: ...

    output = Plain()
    monkeypatch.setattr(sys, "stdout", output)
    network().fit(X, Y)
    assert re.fullmatch(EPOCH.format(1, 1) + "\n", output.text)


def test_evaluate_shows_one_line(backend: str, capsys: pytest.CaptureFixture[str]) -> None:
    loss, mae = network().evaluate(X, Y)
    assert capsys.readouterr().out == f"loss: {loss:.4f} - mae: {mae:.4f}\n"


def test_small_numbers_and_what_is_no_number_can_be_shown() -> None:
    text = td.callbacks.ProgbarLogger.text({"loss": 0.00001234, "zero": 0.0, "rate": np.float32(0.5), "note": "x"})
    assert text == "loss: 1.2340e-05 - zero: 0.0000 - rate: 0.5000 - note: x"


SHOW = """
import signal, sys, time, numpy as np, tinygrad_dnn as td
signal.signal(signal.SIGINT, signal.default_int_handler)
x = np.linspace(-1, 1, 400, dtype=np.float32).reshape(100, 4)
y = x.sum(axis=1, keepdims=True)
model = td.Sequential([td.layers.Dense(1)])
model.compile("sgd", "mse", metrics=["mae"])
class Raising(td.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 30 and sys.argv[2] == "raise":
            raise KeyError("trouble")
        if batch == 30 and sys.argv[2] == "interrupt":
            signal.raise_signal(signal.SIGINT)
        if batch == 30 and sys.argv[2] == "print":
            print("a line of the user's")
        if batch < 20 and sys.argv[2] == "slow":
            time.sleep(0.04)  # the time that remains is shown anew twice a second
try:
    model.fit(x, y, epochs=2, batch_size=2, verbose=int(sys.argv[1]), callbacks=[Raising()])
except (KeyError, KeyboardInterrupt):
    print("raised")
print("done")
"""


def on_a_terminal(verbose: int, what: str = "nothing") -> str:
    """Train in a process whose output is a pseudo-terminal, and return all that it wrote there."""
    pty = pytest.importorskip("pty")
    main, terminal = pty.openpty()
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
    for key in ("NO_COLOR", "FORCE_COLOR", "TTY_INTERACTIVE", "TTY_COMPATIBLE"):
        env.pop(key, None)
    process = subprocess.Popen(
        [sys.executable, "-c", SHOW, str(verbose), what], stdout=terminal, stderr=terminal, env=env
    )
    os.close(terminal)
    written = b""
    try:
        while part := os.read(main, 65536):
            written += part
    except OSError:  # Linux's way of saying that the other end is closed
        pass
    finally:
        os.close(main)
        assert process.wait(timeout=60) == 0
    return written.decode()


def screen(written: str) -> list[str]:
    """Return the lines that a terminal shows after all this was written to it."""
    rows: list[list[str]] = [[]]
    row = column = 0
    for match in re.finditer(r"\x1b\[(\??[\d;]*)([A-Za-z])|\r|\n|[^\x1b]", written):
        token, number, command = match[0], match[1], match[2]
        count = int(number) if number and number.isdigit() else 1
        if token == "\n":
            row += 1
            rows.extend([[]] if row == len(rows) else [])
        elif token == "\r":
            column = 0
        elif command == "A":
            row -= count
        elif command == "K":  # 2K: the whole line
            assert number == "2"
            rows[row] = []
        elif command is None:
            rows[row].extend(" " * (column - len(rows[row])))
            rows[row][column : column + 1] = token
            column += 1
        else:
            assert command in "mhl", f"the double of a terminal does not know {token!r}"
    return ["".join(line).rstrip() for line in rows]


def test_a_bar_on_a_terminal_shows_steps_and_values_and_leaves_one_line_an_epoch() -> None:
    written = on_a_terminal(verbose=1, what="slow")
    assert "\x1b[?25l" in written
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l"), "the cursor stays hidden"
    plain = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", written)
    assert re.search(r"Epoch 1/2 .*\d+/50 .*\d:\d\d.* loss: \d\.\d{4} - mae: \d\.\d{4}", plain)
    first, second, *rest = screen(written)
    assert re.fullmatch(EPOCH.format(1, 2), first)
    assert re.fullmatch(EPOCH.format(2, 2), second)
    assert [line for line in rest if line] == ["done"]


@pytest.mark.parametrize("what", ["raise", "interrupt"])
def test_training_that_ends_early_leaves_the_terminal_clean(what: str) -> None:
    written = on_a_terminal(verbose=1, what=what)
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l"), "the cursor stays hidden"
    assert [line for line in screen(written) if line] == ["raised", "done"]


def test_what_a_callback_prints_stands_above_the_bar() -> None:
    lines = [line for line in screen(on_a_terminal(verbose=1, what="print")) if line]
    assert len(lines) == 5
    assert lines[0] == lines[2] == "a line of the user's"
    assert re.fullmatch(EPOCH.format(1, 2), lines[1])


def test_verbose_2_draws_no_bar_even_on_a_terminal() -> None:
    written = on_a_terminal(verbose=2)
    assert "\x1b" not in written
    assert len(written.splitlines()) == 3


def test_verbose_0_is_silent_on_a_terminal_too() -> None:
    assert on_a_terminal(verbose=0).split() == ["done"]


def test_a_callback_may_be_a_function_written_in_c() -> None:
    model, kept = td.Sequential([td.layers.Dense(1)]), {}
    model.compile("sgd", "mse")
    listener = td.callbacks.LambdaCallback(on_train_batch_end=kept.setdefault)
    model.fit(np.ones((4, 2)), np.ones((4, 1)), batch_size=2, verbose=0, callbacks=[listener])
    assert list(kept) == [0, 1]
