"""Models: ``Sequential`` stacks layers, ``Model`` is subclassed for anything else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tinygrad_dnn import registry
from tinygrad_dnn.layers import InputLayer, Layer
from tinygrad_dnn.layers.base import Shape
from tinygrad_dnn.tensor import Tensor
from tinygrad_dnn.training import Trainer


class Model(Trainer):
    """A network that can be trained: set layers as attributes in ``__init__`` and use them in ``call``.

    Args:
        **kwargs: Those of ``Layer``.

    Example:
        >>> class Residual(td.Model):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.hidden = td.layers.Dense(4, activation="elu")
        ...     def call(self, inputs, training=False):
        ...         return inputs + self.hidden(inputs)
        >>> Residual()(np.zeros((2, 4))).shape
        (2, 4)
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    @property
    def layers(self) -> list[Layer]:
        """The layers directly inside, in the order they were set."""
        return list(self._parts().layers.values())

    def _mark_built(self, input_shape: Any) -> None:
        super()._mark_built(input_shape)
        self._number_streams()

    def __call__(self, inputs: Any, *args: Any, training: bool | None = None, **kwargs: Any) -> Any:
        if self.built:
            return super().__call__(inputs, *args, training=training, **kwargs)
        with self._unbuilt_on_failure():
            return super().__call__(inputs, *args, training=training, **kwargs)

    @contextmanager
    def _unbuilt_on_failure(self) -> Iterator[None]:
        """Undo what a ``with`` block built if it fails: a layer that was built for wrong data takes no others."""
        before = [(layer, dict(layer.__dict__), list(layer._added_weights)) for layer, _ in self._flatten()]
        try:
            yield
        except BaseException:
            for layer, attributes, weights in before:
                layer.__dict__.clear()
                layer.__dict__.update(attributes, _added_weights=weights)
            raise

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Return a layer by its name or its place.

        Raises:
            ValueError: There is none, or neither was given.
        """
        layers = self.layers
        if index is not None:
            if not -len(layers) <= index < len(layers):
                raise ValueError(f"model {self.name!r} has {len(layers)} layers; there is none at {index}.")
            return layers[index]
        if name is None:
            raise ValueError(f"model {self.name!r}: get_layer needs a layer's name or its index.")
        for layer in layers:
            if layer.name == name:
                return layer
        raise ValueError(f"model {self.name!r} has no layer {name!r}; its layers are {[x.name for x in layers]}.")

    def summary(self) -> None:
        """Print a table of the layers with their output shapes and numbers of parameters."""
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(title=Text(f"Model: {self.name}"), box=box.SIMPLE_HEAD, title_justify="left")
        table.add_column("Layer (type)")
        table.add_column("Output shape")
        table.add_column("Parameters", justify="right")
        for layer, shape in zip(self.layers, self._output_shapes(), strict=True):
            count = f"{layer.count_params():,}" if layer.built else "not built"
            name = Text(f"{layer.name} ({type(layer).__name__})")  # as it is, even where a name has brackets
            table.add_row(name, "?" if shape is None else str(shape), count)
        console = Console()
        console.print(table)
        total = sum(w.size for w in self.weights)
        trainable = sum(w.size for w in self.trainable_weights)
        size = sum(w.size * w.dtype.itemsize for w in self.weights) / 1024
        console.print(f"Parameters: {total:,} ({size:,.1f} KiB), trainable {trainable:,}", highlight=False)

    def _output_shapes(self) -> list[Shape | None]:
        return [
            layer.compute_output_shape(layer._build_shape) if layer._build_shape is not None else None
            for layer in self.layers
        ]


class Sequential(Model):
    """Layers in a row, each taking what the one before gives.

    The model is built as soon as the shape of its input is known: from an ``InputLayer``, an ``input_shape`` of the
    first layer, or the first data.

    Args:
        layers: The layers, or their registered names.
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
                    self._build_layer(self._stack[-1], self.output_shape)
                    self._number_streams()
            else:
                self._build_if_known()
        except BaseException:
            self._stack.pop()
            raise
        self._examined = None

    def pop(self) -> Layer:
        """Take the last layer off and return it.

        Raises:
            ValueError: There is none.
        """
        if not self.layers:
            raise ValueError(f"model {self.name!r} has no layer to take off.")
        if self.built:
            self._shapes.pop()
        self._examined = None
        return self._stack.pop()

    def _append(self, layer: Any) -> None:
        layer = registry.layers.get(layer)
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
        shape: Shape = tuple(input_shape)
        self._input_shape = shape
        self._shapes: list[Shape] = []
        with self._unbuilt_on_failure():
            for layer in self._stack:
                shape = self._build_layer(layer, shape)

    def _build_layer(self, layer: Layer, shape: Shape) -> Shape:
        """Build a layer for inputs of this shape, unless it is built already, and return that of its outputs."""
        try:
            layer.ensure_built(shape)
            outputs = layer.compute_output_shape(shape)
        except ValueError as error:
            raise ValueError(
                f"model {self.name!r} cannot build {layer.name!r} for inputs of shape {shape}: {error}"
            ) from error
        if not isinstance(layer, InputLayer):
            self._shapes.append(outputs)
        return outputs

    @property
    def input_shape(self) -> Shape:
        """The shape of its input, the batch's length None."""
        self._require_built()
        return self._input_shape

    @property
    def output_shape(self) -> Shape:
        """The shape of its output, the batch's length None."""
        self._require_built()
        return self._shapes[-1] if self._shapes else self._input_shape

    def _require_built(self) -> None:
        if not self.built:
            raise ValueError(
                f"model {self.name!r} is not built: its shapes are known once it has an InputLayer, "
                "was called on data, or its build(input_shape) was called."
            )

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """Return what the last layer gives."""
        expected = self._input_shape[1:]
        got = inputs.shape[1:]
        if len(got) != len(expected) or any(e not in (None, g) for e, g in zip(expected, got, strict=True)):
            raise ValueError(
                f"model {self.name!r} takes inputs of shape {self._input_shape} and got {inputs.shape}: "
                "the first axis is the batch."
            )
        outputs = inputs
        for layer in self._stack:
            outputs = layer(outputs)
        return outputs

    def _output_shapes(self) -> list[Shape | None]:
        return list(self._shapes) if self.built else [None] * len(self.layers)
