"""Element types: casting, the promotion of operands to a common type, and assignment."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dnn import backend as backends
from tinygrad_dnn.backend.element_types import FLOATING, common_float, is_narrow
from tinygrad_dnn.graph import Primitive
from tinygrad_dnn.tensor import DTypeLike, Tensor, TensorLike, apply, as_dtype, as_tensor

# autograd casts a gradient to its input's dtype, so the gradient of a cast is the gradient itself.
CAST = Primitive("cast", lambda xp, x, *, dtype: x.astype(dtype), x=lambda g: g)

# The target takes the value's array: binding instead of writing is what keeps views and saved values unharmed.
ASSIGN = Primitive("assign", lambda xp, target, value: value)


def cast(x: TensorLike, dtype: DTypeLike) -> Tensor:
    """Return ``x`` with elements of type ``dtype``; itself if it has it already.

    Args:
        x: A Tensor or what makes one.
        dtype: float16, bfloat16, float32, float64, an integer type or bool.

    Raises:
        TypeError: ``dtype`` is no such type.

    Example:
        >>> td.cast([1.9, -1.9], "int32")
        Tensor([ 1, -1], dtype=int32)
    """
    x = as_tensor(x)
    target = as_dtype(dtype)
    return x if x.data.dtype == target else apply(CAST, (x,), {"dtype": target})


def floating(x: TensorLike) -> Tensor:
    """Return ``x`` as a floating-point Tensor, integers and booleans in the default type."""
    x = as_tensor(x)
    return x if x.data.dtype.kind in FLOATING else cast(x, backends.floatx())


def widened(x: Any) -> Any:
    """Return a Tensor of float16 or bfloat16 in float32, with the logits that it remembers; all else as it is.

    Example:
        >>> from tinygrad_dnn.ops.cast import widened
        >>> widened(td.zeros((2,), "float16"))
        Tensor([0., 0.], dtype=float32)
    """
    if not isinstance(x, Tensor) or not is_narrow(x.data.dtype):
        return x
    out = cast(x, np.float32)
    if x._logits is not None and max(x._assigned, x._logits[1]._assigned) <= x._serial:
        out._logits = x._logits[0], widened(x._logits[1])
    return out


def promote(x: TensorLike, y: TensorLike, *, to_float: bool = False) -> tuple[Any, Any]:
    """Bring two operands to a common dtype; a Python number adapts to the Tensor beside it and stays a number.

    Integers beside floats take the float's type (NumPy would widen to float64). With ``to_float``, two integers
    become floats of the default type as well. A weight of a layer that computes in float16 or bfloat16 takes that type
    beside a Tensor of it.
    """
    if isinstance(x, Tensor):
        if isinstance(y, Tensor):
            if x.data.dtype == y.data.dtype and (not to_float or x.data.dtype.kind == "f"):
                return x, y
            common = _common(x, y, to_float)
            return cast(x, common), cast(y, common)
        if type(y) is float and x.data.dtype.kind == "f":
            return x, y  # by far the most frequent case
        return _with_number(x, y, to_float)
    if isinstance(y, Tensor):
        y, x = _with_number(y, x, to_float)
        return x, y
    return promote(as_tensor(x), as_tensor(y), to_float=to_float)


def _with_number(x: Tensor, y: TensorLike, to_float: bool) -> tuple[Tensor, Any]:
    if isinstance(y, np.generic):
        y = y.item()  # a NumPy scalar would carry its dtype into the result, a Python number does not
    kind = x.data.dtype.kind
    if kind == "V" and isinstance(y, (int, float)):
        # NumPy takes a number beside bfloat16 for a float32.
        return x, Tensor._wrap(x.backend.full((), y, dtype=x.dtype))  # type: ignore[attr-defined]
    if isinstance(y, float):
        return (x if kind == "f" else cast(x, backends.floatx())), y
    if isinstance(y, int):  # bool too
        if to_float and kind != "f":
            return cast(x, backends.floatx()), float(y)
        if kind == "b" and not isinstance(y, bool):
            return cast(x, np.int64), y
        return x, y
    pair: tuple[Tensor, Any] = promote(x, as_tensor(y, like=x), to_float=to_float)
    return pair


def _common(x: Tensor, y: Tensor, to_float: bool) -> np.dtype[Any]:
    a, b = x.dtype, y.dtype
    if x._autocast is not None and x._autocast == b:
        return b
    if y._autocast is not None and y._autocast == a:
        return a
    if a.kind in FLOATING and b.kind in FLOATING:
        return common_float(a, b)
    if a.kind in FLOATING or b.kind in FLOATING:
        return a if a.kind in FLOATING else b
    common = np.result_type(a, b)
    return np.dtype(backends.floatx()) if to_float and common.kind != "f" else common


def for_assign(value: TensorLike, target: Tensor) -> Tensor:
    """Return ``value`` as what ``target`` may be bound to: of its shape, dtype and backend, without history."""
    new = fitted(value, target)
    if new.data.shape != target.data.shape:
        raise ValueError(f"{_name(target)} has shape {target.shape} and was assigned a value of shape {new.shape}.")
    return new


def fitted(value: TensorLike, target: Tensor) -> Tensor:
    """Return ``value`` as a Tensor of the dtype and backend of ``target``, if its kind of number allows."""
    new = as_tensor(value, like=target)
    if new.data.dtype != target.data.dtype:
        both_integers = new.dtype.kind in "iu" and target.dtype.kind in "iu"
        if not both_integers and not np.can_cast(new.dtype, target.dtype, "same_kind"):
            raise TypeError(
                f"{_name(target)} is {target.dtype.name} and was assigned {new.dtype.name}: cast it if that is meant."
            )
        new = cast(new, target.dtype)
    return new if new.backend is target.backend else new.to(target.backend.name)


def _name(x: Tensor) -> str:
    name = getattr(x, "path", None)
    return f"{type(x).__name__} {name!r}" if name else "the Tensor"
