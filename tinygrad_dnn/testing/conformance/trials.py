"""Running a subject on the same inputs in several ways: eagerly, as a program, on other backends, in threads."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_dnn import backend
from tinygrad_dnn.jit import has_llvmlite, jit
from tinygrad_dnn.ops import random
from tinygrad_dnn.tensor import Tensor, tensor
from tinygrad_dnn.testing.conformance.checking import CheckError
from tinygrad_dnn.testing.conformance.numerics import host
from tinygrad_dnn.testing.conformance.subjects import SkipError, Subject

_THREADS = 4
_SEED = 11


@dataclass(frozen=True)
class Trial:
    """A step to be made several times, and what it is given each time.

    Attributes:
        step: Takes Tensors and returns a list of them: all that can be seen of the subject.
        feeds: The host arrays of each step.
    """

    step: Callable[..., Sequence[Any]]
    feeds: Sequence[Sequence[np.ndarray]]


Start = Callable[[Subject, Any], Trial]
# How each kind's objects are put to work: given a subject and one object made of it.
TRIALS: dict[str, Start] = {}


def trial_of(kind: str) -> Callable[[Start], Start]:
    """Return a decorator that makes a function the way in which a kind's objects are put to work."""

    def adding(start: Start) -> Start:
        TRIALS[kind] = start
        return start

    return adding


def play(subject: Subject, made: Any = None, compile_: Callable[[Any], Any] | None = None) -> list[np.ndarray]:
    """Return all that a subject's trial gives, on the current backend, from one random state.

    Args:
        subject: What is put to work.
        made: The object of it; by default a new one.
        compile_: What the step is put through before it is made.
    """
    random.set_seed(_SEED)
    trial = TRIALS[subject.kind](subject, subject.make() if made is None else made)
    step = trial.step if compile_ is None else compile_(trial.step)
    found: list[np.ndarray] = []
    for feed in trial.feeds:
        found += [host(value) for value in step(*map(tensor, feed))]
    return found


def as_program(subject: Subject, native: bool) -> list[np.ndarray]:
    """Return what a subject's trial gives when its step is recorded and replayed; a step that cannot be fails."""
    if native and not has_llvmlite():
        raise SkipError("llvmlite is not installed")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = play(subject, compile_=lambda step: jit(step, native))
    told = [str(each.message) for each in caught if str(each.message).startswith("td.jit")]
    if told:
        reason = told[0].partition("operation by operation: ")[2].rstrip(".") or told[0]
        raise CheckError(
            f"its step cannot become a program ({reason})",
            "one that is replayed",
            "write it in Tensor operations, keep what changes in a td.Variable, and look at no value in Python",
        )
    return found


def in_threads(subject: Subject) -> list[list[np.ndarray]]:
    """Return what a subject's trial gives in each of several threads at once."""
    results: list[list[np.ndarray]] = []
    errors: list[BaseException] = []
    at_once = threading.Barrier(_THREADS)
    name, floatx = backend.current().name, backend.floatx()

    def run() -> None:
        try:
            backend.set_floatx(floatx)
            with backend.use(name), np.errstate(all="ignore"):
                at_once.wait(timeout=60)
                results.append(play(subject))
        except BaseException as error:  # told in the main thread
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


def given_tensors(subject: Subject, made: Any) -> tuple[list[Tensor], list[np.ndarray]]:
    """Make a trial's first step; return the Tensors it was given, and the arrays that they held before."""
    trial = TRIALS[subject.kind](subject, made)
    feed = trial.feeds[0]
    tensors = [tensor(np.array(x)) for x in feed]
    trial.step(*tensors)
    return tensors, list(feed)
