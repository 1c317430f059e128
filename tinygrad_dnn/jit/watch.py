"""Watching: what Python holds that a recorded function could have read, and whether it is still the same."""

from __future__ import annotations

import collections
import functools
import random
import sys
import types
import weakref
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from tinygrad_dnn import nested
from tinygrad_dnn.backend import Backend
from tinygrad_dnn.graph import Primitive
from tinygrad_dnn.jit.attributes import MISSING, OF_ANY_CLASS, Attributes, Namespace, Slots, are, slots_of
from tinygrad_dnn.tensor import Tensor

# Longer lists and arrays are watched by their length alone: such are data.
_LONG = 10_000

# Nothing in them can be changed, or nothing of that is a function's business.
_PLAIN = frozenset({type(None), bool, int, float, complex, str, bytes, range, slice})
_ATOMS = (*_PLAIN, np.generic, np.dtype, np.ufunc, Primitive, Backend)

# Their classes, functions and global names stay as they are.
_SETTLED_MODULES = sys.stdlib_module_names | {"numpy", "tinygrad_dnn"}


class Watch:
    """The attributes, list entries, closed-over and global names that can be reached from a function, as they are now.

    The attributes that a class names in ``_unwatched`` are left out: they change from step to step by design. Classes
    and functions that are not this package's, NumPy's or Python's own are watched with the global names they use.

    Args:
        roots: Functions, methods and other objects.

    Example:
        >>> model = td.Sequential([td.layers.Dropout(0.1)])
        >>> watch = td.jit.Watch(model.predict_step)
        >>> watch.same()
        True
        >>> model.layers[0].rate = 0.2
        >>> watch.same()
        False
    """

    def __init__(self, *roots: Any) -> None:
        # Objects are not kept alive, or a model that keeps its compiled steps would hold itself.
        self._attributes: list[Attributes] = []
        self._lists: list[tuple[Any, tuple[Any, ...], str]] = []
        self._lengths: list[tuple[Any, int, str]] = []
        self._cells: list[tuple[Any, Any, str]] = []
        self._functions: list[tuple[Any, tuple[Any, ...], str]] = []
        self._arrays: list[tuple[np.ndarray, bytes, str]] = []
        self._generators: list[tuple[Any, Any, str]] = []
        # What is compared at each call, in one go each.
        self._untouched: tuple[list[Any], ...] | None = None
        self._untouched_lists: tuple[list[Any], ...] | None = None
        seen: dict[int, Any] = {}  # alive for as long as this takes, or another could take the identity of one
        pending = [(root, getattr(root, "__name__", type(root).__name__)) for root in roots]
        while pending:
            value, name = pending.pop()
            if id(value) in seen or isinstance(value, _ATOMS):
                continue
            seen[id(value)] = value
            pending.extend(self._inside(value, name))

    def _inside(self, value: Any, name: str) -> Iterator[tuple[Any, str]]:
        """Watch what a value holds, and yield it."""
        if isinstance(value, (types.MethodType, types.BuiltinMethodType)):
            owner = value.__self__
            yield owner, getattr(owner, "name", type(owner).__name__)
            yield getattr(value, "__func__", None), name
        elif isinstance(value, types.FunctionType):
            yield from self._of_function(value, name)
        elif isinstance(value, types.ModuleType):
            pass  # what a function takes from it is watched with the function
        elif isinstance(value, type):
            if not _is_settled(value):
                yield from ((base, base.__name__) for base in value.__mro__[1:])
                yield from self._watch_attributes(value, OF_ANY_CLASS, name)
        elif isinstance(value, np.ndarray):
            if value.size <= _LONG and value.dtype.kind != "O":
                self._arrays.append((value, value.tobytes(), name))
        elif isinstance(value, (np.random.Generator, np.random.RandomState, random.Random)):
            self._generators.append((value, _drawn(value), name))
        else:
            yield from self._of_object(value, name)

    def _of_object(self, value: Any, name: str) -> Iterator[tuple[Any, str]]:
        yield type(value), type(value).__name__
        if isinstance(value, functools.partial):
            yield from ((part, name) for part in (value.func, value.args, value.keywords))
        elif isinstance(value, (property, staticmethod, classmethod)):
            parts = ("fget", "fset") if isinstance(value, property) else ("__func__",)
            yield from ((getattr(value, part), name) for part in parts)
        elif isinstance(value, weakref.ref):
            yield value(), name
        elif isinstance(value, dict):
            yield from self._watch_list(value, name, value.items())
        elif isinstance(value, (list, tuple, set, frozenset, collections.deque)):
            yield from self._watch_list(value, name, enumerate(value))
        if hasattr(value, "__dict__"):
            yield from self._watch_attributes(value, getattr(type(value), "_unwatched", frozenset()), name)
        if not _is_settled(type(value)) and any(slots_of(kind) for kind in type(value).__mro__):
            yield from self._watch_attributes(Slots(value), (), name)

    def _watch_list(self, value: Any, name: str, parts: Iterable[tuple[Any, Any]]) -> list[tuple[Any, str]]:
        if len(value) > _LONG:
            self._lengths.append((value, len(value), name))
            return []
        if not isinstance(value, (tuple, frozenset)):
            self._lists.append((value, _items(value), name))
        return [(part, f"{name}[{key!r}]") for key, part in parts if type(part) not in _PLAIN]

    def _of_function(self, function: types.FunctionType, name: str) -> Iterator[tuple[Any, str]]:
        modules = []
        for free, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            content = _content(cell)
            self._cells.append((cell, content, free))
            modules.append(content)
            yield content, free
        yield function.__defaults__, name
        yield function.__kwdefaults__, name
        if not _is_settled(function):
            self._functions.append((function, _parts(function), name))
            yield from self._watch_attributes(function, (), name)
            used = frozenset(_names_in(function.__code__))
            yield from self._of_namespace(Namespace(function.__globals__), used, "", ())
            modules += [sys.modules[module] for module in used & sys.modules.keys()]  # imported inside of it
            for module in modules:
                if isinstance(module, types.ModuleType) and not _is_settled(module):
                    yield from self._of_namespace(module, used, module.__name__, (module,))

    def _of_namespace(
        self, holder: Any, used: frozenset[str], name: str, within: tuple[Any, ...]
    ) -> Iterator[tuple[Any, str]]:
        """Watch the names of a module that a function uses, and of the modules among them."""
        for value, place in self._watch_attributes(holder, vars(holder).keys() - used, name):
            if not isinstance(value, types.ModuleType):
                yield value, place
            elif not _is_settled(value) and value not in within:
                yield from self._of_namespace(value, used, place, (*within, value))

    def _watch_attributes(self, holder: Any, left_out: Any, name: str) -> Iterator[tuple[Any, str]]:
        watched = Attributes(holder, left_out, name)
        self._attributes.append(watched)
        yield from [(value, watched.prefix + key) for key, value in watched.pairs() if type(value) not in _PLAIN]

    def leave_out(self, left: Iterable[tuple[Attributes, str]]) -> None:
        """Watch some attributes no longer; what they hold may go as well."""
        held: set[int] = set()
        self._untouched = None
        for attributes, key in left:
            held.update(map(id, nested.leaves(dict(attributes.pairs())[key])))
            attributes.leave_out(key)
        for attributes in self._attributes:
            attributes.may_go = attributes.may_go or id(attributes.get()) in held

    def loosen(self, read: Sequence[Tensor]) -> None:
        """Let attributes that hold a Tensor which is not among those read hold another one like it.

        Such are left by other steps: an optimizer's correction of its moments means nothing to an evaluation.
        """
        for attributes in self._attributes:
            attributes.loosen({id(tensor) for tensor in read})

    def same(self) -> bool:
        """Tell whether everything is as it was."""
        return (
            (self._are_untouched() or all(attributes.same() for attributes in self._attributes))
            and self._lists_are_untouched()
            and all(len(value) == length for value, length, _ in self._lengths)
            and all(_content(cell) is content for cell, content, _ in self._cells)
            and all(are(_parts(function), parts) for function, parts, _ in self._functions)
            and all(array.tobytes() == content for array, content, _ in self._arrays)
        )

    def _are_untouched(self) -> bool:
        """Tell whether all attributes hold the very objects that they held; if not, that may yet be allowed.

        This is asked at each call, and so written for speed: all of them are compared in one go.
        """
        if self._untouched is None:
            watched = [x for x in self._attributes if not (x.may_go and x.get() is None)]
            self._untouched = (
                [x.get for x in watched], [x.kind for x in watched], [(i, x.count) for i, x in enumerate(watched)
                if x.count >= 0], [x.get_values for x in watched], [value for x in watched for value in x.values],
            )  # fmt: skip
        getters, kinds, counts, lookups, before = self._untouched
        try:
            holders = [get() for get in getters]
            held = [holder.__dict__ for holder in holders]
            now: list[Any] = []
            for look_up, attributes in zip(lookups, held, strict=True):
                now += look_up(attributes)
        except (AttributeError, KeyError):  # something is gone, and need not be asked again if it may be
            self._untouched = None
            return False
        return (
            are(now, before) and are([*map(type, holders)], kinds) and all(len(held[i]) == n for i, n in counts)
        )

    def _lists_are_untouched(self) -> bool:
        """Tell whether all lists, sets and dicts hold the very objects that they held."""
        if self._untouched_lists is None:
            filled = [(value, items) for value, items, _ in self._lists if items]
            lengths = [len(items) // (2 if isinstance(value, dict) else 1) for value, items, _ in self._lists]
            self._untouched_lists = (
                [value for value, _, _ in self._lists], lengths,
                [value for value, _ in filled], [x for _, items in filled for x in items],
            )  # fmt: skip
        every, lengths, lists, before = self._untouched_lists
        if [*map(len, every)] != lengths:
            return False
        now: list[Any] = []
        for value in lists:
            now += value
            if isinstance(value, dict):
                now += value.values()
        return are(now, before)

    def changes(self) -> list[str]:
        """Return the places that are not as they were, by name; generators that were drawn from are among them."""
        if self.same() and all(_equal(_drawn(generator), drawn) for generator, drawn, _ in self._generators):
            return []
        found = [place for attributes in self._attributes for place in attributes.changes()]
        found += [name for value, items, name in self._lists if not are(_items(value), items)]
        found += [name for value, length, name in self._lengths if len(value) != length]
        found += [name for cell, content, name in self._cells if _content(cell) is not content]
        found += [name for function, parts, name in self._functions if not are(_parts(function), parts)]
        found += [name for array, content, name in self._arrays if array.tobytes() != content]
        found += [name for generator, drawn, name in self._generators if not _equal(_drawn(generator), drawn)]
        return [*dict.fromkeys(found)]

    def objects(self) -> list[Any]:
        """Return the objects whose attributes are watched."""
        return [attributes.get() for attributes in self._attributes]

    def attributes_set(self) -> list[tuple[Attributes, str, Any, Any]]:
        """Return the attributes that hold something else now, each with what it held, and what it holds."""
        found = []
        for attributes in self._attributes:
            now = getattr(attributes.get(), "__dict__", {})
            found += [
                (attributes, key, value, now[key])
                for key, value in attributes.pairs()
                if now.get(key, value) is not value
            ]
        return found

    def counted(self) -> list[str]:
        """Return the places by name that held a number, and hold another."""
        set_now = [(a.prefix + key, before, now) for a, key, before, now in self.attributes_set()]
        set_now += [(name, content, _content(cell)) for cell, content, name in self._cells]
        return [name for name, before, now in set_now if before is not now and _is_number(before) and _is_number(now)]

    def restore(self) -> None:
        """Put everything back as it was."""
        for attributes in self._attributes:
            attributes.restore()
        for value, items, _ in self._lists:
            if not are(_items(value), items):
                value.clear()
                if isinstance(value, dict):
                    value.update(zip(items[: len(items) // 2], items[len(items) // 2 :], strict=True))
                else:
                    (value.update if isinstance(value, set) else value.extend)(items)
        for cell, content, _ in self._cells:
            if _content(cell) is not content:
                cell.cell_contents = content
        for function, parts, _ in self._functions:
            if not are(_parts(function), parts):
                function.__code__, function.__defaults__, function.__kwdefaults__ = parts
        for array, before, _ in self._arrays:
            if array.tobytes() != before:
                array[...] = np.frombuffer(before, array.dtype).reshape(array.shape)
        for generator, drawn, _ in self._generators:
            _put_back(generator, drawn)


def _is_settled(defined: Any) -> bool:
    """Tell whether a class or function is of a module that nobody changes while it runs, or is such a module."""
    module = defined.__name__ if isinstance(defined, types.ModuleType) else getattr(defined, "__module__", None)
    return (module or "").partition(".")[0] in _SETTLED_MODULES


def _parts(function: Any) -> tuple[Any, ...]:
    return function.__code__, function.__defaults__, function.__kwdefaults__


def _is_number(x: Any) -> bool:
    return isinstance(x, (int, float)) and not isinstance(x, bool)


def _items(value: Any) -> tuple[Any, ...]:
    return (*value.keys(), *value.values()) if isinstance(value, dict) else tuple(value)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # it is not bound yet
        return MISSING


def _drawn(generator: Any) -> Any:
    """Return the state of a generator of random numbers."""
    if isinstance(generator, random.Random):
        return generator.getstate()
    return generator.bit_generator.state if isinstance(generator, np.random.Generator) else generator.get_state()


def _equal(a: Any, b: Any) -> bool:
    """Tell whether two states of a generator are the same."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(_equal, a, b))
    return np.array_equal(a, b) if isinstance(a, np.ndarray) else bool(a == b)


def _put_back(generator: Any, drawn: Any) -> None:
    if isinstance(generator, random.Random):
        generator.setstate(drawn)
    elif isinstance(generator, np.random.Generator):
        generator.bit_generator.state = drawn
    else:
        generator.set_state(drawn)


def _names_in(code: types.CodeType) -> Iterator[str]:
    """Yield the names that a function and those defined in it look up."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names_in(constant)
