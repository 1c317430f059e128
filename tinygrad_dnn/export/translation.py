"""Translation: what each primitive is in ONNX operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_dnn.export.lengths import Length, difference
from tinygrad_dnn.export.nodes import Nodes
from tinygrad_dnn.export.tracing import Array, Step
from tinygrad_dnn.graph import Primitive
from tinygrad_dnn.ops import elementwise, index, linalg, random, reduce, shape, window
from tinygrad_dnn.ops.cast import CAST

Translate = Callable[[Nodes, Step], str]
_BOOL, _INT64 = np.dtype(np.bool_), np.dtype(np.int64)
# Ends of a slice that any axis is shorter than.
_FAR = 2**62
# Images have their channels last here, and after the batch in ONNX.
_TO_ONNX, _FROM_ONNX = (0, 3, 1, 2), (0, 2, 3, 1)


class UntranslatableError(Exception):
    """A primitive, or a use of it, that has no counterpart in ONNX.

    Example:
        >>> issubclass(td.export.translation.UntranslatableError, Exception)
        True
    """


def translate(nodes: Nodes, step: Step) -> None:
    """Add the nodes that make a step's output.

    Raises:
        UntranslatableError: There are none that do.
    """
    if step.primitive is random.UNIFORM:
        raise UntranslatableError("it draws random numbers at inference, and ONNX has no stream of them to go on with")
    how = TRANSLATIONS.get(step.primitive)
    if how is None:
        raise UntranslatableError(f"its operation {step.primitive.name!r} has no counterpart in ONNX")
    nodes.call(step.output, how(nodes, step))
    nodes.makers[id(step.output)] = step


# -- elementwise ----------------------------------------------------------------------------------------------------


def _operands(nodes: Nodes, step: Step, dtype: np.dtype[Any], first: int = 0) -> list[str]:
    """Return the names of operands in a type; one that broadcasts need not be spread where another has the shape."""
    given = step.inputs[first:]
    full = [x for x in step.inputs if isinstance(x, Array) and x.held is None and x.shape == step.output.shape]
    names = []
    for x in given:
        if isinstance(x, Array):
            names.append(nodes.cast(nodes.unspread(x) if full else nodes.name(x), x.dtype, dtype))
        else:
            names.append(nodes.number(x, dtype))
    return names


def _same_type(operation: str, of_booleans: str | None = None) -> Translate:
    """Translate what makes numbers of the type it is given."""

    def translated(nodes: Nodes, step: Step) -> str:
        dtype = step.output.dtype
        if dtype == _BOOL and of_booleans is None:
            raise UntranslatableError(f"its operation {step.primitive.name!r} on truth values has none in ONNX")
        return nodes.add(of_booleans or operation if dtype == _BOOL else operation, *_operands(nodes, step, dtype))

    return translated


def _comparison(operation: str, negated: bool = False) -> Translate:
    def translated(nodes: Nodes, step: Step) -> str:
        dtype = next(x.dtype for x in step.inputs if isinstance(x, Array))
        dtype = np.dtype(np.int32) if dtype == _BOOL and operation != "Equal" else dtype
        found = nodes.add(operation, *_operands(nodes, step, dtype))
        return nodes.add("Not", found) if negated else found

    return translated


def _logical(operation: str) -> Translate:
    return lambda nodes, step: nodes.add(operation, *_operands(nodes, step, _BOOL))


def _where(nodes: Nodes, step: Step) -> str:
    (condition,) = _operands(nodes, Step(step.primitive, step.inputs[:1], {}, step.output), _BOOL)
    return nodes.add("Where", condition, *_operands(nodes, step, step.output.dtype, first=1))


def _isfinite(nodes: Nodes, step: Step) -> str:
    (x,) = _operands(nodes, step, step.inputs[0].dtype)
    return nodes.add("Not", nodes.add("Or", nodes.add("IsNaN", x), nodes.add("IsInf", x)))


def _expm1(nodes: Nodes, step: Step) -> str:
    """Translate e^x - 1 = tanh(x / 2) (e^x + 1), which loses no digits near 0."""
    dtype = step.output.dtype
    (x,) = _operands(nodes, step, dtype)
    half = nodes.add("Tanh", nodes.add("Mul", x, nodes.number(0.5, dtype)))
    return nodes.add("Mul", half, nodes.add("Add", nodes.add("Exp", x), nodes.number(1.0, dtype)))


def _log1p(nodes: Nodes, step: Step) -> str:
    """Translate ln(1 + x): what is lost when 1 is added is made good by the factor x / ((1 + x) - 1)."""
    dtype = step.output.dtype
    (x,) = _operands(nodes, step, dtype)
    one = nodes.number(1.0, dtype)
    total = nodes.add("Add", x, one)
    added, logarithm = nodes.add("Sub", total, one), nodes.add("Log", total)
    mended = nodes.add("Div", nodes.add("Mul", logarithm, x), added)
    mended = nodes.add("Where", nodes.add("Equal", added, nodes.number(0.0, dtype)), x, mended)
    return nodes.add("Where", nodes.add("Equal", added, x), logarithm, mended)


def _signs_differ(nodes: Nodes, rest: str, y: str, dtype: np.dtype[Any]) -> str:
    """Return whether a remainder with the dividend's sign is one with the other sign than the divisor's."""
    zero = nodes.number(0, dtype)
    wrong = nodes.add("Xor", nodes.add("Less", rest, zero), nodes.add("Less", y, zero))
    return nodes.add("And", wrong, nodes.add("Not", nodes.add("Equal", rest, zero)))


def _remainder(nodes: Nodes, step: Step) -> str:
    dtype = step.output.dtype
    x, y = _operands(nodes, step, dtype)
    rest = nodes.add("Mod", x, y, fmod=1)
    return nodes.add("Where", _signs_differ(nodes, rest, y, dtype), nodes.add("Add", rest, y), rest)


def _floor_divide(nodes: Nodes, step: Step) -> str:
    dtype = step.output.dtype
    x, y = _operands(nodes, step, dtype)
    if dtype.kind == "f":
        return nodes.add("Floor", nodes.add("Div", x, y))
    quotient = nodes.add("Div", x, y)
    less = nodes.add("Sub", quotient, nodes.number(1, dtype))
    return nodes.add("Where", _signs_differ(nodes, nodes.add("Mod", x, y, fmod=1), y, dtype), less, quotient)


# -- reductions ------------------------------------------------------------------------------------------------------


def _reduction(operation: str) -> Translate:
    def translated(nodes: Nodes, step: Step) -> str:
        (x,), dtype = step.inputs, step.output.dtype
        axes = step.attributes["axis"]
        windows = nodes.makers.get(id(x))
        if windows is not None and windows.primitive is window.WINDOWS and axes == (3, 4) and operation in _POOLS:
            pooled = _pooled(nodes, windows, operation)
            if pooled and not step.attributes["keepdims"]:
                return pooled
        name = nodes.cast(nodes.name(x), x.dtype, dtype)
        if not axes:
            return nodes.add("Identity", name)
        return nodes.add(operation, name, nodes.lengths(axes), keepdims=int(step.attributes["keepdims"]))

    return translated


def _best(operation: str) -> Translate:
    def translated(nodes: Nodes, step: Step) -> str:
        axis = step.attributes["axis"]
        name = nodes.name(step.inputs[0])
        if axis is None:
            name, axis = nodes.add("Reshape", name, nodes.lengths([-1])), 0
        return nodes.add(operation, name, axis=axis, keepdims=0)

    return translated


def _cumsum(nodes: Nodes, step: Step) -> str:
    (x,), dtype = step.inputs, step.output.dtype
    axis = nodes.constant(np.array(step.attributes["axis"], np.int64))
    return nodes.add("CumSum", nodes.cast(nodes.name(x), x.dtype, dtype), axis)


# -- shapes ----------------------------------------------------------------------------------------------------------


def _reshape(nodes: Nodes, step: Step) -> str:
    return nodes.add("Reshape", nodes.name(step.inputs[0]), nodes.lengths(_wanted(step)), allowzero=1)


def _wanted(step: Step) -> list[Any]:
    """Return the shape that is wanted, with -1 for one length that the others leave open."""
    sizes = list(step.output.shape)
    follows = [i for i, n in enumerate(sizes) if isinstance(n, Length)]
    if len(follows) == 1 and 0 not in sizes:
        sizes[follows[0]] = -1
    return sizes


def _slice(nodes: Nodes, step: Step) -> str:
    """Translate an index of integers, slices, None and Ellipsis."""
    (x,), parts = step.inputs, step.attributes["index"]
    parts = list(parts) if isinstance(parts, tuple) else [parts]
    if Ellipsis in parts:
        place = parts.index(Ellipsis)
        missing = len(x.shape) - sum(part is not None and part is not Ellipsis for part in parts)
        parts[place : place + 1] = [slice(None)] * missing
    cuts: list[tuple[Any, Any, int, Any]] = []  # start, end, axis, step
    dropped, added, axis, out = [], [], 0, 0
    for part in parts:
        if part is None:
            added.append(out)
            out += 1
        elif isinstance(part, slice):
            if part != slice(None):
                cuts.append((*_ends(part), axis, part.step or 1))
            axis, out = axis + 1, out + 1
        else:
            last = part == -1
            cuts.append((part, _FAR if last else _after(part), axis, 1))
            dropped.append(axis)
            axis += 1
    name = nodes.name(x)
    if cuts:
        name = nodes.add("Slice", name, *(nodes.lengths(numbers) for numbers in zip(*cuts, strict=True)))
    if dropped:
        name = nodes.add("Squeeze", name, nodes.lengths(dropped))
    return nodes.add("Unsqueeze", name, nodes.lengths(added)) if added else name


def _ends(part: slice) -> tuple[Any, Any]:
    if (part.step or 1) > 0:
        return part.start or 0, _FAR if part.stop is None else part.stop
    return _FAR if part.start is None else part.start, -_FAR if part.stop is None else part.stop


def _after(place: Any) -> Any:
    return Length(place.per_sample, place.added + 1) if isinstance(place, Length) else place + 1


def _unslice(nodes: Nodes, step: Step) -> str:
    """Translate zeros with an array at the place of a slice, where that is the array surrounded by zeros."""
    (x,), wanted = step.inputs, step.attributes["shape"]
    parts = step.attributes["index"]
    parts = parts if isinstance(parts, tuple) else (parts,)
    before, after = [0] * len(wanted), [0] * len(wanted)
    for axis, part in enumerate(parts):
        if not isinstance(part, slice) or part.step not in (None, 1) or isinstance(part.start, Length):
            raise UntranslatableError("it sets elements that do not lie side by side, for which ONNX has no operation")
        if part == slice(None):
            continue
        before[axis] = part.start or 0
        behind = difference(difference(wanted[axis], x.shape[axis]), before[axis])
        if isinstance(behind, Length) or before[axis] < 0:
            raise UntranslatableError("it surrounds the batch by zeros, as many as there are samples")
        after[axis] = behind
    zero = nodes.number(0, step.output.dtype)
    return nodes.add("Pad", nodes.name(x), nodes.lengths(before + after), zero, mode="constant")


def _gather(nodes: Nodes, step: Step) -> str:
    """Translate an index by arrays of integers along axes that stand side by side, all else being whole."""
    x, *indices = step.inputs
    template = step.attributes["template"]
    whole = sum(part is Ellipsis for part in template)
    missing = len(x.shape) - len(template) + whole
    parts: list[Any] = []
    for part in template:
        parts.extend([slice(None)] * missing if part is Ellipsis else [part])
    slots = [axis for axis, part in enumerate(parts) if isinstance(part, index._Slot)]
    side_by_side = slots == list(range(slots[0], slots[0] + len(slots)))
    if not side_by_side or any(part != slice(None) for axis, part in enumerate(parts) if axis not in slots):
        raise UntranslatableError("it mixes arrays with numbers or slices in an index, which ONNX cannot")
    if len(slots) == 1:
        return nodes.add("Gather", nodes.name(x), nodes.name(indices[0]), axis=slots[0])
    rank = len(x.shape)
    others = [axis for axis in range(rank) if axis not in slots]
    places = indices[0].shape
    if any(each.shape != places for each in indices):
        raise UntranslatableError("it indexes by arrays of several shapes")
    last = nodes.lengths([-1])
    columns = [nodes.add("Unsqueeze", nodes.cast(nodes.name(each), each.dtype, _INT64), last) for each in indices]
    found = nodes.add("GatherND", nodes.transpose(x, slots + others), nodes.add("Concat", *columns, axis=-1))
    # The arrays' axes come first, and belong where the axes stood that they index.
    n, ahead = len(places), slots[0]
    order = [*range(n, n + ahead), *range(n), *range(n + ahead, n + len(others))]
    return nodes.add("Transpose", found, perm=order) if ahead else found


def _concatenate(nodes: Nodes, step: Step) -> str:
    return nodes.add("Concat", *(nodes.name(x) for x in step.inputs), axis=step.attributes["axis"])


# -- products and windows --------------------------------------------------------------------------------------------


def _matmul(nodes: Nodes, step: Step) -> str:
    return nodes.add("MatMul", *(nodes.cast(nodes.name(x), x.dtype, step.output.dtype) for x in step.inputs))


def _convolve(nodes: Nodes, step: Step) -> str:
    x, kernel, bias = step.inputs
    inputs = [nodes.transpose(x, _TO_ONNX), nodes.transpose(kernel, (3, 2, 0, 1))]
    if isinstance(bias, Array):
        inputs.append(nodes.name(bias))
    sizes = {key: list(step.attributes[given]) for key, given in (("strides", "strides"), ("dilations", "dilation"))}
    made = nodes.add("Conv", *inputs, kernel_shape=list(kernel.shape[:2]), **sizes)
    return nodes.add("Transpose", made, perm=list(_FROM_ONNX))


def _windows(nodes: Nodes, step: Step) -> str:
    """Translate the windows of images, by the rows and columns that each of their elements comes from."""
    (x,) = step.inputs
    if isinstance(x.shape[1], Length) or isinstance(x.shape[2], Length):
        raise UntranslatableError("it takes windows of images whose size depends on the length of the batch")
    name = nodes.name(x)
    for axis, place in ((1, 1), (2, 3)):
        size, stride, dilation = (step.attributes[key][axis - 1] for key in ("size", "strides", "dilation"))
        count = (x.shape[axis] - (size - 1) * dilation - 1) // stride + 1
        places = np.arange(count)[:, None] * stride + np.arange(size) * dilation
        name = nodes.add("Gather", name, nodes.constant(places.astype(np.int64)), axis=place)
    return nodes.add("Transpose", name, perm=[0, 1, 3, 2, 4, 5])


# What becomes of windows that are reduced at once, which then need not be in memory.
_POOLS = {"ReduceMax": "MaxPool", "ReduceSum": "AveragePool"}


def _pooled(nodes: Nodes, windows: Step, reduction: str) -> str:
    """Return the maximum or the sum of each window; nothing where ONNX's pooling does not take them."""
    (x,), given = windows.inputs, windows.attributes
    if x.dtype not in (np.float32, np.float16) or given["dilation"] != (1, 1):
        return ""
    sizes = {"kernel_shape": list(given["size"]), "strides": list(given["strides"])}
    made = nodes.add(_POOLS[reduction], nodes.transpose(x, _TO_ONNX), **sizes)
    if reduction == "ReduceSum":
        made = nodes.add("Mul", made, nodes.number(float(np.prod(given["size"])), x.dtype))
    return nodes.add("Transpose", made, perm=list(_FROM_ONNX))


