"""Convolutions: windows beside each other are a matrix, so that products do them; overlapping ones are added up."""

from __future__ import annotations

import math
from collections.abc import Iterable

from tinygrad_dnn.backend.element_types import FLOATING, is_narrow
from tinygrad_dnn.jit.cuda.launches import Pointer
from tinygrad_dnn.jit.cuda.operands import PlaceOf
from tinygrad_dnn.jit.cuda.sections import Section
from tinygrad_dnn.jit.cuda.text import NARROW, loaded, stored, stored_type, type_of
from tinygrad_dnn.jit.cuda.tiles import THREADS, map_blocks
from tinygrad_dnn.jit.operations import Operation
from tinygrad_dnn.jit.program import Instruction, Value
from tinygrad_dnn.jit.views import View, row_major, whole
from tinygrad_dnn.ops.window import CONVOLVE


def can_convolve(instruction: Instruction) -> bool:
    """Tell whether products can do a convolution, or a gradient of one."""
    if instruction.primitive is CONVOLVE and isinstance(instruction.inputs[2], Value):
        return False
    output = instruction.output
    return output.dtype.kind in FLOATING and all(x.size for x in (*instruction.sources, output))


def with_products(operations: Iterable[Operation]) -> list[Operation]:
    """Return operations with products, copies of windows, and sums of overlapping windows, in place of convolutions.

    A sum of overlapping windows is an operation of the kind "fold", of windows that lie in memory: (batch, rows,
    columns, window rows, window columns, channels). It writes all elements of its target.
    """
    result: list[Operation] = []
    instead: dict[int, list[Operation]] = {}
    for operation in operations:
        made = [operation]
        if operation.kind == "convolution":
            made = _products(operation)
        elif operation.name == "fold":
            instead[id(operation.after[0])] = []  # what fills the target first is not needed
            made = [_fold(operation.instruction, _unsqueezed(operation), operation.target.root)]
        if made[0] is not operation:
            instead[id(operation)] = made
            for x in made:
                x.after = operation.after
            made[-1].over = operation.over
        result += made
    result = [x for x in result if instead.get(id(x)) != []]
    for x in result:
        x.after = tuple(new for old in x.after for new in instead.get(id(old), [old]))
    return result


def _products(operation: Operation) -> list[Operation]:
    """Return what a convolution is made of."""
    window, instruction = operation.window, operation.instruction
    assert window is not None
    x, y = operation.sources
    count, length = math.prod(window.shape[:3]), math.prod(window.shape[3:])
    filters = (y if operation.name != "convolve_kernel" else operation.target).shape[-1]
    root = operation.target.root
    if operation.name == "convolve_transposed":
        columns = whole(Value((count, length), root.dtype))
        kernel = View(y.root, y.offset, (filters, length), (1, filters))
        given = View(x.root, x.offset, (count, filters), (filters, 1))
        spread = View(columns.root, 0, window.shape, row_major(window.shape))
        return [_product(given, kernel, columns, instruction), _fold(instruction, spread, root)]
    made: list[Operation] = []
    if window.strides == row_major(window.shape):
        columns = View(window.root, window.offset, (count, length), (length, 1))
    else:
        columns = whole(Value((count, length), root.dtype))
        spread = View(columns.root, 0, window.shape, row_major(window.shape))
        made.append(Operation("map", "copy", (window.squeezed(),), spread.squeezed(), instruction))
    if operation.name == "convolve":
        kernel = View(y.root, y.offset, (length, filters), (filters, 1))
        made.append(_product(columns, kernel, View(root, 0, (count, filters), (filters, 1)), instruction))
    else:
        given = View(y.root, y.offset, (count, filters), (filters, 1))
        target = View(root, 0, (length, filters), (filters, 1))
        made.append(_product(columns.transposed((1, 0)), given, target, instruction))
    return made


