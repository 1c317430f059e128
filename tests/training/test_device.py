"""Training on a device: the data go there once, nothing waits within an epoch, and what does not fit is streamed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn.backend.base import Memory
from tinygrad_dnn.backend.strict import StrictBackend
from tinygrad_dnn.training import outputs

X = np.linspace(-1, 1, 332, dtype=np.float32).reshape(83, 4)
Y = np.arange(83) % 3
WEIGHTS = np.linspace(0.5, 1.5, 83)
CLASSES = {0: 2.0, 2: 0.5}


@pytest.fixture(autouse=True)
def on_the_double() -> Iterator[None]:
    with td.backend.use("strict"):
        yield


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    return Device(monkeypatch)


class Device:
    """Counts what goes between the host and the double's device."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.copies = 0
        self.data_sets = 0  # of the copies those of as many samples as X has
        bring = StrictBackend.from_host

        def counted(backend: StrictBackend, array: np.ndarray) -> Any:
            self.copies += 1
            self.data_sets += array.shape[:1] == X.shape[:1]
            return bring(backend, array)

        monkeypatch.setattr(StrictBackend, "from_host", counted)

    @property
    def traffic(self) -> tuple[int, int]:
        """How often the host has waited for the device, and how often it has sent an array there."""
        return td.backend.get("strict").host_syncs, self.copies


def classifier(**options: Any) -> td.Sequential:
    td.utils.set_random_seed(5)
    model = td.Sequential(
        [
            td.Input((4,)),
            td.layers.Dense(5, "elu", kernel_regularizer="l2"),
            td.layers.BatchNormalization(),
            td.layers.Dropout(0.2),
            td.layers.Dense(3, "softmax"),
        ]
    )
    rate = td.schedulers.ExponentialDecay(0.01, 100, 0.9)
    optimizer = td.optimizers.Adam(rate, clipnorm=1.0)
    metrics = ["accuracy", td.metrics.SparseTopKCategoricalAccuracy(2)]
    loss = "sparse_categorical_crossentropy"
    model.compile(optimizer, loss, metrics=metrics, weighted_metrics=["accuracy"], **options)
    return model


