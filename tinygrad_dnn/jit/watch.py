"""Watching: what Python holds that a recorded function could have read, and whether it is still the same."""

from __future__ import annotations

import functools
import operator
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinygrad_dnn.backend import Backend
from tinygrad_dnn.graph import Primitive

# Longer lists are watched by their length alone: such are data.
_LONG = 10_000

# Nothing in them can be changed, or nothing of that is a function's business.
_ATOMS = (
    type(None), bool, int, float, complex, str, bytes, range, slice, type, types.ModuleType, types.BuiltinFunctionType,
    np.ndarray, np.generic, np.dtype, np.ufunc, Primitive, Backend,
)  # fmt: skip


class Watch:
    """The attributes, list entries, closed-over and global names that can be reached from a function, as they are now.

    The attributes that a class names in ``_unwatched`` are left out: they change from step to step by design.

    Args:
        function: The function, or a method of an object.
        ignored: Places that are left out, as ``changes`` names them.

    Example:
        >>> model = td.Sequential([td.layers.Dropout(0.1)])
        >>> watch = td.jit.Watch(model.predict_step)
        >>> watch.same()
        True
        >>> model.layers[0].rate = 0.2
        >>> watch.same()
        False
    """

    def __init__(self, function: Any, ignored: frozenset[str] = frozenset()) -> None:
        self._ignored = ignored
        # Objects are not kept alive, or a model that keeps its compiled steps would hold itself.
        self._attributes: list[tuple[Any, Any, tuple[Any, ...], int, str, tuple[str, ...]]] = []
        self._lists: list[tuple[Any, tuple[Any, ...], str]] = []
        self._cells: list[tuple[Any, Any, str]] = []
        seen: dict[int, Any] = {}  # alive for as long as this takes, or another could take the identity of one
        pending = [(function, getattr(function, "__name__", type(function).__name__))]
        while pending:
            value, name = pending.pop()
            if isinstance(value, _ATOMS) or id(value) in seen:
                continue
            seen[id(value)] = value
            pending.extend(self._inside(value, name))

    def _inside(self, value: Any, name: str) -> Iterator[tuple[Any, str]]:
        """Watch what a value holds, and yield it."""
        if isinstance(value, types.MethodType):
            yield value.__self__, getattr(value.__self__, "name", type(value.__self__).__name__)
            yield value.__func__, name
        elif isinstance(value, types.FunctionType):
            yield from self._of_function(value, name)
        elif isinstance(value, functools.partial):
            for part in (value.func, value.args, value.keywords):
                yield part, name
        elif isinstance(value, dict):
            self._watch_list(value, (*value.keys(), *value.values()), name)
            if len(value) <= _LONG:
                yield from ((part, f"{name}[{key!r}]") for key, part in value.items())
        elif isinstance(value, (list, tuple, set, frozenset)):
            if len(value) <= _LONG:
                if isinstance(value, (list, set)):
                    self._watch_list(value, tuple(value), name)
                yield from ((part, f"{name}[{i}]") for i, part in enumerate(value))
        elif isinstance(value, weakref.ref):
            yield value(), name
        elif hasattr(value, "__dict__"):
            yield from self._watch_attributes(value, getattr(type(value), "_unwatched", frozenset()), name)

    def _of_function(self, function: types.FunctionType, name: str) -> Iterator[tuple[Any, str]]:
        names = function.__code__.co_freevars
        for free, cell in zip(names, function.__closure__ or (), strict=True):
            try:
                content = cell.cell_contents
            except ValueError:  # it is not bound yet
                continue
            if free not in self._ignored:
                self._cells.append((cell, content, free))
                yield content, free
        yield function.__defaults__, name
        yield function.__kwdefaults__, name
        if not function.__module__.startswith("tinygrad_dnn."):
            used = frozenset(_names_in(function.__code__)) & function.__globals__.keys()
            yield from self._watch_attributes(_Namespace(function.__globals__), function.__globals__.keys() - used, "")

    def _watch_attributes(self, holder: Any, left_out: Any, name: str) -> Iterator[tuple[Any, str]]:
        prefix = f"{name}." if name else ""
        values = holder.__dict__
        keys = tuple(key for key in values if key not in left_out and f"{prefix}{key}" not in self._ignored)
        if not keys:
            return
        get = _getter(keys)
        try:
            reference: Any = weakref.ref(holder)
        except TypeError:
            reference = functools.partial(_itself, holder)
        self._attributes.append((reference, get, get(values), len(values) if name else -1, prefix, keys))
        yield from ((values[key], f"{prefix}{key}") for key in keys)

    def _watch_list(self, value: Any, items: tuple[Any, ...], name: str) -> None:
        if name not in self._ignored:
            self._lists.append((value, items, name))

    def same(self) -> bool:
        """Tell whether everything is as it was."""
        for reference, get, values, count, _, _ in self._attributes:
            try:
                now = reference().__dict__
                if (count >= 0 and len(now) != count) or not all(map(operator.is_, get(now), values)):
                    return False
            except (AttributeError, KeyError):  # it is gone, or lacks an attribute
                return False
        for value, items, _ in self._lists:
            if len(value) * (1 + isinstance(value, dict)) != len(items):
                return False
            parts = (*value.keys(), *value.values()) if isinstance(value, dict) else value
            if not all(map(operator.is_, parts, items)):
                return False
        return all(_content(cell) is content for cell, content, _ in self._cells)

    def changes(self) -> dict[str, tuple[Any, Any]]:
        """Return the places that are not as they were, by name, with what they held and what they hold now."""
        found: dict[str, tuple[Any, Any]] = {}
        for reference, _, values, _, prefix, keys in self._attributes:
            attributes = getattr(reference(), "__dict__", {})
            for key, value in zip(keys, values, strict=True):
                if attributes.get(key) is not value:
                    found[f"{prefix}{key}"] = value, attributes.get(key)
        for value, items, name in self._lists:
            now = (*value.keys(), *value.values()) if isinstance(value, dict) else tuple(value)
            if len(now) != len(items) or not all(map(operator.is_, now, items)):
                found[name] = items, value
        for cell, content, name in self._cells:
            if _content(cell) is not content:
                found[name] = content, _content(cell)
        return found


class _Namespace:
    """A dict of global names in the place of an object with attributes."""

    __slots__ = ("__dict__",)

    def __init__(self, names: dict[str, Any]) -> None:
        self.__dict__ = names


def _itself(holder: Any) -> Any:
    return holder


def _getter(keys: tuple[str, ...]) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
    """Return what looks up all keys in a dict at once."""
    if len(keys) == 1:
        return lambda holder: (holder[keys[0]],)
    get: Callable[..., Any] = getattr(operator, "itemgetter")(*keys)  # noqa: B009  # mypy 2.4 fails on the plain name
    return get


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _content


def _names_in(code: types.CodeType) -> Iterator[str]:
    """Yield the names that a function and those defined in it look up."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names_in(constant)
