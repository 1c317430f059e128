"""PyTorch's state dicts: weights by name in PyTorch's order of axes, to and from the layers of a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygrad_dnn.layers import BatchNormalization, Conv2D, Dense, Flatten, InputLayer, Layer, LayerNormalization, PReLU
from tinygrad_dnn.layers.symbolic import SymbolicTensor, first_call
from tinygrad_dnn.models import Model
from tinygrad_dnn.tensor import Variable

Change = Callable[[np.ndarray], np.ndarray]
# The height, width and channels of images whose elements stand in a row.
Images = tuple[int, int, int] | None


def _same(array: np.ndarray) -> np.ndarray:
    return array


class _Entry(NamedTuple):
    """A weight, what PyTorch calls it, and how its axes lie there and back."""

    name: str
    weight: Variable
    to_torch: Change = _same
    from_torch: Change = _same


class _Module(NamedTuple):
    """A layer with weights, the names that PyTorch would give it, and its weights."""

    layer: Layer
    entries: list[_Entry]
    counts: bool = False  # batches, as PyTorch's BatchNorm does


# PyTorch's count of the batches that a normalisation has seen, which no layer here keeps.
_COUNT = "num_batches_tracked"


def load_state_dict(model: Model, state_dict: Mapping[str, Any], names: Mapping[str, str] | None = None) -> None:
    """Set the weights of a model from a PyTorch ``state_dict``, which is made of arrays or of tensors.

    PyTorch's ``Linear`` is a ``Dense``, ``Conv2d`` a ``Conv2D``, ``BatchNorm1d`` and ``BatchNorm2d`` are a
    ``BatchNormalization``, ``LayerNorm`` is a ``LayerNormalization`` (both with epsilon=1e-5), ``PReLU`` a ``PReLU``.
    The axes of kernels are put in this package's order, and so are the features of what follows a ``Flatten`` of
    images, whose channels are last here. ``num_batches_tracked`` is left out.

    The modules of the dict, which are what stands before the last dot of its names, and the model's layers with weights
    are matched in order, unless ``names`` says otherwise. Nothing is set if anything does not fit.

    Args:
        model: A model that is built.
        state_dict: Arrays, or what NumPy makes arrays of, by name, as ``torch.nn.Module.state_dict()`` returns them.
        names: The layer's name for each module: ``{"0": "hidden", "fc.out": "outputs"}``; all of the layers' or none.

    Raises:
        ValueError: The model is not built or has a layer with weights that PyTorch's modules do not have, or the two do
            not fit together.
        TypeError: ``state_dict`` is no dict.

    Example:
        >>> model = td.Sequential([td.layers.Dense(2, name="hidden", input_shape=(3,))])
        >>> td.interchange.load_state_dict(model, {"0.weight": np.ones((2, 3)), "0.bias": np.zeros(2)})
        >>> model.predict(np.ones((1, 3)))
        array([[3., 3.]], dtype=float32)
    """
    modules = _modules(model, "load_state_dict")
    given = _by_module(state_dict)
    chosen = _matched(modules, list(given), names)
    changes: list[tuple[Variable, np.ndarray]] = []
    for module, name in zip(modules, chosen, strict=True):
        arrays = given[name]
        wanted = [entry.name for entry in module.entries]
        owner = f"load_state_dict: {type(module.layer).__name__} {module.layer.name!r} and the module {name!r}"
        if sorted(arrays) != sorted(wanted):
            raise ValueError(
                f"{owner} do not fit: the layer takes {wanted}, and the module holds {list(arrays)}; layers are "
                "matched in order unless names says otherwise."
            )
        for entry in module.entries:
            array, like = arrays[entry.name], entry.to_torch(entry.weight.numpy())
            if array.shape != like.shape and not (array.size == like.size == 1):
                raise ValueError(
                    f"{owner} do not fit: {entry.name!r} must have shape {like.shape}, as PyTorch orders its axes, not "
                    f"{array.shape}."
                )
            changes.append((entry.weight, entry.from_torch(array.reshape(like.shape))))
    for weight, array in changes:
        weight.assign(array.astype(weight.dtype))


def state_dict(model: Model, names: Mapping[str, str] | None = None) -> dict[str, np.ndarray]:
    """Return the weights of a model by the names, and with the order of axes, of PyTorch's modules.

    ``module.load_state_dict({name: torch.from_numpy(array) for name, array in ...})`` takes them.

    Args:
        model: A model that is built, of the layers that ``load_state_dict`` names.
        names: What to call the module of each layer, by the layer's name: ``{"hidden": "0"}``; the layer's name by
            default.

    Raises:
        ValueError: The model is not built, or has a layer with weights that PyTorch's modules do not have.

    Example:
        >>> model = td.Sequential([td.layers.Dense(2, name="hidden", input_shape=(3,))])
        >>> {name: array.shape for name, array in td.interchange.state_dict(model, {"hidden": "0"}).items()}
        {'0.weight': (2, 3), '0.bias': (2,)}
    """
    modules = _modules(model, "state_dict")
    unknown = sorted(set(names or {}) - {module.layer.name for module in modules})
    if unknown:
        raise ValueError(f"state_dict: model {model.name!r} has no layer {unknown[0]!r} with weights.")
    found: dict[str, np.ndarray] = {}
    for module in modules:
        name = (names or {}).get(module.layer.name, module.layer.name)
        for entry in module.entries:
            found[f"{name}.{entry.name}"] = np.ascontiguousarray(entry.to_torch(entry.weight.numpy()))
        if module.counts:
            found[f"{name}.{_COUNT}"] = np.array(0, np.int64)
    return found


def _matched(modules: Sequence[_Module], given: list[str], names: Mapping[str, str] | None) -> list[str]:
    """Return the module of the dict for each layer."""
    layers = [module.layer.name for module in modules]
    if names is None:
        if len(given) != len(modules):
            raise ValueError(
                f"load_state_dict: the dict has {len(given)} modules, {given}, and the model {len(layers)} layers with "
                f"weights, {layers}: take out what is too much, or say by names which module is which layer."
            )
        return given
    for module, layer in names.items():
        if module not in given or layer not in layers:
            raise ValueError(
                f"load_state_dict: names says that {module!r} is {layer!r}; the dict has {given}, and the model "
                f"{layers}."
            )
    of_layer = {layer: module for module, layer in names.items()}
    lacking = [layer for layer in layers if layer not in of_layer]
    if lacking or len(of_layer) < len(names):
        raise ValueError(f"load_state_dict: names must give each of {layers} one module; it gives {dict(names)}.")
    return [of_layer[layer] for layer in layers]


def _by_module(state_dict: Mapping[str, Any]) -> dict[str, dict[str, np.ndarray]]:
    """Return the arrays of each module, by what stands before and after the last dot."""
    if not isinstance(state_dict, Mapping):
        raise TypeError(
            f"load_state_dict: it takes a dict of arrays by name, as module.state_dict() returns it, not "
            f"{type(state_dict).__name__}: read a file of PyTorch's by torch.load, a safetensors file by "
            "td.saving.read_tensors(path)[0]."
        )
    found: dict[str, dict[str, np.ndarray]] = {}
    for name, value in state_dict.items():
        module, _, own = str(name).rpartition(".")
        if own == _COUNT:
            continue
        host = value.detach().cpu().numpy() if hasattr(value, "detach") and hasattr(value, "cpu") else np.asarray(value)
        if host.dtype.kind not in "fiu":
            raise ValueError(f"load_state_dict: {name!r} must be an array of numbers, not {type(value).__name__}.")
        found.setdefault(module, {})[own] = host
    return found


def _modules(model: Model, caller: str) -> list[_Module]:
    """Return the layers with weights, in order."""
    if not isinstance(model, Model):
        raise TypeError(f"{caller}: it takes a model, not {type(model).__name__}.")
    if not model.built:
        raise ValueError(
            f"{caller}: model {model.name!r} is not built: call it on data, or its build(input_shape), first."
        )
    heads = {id(x.call.layer) for x in model.inputs}
    calls = [first_call(layer) for layer, _ in model._flatten() if isinstance(layer, Flatten)]
    flat = {call.shapes[-1] for call in calls if call is not None and len(call.sources[0].shape) == 4}
    found = []
    for layer, parts in model._flatten():
        if parts.weights:
            images, head = _images_before(layer)
            inside = head is not None and id(head) not in heads
            if inside and isinstance(layer, Dense) and layer.kernel.shape[0] in flat:
                raise ValueError(
                    f"{caller}: Dense {layer.name!r} is the first of a model inside {model.name!r}, and whether its "
                    "features are those of flattened images, which PyTorch has in another order, cannot be seen there: "
                    "load that model by itself, or draw its layers in the outer one."
                )
            found.append(_module(layer, images, caller))
    return found


def _images_before(layer: Layer) -> tuple[Images, Layer | None]:
    """Return the shape of the images whose elements a layer takes as a vector, if there is a Flatten before it.

    With it comes the InputLayer that the layer takes its inputs from, if nothing between makes other features of them.
    """
    call = first_call(layer)
    while call is not None and isinstance(call.inputs, SymbolicTensor):
        call = call.inputs.call
        shape = call.inputs.shape if isinstance(call.inputs, SymbolicTensor) else ()
        if isinstance(call.layer, Flatten):
            lengths = [n or 0 for n in shape[1:]]
            return (lengths[0], lengths[1], lengths[2]) if len(lengths) == 3 else None, None
        if isinstance(call.layer, InputLayer):
            return None, call.layer
        if call.shapes != shape or isinstance(call.layer, Dense):  # other features
            return None, None
    return None, None


def _module(layer: Layer, images: Images, caller: str) -> _Module:
    entries: list[tuple[str, Any, Change, Change]]
    vector = _vector(images)
    if type(layer) is Dense:
        entries = [("weight", layer.kernel, *_linear(images)), ("bias", layer.bias, _same, _same)]
    elif type(layer) is Conv2D:
        entries = [("weight", layer.kernel, _axes(3, 2, 0, 1), _axes(2, 3, 1, 0)), ("bias", layer.bias, _same, _same)]
    elif type(layer) is BatchNormalization:
        entries = [
            ("weight", layer.gamma, *vector), ("bias", layer.beta, *vector),
            ("running_mean", layer.moving_mean, *vector), ("running_var", layer.moving_variance, *vector),
        ]  # fmt: skip
    elif type(layer) is LayerNormalization:
        whole = (_axes(2, 0, 1), _axes(1, 2, 0)) if len(layer._lengths) == 3 else vector
        entries = [("weight", layer.gamma, *whole), ("bias", layer.beta, *whole)]
    elif type(layer) is PReLU and sum(n > 1 for n in layer.alpha.shape) < 2:
        shape = layer.alpha.shape
        to_torch, from_torch = vector
        entries = [
            ("weight", layer.alpha, lambda a: to_torch(a.reshape(-1)), lambda a: from_torch(a).reshape(shape)),
        ]  # fmt: skip
    else:
        raise ValueError(
            f"{caller}: {type(layer).__name__} {layer.name!r} has weights, and is none of PyTorch's Linear, Conv2d, "
            "BatchNorm, LayerNorm and PReLU, which has a slope for all or for each channel: set its weights by "
            "layer.set_weights."
        )
    kept = [_Entry(*entry) for entry in entries if entry[1] is not None]
    return _Module(layer, kept, isinstance(layer, BatchNormalization))


def _axes(*order: int) -> Change:
    return lambda array: np.transpose(array, order)


def _linear(images: Images) -> tuple[Change, Change]:
    """Return how the kernel of a Dense becomes the weight of a Linear, and back."""
    if images is None:
        return np.transpose, np.transpose
    height, width, channels = images
    return (
        lambda kernel: kernel.reshape(height, width, channels, -1).transpose(3, 2, 0, 1).reshape(kernel.shape[1], -1),
        lambda weight: weight.reshape(-1, channels, height, width).transpose(2, 3, 1, 0).reshape(-1, len(weight)),
    )


def _vector(images: Images) -> tuple[Change, Change]:
    """Return how a number for each element of flattened images is put in PyTorch's order, and back."""
    if images is None:
        return _same, _same
    height, width, channels = images
    return (
        lambda array: array.reshape(height, width, channels).transpose(2, 0, 1).reshape(-1),
        lambda array: array.reshape(channels, height, width).transpose(1, 2, 0).reshape(-1),
    )
