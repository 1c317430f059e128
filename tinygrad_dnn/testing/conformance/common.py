"""The checks that several kinds share: the same result in every way of running, and clear errors."""

from __future__ import annotations

import inspect
import math
from typing import Any

from tinygrad_dnn import backend
from tinygrad_dnn.registry import UnknownNameError
from tinygrad_dnn.testing.conformance.checking import CheckError, check
from tinygrad_dnn.testing.conformance.numerics import expect_equal
from tinygrad_dnn.testing.conformance.subjects import SkipError, Subject
from tinygrad_dnn.testing.conformance.trials import as_program, given_tensors, in_threads, play

# What computes, and so is run by the rest of the package in programs and on every backend.
COMPUTING = (
    "activations", "optimizers", "schedulers", "regularizers", "constraints", "losses", "metrics", "layers",
)  # fmt: skip
_UNKNOWN = "no_such_argument"
# What a machine's own arithmetic may round otherwise, as a part of an array's norm.
_ROUNDING = 2e-4


@check(*COMPUTING, "initializers")
def deterministic(subject: Subject) -> None:
    """Two new objects give the same values, bit for bit, from the same seed: a result can be had again."""
    expect_equal(
        play(subject), play(subject), "the second run gave something else", "the same values for the same seed",
        "draw from td.random or the initializer's rng(), and keep no state outside the object",
    )  # fmt: skip


@check(*COMPUTING)
def inputs_unchanged(subject: Subject) -> None:
    """What it is given stays as it was: the caller still needs it, and backward reads it again."""
    tensors, before = given_tensors(subject, subject.make())
    expect_equal(
        tensors, before, "it changed what it was given", "inputs that stay as they are",
        "return a new Tensor, and never write on an argument or its data",
    )  # fmt: skip


@check(*COMPUTING)
def backends(subject: Subject) -> None:
    """NumPy's arrays and the strict double's give the same values, so that it runs on a GPU's too."""
    with backend.use("numpy"):
        expected = play(subject)
    with backend.use("strict"):
        try:
            found = play(subject)
        except Exception as error:
            text = " ".join(str(error).split()).rstrip(".")
            raise CheckError(
                f"on the strict backend it raised {type(error).__name__} ({text})",
                "what NumPy's arrays give",
                "compute with td's operations alone, not with numpy, float(), bool() or .data",
            ) from error
    expect_equal(
        found, expected, "the strict backend gave something else", "what NumPy's arrays give",
        "compute with td's operations alone, and do not ask which backend it is", 1e-6,
    )  # fmt: skip


@check(*COMPUTING)
def jit(subject: Subject) -> None:
    """Recorded once and replayed, a step gives what it gives eagerly, bit for bit: fit replays its steps."""
    with backend.use("numpy"):
        expect_equal(
            as_program(subject, native=False), play(subject), "the replayed step gave something else",
            "what the step gives eagerly", "keep what changes between steps in a td.Variable, changed by assign alone",
        )  # fmt: skip


@check(*COMPUTING)
def native(subject: Subject) -> None:
    """As machine code, a step gives what it gives eagerly but for rounding; skipped where llvmlite is missing."""
    with backend.use("numpy"):
        expect_equal(
            as_program(subject, native=True), play(subject), "the step as machine code gave something else",
            "what the step gives eagerly, within rounding",
            "avoid differences of numbers that are nearly equal, and comparisons of numbers that rounding may part",
            _ROUNDING,
        )  # fmt: skip


@check(*COMPUTING, "initializers")
def threads(subject: Subject) -> None:
    """Several threads at once give what one gives: members of an ensemble are trained side by side."""
    expected = play(subject)
    for found in in_threads(subject):
        expect_equal(
            found, expected, "a thread beside others gave something else", "what it gives alone",
            "keep nothing in module or class attributes",
        )  # fmt: skip


@check(*COMPUTING, "initializers")
def configuration(subject: Subject) -> None:
    """Its configuration goes through JSON and makes an object that acts the same: models are saved so."""
    made = subject.make()
    if any(callable(value) for value in subject.arguments.values()):
        raise SkipError("a function is among its arguments, which files alone can write")
    try:
        again = subject.again(made)
    except (TypeError, ValueError, KeyError, AttributeError, NotImplementedError) as error:
        text = " ".join(str(error).split()).rstrip(".")
        raise CheckError(
            f"its configuration cannot be written and read ({type(error).__name__}: {text})",
            "get_config() of plain numbers, texts, lists and dicts that the class takes as its arguments",
            "define get_config and from_config",
        ) from error
    expect_equal(
        play(subject, again), play(subject), "the object made from its configuration gave something else",
        "what the object itself gives", "let get_config return every argument of __init__ as it is now",
    )  # fmt: skip


@check(*COMPUTING, "initializers", "callbacks")
def unknown_argument(subject: Subject) -> None:
    """An argument it does not have raises a TypeError or ValueError that names it: a slip of the pen is found."""
    if not callable(subject.obj) or (not isinstance(subject.obj, type) and not inspect.isroutine(subject.obj)):
        raise SkipError("an object that is made already takes no arguments")
    try:
        subject.make(**{_UNKNOWN: 1})
        if not isinstance(subject.obj, type):
            inspect.signature(subject.obj).bind_partial(**{_UNKNOWN: 1})
    except (TypeError, ValueError) as error:
        if _UNKNOWN in str(error) or "takes no arguments" in str(error):
            return
        came = f"the unknown argument {_UNKNOWN} raised {type(error).__name__} ({str(error).rstrip('.')})"
    else:
        came = f"the unknown argument {_UNKNOWN} was taken"
    raise CheckError(
        came, "a TypeError or ValueError that names it",
        "name all arguments in the signature, and hand **kwargs on to a base class that refuses what it does not know",
    )  # fmt: skip


@check("initializers", "optimizers", "schedulers", "regularizers", "constraints", "losses", "metrics", "layers")
def wrong_argument(subject: Subject) -> None:
    """A text or NaN for a number is refused where the object is made, by the argument's name, not in training."""
    if not isinstance(subject.obj, type):
        raise SkipError("a function's arguments are numbers that it computes with")
    subject.make()
    for name, bad in _wrong(subject):
        try:
            subject.make(**{name: bad})
        except (TypeError, ValueError) as error:
            # Where a name may stand for the number, the text was taken for one that nothing has.
            if name in str(error) or isinstance(error, UnknownNameError):
                continue
            came = f"{name}={bad!r} raised {type(error).__name__} ({str(error).rstrip('.')})"
        else:
            came = f"{name}={bad!r} was taken"
        raise CheckError(
            came, f"a TypeError or ValueError that names {name}",
            "check each number in __init__, as td.checks.as_number does",
        )  # fmt: skip


def _wrong(subject: Subject) -> list[tuple[str, Any]]:
    """Return bad values for each argument of a class's own signature that is a number."""
    found: list[tuple[str, Any]] = []
    for parameter in inspect.signature(subject.obj).parameters.values():
        value = subject.arguments.get(parameter.name, parameter.default)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            found += [(parameter.name, "many"), (parameter.name, math.nan)]
    return found
