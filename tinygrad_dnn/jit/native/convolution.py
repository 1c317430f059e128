"""Convolutions: blocks of windows copied beside each other and multiplied by the BLAS while they are in the cache."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_dnn.jit.memory import Place
from tinygrad_dnn.jit.native import blas
from tinygrad_dnn.jit.native.kernel import NAME, Kernel
from tinygrad_dnn.jit.native.text import Body, type_of
from tinygrad_dnn.jit.operations import Operation
from tinygrad_dnn.jit.products import PLAIN, TRANSPOSED
from tinygrad_dnn.jit.program import Instruction, Value
from tinygrad_dnn.jit.views import View
from tinygrad_dnn.ops.window import CONVOLVE, CONVOLVE_KERNEL

# A block lies on the stack of the thread that works on it.
_BLOCK_BYTES = 2**18

# What is read soon after it was written should be in the innermost caches, but fewer windows than some are no matrix
# that the BLAS is fast on. Where it writes the block and transposes the kernel for each, larger ones pay.
_BYTES = {"convolve": 2**16, "convolve_kernel": 2**16, "convolve_transposed": 2**17}
_GOOD, _LEAST = 32, 8


def can_convolve(instruction: Instruction) -> bool:
    """Tell whether there is a kernel for a convolution: there is a BLAS, and a block has room for some windows."""
    output = instruction.output
    if output.dtype not in (np.float32, np.float64) or blas.gemm(type_of(output.dtype)) is None:
        return False
    if instruction.primitive is CONVOLVE and isinstance(instruction.inputs[2], Value):
        return False
    kernel = output if instruction.primitive is CONVOLVE_KERNEL else instruction.inputs[1]
    window = math.prod(kernel.shape[:3]) * output.dtype.itemsize
    return all(x.size for x in (*instruction.sources, output)) and window * _LEAST <= _BLOCK_BYTES


def convolution(operation: Operation, place_of: Callable[[Value], Place | None]) -> Kernel:
    """Return the kernel of a convolution or of one of its gradients; see ``Operation.window``."""
    return _Writer(operation, place_of).kernel()


@dataclass
class _Axis:
    """An axis of a window: its length and its stride, as registers; the stride is none if elements lie together."""

    length: str
    stride: str


class _Writer:
    """Writes one kernel."""

    def __init__(self, operation: Operation, place_of: Callable[[Value], Place | None]) -> None:
        assert operation.window is not None
        self.operation = operation
        self.window: View = operation.window
        self.place_of = place_of
        self.dtype: np.dtype[Any] = operation.target.root.dtype
        self.kind = type_of(self.dtype)
        self.body = Body()
        self.arguments: list[int] = []

    def kernel(self) -> Kernel:
        """Write the kernel."""
        body, operation = self.body, self.operation
        images, rows, columns = self.window.shape[:3]
        length = math.prod(self.window.shape[3:])
        name = operation.name
        filters = (operation.sources[1] if name != "convolve_transposed" else operation.sources[0]).shape[-1]
        self.gemm = self.body.new(f"inttoptr i64 {self._argument(blas.gemm(self.kind) or 0)} to ptr")
        self.x, self.y, self.z = (self._pointer(view) for view in (*operation.sources, operation.target))
        self.length, self.filters = self._argument(length), self._argument(filters)
        self.columns, self.per_image = self._argument(columns), self._argument(rows * columns)
        self.steps = [self._argument(stride) for stride in self.window.strides[:3]]
        self.axes = [_Axis(self._argument(n), "" if s == 1 else self._argument(s)) for n, s in self._window_axes()]
        window = length * self.dtype.itemsize
        most = min(max(_BYTES[name] // window, _GOOD), _BLOCK_BYTES // window, images * rows * columns)
        self.most = self._argument(most)
        self.block = body.new(f"alloca [{_BLOCK_BYTES} x i8], align 64")
        writes = {
            "convolve": self._images, "convolve_kernel": self._kernels, "convolve_transposed": self._transposed,
        }  # fmt: skip
        body.line("%some = icmp slt i64 %lo, %hi")
        body.line("br i1 %some, label %begin, label %end")
        body.line("begin:")
        units = writes[name](images * rows * columns, most)
        body.line("br label %end")
        body.line("end:")
        head = f"define void @{NAME}(ptr %table, ptr %arguments, i64 %lo, i64 %hi) {{"
        text = "\n".join([*self._run(), head, "entry:", *body.lines, "ret void", "}"])
        return Kernel(text, tuple(self.arguments), units, frozenset(), True)

    # -- the three of them ---------------------------------------------------------------------------------------------

    def _images(self, windows: int, most: int) -> int:
        """Write the convolution: the outermost loop goes over blocks of windows, each the rows of a matrix."""
        body = self.body
        count = self._argument(windows)
        unit, close = body.loop("%lo", "%hi", "1")
        start = body.binary("mul", "i64", unit, self.most)
        number = self._smaller(body.binary("sub", "i64", count, start), self.most)
        self._gather(start, number)
        out = self._element(self.z, body.binary("mul", "i64", start, self.filters))
        self._product((False, False), (number, self.filters, self.length), (self.block, self.length),
                      (self.y, self.filters), "0.0", (out, self.filters))  # fmt: skip
        close()
        return -(-windows // most)

    def _kernels(self, windows: int, most: int) -> int:
        """Write the gradient of the kernel: the outermost loop goes over parts, each a sum of products of blocks."""
        body = self.body
        parts = self.operation.target.shape[0]
        count, each = self._argument(windows), self._argument(-(-windows // parts))
        size = body.binary("mul", "i64", self.length, self.filters)
        unit, close = body.loop("%lo", "%hi", "1")
        low = body.binary("mul", "i64", unit, each)
        high = self._smaller(body.binary("add", "i64", low, each), count)
        out = self._element(self.z, body.binary("mul", "i64", unit, size))
        start, next_block = body.loop(low, high, self.most)
        number = self._smaller(body.binary("sub", "i64", high, start), self.most)
        self._gather(start, number)
        given = self._element(self.y, body.binary("mul", "i64", start, self.filters))
        before = body.select(body.compare("eq", "i64", start, low), self.kind, "0.0", "1.0")
        self._product((True, False), (self.length, self.filters, number), (self.block, self.length),
                      (given, self.filters), before, (out, self.filters))  # fmt: skip
        next_block()
        close()
        return parts

    def _transposed(self, windows: int, most: int) -> int:
        """Write the gradient of the images: the outermost loop goes over images, to which windows are added."""
        body = self.body
        images = self.window.shape[0]
        size = self._argument(self.operation.target.size // images)
        unit, close = body.loop("%lo", "%hi", "1")
        out = self._element(self.z, body.binary("mul", "i64", unit, self.steps[0] if images > 1 else "0"))
        index, end = body.loop("0", size, "1")
        body.line(f"store {self.kind} 0.0, ptr {self._element(out, index)}")
        end()
        low = body.binary("mul", "i64", unit, self.per_image)
        start, next_block = body.loop("0", self.per_image, self.most)
        number = self._smaller(body.binary("sub", "i64", self.per_image, start), self.most)
        place = body.binary("add", "i64", low, start)
        given = self._element(self.x, body.binary("mul", "i64", place, self.filters))
        self._product((False, True), (number, self.length, self.filters), (given, self.filters),
                      (self.y, self.filters), "0.0", (self.block, self.length))  # fmt: skip
        self._each_window(place, number, self.z)
        next_block()
        close()
        return images

    # -- parts ---------------------------------------------------------------------------------------------------------

    def _gather(self, start: str, number: str) -> None:
        """Copy so many windows into the block."""
        self._each_window(start, number, self.x)

    def _each_window(self, start: str, number: str, images: str) -> None:
        """Copy windows of images into the block, or add those in the block to the images."""
        body = self.body
        index, close = body.loop("0", number, "1")
        window = body.binary("add", "i64", start, index)
        image = body.binary("sdiv", "i64", window, self.per_image)
        rest = body.binary("srem", "i64", window, self.per_image)
        places = (image, body.binary("sdiv", "i64", rest, self.columns), body.binary("srem", "i64", rest, self.columns))
        for place, step in zip(places, self.steps, strict=True):
            images = self._element(images, body.binary("mul", "i64", place, step))
        beside = self._element(self.block, body.binary("mul", "i64", index, self.length))
        self._elements(images, beside, self.axes)
        close()

    def _elements(self, spread: str, together: str, axes: Sequence[_Axis]) -> None:
        """Write the loops over a window's axes, from the first one inwards; the last one is a function of its own."""
        body = self.body
        axis, *others = axes
        if not others:
            stride = f", i64 {axis.stride}" if axis.stride else ""
            body.line(f"call void @{NAME}.run(ptr {spread}, ptr {together}, i64 {axis.length}{stride})")
            return
        index, close = body.loop("0", axis.length, "1")
        moved = self._element(spread, body.binary("mul", "i64", index, axis.stride) if axis.stride else index)
        step = index
        for other in others:
            step = body.binary("mul", "i64", step, other.length)
        self._elements(moved, self._element(together, step), others)
        close()

    def _run(self) -> list[str]:
        """Return the function that copies, or adds, along the last axis; its pointers lead to different memory."""
        body = Body()
        index, close = body.loop("0", "%n", "1")
        strided = bool(self.axes[-1].stride)
        place = body.binary("mul nsw", "i64", index, "%stride") if strided else index
        spread = body.new(f"getelementptr inbounds {self.kind}, ptr %spread, i64 {place}")
        beside = body.new(f"getelementptr inbounds {self.kind}, ptr %together, i64 {index}")
        if self.operation.name == "convolve_transposed":
            terms = (body.new(f"load {self.kind}, ptr {pointer}") for pointer in (spread, beside))
            body.line(f"store {self.kind} {body.binary('fadd', self.kind, *terms)}, ptr {spread}")
        else:
            value = body.new(f"load {self.kind}, ptr {spread}")
            body.line(f"store {self.kind} {value}, ptr {beside}")
        close()
        more = ", i64 %stride" if strided else ""
        head = f"define internal void @{NAME}.run(ptr noalias %spread, ptr noalias %together, i64 %n{more}) {{"
        return [head, "entry:", *body.lines, "ret void", "}"]

    def _window_axes(self) -> list[tuple[int, int]]:
        """Return the window's lengths and strides, with one axis for those that run on into each other."""
        found = zip(self.window.shape[3:], self.window.strides[3:], strict=True)
        axes = [(n, s) for n, s in found if n > 1] or [(1, 1)]
        for i in reversed(range(len(axes) - 1)):
            (n, s), (m, t) = axes[i : i + 2]
            if s == t * m:
                axes[i : i + 2] = [(n * m, t)]
        return axes

    def _product(
        self, transposed: tuple[bool, bool], lengths: tuple[str, str, str], x: tuple[str, str], y: tuple[str, str],
        before: str, z: tuple[str, str],
    ) -> None:  # fmt: skip
        """Multiply matrices, each given by its pointer and how far its rows lie apart."""
        flags = ", ".join(f"i32 {TRANSPOSED if flag else PLAIN}" for flag in transposed)
        sizes = ", ".join(f"i64 {n}" for n in lengths)
        self.body.line(
            f"call void {self.gemm}(i32 101, {flags}, {sizes}, {self.kind} 1.0, ptr {x[0]}, i64 {x[1]}, "
            f"ptr {y[0]}, i64 {y[1]}, {self.kind} {before}, ptr {z[0]}, i64 {z[1]})"
        )

    def _argument(self, value: int) -> str:
        address = self.body.new(f"getelementptr i64, ptr %arguments, i64 {len(self.arguments)}")
        self.arguments.append(value)
        return self.body.new(f"load i64, ptr {address}")

    def _pointer(self, view: View) -> str:
        place = self.place_of(view.root)
        assert place is not None
        entry = self.body.new(f"getelementptr ptr, ptr %table, i64 {self._argument(place.slot)}")
        base = self.body.new(f"load ptr, ptr {entry}")
        offset = self._argument(place.offset + view.offset * self.dtype.itemsize)
        return self.body.new(f"getelementptr i8, ptr {base}, i64 {offset}")

    def _element(self, pointer: str, index: str) -> str:
        return self.body.new(f"getelementptr {self.kind}, ptr {pointer}, i64 {index}")

    def _smaller(self, x: str, y: str) -> str:
        return self.body.select(self.body.compare("slt", "i64", x, y), "i64", x, y)
