"""What can be registered: the table of kinds, and the checks that an object and its names must pass."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from tinygrad_dnn.checks import shown as shown

__all__ = ["KINDS", "Kind", "Origin"]

T = TypeVar("T")
DISTRIBUTION = "tinygrad-dnn"
LOCAL = "local"
# A word begins at a capital that small letters or digits follow, and an acronym where a word follows it in turn or,
# of three letters and more, at the end: he_normal, l1_l2, csv_logger, sign_sgd, leaky_relu (not leaky_re_lu).
_WORD = re.compile(
    r"(?<=[a-z0-9])(?=[A-Z][a-z0-9])|(?<=[a-z])(?=[A-Z]+[A-Z][a-z]|[A-Z]{3,}$)|(?<=[A-Z])(?=[A-Z][a-z])"
)


def snake_case(name: str) -> str:
    """Return a class's name in snake case, an acronym as one word.

    Example:
        >>> [td.registration.snake_case(name) for name in ("HeNormal", "CSVLogger", "LeakyReLU", "L1L2")]
        ['he_normal', 'csv_logger', 'leaky_relu', 'l1_l2']
    """
    return _WORD.sub("_", name).lower()


@dataclass(frozen=True)
class Kind:
    """One kind of thing that has names: a row of ``KINDS``.

    Args:
        plural: The kind's name, as in ``td.registry.<plural>``.
        singular: One such thing, in messages.
        hook: The plugins' hook that registers it.
        module: The dotted name of the module that registers the built-ins.
        methods: What an object must have. Where that is ``__call__`` alone a function will do; otherwise only
            a class can be registered.

    Example:
        >>> {kind.plural: kind.needs for kind in td.registry.KINDS}["optimizers"]
        'a class with the methods init, update'
    """

    plural: str
    singular: str
    hook: str
    module: str
    methods: tuple[str, ...] = ("__call__",)

    @property
    def of_callables(self) -> bool:
        """Whether a plain function is enough."""
        return self.methods == ("__call__",)

    @property
    def needs(self) -> str:
        """What an object must be to be registered, in words."""
        if self.of_callables:
            return "a function, or a class whose objects can be called"
        return f"a class with the method{'s' if len(self.methods) > 1 else ''} {', '.join(self.methods)}"

    @property
    def one(self) -> str:
        """The singular with its article."""
        return f"{'an' if self.singular[0] in 'aeiou' else 'a'} {self.singular}"

    def fits(self, obj: object) -> bool:
        """Whether ``obj`` is (or, where it is a class, makes) such a thing."""
        if isinstance(obj, type):  # every class can itself be called: what counts is what its objects can do
            return all(any(vars(base).get(name) is not None for base in obj.__mro__) for name in self.methods)
        return all(callable(getattr(obj, name, None)) for name in self.methods)


_METRIC = ("update_state", "result", "reset_state")
KINDS = (
    Kind("activations", "activation", "register_activations", "tinygrad_dnn.activations"),
    Kind("initializers", "initializer", "register_initializers", "tinygrad_dnn.initializers"),
    Kind("optimizers", "optimizer", "register_optimizers", "tinygrad_dnn.optimizers", ("init", "update")),
    Kind("schedulers", "scheduler", "register_schedulers", "tinygrad_dnn.schedulers"),
    Kind("regularizers", "regularizer", "register_regularizers", "tinygrad_dnn.regularizers"),
    Kind("constraints", "constraint", "register_constraints", "tinygrad_dnn.constraints"),
    Kind("losses", "loss", "register_losses", "tinygrad_dnn.losses"),
    Kind("metrics", "metric", "register_metrics", "tinygrad_dnn.metrics", _METRIC),
    Kind("layers", "layer", "register_layers", "tinygrad_dnn.layers", ("build", "call")),
    Kind("callbacks", "callback", "register_callbacks", "tinygrad_dnn.callbacks", ("on_epoch_end",)),
)


@dataclass(frozen=True)
class Origin:
    """Where a registered object came from.

    It is kept with the name (``Registry.origin``) and set on the object as ``__tinygrad_dnn_origin__``, where
    the object takes attributes. A subclass, and a function made with functools.wraps, inherits the attribute
    of what it extends until it is registered itself.

    Args:
        kind: The kind's plural, ``"activations"``.
        name: The canonical name.
        distribution: ``"tinygrad-dnn"`` for a built-in, ``"local"`` for what this process registered itself,
            else the distribution's normalized name.
        version: The distribution's version; empty for ``"local"``.
        entry_point: The plugin's entry point; for a built-in the kind; empty for ``"local"``.
        module: The dotted name of the module that defines the object.

    Example:
        >>> origin = td.registry.activations.origin("relu")
        >>> origin.distribution, origin.is_builtin
        ('tinygrad-dnn', True)
    """

    kind: str
    name: str
    distribution: str
    version: str
    entry_point: str
    module: str

    ATTRIBUTE = "__tinygrad_dnn_origin__"

    @property
    def is_builtin(self) -> bool:
        """Whether it came with the package itself."""
        return self.distribution == DISTRIBUTION

    @property
    def row(self) -> dict[str, str]:
        """What saved models, results files and reports write down of it."""
        return {field: getattr(self, field) for field in ("name", "kind", "distribution", "version", "entry_point")}


@dataclass(frozen=True, eq=False)
class Entry:
    """A registered object, and the alias that it has only where nothing else of its plugin has that name."""

    obj: Any
    automatic_alias: str
    origin: Origin

    @property
    def owners(self) -> tuple[str, str]:
        """What may stand before the colon of a qualified name: the distribution, or it and the entry point."""
        return self.origin.distribution, f"{self.origin.distribution}:{self.origin.entry_point}"

    def is_of(self, owner: str) -> bool:
        """Whether ``owner``, the part before the colon, means this entry; an empty one means any."""
        return not owner or normalized(owner) in map(normalized, self.owners)


class Batch:
    """The registrations of one plugin for one kind, held back until all of its hooks have returned.

    Args:
        kind: The kind.
        builtin: The names that cannot be taken.
        distribution: The plugin's distribution.
        version: The distribution's version.
        entry_point: The plugin's entry point.
    """

    def __init__(
        self, kind: Kind, builtin: Iterable[str], distribution: str, version: str = "", entry_point: str = ""
    ) -> None:
        self.kind = kind
        self.entries: dict[str, Entry] = {}
        self._builtin = frozenset(builtin)
        self._source = distribution, version, entry_point
        self._closed = False

    def register(self, obj: T, name: str | None = None, aliases: Iterable[str] = ()) -> T:
        """Check one object and its names, and hold it: the ``register`` that a hook is given."""
        kind = self.kind
        if self._closed:
            raise RuntimeError(f"{kind.hook} has returned: call register inside the hook, do not keep it.")
        if not kind.fits(obj) or not (kind.of_callables or isinstance(obj, type)):
            raise TypeError(f"{kind.one} must be {kind.needs}; got {shown(obj)}.")
        if missing := getattr(obj, "__abstractmethods__", ()):
            raise TypeError(f"{shown(obj)} is abstract: it lacks {', '.join(sorted(missing))}.")
        if isinstance(aliases, str):
            raise TypeError(f"aliases must be a tuple of names; got the string {aliases!r}.")
        own = getattr(obj, "__name__", None) if name is None else name
        if own is None or own == "<lambda>":
            raise ValueError(f"{shown(obj)} has no name of its own: pass register(..., name=...).")
        names = tuple(dict.fromkeys(_checked(each) for each in (own, *aliases)))
        if taken := [each for each in names if each in self._builtin]:
            raise ValueError(f"the name {taken[0]!r} is a built-in {kind.singular}'s: choose another.")
        if taken := [each for each in names if each in self.entries]:
            raise ValueError(f"the {kind.singular} {taken[0]!r} is registered twice by the same plugin.")
        if twin := [entry.origin.name for entry in self.entries.values() if entry.obj is obj]:
            raise ValueError(f"{names[0]!r} is registered already, as {twin[0]!r}: use aliases=(...).")
        alias = snake_case(own) if isinstance(obj, type) and name is None else names[0]
        origin = Origin(kind.plural, names[0], *self._source, module=getattr(obj, "__module__", None) or "")
        self.entries |= dict.fromkeys(names, Entry(obj, alias, origin))
        return obj

    def close(self) -> dict[str, Entry]:
        """Take no more; return the entries by name, with the automatic aliases where they are free."""
        self._closed = True
        aliases = {entry.automatic_alias: entry for entry in reversed(self.entries.values())}
        return {name: entry for name, entry in aliases.items() if name not in self._builtin} | self.entries


def normalized(distribution: str) -> str:
    """Return a distribution's name as package indexes compare it: ``Foo_Bar`` is ``foo-bar``."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _checked(name: object) -> str:
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w.-]*", name):
        raise ValueError(f"a name is made of letters, digits, '_', '-' and '.'; got {shown(name)}.")
    return name.lower()
