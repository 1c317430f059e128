"""Calls: the arguments of a jitted function, what tells apart calls of different programs, and a program's answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from tinygrad_dnn import backend as backends
from tinygrad_dnn import nested
from tinygrad_dnn.graph import modes, state
from tinygrad_dnn.jit.program import exact
from tinygrad_dnn.jit.recording import CannotRecordError, Given, Output, Recording
from tinygrad_dnn.jit.whole import Whole
from tinygrad_dnn.tensor import Tensor, Variable, assigned_now

Run: TypeAlias = Callable[[Sequence[Any]], list[Any]]


class Call:
    """The arguments of a call, and what tells calls of different programs apart.

    Attributes:
        args, kwargs: As given.
        given: The Tensors and arrays that are inputs of the program, in order.
        tensors: The same as Tensors.
        objects: Those whose attributes the function may read.
        key: The signature.
    """

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.args, self.kwargs = args, kwargs
        self.given: list[Any] = []
        self.tensors: list[Tensor] = []
        self.objects: list[Any] = []
        self.key = (
            self._signature((args, kwargs)), state.grad_enabled, backends.floatx(), backends.current().name,
            *[mode() for mode in modes],
        )  # fmt: skip

    def _signature(self, x: Any) -> Any:
        kind = type(x)
        if isinstance(x, (list, tuple)):
            return kind, *map(self._signature, x)
        if isinstance(x, dict):
            return kind, *[(exact(key), self._signature(part)) for key, part in x.items()]
        if _is_input(x):
            places = [number for number, other in enumerate(self.given) if other is x] if self.given else ()
            self.given.append(x)
            if isinstance(x, np.ndarray):
                x = Tensor._wrap(backends.current().from_host(x))
            self.tensors.append(x)
            data, logits = x.data, x._logits
            place: Any = type(data)
            if place is not np.ndarray:
                place = place, x.backend.device_of(data)
            signature = kind, data.shape, data.dtype, place, x._requires_grad, x._primitive is None, *places
            return signature if logits is None else (signature, logits[0], self._signature(logits[1]))
        described = exact(x)
        if described == (kind, id(x)):
            self.objects.append(x)
        return described

    def run(self, function: Callable[..., Any], tensors: Sequence[Tensor]) -> Any:
        """Call the function with other Tensors in the places of the inputs."""
        waiting = iter(tensors)
        known: dict[int, Tensor] = {}

        def other(x: Any) -> Any:
            if not _is_input(x):
                return x
            own = known.setdefault(id(x), next(waiting))
            if isinstance(x, Tensor) and x._logits is not None:
                own._logits = x._logits[0], other(x._logits[1])
            return own

        args, kwargs = nested.map_leaves(other, (self.args, self.kwargs))
        before = [*nested.leaves((args, kwargs))]
        returned = function(*args, **kwargs)
        after = [*nested.leaves((args, kwargs))]
        if len(before) != len(after) or any(a is not b for a, b in zip(before, after, strict=True)):
            raise CannotRecordError("it changes a list or dict among its arguments")
        return returned

    def answer(self, recording: Recording, run: Run) -> Any:
        """Run a program, and return what the function would have returned."""
        with Whole():
            outputs = run([tensor.data for tensor in self.tensors])
            for number, output in recording.assigned:
                assigned_now(self.tensors[number], outputs[output])

        def returned(x: Any) -> Any:
            if type(x) is Given:
                return self.given[x.number]
            if type(x) is not Output:
                return x
            out = Tensor._wrap(outputs[x.number])
            out._requires_grad = x.requires_grad
            if x.logits is not None:
                out._logits = x.logits[0], Tensor._wrap(outputs[x.logits[1]])
            return out

        for attributes, key, value in recording.left:
            attributes.put(key, nested.map_leaves(returned, value))
        return nested.map_leaves(returned, recording.result)


def _is_input(x: Any) -> bool:
    """Tell whether an argument is an input of the program; a Variable is not: it is state."""
    if isinstance(x, np.ndarray):
        return x.dtype.kind in "fiub" and x.dtype.itemsize <= 8
    return isinstance(x, Tensor) and not isinstance(x, Variable)
