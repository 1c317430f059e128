"""How a specimen is told which check it breaks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tinygrad_dnn.graph import Primitive
from tinygrad_dnn.tensor import Tensor, apply


@dataclass(frozen=True)
class Specimen:
    """A broken object.

    Attributes:
        kind: Its kind's plural.
        check: The check that it fails.
        thing: The function or class.
        message: A part of the sentence that names what came.
        also: Further checks that it cannot but fail.
    """

    kind: str
    check: str
    thing: Any
    message: str
    also: frozenset[str]


SPECIMENS: list[Specimen] = []


def breaks(kind: str, check: str, message: str, also: Iterable[str] = ()) -> Callable[[Any], Any]:
    """Return a decorator that lists a broken object of a kind."""

    def adding(thing: Any) -> Any:
        SPECIMENS.append(Specimen(kind, check, thing, message, frozenset(also)))
        return thing

    return adding


def crooked(x: Tensor) -> Tensor:
    """Return the square with a slope that is too steep by a hundredth."""
    return apply(_CROOKED, (x,))


_CROOKED = Primitive("crooked", lambda xp, x: xp.multiply(x, x), x=lambda g, x: 2.02 * g * x)


def mean_square(y_true: Any, y_pred: Any) -> Tensor:
    """Return the mean squared error of each sample."""
    return ((y_true - y_pred) ** 2).mean(axis=-1)
