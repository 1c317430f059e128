"""Layers that make one Tensor of several: Add, Subtract, Multiply, Average, Maximum, Minimum, Concatenate."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from tinygrad_dnn import ops
from tinygrad_dnn.checks import as_integer
from tinygrad_dnn.layers.arguments import Shape
from tinygrad_dnn.layers.base import Layer
from tinygrad_dnn.tensor import Tensor


class _Merge(Layer):
    """A layer that is called with a list of inputs; by default they must broadcast to one shape."""

    def build(self, input_shape: Any) -> None:
        """Check that the inputs fit together."""
        self.compute_output_shape(input_shape)

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return what the inputs make together."""
        if isinstance(inputs, Tensor):
            raise self._wants_a_list(inputs.shape)
        self.compute_output_shape([x.shape for x in inputs])
        return self._merged(list(inputs))

    def _merged(self, inputs: list[Tensor]) -> Tensor:
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of the output for inputs of these shapes.

        Raises:
            ValueError: They are not several shapes, or do not fit together.
        """
        if not input_shape or not all(isinstance(shape, (list, tuple)) for shape in input_shape):
            raise self._wants_a_list(input_shape)
        if len({len(shape) for shape in input_shape}) > 1:
            raise self._misfit(input_shape, "have equally many axes")
        return self._merged_shape([tuple(shape) for shape in input_shape])

    def _merged_shape(self, shapes: list[Shape]) -> Shape:
        """Return the shape to which these, of equally many axes, broadcast; None stands for any length."""
        merged: list[int | None] = []
        for lengths in zip(*shapes, strict=True):
            longer = {n for n in lengths if n not in (None, 1)}
            if len(longer) > 1:
                raise self._misfit(shapes, "broadcast to one shape")
            merged.append(None if None in lengths else max(longer, default=1))
        return tuple(merged)

    def _wants_a_list(self, shape: Any) -> ValueError:
        return ValueError(
            f"{type(self).__name__} {self.name!r} is called with a list of inputs, not with one of shape {shape}."
        )

    def _misfit(self, shapes: Any, expected: str) -> ValueError:
        return ValueError(
            f"{type(self).__name__} {self.name!r}: the inputs must {expected}; theirs are {[*map(tuple, shapes)]}."
        )


class Add(_Merge):
    """Add the inputs, elementwise with broadcasting; what closes a residual connection.

    Args:
        **kwargs: Those of ``Layer``.

    Raises:
        ValueError: It is not called with a list, or the inputs' shapes do not fit together.

    Example:
        >>> td.layers.Add()([td.ones((1, 2)), td.ones((1, 2)), td.ones((1, 2))])
        Tensor([[3., 3.]], dtype=float32)
    """

    def _merged(self, inputs: list[Tensor]) -> Tensor:
        return functools.reduce(ops.add, inputs)


class Subtract(_Merge):
    """Subtract the second input from the first, elementwise with broadcasting.

    Args:
        **kwargs: Those of ``Layer``.

    Raises:
        ValueError: It is not called with a list of two inputs, or their shapes do not fit together.

    Example:
        >>> td.layers.Subtract()([np.array([[3.0, 2.0]]), np.array([[1.0, 5.0]])])
        Tensor([[ 2., -3.]], dtype=float32)
    """

    def _merged_shape(self, shapes: list[Shape]) -> Shape:
        if len(shapes) != 2:
            raise self._misfit(shapes, "be two")
        return super()._merged_shape(shapes)

    def _merged(self, inputs: list[Tensor]) -> Tensor:
        return ops.subtract(*inputs)


class Multiply(_Merge):
    """Multiply the inputs, elementwise with broadcasting.

    Args:
        **kwargs: Those of ``Layer``.

    Raises:
        ValueError: It is not called with a list, or the inputs' shapes do not fit together.

    Example:
        >>> td.layers.Multiply()([np.array([[3.0, 2.0]]), np.array([[1.0, 5.0]])])
        Tensor([[ 3., 10.]], dtype=float32)
    """

    def _merged(self, inputs: list[Tensor]) -> Tensor:
        return functools.reduce(ops.multiply, inputs)


class Average(_Merge):
    """Return the mean of the inputs, elementwise with broadcasting.

    Args:
        **kwargs: Those of ``Layer``.

    Raises:
        ValueError: It is not called with a list, or the inputs' shapes do not fit together.

    Example:
        >>> td.layers.Average()([np.array([[3.0, 2.0]]), np.array([[1.0, 5.0]])])
        Tensor([[2. , 3.5]], dtype=float32)
    """

    def _merged(self, inputs: list[Tensor]) -> Tensor:
        return ops.divide(functools.reduce(ops.add, inputs), len(inputs))


class Maximum(_Merge):
    """Return the greatest of the inputs, elementwise with broadcasting; the gradient of equal ones goes to the first.

    Args:
        **kwargs: Those of ``Layer``.

    Raises:
        ValueError: It is not called with a list, or the inputs' shapes do not fit together.

    Example:
        >>> td.layers.Maximum()([np.array([[3.0, 2.0]]), np.array([[1.0, 5.0]])])
        Tensor([[3., 5.]], dtype=float32)
    """

    def _merged(self, inputs: list[Tensor]) -> Tensor:
        return functools.reduce(ops.maximum, inputs)


class Minimum(_Merge):
    """Return the smallest of the inputs, elementwise with broadcasting; the gradient of equal ones goes to the first.

    Args:
        **kwargs: Those of ``Layer``.

    Raises:
        ValueError: It is not called with a list, or the inputs' shapes do not fit together.

    Example:
        >>> td.layers.Minimum()([np.array([[3.0, 2.0]]), np.array([[1.0, 5.0]])])
        Tensor([[1., 2.]], dtype=float32)
    """

    def _merged(self, inputs: list[Tensor]) -> Tensor:
        return functools.reduce(ops.minimum, inputs)


class Concatenate(_Merge):
    """Join the inputs along an axis; all other axes must be of equal length.

    Args:
        axis: The axis, not the batch's.
        **kwargs: Those of ``Layer``.

    Raises:
        ValueError: ``axis`` is no integer, or out of range, it is not called with a list, or the inputs' shapes do not
            fit together.

    Example:
        >>> td.layers.Concatenate()([td.ones((1, 2)), td.zeros((1, 1))])
        Tensor([[1., 1., 0.]], dtype=float32)
    """

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = as_integer(axis, f"Concatenate {self.name!r}: axis")

    def _merged_shape(self, shapes: list[Shape]) -> Shape:
        rank = len(shapes[0])
        along = range(rank)[self.axis] if -rank <= self.axis < rank else 0
        if along == 0:
            raise self._misfit(shapes, f"have axis {self.axis}, and it must not be the batch's")
        merged: list[int | None] = []
        for i, lengths in enumerate(zip(*shapes, strict=True)):
            known = [n for n in lengths if n is not None]
            if i == along:
                merged.append(sum(known) if len(known) == len(lengths) else None)
                continue
            if len(set(known)) > 1:
                raise self._misfit(shapes, f"be equal but for the length of axis {self.axis}")
            merged.append(known[0] if len(known) == len(lengths) else None)
        return tuple(merged)

    def _merged(self, inputs: list[Tensor]) -> Tensor:
        return ops.concatenate(inputs, self.axis)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
        return {**super().get_config(), "axis": self.axis}


def add(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """Return the sum of several inputs: the layer ``Add``, made and called at once, as Keras's users write it.

    Example:
        >>> td.layers.add([td.ones((1, 2)), td.ones((1, 2))])
        Tensor([[2., 2.]], dtype=float32)
    """
    return Add(**kwargs)(inputs)


def subtract(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """Return the first of two inputs less the second: the layer ``Subtract``, made and called at once.

    Example:
        >>> td.layers.subtract([td.ones((1, 2)), td.ones((1, 2))])
        Tensor([[0., 0.]], dtype=float32)
    """
    return Subtract(**kwargs)(inputs)


def multiply(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """Return the product of several inputs: the layer ``Multiply``, made and called at once.

    Example:
        >>> td.layers.multiply([td.ones((1, 2)), td.zeros((1, 2))])
        Tensor([[0., 0.]], dtype=float32)
    """
    return Multiply(**kwargs)(inputs)


def average(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """Return the mean of several inputs: the layer ``Average``, made and called at once.

    Example:
        >>> td.layers.average([td.ones((1, 2)), td.zeros((1, 2))])
        Tensor([[0.5, 0.5]], dtype=float32)
    """
    return Average(**kwargs)(inputs)


def maximum(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """Return the greatest of several inputs: the layer ``Maximum``, made and called at once.

    Example:
        >>> td.layers.maximum([td.ones((1, 2)), td.zeros((1, 2))])
        Tensor([[1., 1.]], dtype=float32)
    """
    return Maximum(**kwargs)(inputs)


def minimum(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """Return the smallest of several inputs: the layer ``Minimum``, made and called at once.

    Example:
        >>> td.layers.minimum([td.ones((1, 2)), td.zeros((1, 2))])
        Tensor([[0., 0.]], dtype=float32)
    """
    return Minimum(**kwargs)(inputs)


def concatenate(inputs: Sequence[Any], axis: int = -1, **kwargs: Any) -> Any:
    """Return several inputs joined along an axis: the layer ``Concatenate``, made and called at once.

    Example:
        >>> td.layers.concatenate([td.ones((1, 2)), td.zeros((1, 1))])
        Tensor([[1., 1., 0.]], dtype=float32)
    """
    return Concatenate(axis, **kwargs)(inputs)
