"""The registry: one look-up by name for every kind of thing that plugins bring, the built-in ones included.

A name belongs, in this order, to a built-in, to what this process registered itself (``Registry.register``), to
a plugin. The built-ins of a kind are loaded at its first look-up; plugins, all at once, at the first look-up
that built-in and own names do not answer.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from tinygrad_dnn import scopes
from tinygrad_dnn.registration import KINDS, LOCAL, Batch, Entry, Kind, Origin, shown
from tinygrad_dnn.scopes import Scope, scope

__all__ = [
    "KINDS", "AmbiguousNameError", "Kind", "Origin", "Registry", "Scope", "UnknownNameError", "provenance", "scope",
]

_ABSENT: Any = object()


class UnknownNameError(ValueError):
    """No built-in and no plugin has the name that was asked for.

    Example:
        >>> td.registry.activations.get("rellu")
        Traceback (most recent call last):
        tinygrad_dnn.registry.UnknownNameError: 'rellu' is not a known activation. Did you mean 'relu'...
    """


class AmbiguousNameError(ValueError):
    """Two plugins claim the name that was asked for; ``"distribution:name"`` says which one is meant.

    Example:
        >>> issubclass(td.registry.AmbiguousNameError, ValueError)
        True
    """


class Loader(Protocol):
    """What a registry asks of the plugin host."""

    def load_builtins(self, registry: Registry) -> None: ...

    def load_plugins(self) -> Sequence[str]: ...

    def report(self) -> object: ...


class Registry:
    """The names of one kind.

    Args:
        row: The kind, a row of ``KINDS``.
        host: What loads the built-ins and the plugins; None means the process's own, ``td.plugins``.

    Example:
        >>> td.registry.activations.get("ReLU") is td.registry.activations.get("relu")
        True
        >>> td.registry.activations.serialize(td.registry.activations.get("relu"))
        'relu'
    """

    def __init__(self, row: Kind, host: Loader | None = None) -> None:
        self.row = row
        self.kind = row.plural
        self._host = host
        # Never changed in place, only replaced: a reader needs no lock.
        self.builtin: dict[str, Entry] | None = None
        self.local: dict[str, Entry] = {}
        self.third_party: dict[str, list[Entry]] = {}

    def __repr__(self) -> str:
        return f"Registry({self.kind!r})"

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self._claims(name))

    def names(self) -> list[str]:
        """Return the canonical names, sorted; this loads the plugins."""
        self._load()
        self.host.load_plugins()
        return sorted({entry.origin.name for entry in self._entries()})

    def get(self, identifier: Any, /, **kwargs: Any) -> Any:
        """Return what ``identifier`` stands for; one rule for all kinds.

        Args:
            identifier: None (returned), a name in any case, a qualified name ``"distribution:name"``, a class,
                a configuration ``{"class_name": name, "config": {...}}``, or an object, returned as it is.
            **kwargs: The arguments of the class that is named or given. A named function with arguments becomes
                a ``functools.partial``, which ``serialize`` knows.

        Raises:
            UnknownNameError: Nothing has this name: a ValueError that lists the names, and what failed to load.
            AmbiguousNameError: Two plugins claim the name.
            TypeError: The object is not of this kind, or takes no arguments.

        Example:
            >>> td.losses.get("mse") is td.losses.mean_squared_error
            True
            >>> td.initializers.get("he_normal", seed=1).get_config()
            {'seed': 1}
            >>> td.activations.get("relu", negative_slope=0.5)([-2.0])
            Tensor([-1.], dtype=float32)
            >>> td.layers.get({"class_name": "dense", "config": {"units": 3}}).units
            3
        """
        if identifier is None:
            return None
        if isinstance(identifier, dict):
            return self._from_config(identifier, kwargs)
        obj = self._entry(identifier).obj if isinstance(identifier, str) else identifier
        if not self.row.fits(obj):
            raise TypeError(
                f"{self.row.one} must be given as a name, a configuration, an object or a class "
                f"({self.row.needs}); got {shown(obj)}."
            )
        if isinstance(obj, type):
            return obj(**kwargs)
        if kwargs and not isinstance(identifier, str):
            raise TypeError(f"{shown(obj)} is made already and takes no arguments; got {', '.join(kwargs)}.")
        return functools.partial(obj, **kwargs) if kwargs else obj

    def given(self, identifier: Any, owner: str) -> Any:
        """Return what an argument stands for, as ``get`` does; an error begins with ``owner``, what it calls it.

        Example:
            >>> td.registry.initializers.given("zeroes", "Dense 'hidden': kernel_initializer")
            Traceback (most recent call last):
            tinygrad_dnn.registry.UnknownNameError: Dense 'hidden': kernel_initializer: 'zeroes' is not a known ...
        """
        try:
            return self.get(identifier)
        except (TypeError, ValueError) as error:
            kinds = (AmbiguousNameError, UnknownNameError, TypeError, ValueError)
            raise next(kind for kind in kinds if isinstance(error, kind))(f"{owner}: {error}") from error

    def serialize(self, obj: Any) -> str | dict[str, Any] | None:
        """Return what ``get`` makes ``obj`` from again.

        Returns:
            None for None; the name of a registered function or class; ``{"class_name": name, "config": {...}}``
            for an object of a registered class, or a registered function with arguments. Where two plugins
            claim the name it is qualified.

        Raises:
            ValueError: ``obj`` is not registered, or its class has no ``get_config``.

        Example:
            >>> td.activations.serialize(td.activations.elu)
            'elu'
            >>> td.regularizers.serialize(td.regularizers.l2(0.5))
            {'class_name': 'l2', 'config': {'l2': 0.5}}
        """
        if obj is None:
            return None
        if isinstance(obj, functools.partial) and not obj.args and not self._registered(obj):
            return {"class_name": self._name_of(obj.func), "config": dict(obj.keywords)}
        name = self._name_of(obj)
        if self._entry_of(obj).obj is obj:
            return name
        if not hasattr(obj, "get_config"):
            raise ValueError(f"{shown(obj)} cannot be saved: its class has no get_config().")
        return {"class_name": name, "config": obj.get_config()}

    def holds(self, obj: object) -> bool:
        """Tell whether this very object is registered; this loads the plugins, unless it is a built-in.

        Example:
            >>> td.registry.activations.holds(td.activations.elu), td.registry.activations.holds(abs)
            (True, False)
        """
        self._load()
        if self._registered(obj) is None:
            self.host.load_plugins()
        return self._registered(obj) is not None

    def origin(self, name_or_obj: Any) -> Origin:
        """Return where a name, a registered object, or an object of a registered class came from.

        Raises:
            ValueError: It is not registered.
        """
        named = isinstance(name_or_obj, str)
        return (self._entry(name_or_obj) if named else self._entry_of(name_or_obj)).origin

    def builtins(self) -> list[str]:
        """Return the names that no plugin can take: those of the built-ins, their aliases included, sorted.

        Example:
            >>> "swish" in td.registry.activations.builtins()
            True
        """
        return sorted(self._load())

    def catalogue(self) -> dict[Entry, tuple[str, ...]]:
        """Return each registered thing with the names it answers to, sorted; this loads the plugins, never strictly.

        Example:
            >>> catalogue = td.registry.activations.catalogue()
            >>> [names for entry, names in catalogue.items() if entry.obj is td.activations.silu]
            [('silu', 'swish')]
        """
        self._load()
        self.host.report()
        found: dict[Entry, set[str]] = {}
        own = ({name: [entry] for name, entry in table.items()} for table in (self.builtin or {}, self.local))
        for table in (*own, self.third_party):
            for name, entries in table.items():
                for entry in entries:
                    found.setdefault(entry, set()).add(name)
        order = sorted(found, key=lambda entry: (entry.origin.name, *entry.owners))
        return {entry: (entry.origin.name, *sorted(found[entry] - {entry.origin.name})) for entry in order}

    def register(self, obj: Any = _ABSENT, name: str | None = None, aliases: Iterable[str] = ()) -> Any:
        """Register something for this process alone: directly, or as a decorator with or without arguments.

        Doing so again under the same name replaces it, as running a notebook's cell twice does. A built-in name
        is refused; before a plugin's name this one goes first.

        Args:
            obj: A function or class, as the kind needs it.
            name: The name; by default the object's own.
            aliases: Further names.

        Raises:
            TypeError: ``obj`` is not what the kind needs.
            ValueError: A name is malformed or a built-in's.

        Example:
            >>> @td.registry.activations.register(aliases=("half",))
            ... def halved(x):
            ...     return x * 0.5
            >>> td.registry.activations.get("half") is halved
            True
            >>> td.plugins.reset()
        """
        if obj is _ABSENT:
            return functools.partial(self.register, name=name, aliases=aliases)
        batch = Batch(self.row, self._load(), LOCAL)
        batch.register(obj, name, aliases)
        with_alias, (entry, *_) = batch.close(), batch.entries.values()
        self._label([entry])
        kept = {key: old for key, old in self.local.items() if old.origin.name != entry.origin.name}
        self.local = with_alias | kept | batch.entries
        return obj

    @property
    def host(self) -> Loader:
        """The plugin host; the process's own is found at the first look-up."""
        if self._host is None:
            # By dotted name: the host imports this module, and pluggy costs nothing before it is needed.
            self._host = importlib.import_module("tinygrad_dnn.plugins").HOST
        return self._host

    def adopt(self, batch: Batch, builtin: bool = False) -> None:
        """Take in what a plugin registered; for the host alone."""
        named = batch.close()
        self._label(batch.entries.values())
        if builtin:
            self.builtin = named
        else:
            claims = {name: [*self.third_party.get(name, ()), entry] for name, entry in named.items()}
            self.third_party = self.third_party | claims

    def qualified(self, entry: Entry, key: str) -> str:
        """Return the shortest qualified name that means this entry and no other; for the host alone."""
        short, long = (f"{owner}:{key}" for owner in entry.owners)
        return short if self._claims(short) == [entry] else long

    def _load(self) -> dict[str, Entry]:
        if self.builtin is None:
            self.host.load_builtins(self)
        return self.builtin or {}

    def _entries(self) -> Iterator[Entry]:
        for entries in ((self.builtin or {}).values(), self.local.values(), *self.third_party.values()):
            yield from entries

    def _label(self, entries: Iterable[Entry]) -> None:
        """Set each object's origin on it; what was registered before stays labelled with its first owner."""
        for entry in entries:
            if not self._registered(entry.obj):
                with contextlib.suppress(Exception):  # not everything takes an attribute, and what is said then varies
                    setattr(entry.obj, Origin.ATTRIBUTE, entry.origin)

    def _registered(self, obj: object) -> Entry | None:
        return next((entry for entry in self._entries() if entry.obj is obj), None)

    def _claims(self, name: str) -> list[Entry]:
        """Return who has this name: one entry, none, or the several plugins that claim it."""
        current = scopes.current()
        custom = None if current is None else current.meant(self.row, name)
        if custom is not None:
            return [custom]
        owner, _, key = name.lower().rpartition(":")
        for names in (self._load(), self.local):
            if key in names and names[key].is_of(owner):
                return [names[key]]
        self.host.load_plugins()
        return [entry for entry in self.third_party.get(key, ()) if entry.is_of(owner)]

    def _entry(self, name: str) -> Entry:
        claims = self._claims(name)
        if len(claims) == 1:
            return claims[0]
        if not claims:
            raise self._unknown(name)
        key = name.lower().rpartition(":")[2]
        owners = " and ".join(f"{entry.origin.distribution} {entry.origin.version}" for entry in claims)
        ways = " or ".join(repr(self.qualified(entry, key)) for entry in claims)
        raise AmbiguousNameError(f"the {self.row.singular} {key!r} is claimed by {owners}: ask for {ways}.")

    def _unknown(self, name: str) -> UnknownNameError:
        import difflib  # only an error pays for it

        key = name.lower().rpartition(":")[2]
        known = {*(self.builtin or {}), *self.local, *self.third_party}
        near = " or ".join(map(repr, difflib.get_close_matches(key, sorted(known))))
        missing = "; ".join(self.host.load_plugins())
        return UnknownNameError(
            f"{shown(name)} is not a known {self.row.singular}."
            + (f" Did you mean {near}?" if near else "")
            + f" Known {self.kind}: {', '.join(self.names()) or 'none'}."
            + (f" Not loaded: {missing}." if missing else "")
        )

    def _entry_of(self, obj: object) -> Entry:
        """Return the entry of a registered object, or of the registered class that made it."""
        self._load()
        entry = self._registered(obj) or self._registered(type(obj))
        if entry is None:
            self.host.load_plugins()
            entry = self._registered(obj) or self._registered(type(obj))
        current = scopes.current()
        if entry is None and current is not None:
            entry = current.named(self.row, obj)
        if entry is None:
            raise ValueError(f"{shown(obj)} is not a registered {self.row.singular}: register it under a name.")
        return entry

    def _name_of(self, obj: object) -> str:
        entry = self._entry_of(obj)
        name = entry.origin.name
        current = scopes.current()
        if current is not None and entry.origin not in current.written and entry not in (self.builtin or {}).values():
            current.written.append(entry.origin)
        claims = self._claims(name)
        if not self._is_registered(entry):
            if any(claim.obj is not entry.obj for claim in claims):
                raise ValueError(
                    f"{shown(obj)} is not registered, and {name!r} means another {self.row.singular}: give it another "
                    "name, or register it under one."
                )
            return name
        return name if claims == [entry] else self.qualified(entry, name)

    def _is_registered(self, entry: Entry) -> bool:
        return any(entry is each for each in self._entries())

    def _from_config(self, config: dict[str, Any], kwargs: dict[str, Any]) -> Any:
        name, settings = config.get("class_name"), config.get("config", {})
        if not isinstance(name, str) or not isinstance(settings, dict) or kwargs:
            raise TypeError(
                f"the configuration of {self.row.one} is {{'class_name': name, 'config': {{...}}}} and takes no "
                f"arguments beside it; got {shown(config)}{' and ' if kwargs else ''}{', '.join(kwargs)}."
            )
        obj = self._entry(name).obj
        if not isinstance(obj, type):
            return functools.partial(obj, **settings) if settings else obj
        if not hasattr(obj, "from_config"):
            raise TypeError(f"{shown(obj)} cannot be made from a configuration: it has no from_config().")
        return obj.from_config(dict(settings))


