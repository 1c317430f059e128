"""Reverse-mode differentiation over the recorded graph: iterative, and of any order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

from tinygrad_dnn import ops
from tinygrad_dnn.graph import GradMode, Primitive, is_grad_enabled, modes
from tinygrad_dnn.ops.shape import RESHAPE
from tinygrad_dnn.tensor import Tensor, apply, as_tensor


class _Depth(threading.local):
    """How many functional gradients of this thread are being taken inside one another."""

    value: int = 0


_depth = _Depth()
modes.append(lambda: _depth.value > 0)


def _freed(xp: Any) -> Any:
    raise AssertionError


# Stands where a graph was recorded and has been given back after a backward pass.
_FREED = Primitive("freed", _freed)


def is_freed(x: Tensor) -> bool:
    """Tell whether the graph that a Tensor was computed by has been given back."""
    return x._primitive is _FREED


def _graph(outputs: Sequence[Tensor]) -> list[Tensor]:
    """Return the Tensors that ``outputs`` were computed from by recorded operations, the latest first."""
    seen = {id(t): t for t in outputs}
    stack = list(seen.values())
    while stack:
        for x in stack.pop()._inputs:
            if isinstance(x, Tensor) and x._requires_grad and id(x) not in seen:
                seen[id(x)] = x
                stack.append(x)
    return sorted((t for t in seen.values() if t._primitive is not None), key=lambda t: t._serial, reverse=True)


def _leading_to(targets: Sequence[Tensor], graph: list[Tensor]) -> set[int]:
    """Return the ids of the Tensors through which a gradient reaches ``targets``."""
    wanted = {id(t) for t in targets}
    for t in reversed(graph):
        if any(id(x) in wanted for x in t._inputs):
            wanted.add(id(t))
    return wanted


def _vjp(t: Tensor, position: int, g: Tensor) -> Tensor:
    """Return the part of ``t``'s gradient ``g`` that belongs to its input at ``position``."""
    primitive = t._primitive
    assert primitive is not None
    names = primitive.input_names
    function, parameters = primitive.vjps[names[position] if position < len(names) else primitive.variadic]
    arguments: list[Any] = []
    for name in parameters:
        if name == "g":
            arguments.append(g)
        elif name == "out":
            arguments.append(_current(t, t, primitive))
        elif name in names:
            arguments.append(_current(t._inputs[names.index(name)], t, primitive))
        elif t._attributes is not None and name in t._attributes:
            arguments.append(t._attributes[name])
        elif name.endswith("_shape"):
            arguments.append(t._inputs[names.index(name[: -len("_shape")])].shape)
        elif name == "i":
            arguments.append(position - len(names))
        elif name.endswith("_shapes"):
            arguments.append([x.shape for x in t._inputs[len(names) :]])
        else:
            arguments.append(tuple(_current(x, t, primitive) for x in t._inputs[len(names) :]))
    return function(*arguments)


def _current(x: Any, t: Tensor, primitive: Primitive) -> Any:
    """Return a value that the backward pass needs, if it is still the one that the forward pass saw."""
    if isinstance(x, Tensor) and x._assigned > t._serial:
        name = getattr(x, "path", None)
        raise RuntimeError(
            f"the backward pass of {primitive.name} needs the value that {repr(name) if name else 'a Tensor'} of shape "
            f"{x.shape} had in the forward pass, but it was assigned to since: call backward before changing it, or "
            "use x = x + y instead of an in-place edit."
        )
    return x


