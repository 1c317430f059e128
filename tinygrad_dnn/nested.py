"""Values in lists, tuples and dicts, as the inputs or outputs of a model may be: each in its order, or replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


def _never(value: Any) -> bool:
    return False


def leaves(structure: Any, leaf: Callable[[Any], bool] = _never) -> Iterator[Any]:
    """Yield what lists, tuples and dicts hold, however deep, in their order.

    Args:
        structure: The lists, tuples and dicts; or one value, which is a leaf itself.
        leaf: Tells what is a leaf although it is a list, tuple or dict.

    Example:
        >>> list(td.nested.leaves({"a": 1, "b": [2, (3,)]}))
        [1, 2, 3]
    """
    if not isinstance(structure, (list, tuple, dict)) or leaf(structure):
        yield structure
    else:
        for part in structure.values() if isinstance(structure, dict) else structure:
            yield from leaves(part, leaf)


def map_leaves(
    function: Callable[..., Any], structure: Any, *others: Any, leaf: Callable[[Any], bool] = _never
) -> Any:
    """Return a structure of the same lists, tuples and dicts with the function's value in the place of each leaf.

    Args:
        function: Called with a leaf, and what stands in its place in each of the others.
        structure: The lists, tuples and dicts; or one value, which is a leaf itself.
        others: Structures of the same form.
        leaf: Tells what is a leaf although it is a list, tuple or dict.

    Raises:
        ValueError: A list or tuple of the others has another length.
        KeyError: A dict of the others lacks a key.

    Example:
        >>> td.nested.map_leaves(lambda a, b: a + b, {"a": 1, "b": [2, 3]}, {"a": 10, "b": [20, 30]})
        {'a': 11, 'b': [22, 33]}
    """
    if not isinstance(structure, (list, tuple, dict)) or leaf(structure):
        return function(structure, *others)
    if isinstance(structure, dict):
        return {
            key: map_leaves(function, part, *(other[key] for other in others), leaf=leaf)
            for key, part in structure.items()
        }
    make = getattr(type(structure), "_make", type(structure))  # a named tuple is not made of one list
    return make([map_leaves(function, *parts, leaf=leaf) for parts in zip(structure, *others, strict=True)])


def named_leaves(structure: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield each leaf with what an error calls it: the structure's name and the place in it.

    Example:
        >>> list(td.nested.named_leaves({"a": 1, "b": [2, 3]}, "x"))
        [("x['a']", 1), ("x['b'][0]", 2), ("x['b'][1]", 3)]
    """
    if not isinstance(structure, (list, tuple, dict)):
        yield name, structure
    else:
        for key, part in structure.items() if isinstance(structure, dict) else enumerate(structure):
            yield from named_leaves(part, f"{name}[{key!r}]")


def first(structure: Any) -> Any:
    """Return the first leaf.

    Raises:
        ValueError: There is none.

    Example:
        >>> td.nested.first([(), {"a": 7}])
        7
    """
    for leaf in leaves(structure):
        return leaf
    raise ValueError("an empty list, tuple or dict holds no value.")
