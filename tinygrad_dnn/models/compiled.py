"""What a model was compiled with, and how far its optimizer has come, as JSON and back."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tinygrad_dnn import nested, registry
from tinygrad_dnn.metrics import MeanMetricWrapper
from tinygrad_dnn.models.base import Model
from tinygrad_dnn.optimizers import Optimizer
from tinygrad_dnn.saving import state
from tinygrad_dnn.saving.errors import FileError
from tinygrad_dnn.saving.values import Decoder, Encoder
from tinygrad_dnn.tensor import Variable

_PARTS = ("loss", "loss_weights", "metrics", "weighted_metrics")
# A pattern from a file may not take for ever: none of these on a group, and few of them, and of "|", in all.
_REPEATS = re.compile(r"[*+?{]")
_MOST_REPEATS, _MOST_CHOICES, _LONGEST_PATTERN, _LONGEST_NAME = 2, 4, 200, 256


def describe(model: Model, encoder: Encoder, weights: Mapping[str, Variable]) -> dict[str, Any] | None:
    """Return the arguments of ``compile`` as JSON has them, None for a model that is not compiled.

    Args:
        model: The model.
        encoder: What turns values into JSON's.
        weights: The model's weights by their names in the file.

    Raises:
        ValueError: One of them has no name that a file could give.
    """
    if not model._compiled:
        return None
    owner = f"what model {model.name!r} was compiled with"
    given = model._objectives._given
    optimizer = model.optimizer
    try:
        made = {
            "optimizer": encoder.encode(registry.optimizers.serialize(optimizer), owner),
            "loss": encoder.encode(_each(_loss, given["loss"]), owner),
            "loss_weights": encoder.encode(given["loss_weights"], owner),
            "metrics": encoder.encode(_each(_metric, given["metrics"]), owner),
            "weighted_metrics": encoder.encode(_each(_metric, given["weighted_metrics"]), owner),
        }
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ValueError(str(error) if str(error).startswith(owner) else f"{owner} cannot be saved: {error}") from error
    names = {id(weight): name for name, weight in weights.items()}
    excluded = optimizer._undecayed
    try:
        _check_patterns([*excluded._patterns, *_patterns_of(optimizer.get_config())], weights)
    except FileError as error:
        raise ValueError(f"{owner} cannot be saved: {error}") from None
    return {
        **made,
        "run_eagerly": bool(model.run_eagerly),
        "jit_compile": model._jit_compile,
        "state_of": [name for name, weight in weights.items() if id(weight) in optimizer._slots],
        "undecayed": {
            "weights": [names[id(weight)] for weight in excluded._weights if id(weight) in names],
            "patterns": list(excluded._patterns),
        },
    }


def _each(function: Callable[[Any], Any], given: Any) -> Any:
    """Apply a function to each loss or metric in the lists and dicts by output that hold them."""
    return nested.map_leaves(function, given, leaf=lambda x: isinstance(x, dict) and "class_name" in x)


def _loss(given: Any) -> Any:
    found = registry.losses.get(given)
    return found if _is_unknown_function(registry.losses, found) else registry.losses.serialize(found)


def _metric(given: Any) -> Any:
    if given is None or (isinstance(given, str) and given.lower() in ("accuracy", "acc")):
        return given
    if callable(given) and not isinstance(given, type) and not hasattr(given, "update_state"):
        return given  # a function, which the encoder names
    found = registry.metrics.get(given)
    if type(found) is MeanMetricWrapper:
        return found  # what its function is, the encoder says
    saved = registry.metrics.serialize(found)
    return given if isinstance(given, str) else saved  # the history's key is what the user wrote


def _is_unknown_function(names: registry.Registry, found: Any) -> bool:
    """Tell whether something is a plain function that no registry has, which the encoder gives a name of its own."""
    return hasattr(found, "__code__") and not names.holds(found)


def restore(model: Model, description: dict[str, Any], decoder: Decoder, weights: Mapping[str, Variable]) -> None:
    """Compile a model as it was.

    Raises:
        FileError: The description lacks something.
    """
    try:
        config = decoder.decode(description["optimizer"])
        undecayed = description["undecayed"]
        _check_patterns([*undecayed["patterns"], *_patterns_of(config.get("config", {}))], weights)
        optimizer: Optimizer = registry.optimizers.get(config)
        arguments = {part: decoder.decode(description[part]) for part in _PARTS}
        how = {"run_eagerly": description["run_eagerly"], "jit_compile": description["jit_compile"]}
        if model.dtype_policy.name == "mixed_float16":
            how["auto_scale_loss"] = False  # the optimizer is wrapped if it was
        model.compile(optimizer, **arguments, **how)
        kept = [weights[name] for name in undecayed["weights"]]
    except KeyError as error:
        raise FileError(f"it does not say {error} of how the model was compiled") from None
    if kept or undecayed["patterns"]:
        optimizer.exclude_from_weight_decay(kept, undecayed["patterns"])


def restore_state(
    optimizer: Optimizer,
    names: list[str],
    weights: Mapping[str, Variable],
    arrays: dict[str, np.ndarray[Any, Any]],
) -> None:
    """Give an optimizer the state that a file holds; the arrays are taken out of the dict as they find their place.

    Raises:
        FileError: The file has not all of it, or has more, or something of another shape.
    """
    for name in names:
        if name not in weights:
            raise FileError(f"it has an optimizer's state of {name!r:.60}, and the model no such weight")
        # One at a time: what is made here is given up for the file's at once.
        optimizer.build([weights[name]])
        own = state.optimizer_state(optimizer, {name: weights[name]})
        _bind({key: value for key, value in own.items() if key.startswith(f"{state.OPTIMIZER}{name}/")}, arrays)
    _bind(state.optimizer_state(optimizer, {}), arrays, any_float=True)
    left = [name for name in arrays if name.startswith(state.OPTIMIZER)]
    if left:
        raise FileError(f"it has {left[0]!r:.80}, which the optimizer {optimizer.name!r} does not keep")


def _bind(variables: dict[str, Variable], arrays: dict[str, np.ndarray[Any, Any]], any_float: bool = False) -> None:
    for name, variable in variables.items():
        array = arrays.pop(name, None)
        if array is not None and any_float and array.dtype.kind == variable.dtype.kind == "f":
            # It was made under another default floating-point type than that under which the model was saved.
            variable.data = variable.data.astype(array.dtype)
        if array is None or array.shape != variable.shape or array.dtype != variable.dtype:
            found = "nothing" if array is None else f"{array.dtype} of shape {array.shape}"
            raise FileError(
                f"of the optimizer's {name.removeprefix(state.OPTIMIZER)!r} it has {found}, and that is "
                f"{variable.dtype} of shape {variable.shape}"
            )
        state.bind(variable, array)


def _patterns_of(config: dict[str, Any]) -> list[Any]:
    """Return the regular expressions among an optimizer's arguments, and among those of one that it wraps."""
    inner = config.get("inner_optimizer")
    inside = inner.get("config") if isinstance(inner, dict) else None
    return [*(config.get("exclude_layers") or ()), *(_patterns_of(inside) if isinstance(inside, dict) else ())]


def _check_patterns(patterns: list[Any], weights: Mapping[str, Variable]) -> None:
    """Raise FileError where a regular expression could take for ever on the weights' names."""
    for pattern in patterns:
        involved = (
            not isinstance(pattern, str)
            or len(pattern) > _LONGEST_PATTERN
            or len(_REPEATS.findall(pattern)) > _MOST_REPEATS
            or pattern.count("|") > _MOST_CHOICES
            or re.search(r"\)[*+?{]", pattern)
        )
        if involved:
            raise FileError(
                f"the regular expression {pattern!r:.80} is too involved to be run from a file: of * + ? {{ it may "
                f"have {_MOST_REPEATS}, none behind a bracket, and of | {_MOST_CHOICES}; use several plain ones"
            )
    if patterns and any(len(weight.path) > _LONGEST_NAME for weight in weights.values()):
        raise FileError(f"a regular expression is run on names of at most {_LONGEST_NAME} characters: shorten them")