def _of_inputs(t: Tensor, g: Tensor, wanted: set[int] | None, targeted: set[int]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield each input of ``t`` that a gradient is wanted for, with its part of ``t``'s gradient ``g``."""
    primitive = t._primitive
    assert primitive is not None
    for position, x in enumerate(t._inputs):
        if not isinstance(x, Tensor) or not x._requires_grad or (wanted is not None and id(x) not in wanted):
            continue
        if x._primitive is not None and t._serial > x._assigned > x._serial and id(x) not in targeted:
            continue  # t used what x was assigned, not what it was computed as
        gx = _vjp(t, position, g)
        if primitive.broadcasts and gx.data.shape != x.data.shape:
            gx = ops.sum_to(gx, x.shape)
        if gx.data.dtype != x.data.dtype:
            gx = ops.cast(gx, x.dtype)
        yield x, gx


def _accumulate(
    outputs: Sequence[Tensor],
    gradients: Sequence[Tensor],
    targets: Sequence[Tensor] | None,
    retain_graph: bool,
    create_graph: bool,
) -> dict[int, tuple[Tensor, Tensor]]:
    """Carry ``gradients`` of ``outputs`` backward; return (Tensor, gradient) of each target (each leaf) by id."""
    graph = _graph(outputs)
    if any(t._primitive is _FREED for t in graph):
        raise RuntimeError(
            "this graph was freed by an earlier backward pass: pass retain_graph=True to that one to go again."
        )
    wanted = None if targets is None else _leading_to(targets, graph)
    targeted = set() if targets is None else {id(t) for t in targets}
    passed: dict[int, Tensor] = {}
    found: dict[int, tuple[Tensor, Tensor]] = {}
    pending: dict[int, Tensor] = {}

    def receive(x: Tensor, g: Tensor) -> None:
        held = pending.get(id(x))
        pending[id(x)] = g if held is None else held + g
        if x._primitive is None or id(x) in targeted:
            found[id(x)] = (x, pending[id(x)])

    with GradMode(create_graph):
        for t, g in zip(outputs, gradients, strict=True):
            receive(t, g)
        for t in graph:
            if id(t) in pending:
                g = pending.pop(id(t))
                for x, gx in _of_inputs(t, g, wanted, targeted):
                    passed[id(t)] = t
                    receive(x, gx)
    if not retain_graph:
        for t in passed.values():
            t._primitive, t._inputs, t._attributes = _FREED, (), None
    return found


def backward(
    output: Tensor, gradient: Tensor | None = None, retain_graph: bool | None = None, create_graph: bool = False
) -> None:
    """Accumulate the gradient of ``output`` into ``grad`` of every leaf; see ``Tensor.backward``."""
    _require_history(output)
    start = _start(output, gradient)
    leaves = _accumulate([output], [start], None, _retain(retain_graph, create_graph), create_graph)
    with GradMode(create_graph):
        for leaf, g in leaves.values():
            leaf.grad = _own(g, create_graph) if leaf.grad is None else leaf.grad + g


def _own(g: Tensor, create_graph: bool) -> Tensor:
    """Return a gradient that nobody else holds: x + y hands one Tensor to both, and each may be edited in place."""
    return g if create_graph and g.requires_grad else g.detach()


def _retain(retain_graph: bool | None, create_graph: bool) -> bool:
    return create_graph if retain_graph is None else retain_graph


def _require_history(output: Tensor) -> None:
    if not output.requires_grad:
        raise RuntimeError(
            "no gradient can be taken: the Tensor was not computed from one with requires_grad=True, "
            "or it was computed inside td.no_grad()."
        )
    if output._primitive is not None and output._assigned > output._serial:
        raise RuntimeError("no gradient can be taken: the Tensor was assigned a new value after it was computed.")


def _start(output: Tensor, gradient: Tensor | None) -> Tensor:
    if gradient is None:
        if output.size != 1:
            raise ValueError(
                f"the gradient of a Tensor of shape {output.shape} needs the gradient to start from: "
                "reduce it to one number first (by .sum() or .mean()), or pass gradient=."
            )
        return ops.ones_like(output)
    gradient = as_tensor(gradient, like=output)
    if gradient.shape != output.shape:
        raise ValueError(f"the gradient has shape {gradient.shape}, the Tensor it belongs to {output.shape}.")
    return ops.cast(gradient, output.dtype)


def _gradients(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor] | None,
    retain_graph: bool | None,
    create_graph: bool,
    allow_unused: bool,
) -> Any:
    outs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    ins = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    given: list[Any]
    if isinstance(outputs, Tensor) or grad_outputs is None:
        given = [grad_outputs] * len(outs)
    else:
        given = list(grad_outputs)
    if len(given) != len(outs):
        raise ValueError(f"{len(given)} gradients to start from were given for {len(outs)} outputs.")
    for t in outs:
        _require_history(t)
    starts = [_start(t, g) for t, g in zip(outs, given, strict=True)]
    found = _accumulate(outs, starts, ins, _retain(retain_graph, create_graph), create_graph)
    result: list[Tensor | None] = []
    for i, x in enumerate(ins):
        if id(x) in found:
            result.append(_own(found[id(x)][1], create_graph))
        elif allow_unused:
            result.append(None)
        else:
            name = getattr(x, "path", None)
            raise RuntimeError(
                f"input {i}{f' ({name})' if name else ''} of shape {x.shape} was not used to compute the outputs, or "
                "does not require a gradient: leave it out, or pass allow_unused=True to get None for it."
            )
    return result[0] if isinstance(inputs, Tensor) else result


