"""Fusing: batch normalisation folded into the weights of the layers beside it, for a faster inference."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeGuard

import numpy as np

from tinygrad_dnn import ops, registry
from tinygrad_dnn.layers import Activation, BatchNormalization, Conv2D, Dense, Flatten, InputLayer, Layer
from tinygrad_dnn.layers.arguments import Shape
from tinygrad_dnn.models import Model, Sequential, remade


def fuse(model: Sequential) -> Sequential:
    """Return a new model that predicts the same without its batch normalisations, whose work other weights now do.

    With s = sqrt(moving variance + epsilon), a batch normalisation is x gamma / s + beta - mean gamma / s at inference.
    After a ``Dense`` without activation it becomes part of that: W' = W gamma / s, b' = (b - mean) gamma / s + beta.
    Before a ``Dense`` it becomes part of that one: W' = diag(gamma / s) W, b' = b + (beta - mean gamma / s) W; between
    the two there may be a ``Flatten``. ``Conv2D`` takes it in likewise, but not from before where it surrounds the
    images by zeros: what is added to them would have to be added to the zeros too. Where something stands in the way on
    both sides, as an activation, no weights do the same: that is refused.

    The model is for inference: dropout layers, which do nothing there, are left out, as are regularizers and
    constraints of changed weights. Models inside it become part of the chain. The layers are new ones with the old
    names, and the old model stays as it is.

    Args:
        model: A ``Sequential`` model that is built.

    Raises:
        TypeError: It is no ``Sequential``.
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
    if not _is_row(model):
        raise TypeError(f"fuse: it takes a Sequential model with the call of its own, not {type(model).__name__}.")
    if not model.built:
        raise ValueError(f"fuse: model {model.name!r} is not built: train it, or call it on data, first.")
    if not any(isinstance(layer, BatchNormalization) for layer, _ in model._flatten()):
        raise ValueError(f"fuse: model {model.name!r} has no BatchNormalization, so there is nothing to fuse.")
    state = ops.random.get_state()
    try:
        return _Chain(model).fused()
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

    def remade(self, shape: Shape) -> Layer:
        """Return the new layer."""
        old = self.layer
        if not self.changed:
            return _copied(old, shape)
        settings: Any = {"activation": old.activation, "name": old.name, "dtype": old.dtype}
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
    """A batch normalisation that waits for the next layer with a kernel: what it does to a sample, which it fits."""

    def __init__(self, layer: BatchNormalization, after: str, scale: np.ndarray, shift: np.ndarray) -> None:
        self.layer = layer
        self.after = after
        self.scale = scale
        self.shift = shift


class _Chain:
    """The layers of a model in a row, and the new ones made of them so far."""

    def __init__(self, model: Sequential) -> None:
        self.model = model
        self.made: list[tuple[Layer | _Linear, Shape]] = []
        self.pending: _Pending | None = None

    def fused(self) -> Sequential:
        """Return the new model."""
        for layer, shape in _unfolded(self.model, self.model.input_shape):
            self._take(layer, shape)
        if self.pending is not None:
            raise self._refusal(self.pending, "no layer with weights comes after it")
        layers = [
            made.remade(shape) if isinstance(made, _Linear) else _copied(made, shape) for made, shape in self.made
        ]
        _name_apart(layers)
        fused = Sequential(layers, name=self.model.name, dtype=self.model.dtype)
        if not fused.built:
            fused.build(self.model.input_shape)
        return fused

    def _take(self, layer: Layer, shape: Shape) -> None:
        """Take in the next layer, for inputs of this shape."""
        if layer.is_dropout or (isinstance(layer, InputLayer) and (self.made or self.pending)):
            return
        if type(layer) is BatchNormalization:
            self._normalize(layer, shape)
        elif type(layer) in (Dense, Conv2D):
            self._multiply(layer, shape)  # type: ignore[arg-type]
        elif type(layer) is Flatten:
            if self.pending is not None:
                lengths = _known(shape[1:], layer)
                self.pending.scale = np.broadcast_to(self.pending.scale, lengths).ravel()
                self.pending.shift = np.broadcast_to(self.pending.shift, lengths).ravel()
            self.made.append((layer, shape))
        elif any(isinstance(inside, BatchNormalization) for inside, _ in layer._flatten()):
            raise ValueError(
                f"fuse: {layer.name!r} of class {type(layer).__name__} has a batch normalisation inside, and what it "
                "computes between its layers is not known: fuse takes apart Sequential models alone."
            )
        else:
            if self.pending is not None:
                raise self._refusal(self.pending, f"{_described(layer)} comes after it")
            self.made.append((layer, shape))

    def _normalize(self, layer: BatchNormalization, shape: Shape) -> None:
        axis = range(len(shape))[layer.axis]
        scale, shift = _affine(layer)
        previous = self.made[-1][0] if self.made else None
        if self.pending is None and isinstance(previous, _Linear) and previous.takes_after and axis == len(shape) - 1:
            previous.after(scale, shift)
            return
        along = tuple(-1 if i == axis else 1 for i in range(1, len(shape)))
        scale, shift = scale.reshape(along), shift.reshape(along)
        if self.pending is None:
            source = previous.layer if isinstance(previous, _Linear) else previous
            after = "the model's input" if source is None else _described(source)
            self.pending = _Pending(layer, after, scale, shift)
        else:
            self.pending.shift = self.pending.shift * scale + shift
            self.pending.scale = self.pending.scale * scale

    def _multiply(self, layer: Dense | Conv2D, shape: Shape) -> None:
        linear = _Linear(layer)
        if self.pending is not None:
            scale, shift = (np.atleast_1d(part) for part in (self.pending.scale, self.pending.shift))
            if any(n != 1 for n in (*scale.shape[:-1], *shift.shape[:-1])):
                reason = f"its axis {self.pending.layer.axis} is not the last, that of {_described(layer)}"
                raise self._refusal(self.pending, reason)
            if isinstance(layer, Conv2D) and layer.padding != "valid" and layer.kernel_size != (1, 1):
                reason = f"{_described(layer)} comes after it and surrounds the images by zeros"
                raise self._refusal(self.pending, reason)
            features = layer.kernel.shape[-2]
            linear.before(*(np.broadcast_to(part.ravel(), features) for part in (scale, shift)))
            self.pending = None
        self.made.append((linear, shape))

    def _refusal(self, pending: _Pending, reason: str) -> ValueError:
        return ValueError(
            f"fuse: the batch normalisation {pending.layer.name!r} of model {self.model.name!r} cannot be folded "
            f"exactly: it follows {pending.after}, and {reason}. It must come after a Dense or Conv2D without "
            "activation, or before one with only Flatten or dropout between."
        )


def _is_row(layer: Layer) -> TypeGuard[Sequential]:
    """Tell whether a layer does nothing but to call those inside it in a row."""
    return isinstance(layer, Sequential) and type(layer).call is Sequential.call


def _unfolded(model: Sequential, shape: Shape) -> Iterator[tuple[Layer, Shape]]:
    """Yield the layers of a model, and of the models inside it, with the shapes of their inputs."""
    for layer in model._stack:
        if _is_row(layer):
            yield from _unfolded(layer, shape)
        elif not (isinstance(layer, Activation) and layer.activation is registry.activations.get("linear")):
            yield layer, shape
        shape = layer.compute_output_shape(shape)


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


def _copied(layer: Layer, shape: Shape) -> Layer:
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
