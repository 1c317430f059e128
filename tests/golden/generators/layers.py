"""Outputs and gradients of small layers: activations with arguments, LayerNormalization, rescaling, merging.

RReLU, which Keras has not, is PyTorch's.
"""

from __future__ import annotations

from typing import Any

import jax
import keras
import numpy as np
import torch

ONE: dict[str, dict[str, Any]] = {
    "relu": {"layer": "ReLU", "config": {}, "shape": [4, 6]},
    "relu_options": {
        "layer": "ReLU",
        "config": {"max_value": 2.0, "negative_slope": 0.1, "threshold": 0.5},
        "shape": [4, 6],
    },
    "leaky_relu": {"layer": "LeakyReLU", "config": {}, "shape": [4, 6]},
    "leaky_relu_slope": {"layer": "LeakyReLU", "config": {"negative_slope": 0.01}, "shape": [4, 6]},
    "prelu": {"layer": "PReLU", "config": {}, "shape": [4, 6]},
    "prelu_axes": {"layer": "PReLU", "config": {}, "shape": [2, 3, 4]},
    "prelu_shared": {"layer": "PReLU", "config": {"shared_axes": [1, 2]}, "shape": [2, 3, 4, 5]},
    "elu": {"layer": "ELU", "config": {}, "shape": [4, 6]},
    "elu_alpha": {"layer": "ELU", "config": {"alpha": 0.5}, "shape": [4, 6]},
    "softmax": {"layer": "Softmax", "config": {}, "shape": [4, 6]},
    "softmax_axis": {"layer": "Softmax", "config": {"axis": 1}, "shape": [2, 3, 4]},
    "layer_normalization": {"layer": "LayerNormalization", "config": {}, "shape": [4, 6]},
    "layer_normalization_epsilon": {"layer": "LayerNormalization", "config": {"epsilon": 1e-5}, "shape": [4, 6]},
    "layer_normalization_sequence": {"layer": "LayerNormalization", "config": {}, "shape": [2, 3, 4]},
    "layer_normalization_axis": {"layer": "LayerNormalization", "config": {"axis": 1}, "shape": [2, 3, 4]},
    "layer_normalization_axes": {"layer": "LayerNormalization", "config": {"axis": [1, 2]}, "shape": [2, 3, 4, 2]},
    "layer_normalization_no_center": {"layer": "LayerNormalization", "config": {"center": False}, "shape": [4, 6]},
    "layer_normalization_no_scale": {"layer": "LayerNormalization", "config": {"scale": False}, "shape": [4, 6]},
    "layer_normalization_neither": {
        "layer": "LayerNormalization",
        "config": {"center": False, "scale": False},
        "shape": [4, 6],
    },
    "rescaling": {"layer": "Rescaling", "config": {"scale": 1 / 127.5, "offset": -1.0}, "shape": [4, 6]},
    "rescaling_channels": {
        "layer": "Rescaling",
        "config": {"scale": [0.5, 1.0, 2.0], "offset": [0.0, -1.0, 1.0]},
        "shape": [2, 2, 2, 3],
    },
    "normalization": {"layer": "Normalization", "config": {}, "shape": [4, 3], "data": [50, 3]},
    "normalization_images": {"layer": "Normalization", "config": {}, "shape": [2, 3, 3, 4], "data": [20, 3, 3, 4]},
    "normalization_axes": {"layer": "Normalization", "config": {"axis": [1, 2]}, "shape": [2, 3, 4], "data": [9, 3, 4]},
    "normalization_all": {"layer": "Normalization", "config": {"axis": None}, "shape": [4, 3], "data": [50, 3]},
    "normalization_invert": {"layer": "Normalization", "config": {"invert": True}, "shape": [4, 3], "data": [50, 3]},
    "normalization_given": {
        "layer": "Normalization",
        "config": {"mean": [1.0, 2.0, 3.0], "variance": [4.0, 0.25, 0.0]},
        "shape": [4, 3],
    },
    "reshape": {"layer": "Reshape", "config": {"target_shape": [2, 3]}, "shape": [4, 6]},
    "reshape_rest": {"layer": "Reshape", "config": {"target_shape": [-1, 2, 2]}, "shape": [4, 3, 4]},
    "permute": {"layer": "Permute", "config": {"dims": [3, 1, 2]}, "shape": [2, 3, 4, 5]},
    "repeat_vector": {"layer": "RepeatVector", "config": {"n": 3}, "shape": [2, 4]},
}
SEVERAL: dict[str, dict[str, Any]] = {
    "add": {"layer": "Add", "config": {}, "shapes": [[2, 3], [2, 3], [2, 3]]},
    "add_broadcast": {"layer": "Add", "config": {}, "shapes": [[2, 3, 4], [2, 1, 4]]},
    "subtract": {"layer": "Subtract", "config": {}, "shapes": [[2, 3], [2, 3]]},
    "multiply": {"layer": "Multiply", "config": {}, "shapes": [[2, 3], [2, 3], [2, 3]]},
    "average": {"layer": "Average", "config": {}, "shapes": [[2, 3], [2, 3], [2, 3]]},
    "maximum": {"layer": "Maximum", "config": {}, "shapes": [[2, 3], [2, 3], [2, 3]]},
    "minimum": {"layer": "Minimum", "config": {}, "shapes": [[2, 3], [2, 3], [2, 3]]},
    "concatenate": {"layer": "Concatenate", "config": {}, "shapes": [[2, 3], [2, 1], [2, 4]]},
    "concatenate_axis": {"layer": "Concatenate", "config": {"axis": 1}, "shapes": [[2, 3, 4], [2, 2, 4]]},
}


