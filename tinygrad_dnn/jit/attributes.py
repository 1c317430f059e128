"""Attributes: what one object's attributes, a module's names or an object's slots held, and whether they still do."""

from __future__ import annotations

import functools
import operator
import types
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tinygrad_dnn.tensor import Tensor

MISSING = object()
"""Stands for what nothing holds."""

OF_ANY_CLASS = frozenset(
    "__dict__ __weakref__ __doc__ __module__ __annotations__ __abstractmethods__ _abc_impl __static_attributes__ "
    "__firstlineno__ __annotations_cache__".split()
)
"""The attributes of a class that Python itself keeps there."""


class Attributes:
    """The attributes of one object, as they are now, without keeping it alive.

    Attributes:
        get: Returns the object, or None if it is gone.
        prefix: What the names of the attributes are put behind.
        keys: The names of those that are watched.
        values: What they held.
        may_go: Whether it may be gone without that being a change.
    """

    def __init__(self, holder: Any, left_out: Any, name: str) -> None:
        self.left_out = left_out
        self.prefix = f"{name}." if name else ""
        values = vars(holder)
        self.kind = type(holder)
        self.loose: dict[str, Any] = {}
        self.may_go = False
        self._look_at(values)
        # How many others there are does not matter: of a module, only the names that are used.
        self.count = -1 if isinstance(holder, (types.ModuleType, Namespace)) else len(values)
        try:
            self.get: Callable[[], Any] = weakref.ref(holder)
        except TypeError:
            self.get = functools.partial(_itself, holder)

    def _look_at(self, values: Any) -> None:
        self.keys = tuple([key for key in values if key not in self.left_out])
        self.get_values = _getter(self.keys)
        self.values = self.get_values(values)

    def leave_out(self, key: str) -> None:
        """Watch one of them no longer."""
        self.left_out = frozenset({*self.left_out, key})
        self._look_at(dict(self.pairs()))

    def pairs(self) -> Iterator[tuple[str, Any]]:
        """Yield each name with what it held."""
        return zip(self.keys, self.values, strict=True)

    def same(self) -> bool:
        """Tell whether all hold the same objects."""
        try:
            holder = self.get()
            if holder is None:
                return self.may_go
            now = holder.__dict__
            alike = type(holder) is self.kind and (self.count < 0 or len(now) == self.count)
            if not alike or are(self.get_values(now), self.values):
                return alike
            return all(now[key] is value or self.allows(key, now[key]) for key, value in self.pairs())
        except (AttributeError, KeyError):  # it lacks one of them
            return False

    def loosen(self, read: set[int]) -> None:
        """Note of Tensors that are not among those read what another one has to be like."""
        self.loose = {
            key: _kind(value) for key, value in self.pairs() if type(value) is Tensor and id(value) not in read
        }

    def allows(self, key: str, now: Any) -> bool:
        """Tell whether one of them may hold something else."""
        return type(now) is Tensor and self.loose.get(key) == _kind(now)

    def _added(self) -> list[str]:
        if self.count < 0:
            return []
        return [key for key in getattr(self.get(), "__dict__", ()) if key not in self.keys and key not in self.left_out]

    def changes(self) -> list[str]:
        """Return the names of those that do not."""
        if self.get() is None and self.may_go:
            return []
        now = getattr(self.get(), "__dict__", {})
        changed = [
            key
            for key, value in self.pairs()
            if (held := now.get(key, MISSING)) is not value and not self.allows(key, held)
        ]
        of_class = [] if type(self.get()) is self.kind else ["__class__"]
        return [self.prefix + key for key in changed + self._added() + of_class]

    def restore(self) -> None:
        """Let all hold what they held."""
        holder = self.get()
        now = getattr(holder, "__dict__", {})
        for key in self._added():
            delattr(holder, key)
        for key, value in self.pairs():
            if now.get(key, MISSING) is not value:
                self.put(key, value)

    def put(self, key: str, value: Any) -> None:
        """Let one of them hold a value, past the class's own __setattr__, which may do more than set."""
        holder = self.get()
        if isinstance(getattr(holder, "__dict__", None), dict):
            holder.__dict__[key] = value
        elif holder is not None:
            setattr(holder, key, value)


class Namespace:
    """The global names of a function in the place of an object with attributes."""

    __slots__ = ("__dict__",)

    def __init__(self, names: dict[str, Any]) -> None:
        self.__dict__ = names


class Slots:
    """An object's slots in the place of its attributes."""

    __slots__ = ("_of",)

    def __init__(self, of: Any) -> None:
        self._of = of

    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        names = [slot for kind in type(self._of).__mro__ for slot in slots_of(kind)]
        return types.MappingProxyType({slot: getattr(self._of, slot) for slot in names if hasattr(self._of, slot)})

    def __setattr__(self, key: str, value: Any) -> None:
        object.__setattr__(self if key == "_of" else self._of, key, value)

    def __delattr__(self, key: str) -> None:
        object.__delattr__(self._of, key)


def slots_of(kind: type) -> tuple[str, ...]:
    """Return the names of the slots that a class itself defines."""
    slots = vars(kind).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slot for slot in slots if slot not in OF_ANY_CLASS)


def _kind(x: Tensor) -> tuple[Any, ...]:
    data, backend = x.data, x.backend
    place = backend.name, backend.device_of(data)
    return data.shape, data.dtype, place, x._requires_grad, x._primitive is None, x._logits is None


def _itself(holder: Any) -> Any:
    return holder


def are(now: Sequence[Any], before: Sequence[Any]) -> bool:
    """Tell whether two sequences have the same objects in them: not equal ones, since 1 is not True to a program."""
    return len(now) == len(before) and all(map(operator.is_, now, before))


def _getter(keys: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    """Return what looks up all keys in a dict at once."""
    if len(keys) < 2:
        return lambda holder: tuple(holder[key] for key in keys)
    get: Callable[..., Any] = getattr(operator, "itemgetter")(*keys)  # noqa: B009  # mypy 2.4 fails on the plain name
    return get
