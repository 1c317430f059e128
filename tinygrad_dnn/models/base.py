"""Model: what all models share, and the graph of layers that one may be."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

from tinygrad_dnn import nested
from tinygrad_dnn.layers import Layer
from tinygrad_dnn.layers.arguments import is_shape
from tinygrad_dnn.layers.base import Shape
from tinygrad_dnn.layers.moving import move
from tinygrad_dnn.layers.symbolic import widest_float
from tinygrad_dnn.models.graph import LayerGraph
from tinygrad_dnn.models.summary import print_summary
from tinygrad_dnn.training import Trainer


class Model(Trainer):
    """A network that can be trained: a graph of layers from ``inputs`` to ``outputs``, or a subclass.

    A graph is drawn by calling layers on what ``Input`` returns. Layers may be called several times, whose calls then
    share their weights; parts of other models' graphs may be used too, as ``Model(other.input, layer.output)``. A
    subclass sets layers as attributes in ``__init__`` and uses them in ``call``.

    Args:
        inputs: Symbolic tensors, one or in a list, tuple or dict; the model is called with as many.
        outputs: Symbolic tensors that were made from them, one or in a list, tuple or dict.
        **kwargs: Those of ``Layer``; ``dtype`` is by default that of the inputs.

    Attributes:
        inputs: The inputs of a graph, in a list.
        outputs: The outputs of a graph, in a list.
        input: The inputs as they were given; of a list or tuple of one, that one, as Keras has it.
        output: The outputs likewise.

    Raises:
        TypeError: Something in inputs or outputs is no symbolic tensor.
        ValueError: An output depends on an input that is not among them, or two layers have one name.

    Example:
        >>> x = td.Input(shape=(4,))
        >>> block = td.layers.Add()([x, td.layers.Dense(4, activation="elu")(x)])
        >>> model = td.Model(x, td.layers.Dense(2)(block))
        >>> model(np.zeros((3, 4))).shape
        (3, 2)
        >>> class Residual(td.Model):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.hidden = td.layers.Dense(4, activation="elu")
        ...     def call(self, inputs, training=False):
        ...         return inputs + self.hidden(inputs)
        >>> Residual()(np.zeros((2, 4))).shape
        (2, 4)
    """

    _graph: LayerGraph | None = None

    def __init__(self, inputs: Any = None, outputs: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if inputs is not None or outputs is not None:
            graph = self._graph = LayerGraph(inputs, outputs, self.name)
            widest = widest_float(graph.inputs) if kwargs.get("dtype") is None else None
            if widest is not None and self.compute_dtype == self.dtype:
                self._take(widest)
            self.input_dtype = widest or self.dtype
            self._span(graph.input, graph.output)
            self._graph_layers = graph.layers
            self._mark_built(self.input_shape)

    def _span(self, inputs: Any, outputs: Any) -> None:
        """Set what is known of a model that leads from some symbolic tensors to others."""
        self.input, self.output = inputs, outputs
        self.inputs, self.outputs = list(nested.leaves(inputs)), list(nested.leaves(outputs))

    def _ends(self) -> tuple[Any, Any] | None:
        """Return the symbolic tensors that the model leads from and to, where they are known."""
        return None if self._graph is None else (self._graph.input, self._graph.output)

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        if self._ends() is not None:  # a copy leads from symbolic tensors of its own
            for key in ("input", "output", "inputs", "outputs"):
                state.pop(key, None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        ends = self._ends()
        if ends is not None:
            self._span(*ends)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return what the graph's layers make of the inputs; a subclass without a graph says what it computes.

        Raises:
            ValueError: The inputs are not those of the graph.
        """
        if self._graph is None:
            raise NotImplementedError(
                f"model {self.name!r} of class {type(self).__name__} must define call(inputs), or be made with inputs "
                "and outputs."
            )
        return self._graph.run(inputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the output for an input of this shape."""
        if self.inputs:
            given, known = (list(nested.leaves(shapes, is_shape)) for shapes in (input_shape, self.input_shape))
            if given == known:
                return self.output_shape
        return super().compute_output_shape(input_shape)

    @property
    def input_shape(self) -> Any:
        """The shape of its input, the batch's length None; of several, in the form they were given."""
        return self._shapes_of("input")

    @property
    def output_shape(self) -> Any:
        """The shape of its output, the batch's length None; of several, in the form they were given."""
        return self._shapes_of("output")

    def _shapes_of(self, end: str) -> Any:
        if end not in vars(self):
            raise ValueError(
                f"model {self.name!r} is not built: its shapes are known once it has an InputLayer, "
                "was called on data, or its build(input_shape) was called."
            )
        return nested.map_leaves(lambda x: x.shape, vars(self)[end])

    @property
    def input_names(self) -> list[str]:
        """The names of the inputs, in order."""
        return [x.name for x in self.inputs]

    @property
    def output_names(self) -> list[str]:  # type: ignore[override]  # what a Learner has none of, a graph knows
        """The keys of a dict of outputs, else the names of the layers that give them, in order."""
        output = self.output if self.outputs else None
        if isinstance(output, dict) and len(output) == len(self.outputs):
            return list(output)
        return [x.name for x in self.outputs]

    @property
    def layers(self) -> list[Layer]:
        """The layers directly inside, in the order they were set."""
        return list(self._parts().layers.values())

    def _mark_built(self, input_shape: Any) -> None:
        super()._mark_built(input_shape)
        self._number_streams()

    def __call__(self, inputs: Any, *args: Any, training: bool | None = None, **kwargs: Any) -> Any:
        if args and type(self).call is Model.call:
            raise TypeError(
                f"model {self.name!r} takes its inputs in one argument, several in a list or dict: model([a, b])."
            )
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

    def to(self, backend: str) -> Self:
        """Bring the weights, random streams, optimizer and metrics to another backend; return the model itself.

        Training goes on there where it was. Batches are made on the thread's backend, which this does not change:
        ``td.backend.use`` does.

        Args:
            backend: "numpy", "cupy" or "strict"; "cupy:1" is the second GPU.

        Raises:
            ValueError: No backend has that name, or it has no such device.
            RuntimeError: Its library cannot be used here.

        Example:
            >>> model = td.Sequential([td.layers.Dense(1)])
            >>> model.compile(optimizer="adam", loss="mse")
            >>> history = model.fit(np.ones((8, 2)), np.ones((8, 1)), verbose=0)
            >>> with td.backend.use("strict"):
            ...     history = model.to("strict").fit(np.ones((8, 2)), np.ones((8, 1)), verbose=0)
            >>> model.optimizer.iterations
            Variable(2, dtype=int64)
        """
        learned_by = self._objectives.each if self._compiled else []
        move([self, *(vars(objective) for objective in learned_by)], backend)
        self._programs = None  # they keep arrays of the backend that it leaves
        return self

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

    def summary(
        self,
        line_length: int | None = None,
        *,
        print_fn: Callable[[str], object] | None = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
    ) -> None:
        """Print a table of the layers with their output shapes and numbers of parameters.

        Of a graph that is not a plain row it also says what each layer is connected to, a line for each of its calls.

        Args:
            line_length: How wide the table may be, in characters, at least 20; by default as wide as the terminal.
            print_fn: Called with each line, instead of printing it.
            expand_nested: Whether models inside are followed by their layers.
            show_trainable: Whether a column says which layers are trainable.

        Raises:
            ValueError: ``line_length`` is no integer of at least 20.

        Example:
            >>> model = td.Sequential([td.Input(shape=(3,)), td.layers.Dense(2, name="outputs")], name="tiny")
            >>> lines = []
            >>> model.summary(print_fn=lines.append)
            >>> lines[-1]
            'Parameters: 8 (0.0 KiB), trainable 8'
        """
        print_summary(self, line_length, print_fn, expand_nested, show_trainable)

    # -- files ------------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str], overwrite: bool = True) -> None:
        """Write the model to one file that ``td.models.load_model`` makes it from again, and training goes on from.

        The file is a safetensors file: weights, the optimizer's state and the random streams are its tensors; layers,
        arguments and what the model was compiled with are names and numbers in its metadata. It takes the place of
        the one before when it is complete.

        Args:
            path: The file, as "model.safetensors".
            overwrite: Whether a file that is there already may be replaced.

        Raises:
            ValueError: Something has no name that a file could give, as a lambda; the message says what to do.
            FileExistsError: The file is there already, and is not to be replaced.
            OSError: The file cannot be written; the one before is as it was.

        Example:
            >>> model = td.Sequential([td.layers.Dense(1, input_shape=(3,))])
            >>> model.save(getfixture("tmp_path") / "model.safetensors")
        """
        from tinygrad_dnn.models import saving

        saving.save_model(self, path, overwrite)

    def save_weights(self, path: str | os.PathLike[str], overwrite: bool = True) -> None:
        """Write the weights alone to a safetensors file, for ``load_weights`` of a model of the same layers.

        Args:
            path: The file.
            overwrite: Whether a file that is there already may be replaced.

        Raises:
            ValueError: The model is not built.
            FileExistsError: The file is there already, and is not to be replaced.
            OSError: The file cannot be written; the one before is as it was.

        Example:
            >>> file = getfixture("tmp_path") / "weights.safetensors"
            >>> first, second = (td.Sequential([td.layers.Dense(1, input_shape=(3,))]) for _ in range(2))
            >>> first.save_weights(file)
            >>> second.load_weights(file)
            >>> bool((first.get_weights()[0] == second.get_weights()[0]).all())
            True
        """
        from tinygrad_dnn.models import saving

        saving.save_weights(self, path, overwrite)

    def load_weights(self, path: str | os.PathLike[str], skip_mismatch: bool = False) -> None:
        """Set the weights from a safetensors file, of this project or another, by their names.

        A weight is called by its layers' names and its own, as "block/dense/kernel", an automatic name numbered by the
        layer's place in the model. "." may part the names as well as "/".

        Args:
            path: The file.
            skip_mismatch: Whether weights that the file has not, or in another shape, stay as they are.

        Raises:
            FileError: A ValueError: the file is damaged, or its weights are not those of the model; no weight is
                changed then.
            OSError: The file cannot be read.
        """
        from tinygrad_dnn.models import saving

        saving.load_weights(self, path, skip_mismatch)

    def _output_shapes(self) -> list[Shape | None]:
        if self._graph is not None:
            shapes = self._graph.output_shapes()
            return [shapes.get(layer.name) for layer in self.layers]
        return [
            layer.compute_output_shape(layer._build_shape) if layer._build_shape is not None else None
            for layer in self.layers
        ]