def _product(x: View, y: View, z: View, instruction: Instruction) -> Operation:
    return Operation("product", "matmul", (x, y), z, instruction)


def _fold(instruction: Instruction, windows: View, root: Value) -> Operation:
    return Operation("fold", "fold", (windows,), whole(root), instruction)


def _unsqueezed(operation: Operation) -> View:
    """Return the windows that a scatter adds up, with all their axes in order."""
    source = operation.sources[0]
    batch, rows, columns, high, wide, channels = operation.instruction.inputs[0].shape
    left = iter(source.strides)
    strides = [0 if n == 1 else next(left) for n in (batch, high, wide, rows, columns, channels)]
    order = (0, 3, 4, 1, 2, 5)
    shape = (batch, rows, columns, high, wide, channels)
    return View(source.root, source.offset, shape, tuple(strides[i] for i in order))


def folding(operation: Operation, place_of: PlaceOf) -> Section:
    """Return the section that adds up overlapping windows: each thread does elements, place by place in the window."""
    (windows,), root = operation.sources, operation.target.root
    batch, rows, columns, high, wide, channels = windows.shape
    _, height, width, _ = root.shape
    strides, dilation = (operation.instruction.attributes[x] for x in ("strides", "dilation"))
    arguments: list[Pointer | int] = []
    for view in (windows, whole(root)):
        place = place_of(view.root)
        assert place is not None
        arguments.append(Pointer(place.slot, place.offset + view.offset * view.root.dtype.itemsize))
    blocks = map_blocks(root.size)
    arguments += [
        root.size, blocks * THREADS, channels, width, height, rows, columns, high, wide, *strides, *dilation,
        *windows.strides,
    ]  # fmt: skip
    reach = sum(n * s for n, s in zip(windows.shape, windows.strides, strict=True))
    is_short = max(reach, root.size, batch) < 2**30
    given, made = windows.root.dtype, root.dtype
    text = "\n".join([
        f"typedef {'int' if is_short else 'long long'} place_t;",
        f"const {stored_type(given)}* const x = (const {stored_type(given)}*)a[0];",
        f"{stored_type(made)}* const y = ({stored_type(made)}*)a[1];",
        "const place_t count = (place_t)a[2], step = (place_t)a[3];",
        "const int channels = (int)a[4], width = (int)a[5], height = (int)a[6], lines = (int)a[7];",
        "const int columns = (int)a[8], high = (int)a[9], wide = (int)a[10];",
        f"for (place_t i = (place_t)block * {THREADS} + t; i < count; i += step)", "{",
        "const int channel = (int)(i % channels);",
        "place_t rest = i / channels;",
        "const int across = (int)(rest % width);",
        "rest /= width;",
        "const int down = (int)(rest % height);",
        f"const {stored_type(given)}* const image = x + rest / height * (place_t)a[15] + channel * (place_t)a[20];",
        f"{type_of(made)} total = 0;",
        "for (int k = 0; k < high; ++k)", "{",
        "const int row = (down - k * (int)a[13]) / (int)a[11];",
        "if (down < k * (int)a[13] || row >= lines || row * (int)a[11] != down - k * (int)a[13])", "{",
        "continue;", "}",
        "for (int l = 0; l < wide; ++l)", "{",
        "const int column = (across - l * (int)a[14]) / (int)a[12];",
        "if (across < l * (int)a[14] || column >= columns || column * (int)a[12] != across - l * (int)a[14])", "{",
        "continue;", "}",
        f"const {stored_type(given)}* const at = image + row * (place_t)a[16] + column * (place_t)a[17]"
        " + k * (place_t)a[18] + l * (place_t)a[19];",
        f"total = ({type_of(made)})(total + {loaded(given, 'at', True)});",
        "}", "}",
        stored(made, "y + i", "total"),
        "}",
    ])  # fmt: skip
    return Section(text, tuple(arguments), blocks, 0, (NARROW,) if is_narrow(given) or is_narrow(made) else ())