class Epochs(td.callbacks.Callback):
    """Notes the traffic of each epoch: of its steps and validation, up to where its values are read."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.found: list[tuple[int, int]] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.before = self.device.traffic

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        waits, copies = self.device.traffic
        self.found.append((waits - self.before[0], copies - self.before[1]))


@pytest.mark.parametrize("verbose", [0, 1, 2])
def test_an_epochs_traffic_does_not_depend_on_the_number_of_batches(device: Device, verbose: int) -> None:
    found = []
    for count in (19, 83):  # the last batch has 3 samples
        model, epochs = classifier(), Epochs(device)
        model.fit(
            X[:count], Y[:count], batch_size=4, epochs=7, sample_weight=WEIGHTS[:count], class_weight=CLASSES,
            validation_data=(X[:count], Y[:count], WEIGHTS[:count]), callbacks=[epochs], verbose=verbose,
        )  # fmt: skip
        found.append(epochs.found[5:])  # by then each kind of batch has its program
    # The loss and three metrics come together: of the training, and of the validation. The one copy is the order.
    assert found[0] == found[1] == [(2, 1)] * 2


def test_no_step_waits(device: Device) -> None:
    seen: dict[str, list[int]] = {"train": [], "test": [], "predict": []}

    class Looking(td.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            seen["train"].append(device.traffic[0])

        def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
            seen["test"].append(device.traffic[0])

        def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
            seen["predict"].append(device.traffic[0])

    model = classifier(jit_compile=False)
    model.fit(X, Y, batch_size=4, class_weight=CLASSES, callbacks=[Looking(), "terminate_on_nan"], verbose=0)
    model.evaluate(X, Y, batch_size=4, callbacks=[Looking()], verbose=0)
    model.predict(X, batch_size=4, callbacks=[Looking()])
    assert {kind: len(set(waits)) for kind, waits in seen.items()} == {"train": 1, "test": 1, "predict": 1}
    assert [len(waits) for waits in seen.values()] == [21, 21, 21]


def test_data_go_to_the_device_once(device: Device) -> None:
    def brought(call: Any, *args: Any, **options: Any) -> int:
        before = device.data_sets  # the arguments are made by now
        call(*args, batch_size=4, **options)
        return device.data_sets - before

    model = classifier()
    assert brought(model.fit, X, Y, sample_weight=WEIGHTS, epochs=3, shuffle=False, verbose=0) == 3
    assert brought(model.fit, X, Y, epochs=3, verbose=0) == 2 + 3  # and the order of each epoch
    assert brought(model.fit, X, Y, epochs=3, shuffle=False, validation_data=(X, Y), verbose=0) == 4
    assert brought(model.evaluate, X, Y, verbose=0) == 2
    assert brought(model.predict, X) == 1
    assert brought(model.evaluate, td.tensor(X), td.tensor(Y), verbose=0) == 0


def learned(x: Any, y: Any, **options: Any) -> list[Any]:
    model = classifier()
    history = model.fit(
        x, y, batch_size=4, epochs=3, class_weight=CLASSES, validation_data=(X, Y), verbose=0, **options
    ).history
    return [history, *[w.tobytes() for w in model.get_weights()], model.evaluate(x, y), model.predict(x).tobytes()]


@pytest.fixture
def limit() -> Iterator[None]:
    before = td.data.resident_limit()
    yield
    td.data.set_resident_limit(before)


@pytest.mark.parametrize("shuffle", [True, False])
def test_what_is_streamed_teaches_the_same_to_the_bit(shuffle: bool, limit: None, device: Device) -> None:
    expected = learned(X, Y, sample_weight=WEIGHTS, shuffle=shuffle)
    td.data.set_resident_limit(0)
    _, before = device.traffic
    assert learned(X, Y, sample_weight=WEIGHTS, shuffle=shuffle) == expected
    assert device.copies - before > 3 * 3 * 21  # three arrays, three epochs of 21 batches
    with td.backend.use("numpy"):
        on_host = td.tensor(Y)
    for x, y in ((td.tensor(X), Y), (X, td.tensor(Y)), (X, on_host)):
        assert learned(x, y, sample_weight=WEIGHTS, shuffle=shuffle) == expected


def test_it_teaches_what_the_host_teaches() -> None:
    on_device = learned(X, Y)
    with td.backend.use("numpy"):
        model = classifier(jit_compile=False)
        model.fit(X, Y, batch_size=4, epochs=3, class_weight=CLASSES, validation_data=(X, Y), verbose=0)
    for ours, theirs in zip(model.get_weights(), on_device[1:-2], strict=True):
        np.testing.assert_allclose(ours.ravel(), np.frombuffer(theirs, ours.dtype), rtol=1e-5, atol=1e-6)


def test_a_streamed_batch_is_on_its_way_before_the_step_on_the_one_before(
    limit: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    send = StrictBackend.send

    def noting(backend: StrictBackend, array: np.ndarray) -> Any:
        number = len([word for word in heard if word.startswith("send")])
        heard.append(f"send {number}")
        arriving = send(backend, array)
        return lambda: heard.append(f"take {number}") or arriving()

    monkeypatch.setattr(StrictBackend, "send", noting)
    td.data.set_resident_limit(0)
    steps = td.callbacks.LambdaCallback(on_predict_batch_begin=lambda batch, logs: heard.append(f"step {batch}"))
    classifier().predict(X[:10], batch_size=4, callbacks=[steps])
    assert heard == [
        "send 0", "send 1", "take 0", "step 0", "send 2", "take 1", "step 1", "take 2", "step 2",
    ]  # fmt: skip


@pytest.mark.parametrize("resident", [True, False])
def test_the_limit_is_bytes_or_a_share_of_the_free_memory(
    resident: bool, limit: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = X.nbytes + Y.nbytes

    def is_resident(x: Any = X) -> bool:
        return td.data.ArrayBatches(x, Y).is_resident

    td.data.set_resident_limit(size if resident else size - 1)
    assert is_resident() is resident
    td.data.set_resident_limit(size - X.nbytes)
    assert is_resident(td.tensor(X)), "what is there already takes no more memory"
    free = 4 * size - 300 if resident else 4 * size - 301  # and 300 that are held and not used
    monkeypatch.setattr(StrictBackend, "memory", lambda backend: Memory(700, 1000, 1000, free, 10 * size))
    td.data.set_resident_limit(0.25)
    assert is_resident() is resident
    with td.backend.use("numpy"):
        assert is_resident(), "on the host there is nothing to bring"


@pytest.mark.parametrize("wrong", [-1, 0.0, 1.5, True, "all", None, float("nan")])
def test_a_limit_out_of_range_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"set_resident_limit: limit must be an integer of at least 0 \(bytes\) or a"):
        td.data.set_resident_limit(wrong)
    assert td.data.resident_limit() == 0.5


def test_wrong_class_weights_are_refused_before_streaming(limit: None) -> None:
    td.data.set_resident_limit(0)
    with pytest.raises(ValueError, match="class_weight must be a dict from class to weight"):
        td.data.ArrayBatches(X, Y, class_weight=[1.0, 2.0])


@pytest.mark.parametrize("streamed", [True, False])
def test_a_pass_goes_on_from_its_middle(streamed: bool, limit: None) -> None:
    if streamed:
        td.data.set_resident_limit(0)

    def batches() -> td.data.ArrayBatches:
        return td.data.ArrayBatches(X, Y, batch_size=10, rng=np.random.default_rng(3))

    def labels(given: Any) -> list[list[int]]:
        return [batch.y.tolist() for batch in given]

    whole = batches()
    expected = labels(whole), labels(whole)
    for step in (4, 9):  # of nine batches
        first = batches()
        taken = [next(iterator).y.tolist() for iterator in [iter(first)] for _ in range(step)]
        second = batches()
        second.set_state(first.get_state(step))
        assert (taken + labels(second), labels(second)) == expected


def test_many_outputs_come_to_the_host_together(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    model = classifier()
    expected = model.predict(X, batch_size=4)
    waits, _ = device.traffic
    model.predict(X, batch_size=4)
    assert device.traffic[0] - waits == 1
    monkeypatch.setattr(outputs, "_WAITING", 5 * 4 * 3 * 4)  # five batches of 4 samples, 3 classes, 4 bytes
    waits, _ = device.traffic
    np.testing.assert_array_equal(model.predict(X, batch_size=4), expected)
    assert device.traffic[0] - waits == 5  # of 21 batches


def test_nan_on_a_device_is_found_at_a_hundredth_step_or_at_the_end_of_the_epoch(
    capsys: pytest.CaptureFixture[str],
) -> None:
    x = np.tile(X, (3, 1))
    y = x.sum(axis=1, keepdims=True)
    y[:9] = np.float32(1e30)  # whose squares are infinite
    made = []
    for count, options in ((249, {"epochs": 3}), (99, {"epochs": 2})):
        model = td.Sequential([td.layers.Dense(1)])
        model.compile("sgd", "mse")
        steps: list[int] = []
        counting = td.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs, s=steps: s.append(batch))
        with np.errstate(all="ignore"):
            history = model.fit(
                x[:count], y[:count], batch_size=1, shuffle=False, verbose=0,
                callbacks=[counting, "terminate_on_nan"], **options,
            )  # fmt: skip
        assert history.epoch == [0]
        made.append(len(steps))
    assert made == [100, 99]
    first, second = capsys.readouterr().out.splitlines()
    assert "after batch 99;" in first
    assert "after epoch 1;" in second


def test_a_bar_reads_the_values_of_a_device_once_a_second(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    bar = td.callbacks.ProgbarLogger(bar=True)
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    bar.on_train_begin()
    bar.on_epoch_begin(0)
    read = []
    for step in range(12):
        now[0] = 0.25 * step
        logs = td.callbacks.Logs({"loss": td.tensor(0.5 + step)})
        before, _ = device.traffic
        bar.on_train_batch_end(step, logs)
        if device.traffic[0] > before:
            read.append(step)
    bar.close()
    assert read == [0, 4, 8]


def test_reading_one_value_of_a_batch_brings_all_numbers(device: Device) -> None:
    numbers = {"loss": td.tensor(1.5), "accuracy": td.tensor([0.25]), "steps": td.tensor(3)}
    logs = td.callbacks.Logs({**numbers, "rows": td.tensor([1.0, 2.0]), "rate": 0.1})
    before = device.traffic[0]
    assert logs["accuracy"] == 0.25
    assert logs["loss"] == 1.5
    assert device.traffic[0] == before + 1
    assert dict(logs) | {"rows": None} == {"loss": 1.5, "accuracy": 0.25, "rows": None, "steps": 3, "rate": 0.1}
    assert isinstance(logs["steps"], int)
    assert logs["rows"].tolist() == [1.0, 2.0]
    assert device.traffic[0] == before + 3
    assert logs.at_hand
