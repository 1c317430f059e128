"""What is probed: a backend with a device, how thoroughly, and how its memory is looked at and used up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

import tinygrad_dnn as td

MIB = 2**20


class Card(NamedTuple):
    """What is probed, and how thoroughly.

    Attributes:
        backend: Whose arrays.
        launches: How often a graph is launched, and a step done.
        depth: Hidden layers of the network that is trained.
        inputs: Its inputs.
        large: The side of the largest product, and a thousandth of the longest vector.
        free: Returns the bytes of the device that nobody has taken; None where nobody can tell.
        fill: Takes memory until none is left, and returns what holds it.
    """

    backend: str
    launches: int
    depth: int
    inputs: int
    large: int
    free: Callable[[Any], int | None]
    fill: Callable[[Any], list[Any]]

    @property
    def xp(self) -> Any:
        return td.backend.get(self.backend)

    @property
    def device(self) -> Any:
        return self.xp.device


def free_bytes(xp: Any) -> int | None:
    """Return the bytes of a GPU that nobody has taken; those that CuPy keeps for later count as taken."""
    xp.synchronize()
    free: int | None = xp.memory().free
    return free


def fill_memory(xp: Any) -> list[Any]:
    """Take a GPU's memory, in pieces that become smaller, until 16 MiB are refused; return what holds it."""
    held: list[Any] = []
    size = 2**34
    while size >= 16 * MIB:
        try:
            held.append(xp.empty(size, np.uint8))
        except MemoryError:
            size //= 2
    return held


GPU = Card("cupy", 1000, 20, 3072, 1024, free_bytes, fill_memory)


def differing(some: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> int:
    """Return in how many places arrays differ in any bit."""
    return sum(
        int((a.reshape(-1).view(np.uint8) != b.reshape(-1).view(np.uint8)).reshape(a.size, -1).any(axis=1).sum())
        for a, b in zip(some, others, strict=True)
    )
