"""The strict double's functions: NumPy's, with the arguments and the habits that CuPy's have."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from tinygrad_dnn.backend.strict_array import (
    SCALARS,
    StrictArray,
    adopt,
    array_data,
    fresh,
    operand_data,
    refusal,
    wrapped,
)
from tinygrad_dnn.backend.strict_memory import (
    POISON,
    VARIED_SIZE,
    converted,
    device,
    layout,
    seed_of,
    settled,
    supported,
    varied,
)
from tinygrad_dnn.backend.strict_table import FIXED_LAYOUT, SIGNATURES


class _Signature(NamedTuple):
    arrays: int
    sequence: bool
    by_place: int
    names: tuple[str, ...]
    keywords: frozenset[str]

    @classmethod
    def parse(cls, text: str) -> _Signature:
        tokens = text.split()
        arrays = tokens.count("A")
        names = [token for token in tokens if token not in "AS/*"]
        by_keyword_only = len(tokens) - tokens.index("*") - 1 if "*" in tokens else 0
        by_place_only = tokens.index("/") - arrays if "/" in tokens else 0
        sequence = "S" in tokens
        by_place = arrays + sequence + len(names) - by_keyword_only
        return cls(arrays, sequence, by_place, tuple(names), frozenset(names[by_place_only:]))


def elementwise(name: str, ufunc: np.ufunc) -> Callable[..., StrictArray]:
    """Return a ufunc as CuPy has it: of device arrays and Python numbers, with out, dtype and casting, no where."""
    seed = seed_of(name)
    inputs = ufunc.nin
    compute: Callable[..., Any] = integral_power if ufunc is np.power else ufunc

    def call(*args: Any, out: Any = None, **options: Any) -> StrictArray:
        if len(args) != inputs:
            if len(args) != inputs + 1 or out is not None:
                raise TypeError(f"{name} of the strict backend takes {inputs} operands and out, not {len(args)}")
            *args, out = args  # type: ignore[assignment]
        if options and not options.keys() <= {"dtype", "casting"}:
            raise TypeError(f"{name} of the strict backend, as CuPy's, takes out, dtype and casting, not {options}")
        widest: Any = None
        dimensions = 1
        values = []
        for x in args:
            if type(x) is StrictArray:
                x = x._data
                if x.ndim > dimensions:
                    dimensions = x.ndim
                    widest = x
            elif type(x) not in SCALARS:
                raise refusal(name, x)
            values.append(x)
        if out is None:
            if widest is None:
                return fresh(compute(*values, **options))
            order = "C" if widest.size > VARIED_SIZE else layout(seed, widest.shape)
            return fresh(compute(*values, order=order, **options))
        target = array_data(f"out of {name}", out)
        check_out(name, target, np.broadcast_shapes(*(x.shape for x in values if isinstance(x, np.ndarray))))
        if device.capturing and any(x is not out and overlap(x, target) for x in args):
            device.refuse(f"{name} copied an operand that overlaps out", "allocation")
        compute(*values, out=target, **options)
        return out  # type: ignore[no-any-return]

    call.__name__ = name
    return call


def check_out(name: str, target: np.ndarray, shape: tuple[int, ...]) -> None:
    """Refuse an ``out`` of another shape than the result's, into which NumPy would broadcast it.

    CuPy 14.2 says "Out shape is mismatched" (``_get_out_args_from_optionals`` of cupy/_core/_kernel.pyx), of
    ufuncs and reductions alike.
    """
    if target.shape != shape:
        raise ValueError(f"{name} of the strict backend was given out of shape {target.shape} for a result of {shape}")


def integral_power(x: Any, y: Any, out: np.ndarray | None = None, **options: Any) -> Any:
    """Return powers as CuPy 14.2 has them: an integer to a negative integer power is 1, -1 or 0, and no error.

    See ``integral_power`` of cupy/_core/_routines_math.pyx.
    """
    base, exponent = np.asarray(x), np.asarray(y)
    if base.dtype.kind not in "iu" or exponent.dtype.kind != "i" or not (exponent < 0).any():
        return np.power(x, y, out=out, **options)
    inverse = np.where(base == -1, 1 - 2 * (exponent & 1), base == 1)
    powers = np.where(exponent < 0, inverse, np.power(x, abs(y)))
    result = np.array(powers, np.result_type(x, y), order=options.get("order", "K"))
    if out is None:
        return result
    out[...] = result
    return out


def overlap(x: Any, target: np.ndarray) -> bool:
    """Return whether a device array may share memory with ``target``, by bounds alone as CuPy judges it."""
    return type(x) is StrictArray and np.may_share_memory(x._data, target)


def checked(name: str) -> Callable[..., Any]:
    """Return a NumPy function that takes what ``SIGNATURES`` says CuPy's takes, and gives device arrays."""
    signature = _Signature.parse(SIGNATURES[name])
    function = getattr(np, name)
    varies = name not in FIXED_LAYOUT
    seed = seed_of(name)

    def call(*args: Any, **options: Any) -> Any:
        if not signature.arrays + signature.sequence <= len(args) <= signature.by_place:
            raise TypeError(f"{name} of the strict backend takes {SIGNATURES[name]!r}, not {len(args)} of it by place")
        if unknown := options.keys() - signature.keywords:
            raise TypeError(f"{name} of the strict backend takes {SIGNATURES[name]!r}, not {sorted(unknown)}")
        sources = args[0] if signature.sequence else args[: signature.arrays]
        if signature.sequence and type(sources) not in (list, tuple):
            raise refusal(name, sources)
        data: list[Any] = [array_data(name, x) for x in sources]
        if varies:
            data = [settled(x) for x in data]
        rest = [
            _argument(name, key, x)
            for key, x in zip(signature.names, args[signature.arrays + signature.sequence :], strict=False)
        ]
        out = options.get("out")
        options = {key: _argument(name, key, value) for key, value in options.items()}
        if isinstance(out, StrictArray) and not signature.sequence:
            options.pop("out")
            result = np.asarray(function(*data, *rest, **options))
            check_out(name, out._data, result.shape)
            np.copyto(out._data, result, casting="same_kind")
            return out
        result = function(data, *rest, **options) if signature.sequence else function(*data, *rest, **options)
        if isinstance(out, StrictArray):
            return out
        if isinstance(result, (list, tuple)):
            return [adopt(part, *sources) for part in result]
        result = np.asarray(result)
        return adopt(varied(seed, result) if varies else result, *sources)

    call.__name__ = name
    return call


