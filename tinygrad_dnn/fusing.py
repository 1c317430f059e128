"""Fusing: batch normalisation folded into the weights of the layers beside it, for a faster inference."""

from __future__ import annotations

from collections import Counter
from typing import Any, TypeGuard, TypeVar

import numpy as np

from tinygrad_dnn import nested, ops, registry
from tinygrad_dnn.layers import Activation, BatchNormalization, Conv2D, Dense, Flatten, Input, InputLayer, Layer
from tinygrad_dnn.layers.arguments import Shape, is_shape
from tinygrad_dnn.models import Model, Sequential, remade

AnyModel = TypeVar("AnyModel", bound=Model)


def fuse(model: AnyModel) -> AnyModel:
    """Return a new model that predicts the same without its batch normalisations, whose work other weights now do.

    With s = sqrt(moving variance + epsilon), a batch normalisation is x gamma / s + beta - mean gamma / s at inference.
    After a ``Dense`` without activation it becomes part of that: W' = W gamma / s, b' = (b - mean) gamma / s + beta.
    Before a ``Dense`` it becomes part of that one: W' = diag(gamma / s) W, b' = b + (beta - mean gamma / s) W; between
    the two there may be a ``Flatten``. ``Conv2D`` takes it in likewise, but not from before where it surrounds the
    images by zeros: what is added to them would have to be added to the zeros too. Where something stands in the way on
    both sides, as an activation, no weights do the same: that is refused. So is folding into a layer that is called in
    several places, or whose output goes elsewhere too.

    The model is for inference: dropout layers, which do nothing there, are left out, as are regularizers and
    constraints of changed weights. Models inside it become part of it. The layers are new ones with the old names, and
    the old model stays as it is.

    Args:
        model: A ``Sequential`` model that is built, or a ``Model(inputs, outputs)``.

    Returns:
        A model of the same kind.

    Raises:
        TypeError: It is a model of another kind, whose own ``call`` computes what is not known.
        ValueError: It is not built, has no batch normalisation, or one that cannot be folded exactly.

    Example:
        >>> model = td.models.Sequential(
        ...     [td.layers.Dense(3, input_shape=(4,)), td.layers.BatchNormalization(), td.layers.Activation("elu")]
        ... )
        >>> fused = td.fuse(model)
        >>> [type(layer).__name__ for layer in fused.layers]
        ['Dense', 'Activation']
        >>> x = np.random.default_rng(0).normal(size=(5, 4))
        >>> bool(np.allclose(fused.predict(x), model.predict(x), atol=1e-6))
        True
    """
    if not (_is_row(model) or _is_graph(model)):
        raise TypeError(
            f"fuse: it takes a Sequential or a Model(inputs, outputs) with the call of its own, not "
            f"{type(model).__name__}."
        )
    if not model.built:
        raise ValueError(f"fuse: model {model.name!r} is not built: train it, or call it on data, first.")
    if not any(isinstance(layer, BatchNormalization) for layer, _ in model._flatten()):
        raise ValueError(f"fuse: model {model.name!r} has no BatchNormalization, so there is nothing to fuse.")
    state = ops.random.get_state()
    try:
        return _Plan(model).fused()  # type: ignore[no-any-return]
    finally:
        ops.random.set_state(state)  # new layers draw weights, which are replaced at once


