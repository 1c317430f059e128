"""Symbolic tensors: what layers will give once their model runs. Calling layers on them draws a graph of layers."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NoReturn

from tinygrad_dnn import nested, registry
from tinygrad_dnn.layers.arguments import Shape, is_shape

if TYPE_CHECKING:
    from tinygrad_dnn.layers.base import Layer

_clock = itertools.count()


def _operator(operation: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the methods of an operator: with the symbolic tensor on the left, and on the right."""

    def applied(*operands: Any) -> Any:
        symbolic = [x for x in operands if isinstance(x, SymbolicTensor)]
        arguments = [None if isinstance(x, SymbolicTensor) else x for x in operands]
        layer = registry.layers.get("operation", operation=operation, arguments=arguments, dtype=widest_float(symbolic))
        return layer(symbolic if len(symbolic) > 1 else symbolic[0])

    return applied, lambda self, other: applied(other, self)


class SymbolicTensor:
    """A Tensor to come: its shape and type, and the call of a layer that will make it; what ``Input`` returns.

    Layers take it as they take a Tensor and give another one. ``+``, ``-``, ``*``, ``/``, ``**``, ``@`` and the sign
    work as they will on the Tensors, also with a number or array on one side (or a Tensor on the right), which then is
    a constant of the graph; for any other function there is the layer ``Lambda``. ``==`` tells whether two are the same
    object.

    Attributes:
        shape: Its lengths, the batch's first; None where a length is not known.
        dtype: The type of its elements, by name.
        name: What errors call it: the name of the layer that makes it.
        call: The call that makes it.
        place: Its number among that call's outputs.

    Example:
        >>> x = td.Input(shape=(3,), name="x")
        >>> (x * 2 + 1).shape
        (None, 3)
        >>> x
        <SymbolicTensor shape=(None, 3), dtype=float32, of 'x'>
    """

    __slots__ = ("call", "dtype", "place", "shape")

    # NumPy's operators hand over to the ones below.
    __array_ufunc__ = None

    def __init__(self, shape: Shape, call: Call, place: int) -> None:
        self.shape = tuple(shape)
        self.dtype = call.layer.compute_dtype
        self.call = call
        self.place = place

    @property
    def key(self) -> tuple[int, int]:
        """What tells it from others, and is the same each time it is asked of its layer: its call and place."""
        return id(self.call), self.place

    @property
    def name(self) -> str:
        """The name of the layer that makes it."""
        return self.call.layer.name

    @property
    def ndim(self) -> int:
        """How many axes it has, the batch's included."""
        return len(self.shape)

    def __repr__(self) -> str:
        return f"<SymbolicTensor shape={self.shape}, dtype={self.dtype}, of {self.name!r}>"

    def _has_no_values(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(
            f"the symbolic tensor of {self.name!r} has a shape {self.shape} and no values yet: call layers on it, and "
            "put any other function into a layer, as td.layers.Lambda(function)."
        )

    __add__, __radd__ = _operator("add")
    __sub__, __rsub__ = _operator("subtract")
    __mul__, __rmul__ = _operator("multiply")
    __truediv__, __rtruediv__ = _operator("divide")
    __pow__, __rpow__ = _operator("power")
    __matmul__, __rmatmul__ = _operator("matmul")
    __neg__, _ = _operator("negative")

    __array__ = __bool__ = __float__ = __int__ = __index__ = __iter__ = __len__ = __getitem__ = __contains__ = (
        _has_no_values
    )
    __lt__ = __le__ = __gt__ = __ge__ = __abs__ = __mod__ = __rmod__ = __floordiv__ = __rfloordiv__ = _has_no_values


class Call:
    """A layer's call on symbolic tensors.

    Attributes:
        layer: The layer.
        inputs: What it is called with: a symbolic tensor, or a list, tuple or dict of them.
        args: Its further arguments by position.
        kwargs: Its further arguments by name.
        shapes: The shape of what it gives, or a list, tuple or dict of them.
        stamp: A number that grows from call to call, so that a call comes after those it builds on.

    Example:
        >>> x = td.Input(shape=(3,))
        >>> td.layers.Flatten(name="flat")(x).call.inputs is x
        True
    """

    # It holds its layer and its inputs, and nothing holds it but what it gives: a model is freed without a search for
    # cycles.
    __slots__ = ("__weakref__", "args", "inputs", "kwargs", "layer", "shapes", "stamp")

    def __init__(self, layer: Layer, inputs: Any, args: tuple[Any, ...], kwargs: dict[str, Any], shapes: Any) -> None:
        self.layer = layer
        self.inputs = inputs
        self.args = args
        self.kwargs = kwargs
        self.shapes = shapes
        self.stamp = next(_clock)
        layer._drawn = [*(ref for ref in layer._drawn if ref() is not None), weakref.ref(self)]

    def __reduce__(self) -> Any:
        # A copy's calls are known to the layers of the copy.
        return Call, (self.layer, self.inputs, self.args, self.kwargs, self.shapes)

    @property
    def outputs(self) -> Any:
        """What it gives: a symbolic tensor, or a list, tuple or dict of them."""
        places = itertools.count()
        return nested.map_leaves(lambda shape: SymbolicTensor(shape, self, next(places)), self.shapes, leaf=is_shape)

    @property
    def sources(self) -> list[SymbolicTensor]:
        """The symbolic tensors among all its arguments."""
        given = nested.leaves((self.inputs, self.args, self.kwargs))
        return [x for x in given if isinstance(x, SymbolicTensor)]


def first_call(layer: Layer) -> Call | None:
    """Return the first of a layer's calls on symbolic tensors that still exist, or None.

    Example:
        >>> x = td.Input(shape=(3,))
        >>> td.layers.symbolic.first_call(x.call.layer) is x.call
        True
    """
    return next((call for ref in layer._drawn if (call := ref()) is not None), None)


def widest_float(tensors: Iterable[SymbolicTensor]) -> str | None:
    """Return the widest floating-point type among symbolic tensors, or None.

    Example:
        >>> x, y = td.Input(shape=(3,)), td.Input(shape=(3,), dtype="float64")
        >>> td.layers.symbolic.widest_float([x, y])
        'float64'
    """
    names = [x.dtype for x in tensors if x.dtype.startswith("float")]
    return max(names, key=lambda name: int(name.removeprefix("float")), default=None)


def symbolic(inputs: Any) -> bool:
    """Tell whether there is a symbolic tensor among inputs."""
    return any(isinstance(x, SymbolicTensor) for x in nested.leaves(inputs))


def connect(layer: Layer, inputs: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a layer on symbolic tensors: build it for their shapes, and return what it will give.

    Raises:
        ValueError: The layer does not take inputs of these shapes.
        TypeError: Something among the inputs is no symbolic tensor.
    """
    for x in nested.leaves(inputs):
        if not isinstance(x, SymbolicTensor):
            raise TypeError(
                f"layer {layer.name!r} is called with symbolic tensors and {type(x).__name__} at once: a constant "
                "joins a graph by an operator, as x + array, or inside a td.layers.Lambda(function)."
            )
    shapes = nested.map_leaves(lambda x: x.shape, inputs)
    if isinstance(shapes, list):
        shapes = tuple(shapes)
    layer.ensure_built(shapes)
    return Call(layer, inputs, args, kwargs, layer.compute_output_shape(shapes)).outputs


class OfFirstCall:
    """An attribute of a layer's first call on symbolic tensors, which an attribute of that name hides.

    Args:
        attribute: The call's attribute.

    Example:
        >>> dense = td.layers.Dense(4)
        >>> _ = dense(td.Input(shape=(3,)))
        >>> dense.input.shape, dense.output.shape
        ((None, 3), (None, 4))
    """

    def __init__(self, attribute: str) -> None:
        self.attribute = attribute

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, layer: Any, owner: type) -> Any:
        if layer is None:
            return self
        call = first_call(layer)
        if call is None:
            raise ValueError(
                f"layer {layer.name!r} has no {self.name}: it was not called on an Input, nor built in a model that "
                "still exists."
            )
        return getattr(call, self.attribute)
