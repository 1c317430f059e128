"""Configurations as JSON and back: plain values as they are, arrays beside them, functions by their names.

What JSON has not is an object with the one key "$": {"$": ["tuple", 1, 2]}, and so for numbers that are not finite,
dicts with keys that are no texts, arrays, functions and registered objects. A function is named by the registry that
knows it, by "ops" for one of ``td.ops``, or by "custom" for one that a custom object must stand for: never by a module.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tinygrad_dnn import ops, registry
from tinygrad_dnn.registration import shown
from tinygrad_dnn.saving import text
from tinygrad_dnn.saving.errors import FileError
from tinygrad_dnn.tensor import Tensor, as_tensor

TAG = "$"
CONSTANTS = "@constants/"


class Encoder:
    """Turns configurations into JSON's values, and keeps the arrays among them.

    Args:
        node: What a layer or another object of the caller's becomes, or None where it is none of those.

    Attributes:
        arrays: The arrays by the names that stand in their place.
        custom: The names of functions that a custom object must stand for.

    Example:
        >>> encoder = td.saving.values.Encoder()
        >>> encoder.encode({"shape": (2, 3), "limit": float("inf"), "function": td.exp}, "layer 'a'")
        {'shape': {'$': ['tuple', 2, 3]}, 'limit': {'$': ['float', 'inf']}, 'function': {'$': ['ops', 'exp']}}
    """

    def __init__(self, node: Callable[[Any], Any] = lambda value: None) -> None:
        self.arrays: dict[str, np.ndarray[Any, Any]] = {}
        self.custom: list[str] = []
        self._node = node

    def encode(self, value: Any, owner: str) -> Any:
        """Return a value as JSON has it.

        Raises:
            ValueError: It cannot be written; ``owner`` is whose it is, for the message.
        """
        if value is None or isinstance(value, (bool, str)) or type(value) is int:
            return value
        if isinstance(value, (float, np.generic)):
            return self._number(value, owner)
        if isinstance(value, (Tensor, np.ndarray)):
            return self._array(value)
        if isinstance(value, dict):
            return self._dict(value, owner)
        if isinstance(value, list):
            return [self.encode(part, owner) for part in value]
        if isinstance(value, tuple):
            return {TAG: ["tuple", *(self.encode(part, owner) for part in value)]}
        if isinstance(value, np.dtype):
            return value.name
        node = self._node(value)
        if node is not None:
            return node
        return self._named(value, owner)

    def _number(self, value: Any, owner: str) -> Any:
        number = value.item() if isinstance(value, np.generic) else float(value)
        if not isinstance(number, float):
            return self.encode(number, owner)
        spelt = text.spelt(number)
        return number if spelt is None else {TAG: ["float", spelt]}

    def _array(self, value: Any) -> Any:
        name = f"{CONSTANTS}{len(self.arrays)}"
        self.arrays[name] = value.numpy() if isinstance(value, Tensor) else value
        return {TAG: ["tensor" if isinstance(value, Tensor) else "array", name]}

    def _dict(self, value: dict[Any, Any], owner: str) -> Any:
        if TAG not in value and all(isinstance(key, str) for key in value):
            return {key: self.encode(part, owner) for key, part in value.items()}
        return {TAG: ["dict", *([self.encode(key, owner), self.encode(part, owner)] for key, part in value.items())]}

    def _named(self, value: Any, owner: str) -> Any:
        """Return what stands for a function, or for an object of a registered class."""
        if isinstance(value, functools.partial) and not value.args:
            return {TAG: ["partial", self._named(value.func, owner), self.encode(dict(value.keywords), owner)]}
        name = getattr(value, "__name__", "")
        if name in ops.__all__ and getattr(ops, name) is value:
            return {TAG: ["ops", name]}
        for names in registry.REGISTRIES:
            if names.holds(value if callable(value) and name else type(value)) and not isinstance(value, type):
                return {TAG: ["registered", names.kind, self.encode(names.serialize(value), owner)]}
        if not callable(value):
            raise ValueError(f"{owner} cannot be saved: its configuration has {shown(value)}, which no file can hold.")
        if not name.isidentifier():
            raise ValueError(
                f"{owner} cannot be saved: {shown(value)} has no name that a file could give: define it by def, and "
                "give it to load_model in custom_objects, or register it; save_weights(path) keeps the weights alone."
            )
        self.custom.append(name)
        return {TAG: ["custom", name]}


class Decoder:
    """Turns what an ``Encoder`` wrote into configurations again.

    Args:
        arrays: The arrays by name.
        custom_objects: What the names of functions mean that no registry knows.
        node: What becomes of a tag that is not one of the encoder's own, given its list.

    Example:
        >>> td.saving.values.Decoder({}, {}).decode({"shape": {"$": ["tuple", 2, 3]}})
        {'shape': (2, 3)}
    """

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray[Any, Any]],
        custom_objects: Mapping[str, Any],
        node: Callable[[list[Any]], Any] | None = None,
    ) -> None:
        self._arrays = arrays
        self._custom = custom_objects
        self._node = node

    def decode(self, value: Any) -> Any:
        """Return the value that was encoded.

        Raises:
            FileError: No encoder wrote this, or a name is unknown; the message is what, without a file's name.
        """
        if isinstance(value, list):
            return [self.decode(part) for part in value]
        if not isinstance(value, dict):
            return value
        if TAG not in value:
            return {key: self.decode(part) for key, part in value.items()}
        tagged = value[TAG]
        if len(value) > 1 or not isinstance(tagged, list) or not tagged or not isinstance(tagged[0], str):
            raise FileError(f"it has {shown(value)}, which stands for nothing")
        try:
            return self._tagged(tagged[0], tagged[1:])
        except (IndexError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, (FileError, registry.UnknownNameError)):
                raise
            raise FileError(f"it has {shown(value)}, which stands for nothing") from None

    def _tagged(self, tag: str, parts: list[Any]) -> Any:
        if tag == "tuple":
            return tuple(self.decode(part) for part in parts)
        if tag == "dict":
            return {self.decode(key): self.decode(part) for key, part in parts}
        if tag == "float":
            (spelt,) = parts
            return text.unspelt(spelt)
        if tag in ("array", "tensor"):
            (name,) = parts
            array = self._arrays[name]
            return as_tensor(array) if tag == "tensor" else array
        if tag == "partial":
            function, keywords = parts
            return functools.partial(self.decode(function), **self.decode(keywords))
        if tag == "ops":
            return self._operation(*parts)
        if tag == "registered":
            kind, identifier = parts
            return {names.kind: names for names in registry.REGISTRIES}[kind].get(self.decode(identifier))
        if tag == "custom":
            return self._own(*parts)
        if self._node is None:
            raise ValueError(tag)
        return self._node([tag, *parts])

    def _operation(self, name: str) -> Any:
        if name not in ops.__all__:
            raise FileError(f"it names {name!r:.60}, and td.ops has no such function")
        return getattr(ops, name)

    def _own(self, name: str) -> Any:
        if name not in self._custom:
            raise FileError(
                f"it needs the function {name!r:.60} of the program that saved it: give it in "
                f"custom_objects={{{name!r:.60}: ...}}"
            )
        return self._custom[name]
