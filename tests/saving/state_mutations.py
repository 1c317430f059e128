"""Random changes of training states' files: of bytes, and of the text with a checksum that fits it again."""

from __future__ import annotations

import json
import re
import zlib

import numpy as np

_VALUES = re.compile(r'null|true|false|-?[\d.e+-]+|"(?:[^"\\]|\\.)*"|\[[^\[\]{}]*\]|\{[^{}]*\}')
_TOKENS = (
    "null", "true", "-1", "0", "3.5", "1e308", "99999999999", "[]", "{}", "[1,2]", '""',
    '"dict"', '"tuple"', '"numbers"',
    '{"float":"inf"}', '{"dict":[]}', '{"dict":[[[1],2]]}', '{"tuple":[]}', '{"scalar":["float32","0x1p+1"]}',
    '{"scalar":["V8",99999999999]}', '{"scalar":["S8",99999999999]}', '{"scalar":["object",3]}', '{"scalar":["U8",3]}',
    '{"array":["a","float32",[1],0]}', '{"nothing":1}', '["array"]',
)  # fmt: skip


def mutated_state(content: bytes, random: np.random.Generator) -> bytes:
    """Return a state's file with some random changes, half of the times in one that is correct otherwise."""
    return _other_text(content, random) if random.random() < 0.5 else _other_bytes(content, random)


def _other_bytes(content: bytes, random: np.random.Generator) -> bytes:
    raw = bytearray(content)
    for _ in range(random.integers(1, 4)):
        kind, at = random.integers(5), int(random.integers(max(1, len(raw) - 1)))
        if kind == 0:
            raw[at] = random.integers(256)
        elif kind == 1:
            raw[at] ^= 1 << int(random.integers(8))
        elif kind == 2:
            del raw[max(at, 9) :]
        elif kind == 3:
            del raw[at : at + int(random.integers(1, 60))]
        else:
            raw[at:at] = raw[: int(random.integers(1, 80))]
    return bytes(raw)


def _other_text(content: bytes, random: np.random.Generator) -> bytes:
    head = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + head])
    texts = header["__metadata__"]
    text = texts["tinygrad_dnn.state"]
    for _ in range(random.integers(1, 4)):
        spans = [match.span() for match in _VALUES.finditer(text)]
        begin, end = spans[random.integers(len(spans))]
        other = text[slice(*spans[random.integers(len(spans))])]
        if random.random() < 0.5:
            other = _TOKENS[random.integers(len(_TOKENS))]
        text = text[:begin] + other + text[end:]
    texts["tinygrad_dnn.state"], texts["tinygrad_dnn.state.crc32"] = text, str(zlib.crc32(text.encode()))
    new = json.dumps(header).encode()
    return len(new).to_bytes(8, "little") + new + content[8 + head :]
