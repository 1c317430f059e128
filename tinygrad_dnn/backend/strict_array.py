"""The strict double's array: NumPy's memory behind the manners of ``cupy.ndarray``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

import numpy as np

from tinygrad_dnn.backend.strict_memory import Buffer, converted, device, root_of, seed_of, supported, varied

SCALARS = frozenset((bool, int, float))
"""What may stand beside a StrictArray; by exact type, since np.float64 is a subclass of float."""

_GETITEM = seed_of("getitem")


class Flags(NamedTuple):
    """The layout of an array: what of NumPy's flags CuPy has."""

    c_contiguous: bool
    f_contiguous: bool
    owndata: bool


class StrictArray:
    """An array that behaves as ``cupy.ndarray`` does, over NumPy.

    It is a wrapper and not a subclass of ndarray, since only a wrapper is refused by every NumPy function: whatever
    brings it to the host without ``to_host`` raises. Indices out of range wrap, as in CuPy: an integer array's by the
    axis they index, silently, while a plain integer still raises. Where an index array repeats an index, which of the
    assigned values stays is undefined in CuPy; here the first does, unlike NumPy's last.

    Arrays come from ``StrictBackend``; the class has no constructor for users.

    Example:
        >>> strict = td.backend.get("strict")
        >>> x = strict.from_host(np.arange(3))
        >>> strict.to_host(x[x + 1])
        array([1, 2, 0])
    """

    __slots__ = ("_buffer", "_data")
    _data: np.ndarray
    _buffer: Buffer

    __array_ufunc__: ClassVar[None] = None
    __hash__: ClassVar[None] = None  # type: ignore[assignment]

    # -- what would bring it to the host -------------------------------------------------------------------------------

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        raise TypeError("a device array does not become a NumPy array by itself: take backend.to_host(array)")

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        raise TypeError(
            f"numpy.{function.__name__} was given a device array: take the backend's function of that name, or to_host"
        )

    def __reduce__(self) -> Any:
        raise TypeError("a device array is not pickled: take backend.to_host(array)")

    def __dlpack_device__(self) -> tuple[int, int]:
        raise BufferError("the strict double has no device whose memory it could share: take backend.to_host(array)")

    def __dlpack__(self, **options: Any) -> Any:
        raise BufferError("the strict double has no device whose memory it could share: take backend.to_host(array)")

    def item(self) -> Any:
        """Return the only element as a Python number; the host waits for the device."""
        device.wait("item()")
        return self._data.item()

    def __bool__(self) -> bool:
        device.wait("the truth value of a device array")
        return bool(self._data)

    def __int__(self) -> int:
        device.wait("int() of a device array")
        return int(self._data)

    def __float__(self) -> float:
        device.wait("float() of a device array")
        return float(self._data)

    def __repr__(self) -> str:
        device.wait("the text of a device array")
        return repr(self._data)

    def __format__(self, specification: str) -> str:
        device.wait("the text of a device array")
        return format(self._data, specification)

    # -- what is known without asking the device -----------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        return self._data.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the elements."""
        return self._data.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self._data.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self._data.size

    @property
    def itemsize(self) -> int:
        """The bytes of one element."""
        return self._data.itemsize

    @property
    def nbytes(self) -> int:
        """The bytes of all elements."""
        return self._data.nbytes

    @property
    def strides(self) -> tuple[int, ...]:
        """The bytes from one element to the next, along each axis."""
        return self._data.strides

    @property
    def flags(self) -> Flags:
        """The layout."""
        flags = self._data.flags
        return Flags(flags.c_contiguous, flags.f_contiguous, flags.owndata)

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[StrictArray]:
        if not self._data.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self._data)))

    # -- views and copies ----------------------------------------------------------------------------------------------

    @property
    def T(self) -> StrictArray:
        """The view with its axes in reverse order."""
        return adopt(self._data.T, self)

    def transpose(self, *axes: Any) -> StrictArray:
        """Return the view with its axes in another order, reversed by default."""
        return adopt(self._data.transpose(*axes), self)

    def reshape(self, *shape: Any) -> StrictArray:
        """Return the elements, in C order, in another shape: a view where the layout allows it."""
        return adopt(self._data.reshape(*shape), self)

    def astype(self, dtype: Any, *, copy: bool = True) -> StrictArray:
        """Return the elements converted; with ``copy=False`` the array itself if nothing is to convert."""
        target = supported(dtype)
        if target == self._data.dtype and not copy:
            return self
        return fresh(converted(self._data, target))

    def copy(self) -> StrictArray:
        """Return a copy in C order."""
        return fresh(self._data.copy())

    def __copy__(self) -> StrictArray:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> StrictArray:
        return self.copy()

    def fill(self, value: Any) -> None:
        """Set every element to one number, or to the value of a 0-d array."""
        self._data.fill(operand_data("fill", value))

    # -- indexing ------------------------------------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> StrictArray:
        index, advanced = self._index(key)
        chosen: Any = self._data[index]
        if advanced:
            own = np.asarray(chosen)
            if root_of(own) is self._buffer.root:  # a 0-d index array makes a view in NumPy, a copy in CuPy
                own = own.copy()
            return fresh(varied(_GETITEM, own))
        return adopt(chosen if type(chosen) is np.ndarray else self._data[(*index, ...)], self)

    def __setitem__(self, key: Any, value: Any) -> None:
        index, advanced = self._index(key)
        new = operand_data("assignment", value)
        if isinstance(new, np.ndarray):
            new = converted(new, self._data.dtype)
        if not advanced:
            self._data[index] = new
            return
        # NumPy writes in order, so that the last value stays; written backwards, the first does.
        places = np.arange(self._data.size).reshape(self._data.shape)[index]
        new = np.asarray(new)
        while new.ndim > places.ndim and new.shape[0] == 1:
            new = new[0]
        np.put(self._data, places.ravel()[::-1], np.broadcast_to(new, places.shape).ravel()[::-1])

    def _index(self, key: Any) -> tuple[tuple[Any, ...], bool]:
        """Return a key as NumPy takes it, with wrapped index arrays, and whether it has any."""
        items = key if type(key) is tuple else (key,)
        used = 0
        advanced = False
        for item in items:
            if type(item) is StrictArray:
                advanced = True
                used += item.ndim if item._data.dtype.kind == "b" else 1
            elif item is None or item is Ellipsis:
                continue
            elif type(item) in (int, slice) or isinstance(item, np.integer):
                used += 1
            else:
                raise refusal("an index", item)
        if not advanced:
            return items, False
        index: list[Any] = []
        axis = 0
        for item in items:
            if type(item) is not StrictArray:
                index.append(item)
                axis += self._data.ndim - used if item is Ellipsis else item is not None
            elif item._data.dtype.kind == "b":
                device.wait("an index of booleans, whose true places are counted,")
                index.append(item._data)
                axis += item.ndim
            else:
                if any(isinstance(other, np.ndarray) for other in index):
                    device.refuse("several index arrays were combined", "allocation")
                index.append(wrapped(item._data, self._data.shape[axis] if axis < self._data.ndim else 0))
                axis += 1
        return tuple(index), True


