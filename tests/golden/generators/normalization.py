"""BatchNormalization in training and in inference: outputs, moving statistics and gradients."""

from __future__ import annotations

from typing import Any

import jax
import keras
import numpy as np

CALLS = 3
CASES: dict[str, dict[str, Any]] = {
    "default": {"shape": [8, 5], "config": {}},
    "momentum_epsilon": {"shape": [8, 5], "config": {"momentum": 0.9, "epsilon": 1e-5}},
    "no_center": {"shape": [8, 5], "config": {"center": False}},
    "no_scale": {"shape": [8, 5], "config": {"scale": False}},
    "neither": {"shape": [8, 5], "config": {"center": False, "scale": False}},
    "one_row": {"shape": [1, 5], "config": {}},
    "three_axes": {"shape": [4, 3, 5], "config": {}},
    "images": {"shape": [2, 3, 3, 4], "config": {"axis": -1}},
    "images_channels_first": {"shape": [2, 4, 3, 3], "config": {"axis": 1}},
    "pixels": {"shape": [32, 5], "config": {}, "note": "inputs from 0 to 255, one column constant"},
    "frozen": {"shape": [8, 5], "config": {}, "trainable": False, "note": "trainable=False means inference"},
}


def make() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Three calls in training, then one in inference, for each configuration."""
    return {}, {name: {**row, **run(row, index, name)} for index, (name, row) in enumerate(CASES.items())}


def run(row: dict[str, Any], index: int, name: str) -> dict[str, np.ndarray]:
    """The arrays of one case; ``cotangent`` weighs the outputs whose sum is differentiated."""
    rng = np.random.default_rng([20240503, index])
    shape, config = tuple(row["shape"]), row["config"]
    axis = config.get("axis", -1)
    channels = shape[axis]
    x = rng.normal(1.5, 2.0, size=(CALLS, *shape))
    if name == "pixels":
        x = rng.integers(0, 256, size=(CALLS, *shape)).astype(float)
        x[..., 2] = 17.0
    out: dict[str, np.ndarray] = {
        "x": x.astype(np.float32),
        "cotangent": rng.normal(size=shape).astype(np.float32),
        "x_inference": rng.normal(1.0, 3.0, size=shape).astype(np.float32),
    }
    layer = keras.layers.BatchNormalization(**config)
    layer.build(shape)
    values = {"gamma": rng.normal(1.0, 0.5, size=channels), "beta": rng.normal(size=channels)}
    if not row.get("trainable", True):
        layer.moving_mean.assign(rng.normal(size=channels).astype(np.float32))
        layer.moving_variance.assign(rng.uniform(0.5, 2.0, size=channels).astype(np.float32))
        layer.trainable = False
    out["initial_moving_mean"] = layer.moving_mean.numpy().copy()
    out["initial_moving_variance"] = layer.moving_variance.numpy().copy()
    for weight_name, value in values.items():
        weight = getattr(layer, weight_name)
        if weight is not None:
            weight.assign(value.astype(np.float32))
            out[weight_name] = weight.numpy().copy()
    record: dict[str, list[np.ndarray]] = {}
    for call in range(CALLS):
        gradients = differentiate(layer, out["x"][call], out["cotangent"], training=True)
        result = np.asarray(layer(out["x"][call], training=True))
        for key, value in {
            "training_out": result,
            "moving_mean": layer.moving_mean.numpy().copy(),
            "moving_variance": layer.moving_variance.numpy().copy(),
            **{f"training_grad_{key}": value for key, value in gradients.items()},
        }.items():
            record.setdefault(key, []).append(value)
    out.update({key: np.stack(value) for key, value in record.items()})
    out["inference_out"] = np.asarray(layer(out["x_inference"], training=False))
    for key, value in differentiate(layer, out["x_inference"], out["cotangent"], training=False).items():
        out[f"inference_grad_{key}"] = value
    return out


def differentiate(
    layer: keras.layers.Layer, x: np.ndarray, cotangent: np.ndarray, training: bool
) -> dict[str, np.ndarray]:
    """Gradients of sum(out * cotangent) with respect to the input and to each trainable weight."""
    fixed = [variable.value for variable in layer.non_trainable_variables]

    def loss(x: jax.Array, weights: list[jax.Array]) -> jax.Array:
        outputs, _ = layer.stateless_call(weights, fixed, x, training=training)
        return (outputs * cotangent).sum()

    weights = [variable.value for variable in layer.trainable_variables]
    grad_x, grad_weights = jax.grad(loss, argnums=(0, 1))(jax.numpy.asarray(x), weights)
    names = [variable.name for variable in layer.trainable_variables]
    return {"x": np.asarray(grad_x), **{n: np.asarray(g) for n, g in zip(names, grad_weights, strict=True)}}
