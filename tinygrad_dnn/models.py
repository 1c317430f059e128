"""Models: ``Sequential`` stacks layers, ``Model`` is subclassed for anything else, ``Ensemble`` averages several."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tinygrad_dnn import ops, registry
from tinygrad_dnn.layers import InputLayer, Layer
from tinygrad_dnn.layers.base import Shape
from tinygrad_dnn.tensor import Tensor
from tinygrad_dnn.training import Trainer

# The arguments that Layer itself takes.
_OF_EVERY_LAYER = frozenset(inspect.signature(Layer).parameters)


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
        self._examined = (None,)

    def pop(self) -> Layer:
        """Take the last layer off and return it.

        Raises:
            ValueError: There is none.
        """
        if not self.layers:
            raise ValueError(f"model {self.name!r} has no layer to take off.")
        if self.built:
            self._shapes.pop()
        self._examined = (None,)
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


class Ensemble(Model):
    """Several models as one, whose output is the mean of theirs.

    Members that were trained apart, from other weights or on other samples, err apart: their mean is as a rule better
    than each. Compile it to ``evaluate`` it; ``fit`` trains the members together, on the loss of their mean.

    Args:
        members: Models or layers, at least one, that take the same inputs and give outputs of one shape.
        **kwargs: Those of ``Layer``.

    Attributes:
        members: As given, in a list.

    Raises:
        ValueError: There is no member, or their outputs differ in shape.
        TypeError: A member is no layer.

    Example:
        >>> first, second = (td.models.Sequential([td.layers.Dense(1, input_shape=(2,))]) for _ in range(2))
        >>> x = np.ones((3, 2))
        >>> together = td.models.Ensemble([first, second]).predict(x)
        >>> bool(np.allclose(together, (first.predict(x) + second.predict(x)) / 2))
        True

    Reference:
        Hansen and Salamon (1990): Neural network ensembles. IEEE PAMI 12.
    """

    def __init__(self, members: Sequence[Layer], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.members = list(members)
        if not self.members:
            raise ValueError(f"ensemble {self.name!r} has no members: give it at least one model.")
        for member in self.members:
            if not isinstance(member, Layer):
                raise TypeError(f"ensemble {self.name!r}: a member is a model or a layer, not {member!r}.")

    def call(self, inputs: Any, training: bool = False) -> Tensor:
        """Return the mean of the members' outputs."""
        outputs = [member(inputs) for member in self.members]
        shapes = {member.name: output.shape for member, output in zip(self.members, outputs, strict=True)}
        if len(set(shapes.values())) > 1:
            raise ValueError(f"ensemble {self.name!r}: the members' outputs must have one shape, not {shapes}.")
        return ops.mean(ops.stack(outputs), 0)


def clone_model(model: Model) -> Model:
    """Return a model of the same architecture with fresh weights: new layers, with the old ones' names and arguments.

    Weights are drawn anew, unless an initializer has a seed. A model that is built gives one that is built. It is not
    compiled. To have the weights too: ``clone.set_weights(model.get_weights())``.

    Args:
        model: A ``Sequential`` or an ``Ensemble`` of layers that can be remade, or a model whose class defines
            ``get_config`` and can be made from it.

    Raises:
        ValueError: A layer cannot be remade: its ``get_config`` lacks an argument, or something has no name that it is
            registered under.

    Example:
        >>> model = td.models.Sequential([td.layers.InputLayer(shape=(3,)), td.layers.Dense(2, name="outputs")])
        >>> clone = td.models.clone_model(model)
        >>> clone.layers[0].name, clone.layers[0] is model.layers[0]
        ('outputs', False)
        >>> clone.set_weights(model.get_weights())
    """
    if not isinstance(model, Model):
        raise TypeError(f"clone_model: it takes a model, not {type(model).__name__}.")
    clone: Model = remade(model)
    if model._build_shape is not None:
        # By a run on zeros: layers that a model makes its own use of are built only when they are called.
        clone.compute_output_shape(model._build_shape)
    return clone


def remade(layer: Layer, done: dict[int, Layer] | None = None) -> Any:
    """Return a new layer made with the arguments of another; without its weights.

    Args:
        layer: The layer, or a model.
        done: The layers remade so far by the id of the old one, so that one that is shared is so again.

    Raises:
        ValueError: Its configuration lacks an argument, or cannot be written.

    Example:
        >>> td.models.remade(td.layers.Dense(3, name="last")).units
        3
    """
    done = {} if done is None else done
    if id(layer) not in done:
        done[id(layer)] = _remade(layer, done)
    return done[id(layer)]


def _remade(layer: Layer, done: dict[int, Layer]) -> Layer:
    cls = type(layer)
    if cls in (Sequential, Ensemble):
        inside = layer._stack if isinstance(layer, Sequential) else layer.members
        return cls([remade(part, done) for part in inside], **Layer.get_config(layer))
    try:
        config = layer.get_config()
        wanted = inspect.signature(cls).parameters.values()
        named = [p.name for p in wanted if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        # What Layer's own configuration leaves out is at its default.
        lacking = [name for name in named if name not in config and name not in _OF_EVERY_LAYER]
        if lacking:
            raise ValueError(f"get_config() of {cls.__name__} does not return the argument {lacking[0]!r}")
        return cls.from_config(config)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ValueError(f"{layer.name!r} of class {cls.__name__} cannot be made again: {error}") from error
