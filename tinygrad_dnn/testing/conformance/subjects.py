"""What is checked: a registered or given object with its name, its distribution, and samples of its arguments."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from tinygrad_dnn import registry
from tinygrad_dnn.registration import KINDS, Entry, Kind, normalized
from tinygrad_dnn.testing.conformance.builtins import SAMPLES

DISTRIBUTION = "tinygrad-dnn"
_KINDS = {kind.plural: kind for kind in KINDS}
# What an object may say of itself in its attribute ``conformance``.
KEYS = ("arguments", "inputs", "claims")


class Claim(NamedTuple):
    """What an object may claim: what holds where it does not, for which kinds, and what it says."""

    default: Any
    kinds: tuple[str, ...]
    meaning: str


CLAIMS: dict[str, Claim] = {
    "keeps_shape": Claim(True, ("activations",), "whether the result has the input's shape, or its last axis differs"),
    "domain": Claim((-1e4, 1e4), ("activations", "losses"), "the least and greatest number that it must be finite at"),
    "mean": Claim(None, ("initializers",), "the mean of its values"),
    "variance": Claim(None, ("initializers",), "their variance, a number or a function of (fan_in, fan_out)"),
    "monotone": Claim(None, ("schedulers",), '"increasing" or "decreasing": that no rate goes the other way'),
    "decays_weights": Claim(False, ("optimizers",), "whether it decays weights in a way of its own"),
    "moves_without_gradient": Claim(False, ("optimizers",), "whether gradients of 0 move a weight"),
    "descends": Claim(True, ("optimizers",), "whether it goes downhill by itself"),
    "nonnegative": Claim(True, ("regularizers",), "whether no penalty is below 0"),
    "zero_for_perfect": Claim(False, ("losses",), "whether predictions that equal the targets give 0"),
    "mixes_samples": Claim(False, ("layers",), "whether a sample's output depends on the others at inference too"),
    "in_training": Claim(True, ("layers",), "whether jit, native and the like run it as in training"),
}


class SkipError(Exception):
    """A check says nothing of this subject; the message says why."""


@dataclass(frozen=True)
class Subject:
    """One object of a kind, with one set of arguments.

    Attributes:
        kind: The kind's plural, "activations".
        name: What it is called in reports; with several sets of arguments the set's number follows, "relu[1]".
        obj: The function, the class, or an object that is made already.
        distribution: Where it comes from; "local" for what was given and is not registered.
        version: The distribution's version.
        arguments: The keyword arguments that it is made with, or that a function is given.
        inputs: What it is called with, as its kind's checks say; None for the usual.
        claims: What it says of itself.
        refusal: Why it cannot be checked; empty if it can.

    Example:
        >>> (subject,) = td.testing.conformance.given("constraints", "max_norm", arguments={"max_value": 3.0})
        >>> print(subject)
        constraint 'maxnorm' of tinygrad-dnn 0.1.0
        >>> subject.make().max_value
        3.0
    """

    kind: str
    name: str
    obj: Any
    distribution: str = "local"
    version: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    inputs: Any = None
    claims: Mapping[str, Any] = field(default_factory=dict)
    refusal: str = ""

    def __str__(self) -> str:
        owner = f"{self.distribution} {self.version}".strip()
        return f"{_KINDS[self.kind].singular} {self.name!r} of {owner}"

    @property
    def row(self) -> Kind:
        """The kind's row in the table of kinds."""
        return _KINDS[self.kind]

    def claim(self, key: str) -> Any:
        """Return what it claims, or what holds for all that claim nothing."""
        return self.claims.get(key, CLAIMS[key].default)

    def make(self, **more: Any) -> Any:
        """Return a new object of the class, or the function with its arguments."""
        if self.refusal:
            raise SkipError(self.refusal)
        arguments = {**self.arguments, **more}
        if isinstance(self.obj, type):
            return self.obj(**arguments)
        return functools.partial(self.obj, **arguments) if arguments else self.obj

    def again(self, made: Any) -> Any:
        """Return what a configuration, once through JSON, makes of an object; one not registered is found too."""
        import json

        name = getattr(self.obj, "__name__", "") or type(self.obj).__name__
        names: registry.Registry = getattr(registry, self.kind)
        if not name.isidentifier():
            raise SkipError("what has no name of its own, such as a lambda, cannot be found by it again")
        with registry.scope({} if names.holds(self.obj) else {name: self.obj}):
            return names.get(json.loads(json.dumps(names.serialize(made))))


