"""Launches: what a program is on a GPU, in the order in which it is done, without a word of any device."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_dnn.jit.operations import Operation

SCRATCH = -1
"""The slot of memory that launches use as they like; what one wrote there only the launches right after it read."""

ARGUMENT_BYTES = 4096
"""All that a kernel can be given, on every card and with every driver."""

NAME = "KERNEL"
"""Stands in a kernel's text for its name, which follows from the text."""


@dataclass(frozen=True)
class Pointer:
    """An argument that is an address: so many bytes into what a slot stands for."""

    slot: int
    offset: int = 0


@dataclass(frozen=True)
class Kernel:
    """A kernel in CUDA C, complete: it includes nothing, and holds no address and no length.

    Attributes:
        name: What the function is called; kernels of equal sources have equal names.
        source: The text of one ``extern "C" __global__`` function and what it needs. The function has one parameter, a
            structure of 64-bit integers, passed by value.
        threads: How many threads a block has.
    """

    name: str
    source: str
    threads: int

    @classmethod
    def of(cls, text: str, threads: int) -> Kernel:
        """Return the kernel of a text in which ``NAME`` stands for its name.

        Example:
            >>> from tinygrad_dnn.jit.cuda.launches import Kernel
            >>> Kernel.of('extern "C" __global__ void KERNEL() {}', 32).name
            'tinygrad_dnn_d10fb3e8967a28a0'
        """
        name = f"tinygrad_dnn_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        return cls(name, text.replace(NAME, name), threads)


@dataclass(frozen=True)
class Launch:
    """A kernel and what it is launched on.

    Attributes:
        kernel: The kernel.
        rows: The arguments, 8 bytes each, all rows one after another: each row is one group of operations.
        blocks: How many blocks there are, all of them in the grid's first axis.
        scratch_bytes: How much of the scratch memory it uses.
    """

    kernel: Kernel
    rows: tuple[tuple[Pointer | int, ...], ...]
    blocks: int
    scratch_bytes: int = 0

    @property
    def arguments(self) -> tuple[Pointer | int, ...]:
        """What the kernel's structure is filled with."""
        return tuple(x for row in self.rows for x in row)


@dataclass(frozen=True)
class Product:
    """Matrix products, all matrices in row-major order: z = x y, or a stack of such at even distances.

    Attributes:
        dtype: That of all matrices.
        x: Where the first x begins.
        y: Where the first y begins.
        z: Where the first z begins.
        transposed: Whether x and y lie transposed.
        lengths: The rows of z, the columns of z, and the length between.
        leading: How many elements the rows of x, y and z lie apart, as they lie.
        count: How many products there are.
        distances: How many elements further the next x, y and z begin.
    """

    dtype: np.dtype[Any]
    x: Pointer
    y: Pointer
    z: Pointer
    transposed: tuple[bool, bool]
    lengths: tuple[int, int, int]
    leading: tuple[int, int, int]
    count: int = 1
    distances: tuple[int, int, int] = (0, 0, 0)


@dataclass(frozen=True)
class Call:
    """An operation that is left to its primitive, on arrays of the device."""

    operation: Operation


Step = Launch | Product | Call
"""One thing of those that are done one after another."""
