"""Borrowing: long arrays that a program only reads are read where they are, not copied to where they were laid out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from tinygrad_dnn.jit.numpy_calls import Call

# To bind a call to another array and back takes as long as to copy so many bytes.
INPUT_BYTES = 2**15
# What a Tensor holds is copied only after it was assigned to: here reading must take some ten times as long.
CONSTANT_BYTES = 2**18


class _Use(NamedTuple):
    """An argument of a call that shows the array, or a part of it.

    Attributes:
        call: The call's number.
        place: The argument's place in the call.
        shown: The argument.
        offset: How many bytes behind the array's beginning its first element lies; None for the array itself.
    """

    call: int
    place: int
    shown: np.ndarray
    offset: int | None


class Loan:
    """An array that was laid out, in whose place calls can read another of its kind.

    Args:
        own: The array that was laid out.

    Example:
        >>> own, out = np.zeros(3), np.zeros(2)
        >>> calls = [(np.add, own[1:], 1.0, out)]
        >>> [loan] = td.jit.borrowing.loans([own], 0, calls, [])
        >>> loan.borrow(np.arange(3.0), calls)
        True
        >>> np.add(*calls[0][1:])
        array([2., 3.])
        >>> loan.give_back(calls)
        >>> np.add(*calls[0][1:])
        array([1., 1.])
    """

    def __init__(self, own: np.ndarray) -> None:
        self.own = own
        self.uses: list[_Use] = []

    def add(self, call: int, place: int, shown: np.ndarray) -> None:
        """Note an argument that shows the array."""
        offset = None if shown is self.own else _address(shown) - _address(self.own)
        self.uses.append(_Use(call, place, shown, offset))

    def borrow(self, array: np.ndarray, calls: list[Call]) -> bool:
        """Let the calls read an array; False, and nothing is done, if it does not lie in memory as the own one does."""
        plain = type(array) is np.ndarray and array.flags.c_contiguous and array.flags.aligned
        if not plain or array.shape != self.own.shape or array.dtype != self.own.dtype:
            return False
        for call, place, shown, offset in self.uses:
            seen = array if offset is None else np.ndarray(shown.shape, shown.dtype, array, offset, shown.strides)
            calls[call] = _with(calls[call], place, seen)
        return True

    def give_back(self, calls: list[Call]) -> None:
        """Let the calls read the own array again: nothing refers to the one that was borrowed."""
        for call, place, shown, _ in self.uses:
            calls[call] = _with(calls[call], place, shown)


def loans(
    arrays: Sequence[np.ndarray], nbytes: int, calls: Sequence[Call], kept: Iterable[np.ndarray]
) -> list[Loan | None]:
    """Return for each array that calls only read what lets them read another in its place, or None.

    Args:
        arrays: As they were laid out.
        nbytes: How long an array has to be, for each argument that shows it.
        calls: What reads them.
        kept: What is read otherwise than by the calls; an array that is shown there cannot be borrowed.
    """
    found = {id(array): Loan(array) for array in arrays if array.base is None and array.nbytes >= nbytes}
    for array in kept:
        found.pop(id(_whole(array)), None)
    for number, call in enumerate(calls) if found else ():
        for place, x in enumerate(call):
            if isinstance(x, np.ndarray) and (loan := found.get(id(_whole(x)))):
                loan.add(number, place, x)
    return [
        loan if (loan := found.get(id(array))) and array.nbytes >= nbytes * len(loan.uses) else None for array in arrays
    ]


def _with(call: Call, place: int, argument: np.ndarray) -> Call:
    return *call[:place], argument, *call[place + 1 :]


def _whole(array: np.ndarray) -> np.ndarray:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])
