"""The header of a safetensors file, read as if it came from an enemy: names, types and shapes, checked before use.

Format: https://huggingface.co/docs/safetensors, the section "Format": eight bytes with the header's length, the header
in JSON, and the tensors' bytes one after another.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_dnn.saving.errors import FileError

# What is greater is no model: a name and three numbers of a tensor take some 100 bytes. A bound on it bounds, too,
# the memory that a header made to be dear can take.
MOST_BYTES = 6 << 20
METADATA = "__metadata__"
# A tensor's entry has three members; a longer text is none.
_LONGEST_ENTRY = 4096
_MOST_AXES = 64
_TYPES = {
    "F64": "<f8", "I64": "<i8", "U64": "<u8", "C64": "<c8", "F32": "<f4", "I32": "<i4", "U32": "<u4",
    "F16": "<f2", "BF16": "<u2", "I16": "<i2", "U16": "<u2", "I8": "|i1", "U8": "|u1", "BOOL": "|b1",
}  # fmt: skip
# What a type is called and how many bytes an element takes.
_KNOWN = {
    code: ("bfloat16" if code == "BF16" else np.dtype(numpy).name, np.dtype(numpy).itemsize)
    for code, numpy in _TYPES.items()
}
_CODES = {np.dtype(numpy).str: code for code, numpy in _TYPES.items() if code != "BF16"}


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """What a file says of one tensor.

    Attributes:
        dtype: The type of its elements as NumPy calls it; "bfloat16", which NumPy lacks, is read as float32.
        shape: Its lengths.
        nbytes: The bytes that it takes in the file.

    Example:
        >>> td.saving.TensorInfo("float32", (2, 3), 24).nbytes
        24
    """

    dtype: str
    shape: tuple[int, ...]
    nbytes: int

    @property
    def stored(self) -> np.dtype[Any]:
        """The type of what stands in the file."""
        return np.dtype("<u2") if self.dtype == "bfloat16" else np.dtype(self.dtype).newbyteorder("<")


def make(tensors: Iterable[tuple[str, TensorInfo]], metadata: dict[str, str]) -> bytes:
    """Return the first bytes of a file: the header's length and the header, for tensors in this order.

    Raises:
        ValueError: A name or text cannot be written, or all of it is longer than a file may say.
    """
    entries: dict[str, Any] = {METADATA: metadata} if metadata else {}
    end = 0
    for name, info in tensors:
        code = "BF16" if info.dtype == "bfloat16" else _CODES[info.stored.str]
        entries[name] = {"dtype": code, "shape": list(info.shape), "data_offsets": [end, end + info.nbytes]}
        end += info.nbytes
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)  # so that the tensors begin at a multiple of eight
    if len(text) > MOST_BYTES:
        raise ValueError(f"their names and texts take {len(text):,} bytes, and a header has at most {MOST_BYTES:,}")
    return len(text).to_bytes(8, "little") + text


def knows(dtype: np.dtype[Any]) -> bool:
    """Return whether arrays of a type can be written."""
    return dtype.newbyteorder("<").str in _CODES


def parse(raw: bytes, data_bytes: int) -> tuple[dict[str, TensorInfo], dict[str, str]]:
    """Return the tensors, in the order of their bytes, and the texts that a header speaks of.

    Args:
        raw: The header, without its length.
        data_bytes: How many bytes come after it, which the tensors must fill.

    Raises:
        FileError: Something in it is not as it should be; the message is what, without the file's name.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FileError(f"its header is no UTF-8 at byte {error.start}") from None
    del raw
    reader = _Reader(text)
    reader.run()
    # Sorted by their offsets, tensors without elements before the one that begins where they do.
    found = sorted(reader.found, key=lambda each: each[2])
    end = 0
    for name, info, (begin, stop) in found:
        if begin != end or stop < begin:
            raise FileError(f"the bytes of {_short(name)} are at {begin} to {stop}, where they must begin at {end}")
        if stop - begin != info.nbytes:
            raise FileError(
                f"the tensor {_short(name)} has the bytes {begin} to {stop}, where {info.dtype} of shape {info.shape} "
                f"takes {info.nbytes}"
            )
        end = stop
    if end != data_bytes:
        raise FileError(f"its tensors take {end} bytes, and {data_bytes} are there")
    return {name: info for name, info, _ in found}, reader.metadata


