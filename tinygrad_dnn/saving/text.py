"""JSON read as if it came from an enemy: its depth and the memory it would take are bounded before it is parsed."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from tinygrad_dnn.saving.errors import FileError

DEPTH = 100
# A model of 5,000 layers takes some 40 MB.
_MOST_MEMORY = 48 << 20
_TEXT = re.compile(r'"(?:[^"\\]++|\\.)*+"')
_BRACKET = re.compile(r"[\[\]{}]")
_NOT_FINITE = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


def parse(text: str) -> Any:
    """Return what a JSON text holds.

    Raises:
        FileError: It is no JSON, nests deeper than ``DEPTH``, would take too much memory, has a key twice in one
            object, or a number that is none; the message is what, without a file's name.

    Example:
        >>> td.saving.text.parse('{"units": [1, 2.5, null]}')
        {'units': [1, 2.5, None]}
        >>> td.saving.text.parse('{"a": 1, "a": 2}')
        Traceback (most recent call last):
        tinygrad_dnn.saving.errors.FileError: it says 'a' twice in one place
    """
    if 240 * text.count("{") + 100 * text.count("[") + 70 * text.count(",") + 4 * len(text) > _MOST_MEMORY:
        raise FileError("it is longer than any model's")
    depth = 0
    for bracket in _BRACKET.finditer(_TEXT.sub("", text)):
        depth += 1 if bracket.group() in "[{" else -1
        if depth > DEPTH:
            raise FileError(f"it nests deeper than {DEPTH}")
    try:
        return json.loads(text, object_pairs_hook=_object, parse_float=_number, parse_constant=_refused)
    except FileError:
        raise
    except (ValueError, RecursionError):
        raise FileError("it is no JSON") from None


def write(value: Any) -> str:
    """Return a value of lists, dicts, texts and finite numbers as JSON that ``parse`` reads.

    Raises:
        ValueError: ``parse`` would not read it.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    parse(text)
    return text


def spelt(number: float) -> str | None:
    """Return the text that stands for a number which JSON does not have, None for one that it has.

    Example:
        >>> td.saving.text.spelt(-float("inf")), td.saving.text.spelt(2.5)
        ('-inf', None)
    """
    return None if math.isfinite(number) else str(float(number))


def unspelt(text: str) -> float:
    """Return the number that ``spelt`` gave a text for.

    Raises:
        KeyError: It gives no such text.

    Example:
        >>> td.saving.text.unspelt("-inf")
        -inf
    """
    return _NOT_FINITE[text]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise FileError(f"it says {twice!r:.60} twice in one place")
    return made


def _number(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise FileError(f"it has the number {text[:40]}, which is too great")
    return value


def _refused(text: str) -> NoReturn:
    raise FileError(f"it has {text} where JSON has no such number")