def _argument(function: str, key: str, value: Any) -> Any:
    """Return an argument that is no operand: a shape, an axis, a dtype, a number."""
    name = f"{key} of {function}"
    if type(value) is StrictArray:
        if key not in ("out", "fill_value"):
            raise TypeError(f"{name}, in the strict backend, is known to the host: to look into an array is to wait")
        return value._data
    if isinstance(value, np.ndarray) or (isinstance(value, np.generic) and not isinstance(value, np.integer)):
        raise refusal(name, value)
    return value


_MATMUL = seed_of("matmul")


def matmul(a: Any, b: Any, out: Any = None) -> StrictArray:
    """Return the matrix product, by the rules of ``cupy.matmul``.

    It is refused in a capture unless "matmul" is allowed there, which stands for a cuBLAS handle of one's own. Without
    allocating it works on operands of the result's dtype in C or (2-D only) Fortran order, into an ``out`` in C order
    of that dtype that overlaps neither; where one of these fails it works through a copy, which a capture refuses.
    """
    x, y = array_data("matmul", a), array_data("matmul", b)
    dtype = np.promote_types(x.dtype, y.dtype)
    if device.capturing:
        device.refuse("matmul was called", "matmul")
        batched = max(x.ndim, y.ndim) > 2
        for data in (x, y):
            if data.dtype != dtype or not (data.flags.c_contiguous or (data.flags.f_contiguous and not batched)):
                device.refuse("matmul copied an operand for its dtype or layout", "allocation")
        if batched and dtype.char == "e":
            device.refuse("matmul widened batched float16", "allocation")
    if out is None:
        return fresh(varied(_MATMUL, np.asarray(np.matmul(settled(x), settled(y)))))
    target = array_data("out of matmul", out)
    if not target.flags.c_contiguous or target.dtype != dtype or overlap(a, target) or overlap(b, target):
        device.refuse("matmul worked through a copy of out for its layout, dtype or overlap", "allocation")
    np.matmul(settled(x), settled(y), out=target, casting="same_kind")
    return out  # type: ignore[no-any-return]


