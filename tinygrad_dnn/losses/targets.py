"""What cross-entropies ask of the values of targets: looked at before training, where it costs one wait a data set."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def expecting(check: Callable[[str, Any, tuple[int, ...]], None]) -> Callable[[F], F]:
    """Give a loss function ``check_targets(y, outputs)``, which raises ValueError where its targets cannot be right.

    Args:
        check: Called with the function's name, the targets (a NumPy array or a Tensor), and the outputs' shape.
    """

    def mark(function: F) -> F:
        function.check_targets = functools.partial(check, function.__name__)  # type: ignore[attr-defined]
        return function

    return mark


def classes(name: str, y: Any, outputs: tuple[int, ...]) -> None:
    """Raise ValueError unless ``y`` has one class a sample, an integer below the number of outputs."""
    samples, count = outputs[:-1], outputs[-1] if outputs else 0
    if not outputs or y.shape not in (samples, (*samples, 1)):
        raise ValueError(
            f"{name}: y has shape {y.shape} and the model's outputs {outputs}; it needs one class a sample, of shape "
            f"{samples}. One-hot targets go with categorical_crossentropy."
        )
    wrong = (y < 0) | (y >= count)
    if y.dtype.kind == "f":
        wrong = wrong | (y != y.astype("int64"))
    _refuse(f"{name}: y must hold integers from 0 to {count - 1}, for the model has {count} outputs", y, wrong)


def probabilities(name: str, y: Any, outputs: tuple[int, ...]) -> None:
    """Raise ValueError unless ``y`` has a number in [0, 1] for each output."""
    if y.shape != outputs and (*y.shape, 1) != outputs:
        hint = " Integer classes go with sparse_categorical_crossentropy." if outputs[-1:] != (1,) else ""
        raise ValueError(f"{name}: y has shape {y.shape} and the model's outputs {outputs}; they must be equal.{hint}")
    # A smoothed or mixed target may miss the ends of the interval by a rounding error.
    _refuse(f"{name}: y must hold numbers in [0, 1]", y, (y < -1e-6) | (y > 1 + 1e-6))


def _refuse(expected: str, y: Any, wrong: Any) -> None:
    if bool(wrong.any()):
        place = int(wrong.reshape(-1).astype("int64").argmax())
        sample = place // max(1, wrong.size // len(y))
        raise ValueError(f"{expected}; sample {sample} holds {y.reshape(-1)[place].item()}.")
