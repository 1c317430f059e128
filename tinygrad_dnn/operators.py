"""The operators and methods by which a Tensor is computed with; each is the operation of its name in ``ops``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tinygrad_dnn import ops

if TYPE_CHECKING:
    from tinygrad_dnn.tensor import DTypeLike, Tensor, TensorLike


def _in_place(x: Tensor, new: Tensor) -> Tensor:
    """Finish ``x op= y``: assign where nothing is recorded, else name the new value as PyTorch's users expect."""
    if new.requires_grad:
        if x.is_leaf and x.requires_grad:
            raise RuntimeError(
                "a leaf Tensor that requires a gradient is edited in place while gradients are recorded: "
                "do it inside td.no_grad(), or write x = x + y."
            )
        return new
    return x.assign(new)


def _mask(x: Tensor, operator: str) -> Tensor:
    # On integers these operators are bitwise elsewhere: to answer with a logical result would be a wrong number.
    if x.dtype.kind != "b":
        raise TypeError(f"{operator} takes boolean Tensors, not {x.dtype.name}: compare first, or use td.logical_and.")
    return x


class Operators:
    """What ``Tensor`` inherits; ``self`` is always one."""

    # -- operators ------------------------------------------------------------------------------------------------

    def __add__(self: Any, other: TensorLike) -> Tensor:
        return ops.add(self, other)

    def __radd__(self: Any, other: TensorLike) -> Tensor:
        return ops.add(other, self)

    def __iadd__(self: Any, other: TensorLike) -> Tensor:
        return _in_place(self, ops.add(self, other))

    def __sub__(self: Any, other: TensorLike) -> Tensor:
        return ops.subtract(self, other)

    def __rsub__(self: Any, other: TensorLike) -> Tensor:
        return ops.subtract(other, self)

    def __isub__(self: Any, other: TensorLike) -> Tensor:
        return _in_place(self, ops.subtract(self, other))

    def __mul__(self: Any, other: TensorLike) -> Tensor:
        return ops.multiply(self, other)

    def __rmul__(self: Any, other: TensorLike) -> Tensor:
        return ops.multiply(other, self)

    def __imul__(self: Any, other: TensorLike) -> Tensor:
        return _in_place(self, ops.multiply(self, other))

    def __truediv__(self: Any, other: TensorLike) -> Tensor:
        return ops.divide(self, other)

    def __rtruediv__(self: Any, other: TensorLike) -> Tensor:
        return ops.divide(other, self)

    def __itruediv__(self: Any, other: TensorLike) -> Tensor:
        return _in_place(self, ops.divide(self, other))

    def __floordiv__(self: Any, other: TensorLike) -> Tensor:
        return ops.floor_divide(self, other)

    def __ifloordiv__(self: Any, other: TensorLike) -> Tensor:
        return _in_place(self, ops.floor_divide(self, other))

    def __rfloordiv__(self: Any, other: TensorLike) -> Tensor:
        return ops.floor_divide(other, self)

    def __mod__(self: Any, other: TensorLike) -> Tensor:
        return ops.remainder(self, other)

    def __imod__(self: Any, other: TensorLike) -> Tensor:
        return _in_place(self, ops.remainder(self, other))

    def __rmod__(self: Any, other: TensorLike) -> Tensor:
        return ops.remainder(other, self)

    def __pow__(self: Any, other: TensorLike) -> Tensor:
        return ops.power(self, other)

    def __ipow__(self: Any, other: TensorLike) -> Tensor:
        return _in_place(self, ops.power(self, other))

    def __rpow__(self: Any, other: TensorLike) -> Tensor:
        return ops.power(other, self)

    def __matmul__(self: Any, other: TensorLike) -> Tensor:
        return ops.matmul(self, other)

    def __rmatmul__(self: Any, other: TensorLike) -> Tensor:
        return ops.matmul(other, self)

    def __neg__(self: Any) -> Tensor:
        return ops.negative(self)

    def __pos__(self: Any) -> Tensor:
        same: Tensor = self
        return same

    def __abs__(self: Any) -> Tensor:
        return ops.abs(self)

    def __invert__(self: Any) -> Tensor:
        return ops.logical_not(_mask(self, "~"))

    def __and__(self: Any, other: TensorLike) -> Tensor:
        return ops.logical_and(_mask(self, "&"), _mask(self._operand(other), "&"))

    def __rand__(self: Any, other: TensorLike) -> Tensor:
        return ops.logical_and(_mask(self._operand(other), "&"), _mask(self, "&"))

    def __or__(self: Any, other: TensorLike) -> Tensor:
        return ops.logical_or(_mask(self, "|"), _mask(self._operand(other), "|"))

    def __ror__(self: Any, other: TensorLike) -> Tensor:
        return ops.logical_or(_mask(self._operand(other), "|"), _mask(self, "|"))

    def __eq__(self: Any, other: object) -> Tensor:  # type: ignore[override]
        # None, or a word, is equal to no Tensor: Python then compares identities.
        return NotImplemented if other is None or isinstance(other, str) else ops.equal(self, other)  # type: ignore[arg-type]

    def __ne__(self: Any, other: object) -> Tensor:  # type: ignore[override]
        return NotImplemented if other is None or isinstance(other, str) else ops.not_equal(self, other)  # type: ignore[arg-type]

    def __lt__(self: Any, other: TensorLike) -> Tensor:
        return ops.less(self, other)

    def __le__(self: Any, other: TensorLike) -> Tensor:
        return ops.less_equal(self, other)

    def __gt__(self: Any, other: TensorLike) -> Tensor:
        return ops.greater(self, other)

    def __ge__(self: Any, other: TensorLike) -> Tensor:
        return ops.greater_equal(self, other)

    def __getitem__(self: Any, index: Any) -> Tensor:
        return ops.getitem(self, index)

    def __setitem__(self: Any, index: Any, value: TensorLike) -> None:
        new = ops.setitem(self, index, value)
        if new.requires_grad:
            raise RuntimeError(
                "x[index] = value cannot be recorded for gradients: do it inside td.no_grad(), or use td.where."
            )
        self.assign(new)

    def __iter__(self: Any) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    # -- methods by NumPy's and PyTorch's names ----------------------------------------------------------------------

    @property
    def T(self: Any) -> Tensor:
        """Its axes reversed."""
        return ops.transpose(self)

    def astype(self: Any, dtype: DTypeLike) -> Tensor:
        """Return it with elements of type ``dtype``; see ``td.cast``."""
        return ops.cast(self, dtype)

    def reshape(self: Any, *shape: int | Sequence[int]) -> Tensor:
        """Return it in another shape of as many elements; see ``td.reshape``."""
        return ops.reshape(self, _varargs(shape))

    def transpose(self: Any, *axes: int | Sequence[int]) -> Tensor:
        """Return it with its axes permuted, reversed by default; see ``td.transpose``."""
        return ops.transpose(self, _varargs(axes) if axes else None)

    def flatten(self: Any) -> Tensor:
        """Return its elements as one axis; see ``td.ravel``."""
        return ops.ravel(self)

    def squeeze(self: Any, axis: int | Sequence[int] | None = None) -> Tensor:
        """Return it without its axes of length 1; see ``td.squeeze``."""
        return ops.squeeze(self, axis)

    def sum(self: Any, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Tensor:
        """Return its sum over ``axis``; see ``td.sum``."""
        return ops.sum(self, axis, keepdims)

    def mean(self: Any, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Tensor:
        """Return its mean over ``axis``; see ``td.mean``."""
        return ops.mean(self, axis, keepdims)

    def var(self: Any, axis: int | Sequence[int] | None = None, keepdims: bool = False, ddof: int = 0) -> Tensor:
        """Return its variance over ``axis``; see ``td.var``."""
        return ops.var(self, axis, keepdims, ddof)

    def std(self: Any, axis: int | Sequence[int] | None = None, keepdims: bool = False, ddof: int = 0) -> Tensor:
        """Return its standard deviation over ``axis``; see ``td.std``."""
        return ops.std(self, axis, keepdims, ddof)

    def max(self: Any, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Tensor:
        """Return its maximum over ``axis``; see ``td.max``."""
        return ops.max(self, axis, keepdims)

    def min(self: Any, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Tensor:
        """Return its minimum over ``axis``; see ``td.min``."""
        return ops.min(self, axis, keepdims)

    def argmax(self: Any, axis: int | None = None) -> Tensor:
        """Return the index of its maximum; see ``td.argmax``."""
        return ops.argmax(self, axis)

    def argmin(self: Any, axis: int | None = None) -> Tensor:
        """Return the index of its minimum; see ``td.argmin``."""
        return ops.argmin(self, axis)

    def any(self: Any, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Tensor:
        """Tell whether any element is true; see ``td.any``."""
        return ops.any(self, axis, keepdims)

    def all(self: Any, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Tensor:
        """Tell whether all elements are true; see ``td.all``."""
        return ops.all(self, axis, keepdims)

    def exp(self: Any) -> Tensor:
        """Return e to its power; see ``td.exp``."""
        return ops.exp(self)

    def log(self: Any) -> Tensor:
        """Return its natural logarithm; see ``td.log``."""
        return ops.log(self)

    def sqrt(self: Any) -> Tensor:
        """Return its square root; see ``td.sqrt``."""
        return ops.sqrt(self)

    def tanh(self: Any) -> Tensor:
        """Return its hyperbolic tangent; see ``td.tanh``."""
        return ops.tanh(self)

    def abs(self: Any) -> Tensor:
        """Return its absolute value; see ``td.abs``."""
        return ops.abs(self)

    def clip(self: Any, minimum: TensorLike | None = None, maximum: TensorLike | None = None) -> Tensor:
        """Return it limited to an interval; see ``td.clip``."""
        return ops.clip(self, minimum, maximum)


def _varargs(values: tuple[Any, ...]) -> Any:
    """Let ``f(2, 3)`` and ``f((2, 3))`` mean the same."""
    return values[0] if len(values) == 1 and not isinstance(values[0], int) else values