def asarray(a: Any, dtype: Any = None) -> StrictArray:
    """Return a device array unchanged, if ``dtype`` is its own, or a Python number as a 0-d array.

    CuPy takes host arrays and lists too; they belong into ``from_host``, where an upload is seen.
    """
    if type(a) is StrictArray:
        return a if dtype is None else a.astype(dtype, copy=False)
    number = np.asarray(operand_data("asarray", a), None if dtype is None else supported(dtype))
    if device.capturing:
        raise RuntimeError("asarray brings a number to the device, which a capture does not allow")
    return fresh(number)


def empty(shape: Any, dtype: Any = float, order: Any = "C") -> StrictArray:
    """Return new memory, filled with poison."""
    kind = supported(dtype)
    return fresh(np.full(shape, POISON[kind.char], kind, order))


def empty_like(a: Any, dtype: Any = None, order: Any = "K") -> StrictArray:
    """Return new memory of an array's shape, filled with poison."""
    data = array_data("empty_like", a)
    kind = data.dtype if dtype is None else supported(dtype)
    return fresh(np.full_like(data, POISON[kind.char], kind, order))


_TAKE = seed_of("take")


def take(a: Any, indices: Any, axis: int | None = None, out: Any = None) -> StrictArray:
    """Return what stands at ``indices``, each taken modulo the axis's length."""
    data = array_data("take", a)
    places = indices._data if type(indices) is StrictArray else np.asarray(operand_data("take", indices))
    result = np.take(data, wrapped(places, data.size if axis is None else data.shape[axis]), axis)
    if out is None:
        return fresh(varied(_TAKE, np.asarray(result)))
    target = array_data("out of take", out)
    if target.dtype != data.dtype or target.shape != result.shape:
        raise ValueError(
            f"take wants out of {data.dtype} and shape {result.shape}, not of {target.dtype} and shape {target.shape}"
        )
    target[...] = result
    return out  # type: ignore[no-any-return]


def take_along_axis(a: Any, indices: Any, axis: int | None) -> StrictArray:
    """Return what stands at ``indices`` of each line along ``axis``, each taken modulo the line's length."""
    data, places = array_data("take_along_axis", a), array_data("take_along_axis", indices)
    result = np.take_along_axis(data, wrapped(places, data.size if axis is None else data.shape[axis]), axis)
    return fresh(varied(_TAKE, result))


_WHERE = seed_of("where")


def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    """Choose between x and y; with neither, tell the places of the true elements, which waits for the device."""
    mask = array_data("where", condition)
    if x is None and y is None:
        return nonzero(condition)
    result = np.where(mask.astype(np.bool_, copy=False), operand_data("where", x), operand_data("where", y))
    return fresh(varied(_WHERE, np.asarray(result)))


def nonzero(a: Any) -> tuple[StrictArray, ...]:
    """Tell the places of the true elements; their number must be known to the host, which waits for the device."""
    device.wait("nonzero")
    return tuple(fresh(places) for places in np.nonzero(array_data("nonzero", a)))


_CLIP = seed_of("clip")


def clip(a: Any, a_min: Any, a_max: Any, out: Any = None) -> StrictArray:
    """Limit the elements to an interval; None leaves that side open."""
    low, high = (None if limit is None else operand_data("clip", limit) for limit in (a_min, a_max))
    if out is None:
        return fresh(varied(_CLIP, np.asarray(np.clip(array_data("clip", a), low, high))))
    np.clip(array_data("clip", a), low, high, out=array_data("out of clip", out))
    return out  # type: ignore[no-any-return]


