"""The graph of layers between symbolic tensors: which calls it takes, in which order, and running them."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from tinygrad_dnn import nested
from tinygrad_dnn.checks import shown
from tinygrad_dnn.layers import Input, InputLayer, Layer, SymbolicTensor
from tinygrad_dnn.layers.arguments import Shape
from tinygrad_dnn.layers.symbolic import Call

Apply = Callable[..., Any]


class _Value(NamedTuple):
    """Stands in the place of a symbolic tensor: the number of its value among those of a run."""

    number: int


class _Step(NamedTuple):
    """A call of a layer, its symbolic tensors replaced by the numbers of their values."""

    layer: Layer
    inputs: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    shapes: Any
    first: int  # the number of its first output; the others follow
    done_with: tuple[int, ...]  # the values that no later step takes, so that inference need not hold them


class LayerGraph:
    """The calls of layers that lead from some symbolic tensors to others.

    A copy of it, or what pickle restores, has symbolic tensors of its own. It begins where the graph does: for an input
    that another layer has made there is an ``Input`` of that name.

    Args:
        inputs: Symbolic tensors, one or in a list, tuple or dict.
        outputs: Symbolic tensors that were made from them, likewise.
        owner: What errors call the model.

    Attributes:
        input: The inputs as given; of a list or tuple of one, that one, as Keras has it.
        output: The outputs likewise.
        inputs: The inputs, in a list.
        outputs: The outputs, in a list.
        calls: The calls between, each after those it builds on.
        layers: The layers that are called, and those of the inputs, each once, in the order of their first call.

    Raises:
        TypeError: Something in inputs or outputs is no symbolic tensor.
        ValueError: An output depends on an input that is not among them, an input is there twice, or two layers have
            one name.

    Example:
        >>> x = td.Input(shape=(3,))
        >>> double = td.layers.Lambda(lambda x: 2 * x)
        >>> td.models.LayerGraph(x, double(double(x)), "four times").run(np.ones((1, 3), "float32"))
        Tensor([[4., 4., 4.]], dtype=float32)
    """

    def __init__(self, inputs: Any, outputs: Any, owner: str) -> None:
        self.owner = f"model {owner!r}"
        self.input, self.output = _without_list_of_one(inputs), _without_list_of_one(outputs)
        self.inputs = self._symbolic("inputs", inputs)
        self.outputs = self._symbolic("outputs", outputs)
        keys = [x.key for x in self.inputs]
        for x in self.inputs:
            if keys.count(x.key) > 1:
                raise ValueError(f"{self.owner}: the input {x.name!r} is given twice: give each once.")
        self.calls = self._calls_between()
        heads = [x.call for x in self.inputs if isinstance(x.call.layer, InputLayer)]
        ordered = sorted([*heads, *self.calls], key=lambda call: call.stamp)
        self.layers: list[Layer] = list({id(call.layer): call.layer for call in ordered}.values())
        for name, times in Counter(layer.name for layer in self.layers).items():
            if times > 1:
                raise ValueError(f"{self.owner} has two layers named {name!r}: give each another name.")
        self._plan()

    def _symbolic(self, argument: str, given: Any) -> list[SymbolicTensor]:
        found = list(nested.leaves(given))
        for x in found:
            if not isinstance(x, SymbolicTensor):
                raise TypeError(
                    f"{self.owner}: {argument} must be what Input and layers called on it return, not {shown(x)}."
                )
        if not found:
            raise ValueError(f"{self.owner}: {argument} is empty: give at least one symbolic tensor.")
        return found

    def _calls_between(self) -> list[Call]:
        known = {x.key for x in self.inputs}
        calls: dict[int, Call] = {}
        pending = list(self.outputs)
        while pending:
            x = pending.pop()
            if x.key in known or id(x.call) in calls:
                continue
            if isinstance(x.call.layer, InputLayer):
                raise ValueError(
                    f"{self.owner}: an output depends on the Input {x.name!r}, which is not among the inputs "
                    f"{[x.name for x in self.inputs]}: add it there."
                )
            calls[id(x.call)] = x.call
            pending.extend(x.call.sources)
        return sorted(calls.values(), key=lambda call: call.stamp)

    def _plan(self) -> None:
        """Number the values of a run: the inputs, and what each call gives."""
        numbers = {x.key: number for number, x in enumerate(self.inputs)}
        first = []
        self._values = len(numbers)
        for call in self.calls:
            first.append(self._values)
            for x in nested.leaves(call.outputs):
                numbers.setdefault(x.key, self._values)  # where one of the call's outputs is an input, that is taken
                self._values += 1

        def numbered(x: Any) -> Any:
            return _Value(numbers[x.key]) if isinstance(x, SymbolicTensor) else x

        self._results = _map(numbered, self.output)
        needed = {numbers[x.key] for x in self.outputs}
        self._steps: list[_Step] = []
        for call, start in zip(reversed(self.calls), reversed(first), strict=True):
            sources = {numbers[x.key] for x in call.sources}
            done_with = tuple(sorted(sources - needed))
            needed |= sources
            inputs, args, kwargs = _map(numbered, (call.inputs, call.args, call.kwargs))
            self._steps.append(_Step(call.layer, inputs, args, kwargs, call.shapes, start, done_with))
        self._steps.reverse()

    def __getstate__(self) -> dict[str, Any]:
        # In a row: the calls, each of which holds those before it, would be copied by a recursion as deep as the graph.
        heads = [
            x.call.layer if isinstance(x.call.layer, InputLayer) else (x.shape, x.dtype, x.name) for x in self.inputs
        ]
        numbers = itertools.count()
        structure = nested.map_leaves(lambda x: next(numbers), self.input)
        kept = {key: vars(self)[key] for key in ("owner", "layers", "_results", "_steps", "_values")}
        return {**kept, "heads": heads, "structure": structure}

    def __setstate__(self, state: dict[str, Any]) -> None:
        heads, structure = state.pop("heads"), state.pop("structure")
        vars(self).update(state)
        self.inputs = [
            head.output if isinstance(head, InputLayer) else Input(batch_shape=head[0], dtype=head[1], name=head[2])
            for head in heads
        ]
        self.input = nested.map_leaves(lambda number: self.inputs[number], structure)
        values: list[Any] = [*self.inputs]
        self.calls = []
        for step in self._steps:
            inputs, args, kwargs = _in_place((step.inputs, step.args, step.kwargs), values)
            self.calls.append(Call(step.layer, inputs, args, kwargs, step.shapes))
            values.extend(nested.leaves(self.calls[-1].outputs))
        self.output = _in_place(self._results, values)
        self.outputs = list(nested.leaves(self.output))

    def run(self, inputs: Any, apply: Apply | None = None) -> Any:
        """Return what the layers make of inputs.

        Args:
            inputs: As many as the graph has, in its form; where that is a list, by the inputs' names in a dict too.
            apply: Called as ``apply(layer, inputs, *args, **kwargs)`` in the place of each layer, where something else
                than Tensors is sent through the graph.

        Raises:
            ValueError: Their number, names or shapes differ.
        """
        given = self._in_order(inputs)
        if apply is None:
            for x, value in zip(self.inputs, given, strict=True):
                check_input(self.owner if len(given) == 1 else f"{self.owner}, input {x.name!r}", x.shape, value)
        values: list[Any] = [*given, *[None] * (self._values - len(given))]
        for layer, inputs, args, kwargs, _, first, done_with in self._steps:
            arguments = values[inputs.number] if type(inputs) is _Value else _in_place(inputs, values)
            if args or kwargs:
                args, kwargs = _in_place((args, kwargs), values)
            made = layer(arguments, *args, **kwargs) if apply is None else apply(layer, arguments, *args, **kwargs)
            for number, value in enumerate(nested.leaves(made), first):
                values[number] = value
            for number in done_with:
                values[number] = None
        return _in_place(self._results, values)

    def output_shapes(self) -> dict[str, Any]:
        """Return what shape each layer gives, by its name; a layer that is called several times, at its first call.

        Example:
            >>> x = td.Input(shape=(3,), name="x")
            >>> td.Model(x, td.layers.Dense(2, name="d")(x))._graph.output_shapes()
            {'x': (None, 3), 'd': (None, 2)}
        """
        shapes: dict[str, Any] = {x.name: x.shape for x in self.inputs}
        for call in self.calls:
            shapes.setdefault(call.layer.name, call.shapes)
        return shapes

    def connections(self) -> dict[str, str]:
        """Return what each layer is connected to, a line for each of its calls; nothing where they stand in a row.

        Example:
            >>> x = td.Input(shape=(3,), name="x")
            >>> inner = td.layers.Dense(3, name="inner")(x)
            >>> td.Model(x, td.layers.Add(name="sum")([x, inner]))._graph.connections()
            {'inner': 'x', 'sum': 'x, inner'}
        """
        before, in_a_row = self.inputs, len(self.inputs) == 1
        lines: dict[str, list[str]] = {}
        for call in self.calls:
            in_a_row = in_a_row and [x.key for x in call.sources] == [x.key for x in before]
            before = list(nested.leaves(call.outputs))
            lines.setdefault(call.layer.name, []).append(", ".join(x.name for x in call.sources))
        return {} if in_a_row else {name: "\n".join(calls) for name, calls in lines.items()}

    def _in_order(self, inputs: Any) -> list[Any]:
        """Return the inputs in a list, in the graph's order."""
        if isinstance(inputs, dict):
            names = list(self.input) if isinstance(self.input, dict) else [x.name for x in self.inputs]
            if set(names) != set(inputs):
                raise ValueError(f"{self.owner} takes the inputs {names} by name, and got {list(inputs)}.")
            inputs = [inputs[name] for name in names]
        given = list(nested.leaves(inputs))
        if len(given) != len(self.inputs):
            names = [x.name for x in self.inputs]
            takes = f"one input, {names[0]!r}" if len(names) == 1 else f"{len(names)} inputs, {names}"
            raise ValueError(f"{self.owner} takes {takes}, and got {len(given)}.")
        return given


def _map(function: Callable[[Any], Any], structure: Any) -> Any:
    return nested.map_leaves(function, structure, leaf=lambda x: isinstance(x, _Value))


def _in_place(structure: Any, values: list[Any]) -> Any:
    """Return a structure with values in the place of their numbers."""
    return _map(lambda x: values[x.number] if isinstance(x, _Value) else x, structure)


def _without_list_of_one(structure: Any) -> Any:
    return structure[0] if isinstance(structure, (list, tuple)) and len(structure) == 1 else structure


def check_input(owner: str, expected: Shape, value: Any) -> None:
    """Raise ValueError unless a Tensor has the shape that a model expects, its first length aside.

    Example:
        >>> td.models.graph.check_input("the model", (None, 2), td.ones((5, 2)))
    """
    got = value.shape[1:]
    if len(got) != len(expected) - 1 or any(e not in (None, g) for e, g in zip(expected[1:], got, strict=True)):
        raise ValueError(
            f"{owner} takes inputs of shape {expected} and got {value.shape}: the first axis is the batch."
        )
