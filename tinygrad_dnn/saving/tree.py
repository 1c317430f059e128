"""A tree of state in one file: nested numbers, texts and arrays, to the bit, with a checksum of all of it."""

from __future__ import annotations

import itertools
import json
import os
import zlib
from typing import Any

import numpy as np

from tinygrad_dnn.saving import text as json_text
from tinygrad_dnn.saving.errors import FileError
from tinygrad_dnn.saving.files import Path, read_tensors, write_tensors
from tinygrad_dnn.tensor import Tensor

VERSION = 1
_TEXT, _SUM = "tinygrad_dnn.state", "tinygrad_dnn.state.crc32"
# A longer list of numbers is a tensor in the file: a header has only so much room.
_LONG = 32
_SCALARS = frozenset(np.dtype(code).name for code in "?bBhHiIlLqQefd")
_TAKEN = "it may hold None, truth values, numbers, texts, arrays, and lists, tuples and dicts of these"


def write_state(path: Path, state: Any) -> None:
    """Write a tree of state to a file, which takes the place of the one before when it is complete.

    Args:
        path: The file. Its folder must exist.
        state: None, truth values, numbers, texts, arrays and Tensors, in lists, tuples and dicts.

    Raises:
        TypeError: Something else is in it.
        ValueError: It is nested too deeply, or has more small parts than a file can say.
        OSError: The file cannot be written; the one before is as it was.

    Example:
        >>> file = getfixture("tmp_path") / "a.safetensors"
        >>> td.saving.tree.write_state(file, {"best": float("inf"), "wait": 3, "mean": np.zeros(2)})
        >>> td.saving.tree.read_state(file)
        {'best': inf, 'wait': 3, 'mean': array([0., 0.])}
    """
    packing = _Packing()
    try:
        text = json.dumps({"version": VERSION, "tree": packing.packed(state, "state")}, allow_nan=False)
        json_text.parse(text)
    except RecursionError:
        raise ValueError(f"{os.fspath(path)} cannot be written: the state holds itself or nests too deeply.") from None
    except FileError as error:
        raise ValueError(f"{os.fspath(path)} cannot be written: of the state's text, {error}.") from None
    write_tensors(path, packing.tensors, {_TEXT: text, _SUM: str(zlib.crc32(text.encode()))})


def read_state(path: Path) -> Any:
    """Return the tree of state that ``write_state`` wrote; what was a Tensor is a NumPy array.

    Raises:
        FileError: It is no such file, or is damaged.
        OSError: It cannot be opened or read.

    Example:
        >>> file = getfixture("tmp_path") / "a.safetensors"
        >>> td.saving.tree.write_state(file, ("a", 1))
        >>> td.saving.tree.read_state(file)
        ('a', 1)
    """
    shown = os.fspath(path)
    tensors, texts = read_tensors(path)
    if texts.keys() != {_TEXT, _SUM}:
        raise FileError(f"{shown} holds no state of a training: give a file that a training wrote.")
    if str(zlib.crc32(texts[_TEXT].encode())) != texts[_SUM]:
        raise FileError(f"{shown} is damaged: its text has another checksum than when it was written.")
    try:
        content = json_text.parse(texts[_TEXT])
        version = content["version"]
        if version == VERSION:
            return _unpacked(content["tree"], tensors)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise FileError(f"{shown} is damaged: {error}.") from None
    raise FileError(f"{shown} is of version {version!r}, and this release reads {VERSION}: use the one that wrote it.")