def takes(function: Any, name: str) -> bool:
    """Tell whether a callable has a parameter of a name."""
    try:
        return name in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False


def given(kind: str, thing: Any, **samples: Any) -> list[Subject]:
    """Return the subjects that an object, a class, a function or a registered name makes.

    Args:
        kind: The kind's plural.
        thing: A name, or the object itself.
        samples: ``arguments``, ``inputs`` and ``claims``, instead of those that the object declares.

    Raises:
        TypeError: The object is not of this kind.
        UnknownNameError: Nothing has this name: a ValueError.

    Example:
        >>> [subject.name for subject in td.testing.conformance.given("schedulers", "exponential_decay")]
        ['exponentialdecay[0]', 'exponentialdecay[1]']
    """
    names: registry.Registry = getattr(registry, kind)
    if isinstance(thing, str):
        entry = names._entry(thing)
        return _of_entry(kind, entry, samples)
    if not _KINDS[kind].fits(thing):
        raise TypeError(f"{_KINDS[kind].one} to check must be {_KINDS[kind].needs}, or a name; got {thing!r}.")
    if names.holds(thing):
        return _of_entry(kind, names._entry_of(thing), samples)
    name = getattr(thing, "__name__", "") or type(thing).__name__
    return _variants(Subject(kind, name, thing), samples)


def registered(dist: str | None) -> Iterator[Subject]:
    """Yield the subjects that a distribution registered; None means all that are not built in."""
    for kind in _KINDS:
        names: registry.Registry = getattr(registry, kind)
        names.names()  # which loads the plugins
        entries = {entry.origin: entry for entry in names._entries()}
        for origin, entry in sorted(entries.items(), key=lambda item: (item[0].distribution, item[0].name)):
            owner = normalized(origin.distribution)
            if owner != DISTRIBUTION if dist is None else owner == normalized(dist):
                yield from _of_entry(kind, entry, {})


def _of_entry(kind: str, entry: Entry, samples: dict[str, Any]) -> list[Subject]:
    origin = entry.origin
    subject = Subject(kind, origin.name, entry.obj, origin.distribution, origin.version)
    declared = SAMPLES.get((kind, origin.name), {}) if origin.distribution == DISTRIBUTION else {}
    return _variants(subject, samples or declared)


def _variants(subject: Subject, samples: Any) -> list[Subject]:
    """Return a subject for each set of samples that is given or that the object declares."""
    declared = samples or getattr(subject.obj, "conformance", None) or {}
    found = []
    for i, own in enumerate(declared if isinstance(declared, (list, tuple)) else [declared]):
        name = f"{subject.name}[{i}]" if isinstance(declared, (list, tuple)) else subject.name
        claims = {key for key, claim in CLAIMS.items() if subject.kind in claim.kinds}
        unknown = sorted(own.keys() - set(KEYS)) + sorted(own.get("claims", {}).keys() - claims)
        made = replace(
            subject, name=name, arguments=own.get("arguments", {}), inputs=own.get("inputs"),
            claims=own.get("claims", {}),
        )  # fmt: skip
        refusal = f"its conformance has the unknown key {unknown[0]!r}" if unknown else _lacks(made)
        found.append(replace(made, refusal=refusal))
    return found


def _lacks(subject: Subject) -> str:
    """Say which arguments an object needs and has no samples of; nothing where there are none."""
    try:
        parameters = list(inspect.signature(subject.obj).parameters.values())
    except (TypeError, ValueError):
        return ""
    calls = {"losses": 2, "initializers": 2}.get(subject.kind, 1)
    own = parameters if isinstance(subject.obj, type) else parameters[calls:]
    fixed = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    missing = [p.name for p in own if p.default is p.empty and p.kind not in fixed and p.name not in subject.arguments]
    if not missing:
        return ""
    return (
        f"it needs the arguments {', '.join(missing)} and declares no samples of them: give it an attribute "
        f"conformance = {{'arguments': {{{missing[0]!r}: ...}}}}"
    )