class _Linear:
    """A layer that multiplies by a kernel: its new weights, in float64, while they are put together."""

    def __init__(self, layer: Dense | Conv2D) -> None:
        self.layer = layer
        self.kernel = layer.kernel.numpy().astype(np.float64)  # (..., inputs, outputs)
        self.bias = np.zeros(()) if layer.bias is None else layer.bias.numpy().astype(np.float64)
        self.changed = False

    @property
    def takes_after(self) -> bool:
        """Whether what comes after it acts on its bare sums."""
        return self.layer.activation in (None, registry.activations.get("linear"))

    def after(self, scale: np.ndarray, shift: np.ndarray) -> None:
        """Scale and shift each of its outputs."""
        self.kernel = self.kernel * scale
        self.bias = self.bias * scale + shift
        self.changed = True

    def before(self, scale: np.ndarray, shift: np.ndarray) -> None:
        """Scale and shift each of its inputs."""
        self.bias = self.bias + (self.kernel * shift[:, None]).sum(axis=tuple(range(self.kernel.ndim - 1)))
        self.kernel = self.kernel * scale[:, None]
        self.changed = True

    def remade(self, shape: Any) -> Layer:
        """Return the new layer."""
        old = self.layer
        if not self.changed:
            return _copied(old, shape)
        settings: Any = {"activation": old.activation, "name": old.name, "dtype": old.dtype_policy}
        new: Layer
        if isinstance(old, Dense):
            new = Dense(old.units, kernel_initializer="zeros", **settings)
        else:
            new = Conv2D(
                old.filters, old.kernel_size, old.strides, old.padding, dilation_rate=old.dilation_rate,
                kernel_initializer="zeros", **settings,
            )  # fmt: skip
        new.trainable = old.trainable
        new.build(shape)
        new.set_weights([self.kernel, self.bias])
        return new


class _Pending:
    """A batch normalisation that waits for the next layers with a kernel: what it does to a sample, which it fits."""

    def __init__(self, layer: BatchNormalization, after: str, scale: np.ndarray, shift: np.ndarray) -> None:
        self.layer = layer
        self.after = after
        self.scale = scale
        self.shift = shift


class _Step:
    """The call of a layer, or an input, in a model whose inner models are taken apart.

    Attributes:
        layer: The layer; of an input its ``InputLayer``, if it has one.
        inputs: The steps whose outputs it takes, in the form it takes them; of an input nothing.
        kwargs: Further arguments of the call.
        shape: The shape of its output.
        users: The steps that take its output, the model's end among them.
        linear: The new weights of a layer with a kernel.
        pending: What is still to be done to its output.
        gone: Whether it does nothing any more and gives what its input gives.
    """

    def __init__(self, layer: Any, inputs: Any = (), kwargs: Any = None, shape: Shape = ()) -> None:
        self.layer = layer
        self.inputs = inputs
        self.kwargs = kwargs or {}
        self.shape = shape
        self.users: list[_Step] = []
        self.linear: _Linear | None = None
        self.pending: _Pending | None = None
        self.gone = False
        for source in self.sources:
            source.users.append(self)

    @property
    def sources(self) -> list[_Step]:
        return list(nested.leaves(self.inputs))

    @property
    def source(self) -> _Step:
        """The only step whose output it takes."""
        (only,) = self.sources
        return only

    @property
    def input_shape(self) -> Any:
        return nested.map_leaves(lambda step: step.shape, self.inputs)


