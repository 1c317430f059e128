"""What is done to the gradients before a rule sees them: the three kinds of clipping, and normalisation."""

from __future__ import annotations

from tinygrad_dnn import ops
from tinygrad_dnn.tensor import Tensor


def check_one_kind(owner: str, **kinds: object) -> None:
    """Refuse more than one kind of clipping, None and False being none.

    Raises:
        ValueError: Two or more were given.
    """
    chosen = [key for key, value in kinds.items() if value is not None and value is not False]
    if len(chosen) > 1:
        raise ValueError(f"{owner}: {' and '.join(chosen)} were given; at most one kind of clipping is possible.")


def by_value(grads: list[Tensor], limit: float) -> list[Tensor]:
    """Limit every element to [-limit, limit]."""
    return [ops.clip(g, -limit, limit) for g in grads]


def by_norm(grads: list[Tensor], limit: float) -> list[Tensor]:
    """Scale each gradient, by itself, to at most this Euclidean norm."""
    return [g * (limit / ops.maximum(ops.norm(g), limit)) for g in grads]


def by_global_norm(grads: list[Tensor], limit: float) -> list[Tensor]:
    """Scale all gradients together to at most this Euclidean norm (Pascanu, Mikolov and Bengio, 2013)."""
    return _scaled(grads, limit / ops.maximum(_global_norm(grads), limit))


def normalized(grads: list[Tensor]) -> list[Tensor]:
    """Scale all gradients together to the Euclidean norm 1, short ones too; gradients of 0 stay."""
    norm = _global_norm(grads)
    return _scaled(grads, 1 / ops.where(ops.greater(norm, 0), norm, 1.0))


def _global_norm(grads: list[Tensor]) -> Tensor:
    return ops.sqrt(ops.sum(ops.stack([ops.sum(g * g) for g in grads])))


def _scaled(grads: list[Tensor], scale: Tensor) -> list[Tensor]:
    return [g * ops.cast(scale, g.dtype) for g in grads]