class _Reader:
    """Reads a header one member after another, so that no nesting and no list made to be dear is ever built."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.metadata: dict[str, str] = {}
        self.found: list[tuple[str, TensorInfo, tuple[int, int]]] = []
        self.names: set[str] = set()

    def run(self) -> None:
        for name in self._members(self.names):
            if name == METADATA:
                keys: set[str] = set()
                for key in self._members(keys):
                    self.metadata[key] = self._string()
            else:
                self.found.append((name, *self._tensor(name)))
        self._space()
        if self.at != len(self.text):
            raise FileError(f"something follows its header's end at character {self.at}")

    def _members(self, names: set[str]) -> Iterable[str]:
        """Give the name of each member of an object that begins here; what asks reads its value."""
        self._expect("{")
        if self._next() == "}":
            self.at += 1
            return
        while True:
            name = self._string()
            if name in names:
                raise FileError(f"its header says {_short(name)} twice")
            names.add(name)
            self._expect(":")
            yield name
            if self._next() == "}":
                self.at += 1
                return
            self._expect(",")

    def _tensor(self, name: str) -> tuple[TensorInfo, tuple[int, int]]:
        if self._next() != "{":
            raise FileError(f"the tensor {_short(name)} is described by something other than an object")
        end = self.text.find("}", self.at, self.at + _LONGEST_ENTRY)
        if end < 0:
            raise FileError(f"the description of the tensor {_short(name)} does not end")
        try:
            pairs = _PAIRS.decode(self.text[self.at : end + 1])
        except (ValueError, RecursionError):
            raise FileError(f"the description of the tensor {_short(name)} is no JSON") from None
        self.at = end + 1
        return _described(name, pairs)

    def _string(self) -> str:
        if self._next() != '"':
            raise FileError(f"its header has no text where one must stand, at character {self.at}")
        try:
            value, self.at = _DECODER.raw_decode(self.text, self.at)
            value.encode("utf-8")
        except ValueError:
            raise FileError(f"its header has a damaged text at character {self.at}") from None
        return str(value)

    def _space(self) -> None:
        self.at = _SPACE.match(self.text, self.at).end()  # type: ignore[union-attr]  # it matches nothing, too

    def _next(self) -> str:
        self._space()
        return self.text[self.at : self.at + 1]

    def _expect(self, character: str) -> None:
        if self._next() != character:
            raise FileError(f"its header is no JSON object of the right form at character {self.at}")
        self.at += 1


_DECODER = json.JSONDecoder()
_PAIRS = json.JSONDecoder(object_pairs_hook=list)
_SPACE = re.compile(r"[ \t\r\n]*+")


def _described(name: str, pairs: Any) -> tuple[TensorInfo, tuple[int, int]]:
    """Return a tensor and where its bytes are from the members of its description."""
    members = dict(pairs) if isinstance(pairs, list) else {}
    if len(members) != len(pairs) or set(members) != {"dtype", "shape", "data_offsets"}:
        raise FileError(f"the tensor {_short(name)} must have a dtype, a shape and data_offsets, each once, alone")
    code, shape, offsets = members["dtype"], members["shape"], members["data_offsets"]
    if not isinstance(code, str) or code not in _TYPES:
        raise FileError(f"the tensor {_short(name)} has the dtype {_short(code)}, and known are {', '.join(_TYPES)}")
    if not _are_lengths(shape) or len(shape) > _MOST_AXES:
        raise FileError(f"the tensor {_short(name)} has the shape {_short(shape)}, which is none")
    if not _are_lengths(offsets) or len(offsets) != 2:
        raise FileError(f"the tensor {_short(name)} has the data_offsets {_short(offsets)}, which must be two integers")
    dtype, itemsize = _KNOWN[code]
    # NumPy counts the bytes of an empty array without its lengths of 0.
    if math.prod(n for n in shape if n) * itemsize >= 2**63:
        raise FileError(f"the tensor {_short(name)} has the shape {_short(shape)}, greater than any memory")
    return TensorInfo(dtype, tuple(shape), math.prod(shape) * itemsize), (offsets[0], offsets[1])


def _are_lengths(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 2**63 for n in value)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