def make() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Each layer once; where there are several inputs, the arrays are numbered: ``x0``, ``x1``, ``grad_x0``."""
    cases: dict[str, dict[str, Any]] = {}
    for index, (name, row) in enumerate((ONE | SEVERAL).items()):
        cases[name] = {**row, **run(row, np.random.default_rng([20240507, index]))}
    cases["rrelu_inference"] = rrelu()
    return {}, cases


def run(row: dict[str, Any], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The arrays of one case; ``cotangent`` weighs the outputs whose sum is differentiated."""
    shapes = row.get("shapes") or [row["shape"]]
    inputs = [rng.normal(0.5, 2.0, size=shape).astype(np.float32) for shape in shapes]
    layer = getattr(keras.layers, row["layer"])(**row["config"])
    out: dict[str, np.ndarray] = {}
    if "data" in row:
        out["data"] = rng.normal(100.0, 5.0, size=row["data"]).astype(np.float32)
        layer.adapt(out["data"])
    one = "shape" in row
    value = layer(inputs[0] if one else inputs)
    for weight in layer.trainable_variables:
        out[weight.name] = rng.normal(0.5, 0.5, size=weight.shape).astype(np.float32)
        weight.assign(out[weight.name])
    if "data" in row:
        out["mean"], out["variance"] = (np.asarray(w) for w in (layer.adapt_mean, layer.adapt_variance))
    cotangent = rng.normal(size=value.shape).astype(np.float32)
    fixed = [variable.value for variable in layer.non_trainable_variables]

    def loss(inputs: list[jax.Array], weights: list[jax.Array]) -> tuple[jax.Array, jax.Array]:
        outputs, _ = layer.stateless_call(weights, fixed, inputs[0] if one else inputs)
        return (outputs * cotangent).sum(), outputs

    weights = [variable.value for variable in layer.trainable_variables]
    arrays = [jax.numpy.asarray(x) for x in inputs]
    (_, outputs), (grads, weight_grads) = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(arrays, weights)
    for i, (x, grad) in enumerate(zip(inputs, grads, strict=True)):
        out[f"x{i}"], out[f"grad_x{i}"] = x, np.asarray(grad)
    for variable, grad in zip(layer.trainable_variables, weight_grads, strict=True):
        out[f"grad_{variable.name}"] = np.asarray(grad)
    return {**out, "cotangent": cotangent, "out": np.asarray(outputs)}


def rrelu() -> dict[str, Any]:
    """PyTorch's RReLU at inference, with its defaults."""
    rng = np.random.default_rng([20240507, 1000])
    x, cotangent = (rng.normal(0.5, 2.0, size=(4, 6)).astype(np.float32) for _ in range(2))
    given = torch.tensor(x, requires_grad=True)
    layer = torch.nn.RReLU().eval()
    outputs = layer(given)
    outputs.backward(torch.tensor(cotangent))
    arrays = {"x0": x, "cotangent": cotangent, "out": outputs.detach().numpy(), "grad_x0": given.grad.numpy()}
    note = f"made by PyTorch {torch.__version__.split('+')[0]}, lower {layer.lower}, upper {layer.upper}"
    return {"layer": "RReLU", "config": {}, "shape": [4, 6], "note": note, **arrays}
