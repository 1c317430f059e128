"""The ONNX graph under construction: its nodes and constants, and the names that they are known by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_dnn.export.lengths import BATCH, Length, Size
from tinygrad_dnn.export.tracing import Array, Step


@dataclass(eq=False)
class Node:
    """An ONNX operation: its name there, what it reads and makes by name, and its attributes."""

    operation: str
    inputs: list[str]
    output: str
    attributes: dict[str, Any] = field(default_factory=dict)


class Nodes:
    """Nodes in an order in which they can be run, and constants.

    Args:
        reserved: Names that are not to be given: those of the model's inputs and outputs.

    Attributes:
        nodes: The nodes.
        constants: The constants by name.
        makers: The steps that make arrays, by the arrays' identities.
    """

    def __init__(self, reserved: Sequence[str]) -> None:
        self.nodes: list[Node] = []
        self.constants: dict[str, np.ndarray] = {}
        self.makers: dict[int, Step] = {}
        self._taken = set(reserved)
        self._names: dict[int, str] = {}
        self._unspread: dict[int, str] = {}
        self._known: dict[Any, str] = {}
        self._batch_of: str | None = None
        self._alive: list[Array] = []  # or another object could take the identity of one that is gone

    def add(self, operation: str, *inputs: str, **attributes: Any) -> str:
        """Add a node and return the name of what it makes."""
        output = self._unique(operation.lower())
        self.nodes.append(Node(operation, list(inputs), output, attributes))
        return output

    def call(self, array: Array, name: str) -> None:
        """Let an array have the name of what makes it."""
        self._alive.append(array)
        self._names[id(array)] = name

    def given(self, array: Array, name: str) -> None:
        """Let an array be an input of the model."""
        self.call(array, name)
        if self._batch_of is None and array.shape[:1] == (BATCH,):
            self._batch_of = name

    def name(self, array: Array) -> str:
        """Return the name of an array, made of constants where no node makes it."""
        if id(array) not in self._names:
            self.call(array, self._spread(array) if array.constant is None else self.unspread(array))
        return self._names[id(array)]

    def unspread(self, array: Array) -> str:
        """Return the name of an array that broadcasts to one: of length 1 where it is alike for all samples."""
        if array.held is None or array.step is not None:
            return self.name(array)
        if id(array) not in self._unspread:
            self._alive.append(array)
            self._unspread[id(array)] = self.constant(array.held, array.name)
        return self._unspread[id(array)]

    def _spread(self, array: Array) -> str:
        """Repeat a constant along the lengths that follow the batch, a step further for each sample."""
        assert array.held is not None
        if array.step is None:
            return self.add("Expand", self.unspread(array), self.lengths(array.shape))
        (axis,) = (i for i, n in enumerate(array.shape) if isinstance(n, Length))
        zero, one = (self.constant(np.array(n, np.int64)) for n in (0, 1))
        end = self.add("Squeeze", self.lengths([array.shape[axis]]))
        number = self.cast(self.add("Range", zero, end, one), np.dtype(np.int64), array.dtype)
        along = [-1 if i == axis else 1 for i in range(len(array.shape))]
        number = self.add("Reshape", number, self.lengths(along))
        return self.add("Add", self.constant(array.held), self.add("Mul", number, self.constant(array.step)))

    def constant(self, array: np.ndarray, name: str = "") -> str:
        """Return the name of a constant."""
        array = np.ascontiguousarray(array).reshape(array.shape)
        key = (array.dtype.str, array.shape, array.tobytes(), name) if array.size <= 64 or name else None
        if key is None or key not in self._known:
            found = self._unique(name or "constant")
            self.constants[found] = array
            if key is None:
                return found
            self._known[key] = found
        return self._known[key]

    def number(self, value: Any, dtype: np.dtype[Any]) -> str:
        """Return the name of a number of a type, which may be a length."""
        if isinstance(value, Length):
            return self.cast(self.add("Squeeze", self.lengths([value])), np.dtype(np.int64), dtype)
        return self.constant(np.array(value, dtype))

    def lengths(self, sizes: Sequence[Size]) -> str:
        """Return the name of a vector of lengths."""
        if not any(isinstance(n, Length) for n in sizes):
            return self.constant(np.array(sizes, np.int64))
        key = tuple(sizes)
        if key not in self._known:
            parts = [self._length(n) if isinstance(n, Length) else self.lengths([n]) for n in sizes]
            self._known[key] = self.add("Concat", *parts, axis=0) if len(parts) > 1 else parts[0]
        return self._known[key]

    def _length(self, length: Length) -> str:
        key = (length,)
        if key not in self._known:
            if self._batch_of is None:
                raise ValueError("nothing among its inputs tells the length of the batch")
            if length == BATCH:
                found = self.add("Shape", self._batch_of, start=0, end=1)
            else:
                found = self.lengths([BATCH])
                if length.per_sample != 1:
                    found = self.add("Mul", found, self.lengths([length.per_sample]))
                if length.added:
                    found = self.add("Add", found, self.lengths([length.added]))
            self._known[key] = found
        return self._known[key]

    def cast(self, name: str, old: np.dtype[Any], new: np.dtype[Any]) -> str:
        """Return the name of an array in another type."""
        return name if old == new else self.add("Cast", name, to=new)

    def transpose(self, array: Array, axes: Sequence[int]) -> str:
        """Return the name of an array with its axes in another order; of a constant, another constant."""
        if array.constant is not None:
            return self.constant(np.transpose(array.constant, axes), array.name)
        return self.add("Transpose", self.name(array), perm=list(axes))

    def finished(self, outputs: Sequence[tuple[str, str]]) -> tuple[list[Node], dict[str, np.ndarray]]:
        """Return the nodes and constants that the outputs need.

        Args:
            outputs: What each output is, by the name it has so far, and the name that it gets.
        """
        made = {node.output for node in self.nodes}
        renamed: dict[str, str] = {}
        for old, new in outputs:
            if old in made and old not in renamed:
                renamed[old] = new
            else:
                self.nodes.append(Node("Identity", [old], new))
        kept: list[Node] = []
        needed = {new for _, new in outputs}
        for node in reversed(self.nodes):
            node.output = renamed.get(node.output, node.output)
            node.inputs = [renamed.get(name, name) for name in node.inputs]
            if node.output in needed:
                needed.update(node.inputs)
                kept.append(node)
        return kept[::-1], {name: array for name, array in self.constants.items() if name in needed}

    def _unique(self, base: str) -> str:
        name, number = base, 0
        while name in self._taken:
            number += 1
            name = f"{base}_{number}"
        self._taken.add(name)
        return name
