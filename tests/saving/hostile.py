"""Files made to do harm, or damaged in ways that were seen: each with what the error must say of it."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def framed(head: bytes | str, data: bytes = b"", length: int | None = None) -> bytes:
    """Return a file with this header, which may say another length than it has."""
    raw = head if isinstance(head, bytes) else head.encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def tensors(data: int = 8, **entries: Any) -> bytes:
    return framed(json.dumps(entries), bytes(data))


def one(**changes: Any) -> bytes:
    return tensors(x={**F32, **changes})


def entry(text: str, data: int = 8) -> bytes:
    return framed('{"x":' + text + "}", bytes(data))


SHORT, FORM = "too short for its header", "no JSON object of the right form"
HOSTILE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "it is empty"),
    "seven bytes": (b"\0" * 7, SHORT),
    "a length alone": (b"\0" * 8, FORM),
    "a length of 2**64 - 1": (b"\xff" * 8 + b"{}", SHORT),
    "a length of 2**63": (struct.pack("<Q", 2**63) + b"{}", SHORT),
    "a length one too great": (framed("{}", length=3), SHORT),
    "a header of 7 MiB": (framed(b"{" + b" " * (7 << 20) + b"}"), "and may take 6,291,456"),
    "no UTF-8": (framed(b'{"\xff":1}'), "no UTF-8 at byte 2"),
    "UTF-16": (framed("{}".encode("utf-16")), "no UTF-8"),
    "a byte order mark": (framed("\ufeff{}"), FORM),
    "a lone surrogate": (framed('{"\\ud800":{}}'), "damaged text"),
    "a number": (framed("1"), FORM),
    "a list": (framed("[]"), FORM),
    "a text": (framed('"{}"'), FORM),
    "null": (framed("null"), FORM),
    "two objects": (framed("{}{}"), "something follows its header's end"),
    "a comma too many": (framed('{"x":' + json.dumps(F32) + ",}", bytes(8)), "no text where one must stand"),
    "a comma too few": (framed('{"x":' + json.dumps(F32) + '"y":{}}', bytes(8)), FORM),
    "no colon": (framed('{"x" {}}'), FORM),
    "single quotes": (framed("{'x':1}"), "no text where one must stand"),
    "a comment": (framed("{/* */}"), "no text where one must stand"),
    "an open object": (framed('{"x":' + json.dumps(F32), bytes(8)), FORM),
    "an open text": (framed('{"x'), "damaged text"),
    "an open entry": (framed('{"x":{"dtype":"F32"'), "does not end"),
    "a control character in a name": (framed('{"a\nb":{}}'), "damaged text"),
    "an unknown escape": (framed('{"\\q":{}}'), "damaged text"),
    "100,000 lists deep": (framed("[" * 100_000), FORM),
    "an entry 2,000 lists deep": (entry('{"dtype":' + "[" * 2000 + "]" * 2000 + "}"), "must have a dtype|is no JSON"),
    "an entry 4,000 objects deep": (entry('{"a":' * 4000 + "1" + "}" * 4000), "does not end|is no JSON"),
    "an entry of 10,000 characters": (entry('{"dtype":"' + "F" * 10_000 + '"}'), "does not end"),
    "an entry that is a list": (entry("[]"), "something other than an object"),
    "an entry that is null": (entry("null"), "something other than an object"),
    "an entry of nothing": (entry("{}"), "must have a dtype, a shape and data_offsets"),
    "no dtype": (tensors(x={k: v for k, v in F32.items() if k != "dtype"}), "must have a dtype"),
    "no shape": (tensors(x={k: v for k, v in F32.items() if k != "shape"}), "must have a dtype"),
    "no offsets": (tensors(x={k: v for k, v in F32.items() if k != "data_offsets"}), "must have a dtype"),
    "one member more": (one(loader="os.system"), "must have a dtype"),
    "a dtype twice": (
        entry('{"dtype":"F32","dtype":"F64","shape":[2],"data_offsets":[0,8]}'), "each once",
    ),
    "a name twice": (framed('{"x":' + json.dumps(F32) + ',"x":' + json.dumps(F32) + "}", bytes(8)), "says 'x' twice"),
    "a name twice, once escaped": (
        framed('{"x":' + json.dumps(F32) + ',"\\u0078":' + json.dumps(F32) + "}", bytes(8)), "says 'x' twice",
    ),
    "metadata twice": (framed('{"__metadata__":{},"__metadata__":{}}'), "says '__metadata__' twice"),
    "a text's name twice": (framed('{"__metadata__":{"a":"1","a":"2"}}'), "says 'a' twice"),
    "metadata that is a list": (framed('{"__metadata__":[]}'), FORM),
    "metadata with a number": (framed('{"__metadata__":{"a":1}}'), "no text where one must stand"),
    "metadata with an object": (framed('{"__metadata__":{"a":{}}}'), "no text where one must stand"),
    "metadata that is a tensor": (framed('{"__metadata__":' + json.dumps(F32) + "}", bytes(8)), "no text where"),
    "an unknown dtype": (one(dtype="F31"), "has the dtype 'F31', and known are F64"),
    "a dtype in small letters": (one(dtype="f32"), "has the dtype 'f32'"),
    "NumPy's object dtype": (one(dtype="O"), "has the dtype 'O'"),
    "NumPy's structured dtype": (one(dtype="V8"), "has the dtype 'V8'"),
    "a dtype that is a number": (one(dtype=1), "has the dtype 1"),
    "a dtype that is a list": (one(dtype=["F32"]), r"has the dtype \['F32'\]"),
    "a dtype that is no text but null": (one(dtype=None), "has the dtype None"),
    "a shape that is a number": (one(shape=2), "has the shape 2, which is none"),
    "a shape that is a text": (one(shape="2"), "has the shape '2', which is none"),
    "a negative length": (one(shape=[-2]), r"has the shape \[-2\], which is none"),
    "two negative lengths": (one(shape=[-1, -2]), "which is none"),
    "a length of 2.0": (one(shape=[2.0]), "which is none"),
    "a length of 1e400": (entry('{"dtype":"F32","shape":[1e400],"data_offsets":[0,8]}'), "which is none"),
    "a length of NaN": (entry('{"dtype":"F32","shape":[NaN],"data_offsets":[0,8]}'), "which is none"),
    "a length that is true": (one(shape=[True, 2]), "which is none"),
    "a length that is null": (one(shape=[None]), "which is none"),
    "a length of 2**64": (one(shape=[2**64]), "which is none"),
    "a length of 5,000 digits": (entry('{"dtype":"F32","shape":[1' + "0" * 4000 + '],"data_offsets":[0,8]}'), "."),
    "a length of 2**62": (one(shape=[2**62]), "greater than any memory"),
    "lengths whose product wraps to 2": (one(shape=[2**33, 2**32, 2]), "greater than any memory"),
    "a length of 0 beside great ones": (
        one(shape=[0, 2**40, 2**40], data_offsets=[0, 0]), "greater than any memory",
    ),
    "65 axes": (one(shape=[1] * 65), "which is none"),
    "a terabyte that is not there": (one(shape=[2**38], data_offsets=[0, 2**40]), "and 8 are there"),
    "a terabyte in eight bytes": (one(shape=[2**38]), "takes 1099511627776"),
    "one offset": (one(data_offsets=[0]), "must be two integers"),
    "three offsets": (one(data_offsets=[0, 8, 8]), "must be two integers"),
    "offsets in an object": (one(data_offsets={"0": 0, "1": 8}), "does not end|is no JSON|must be two|must have"),
    "a negative offset": (one(data_offsets=[-8, 0]), "must be two integers"),
    "offsets that are texts": (one(data_offsets=["0", "8"]), "must be two integers"),
    "offsets of 0.0 and 8.0": (one(data_offsets=[0.0, 8.0]), "must be two integers"),
    "offsets the other way round": (one(data_offsets=[8, 0]), "where they must begin at 0"),
    "offsets that end before they begin": (tensors(0, x={**F32, "data_offsets": [0, 0]}), "takes 8"),
    "offsets beyond the end": (one(data_offsets=[8, 16]), "where they must begin at 0"),
    "offsets into the header": (one(data_offsets=[4, 12]), "where they must begin at 0"),
    "tensors that overlap": (tensors(12, x=F32, y={**F32, "data_offsets": [4, 12]}), "where they must begin at 8"),
    "two names of the same bytes": (tensors(8, x=F32, y=F32), "where they must begin at 8"),
    "a hole between tensors": (tensors(20, x=F32, y={**F32, "data_offsets": [12, 20]}), "where they must begin at 8"),
    "bytes after the last tensor": (tensors(9, x=F32), "its tensors take 8 bytes, and 9 are there"),
    "bytes and no tensor": (framed("{}", b"MZ"), "its tensors take 0 bytes, and 2 are there"),
    "a tensor cut short": (tensors(7, x=F32), "its tensors take 8 bytes, and 7 are there"),
    "a pickle": (b"\x80\x04\x95" + b"cos\nsystem\n(S'true'\ntR.", "no safetensors file but a pickle"),
    "a zip": (b"PK\x03\x04" + bytes(60), "no safetensors file but a ZIP archive"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(600), "no safetensors file but an HDF5 file, as Keras's .h5: open it with"),
    "NumPy's npy": (b"\x93NUMPY\x01\x00" + b"v\x00{'descr': '|O'}" + bytes(64), "but one array of NumPy's"),
    "HTML": (b"<!DOCTYPE html><html><body>404</body></html>", SHORT),
    "a Git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", SHORT),
    "Python": (b"import os; os.system('true')\n", SHORT),
}  # fmt: skip

# Correct headers with content that its type has not.
DAMAGED: dict[str, tuple[Callable[[], bytes], str]] = {
    "a boolean of 2": (
        lambda: framed('{"x":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}}', b"\x01\x02"), "are not all 0 or 1",
    ),
}  # fmt: skip
