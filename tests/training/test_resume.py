"""A training that was interrupted and goes on ends to the bit as one that ran straight through."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.training import resuming
from tests.training.resuming import BATCH, IMAGES, STEPS, WEIGHT, X, Y, callbacks, dense, endless, images
from tinygrad_dnn import layers

VALIDATION = {"validation_data": (X[:9], Y[:9])}
MODES = {"eager": {"run_eagerly": True}, "numpy": {"jit_compile": "auto"}, "native": {"jit_compile": True}}
# A run has 6 steps an epoch with two calls each, 3 calls in the validation, and one at the end of the epoch.
CALLS = 4 * (2 * STEPS + 3 + 1)


def check(
    folder: Path,
    build: resuming.Build,
    places: list[int],
    save_freq: int | str = 1,
    own: Callable[[], list[Any]] = list,
    **options: Any,
) -> dict[str, Any]:
    """Compare a straight run with one that is interrupted at these calls of a callback; return what both end with."""
    expected = resuming.straight(build, own, **options)
    got = resuming.resumed(build, folder / "backup", places, save_freq, own, **options)
    assert [key for key in expected if got.get(key) != expected[key]] == []
    assert got.keys() == expected.keys()
    return expected


# -- every optimizer with every schedule -------------------------------------------------------------------------------

SCHEDULES: dict[str, Any] = {
    "constant": 0.01,
    "cosinedecay": {"initial_learning_rate": 0.01, "decay_steps": 20, "warmup_target": 0.02, "warmup_steps": 4},
    "cosinedecayrestarts": {"initial_learning_rate": 0.01, "first_decay_steps": 5},
    "cyclic": {"base_lr": 0.001, "max_lr": 0.01, "step_size_up": 4},
    "exponentialdecay": {"initial_learning_rate": 0.01, "decay_steps": 4, "decay_rate": 0.7, "staircase": True},
    "inversetimedecay": {"initial_learning_rate": 0.01, "decay_steps": 4, "decay_rate": 0.7},
    "linearwarmup": {"warmup_target": 0.01, "warmup_steps": 9},
    "onecycle": {"max_lr": 0.01, "total_steps": 24},
    "piecewiseconstantdecay": {"boundaries": [5, 13], "values": [0.01, 0.005, 0.001]},
    "polynomialdecay": {"initial_learning_rate": 0.01, "decay_steps": 20},
    "powerdecay": {"initial_learning_rate": 0.01, "decay_steps": 4, "decay_rate": 0.7},
    "productschedule": {"schedules": [0.01, 0.5]},
    "sequentialschedule": {"schedules": [0.01, 0.002], "milestones": [9]},
}


def builtin(registry: Any) -> list[str]:
    origins = map(registry.origin, registry.names())
    return sorted({origin.name for origin in origins if origin.distribution == "tinygrad-dnn"})


PAIRS = list(itertools.product(builtin(td.registry.optimizers), ["constant", *builtin(td.registry.schedulers)]))


def rate_of(schedule: str) -> Any:
    given = SCHEDULES[schedule]
    return given if schedule == "constant" else td.schedulers.get(schedule, **given)


@pytest.mark.parametrize(("optimizer", "schedule"), random.Random(1).sample(PAIRS, 12))
def test_an_optimizer_with_a_schedule_goes_on(tmp_path: Path, optimizer: str, schedule: str) -> None:
    check_pair(tmp_path, optimizer, schedule, "numpy")


@pytest.mark.heavy
@pytest.mark.parametrize("mode", ["numpy", "native"])
@pytest.mark.parametrize(("optimizer", "schedule"), PAIRS)
def test_every_optimizer_with_every_schedule_goes_on(tmp_path: Path, optimizer: str, schedule: str, mode: str) -> None:
    check_pair(tmp_path, optimizer, schedule, mode)


def check_pair(folder: Path, optimizer: str, schedule: str, mode: str) -> None:
    draw = random.Random(f"{optimizer} {schedule}")
    places = sorted(draw.sample(range(3, CALLS), 2))

    def make() -> Any:
        return td.optimizers.get(optimizer, learning_rate=rate_of(schedule))

    check(folder, dense(make, **MODES[mode]), places, draw.choice([1, 2]), **VALIDATION)


# -- everything else that a training may have --------------------------------------------------------------------------


@pytest.mark.parametrize("save_freq", [1, 4, "epoch"])
@pytest.mark.parametrize("mode", MODES)
def test_with_callbacks_noise_and_weights(tmp_path: Path, mode: str, save_freq: int | str) -> None:
    build = dense(**MODES[mode])
    ended = check(tmp_path, build, [7, 21, 33], save_freq, callbacks, sample_weight=WEIGHT, **VALIDATION)
    assert "'wait': 0" in ended["callbacks"][0]
    assert "'learning_rate'" in ended["history"]


@pytest.mark.parametrize("mode", MODES)
def test_with_augmented_images(tmp_path: Path, mode: str) -> None:
    held_out = {"validation_data": (IMAGES[:9], Y[:9])}
    check(tmp_path, images(**MODES[mode]), [9, 30], 2, callbacks, sample_weight=WEIGHT, **held_out)


@pytest.mark.parametrize("mode", MODES)
def test_with_accumulated_gradients_and_averages(tmp_path: Path, mode: str) -> None:
    def accumulating() -> td.optimizers.Optimizer:
        return td.optimizers.AdamW(
            0.01, gradient_accumulation_steps=4, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=3
        )

    def averaging() -> td.optimizers.Optimizer:
        return td.optimizers.SGD(0.01, momentum=0.9, use_ema=True, global_clipnorm=1.0)

    check(tmp_path, dense(accumulating, **MODES[mode]), [10, 17, 50], **VALIDATION)
    check(tmp_path, dense(averaging, **MODES[mode]), [40], 5, **VALIDATION)


@pytest.mark.parametrize("place", [2, 3, 8, 11, 13, 14, 15, 16, 17, 35, CALLS])
def test_wherever_it_was_interrupted(tmp_path: Path, place: int) -> None:
    check(tmp_path, dense(), [place], 1, callbacks, **VALIDATION)


@pytest.mark.heavy
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", range(40))
def test_however_often_it_was_interrupted(tmp_path: Path, seed: int, mode: str) -> None:
    draw = random.Random(seed)
    places = [draw.randrange(2, CALLS) for _ in range(draw.randrange(1, 6))]
    save_freq = draw.choice(["epoch", 1, 2, 3, 5, 7])
    check(tmp_path, dense(**MODES[mode]), places, save_freq, callbacks, **VALIDATION)


def test_after_ctrl_c(tmp_path: Path) -> None:
    expected = resuming.straight(dense(), callbacks, **VALIDATION)
    got = resuming.resumed(dense(), tmp_path / "b", [5, 20], 1, callbacks, KeyboardInterrupt, **VALIDATION)
    assert got == expected


def test_on_every_backend(backend: str, tmp_path: Path) -> None:
    check(tmp_path, dense(), [9, 30], 2, callbacks, **VALIDATION)


def test_the_same_model_goes_on_too(tmp_path: Path) -> None:
    expected = resuming.straight(dense(), callbacks, **VALIDATION)
    td.utils.set_random_seed(1)
    model, listeners = dense()(), callbacks()
    for place in (25, 11, 0):
        stop = [resuming.Interrupt(place)] if place else []
        backup = td.callbacks.BackupAndRestore(tmp_path / "b", 4)
        try:
            model.fit(X, Y, BATCH, resuming.EPOCHS, 0, [*listeners, backup, *stop], **VALIDATION)
        except resuming.InterruptionError:
            continue
    got = resuming.outcome(model, listeners)
    assert got == expected


def test_it_stops_where_it_was_told_to(tmp_path: Path) -> None:
    class Enough(td.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if self.model.optimizer.iterations == 9:
                self.model.stop_training = True

    def stopping() -> list[Any]:
        return [td.callbacks.EarlyStopping("val_loss", patience=1, min_delta=10.0, restore_best_weights=True)]

    for own in (stopping, lambda: [Enough()]):
        ended = check(tmp_path, dense(), [24], 1, own, **VALIDATION)
        assert ended["stopped"]
        assert "[0, 1])" in ended["history"]
        # The last call of all is at the end of the last epoch: the state before it is that of a training told to stop.
        check(tmp_path, dense(), [32 if own is stopping else 22], 1, own, **VALIDATION)


def test_what_a_callback_freezes_stays_frozen(tmp_path: Path) -> None:
    class Freezing(td.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.model.layers[0].trainable = epoch < 1

    check(tmp_path, dense(), [30], 1, lambda: [Freezing()])


def test_a_scheduler_that_multiplies_does_so_once_an_epoch(tmp_path: Path) -> None:
    def own() -> list[Any]:
        return [td.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5)]

    ended = check(tmp_path, dense(lambda: td.optimizers.SGD(0.5)), [9, 20, 31], 1, own)
    assert "'learning_rate': [0.25, 0.125, 0.0625, 0.03125]" in ended["history"]


# -- other kinds of data -----------------------------------------------------------------------------------------------


class Restarting:
    """An iterator that begins again at each pass, with other batches."""

    def __init__(self) -> None:
        self.passes = 0

    def __iter__(self) -> Restarting:
        self.passes += 1
        self.place = 0
        return self

    def __next__(self) -> tuple[np.ndarray, np.ndarray]:
        self.place += 1
        return X[self.place : self.place + 4] * np.float32(self.passes), Y[:4]


class Shuffling:
    """An iterable that shuffles itself, and says where it is: what is left of a pass, None between two."""

    def __init__(self) -> None:
        self.generator = np.random.default_rng(7)
        self.order: list[int] | None = None

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        if self.order is None:
            self.order = self.generator.permutation(5).tolist()
        while self.order:
            rows = slice(4 * (first := self.order.pop()), 4 * first + 4)
            yield X[rows], Y[rows]
        self.order = None

    def get_state(self) -> dict[str, Any]:
        return {"generator": self.generator.bit_generator.state, "order": self.order and list(self.order)}

    def set_state(self, state: dict[str, Any]) -> None:
        self.generator.bit_generator.state, self.order = state["generator"], state["order"]


def drawing() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield batches that are drawn from NumPy's global generator."""
    while True:
        rows = np.random.randint(0, 22, 4)  # noqa: NPY002
        yield X[rows], Y[rows]