TRANSLATIONS: dict[Primitive, Translate] = {
    elementwise.ADD: _same_type("Add", "Or"),
    elementwise.SUBTRACT: _same_type("Sub"),
    elementwise.MULTIPLY: _same_type("Mul", "And"),
    elementwise.DIVIDE: _same_type("Div"),
    elementwise.NEGATIVE: _same_type("Neg"),
    elementwise.ABS: _same_type("Abs"),
    elementwise.SIGN: _same_type("Sign"),
    elementwise.FLOOR: _same_type("Floor"),
    elementwise.FLOOR_DIVIDE: _floor_divide,
    elementwise.REMAINDER: _remainder,
    elementwise.POWER: _same_type("Pow"),
    elementwise.EXP: _same_type("Exp"),
    elementwise.EXPM1: _expm1,
    elementwise.LOG: _same_type("Log"),
    elementwise.LOG1P: _log1p,
    elementwise.SQRT: _same_type("Sqrt"),
    elementwise.SIN: _same_type("Sin"),
    elementwise.COS: _same_type("Cos"),
    elementwise.TANH: _same_type("Tanh"),
    elementwise.ERF: _same_type("Erf"),
    elementwise.MAXIMUM: _same_type("Max", "Or"),
    elementwise.MINIMUM: _same_type("Min", "And"),
    elementwise.EQUAL: _comparison("Equal"),
    elementwise.NOT_EQUAL: _comparison("Equal", negated=True),
    elementwise.LESS: _comparison("Less"),
    elementwise.LESS_EQUAL: _comparison("LessOrEqual"),
    elementwise.GREATER: _comparison("Greater"),
    elementwise.GREATER_EQUAL: _comparison("GreaterOrEqual"),
    elementwise.LOGICAL_AND: _logical("And"),
    elementwise.LOGICAL_OR: _logical("Or"),
    elementwise.LOGICAL_NOT: _logical("Not"),
    elementwise.ISNAN: lambda nodes, step: nodes.add("IsNaN", nodes.name(step.inputs[0])),
    elementwise.ISFINITE: _isfinite,
    elementwise.WHERE: _where,
    CAST: lambda nodes, step: nodes.add("Cast", nodes.name(step.inputs[0]), to=step.output.dtype),
    reduce.SUM: _reduction("ReduceSum"),
    reduce.MAX: _reduction("ReduceMax"),
    reduce.MIN: _reduction("ReduceMin"),
    reduce.ARGMAX: _best("ArgMax"),
    reduce.ARGMIN: _best("ArgMin"),
    reduce.CUMSUM: _cumsum,
    shape.RESHAPE: _reshape,
    shape.TRANSPOSE: lambda nodes, step: nodes.transpose(step.inputs[0], step.attributes["axes"]),
    shape.BROADCAST_TO: lambda nodes, step: nodes.add(
        "Expand", nodes.unspread(step.inputs[0]), nodes.lengths(step.output.shape)
    ),
    shape.SLICE: _slice,
    shape.UNSLICE: _unslice,
    shape.CONCATENATE: _concatenate,
    index.GATHER: _gather,
    linalg.MATMUL: _matmul,
    window.CONVOLVE: _convolve,
    window.WINDOWS: _windows,
}
