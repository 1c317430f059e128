"""What is compared: names of one kind, with arguments or without, and what each needs to be made in a network."""

from __future__ import annotations

import ast
import inspect
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tinygrad_dnn import registry
from tinygrad_dnn.registration import Entry
from tinygrad_dnn.registry import Registry

KINDS = ("optimizers", "activations", "initializers", "schedulers", "regularizers", "constraints")
# Kinds that a network can also do without; there "none" is a candidate like any other.
_OPTIONAL = ("schedulers", "regularizers", "constraints")
NONE, ALL = "none", "all"
# What schedules call the rate that is tuned and the length of a training, where they need one.
_RATES = ("learning_rate", "initial_learning_rate", "max_lr")
_NEEDED_RATES = ("warmup_target",)
_LENGTHS = ("decay_steps", "total_steps", "T_max")
_TEXT = re.compile(r"\s*([^\s(),]+)\s*(\(.*\))?\s*", re.DOTALL)


@dataclass(frozen=True)
class Candidate:
    """One of those that are compared.

    Args:
        kind: The plural of its kind.
        name: Its registered name, or "none".
        arguments: Those of its class or function that were given.

    Example:
        >>> from tinygrad_dnn.comparing import Candidate
        >>> Candidate.read("optimizers", "SGD(momentum=0.9)")
        Candidate(kind='optimizers', name='sgd', arguments={'momentum': 0.9})
    """

    kind: str
    name: str
    arguments: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, kind: str, text: str) -> Candidate:
        """Return the candidate that a text says: a name, or a name with arguments, as ``sgd(momentum=0.9)``.

        Raises:
            ValueError: Nothing has this name, two plugins have it, or the arguments cannot be read.
        """
        found = _TEXT.fullmatch(text)
        if found is None:
            raise ValueError(f"{kind}: {text!r} is no name, nor a name with arguments, as sgd(momentum=0.9).")
        name, arguments = found[1].lower(), _arguments(kind, text, found[2] or "()")
        if name == NONE and kind in _OPTIONAL and not arguments:
            return cls(kind, name)
        registry_of(kind).origin(name)  # raises where nothing has this name
        tuned = {"optimizers": ("learning_rate",), "schedulers": _RATES}.get(kind, ())
        if given := [key for key in arguments if key in tuned]:
            raise ValueError(f"{kind}: {text!r} gives {given[0]}, which is what is tuned: leave it out.")
        return cls(kind, name, arguments)

    @property
    def label(self) -> str:
        """What tables call it."""
        said = ", ".join(f"{key}={value!r}" for key, value in self.arguments.items())
        return f"{self.name}({said})" if said else self.name

    def origin(self) -> list[dict[str, str]]:
        """Return where it came from, as manifests say it: nothing for what is built in."""
        return [] if self.name == NONE else registry.provenance(**{self.kind: [self.name]})

    def key(self) -> tuple[str, str]:
        """Return what tells it from other candidates, by whichever of its names it was given."""
        origin = NONE if self.name == NONE else repr(registry_of(self.kind).origin(self.name))
        return origin, repr(sorted(self.arguments.items()))

    def identifier(self, rate: float, steps: int) -> Any:
        """Return what the registry makes it from, for a training of so many steps at a learning rate.

        Raises:
            ValueError: It needs an argument that was not given.
        """
        if self.name == NONE:
            return rate if self.kind == "schedulers" else None
        made = _entry(self.kind, self.name).obj
        if self.kind == "optimizers":
            return {"class_name": self.name, "config": {**self.arguments, "learning_rate": rate}}
        if self.kind == "schedulers":
            return self._schedule(made, rate, steps)
        # A function has its input before what can be given here, an initializer its shape and type, and its layer.
        inputs = 0 if isinstance(made, type) else 2 if self.kind == "initializers" else 1
        self._require([*inspect.signature(made).parameters.values()][inputs:], {"layer"} if inputs == 2 else ())
        return {"class_name": self.name, "config": self.arguments} if self.arguments else self.name

    def _schedule(self, made: Any, rate: float, steps: int) -> dict[str, Any]:
        """Return a schedule whose rate is the tuned one, and whose length, if it needs one, is the training's."""
        parameters = inspect.signature(made).parameters if isinstance(made, type) else {}
        known = {name: rate for name in _RATES if name in parameters}
        needed = {name for name, each in parameters.items() if each.default is each.empty}
        known |= {name: rate for name in _NEEDED_RATES if name in needed and name not in self.arguments}
        scaled = not known
        known |= {name: steps for name in _LENGTHS if name in needed}
        self._require(parameters.values(), known)
        schedule = {"class_name": self.name, "config": {**known, **self.arguments}}
        # What has no rate of its own is a shape, which the tuned rate is multiplied by.
        return {"class_name": "product_schedule", "config": {"schedules": [rate, schedule]}} if scaled else schedule

    def _require(self, parameters: Iterable[inspect.Parameter], known: Iterable[str]) -> None:
        given = {*known, *self.arguments}
        absent = [
            each.name
            for each in parameters
            if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
            and each.default is each.empty
            and each.name not in given
        ]
        if absent:
            example = ", ".join(f"{name}=..." for name in absent)
            raise ValueError(f"{self.name} needs {', '.join(absent)}: give it arguments, as '{self.name}({example})'.")


