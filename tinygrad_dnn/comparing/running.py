"""One training of one candidate at one learning rate under one seed: what a worker does."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from tinygrad_dnn import backend, callbacks, registry, utils
from tinygrad_dnn.comparing import samples
from tinygrad_dnn.comparing.networks import UNPENALIZED, Network
from tinygrad_dnn.registration import shown

_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
OK, DIVERGED, FAILED = "ok", "diverged", "failed"


@dataclass(frozen=True)
class Job:
    """All that a training's numbers depend on, beside the versions of what runs it.

    Args:
        label: The candidate.
        network: The network's description, with the candidate in it.
        optimizer: The optimizer's configuration, with the learning rate.
        dataset: A data set's name or file.
        samples: How many samples to train on, or None for all.
        batch_size: Samples a step.
        steps: How many steps are made.
        rate: The learning rate.
        seed: Of weights, shuffling and dropout.
        tested: Whether the trained network is tested: no trial is.
        backend: Which arrays.
        floatx: The floating-point type.
    """

    label: str
    network: dict[str, Any]
    optimizer: dict[str, Any]
    dataset: str
    samples: int | None
    batch_size: int
    steps: int
    rate: float
    seed: int
    tested: bool
    backend: str
    floatx: str

    def described(self) -> dict[str, Any]:
        """Return it in lists and dicts as JSON has them."""
        return asdict(self)


class _Watch(callbacks.Callback):
    """Notes the steps made by the end of each epoch, and stops training once the loss is no number."""

    def on_train_begin(self, logs: Any = None) -> None:
        self.made = 0
        self.steps: list[int] = []
        self.diverged = False

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.made += 1

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.steps.append(self.made)
        self.diverged = not all(math.isfinite(logs[key]) for key in ("loss", "val_loss"))
        self.model.stop_training |= self.diverged


class _Limited(_Watch):
    """Stops training after a number of steps that is no whole number of epochs."""

    def __init__(self, steps: int) -> None:
        self._limit = steps

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        super().on_train_batch_end(batch, logs)
        if self.made >= self._limit:
            self.model.stop_training = True


def run(job: Job) -> dict[str, Any]:
    """Train as a job says; return what came of it, as JSON has it.

    Whatever goes wrong is part of the result: "status" is "ok", "diverged" or "failed", and "reason" says why.
    """
    started = time.perf_counter()
    result: dict[str, Any]
    # What a plugin prints is not to stand in the midst of a manifest that is printed.
    apart = contextlib.redirect_stdout(sys.stderr)
    with warnings.catch_warnings(record=True) as caught, apart, _one_thread(), backend.use(job.backend):
        warnings.simplefilter("default")
        before = backend.floatx()
        backend.set_floatx(job.floatx)
        try:
            result = _trained(job)
        except (Exception, SystemExit) as error:  # a plugin's own, of any kind
            result = failed(f"{type(error).__name__}: {error}", traceback.format_exc())
        finally:
            backend.set_floatx(before)
    result["warnings"] = sorted({f"{each.category.__name__}: {each.message}" for each in caught})
    result["seconds"] = time.perf_counter() - started
    return result


def failed(reason: str, trace: str = "") -> dict[str, Any]:
    """Return the result of a training that could not be done."""
    return {"status": FAILED, "reason": " ".join(reason.split()), "traceback": trace, "warnings": [], "seconds": 0.0}


def _trained(job: Job) -> dict[str, Any]:
    network = Network.from_description(job.network)
    data = samples.find(job.dataset, job.samples, network.standardized)
    utils.set_random_seed(job.seed)
    config = dict(job.optimizer)
    optimizer = registry.optimizers.get(config["class_name"], **config["config"])
    model = network.model(data.x_train.shape[1:], optimizer)
    an_epoch = math.ceil(len(data.x_train) / job.batch_size)
    watch = _Limited(job.steps) if job.steps % an_epoch else _Watch()
    history = model.fit(
        data.x_train, data.y_train, epochs=math.ceil(job.steps / an_epoch), batch_size=job.batch_size, verbose=0,
        validation_data=(data.x_valid, data.y_valid), callbacks=[watch],
    ).history  # fmt: skip
    curves = {key: [float(v) if math.isfinite(v) else None for v in values] for key, values in history.items()}
    result: dict[str, Any] = {"status": OK, "reason": "", "steps": watch.steps, "history": _renamed(curves)}
    if watch.diverged:
        return {**result, "status": DIVERGED, "reason": f"the loss was no number after {watch.made} steps"}
    if job.tested:
        test = model.evaluate(data.x_test, data.y_test, batch_size=job.batch_size, verbose=0, return_dict=True)
        if not all(map(math.isfinite, test.values())):
            return {**result, "status": DIVERGED, "reason": f"the loss on the samples to test on is {shown(test)}"}
        result["test"] = _renamed({key: float(value) for key, value in test.items()})
    return result


def _renamed(measured: dict[str, Any]) -> dict[str, Any]:
    """Let "loss" be the one without penalties: with them, regularizers would be judged by how much they add."""
    if UNPENALIZED not in measured:
        return measured
    names = {"loss": "penalized_loss", UNPENALIZED: "loss"}
    prefixes = ("", "val_")
    new = {before + old: before + name for before in prefixes for old, name in names.items()}
    return {new.get(key, key): value for key, value in measured.items()}


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Let a training compute in one thread: its numbers, and its time, then do not depend on what runs beside it."""
    import threadpoolctl

    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))  # what the machine code of a step goes by
    try:
        with threadpoolctl.threadpool_limits(limits=1, user_api="blas"):
            yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
