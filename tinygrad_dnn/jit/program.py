"""Programs: what a function computed, as one ordered list of primitives on values; each pass returns another."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_dnn.graph import Primitive
from tinygrad_dnn.tensor import Tensor


class Value:
    """An array of a program: an argument, what a Tensor holds at the start, or what an instruction makes.

    A value is made once and never changed; an assignment lets a Tensor hold another value at the end.

    Attributes:
        shape: Its lengths, all known.
        dtype: The type of its elements.
        tensor: The Tensor that holds it at the start: state, or a constant that was made while recording; else None.
        name: What a printed program calls it.

    Example:
        >>> td.jit.record(lambda x: x[0] * 2, [td.ones(3)]).program.inputs
        [value: float32[3]]
    """

    __slots__ = ("dtype", "name", "shape", "tensor")

    def __init__(self, shape: Sequence[int], dtype: Any, tensor: Tensor | None = None, name: str = "") -> None:
        self.shape = tuple(shape)
        self.dtype = np.dtype(dtype)
        self.tensor = tensor
        self.name = name

    @property
    def size(self) -> int:
        """How many elements it has."""
        return math.prod(self.shape)

    def __repr__(self) -> str:
        return f"{self.name or 'value'}: {self.dtype.name}{list(self.shape)}"


@dataclass(eq=False, slots=True)
class Instruction:
    """One primitive applied.

    Attributes:
        primitive: What is done.
        inputs: Values and Python numbers.
        attributes: The primitive's attributes.
        output: The value it makes.

    Example:
        >>> td.jit.record(lambda x: x[0] * 2, [td.ones(3)]).program.instructions[0].primitive
        Primitive('multiply')
    """

    primitive: Primitive
    inputs: tuple[Any, ...]
    attributes: dict[str, Any]
    output: Value

    @property
    def sources(self) -> list[Value]:
        """The values among its inputs."""
        return [x for x in self.inputs if isinstance(x, Value)]


@dataclass(eq=False)
class Program:
    """What a function computed.

    Attributes:
        inputs: The values of its arguments, in order.
        instructions: In an order in which they can be run.
        outputs: The values it returns, in order.
        updates: The Tensors that hold another value at the end, with that value.

    Example:
        >>> program = td.jit.record(lambda x: td.exp(x[0]) * 2, [td.ones((2,))]).program
        >>> print(program)
        inputs   a: float32[2]
        b: float32[2] = exp(a)
        c: float32[2] = multiply(b, 2)
        returns  c
    """

    inputs: list[Value]
    instructions: list[Instruction]
    outputs: list[Value]
    updates: list[tuple[Tensor, Value]] = field(default_factory=list)

    @property
    def held(self) -> list[Value]:
        """The values that Tensors hold at the start, in the order of their first use."""
        found: dict[int, Value] = {}
        for step in self.instructions:
            for x in step.inputs:
                if type(x) is Value and x.tensor is not None:
                    found[id(x)] = x
        found.update((id(x), x) for x in self.ends() if x.tensor is not None)
        return list(found.values())

    def ends(self) -> Iterator[Value]:
        """Yield the values that are wanted at the end: those returned, and those that Tensors are to hold."""
        yield from self.outputs
        for _, value in self.updates:
            yield value

    def __str__(self) -> str:
        names: dict[int, str] = {}
        letters = map(_letters, itertools.count())

        def name(x: Any) -> str:
            if not isinstance(x, Value):
                return repr(x)
            if id(x) not in names:
                own = getattr(x.tensor, "path", "") if x.tensor is not None else x.name
                names[id(x)] = f"%{own}" if own else next(letters)
            return names[id(x)]

        def typed(x: Value) -> str:
            return f"{name(x)}: {x.dtype.name}{list(x.shape)}"

        lines = []
        if self.inputs:
            lines.append("inputs   " + ", ".join(typed(x) for x in self.inputs))
        lines.extend(f"holds    {typed(value)}" for value in self.held)
        for step in self.instructions:
            given = [name(x) for x in step.inputs] + [f"{key}={value!r}" for key, value in step.attributes.items()]
            lines.append(f"{typed(step.output)} = {step.primitive.name}({', '.join(given)})")
        for tensor, value in self.updates:
            lines.append(f"assigns  %{getattr(tensor, 'path', '') or 'tensor'} = {name(value)}")
        lines.append("returns  " + ", ".join(name(x) for x in self.outputs))
        return "\n".join(lines)


# Two of them that print alike are alike.
_PLAIN = frozenset({type(None), bool, int, float, complex, str, bytes, range, slice, type(Ellipsis)})


def exact(x: Any) -> Any:
    """Return what is equal for two values only if they are the same to a program: not for 1 and True, or 0.0 and -0.0.

    What is no number, text, or structure of such, is itself alone: its type and identity are returned.

    Example:
        >>> td.jit.program.exact([1, 0.0]) == td.jit.program.exact([1, -0.0])
        False
    """
    kind = type(x)
    if kind in _PLAIN:
        return kind, repr(x)
    if isinstance(x, np.dtype):
        return np.dtype, x.str
    if isinstance(x, np.generic) and x.dtype.kind in "fiubc":
        return kind, x.tobytes()
    if kind is list or kind is tuple:
        return kind, *map(exact, x)
    if kind is dict:
        return kind, *[(exact(key), exact(value)) for key, value in x.items()]
    return kind, id(x)


def _letters(number: int) -> str:
    """Return a, b, ..., z, aa, ab, ... for 0, 1, ..."""
    text = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        text = chr(ord("a") + rest) + text
    return text
