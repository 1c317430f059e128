"""Layers that apply a function: Lambda, any of the user's; Operation, one of the package's own."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from tinygrad_dnn import nested, ops
from tinygrad_dnn.checks import as_list, as_name
from tinygrad_dnn.layers.arguments import as_shape, unique_name
from tinygrad_dnn.layers.base import Layer
from tinygrad_dnn.tensor import Tensor


class Lambda(Layer):
    """Apply a function of Tensors that needs no weights.

    Args:
        function: Called with the inputs; with ``training`` as well if it has such a parameter.
        output_shape: The shape of a sample that it gives, or a function of the inputs' shape that returns the
            outputs', the batch's length first; by default it is found by a run on zeros.
        arguments: Further arguments of the function, by name.
        **kwargs: Those of ``Layer``.

    Raises:
        TypeError: The function cannot be called.

    Example:
        >>> td.layers.Lambda(lambda x: x**2)(np.array([[2.0, 3.0]]))
        Tensor([[4., 9.]], dtype=float32)
    """

    def __init__(
        self,
        function: Callable[..., Any],
        output_shape: Sequence[int | None] | Callable[[Any], Any] | None = None,
        *,
        arguments: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not callable(function):
            raise TypeError(f"Lambda {self.name!r}: the function must be one, not {function!r}.")
        self.function = function
        if output_shape is not None and not callable(output_shape):
            output_shape = as_shape(output_shape, f"Lambda {self.name!r}: output_shape")
        self.given_output_shape = output_shape
        if arguments is not None and not isinstance(arguments, dict):
            raise TypeError(f"Lambda {self.name!r}: arguments must be a dict or None, not {arguments!r}.")
        self.arguments = dict(arguments or {})
        try:
            parameters = inspect.signature(function).parameters
        except ValueError:  # some functions written in C do not tell
            parameters = {}  # type: ignore[assignment]
        self._wants_training = "training" in parameters

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return what the function makes of the inputs."""
        if self._wants_training:
            return self.function(inputs, training=training, **self.arguments)
        return self.function(inputs, **self.arguments)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape that was said, or that of a run on zeros."""
        if self.given_output_shape is None:
            return super().compute_output_shape(input_shape)
        if callable(self.given_output_shape):
            return self.given_output_shape(input_shape)
        return (nested.first(input_shape), *self.given_output_shape)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one; the function is itself."""
        return {
            **super().get_config(),
            "function": self.function,
            "output_shape": self.given_output_shape,
            "arguments": dict(self.arguments),
        }


class Operation(Layer):
    """Apply one of the package's functions by name; what an operator between symbolic tensors becomes.

    Args:
        operation: The function's name in ``td.ops``, as "add".
        arguments: What it is called with, None in the place of each input; by default the inputs alone.
        **kwargs: Those of ``Layer``; its name is by default that of the function, numbered.

    Raises:
        ValueError: There is no such function.

    Example:
        >>> td.layers.Operation("subtract", [1.0, None])(np.array([[0.25, 0.5]]))
        Tensor([[0.75, 0.5 ]], dtype=float32)
    """

    def __init__(self, operation: str, arguments: Sequence[Any] | None = None, **kwargs: Any) -> None:
        name = as_name(kwargs.get("name"), "Operation: name") or unique_name(str(operation))
        super().__init__(**{**kwargs, "name": name})
        if not isinstance(operation, str) or operation not in ops.__all__:
            raise ValueError(f"Operation {self.name!r}: operation must name a function of td.ops, not {operation!r}.")
        self.operation = operation
        self.arguments = None if arguments is None else as_list(arguments, f"Operation {self.name!r}: arguments")

    def call(self, inputs: Any) -> Tensor:
        """Return what the function makes of the inputs and the other arguments."""
        given = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        if self.arguments is not None:
            waiting = iter(given)
            given = [next(waiting) if argument is None else argument for argument in self.arguments]
        return getattr(ops, self.operation)(*given)  # type: ignore[no-any-return]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
        return {**super().get_config(), "operation": self.operation, "arguments": self.arguments}