def everything(kind: str) -> tuple[list[Candidate], list[dict[str, str]]]:
    """Return all that is registered of a kind and can be made as it is, and the others, each with the reason.

    Example:
        >>> from tinygrad_dnn.comparing import everything
        >>> made, left_out = everything("schedulers")
        >>> "cosinedecay" in [each.name for each in made]
        True
        >>> [each["reason"] for each in left_out if each["name"] == "exponentialdecay"]
        ["exponentialdecay needs decay_rate: give it arguments, as 'exponentialdecay(decay_rate=...)'."]
    """
    candidates = [Candidate.read(kind, NONE)] if kind in _OPTIONAL else []
    left_out = []
    for name in registry_of(kind).names():
        try:
            candidate = Candidate.read(kind, name)
            _try(candidate)
        except Exception as error:  # a plugin's own, of any kind
            left_out.append({"name": name, "reason": " ".join(str(error).split())})
        else:
            candidates.append(candidate)
    return candidates, left_out


def split(text: str) -> list[str]:
    """Return the parts of a list in one text: commas within brackets and quotes part nothing.

    Example:
        >>> from tinygrad_dnn.comparing import split
        >>> split("nadam, sgd(momentum=0.9, nesterov=True)")
        ['nadam', 'sgd(momentum=0.9, nesterov=True)']
    """
    parts, depth, quote = [""], 0, ""
    for sign in text:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        depth += (sign in "([{") - (sign in ")]}") if not quote else 0
        if sign == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts if part.strip()]


def registry_of(kind: str) -> Registry:
    """Return the registry of a kind.

    Raises:
        ValueError: Things of this kind are not compared.
    """
    if kind not in KINDS:
        raise ValueError(f"compare: the kind is one of {', '.join(KINDS)}, not {kind!r}.")
    found: Registry = getattr(registry, kind)
    return found


def checked(kind: str, candidates: Sequence[str | Candidate]) -> tuple[list[Candidate], list[dict[str, str]]]:
    """Return candidates from their texts, "all" among them, and what "all" leaves out.

    Raises:
        ValueError: There is none, one is there twice, is of another kind, or cannot be read.
    """
    registry_of(kind)
    texts = split(candidates) if isinstance(candidates, str) else list(candidates)
    given = [Candidate.read(kind, each) if isinstance(each, str) else each for each in texts if each != ALL]
    if other := [each for each in given if each.kind != kind]:
        raise ValueError(f"{kind}: {other[0].label!r} is one of the {other[0].kind}: one kind is compared at a time.")
    found = {each.key(): each for each in given}
    if len(found) < len(given):
        twice = next(each.label for place, each in enumerate(given) if each.key() in [g.key() for g in given[:place]])
        raise ValueError(f"{kind}: {twice!r} is there twice, maybe by another of its names: name each candidate once.")
    more, left_out = everything(kind) if ALL in texts else ([], [])
    found = {each.key(): each for each in (*more, *given)}
    if not found:
        raise ValueError(f"{kind}: there is nothing to compare: name at least one.")
    return list(found.values()), left_out


def _entry(kind: str, name: str) -> Entry:
    names = registry_of(kind)
    owner, _, key = name.rpartition(":")
    origin = names.origin(name)
    catalogue = names.catalogue().items()
    return next(e for e, known in catalogue if key in known and e.is_of(owner) and e.origin == origin)


def _try(candidate: Candidate) -> None:
    """Make a candidate, so that what cannot be made is found before it is run."""
    identifier = candidate.identifier(rate=1e-3, steps=100)
    if identifier is None or candidate.name == NONE:
        return
    names = registry_of(candidate.kind)
    if candidate.kind == "optimizers":
        names.get(candidate.name, **identifier["config"])
    else:
        names.get(identifier)


def _arguments(kind: str, text: str, brackets: str) -> dict[str, Any]:
    try:
        call = ast.parse(f"f{brackets}", mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.args:
            raise ValueError
        return {str(each.arg): _plain(ast.literal_eval(each.value)) for each in call.keywords if each.arg or _refuse()}
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        raise ValueError(
            f"{kind}: the arguments of {text!r} cannot be read: they are names with plain values, as sgd(momentum=0.9)."
        ) from None


def _refuse() -> bool:
    raise ValueError


def _plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _plain(each) for key, each in value.items()}
    if value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise ValueError
