"""Conv2D, pooling and zero padding: outputs and gradients for each padding, stride and dilation."""

from __future__ import annotations

from typing import Any

import jax
import keras
import numpy as np

SHAPE = (2, 7, 6, 3)
# Keras refuses strides beside dilation.
STEPS = [(1, 1, 1), (2, 2, 1), (3, 2, 1), (1, 1, 2), (1, 1, 3)]
WINDOWS = [((2, 2), None), ((2, 2), 1), ((3, 2), (2, 3)), (3, 2)]


def configurations() -> dict[str, dict[str, Any]]:
    """Class and arguments of each case, by name."""
    found: dict[str, dict[str, Any]] = {}
    for padding in ("valid", "same"):
        for kernel in ([3, 3], [2, 3], [1, 1], [4, 2]):
            for down, right, dilation in STEPS:
                spans = [(n - 1) * dilation + 1 for n in kernel]
                if padding == "valid" and any(span > n for span, n in zip(spans, SHAPE[1:3], strict=True)):
                    continue
                name = f"conv_{padding}_{kernel[0]}x{kernel[1]}_strides_{down}{right}_dilation_{dilation}"
                found[name] = {
                    "class": "Conv2D",
                    "config": {
                        "filters": 4,
                        "kernel_size": kernel,
                        "strides": [down, right],
                        "padding": padding,
                        "dilation_rate": dilation,
                    },
                }
        for pool, strides in WINDOWS:
            for kind in ("MaxPooling2D", "AveragePooling2D"):
                name = f"{kind}_{padding}_{pool}_strides_{strides}".replace(" ", "")
                config = {"pool_size": pool, "strides": strides, "padding": padding}
                found[name] = {"class": kind, "config": config}
    same = {"filters": 2, "kernel_size": 3, "padding": "same"}
    found["conv_no_bias"] = {"class": "Conv2D", "config": {**same, "use_bias": False}}
    found["conv_activation"] = {"class": "Conv2D", "config": {**same, "activation": "elu"}}
    for keepdims in (False, True):
        name = f"global_average_keepdims_{keepdims}"
        found[name] = {"class": "GlobalAveragePooling2D", "config": {"keepdims": keepdims}}
    for padding in (1, (2, 0), ((1, 2), (0, 3))):
        found[f"zero_padding_{padding}".replace(" ", "")] = {"class": "ZeroPadding2D", "config": {"padding": padding}}
    return found


def make() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """One call of each layer with its gradients."""
    x = np.random.default_rng(20240601).normal(size=SHAPE).astype(np.float32)
    cases = {name: {**row, **run(row, x, i)} for i, (name, row) in enumerate(configurations().items())}
    return {"x": x}, cases


def run(row: dict[str, Any], x: np.ndarray, index: int) -> dict[str, np.ndarray]:
    """The arrays of one case; ``cotangent`` weighs the outputs whose sum is differentiated."""
    rng = np.random.default_rng([20240602, index])
    layer = getattr(keras.layers, row["class"])(**row["config"])
    layer.build(SHAPE)
    out: dict[str, np.ndarray] = {}
    for weight in layer.trainable_variables:
        weight.assign(rng.normal(size=weight.shape).astype(np.float32))
        out[weight.name] = weight.numpy().copy()
    out["out"] = np.asarray(layer(x))
    out["cotangent"] = rng.normal(size=out["out"].shape).astype(np.float32)

    def loss(x: jax.Array, weights: list[jax.Array]) -> jax.Array:
        outputs, _ = layer.stateless_call(weights, [], x)
        return (outputs * out["cotangent"]).sum()

    weights = [variable.value for variable in layer.trainable_variables]
    grad_x, grad_weights = jax.grad(loss, argnums=(0, 1))(jax.numpy.asarray(x), weights)
    names = [variable.name for variable in layer.trainable_variables]
    gradients = {"x": grad_x, **dict(zip(names, grad_weights, strict=True))}
    return {**out, **{f"grad_{name}": np.asarray(value) for name, value in gradients.items()}}