class _Packing:
    """Takes a tree apart into a value that JSON can say and tensors."""

    def __init__(self) -> None:
        self.tensors: dict[str, np.ndarray[Any, Any]] = {}

    def packed(self, value: Any, place: str) -> Any:
        """Return the value, in JSON's own types where they have it, else a dict of one member that says its kind."""
        if value is None or isinstance(value, (str, bool)) or type(value) is int:
            return value
        if type(value) is float:
            spelt = json_text.spelt(value)
            return value if spelt is None else {"float": spelt}
        if isinstance(value, np.generic):
            return self._scalar(value, place)
        if isinstance(value, Tensor):
            return self._tensor(value, place)
        if isinstance(value, np.ndarray):
            return self._array(value, place)
        if isinstance(value, dict):
            pairs = [[self.packed(key, place), self.packed(part, f"{place}/{key}")] for key, part in value.items()]
            return {"dict": pairs}
        if type(value) is list and len(value) > _LONG and {*map(type, value)} in ({float}, {int}):
            numbers = np.array(value)
            if numbers.dtype == (np.int64 if type(value[0]) is int else np.float64):  # great integers fit neither
                return {"numbers": self._array(numbers, place)}
        if isinstance(value, (list, tuple)):
            parts = [self.packed(part, f"{place}/{n}") for n, part in enumerate(value)]
            return {"tuple": parts} if isinstance(value, tuple) else parts
        raise TypeError(f"{place} is of type {type(value).__name__}, which a state cannot hold: {_TAKEN}.")

    def _scalar(self, value: np.generic, place: str) -> dict[str, Any]:
        if value.dtype.kind not in "fiub" or value.dtype.itemsize > 8:
            raise TypeError(f"{place} is of type {value.dtype.name}, which a state cannot hold: {_TAKEN}.")
        plain = value.item()
        return {"scalar": [value.dtype.name, plain.hex() if isinstance(plain, float) else plain]}

    def _tensor(self, tensor: Tensor, place: str) -> dict[str, Any]:
        # The order of the axes in memory belongs to the state: a product of matrices may round otherwise in another.
        strides = [abs(stride) for stride in getattr(tensor.data, "strides", ())]
        long = [axis for axis, length in enumerate(tensor.shape) if length > 1]
        # Nobody writes on it before the file is written: a copy would double the memory that a backup takes.
        array = tensor.data if isinstance(tensor.data, np.ndarray) else tensor.numpy()
        if not strides or all(strides[a] >= strides[b] for a, b in itertools.pairwise(long)):
            return self._array(array, place)
        axes = sorted(range(tensor.ndim), key=lambda axis: -strides[axis])
        return {**self._array(array.transpose(axes), place), "axes": axes}

    def _array(self, array: np.ndarray[Any, Any], place: str) -> dict[str, Any]:
        if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
            raise TypeError(f"{place} is an array of {array.dtype.name}, which a state cannot hold: {_TAKEN}.")
        array = np.ascontiguousarray(array).reshape(array.shape)  # NumPy gives what is 0-d an axis
        name, number = place.removeprefix("state/"), 1
        while name in self.tensors:
            number += 1
            name = f"{place.removeprefix('state/')}~{number}"
        self.tensors[name] = array
        return {"array": [name, array.dtype.name, list(array.shape), _checksum(array)]}


def _unpacked(value: Any, tensors: dict[str, np.ndarray[Any, Any]]) -> Any:
    """Return what ``_Packing.packed`` made this of."""
    if isinstance(value, list):
        return [_unpacked(part, tensors) for part in value]
    if not isinstance(value, dict):
        return value
    ((kind, content), *more) = value.items()
    if kind == "dict":
        return {_unpacked(key, tensors): _unpacked(part, tensors) for key, part in content}
    if kind == "tuple":
        return tuple(_unpacked(part, tensors) for part in content)
    if kind == "float":
        return json_text.unspelt(content)
    if kind == "scalar":
        name, plain = content
        if name not in _SCALARS:  # a void one would take as many bytes as its number says
            raise ValueError(f"it has a number of the unknown type {name!r}")
        return np.dtype(name).type(float.fromhex(plain) if isinstance(plain, str) else plain)
    if kind == "numbers":
        return _unpacked(content, tensors).tolist()
    if kind != "array":
        raise ValueError(f"it has something of the unknown kind {kind!r}")
    name, dtype, shape, checksum = content
    array = tensors[name]
    if (array.dtype.name, list(array.shape)) != (dtype, shape) or _checksum(array) != checksum:
        raise ValueError(f"the tensor {name!r} is not what it was when it was written")
    return array.transpose(np.argsort(more[0][1])) if more else array


def _checksum(array: np.ndarray[Any, Any]) -> int:
    return zlib.crc32(array.reshape(-1).view(np.uint8).data)
