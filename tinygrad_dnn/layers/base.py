"""Layer: what all layers and models share; building on first call, training mode, making weights, losses on the way."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np

from tinygrad_dnn import nested, ops, registry
from tinygrad_dnn.backend.element_types import FLOATING
from tinygrad_dnn.checks import as_flag, as_integer, as_name
from tinygrad_dnn.graph import no_grad
from tinygrad_dnn.layers.arguments import Shape as Shape
from tinygrad_dnn.layers.arguments import as_shape, is_shape, unique_name
from tinygrad_dnn.layers.holding import Holder
from tinygrad_dnn.layers.moving import apart, move
from tinygrad_dnn.layers.restoring import restoring_now
from tinygrad_dnn.layers.surroundings import building, outermost
from tinygrad_dnn.layers.symbolic import Call, OfFirstCall, connect, symbolic
from tinygrad_dnn.layers.typed import Typed
from tinygrad_dnn.ops.cast import widened
from tinygrad_dnn.precision import PolicyLike
from tinygrad_dnn.tensor import DTypeLike, Tensor, TensorLike, Variable, as_dtype, as_tensor


class Layer(Holder, Typed):
    """Base of all layers: override ``__init__``, ``build`` and ``call``.

    A layer makes its weights in ``build``, when the shape of its input is first known. Weights and layers set as
    attributes, or inside lists, tuples and dicts that are attributes, belong to it.

    Args:
        trainable: Whether its weights may be changed by an optimizer; may be set at any time.
        dtype: The type of its weights and of what it computes, or a policy that tells the two apart, as
            "mixed_float16"; by default that of ``td.mixed_precision``, which is ``backend.floatx()`` unless it is set.
        name: What errors and summaries call it; by default its class name in snake case.
        activity_regularizer: A function of its output whose value joins the loss, or its name.
        input_shape: The shape of one sample, where the first layer of a model says it.
        input_dim: The length of a sample that has one axis, in the place of ``input_shape``.

    Attributes:
        built: Whether its weights exist.
        input: What it was first called with on symbolic tensors, as when it was built in a model.
        output: What it then gave; ``Model(model.input, layer.output)`` is the model up to this layer.
        is_dropout: Whether it leaves units out in training; a class says so, for ``mc_dropout``.

    Example:
        >>> class Scale(td.layers.Layer):
        ...     def build(self, input_shape):
        ...         self.factor = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="factor")
        ...     def call(self, inputs):
        ...         return inputs * self.factor
        >>> layer = Scale(name="scale")
        >>> layer(np.array([[1.0, 2.0]]))
        Tensor([[1., 2.]], dtype=float32, requires_grad=True)
        >>> [w.path for w in layer.trainable_weights]
        ['scale/factor']
    """

    is_dropout: ClassVar[bool] = False
    # While its build runs, and once that is done and no weight can be added any more.
    _in_build: bool = False
    _locked: bool = False
    # Its calls on symbolic tensors that something still holds, in order.
    _drawn: Sequence[weakref.ref[Call]] = ()
    input = OfFirstCall("inputs")
    output = OfFirstCall("outputs")

    def __init__(
        self,
        *,
        trainable: bool = True,
        dtype: PolicyLike | None = None,
        name: str | None = None,
        activity_regularizer: Any = None,
        input_shape: Sequence[int | None] | None = None,
        input_dim: int | None = None,
    ) -> None:
        self.name = as_name(name, f"{type(self).__name__}: name") or unique_name(type(self))
        self._trainable = as_flag(trainable, f"layer {self.name!r}: trainable")
        self._take(dtype)
        owner = f"layer {self.name!r}: activity_regularizer"
        self.activity_regularizer = registry.regularizers.given(activity_regularizer, owner)
        self.built = False
        self._given_input_shape: Shape | None = None
        if input_dim is not None:
            input_shape = (as_integer(input_dim, f"layer {self.name!r}: input_dim", "[0, inf)"),)
        if input_shape is not None:
            self._given_input_shape = (None, *as_shape(input_shape, f"layer {self.name!r}: input_shape"))
        self._build_shape: Shape | None = None
        self._added_weights: list[Variable] = []
        self._losses: list[Tensor] = []
        accepted = inspect.signature(self.call).parameters
        self._takes_training = "training" in accepted or any(
            p.kind is inspect.Parameter.VAR_KEYWORD for p in accepted.values()
        )
        self._trains_by_default = "training" in accepted and accepted["training"].default is True
        # Where it stands among the arguments after the inputs, for a call that does not name it.
        self._training_place = list(accepted).index("training") - 1 if "training" in accepted else None

    def __setattr__(self, name: str, value: Any) -> None:
        old = self.__dict__.get(name)
        if isinstance(old, Variable) and value is not old and self._locked:
            raise AttributeError(
                f"layer {self.name!r}: its weight {name!r} cannot be replaced, since the optimizer would keep the "
                f"old one: change its value by layer.{name}.assign(value)."
            )
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        if "_added_weights" not in self.__dict__ and not name.startswith("__"):
            raise AttributeError(
                f"layer class {type(self).__name__} has no {name!r}: its __init__ must call super().__init__() first."
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # What a copy makes anew when it needs it.
    _not_copied: ClassVar[frozenset[str]] = frozenset({"_drawn"})

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in self._not_copied}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "build" in cls.__dict__:
            cls.build = building(cls.__dict__["build"])  # type: ignore[method-assign]

    # -- to override ------------------------------------------------------------------------------------------------

    @building
    def build(self, input_shape: Any) -> None:
        """Make the weights for inputs of this shape; its first length, the batch's, is None."""

    def call(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Compute the outputs; take ``training=False`` as well where the layer acts differently in training."""
        raise NotImplementedError(f"layer {self.name!r} of class {type(self).__name__} must define call(inputs).")

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of the output for an input of this shape.

        By default it is found by running the layer on zeros, as at inference, with two numbers for what is unknown: an
        axis of the output that changes with them is of unknown length too.

        Raises:
            ValueError: The layer does not take inputs of this shape, or cannot be run on zeros.
        """
        self.ensure_built(input_shape)
        restoring = restoring_now()
        said: Shape | None = None if restoring is None else restoring.output_shape(self, input_shape)
        if said is not None:
            return said
        # What the layer adds to the loss here is no part of the call that goes on around it.
        kept = self._losses, outermost.losses
        outermost.losses = []
        try:
            # What an operation says of zeros, as of a division by them, says nothing of the data to come.
            with no_grad(), np.errstate(all="ignore"):
                outputs = [self(self._probe(input_shape, n), training=False) for n in (32, 64)]
        except (AttributeError, IndexError, TypeError) as error:
            raise ValueError(
                f"layer {self.name!r} cannot be run on zeros to find the shape of its output ({error}): define "
                "compute_output_shape(input_shape)."
            ) from error
        finally:
            self._losses, outermost.losses = kept
        batch = next(nested.leaves(input_shape, is_shape))[0]
        return nested.map_leaves(  # type: ignore[no-any-return]
            lambda a, b: (batch, *(n if n == m else None for n, m in zip(a.shape[1:], b.shape[1:], strict=True))),
            *outputs,
        )

    def _probe(self, shape: Any, unknown: int) -> Any:
        """Return zeros of a shape, or of each of several, with a batch of one and so much for an unknown length."""
        return nested.map_leaves(
            lambda one: ops.zeros((1, *(unknown if n is None else n for n in one[1:])), dtype=self.input_dtype),
            shape,
            leaf=is_shape,
        )

    # -- calling ------------------------------------------------------------------------------------------------------

    def __call__(self, inputs: Any, *args: Any, training: bool | None = None, **kwargs: Any) -> Any:
        """Build the layer if need be, and compute its outputs.

        Args:
            inputs: A Tensor or array, the batch first; a list, tuple or dict of them for layers with several inputs; or
                symbolic tensors, as ``Input`` makes them, for which the layer gives symbolic ones.
            training: Whether to act as in training; by default as the layer or model that contains it, and if nothing
                around it says so as the ``call`` says, else not.

        Raises:
            ValueError: The layer does not take inputs of this shape.
            TypeError: The inputs are not made of numbers.
        """
        if not isinstance(inputs, Tensor) and symbolic(inputs):
            return connect(self, inputs, args, kwargs if training is None else {**kwargs, "training": training})
        inputs = self._as_inputs(inputs)
        if not self.built:
            self._build_for(inputs)
        place = self._training_place
        if args and place is not None and len(args) > place >= 0 and training is None:
            training, args = args[place], args[:place] + args[place + 1 :]
        outer = outermost.training
        if training is None:
            training = outer
            if training is None and self._trains_by_default:
                training = True
        outermost.depth += 1
        outermost.training = training
        try:
            if self._takes_training:
                acts = bool(training) or (outermost.dropping and self.is_dropout)
                outputs = self.call(inputs, *args, training=acts, **kwargs)
            else:
                outputs = self.call(inputs, *args, **kwargs)
            if outputs is None:
                raise TypeError(f"layer {self.name!r}: call returned None: it must return what it computed.")
            if self.activity_regularizer is not None:
                # Divided by the batch's length, as Keras does: the penalty is one of a sample.
                for output in outputs if isinstance(outputs, (list, tuple)) else [outputs]:
                    self.add_loss(self.activity_regularizer(widened(output)) / output.shape[0])
        except TypeError as error:
            if outermost.depth == 1 and (reason := apart(self, inputs)) is not None:
                raise TypeError(reason) from error
            raise
        finally:
            outermost.depth -= 1
            outermost.training = outer
            if outermost.depth == 0:
                self._losses, outermost.losses = outermost.losses, []
        return outputs

    def _as_inputs(self, inputs: Any) -> Any:
        if isinstance(inputs, Tensor):
            dtype = inputs.data.dtype
            wanted = self.input_dtype
            return ops.cast(inputs, wanted) if dtype.kind in FLOATING and dtype.name != wanted else inputs
        if isinstance(inputs, (list, tuple)) and any(hasattr(x, "__dlpack__") for x in inputs):
            return type(inputs)(self._as_inputs(x) for x in inputs)
        if isinstance(inputs, dict):
            return {key: self._as_inputs(x) for key, x in inputs.items()}
        try:
            return self._as_inputs(as_tensor(inputs))
        except (TypeError, ValueError) as error:
            raise type(error)(f"layer {self.name!r}: {error}") from error

    def _build_for(self, inputs: Any) -> None:
        for x in nested.leaves(inputs):
            if not x.shape:
                raise ValueError(f"layer {self.name!r}: an input has at least the batch's axis; this one is 0-d.")
        shapes = nested.map_leaves(lambda x: (None, *x.shape[1:]), inputs)
        self.ensure_built(tuple(shapes) if isinstance(shapes, list) else shapes)

    def ensure_built(self, input_shape: Any) -> None:
        """Build the layer for inputs of this shape, unless it is built already."""
        if not self.built:
            self.build(input_shape)

    def _mark_built(self, input_shape: Any) -> None:
        self._build_shape = input_shape
        self.built = self._locked = True

    # -- weights ------------------------------------------------------------------------------------------------------

    def add_weight(
        self,
        shape: Sequence[int] = (),
        initializer: Any = None,
        dtype: DTypeLike | None = None,
        trainable: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        name: str | None = None,
    ) -> Variable:
        """Make a weight and return it.

        Args:
            shape: Its shape.
            initializer: The name of an initializer, or a callable ``(shape, dtype=None)`` that returns an array; if it
                has a parameter ``layer`` it is given this layer. "glorot_uniform" by default, "zeros" if not float.
            dtype: Its type, by default the layer's.
            trainable: Whether gradients shall change it.
            regularizer: A function of the weight whose value joins the loss, or its name.
            constraint: A function that the weight passes through after each update, or its name.
            name: Its name within the layer.

        Raises:
            ValueError: The layer is built already, a length or a name is unknown, or the initializer returned another
                shape.
        """
        name = name or f"weight_{len(self._added_weights)}"
        if self._locked:
            raise ValueError(
                f"layer {self.name!r} is built already and takes no further weight {name!r}: make weights in __init__ "
                "or in build, and let build run once."
            )
        element = as_dtype(dtype if dtype is not None else self.dtype)
        lengths: tuple[Any, ...] = as_shape(shape, f"layer {self.name!r}: the shape of the weight {name!r}")
        if None in lengths:
            raise ValueError(f"layer {self.name!r}: every length of the weight {name!r} must be known, not {lengths}.")
        restoring = restoring_now()
        value: TensorLike = 0 if restoring is not None else self._initial(initializer, lengths, element, name)
        weight = Variable(value, element, trainable=trainable and element.kind in FLOATING, name=name)
        weight.path = f"{self.name}/{name}"
        if restoring is not None:
            restoring.stretch(weight, lengths)
        owner = f"layer {self.name!r}: the weight {name!r}"
        weight.regularizer = registry.regularizers.given(regularizer, f"{owner}: regularizer")
        weight.constraint = registry.constraints.given(constraint, f"{owner}: constraint")
        if self.compute_dtype != self.dtype:
            self._let_cast(weight)
        self._added_weights.append(weight)
        return weight

    def _initial(self, initializer: Any, lengths: tuple[int, ...], element: np.dtype[Any], name: str) -> Tensor:
        """Return a weight's first value."""
        if initializer is None:
            initializer = "glorot_uniform" if element.kind in FLOATING else "zeros"
        make = registry.initializers.given(initializer, f"layer {self.name!r}: the weight {name!r}: initializer")
        wants_layer = "layer" in inspect.signature(make).parameters
        value = as_tensor(make(lengths, dtype=element.name, **({"layer": self} if wants_layer else {})))
        if value.shape != lengths:
            raise ValueError(
                f"layer {self.name!r}: the initializer of {name!r} returned shape {value.shape}, expected {lengths}."
            )
        return value

    def to(self, backend: str) -> Self:
        """Bring its weights and random streams, and all that it holds, to another backend; return the layer itself.

        Everything goes on where it was, bit for bit, as far as the backends compute alike. What is not built yet will
        be made on the thread's backend, which this does not change: ``td.backend.use`` does.

        Args:
            backend: "numpy", "cupy" or "strict"; "cupy:1" is the second GPU.

        Raises:
            ValueError: No backend has that name, or it has no such device.
            RuntimeError: Its library cannot be used here.

        Example:
            >>> model = td.Sequential([td.Input(shape=(3,)), td.layers.Dense(1)])
            >>> model.to("strict").weights[0].backend.name
            'strict'
        """
        move([self], backend)
        return self

    # -- losses --------------------------------------------------------------------------------------------------------

    def add_loss(self, loss: TensorLike | Sequence[Tensor]) -> None:
        """Add a penalty, or a list of them, to the loss of this call; ``losses`` shows them after the call.

        ``fit`` trains on their sum; one that is no single number counts by the sum of its elements.
        """
        for part in loss if isinstance(loss, (list, tuple)) else [loss]:
            value = as_tensor(part)
            (outermost.losses if outermost.depth else self._losses).append(ops.sum(value) if value.ndim else value)

    @property
    def losses(self) -> list[Tensor]:
        """What its last call added by ``add_loss``, and the penalties of its weights' regularizers."""
        return self._losses + [w.regularizer(w) for w in self.trainable_weights if w.regularizer is not None]

    # -- configuration -------------------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one, without its weights; extend it in a subclass."""
        config: dict[str, Any] = {"name": self.name, "trainable": self._trainable, "dtype": self.dtype_policy.name}
        if self._given_input_shape is not None:
            config["input_shape"] = list(self._given_input_shape[1:])
        if self.activity_regularizer is not None:
            config["activity_regularizer"] = registry.regularizers.serialize(self.activity_regularizer)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Layer:
        """Return a layer made with the arguments that ``get_config`` gave."""
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"
