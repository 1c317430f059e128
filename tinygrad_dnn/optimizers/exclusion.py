"""Which weights are left out of weight decay, by themselves or by their names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from tinygrad_dnn.tensor import Tensor


class Exclusion:
    """Some weights, and regular expressions that are searched in the others' names; ``in`` asks for one.

    Args:
        owner: Whose weights they are, for the error.
        weights: The weights themselves.
        patterns: Regular expressions.

    Raises:
        TypeError: Something among ``weights`` is no Tensor.
    """

    def __init__(self, owner: str, weights: Sequence[Tensor] = (), patterns: Sequence[str] = ()) -> None:
        for weight in weights:
            if not isinstance(weight, Tensor):
                raise TypeError(f"{owner}: var_list must be a list of weights, as layer.weights is; it has {weight!r}.")
        self._weights = tuple(weights)
        self._patterns = tuple(patterns)

    def __contains__(self, weight: Tensor) -> bool:
        # By identity: Tensors compare element by element.
        if any(weight is excluded for excluded in self._weights):
            return True
        return any(re.search(pattern, getattr(weight, "name", None) or "") for pattern in self._patterns)


def as_patterns(value: Any, owner: str) -> list[str]:
    """Return a list of regular expressions, which None leaves empty; ``owner`` is what an error calls it.

    Raises:
        ValueError: It is no list of regular expressions.
    """
    patterns = [] if value is None else value
    if not isinstance(patterns, (list, tuple)) or not all(isinstance(pattern, str) for pattern in patterns):
        raise ValueError(f"{owner} must be a list of regular expressions, not {value!r}.")
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{owner} must be regular expressions, not {pattern!r}: {error}.") from None
    return list(patterns)
