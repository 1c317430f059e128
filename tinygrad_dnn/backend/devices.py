"""What compiled programs need of a GPU: kernels, matrix products, memory and graphs, whatever library gives them."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

Array = Any
"""An array of the backend whose device it is."""


class Kernel(Protocol):
    """A kernel in CUDA C, complete in one text."""

    @property
    def name(self) -> str:
        """The name of its function, which tells kernels apart."""

    @property
    def source(self) -> str:
        """Its text."""

    @property
    def threads(self) -> int:
        """How many threads a block has."""


class Graph(ABC):
    """Work on a device that was captured once, and is done again by one launch; it keeps alive what it needs."""

    @abstractmethod
    def launch(self) -> None:
        """Do all of it, after what was asked of the device before."""


class Device(ABC):
    """One device, in whose memory the arrays of a backend lie.

    All is done in the order in which it is asked for, and nothing waits for it.

    Attributes:
        number: Which of the devices of its kind it is.
    """

    number: int

    def turn(self) -> contextlib.AbstractContextManager[object]:
        """Return a context for one run of a program, which follows all such runs before it, whoever asked for them."""
        return contextlib.nullcontext()

    @abstractmethod
    def load(self, kernels: Sequence[Kernel]) -> list[Any]:
        """Compile those kernels that were not compiled before; return for each what ``launch`` takes.

        Raises:
            RuntimeError: One cannot be compiled; the message has the compiler's own words.
        """

    @abstractmethod
    def launch(self, kernel: Any, blocks: int, arguments: bytes) -> None:
        """Launch a kernel.

        Args:
            kernel: What ``load`` returned for it.
            blocks: How many blocks there are, along the grid's first axis.
            arguments: The bytes of the structure that is its only parameter, passed by value.
        """

    @abstractmethod
    def product(
        self, dtype: np.dtype[Any], addresses: tuple[int, int, int], transposed: tuple[bool, bool],
        lengths: tuple[int, int, int], leading: tuple[int, int, int], count: int = 1,
        distances: tuple[int, int, int] = (0, 0, 0),
    ) -> None:  # fmt: skip
        """Multiply matrices in row-major order, z = x y, or a stack of them at even distances.

        Args:
            dtype: The type of all elements; those of 16 bits are multiplied and added up in float32.
            addresses: Where x, y and z begin.
            transposed: Whether x and y lie transposed.
            lengths: The rows of z, the columns of z, and the length between.
            leading: How many elements the rows of x, y and z lie apart, as they lie.
            count: How many products there are.
            distances: How many elements further the next x, y and z begin.

        Raises:
            RuntimeError: The library refuses; the message has its words.
        """

    @abstractmethod
    def empty(self, nbytes: int) -> Array:
        """Return new memory as an array of bytes, which begins at a multiple of 256."""

    @abstractmethod
    def address(self, array: Array) -> int:
        """Return where the first element of an array is."""

    @abstractmethod
    def seen(
        self, array: Array, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any], strides: tuple[int, ...]
    ) -> Array:  # fmt: skip
        """Return other elements of an array's memory as an array, which keeps the memory alive.

        Args:
            array: Whose memory it is.
            offset: How many bytes behind the array's first element the first one is.
            shape: The lengths.
            dtype: The type of the elements.
            strides: How many bytes further the next element along each axis is.
        """

    @abstractmethod
    def copy(self, target: Array, source: Array) -> None:
        """Copy the elements of an array of the device into another of the same shape and type."""

    def functions(self, backend: Any) -> Any:
        """Return the functions of this device's backend as primitives are to have them inside of a capture."""
        return backend

    @abstractmethod
    def call(self, function: Callable[..., Array], given: Sequence[Any], target: Array) -> None:
        """Call a function on arrays and numbers, and copy its result into an array.

        Raises:
            ValueError: The result is of another shape or type than the array.
        """

    @abstractmethod
    def is_plain(self, array: Array) -> bool:
        """Tell whether a kernel of this device can read an array as it lies: in row-major order, side by side."""

    @abstractmethod
    def references(self, arrays: Sequence[Array]) -> list[int]:
        """Return how many references there are to each array and, where others may hold that, to its memory."""

    @abstractmethod
    def capture(self, work: Callable[[], None]) -> Graph:
        """Return a graph of what a function asks of the device, none of which is done now.

        Args:
            work: The function. What it launches, multiplies and calls has been done before, so that all is loaded.

        Raises:
            Exception: Whatever the function raises, or the device, if something in it cannot be captured. The capture
                is over then.
        """

    @abstractmethod
    def synchronize(self) -> None:
        """Wait until everything asked of the device is done.

        Raises:
            Exception: Something of it failed.
        """
