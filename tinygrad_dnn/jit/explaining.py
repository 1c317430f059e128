"""Explaining: a program before and after, the kernels or calls that run it, and the buffers, as text for a reader."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from tinygrad_dnn.jit.interpret import Interpreted
from tinygrad_dnn.jit.program import Program, Value
from tinygrad_dnn.jit.recording import Recording
from tinygrad_dnn.jit.replay import Replay

if TYPE_CHECKING:
    from tinygrad_dnn.jit.cuda.run import Run as DeviceRun
    from tinygrad_dnn.jit.native import Run

# So many names are listed of what may be hundreds.
_MOST_NAMES = 6


def explained(recording: Recording, program: Program, run: Callable[..., Any] | None) -> str:
    """Return what was recorded, what became of it, and how that is run.

    Args:
        recording: Of the function.
        program: The same, simplified.
        run: What runs it: a ``Replay``, an ``Interpreted``, or a ``Run`` of the host or of a device.

    Example:
        >>> recording = td.jit.record(lambda x: x[0] * 2, [td.ones(3)])
        >>> program = td.jit.simplify(recording.program)
        >>> print(td.jit.explaining.explained(recording, program, td.jit.Interpreted(program)))
        recorded: 1 instruction
        inputs   a: float32[3]
        b: float32[3] = multiply(a, 2)
        returns  b
        simplified: 1 instruction
        inputs   a: float32[3]
        b: float32[3] = multiply(a, 2)
        returns  b
        run primitive by primitive
    """
    before = recording.program
    parts = [
        f"recorded: {_count(len(before.instructions), 'instruction')}", str(before),
        f"simplified: {_count(len(program.instructions), 'instruction')}", str(program),
    ]  # fmt: skip
    if isinstance(run, Replay):
        parts.append(f"run as {_count(run.calls, 'NumPy call')}")
        parts.append(_buffers(program, run.temporary_bytes))
    elif isinstance(run, Interpreted):
        parts.append("run primitive by primitive")
    elif run is not None:
        lowered: Any = run
        parts += [_launches(lowered) if hasattr(lowered, "steps") else _kernels(lowered)]
        parts += [_buffers(program, lowered.arena_bytes)]
    return "\n".join(parts)


def _kernels(run: Run) -> str:
    """Return the groups in order, each with the number of its kernel, and which groups share one."""
    from tinygrad_dnn.jit.native.operands import Operands

    place = run._table.memory.place
    numbers: dict[Any, int] = {}
    users: dict[int, list[int]] = {}
    lines = []
    for number, group in enumerate(run.groups):
        kernel = ""
        if group.kind == "loop" and 0 not in group.space:
            form = numbers.setdefault(Operands(group, place).form, len(numbers) + 1)
            users.setdefault(form, []).append(number)
            kernel = f"kernel {form}"
        lines.append(f"{number:5d}  {kernel:10s}  {group}")
    kinds = Counter(group.kind for group in run.groups)
    told = [_count(kinds[kind], kind) for kind in ("product", "convolution", "call") if kinds[kind]]
    loops = f"{_count(kinds['loop'], 'loop')} of {_count(len(users), 'kernel')}"
    parts = [f"run as machine code: {', '.join([loops, *told])}", *lines]
    for kernel_number, groups in users.items():
        if len(groups) > 1:
            parts.append(f"kernel {kernel_number} is used {len(groups)} times: by {_listed(map(str, groups))}")
    if run.calls:
        parts.append(f"called from Python: {_listed(Counter(run.calls))}")
    return "\n".join(parts)


def _launches(run: DeviceRun) -> str:
    """Return the groups, and the launches, products and calls that they have become, in order."""
    from tinygrad_dnn.jit.cuda.launches import Launch, Product

    numbers: dict[str, int] = {}
    kinds: Counter[str] = Counter()
    lines = []
    for number, step in enumerate(run.steps):
        if isinstance(step, Launch):
            kernel = numbers.setdefault(step.kernel.name, len(numbers) + 1)
            rows = f" for {_count(len(step.rows), 'group')}" if len(step.rows) > 1 else ""
            kind = "launch"
            told = f"kernel {kernel}{rows}, {_count(step.blocks, 'block')} of {step.kernel.threads} threads"
        elif isinstance(step, Product):
            kind = "product"
            rows, columns, inner = map(str, step.lengths)
            stack = f"{step.count} x " if step.count > 1 else ""
            told = f"product {stack}[{rows}, {inner}] @ [{inner}, {columns}], {step.dtype.name}"
        else:
            kind, told = "call", f"call of {step.operation.name}"
        kinds[kind] += 1
        lines.append(f"{number:5d}  {told}")
    made = [_count(kinds["launch"], "launch", "launches") + f" of {_count(len(numbers), 'kernel')}"]
    made += [_count(kinds[kind], kind) for kind in ("product", "call") if kinds[kind]]
    return "\n".join([
        f"run on a device: {', '.join(made)}; {run.described}",
        *(f"{number:5d}  {group}" for number, group in enumerate(run.groups)), "which becomes", *lines,
    ])  # fmt: skip


def _buffers(program: Program, temporary_bytes: int) -> str:
    """Return what the program keeps memory for, and what it only reads."""
    updated = {id(tensor) for tensor, _ in program.updates}
    states = [value for _, value in program.updates]
    read = [value for value in program.held if id(value.tensor) not in updated]
    names = [getattr(tensor, "path", "") or "a Tensor" for tensor, _ in program.updates]
    lines = [f"buffers: temporary values share {temporary_bytes:,} bytes"]
    for about, values, who in (
        ("updated", states, names),
        ("only read", read, [getattr(value.tensor, "path", "") or "a constant" for value in read]),
        ("given", program.inputs, []),
        ("returned in new arrays", program.outputs, []),
    ):
        if values:
            listed = f": {_listed(who)}" if who else ""
            lines.append(f"  {about}: {_count(len(values), 'array')} of {_bytes(values):,} bytes{listed}")
    return "\n".join(lines)


def _bytes(values: Iterable[Value]) -> int:
    return sum(value.size * value.dtype.itemsize for value in values)


def _listed(names: Iterable[str]) -> str:
    found = [*names]
    more = len(found) - _MOST_NAMES
    return ", ".join(found[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _count(number: int, thing: str, things: str = "") -> str:
    return f"{number} {thing if number == 1 else things or f'{thing}s'}"
