"""Packing: equal chains of elementwise instructions on separate arrays, as an optimizer's, are run as one chain."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

from tinygrad_dnn.jit.program import Instruction, Program, Value, exact
from tinygrad_dnn.ops import elementwise
from tinygrad_dnn.ops.cast import CAST

# Rounded alike wherever an element lies in an array: of these IEEE 754 or the bits leave no choice. Exponentials and
# the like may differ in the last bit between what a processor does with eight elements at once and with those left.
_EXACT = frozenset({
    elementwise.ADD, elementwise.SUBTRACT, elementwise.MULTIPLY, elementwise.DIVIDE, elementwise.SQRT,
    elementwise.NEGATIVE, elementwise.ABS, elementwise.SIGN, elementwise.FLOOR, elementwise.MAXIMUM,
    elementwise.MINIMUM, elementwise.EQUAL, elementwise.NOT_EQUAL, elementwise.LESS, elementwise.LESS_EQUAL,
    elementwise.GREATER, elementwise.GREATER_EQUAL, elementwise.LOGICAL_AND, elementwise.LOGICAL_OR,
    elementwise.LOGICAL_NOT, elementwise.ISNAN, elementwise.ISFINITE, elementwise.WHERE, CAST,
})  # fmt: skip

CACHE_BYTES = 640 * 2**10
"""How much a packed chain reads and makes at a time: it stays in a processor's second-level cache."""

FEW = 4
"""A chain of fewer instructions comes back too seldom to what is in the cache to be run in pieces as short as that."""


@dataclass
class Lane:
    """One of the equal chains of a pack.

    Attributes:
        steps: Its instructions; those in the same place in other lanes do the same.
        given: The arrays that they read and do not make.
    """

    steps: list[Instruction]
    given: list[Value]

    @property
    def size(self) -> int:
        """How many elements each of its arrays has."""
        return self.steps[0].output.size

    @property
    def is_long(self) -> bool:
        """Whether it is worth while to run it piece by piece, even alone."""
        nbytes = self.size * sum(int(value.dtype.itemsize) for value in self.given)
        return len(self.steps) >= FEW and nbytes >= 2 * CACHE_BYTES


@dataclass
class Pack:
    """Chains that can be run as one, after all else: an array of each lane's lies behind the lane's before.

    Attributes:
        lanes: The chains, the longest arrays first, which begins most of them at a cache line. A lane of long arrays
            is alone, and run piece by piece.
    """

    lanes: list[Lane]


def find_packs(program: Program) -> list[Pack]:
    """Return what can be run packed at a program's end.

    It is found by form alone: chains of elementwise instructions, nothing else reads their values, and two chains do
    the same to arrays of their own and to the same 0-d values and numbers.

    Example:
        >>> a, b = td.Variable(td.ones(2)), td.Variable(td.ones((3, 3)))
        >>> program = td.jit.record(lambda _: [x.assign(x * 0.9 + 1) for x in (a, b)] and a, []).program
        >>> [[lane.size for lane in pack.lanes] for pack in td.jit.packing.find_packs(program)]
        [[9, 2]]
    """
    steps = _last(program)
    groups = _alike(_lanes(steps))
    if own := _entries_with_own_scalars(groups):
        groups = _alike(_lanes([step for step in steps if id(step) not in own]))
    packs = []
    for alike in groups:
        alike.sort(key=lambda lane: -lane.size)
        packs += [Pack([lane]) for lane in alike if lane.is_long]
        short = [lane for lane in alike if not lane.is_long]
        if len(short) > 1:
            packs.append(Pack(short))
    return packs


def with_packs_last(program: Program, packs: list[Pack]) -> Program:
    """Return the program in the order in which it is run: what is packed comes last."""
    packed = [step for pack in packs for lane in pack.lanes for step in lane.steps]
    known = set(map(id, packed))
    others = [step for step in program.instructions if id(step) not in known]
    return Program(program.inputs, others + packed, program.outputs, program.updates)


def _last(program: Program) -> list[Instruction]:
    """Return the instructions that can wait for the end: nothing but instructions like them reads their values."""
    wanted = Counter(id(value) for value in program.ends())
    read = {id(value) for value in program.outputs} | {value for value, times in wanted.items() if times > 1}
    found = []
    for step in reversed(program.instructions):
        if id(step.output) not in read and _is_plain(step):
            found.append(step)
        else:
            read.update(id(value) for value in step.sources)
    return found[::-1]


def _is_plain(step: Instruction) -> bool:
    """Tell whether an instruction takes arrays of one shape, and 0-d values, element by element."""
    shape = step.output.shape
    plain = step.primitive in _EXACT and shape != () and 0 not in shape
    return plain and all(x.shape in ((), shape) for x in step.sources)


def _lanes(steps: list[Instruction]) -> list[Lane]:
    """Return the instructions in chains that have no array in common."""
    parent: dict[int, int] = {}

    def root(x: int) -> int:
        while parent.setdefault(x, x) != x:
            parent[x] = x = parent[parent[x]]
        return x

    for step in steps:
        for source in _arrays(step):
            parent[root(id(source))] = root(id(step.output))
    chains: dict[int, list[Instruction]] = defaultdict(list)
    for step in steps:
        chains[root(id(step.output))].append(step)
    lanes = []
    for chain in chains.values():
        made = {id(step.output) for step in chain}
        given = {id(x): x for step in chain for x in _arrays(step) if id(x) not in made}
        lanes.append(Lane(chain, list(given.values())))
    return lanes


def _arrays(step: Instruction) -> list[Value]:
    return [x for x in step.sources if x.shape]


def _alike(lanes: list[Lane]) -> list[list[Lane]]:
    """Return the lanes in groups of those that do the same."""
    groups: dict[Any, list[Lane]] = defaultdict(list)
    for lane in lanes:
        groups[_form(lane)].append(lane)
    return list(groups.values())


def _form(lane: Lane) -> Any:
    """Return what is equal for lanes that do the same."""
    place: dict[int, int] = {id(value): number for number, value in enumerate(lane.given)}
    form: list[Any] = [tuple(value.dtype for value in lane.given)]
    for step in lane.steps:
        place[id(step.output)] = len(place)
        operands = [
            exact(x) if not isinstance(x, Value) else ("array", place[id(x)]) if x.shape else ("0-d", id(x))
            for x in step.inputs
        ]
        form.append((step.primitive, exact(step.attributes), step.output.dtype, *operands))
    return tuple(form)


def _entries_with_own_scalars(groups: list[list[Lane]]) -> set[int]:
    """Return the identities of what keeps lanes from being like others: they begin with a 0-d value of their own.

    Such is a gradient that is scaled by its own norm.
    """
    if len(groups) == 1:
        return set()
    users = Counter(scalar for alike in groups for lane in alike for scalar in _scalars(lane.steps))
    found = set()
    for lane in [alike[0] for alike in groups if len(alike) == 1]:
        given = set(map(id, lane.given))
        for step in lane.steps:
            own = any(users[scalar] == 1 for scalar in _scalars([step]))
            if own and all(id(x) in given for x in _arrays(step)):
                found.add(id(step))
    return found


def _scalars(steps: list[Instruction]) -> set[int]:
    return {id(x) for step in steps for x in step.sources if not x.shape}