def wrapped(indices: np.ndarray, length: int) -> np.ndarray:
    """Return the indices modulo the axis's length, as CuPy's kernels take them.

    Raises:
        IndexError: They are no integers, or the axis is empty.
    """
    if indices.dtype.kind not in "iu":
        raise IndexError(f"device arrays are indexed by integers or booleans, not by {indices.dtype}")
    if not indices.size:
        return indices
    if not length:
        raise IndexError("an index array was given for an axis of length 0, or for none")
    return np.asarray(np.remainder(indices.astype(np.intp), length))


def fresh(data: Any) -> StrictArray:
    """Wrap a result that has memory of its own."""
    if device.capturing:
        device.refuse("memory was allocated", "allocation")
    array = StrictArray.__new__(StrictArray)
    array._data = data if type(data) is np.ndarray else np.asarray(data)  # NumPy gives scalars for 0-d results
    array._buffer = Buffer(array._data)
    return array


def adopt(data: Any, *sources: StrictArray) -> StrictArray:
    """Wrap a result that may be a view of one of ``sources``, and keep that one's memory alive if it is."""
    root = root_of(data)
    for source in sources:
        if root is source._buffer.root:
            if data is source._data:
                return source
            array = StrictArray.__new__(StrictArray)
            array._data = data
            array._buffer = source._buffer
            return array
    return fresh(data)


def refusal(name: str, value: Any) -> TypeError:
    """Build the error for an operand that CuPy would refuse, or would bring to the device in silence."""
    if isinstance(value, np.ndarray):
        reason = "a NumPy array, which a device array does not mix with: bring it over with from_host first"
    elif isinstance(value, np.generic):
        reason = f"the NumPy scalar {value!r}, whose dtype would decide the result's: give a Python number"
    elif isinstance(value, (list, tuple)):
        reason = f"a {type(value).__name__} in place of an array: bring it over with from_host first"
    else:
        reason = f"{type(value).__name__} in place of a device array"
    return TypeError(f"{name} of the strict backend was given {reason}")


def array_data(name: str, value: Any) -> np.ndarray:
    """Return the memory of an operand that must be an array."""
    if type(value) is not StrictArray:
        raise refusal(name, value)
    return value._data


def operand_data(name: str, value: Any) -> Any:
    """Return the memory of an operand that may also be a Python number."""
    if type(value) is StrictArray:
        return value._data
    if type(value) in SCALARS:
        return value
    raise refusal(name, value)
