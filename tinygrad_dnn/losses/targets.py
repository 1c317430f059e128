"""What losses ask of the values of targets: looked at before training, where it costs one wait a data set."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def expecting(check: Callable[..., None]) -> Callable[[F], F]:
    """Give a loss function ``check_targets(y, outputs)``, which raises ValueError where its targets cannot be right.

    Args:
        check: Called with the function's name, the targets (a NumPy array or a Tensor), the outputs' shape, and what
            further arguments the loss has, by name.
    """

    def mark(function: F) -> F:
        function.check_targets = functools.partial(check, function.__name__)  # type: ignore[attr-defined]
        return function

    return mark


def classes(
    name: str, y: Any, outputs: tuple[int, ...], axis: int = -1, ignore_class: int | None = None, **others: Any
) -> None:
    """Raise ValueError unless ``y`` has one class a sample, an integer below the number of outputs along ``axis``."""
    if outputs and not -len(outputs) <= axis < len(outputs):
        return  # the loss itself says so, and better
    axis %= len(outputs) or 1
    samples, count = outputs[:axis] + outputs[axis + 1 :], outputs[axis] if outputs else 0
    if not outputs or y.shape not in (samples, (*outputs[:axis], 1, *outputs[axis + 1 :])):
        raise ValueError(
            f"{name}: y has shape {y.shape} and the model's outputs {outputs}; it needs one class a sample, of shape "
            f"{samples}. One-hot targets go with categorical_crossentropy."
        )
    wrong = (y < 0) | (y >= count)
    if y.dtype.kind == "f":
        wrong = wrong | (y != y.astype("int64"))
    if ignore_class is not None:
        wrong = wrong & (y != ignore_class)
    ignored = "" if ignore_class is None else f" or the class {ignore_class} that is ignored"
    _refuse(f"{name}: y must hold integers from 0 to {count - 1}{ignored}, for the model has {count} outputs", y, wrong)


def probabilities(name: str, y: Any, outputs: tuple[int, ...], **others: Any) -> None:
    """Raise ValueError unless ``y`` has a number in [0, 1] for each output."""
    _check_shape(name, y, outputs, " Integer classes go with sparse_categorical_crossentropy.")
    # A smoothed or mixed target may miss the ends of the interval by a rounding error.
    _refuse(f"{name}: y must hold numbers in [0, 1]", y, (y < -1e-6) | (y > 1 + 1e-6))


def signs(name: str, y: Any, outputs: tuple[int, ...], **others: Any) -> None:
    """Raise ValueError unless ``y`` has -1 or 1 for each output, or 0 or 1."""
    _check_shape(name, y, outputs)
    negative, zero = y == -1, y == 0
    _refuse(f"{name}: y must hold -1 and 1, or 0 and 1", y, (y != 1) & ~negative & ~zero)
    if bool(negative.any()):
        _refuse(f"{name}: y must hold -1 and 1, or 0 and 1, and not all three", y, zero)


def not_negative(name: str, y: Any, outputs: tuple[int, ...], **others: Any) -> None:
    """Raise ValueError unless ``y`` has a number of at least 0 for each output."""
    _check_shape(name, y, outputs)
    _refuse(f"{name}: y must hold numbers of at least 0", y, y < 0)


def _check_shape(name: str, y: Any, outputs: tuple[int, ...], advice: str = "") -> None:
    if y.shape != outputs and (*y.shape, 1) != outputs:
        hint = advice if outputs[-1:] != (1,) else ""
        raise ValueError(f"{name}: y has shape {y.shape} and the model's outputs {outputs}; they must be equal.{hint}")


def _refuse(expected: str, y: Any, wrong: Any) -> None:
    if bool(wrong.any()):
        place = int(wrong.reshape(-1).astype("int64").argmax())
        sample = place // max(1, wrong.size // len(y))
        raise ValueError(f"{expected}; sample {sample} holds {y.reshape(-1)[place].item()}.")
