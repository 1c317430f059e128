"""Moving what layers, optimizers and metrics hold to another backend, in place."""

from __future__ import annotations

import functools
import types
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from tinygrad_dnn import backend as backends
from tinygrad_dnn import nested
from tinygrad_dnn.graph import state as graph_state
from tinygrad_dnn.layers.holding import _NOT_OWN
from tinygrad_dnn.ops.random import SeedGenerator
from tinygrad_dnn.tensor import Tensor, assigned_now

if TYPE_CHECKING:
    from tinygrad_dnn.layers.base import Layer

_PLAIN = frozenset({type(None), bool, int, float, str, bytes, type, types.FunctionType})


def held_by(roots: Iterable[Any]) -> Iterator[Tensor]:
    """Yield the Tensors that things hold, each once: by attributes of plugins, and in lists, tuples, dicts and sets.

    A plugin is what has ``get_config``: a layer, optimizer, metric, loss, schedule, regularizer. What a Tensor was
    computed from is not followed, nor what was computed is yielded: it is the trace of a call.

    Example:
        >>> dense = td.layers.Dense(2, name="units")
        >>> dense.build((None, 3))
        >>> [tensor.path for tensor in td.layers.moving.held_by([dense])]
        ['units/kernel', 'units/bias']
    """
    seen: set[int] = set()
    pending = [*roots][::-1]
    while pending:
        value = pending.pop()
        if type(value) in _PLAIN or id(value) in seen:
            continue
        seen.add(id(value))
        inside: list[Any] = []
        if isinstance(value, Tensor):
            if value.is_leaf:
                yield value
        elif isinstance(value, dict):
            inside = [*value.values()]
        elif isinstance(value, (list, tuple, set, frozenset)):
            inside = [*value]
        elif isinstance(value, functools.partial):
            inside = [value.func, value.args, value.keywords]
        elif isinstance(value, SeedGenerator) or hasattr(type(value), "get_config"):
            inside = [part for key, part in vars(value).items() if key not in _NOT_OWN]
        pending.extend(reversed(inside))


def move(roots: Iterable[Any], where: str) -> None:
    """Bring what things hold to another backend or device, gradients too; what cannot be brought leaves all in place.

    Args:
        roots: Layers, optimizers and the like, or lists, tuples and dicts of them.
        where: "numpy", "cupy", "strict", or with a device, "cupy:1".

    Raises:
        ValueError: No backend has that name, or it has no such device.
        RuntimeError: Its library cannot be used here.

    Example:
        >>> layer = td.layers.Dense(2, input_shape=(3,))
        >>> layer.build((None, 3))
        >>> td.layers.moving.move([layer], "strict")
        >>> layer.kernel.backend.name
        'strict'
    """
    target, number = backends.placed(where)
    new = []
    for tensor in held_by(roots):
        grad = tensor._grad
        array = backends.moved(tensor.data, target, number)
        new.append((tensor, array, None if grad is None else backends.moved(grad.data, target, number)))
    for tensor, array, grad_array in new:
        if array is not tensor.data:
            if graph_state.recorder is not None:
                graph_state.recorder.read(tensor)
            assigned_now(tensor, array)
        if grad_array is not None and tensor._grad is not None and grad_array is not tensor._grad.data:
            tensor.grad = Tensor._wrap(grad_array)


def apart(layer: Layer, inputs: Any) -> str | None:
    """Return the sentence that says so where a layer's weights are on another backend than its inputs, else None."""
    weight = next((w.data for w in layer.weights), None)
    given = next((x.data for x in nested.leaves(inputs) if isinstance(x, Tensor)), None)
    own, other = backends.of(weight), backends.of(given)
    if own is None or other is None or own is other:
        return None
    return (
        f"{layer.name!r} has its weights on backend {own.name!r} and was given inputs on {other.name!r}: call its "
        f".to({other.name!r}), or make the inputs where it is, after td.backend.use({own.name!r})."
    )