LIST = [(X[i : i + 4], Y[i : i + 4], WEIGHT[i : i + 4]) for i in range(0, 22, 4)]
SOURCES: dict[str, dict[str, Any]] = {
    "list": {"x": LIST},
    "part of a list": {"x": LIST, "steps_per_epoch": 4},
    "generator": {"x": endless, "steps_per_epoch": 6},
    "drawn": {"x": drawing, "steps_per_epoch": 6},
    "restarting": {"x": Restarting, "steps_per_epoch": 5},
    "with a state": {"x": Shuffling},
    "in order": {"shuffle": False},
    "class weights": {"class_weight": {0: 2.0, 2: 0.5}},
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("save_freq", [1, 3, "epoch"])
def test_data_go_on_where_they_were(tmp_path: Path, source: str, save_freq: int | str) -> None:
    check(tmp_path, dense(), [7, 19, 26], save_freq, callbacks, **SOURCES[source], **VALIDATION)


def test_validation_batches_go_on_where_they_were(tmp_path: Path) -> None:
    expected, got = (
        run(dense(), callbacks, validation_data=endless(X[::-1]), validation_steps=3, **more)
        for run, more in ((resuming.straight, {}), (interrupted_with_new_validation(tmp_path), {}))
    )
    assert got == expected


def interrupted_with_new_validation(folder: Path) -> Callable[..., dict[str, Any]]:
    def run(build: resuming.Build, own: Callable[[], list[Any]], **options: Any) -> dict[str, Any]:
        for place in (25, 20, 0):
            options["validation_data"] = endless(X[::-1])  # a generator is gone through once
            stop = [resuming.Interrupt(place)] if place else []
            backup = td.callbacks.BackupAndRestore(folder / "b", 1)
            try:
                return resuming.outcome(*resuming.fit(build, 1, [backup, *stop], own, **options))
            except resuming.InterruptionError:
                continue
        raise AssertionError

    return run


def test_data_that_end_too_early_are_refused(tmp_path: Path) -> None:
    backup = td.callbacks.BackupAndRestore(tmp_path / "b", 1)
    with pytest.raises(resuming.InterruptionError):
        resuming.fit(dense(), 1, [backup, resuming.Interrupt(9)], x=LIST)
    with pytest.raises(ValueError, match=r"ran out after 2 batches, and 4 were taken before the training was interr"):
        resuming.fit(dense(), 1, [backup], x=LIST[:2])


# -- models of one's own -----------------------------------------------------------------------------------------------


class Own(td.Model):
    """A model with a step of its own, and a metric as an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = layers.Dense(4, "elu")
        self.dropout = layers.Dropout(0.2)
        self.last = layers.Dense(3, "softmax")
        self.size = td.metrics.Mean(name="size")

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.last(self.dropout(self.hidden(inputs), training=training))

    def train_step(self, data: Any) -> dict[str, Any]:
        x, y = data
        outputs = self(x, training=True)
        loss = self.compute_loss(x, y, outputs)
        self.optimizer.apply(td.autograd.grad(loss, self.trainable_weights), self.trainable_weights)
        self.size.update_state(td.mean(td.abs(outputs)))
        return self.compute_metrics(x, y, outputs)


@pytest.mark.parametrize("source", ["list", "arrays"])
def test_a_step_of_ones_own_goes_on(tmp_path: Path, source: str) -> None:
    data = {"x": [(x, y) for x, y, _ in LIST]} if source == "list" else {"x": X, "y": Y, "batch_size": 4}

    def run(place: int) -> dict[str, Any]:
        td.utils.set_random_seed(1)
        model = Own()
        model(X[:2])
        model.compile("nadam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        backup = td.callbacks.BackupAndRestore(tmp_path / "b", 1)
        model.fit(callbacks=[backup, resuming.Interrupt(place)], epochs=3, verbose=0, **data)
        return resuming.outcome(model, [])

    expected = run(0)
    for place in (9, 15):
        with pytest.raises(resuming.InterruptionError):
            run(place)
    assert run(0) == expected


# -- what fit says of it -----------------------------------------------------------------------------------------------


def test_the_history_is_that_of_the_whole_training(tmp_path: Path) -> None:
    ended = check(tmp_path, dense(), [40], "epoch", callbacks, **VALIDATION)
    assert ended["history"].endswith("[0, 1, 2, 3])")


def test_a_finished_training_goes_on_with_more_epochs(tmp_path: Path) -> None:
    def run(epochs: int, backups: list[Any]) -> dict[str, Any]:
        return resuming.outcome(*resuming.fit(dense(), 1, backups, callbacks, epochs=epochs, **VALIDATION))

    expected = run(5, [])
    for epochs in (2, 2, 5):
        backup = td.callbacks.BackupAndRestore(tmp_path / "b", delete_checkpoint=False)
        got = run(epochs, [backup])
    assert got == expected


def test_callbacks_that_report_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    straight, other = tmp_path / "straight.csv", tmp_path / "other.csv"
    resuming.fit(dense(), 1, [td.callbacks.CSVLogger(straight)], **VALIDATION)
    for place in (40, 22, 0):
        stop = [resuming.Interrupt(place)] if place else []
        backup = td.callbacks.BackupAndRestore(tmp_path / "b", 4)
        try:
            logger = td.callbacks.CSVLogger(other)
            bar = td.callbacks.ProgbarLogger(bar=True)
            resuming.fit(dense(), 1, [logger, backup, bar, *stop], verbose=0, **VALIDATION)
        except resuming.InterruptionError:
            continue
    assert other.read_bytes() == straight.read_bytes()
    assert "Epoch 4/4" in capsys.readouterr().out