def provenance(**things: Iterable[Any]) -> list[dict[str, str]]:
    """Return, of each thing that is not built in, its name, kind, distribution, version and entry point.

    This is what results files and reports write down; ``td.models.provenance`` finds all that a model takes.

    Args:
        **things: By the plural of their kind, what was used: names, registered objects, or objects of registered
            classes. "local" for the distribution means the program itself.

    Raises:
        TypeError: There is no such kind.
        ValueError: A thing is not registered; of a name, see ``Registry.get``.

    Example:
        >>> class Slow(td.optimizers.SGD):
        ...     pass
        >>> mine = td.registry.optimizers.register(Slow)
        >>> td.registry.provenance(optimizers=["adam", mine()], activations=["relu"])
        [{'name': 'slow', 'kind': 'optimizers', 'distribution': 'local', 'version': '', 'entry_point': ''}]
        >>> td.plugins.reset()
    """
    known = {names.kind: names for names in REGISTRIES}
    if wrong := things.keys() - known.keys():
        raise TypeError(f"provenance: there is no kind {min(wrong)!r}: the kinds are {', '.join(known)}.")
    origins = [known[kind].origin(thing) for kind, each in things.items() for thing in each]
    return [origin.row for origin in dict.fromkeys(origins) if not origin.is_builtin]


REGISTRIES = tuple(Registry(kind) for kind in KINDS)
activations, initializers, optimizers, schedulers, regularizers = REGISTRIES[:5]
constraints, losses, metrics, layers, callbacks = REGISTRIES[5:]