class _Plan:
    """The calls of a model, and what becomes of each."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.steps: list[_Step] = []
        if isinstance(model, Sequential):
            head = model._stack[0]
            self.heads = [_Step(head if isinstance(head, InputLayer) else None, shape=model.input_shape)]
            self.ends = self._unfold(model, self.heads[0])
        else:
            self.heads = [_Step(x.call.layer, shape=x.shape) for x in model.inputs]
            assert model._graph is not None
            self.ends = model._graph.run(self.heads, self._unfold)
        self.last = _Step(None, self.ends)
        self.calls = Counter(id(step.layer) for step in self.steps)

    def _unfold(self, layer: Layer, inputs: Any, **kwargs: Any) -> Any:
        """Note the call of a layer, or of those inside it, and return its last step."""
        if _is_row(layer):
            for inner in layer.layers:
                inputs = self._unfold(inner, inputs, **kwargs)
            return inputs
        if _is_graph(layer) and layer._graph is not None and not kwargs:
            return layer._graph.run(inputs, self._unfold)
        shape = layer.compute_output_shape(nested.map_leaves(lambda step: step.shape, inputs))
        if not is_shape(shape):
            raise ValueError(f"fuse: {_described(layer)} has several outputs, and fuse takes layers of one alone.")
        self.steps.append(_Step(layer, inputs, kwargs, shape))
        return self.steps[-1]

    def fused(self) -> Any:
        """Return the new model."""
        for step in self.steps:
            self._take(step)
        for step in self.last.sources:
            if step.pending is not None:
                raise self._refusal(step.pending, "no layer with weights comes after it")
        made: dict[int, Layer] = {}
        for step in self.steps:
            layer = step.layer
            if not step.gone and id(layer) not in made:
                shape = step.input_shape
                made[id(layer)] = _copied(layer, shape) if step.linear is None else step.linear.remade(shape)
        _name_apart(list(made.values()))
        settings = {"name": self.model.name, "dtype": self.model.dtype_policy}
        if isinstance(self.model, Sequential):
            first = [remade(head.layer) for head in self.heads if head.layer is not None]
            row = Sequential(first + [made[id(step.layer)] for step in self.steps if not step.gone], **settings)
            row.ensure_built(self.model.input_shape)
            return row
        values = {
            id(head): remade(head.layer).output if isinstance(head.layer, InputLayer) else Input(batch_shape=head.shape)
            for head in self.heads
        }
        for step in self.steps:
            inputs = nested.map_leaves(lambda source: values[id(source)], step.inputs)
            values[id(step)] = inputs if step.gone else made[id(step.layer)](inputs, **step.kwargs)
        heads = iter(self.heads)
        inputs = nested.map_leaves(lambda x: values[id(next(heads))], self.model.input)
        return Model(inputs, nested.map_leaves(lambda step: values[id(step)], self.ends), **settings)

    def _take(self, step: _Step) -> None:
        """Decide what becomes of a call, those before it being decided."""
        layer: Any = step.layer
        waiting = [source.pending for source in step.sources if source.pending is not None]
        if type(layer) is BatchNormalization and not step.kwargs.get("training"):
            self._normalize(step, layer)
        elif _does_nothing(layer) and not step.kwargs.get("training"):
            step.gone, step.pending = True, step.source.pending
        elif type(layer) in (Dense, Conv2D):
            self._multiply(step, layer)
        elif type(layer) is Flatten:
            if waiting:
                before, lengths = waiting[0], _known(step.input_shape[1:], layer)
                flat = (np.broadcast_to(part, lengths).ravel() for part in (before.scale, before.shift))
                step.pending = _Pending(before.layer, before.after, *flat)
        elif any(isinstance(inside, BatchNormalization) for inside, _ in layer._flatten()):
            raise ValueError(
                f"fuse: {layer.name!r} of class {type(layer).__name__} has a batch normalisation inside, and what it "
                "computes between its layers is not known: fuse takes apart Sequential models and graphs alone."
            )
        elif waiting:
            raise self._refusal(waiting[0], f"{_described(layer)} comes after it")

    def _normalize(self, step: _Step, layer: BatchNormalization) -> None:
        axis = range(len(step.shape))[layer.axis]
        scale, shift = _affine(layer)
        step.gone = True
        before = step.source.pending
        origin = self._origin(step)
        if before is None and origin is not None and axis == len(step.shape) - 1:
            origin.after(scale, shift)
            return
        along = tuple(-1 if i == axis else 1 for i in range(1, len(step.shape)))
        scale, shift = scale.reshape(along), shift.reshape(along)
        if before is not None:
            step.pending = _Pending(layer, before.after, before.scale * scale, before.shift * scale + shift)
            return
        source = step.source
        while source.gone:
            source = source.source
        after = "the model's input" if source in self.heads else _described(source.layer)
        step.pending = _Pending(layer, after, scale, shift)

    def _origin(self, step: _Step) -> _Linear | None:
        """Return the weights that give what a step takes, if nothing else takes it."""
        source = step.source
        while source.gone and len(source.users) == 1:
            source = source.source
        if source.linear is None or not source.linear.takes_after or len(source.users) > 1:
            return None
        return source.linear if self.calls[id(source.layer)] == 1 else None

    def _multiply(self, step: _Step, layer: Dense | Conv2D) -> None:
        step.linear = _Linear(layer)
        pending = step.source.pending
        if pending is None:
            return
        scale, shift = (np.atleast_1d(part) for part in (pending.scale, pending.shift))
        if any(n != 1 for n in (*scale.shape[:-1], *shift.shape[:-1])):
            reason = f"its axis {pending.layer.axis} is not the last, that of {_described(layer)}"
            raise self._refusal(pending, reason)
        if isinstance(layer, Conv2D) and layer.padding != "valid" and layer.kernel_size != (1, 1):
            reason = f"{_described(layer)} comes after it and surrounds the images by zeros"
            raise self._refusal(pending, reason)
        if self.calls[id(layer)] > 1:
            raise self._refusal(pending, f"{_described(layer)} comes after it and is called in other places too")
        features = layer.kernel.shape[-2]
        step.linear.before(*(np.broadcast_to(part.ravel(), features) for part in (scale, shift)))

    def _refusal(self, pending: _Pending, reason: str) -> ValueError:
        return ValueError(
            f"fuse: the batch normalisation {pending.layer.name!r} of model {self.model.name!r} cannot be folded "
            f"exactly: it follows {pending.after}, and {reason}. It must come after a Dense or Conv2D without "
            "activation, or before one with only Flatten or dropout between."
        )


def _is_row(layer: Layer) -> TypeGuard[Sequential]:
    """Tell whether a layer does nothing but to call those inside it in a row."""
    return isinstance(layer, Sequential) and type(layer).call is Sequential.call


def _is_graph(layer: Layer) -> TypeGuard[Model]:
    """Tell whether a layer does nothing but to call those of its graph."""
    return isinstance(layer, Model) and layer._graph is not None and type(layer).call is Model.call


def _does_nothing(layer: Layer) -> bool:
    """Tell whether a layer gives at inference what it takes."""
    linear = isinstance(layer, Activation) and layer.activation is registry.activations.get("linear")
    return layer.is_dropout or linear or isinstance(layer, InputLayer)


def _affine(layer: BatchNormalization) -> tuple[np.ndarray, np.ndarray]:
    """Return what a batch normalisation multiplies by and adds at inference, one number a feature, in float64."""
    mean, variance = (w.numpy().astype(np.float64) for w in (layer.moving_mean, layer.moving_variance))
    scale: np.ndarray = 1.0 / np.sqrt(variance + layer.epsilon)
    if layer.gamma is not None:
        scale = scale * layer.gamma.numpy()
    shift: np.ndarray = -mean * scale
    if layer.beta is not None:
        shift = shift + layer.beta.numpy()
    return scale, shift


def _copied(layer: Layer, shape: Any) -> Layer:
    """Return a new layer with the same weights."""
    new: Layer = remade(layer)
    if layer.weights:
        if isinstance(new, Model):
            new.compute_output_shape(shape)
        new.ensure_built(shape)
        new.set_weights(layer.get_weights())
    return new


def _known(lengths: Shape, layer: Layer) -> tuple[int, ...]:
    if None in lengths:
        raise ValueError(f"fuse: {layer.name!r} takes inputs of a shape that is not known, {lengths}: say all lengths.")
    return tuple(n or 0 for n in lengths)


def _described(layer: Layer) -> str:
    activation: Any = getattr(layer, "activation", None)
    name = getattr(activation, "__name__", type(activation).__name__)
    return f"{layer.name!r} ({type(layer).__name__}{f' with {name}' if activation is not None else ''})"


def _name_apart(layers: list[Layer]) -> None:
    """Number the names that layers of different models had in common."""
    taken: set[str] = set()
    for layer in layers:
        base, number = layer.name, 0
        while layer.name in taken:
            number += 1
            layer.name = f"{base}_{number}"
            for weight in layer._parts().weights.values():
                weight.path = f"{layer.name}/{weight.name}"
        taken.add(layer.name)