def sort(a: Any, axis: int | None = -1, kind: str | None = None) -> StrictArray:
    """Return the elements sorted along an axis; CuPy's sort is stable and has no other kind."""
    return _sorted("sort", np.sort, a, axis, kind)


def argsort(a: Any, axis: int | None = -1, kind: str | None = None) -> StrictArray:
    """Return the order that would sort the elements along an axis."""
    return _sorted("argsort", np.argsort, a, axis, kind)


def _sorted(name: str, function: Callable[..., Any], a: Any, axis: int | None, kind: str | None) -> StrictArray:
    if kind not in (None, "stable"):
        raise ValueError(f"{name} of the strict backend, as CuPy's, is stable and takes no kind {kind!r}")
    return fresh(varied(seed_of(name), function(array_data(name, a), axis=axis, kind="stable")))


def copyto(dst: Any, src: Any, casting: Any = "same_kind") -> None:
    """Write ``src``, broadcast, on ``dst``."""
    target, values = array_data("copyto", dst), operand_data("copyto", src)
    if isinstance(values, np.ndarray) and np.can_cast(values.dtype, target.dtype, casting):
        values = converted(values, target.dtype)
    np.copyto(target, values, casting=casting)


def sliding_window_view(x: Any, window_shape: Any, axis: Any = None) -> StrictArray:
    """Return the windows along some axes as a view."""
    return adopt(np.lib.stride_tricks.sliding_window_view(array_data("sliding_window_view", x), window_shape, axis), x)


def result_type(*arrays_and_dtypes: Any) -> np.dtype[Any]:
    """Return the dtype that operands would give together."""
    return np.result_type(*(x._data if type(x) is StrictArray else x for x in arrays_and_dtypes))


SPECIAL: dict[str, Any] = {
    function.__name__: function
    for function in (
        argsort,
        asarray,
        clip,
        copyto,
        empty,
        empty_like,
        matmul,
        nonzero,
        result_type,
        sort,
        take,
        take_along_axis,
        where,
    )
}
SPECIAL["lib"] = SimpleNamespace(stride_tricks=SimpleNamespace(sliding_window_view=sliding_window_view))


def _operator(name: str, function: Callable[..., Any], *, reverse: bool = False, in_place: bool = False) -> Any:
    def binary(self: StrictArray, other: Any) -> Any:
        if type(other) is StrictArray or type(other) in SCALARS:
            if in_place:
                return function(self, other, out=self)
            return function(other, self) if reverse else function(self, other)
        if other is None or isinstance(other, (np.ndarray, np.generic, list, tuple)):
            raise refusal(name, other)
        return NotImplemented

    binary.__name__ = name
    return binary


def _install_operators() -> None:
    """Give StrictArray its operators, which are these functions."""
    arithmetic = {
        "add": np.add,
        "sub": np.subtract,
        "mul": np.multiply,
        "truediv": np.divide,
        "floordiv": np.floor_divide,
        "mod": np.remainder,
        "pow": np.power,
        "and": np.bitwise_and,
        "or": np.bitwise_or,
        "xor": np.bitwise_xor,
    }
    comparison = {
        "eq": np.equal,
        "ne": np.not_equal,
        "lt": np.less,
        "le": np.less_equal,
        "gt": np.greater,
        "ge": np.greater_equal,
    }
    functions: dict[str, Callable[..., Any]] = {
        name: elementwise(name, ufunc) for name, ufunc in (arithmetic | comparison).items()
    }
    functions["matmul"] = matmul
    for name, function in functions.items():
        setattr(StrictArray, f"__{name}__", _operator(f"__{name}__", function))
    for name in (*arithmetic, "matmul"):
        setattr(StrictArray, f"__r{name}__", _operator(f"__r{name}__", functions[name], reverse=True))
    for name in arithmetic:
        setattr(StrictArray, f"__i{name}__", _operator(f"__i{name}__", functions[name], in_place=True))
    for name, ufunc in {"neg": np.negative, "pos": np.positive, "abs": np.absolute, "invert": np.invert}.items():
        setattr(StrictArray, f"__{name}__", elementwise(name, ufunc))


_install_operators()