@overload
def grad(
    target: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> Any: ...


@overload
def grad(target: Callable[..., Tensor], inputs: int | Sequence[int] = 0) -> Callable[..., Any]: ...


def grad(
    target: Any,
    inputs: Any = 0,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> Any:
    """Take gradients of Tensors with respect to Tensors, or turn a function into one that returns its gradient.

    ``grad(outputs, inputs)`` returns the gradient of (the sum of) ``outputs`` for each of ``inputs``, in their
    structure, and leaves every ``.grad`` alone. ``grad(f, argnums)`` returns a function of the same arguments that
    returns the gradient of f's single number for the argument at ``argnums`` (several: a tuple); an argument may be a
    nested list, tuple or dict of Tensors or arrays, and the result then has its structure. Both nest to any order:
    what f uses besides its arguments may require a gradient, and the result then carries that history.

    Args:
        target: A Tensor, several, or a function that returns a Tensor of one element.
        inputs: The Tensors to differentiate by; for a function, the positions of its arguments.
        grad_outputs: The gradient to start from for each output; one by default, for outputs of one element.
        retain_graph: Keep the graph for another pass; by default as ``create_graph``.
        create_graph: Record the pass, so that the gradients can be differentiated.
        allow_unused: Return None for an input that the outputs do not depend on instead of raising.

    Raises:
        ValueError: An output has more than one element and no gradient to start from, or shapes differ, or there is
            no argument at one of the positions.
        TypeError: f returns no Tensor.
        RuntimeError: There is nothing to differentiate, or a value needed was assigned to since.

    Example:
        >>> cube = lambda x: x ** 3
        >>> td.grad(cube)(2.0), td.grad(td.grad(cube))(2.0)
        (Tensor(12., dtype=float32), Tensor(12., dtype=float32))
        >>> w = td.tensor(3.0, requires_grad=True)
        >>> td.grad(w * w, w)
        Tensor(6., dtype=float32)
    """
    if not isinstance(target, Tensor) and callable(target):
        both = value_and_grad(target, inputs)
        return lambda *args, **kwargs: both(*args, **kwargs)[1]
    return _gradients(target, inputs, grad_outputs, retain_graph, create_graph, allow_unused)


def value_and_grad(f: Callable[..., Tensor], argnums: int | Sequence[int] = 0) -> Callable[..., tuple[Tensor, Any]]:
    """Turn a function into one that returns its value and its gradient; see ``grad``.

    Args:
        f: A function that returns a Tensor of one element.
        argnums: The position or positions of the arguments to differentiate by.

    Raises:
        ValueError: f's result has more than one element, or there is no argument at one of the positions.
        TypeError: f returns no Tensor.

    Example:
        >>> td.value_and_grad(lambda x: x * x)(3.0)
        (Tensor(9., dtype=float32), Tensor(6., dtype=float32))
    """
    positions = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    def differentiated(*args: Any, **kwargs: Any) -> tuple[Tensor, Any]:
        if not all(0 <= i < len(args) for i in positions):
            raise ValueError(f"a gradient for the arguments at {positions} was asked for, and {len(args)} were given.")
        arguments = [_map(ops.floating, a) if i in positions else a for i, a in enumerate(args)]
        given = [x for i in sorted(set(positions)) for x in _leaves(arguments[i])]
        recording = is_grad_enabled()
        create_graph = recording and (_depth.value > 0 or any(x.requires_grad and not x.is_leaf for x in given))
        leaves = [_as_variable(x, create_graph) for x in given]
        remaining = iter(leaves)
        arguments = [_map(lambda _: next(remaining), a) if i in positions else a for i, a in enumerate(arguments)]
        _depth.value += 1
        try:
            with GradMode(True):
                value = f(*arguments, **kwargs)
                if not isinstance(value, Tensor):
                    name = getattr(f, "__name__", f)
                    raise TypeError(f"{name!r} has no gradient: it returned {type(value).__name__}, no Tensor.")
                create_graph = create_graph or (recording and _has_other_leaves(value, leaves))
                gradients = _function_gradients(value, leaves, create_graph)
        finally:
            _depth.value -= 1
        for x in leaves:
            if x.is_leaf:
                x._requires_grad = False  # the variable ends with its function: nothing differentiates by it later
        remaining = iter(gradients)
        structures = {i: _map(lambda _: next(remaining), arguments[i]) for i in sorted(set(positions))}
        structured = tuple(structures[i] for i in positions)
        if not create_graph:
            value = value.detach()
        return value, structured[0] if isinstance(argnums, int) else structured

    return differentiated


def _as_variable(x: Tensor, create_graph: bool) -> Tensor:
    """Return what stands for the argument ``x`` inside the function alone, with the history of ``x`` kept if wanted.

    ``x`` itself will not do: the function may also use it as a constant, and it may be two arguments at once.
    """
    if create_graph and x.requires_grad:
        return apply(RESHAPE, (x,), {"shape": x.shape})
    return x.detach().requires_grad_()


def _has_other_leaves(value: Tensor, leaves: Sequence[Tensor]) -> bool:
    """Tell whether ``value`` was computed from other leaves too: what a loss has from them, its gradient has too."""
    known = {id(x) for x in leaves}
    inputs = (x for t in _graph([value]) for x in t._inputs if isinstance(x, Tensor))
    return any(x.requires_grad and x.is_leaf and id(x) not in known for x in inputs)


def _function_gradients(value: Tensor, leaves: Sequence[Tensor], create_graph: bool) -> list[Tensor]:
    """Return the gradient of a function's ``value`` for each of ``leaves``, zeros where it does not depend on one."""
    if not value.requires_grad:
        _start(value, None)  # a constant must have one element too
        return [ops.zeros_like(x) for x in leaves]
    # What else the graph belongs to is still needed, and what is this value's alone goes with it.
    found = _gradients(value, leaves, None, True, create_graph, allow_unused=True)
    return [ops.zeros_like(x) if g is None else g for x, g in zip(leaves, found, strict=True)]


def _leaves(structure: Any) -> list[Any]:
    """Return the leaves of nested lists, tuples and dicts in the order of ``_map``."""
    found: list[Any] = []
    _map(found.append, structure)
    return found


def _map(function: Callable[[Any], Any], structure: Any) -> Any:
    """Apply ``function`` to each leaf of nested lists, tuples and dicts; lists of plain numbers are leaves."""
    if isinstance(structure, dict):
        return {key: _map(function, value) for key, value in structure.items()}
    if isinstance(structure, (list, tuple)) and any(not isinstance(value, (int, float)) for value in structure):
        return type(structure)(_map(function, value) for value in structure)
    return function(structure)
