"""Composing: sections that may be run at the same time as few launches, for each of these costs what many small do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from tinygrad_dnn.jit.cuda.launches import ARGUMENT_BYTES, NAME, SCRATCH, Kernel, Launch, Pointer
from tinygrad_dnn.jit.cuda.sections import Section
from tinygrad_dnn.jit.cuda.tiles import THREADS

_MOST_ARGUMENTS = ARGUMENT_BYTES // 8
# More blocks than these take longer than a launch does, and are better off without the registers that others need.
_MANY_BLOCKS = 1024
_ALIGNMENT = 256

# The arguments are read where they were put: without the word each thread might copy those that a number picks. Cards
# from before 2017 do not know it.
_HEAD = """
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 700
#define IN_PLACE
#else
#define IN_PLACE __grid_constant__
#endif
"""


def launches(groups: Sequence[Sequence[Section]]) -> list[Launch]:
    """Return launches that do the sections of each group in order, those of different groups together.

    Args:
        groups: For each group, which has nothing to do with the others, its sections.
    """
    apart = _with_own_scratch(groups)
    made = []
    for number in range(max(map(len, apart), default=0)):
        waiting = [sections[number] for sections in apart if number < len(sections)]
        made += [_launch(together) for together in _packed(_by_text(waiting))]
    return made


def _with_own_scratch(groups: Iterable[Sequence[Section]]) -> list[list[Section]]:
    """Return the sections with scratch memory of their group's own."""
    begin = 0
    result = []
    for sections in groups:
        size = max((x.scratch_bytes for x in sections), default=0)
        result.append([_moved(x, begin) for x in sections] if size and begin else [*sections])
        begin += -(-size // _ALIGNMENT) * _ALIGNMENT
    return result


def _moved(section: Section, begin: int) -> Section:
    arguments = tuple(
        Pointer(SCRATCH, x.offset + begin) if isinstance(x, Pointer) and x.slot == SCRATCH else x
        for x in section.arguments
    )
    return replace(section, arguments=arguments, scratch_bytes=section.scratch_bytes + begin)


def _by_text(sections: Iterable[Section]) -> list[list[Section]]:
    """Return the sections by what they do, as many as a kernel can be told of."""
    found: dict[str, list[Section]] = {}
    for section in sections:
        found.setdefault(section.text, []).append(section)
    result = []
    for alike in found.values():
        alike.sort(key=lambda x: -x.blocks)  # what takes long begins early
        most = _MOST_ARGUMENTS // (1 + len(alike[0].arguments))
        result += [alike[i : i + most] for i in range(0, len(alike), most)]
    return result


def _packed(kinds: Sequence[list[Section]]) -> list[list[list[Section]]]:
    """Return which kinds of sections share a kernel."""
    alone = [[x] for x in kinds if sum(section.blocks for section in x) > _MANY_BLOCKS]
    small = [x for x in kinds if sum(section.blocks for section in x) <= _MANY_BLOCKS]
    result: list[list[list[Section]]] = []
    room = 0
    for kind in sorted(small, key=lambda x: (-x[0].blocks, x[0].text)):
        size = len(kind) * (1 + len(kind[0].arguments))
        if not result or size > room:
            result.append([])
            room = _MOST_ARGUMENTS
        result[-1].append(kind)
        room -= size
    return alone + result


def _launch(kinds: Sequence[Sequence[Section]]) -> Launch:
    """Return the launch of sections, those of one text together."""
    rows: list[tuple[Pointer | int, ...]] = []
    bodies = []
    begin = place = 0
    for number, alike in enumerate(kinds):
        width = 1 + len(alike[0].arguments)
        lines = [f"const long long* a = table.x + {place};"]
        if len(alike) > 1:
            lines.append(_search(len(alike), width))
        lines += ["const int block = (int)(blockIdx.x - (unsigned int)a[0]);", "++a;", alike[0].text]
        body = "\n".join(lines)
        if number < len(kinds) - 1:
            end = place + len(alike) * width
            body = f"if (blockIdx.x < (unsigned int)table.x[{end}])\n{{\n{body}\nreturn;\n}}"
        bodies.append(body)
        for section in alike:
            rows.append((begin, *section.arguments))
            begin += section.blocks
            place += width
    sections = [section for alike in kinds for section in alike]
    words = max(section.words for section in sections)
    functions = sorted({x for section in sections for x in section.functions})
    text = "\n".join([
        _HEAD, *functions, f"struct Rows {{ long long x[{place}]; }};",
        f'extern "C" __global__ void __launch_bounds__({THREADS}) {NAME}(const IN_PLACE Rows table)', "{",
        *([f"__shared__ unsigned long long shared[{words}];"] if words else []), "const int t = (int)threadIdx.x;",
        *bodies, "}",
    ])  # fmt: skip
    return Launch(Kernel.of(_indented(text), THREADS), tuple(rows), begin, max(x.scratch_bytes for x in sections))


def _search(count: int, width: int) -> str:
    """Return what finds the last row whose first block is none of the later ones'."""
    step = 1 << ((count - 1).bit_length() - 1)
    return "\n".join([
        f"for (int row = 0, step = {step}; step; step /= 2)", "{",
        f"if (row + step < {count} && blockIdx.x >= (unsigned int)a[step * {width}])", "{",
        "row += step;", f"a += step * {width};", "}", "}",
    ])  # fmt: skip


def _indented(text: str) -> str:
    """Return a text with each line as far in as it is deep in braces."""
    depth = 0
    lines = []
    for line in text.strip().splitlines():
        line = line.strip()
        depth -= line.startswith("}")
        lines.append(line if line.startswith("#") else "    " * depth + line)
        depth += line.startswith("{") or (line.endswith("{") and not line.startswith("}"))
    return "\n".join(lines) + "\n"
