"""Sequential: layers in a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygrad_dnn import nested, registry
from tinygrad_dnn.layers import Input, InputLayer, Layer, SymbolicTensor
from tinygrad_dnn.layers.arguments import Shape, is_shape
from tinygrad_dnn.models.base import Model
from tinygrad_dnn.models.graph import check_input
from tinygrad_dnn.tensor import Tensor


class Sequential(Model):
    """Layers in a row, each taking what the one before gives.

    The model is built as soon as the shape of its input is known: from an ``InputLayer``, an ``input_shape`` of the
    first layer, a first layer that is a model with an input of its own, or the first data.

    Args:
        layers: The layers, or their registered names; what ``Input`` returns may stand first.
        **kwargs: Those of ``Layer``.

    Raises:
        TypeError: Something in the list is no layer.
        ValueError: A layer does not take the shape that the one before gives, or two have one name.

    Example:
        >>> model = td.models.Sequential([td.layers.Dense(8, activation="relu"), td.layers.Dense(1)])
        >>> model(np.zeros((3, 5))).shape
        (3, 1)
        >>> model.count_params()
        57
    """

    _keeps_width = True

    def __init__(self, layers: Sequence[Any] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._stack: list[Layer] = []
        for layer in layers or ():
            self._append(layer)
        self._build_if_known()

    def add(self, layer: Any) -> None:
        """Add a layer at the end.

        Raises:
            TypeError: It is no layer.
            ValueError: It does not take the shape that the one before gives, or its name is taken.
        """
        self._append(layer)
        try:
            if self.built:
                with self._unbuilt_on_failure():
                    self._tensors.append(self._connected(self._stack[-1], self._tensors[-1]))
                    self._span(self._tensors[0], self._tensors[-1])
                    self._number_streams()
            else:
                self._build_if_known()
        except BaseException:
            self._stack.pop()
            raise
        self._examined = (None,)

    def pop(self) -> Layer:
        """Take the last layer off and return it.

        Raises:
            ValueError: There is none.
        """
        if not self.layers:
            raise ValueError(f"model {self.name!r} has no layer to take off.")
        if self.built:
            self._tensors.pop()
            self._span(self._tensors[0], self._tensors[-1])
        self._examined = (None,)
        return self._stack.pop()

    def _append(self, layer: Any) -> None:
        if isinstance(layer, SymbolicTensor) and isinstance(layer.call.layer, InputLayer):
            layer = layer.call.layer
        layer = registry.layers.given(layer, f"model {self.name!r}: each layer")
        if layer is None:
            raise TypeError(f"model {self.name!r}: each layer must be one, not None.")
        if any(inner is self for inner, _ in layer._flatten()):
            raise ValueError(f"model {self.name!r} cannot be a layer of itself: make another Sequential around it.")
        if isinstance(layer, InputLayer) and self._stack:
            raise ValueError(
                f"model {self.name!r} already has layers, and {layer.name!r} is an InputLayer: it must come first."
            )
        if any(layer.name == other.name for other in self._stack):
            raise ValueError(f"model {self.name!r} already has a layer named {layer.name!r}: give each another name.")
        self._stack.append(layer)

    def _build_if_known(self) -> None:
        if self.built or not self._stack:
            return
        first = self._stack[0]
        shape = first.batch_shape if isinstance(first, InputLayer) else first._given_input_shape
        if shape is None and isinstance(first, Model) and len(first.inputs) == 1:
            shape = first.inputs[0].shape
        if shape is not None:
            self.ensure_built(shape)

    @property
    def layers(self) -> list[Layer]:
        """The layers in order, without the ``InputLayer``."""
        return [layer for layer in self._stack if not isinstance(layer, InputLayer)]

    def build(self, input_shape: Shape | None = None) -> None:
        """Build each layer for the shape that the one before gives.

        Raises:
            ValueError: A layer does not take that shape.
        """
        if not self._stack:
            raise ValueError(f"model {self.name!r} has no layers: add one before building or calling it.")
        if input_shape is None:
            raise ValueError(f"model {self.name!r}: say the shape of its input, as build((None, 784)).")
        if not is_shape(input_shape):
            raise self._wants_one_input(input_shape)
        head = self._stack[0]
        if isinstance(head, InputLayer) and head.batch_shape == tuple(input_shape):
            x = head.output
        else:
            x = Input(batch_shape=input_shape)
        with self._unbuilt_on_failure():
            tensors = [x]
            for layer in self.layers:
                tensors.append(self._connected(layer, tensors[-1]))
        self._tensors: list[SymbolicTensor] = tensors  # the input, and what each layer makes of it
        self._span(x, tensors[-1])

    def _connected(self, layer: Layer, x: SymbolicTensor) -> Any:
        """Build a layer for what the one before gives, and return what it gives itself."""
        try:
            return layer(x)
        except ValueError as error:
            raise ValueError(
                f"model {self.name!r} cannot build {layer.name!r} for inputs of shape {x.shape}: {error}"
            ) from error

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """Return what the last layer gives."""
        if not isinstance(inputs, Tensor):
            raise self._wants_one_input(nested.map_leaves(lambda x: x.shape, inputs))
        check_input(f"model {self.name!r}", self.input_shape, inputs)
        outputs = inputs
        for layer in self._stack:
            outputs = layer(outputs)
        return outputs

    def _wants_one_input(self, shapes: Any) -> ValueError:
        return ValueError(
            f"model {self.name!r} takes one input and got several, of shapes {shapes}: layers in a row have one; draw "
            "a Model(inputs, outputs) for several."
        )

    def _ends(self) -> tuple[Any, Any] | None:
        return (self._tensors[0], self._tensors[-1]) if self.built else None

    def _output_shapes(self) -> list[Shape | None]:
        return [x.shape for x in self._tensors[1:]] if self.built else [None] * len(self.layers)
