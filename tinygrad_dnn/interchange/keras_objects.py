"""Layers, initializers, losses and the like as Keras's configurations have them, and as this package's have them."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from tinygrad_dnn import registry
from tinygrad_dnn.layers import Activation, InputLayer, Layer, Operation

# Where Keras keeps each kind.
_MODULES = {
    "keras.layers": registry.layers,
    "keras.initializers": registry.initializers,
    "keras.regularizers": registry.regularizers,
    "keras.constraints": registry.constraints,
    "keras.losses": registry.losses,
    "keras.metrics": registry.metrics,
    "keras.optimizers": registry.optimizers,
    "keras.optimizers.schedules": registry.schedulers,
}
_MODULE_OF = {kind.kind: module for module, kind in _MODULES.items()}
# Arguments of Keras's alone that say nothing, whatever they are; and such that say nothing at one value.
_SILENT = frozenset({"name", "renorm_momentum"})
_SAYS_NOTHING = {"data_format": "channels_last", "autocast": True}
# Arguments of this package's alone, with the value at which Keras does the same.
_OURS = {
    "unbiased": False, "epsilon_outside": False, "normalize_gradients": False, "momentum_decay": 1.0,
}  # fmt: skip
_OURS_OF = {
    ("SparseCategoricalCrossentropy", "axis"): -1,
}
# Keras's operations between symbolic tensors, by the names of this package's functions.
_OPERATIONS = {
    "add": "Add", "subtract": "Subtract", "multiply": "Multiply", "divide": "TrueDivide", "power": "Power",
    "matmul": "Matmul", "negative": "Negative", "abs": "Absolute", "exp": "Exp", "expm1": "Expm1", "log": "Log",
    "log1p": "Log1p", "sqrt": "Sqrt", "square": "Square", "sin": "Sin", "cos": "Cos", "tanh": "Tanh", "sign": "Sign",
    "floor": "Floor", "maximum": "Maximum", "minimum": "Minimum",
}  # fmt: skip
_FROM_OPERATIONS = {name: ours for ours, name in _OPERATIONS.items()} | {"Divide": "divide", "Abs": "abs"}
# What stands for a symbolic tensor in Keras's configurations.
TENSOR = "__keras_tensor__"
_OF_OPERATIONS = "keras.src.ops.numpy"
# Layers and activations of one name that do not compute the same.
_DIFFERENT = {
    "sparsemax": "Keras 3 adds up running sums where elements are meant: put the activation into a layer of your own",
    "RandomCrop": "at inference Keras 3 leaves the images as they are, and this package cuts and scales them as "
    "Keras's documentation says: take CenterCrop or Resizing",
}


class NoCounterpartError(ValueError):
    """What one of the two packages has and the other has not.

    Example:
        >>> issubclass(td.interchange.NoCounterpartError, ValueError)
        True
    """


# -- from Keras -------------------------------------------------------------------------------------------------------


def layer_from_keras(config: dict[str, Any]) -> Layer:
    """Return the layer that a configuration of Keras's describes, without weights.

    Args:
        config: ``{"class_name": ..., "config": {...}}``, as ``keras.layers.serialize`` gives it.

    Raises:
        NoCounterpartError: There is no such layer here, or none with one of its arguments.

    Example:
        >>> td.interchange.layer_from_keras({"class_name": "Dense", "config": {"name": "d", "units": 3}}).units
        3
    """
    name, given = config["class_name"], dict(config["config"])
    owner = f"Keras's layer {given.get('name')!r} of class {name}"
    if (config.get("module") or "").startswith("keras.src.ops"):
        return _operation_from_keras(name, given, owner)
    if name == "Lambda":
        raise NoCounterpartError(
            f"{owner} holds a function in Keras's operations: write it in td.ops, and put a td.layers.Lambda in its "
            "place."
        )
    _refuse_different(name, given, owner, "here")
    try:
        cls: Any = registry.layers._entry(name).obj
    except registry.UnknownNameError as error:
        raise NoCounterpartError(
            f"{owner} has no counterpart here: take another layer in its place, or name one of your own under its name "
            "in custom_objects, or by td.registry.layers.register."
        ) from error
    if issubclass(cls, InputLayer) and "batch_shape" in given:
        batch_size, *shape = given.pop("batch_shape")
        given |= {"shape": shape, "batch_size": batch_size}
    if given.get("activation") == "linear" and cls is not Activation:
        given["activation"] = None  # as a layer here has it that was given none
    return cls.from_config(_accepted(cls, given, owner))  # type: ignore[no-any-return]


def _refuse_different(name: str, given: dict[str, Any], owner: str, place: str) -> None:
    """Refuse a layer that is not the same in the other package, or has an activation that is not."""
    for found in (name, given.get("activation")):
        if isinstance(found, str) and found in _DIFFERENT:
            what = owner if found == name else f"{owner} has the activation {found!r}, which"
            raise NoCounterpartError(f"{what} is not the same {place}: {_DIFFERENT[found]}.")


def _operation_from_keras(name: str, given: dict[str, Any], owner: str) -> Layer:
    further = sorted(key for key, value in given.items() if key not in ("name", "dtype") and value is not None)
    if name not in _FROM_OPERATIONS or further:
        raise NoCounterpartError(
            f"{owner} is one of keras.ops, which has no counterpart here"
            f"{f' with {further[0]}={given[further[0]]!r}' if further else ''}: put a td.layers.Lambda in its place."
        )
    return Operation(_FROM_OPERATIONS[name], name=given.get("name"))


def value_from_keras(value: Any, owner: str) -> Any:
    """Return what a configuration of Keras's says, as this package's says it; ``owner`` is what an error calls it.

    Raises:
        NoCounterpartError: Something in it has no counterpart here.

    Example:
        >>> he = {"module": "keras.initializers", "class_name": "HeNormal", "config": {"seed": 1, "input_axes": None}}
        >>> td.interchange.value_from_keras(he, "the layer")
        {'class_name': 'HeNormal', 'config': {'seed': 1}}
    """
    if isinstance(value, (list, tuple)):
        return [value_from_keras(part, owner) for part in value]
    if not isinstance(value, dict):
        return value
    name, config = value.get("class_name"), value.get("config")
    if not isinstance(name, str) or config is None:
        return {key: value_from_keras(part, owner) for key, part in value.items()}
    if name.endswith("DTypePolicy"):
        return _dtype_from_keras(name, config, owner)
    if name == "function":
        return config
    if name in ("__numpy__", "__tensor__"):
        return np.asarray(config["value"], config["dtype"])
    kind = _MODULES.get(value.get("module") or "")
    if kind is None or name not in kind:
        raise NoCounterpartError(
            f"{owner} has {value.get('module') or 'a'} {name}, which has no counterpart here: register one under that "
            "name, or take another."
        )
    if kind is registry.losses and not isinstance(kind._entry(name).obj, type):
        name = f"{name}_loss"  # a function here has the name of Keras's class
    return {"class_name": name, "config": _accepted(kind._entry(name).obj, config, f"{name} of {owner}")}


def _dtype_from_keras(name: str, config: dict[str, Any], owner: str) -> str:
    found = config.get("name") or config.get("source_name")
    if name != "DTypePolicy":
        raise NoCounterpartError(
            f"{owner} has the {name} {found!r}, which has no counterpart here: give it 'float32', 'float64', "
            "'float16', 'mixed_float16' or 'mixed_bfloat16'."
        )
    return str(found)


def _accepted(cls: type, given: dict[str, Any], owner: str) -> dict[str, Any]:
    """Return the arguments that a class takes, translated; those it does not take must say nothing."""
    known = _parameters(cls)
    kept = {}
    for key, value in given.items():
        if key in known:
            kept[key] = value_from_keras(_rounded(value), owner)
        elif value not in (None, False) and key not in _SILENT and _SAYS_NOTHING.get(key) != value:
            raise NoCounterpartError(
                f"{owner} has {key}={value!r:.60}, an argument that {cls.__name__} does not have here: leave it at its "
                "default, or take another layer."
            )
    return kept


def _rounded(value: Any) -> Any:
    """Return a number that was kept in single precision as it was written: 0.001, not 0.0010000000474974513."""
    return float(str(np.float32(value))) if isinstance(value, float) and value == float(np.float32(value)) else value


def _parameters(cls: type) -> set[str]:
    """Return the names of the arguments of a class, those that it hands on to its bases among them."""
    names: set[str] = set()
    for base in cls.__mro__:
        if "__init__" not in vars(base) or base is object:
            continue
        parameters = inspect.signature(base.__init__).parameters.values()  # type: ignore[misc]
        names.update(p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return names - {"self"}


# -- to Keras ---------------------------------------------------------------------------------------------------------


def layer_to_keras(layer: Layer) -> dict[str, Any]:
    """Return the configuration from which Keras makes a layer like this one.

    Raises:
        NoCounterpartError: Keras has none that computes the same.

    Example:
        >>> config = td.interchange.layer_to_keras(td.layers.ELU(alpha=0.5, name="e"))
        >>> config["class_name"], config["config"]["alpha"]
        ('ELU', 0.5)
    """
    owner = f"layer {layer.name!r} of class {type(layer).__name__}"
    if isinstance(layer, Operation):
        return _operation_to_keras(layer, owner)
    if type(layer).__name__ in ("Lambda", "RReLU") or registry.layers.origin(layer).distribution != "tinygrad-dnn":
        raise NoCounterpartError(f"{owner} has no counterpart in Keras: take another layer in its place.")
    given = layer.get_config()
    _refuse_different(type(layer).__name__, given, owner, "in Keras")
    given.pop("input_shape", None)
    if given["trainable"] or layer.is_dropout:
        del given["trainable"]  # some of Keras's dropout layers, which have nothing to train, do not take it
    if isinstance(layer, InputLayer):
        given = {"batch_shape": list(layer.batch_shape), "dtype": layer.dtype, "name": layer.name}
    return _object("keras.layers", type(layer).__name__, _said(type(layer).__name__, given, owner))


def _operation_to_keras(layer: Operation, owner: str) -> dict[str, Any]:
    name = _OPERATIONS.get(layer.operation)
    if name is None:
        raise NoCounterpartError(f"{owner} applies td.{layer.operation}, which is not translated for Keras.")
    return {"module": _OF_OPERATIONS, "class_name": name, "config": {"name": layer.name}, "registered_name": name}


def value_to_keras(value: Any, kind: registry.Registry, owner: str) -> Any:
    """Return one thing that is registered here, or its name or configuration, as Keras's configurations have it.

    Raises:
        NoCounterpartError: Keras has none that does the same.

    Example:
        >>> td.interchange.value_to_keras("he_normal", td.registry.initializers, "the layer")["class_name"]
        'HeNormal'
    """
    if value is None or (isinstance(value, str) and kind.kind in ("activations", "losses", "metrics")):
        return value
    found = kind.get(value)
    if not hasattr(found, "get_config"):
        name = kind.serialize(found)
        if isinstance(name, str):
            return name
        raise NoCounterpartError(
            f"{owner} has {name} as {kind.row.one}, and Keras's configurations know such functions by their names "
            "alone: use the layer of that name."
        )
    if kind.origin(found).distribution != "tinygrad-dnn":
        raise NoCounterpartError(f"{owner} has {kind.serialize(found)}, which Keras does not know.")
    name = type(found).__name__
    return _object(_MODULE_OF[kind.kind], name, _said(name, found.get_config(), owner))


def _said(name: str, given: dict[str, Any], owner: str) -> dict[str, Any]:
    """Return a class's arguments for Keras, without those of this package's alone."""
    said = {}
    for key, value in given.items():
        if key in _OURS or (name, key) in _OURS_OF:
            neutral = _OURS_OF[name, key] if (name, key) in _OURS_OF else _OURS[key]
            if value != neutral:
                raise NoCounterpartError(f"{owner} has {key}={value!r}, an argument that Keras does not have.")
            continue
        kind = _kind_of(key, value)
        if kind is not None:
            value = value_to_keras(value, kind, owner)
        elif key == "axis" and name in registry.constraints and isinstance(value, list) and len(value) == 1:
            value = value[0]
        said[key] = value
    return said


def _kind_of(key: str, value: Any) -> registry.Registry | None:
    """Return the kind of thing that an argument names."""
    for ending, kind in (
        ("initializer", registry.initializers),
        ("regularizer", registry.regularizers),
        ("constraint", registry.constraints),
        ("activation", registry.activations),
    ):
        if key.endswith(ending):
            return kind
    if key == "inner_optimizer":
        return registry.optimizers
    return registry.schedulers if key == "learning_rate" and isinstance(value, (dict, str)) else None


def _object(module: str, name: str, config: dict[str, Any]) -> dict[str, Any]:
    return {"module": module, "class_name": name, "config": config, "registered_name": None}
