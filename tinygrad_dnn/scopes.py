"""Scopes: what names mean beside the registries while a file is written or read, and what is written down then."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from tinygrad_dnn.registration import LOCAL, Entry, Kind, Origin

__all__ = ["Scope", "current", "no_scope", "scope"]


class Scope:
    """What names mean beside the registries while a ``scope`` lasts, and which names were written down in it.

    Attributes:
        written: Where each name came from that ``serialize`` gave and that is not a built-in's.

    Example:
        >>> td.registry.Scope({}).written
        []
    """

    def __init__(self, custom_objects: Mapping[str, Any]) -> None:
        self._custom = {name.lower(): obj for name, obj in custom_objects.items()}
        self.written: list[Origin] = []

    def meant(self, row: Kind, name: str) -> Entry | None:
        """Return what the scope knows under a name, if it is of a kind."""
        obj = self._custom.get(name.lower())
        return None if obj is None or not row.fits(obj) else _custom(row, name, obj)

    def named(self, row: Kind, obj: Any) -> Entry | None:
        """Return an entry for what is not registered but has a name: a function, a class, or an object's class."""
        if not hasattr(obj, "__name__"):
            obj = type(obj)
        name = obj.__name__
        return _custom(row, name, obj) if name.isidentifier() and row.fits(obj) else None


def _custom(row: Kind, name: str, obj: Any) -> Entry:
    return Entry(obj, name, Origin(row.plural, name, LOCAL, "", "", getattr(obj, "__module__", None) or ""))


_SCOPE: ContextVar[Scope | None] = ContextVar("scope", default=None)


def current() -> Scope | None:
    """Return the innermost scope of this thread.

    Example:
        >>> from tinygrad_dnn import scopes
        >>> scopes.current() is None
        True
    """
    return _SCOPE.get()


@contextlib.contextmanager
def scope(custom_objects: Mapping[str, Any] | None = None) -> Iterator[Scope]:
    """Let names mean custom objects first, in this thread and while a ``with`` block lasts; for files.

    ``serialize`` then also takes what is not registered but has a name of its own, as custom objects will have to
    answer to it. It refuses a lambda, and a name that something else is registered under.

    Args:
        custom_objects: Classes and functions by name.

    Example:
        >>> def halved(x):
        ...     return x / 2
        >>> with td.registry.scope({"halved": halved}):
        ...     td.registry.activations.get("halved") is halved, td.registry.activations.serialize(halved)
        (True, 'halved')
    """
    entered = Scope(custom_objects or {})
    token = _SCOPE.set(entered)
    try:
        yield entered
    finally:
        _SCOPE.reset(token)


@contextlib.contextmanager
def no_scope() -> Iterator[None]:
    """Let no custom objects count while a ``with`` block lasts: those of a file are nothing to a plugin's import.

    Example:
        >>> from tinygrad_dnn import scopes
        >>> with scopes.scope({"relu": abs}), scopes.no_scope():
        ...     td.registry.activations.get("relu") is td.activations.relu
        True
    """
    token = _SCOPE.set(None)
    try:
        yield
    finally:
        _SCOPE.reset(token)
