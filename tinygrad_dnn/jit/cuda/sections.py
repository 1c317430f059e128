"""Sections: what a block of threads does for operations that share loops, in CUDA C without addresses and lengths."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tinygrad_dnn.jit.cuda.elements import combined, identity
from tinygrad_dnn.jit.cuda.launches import SCRATCH, Pointer
from tinygrad_dnn.jit.cuda.operands import Operands, PlaceOf
from tinygrad_dnn.jit.cuda.sharing import share
from tinygrad_dnn.jit.cuda.statements import Statements
from tinygrad_dnn.jit.cuda.text import stored, stored_type, type_of
from tinygrad_dnn.jit.cuda.tiles import THREADS, Tile, map_blocks, one_thread, tile
from tinygrad_dnn.jit.operations import Operation
from tinygrad_dnn.jit.views import INTEGERS


@dataclass(frozen=True)
class Section:
    """Something that a number of blocks do.

    Attributes:
        text: The statements, in which ``t`` is the thread's number, ``block`` the block's, and ``a`` its arguments.
        arguments: The arguments.
        blocks: How many blocks there are.
        words: How many words of 8 bytes the threads of a block share.
        functions: What it needs besides.
        scratch_bytes: How much of the scratch memory it uses, from its beginning.
    """

    text: str
    arguments: tuple[Pointer | int, ...]
    blocks: int
    words: int
    functions: tuple[str, ...]
    scratch_bytes: int = 0


def mapping(operations: Sequence[Operation], storing: Collection[int], place_of: PlaceOf) -> Section:
    """Return the section in which each thread does some elements one after the other.

    Args:
        operations: Maps and draws of one space.
        storing: The identities of those whose results are written here.
        place_of: Where the array of a value is, or None if it is in none.
    """
    return _Loops(Operands(operations, storing, place_of), place_of, []).mapping()


def in_order(operations: Sequence[Operation], place_of: PlaceOf) -> Section:
    """Return the section in which each thread goes along some axes in order, for the last of the operations.

    Args:
        operations: A scatter or a scan, after the maps that it needs.
        place_of: Where the array of a value is, or None if it is in none.
    """
    last = operations[-1]
    found = Operands(operations, {id(last)}, place_of)
    if last.kind == "scan":
        axes = [i for i, stride in enumerate(found.of(last.sources[1]).strides) if stride]
    else:
        axes = shared_axes(found.lengths, found.of(last.target).strides)
    writer = _Loops(found, place_of, axes)
    return writer.reducing(one_thread(writer.results))


def reducing(operations: Sequence[Operation], storing: Collection[int], place_of: PlaceOf) -> list[Section]:
    """Return the section in which threads share the elements of each result, and one more if so do blocks.

    Args:
        operations: Reductions over the same axes, with maps of their space, and maps that do not move along these axes.
        storing: The identities of those whose results are written here.
        place_of: Where the array of a value is, or None if it is in none.
    """
    found = Operands(operations, storing, place_of)
    (first, *_) = (x for x in operations if x.kind == "reduce")
    axes = [i for i, stride in enumerate(found.of(first.target).strides) if stride == 0]
    writer = _Loops(found, place_of, axes)
    shape = tile(writer.results, writer.length, len(found.lengths) - 1 in axes, writer.phases.count == 1)
    if shape.segments == 1:
        return [writer.reducing(shape)]
    return [writer.reducing(shape), _Loops(found, place_of, axes).finishing(shape.segments)]


def shared_axes(lengths: Sequence[int], strides: Sequence[int]) -> list[int]:
    """Return the axes of a view at different places of which the same elements may lie.

    Example:
        >>> from tinygrad_dnn.jit.cuda.sections import shared_axes
        >>> shared_axes([5, 3, 8], [0, 8, 1]), shared_axes([5, 3, 8], [8, 8, 1]), shared_axes([4, 3], [1, 2])
        ([0], [0, 1], [0, 1])
    """
    shared = {i for i, stride in enumerate(strides) if stride == 0}
    order = sorted((i for i in range(len(lengths)) if i not in shared), key=lambda i: abs(strides[i]))
    reach = 0  # how far the axes before lead
    cluster: list[int] = []
    for i in order:
        if cluster and abs(strides[i]) <= reach:
            shared.update(cluster, {i})
        else:
            cluster = []
        cluster.append(i)
        reach += abs(strides[i]) * (lengths[i] - 1)
    return sorted(shared)


class _Loops(Statements):
    """Writes a section: the loops, and what is between and behind them."""

    def __init__(self, found: Operands, place_of: PlaceOf, axes: Sequence[int]) -> None:
        self.axes = [*axes]
        self.kept = [i for i in range(len(found.lengths)) if i not in axes]
        self.results = math.prod(found.lengths[i] for i in self.kept)
        self.length = math.prod(found.lengths[i] for i in axes)
        self.words = 0
        super().__init__(found, place_of, max(self.results, self.length))

    # -- sections ---------------------------------------------------------------------------------------------------

    def mapping(self) -> Section:
        """Write the loop over all elements."""
        blocks = map_blocks(self.results)
        count, step = self.argument(self.results), self.argument(blocks * THREADS)
        self.open(f"for (place_t i = (place_t)block * {THREADS} + t; i < {count}; i += {step})")
        indices = self.indices("i", self.kept, "k")
        self.elements(0, {x.number: self.moved(x, f"p{x.number}", indices) for x in self.used}, set())
        self.close()
        return self._section(blocks)

    def reducing(self, shape: Tile) -> Section:
        """Write the loops over the elements of each result."""
        self._begin_results(shape)
        first, step = "lane", str(shape.lanes)
        parts = shape.segments > 1
        if parts:
            scratch = self._scratch()
            first, step = f"lane + {shape.lanes} * segment", f"({shape.lanes} * {self.segments})"
        count = self.argument(self.length)
        self._above(-1)
        for phase in range(self.phases.count):
            sums = [i for i in self._sums() if self.phases.when[i] == phase]
            for i in sums:
                self._begin_sum(i)
            if self.phases.needed(phase):
                if shape.lanes > 1:
                    self.line("#pragma unroll 4")
                self.open(f"for (place_t r = {first}; r < (on ? {count} : 0); r += {step})")
                indices = self.indices("r", self.axes, "r")
                places = {x.number: self.moved(x, f"b{x.number}", indices) for x in self.used}
                self.elements(phase, places, self.fixed)
                self.close()
            given = [(f"v{i}", self.operations[i].name, self.operations[i].target.root.dtype) for i in sums]
            lines, words = share(given, shape)
            self.lines += lines
            self.words = max(self.words, words)
            if not parts:
                self._above(phase)
        if parts:
            self.open("if (on && lane == 0)")
            for place, i in enumerate(self._sums()):
                place_of_parts = self._parts(scratch, i, place, self.segments)
                self.line(f"{place_of_parts}[(long long)segment * {self.many} + q] = v{i};")
            self.close()
        else:
            self._write_results(shape)
        return self._section(shape.blocks * shape.segments, self._scratch_bytes(shape.segments))

    def finishing(self, segments: int) -> Section:
        """Write what makes results of their parts."""
        shape = one_thread(self.results)
        self._begin_results(shape)
        scratch, count = self._scratch(), self.argument(segments)
        self._above(-1)
        for place, i in enumerate(self._sums()):
            operation = self.operations[i]
            dtype = operation.target.root.dtype
            self._begin_sum(i)
            self.open(f"for (int part = 0; part < {count}; ++part)")
            parts = self._parts(scratch, i, place, count)
            self.line(f"const {type_of(dtype)} more = {parts}[(long long)part * {self.many} + q];")
            self.line(f"v{i} = {combined(operation.name, dtype, f'v{i}', 'more')};")
            self.close()
        self._above(0)
        self._write_results(shape)
        return self._section(shape.blocks, self._scratch_bytes(segments))

    # -- parts of sections ------------------------------------------------------------------------------------------

    def _begin_results(self, shape: Tile) -> None:
        """Write which result a thread works for, whether there is one, and where that lies."""
        self.many = self.argument(self.results)
        if shape.segments > 1:
            self.segments = self.argument(shape.segments)
            self.line(f"const int segment = block % {self.segments};")
            self.line(f"const place_t tile = block / {self.segments};")
        else:
            self.line("const place_t tile = block;")
        if shape.lanes == 1:
            self.line("const int lane = 0, column = t;")
        elif shape.together:
            self.line(f"const int lane = t % {shape.lanes}, column = t / {shape.lanes};")
        else:
            self.line(f"const int column = t % {shape.results}, lane = t / {shape.results};")
        self.line(f"const bool on = tile * {shape.results} + column < {self.many};")
        self.line(f"const place_t q = on ? tile * {shape.results} + column : 0;")
        indices = self.indices("q", self.kept, "k")
        for x in self.used:
            kind = "const long long"
            if x.view.root is not INTEGERS:
                kind = f"{'' if x.number in self.written else 'const '}{stored_type(x.dtype)}* const"
            self.line(f"{kind} b{x.number} = {self.moved(x, f'p{x.number}', indices)};")
        # What does not move along the axes that are gone over is read once.
        self.fixed = {x.number for x in self.found.loaded if self.axes and not any(x.strides[i] for i in self.axes)}
        for x in self.found.loaded:
            if x.number in self.fixed:
                self.load(x, f"b{x.number}")

    def _begin_sum(self, number: int) -> None:
        operation = self.operations[number]
        dtype = operation.target.root.dtype
        self.line(f"{type_of(dtype)} v{number} = {identity(operation.name, dtype)};")

    def _above(self, phase: int) -> None:
        """Write what is computed of results alone, once they are there."""
        for number, operation in enumerate(self.operations):
            if self.phases.above[number] and self.phases.when[number] == phase:
                self.compute(number, operation, {x.number: f"b{x.number}" for x in self.used})

    def _write_results(self, shape: Tile) -> None:
        """Write results, and what is computed of them: after all lanes have read what is written over."""
        targets = enumerate(self.phases.targets)
        wanted = [(i, x) for i, x in targets if x is not None and not self.phases.is_inside(i)]
        if not wanted:
            return
        if shape.lanes > 1 and {x.number for _, x in wanted} & {x.number for x in self.found.loaded}:
            self.line("__syncthreads();")
        self.open("if (on && lane == 0)")
        for number, x in wanted:
            self.line(stored(x.dtype, f"b{x.number}", f"v{number}"))
        self.close()

    def _sums(self) -> list[int]:
        return [i for i, x in enumerate(self.operations) if x.kind == "reduce"]

    def _scratch(self) -> str:
        return self.argument(Pointer(SCRATCH, 0), "double*")

    def _scratch_bytes(self, segments: int) -> int:
        return len(self._sums()) * segments * self.results * 8 if segments > 1 else 0

    def _parts(self, scratch: str, number: int, place: int, segments: str) -> str:
        """Return where the parts of one reduction's results lie: those of one segment together."""
        kind = type_of(self.operations[number].target.root.dtype)
        return f"(({kind}*)({scratch} + (long long){place} * {segments} * {self.many}))"

    def _section(self, blocks: int, scratch_bytes: int = 0) -> Section:
        text = "\n".join(self.lines)
        return Section(text, tuple(self.arguments), blocks, self.words, tuple(sorted(self.functions)), scratch_bytes)
