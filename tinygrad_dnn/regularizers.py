"""Regularizers: penalties on weights that join the loss, by Keras's names and defaults."""

from __future__ import annotations

from typing import Any

from tinygrad_dnn import ops, registry
from tinygrad_dnn.checks import Checked
from tinygrad_dnn.hookspecs import Register, hookimpl
from tinygrad_dnn.tensor import Tensor

__all__ = [
    "L1", "L1L2", "L2", "OrthogonalRegularizer", "Regularizer", "get", "l1", "l1_l2", "l2", "orthogonal", "serialize",
]  # fmt: skip


class Regularizer(Checked):
    """Base of all regularizers: a callable of a weight that returns a scalar Tensor.

    A subclass writes ``__call__`` and, where it has arguments, ``get_config``.

    Example:
        >>> class L4(td.regularizers.Regularizer):
        ...     def __call__(self, x):
        ...         return (x**4).sum()
        >>> L4()(td.tensor([1.0, 2.0]))
        Tensor(17., dtype=float32)
    """

    def __call__(self, x: Tensor) -> Tensor:
        """Return the penalty of a weight, a Tensor of shape ()."""
        raise NotImplementedError(f"{type(self).__name__} does not define __call__(x).")

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this regularizer again."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Regularizer:
        """Return the regularizer that ``get_config`` described."""
        return cls(**config)


class L1L2(Regularizer):
    """The penalty ``l1 * sum(|x|) + l2 * sum(x**2)``, the elastic net's.

    Args:
        l1: The factor of the absolute values, at least 0.
        l2: The factor of the squares, at least 0; there is no 1/2 in it.

    Raises:
        ValueError: A factor is negative or not finite.

    Example:
        >>> td.regularizers.L1L2(l1=0.1, l2=0.01)(td.tensor([1.0, -2.0]))
        Tensor(0.35, dtype=float32)

    Reference:
        Zou and Hastie, "Regularization and variable selection via the elastic net", 2005.
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1 = self._number("l1", l1, "[0, inf)")
        self.l2 = self._number("l2", l2, "[0, inf)")

    def __call__(self, x: Tensor) -> Tensor:
        absolute = self.l1 * ops.abs(x).sum() if self.l1 else None
        squared = self.l2 * (x * x).sum() if self.l2 or absolute is None else None
        if absolute is None or squared is None:
            return absolute if squared is None else squared  # type: ignore[return-value]
        return absolute + squared

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1, "l2": self.l2}


class L1(Regularizer):
    """The penalty ``l1 * sum(|x|)``, which drives weights to 0.

    Args:
        l1: The factor, at least 0.

    Raises:
        ValueError: The factor is negative or not finite.

    Example:
        >>> td.regularizers.L1(0.1)(td.tensor([1.0, -2.0]))
        Tensor(0.3, dtype=float32)

    Reference:
        Tibshirani, "Regression shrinkage and selection via the lasso", 1996.
    """

    def __init__(self, l1: float = 0.01) -> None:
        self.l1 = self._number("l1", l1, "[0, inf)")

    def __call__(self, x: Tensor) -> Tensor:
        return self.l1 * ops.abs(x).sum()

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1}


class L2(Regularizer):
    """The penalty ``l2 * sum(x**2)``, which shrinks weights; there is no 1/2 in it.

    Args:
        l2: The factor, at least 0.

    Raises:
        ValueError: The factor is negative or not finite.

    Example:
        >>> td.regularizers.L2(0.1)(td.tensor([1.0, -2.0]))
        Tensor(0.5, dtype=float32)

    Reference:
        Hoerl and Kennard, "Ridge regression", 1970.
    """

    def __init__(self, l2: float = 0.01) -> None:
        self.l2 = self._number("l2", l2, "[0, inf)")

    def __call__(self, x: Tensor) -> Tensor:
        return self.l2 * (x * x).sum()

    def get_config(self) -> dict[str, Any]:
        return {"l2": self.l2}


class OrthogonalRegularizer(Regularizer):
    """The mean absolute cosine between the rows (or columns) of a matrix, times ``factor``.

    Args:
        factor: At least 0.
        mode: "rows" or "columns".

    Raises:
        ValueError: An argument is out of its range; on calling, the weight is no matrix.

    Example:
        >>> penalty = td.regularizers.OrthogonalRegularizer(factor=1.0)
        >>> penalty(td.tensor([[1.0, 0.0], [0.0, 2.0]])), penalty(td.tensor([[1.0, 0.0], [3.0, 0.0]]))
        (Tensor(0., dtype=float32), Tensor(1., dtype=float32))
    """

    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        self.factor = self._number("factor", factor, "[0, inf)")
        self.mode = self._choice("mode", mode, ("rows", "columns"))

    def __call__(self, x: Tensor) -> Tensor:
        if x.ndim != 2:
            raise ValueError(f"OrthogonalRegularizer takes a matrix, not a weight of shape {x.shape}.")
        rows = x if self.mode == "rows" else x.T
        # The floor lies far below any norm in use; without it a row of zeros would have NaN for a gradient.
        lengths = ops.sqrt(ops.maximum((rows * rows).sum(axis=1, keepdims=True), 1e-24))
        directions = rows / lengths
        n = rows.shape[0]
        others = 1.0 - ops.eye(n, dtype=x.dtype)
        cosines = ops.abs((directions @ directions.T) * others).sum()
        return cosines * (self.factor / max(n * (n - 1), 1))  # each pair stands in the product twice

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, "mode": self.mode}


l1 = L1
l2 = L2
l1_l2 = L1L2
orthogonal = OrthogonalRegularizer

get, serialize = registry.regularizers.get, registry.regularizers.serialize


@hookimpl
def register_regularizers(register: Register) -> None:
    """Register the built-in regularizers, as a plugin registers its own."""
    for regularizer in (L1, L2, L1L2):
        register(regularizer)
    register(OrthogonalRegularizer, aliases=("orthogonal",))
