"""Mixed precision: dynamic loss scaling step by step; layers and a network under Keras's policies and autocast.

The steps of ``LossScaleOptimizer`` are Keras's, with gradients that are not finite at some of them. The network's loss
and gradients are Keras's under both policies, and PyTorch's under ``torch.autocast("cpu", torch.bfloat16)``.
"""

from __future__ import annotations

from typing import Any

import jax
import keras
import numpy as np
import torch

STEPS = 20
# At which steps, counted from 0, which weight's gradient has one element that is not finite.
BROKEN = {4: ("kernel", np.inf), 5: ("bias", np.nan), 13: ("bias", -np.inf)}
SCALED: dict[str, tuple[str, dict[str, Any]]] = {
    "scaled_sgd": ("SGD", {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}),
    "scaled_adam": ("Adam", {"learning_rate": 0.1}),
    "scaled_adam_clipped": ("Adam", {"learning_rate": 0.1, "global_clipnorm": 0.5, "weight_decay": 0.1}),
    "scaled_rmsprop": ("RMSprop", {"learning_rate": 0.01, "clipvalue": 0.5}),
    "scaled_sgd_ema": ("SGD", {"learning_rate": 0.1, "use_ema": True, "ema_momentum": 0.5}),
    "scaled_adam_accumulation": ("Adam", {"learning_rate": 0.1, "gradient_accumulation_steps": 3}),
}
SCALE = {"initial_scale": 16.0, "dynamic_growth_steps": 3}
POLICIES = ("mixed_float16", "mixed_bfloat16")
# The class, its arguments, what it is called with of the inputs, and whether in training.
LAYERS: dict[str, tuple[str, dict[str, Any], str, bool]] = {
    "dense": ("Dense", {"units": 5, "activation": "elu"}, "rows", False),
    "dense_softmax": ("Dense", {"units": 5, "activation": "softmax"}, "rows", False),
    "conv": ("Conv2D", {"filters": 4, "kernel_size": 3, "padding": "same", "activation": "relu"}, "images", False),
    "batch_training": ("BatchNormalization", {}, "large", True),
    "batch_inference": ("BatchNormalization", {}, "rows", False),
    "layer_normalization": ("LayerNormalization", {}, "large", False),
    "prelu": ("PReLU", {}, "rows", False),
    "softmax": ("Softmax", {}, "rows", False),
    "average_pooling": ("AveragePooling2D", {"pool_size": 2}, "images", False),
    "global_average": ("GlobalAveragePooling2D", {}, "images", False),
    "max_pooling": ("MaxPooling2D", {"pool_size": 2}, "images", False),
    "flatten": ("Flatten", {}, "images", False),
}
UNITS, CLASSES = 16, 3


def make() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """All of it."""
    rng = np.random.default_rng(20260501)
    inputs: dict[str, Any] = {
        "start_kernel": rng.normal(size=(4, 3)).astype(np.float32),
        "start_bias": rng.normal(size=3).astype(np.float32),
        "kernel": rng.normal(size=(STEPS, 4, 3)).astype(np.float32),
        "bias": rng.normal(size=(STEPS, 3)).astype(np.float32),
        "broken": [[step, name, str(value)] for step, (name, value) in BROKEN.items()],
        "rows": rng.normal(size=(8, 6)).astype(np.float32),
        # Squares of these are infinite in float16.
        "large": (300 + 100 * rng.normal(size=(8, 6))).astype(np.float32),
        "images": rng.normal(size=(2, 6, 6, 3)).astype(np.float32),
        "classes": rng.integers(0, CLASSES, 8),
    }
    cases = {name: _trajectory(cls, config, inputs) for name, (cls, config) in SCALED.items()}
    for policy in POLICIES:
        cases |= {f"{policy}/{name}": _layer(policy, row, inputs, rng) for name, row in LAYERS.items()}
        cases[f"{policy}/network"] = _network(policy, inputs)
    cases["float32/network"] = _network("float32", inputs)
    cases["torch_bfloat16/network"] = _torch_network(cases["float32/network"], inputs)
    return inputs, {name.replace("/", "_"): case for name, case in cases.items()}


def _trajectory(cls: str, config: dict[str, Any], inputs: dict[str, Any]) -> dict[str, Any]:
    optimizer = keras.optimizers.LossScaleOptimizer(getattr(keras.optimizers, cls)(**config), **SCALE)
    weights = {name: keras.Variable(inputs[f"start_{name}"], name=name) for name in ("kernel", "bias")}
    record: dict[str, list[Any]] = {key: [] for key in ("scale", "counter", "iterations", *weights)}
    optimizer.build(list(weights.values()))
    # Stateless, since ``apply`` of Keras on JAX assigns inside a traced branch.
    state, values = [v.value for v in optimizer.variables], [w.value for w in weights.values()]
    for step in range(STEPS):
        of = {v.path: value for v, value in zip(optimizer.variables, state, strict=True)}
        scale = np.float32(_named(of, "dynamic_scale"))
        grads = {name: inputs[name][step] * scale for name in weights}
        if step in BROKEN:
            name, value = BROKEN[step]
            grads[name].flat[0] = value
        values, state = optimizer.stateless_apply(state, [jax.numpy.asarray(g) for g in grads.values()], values)
        of = {v.path: value for v, value in zip(optimizer.variables, state, strict=True)}
        counted = optimizer.inner_optimizer._iterations
        iterations = next(value for v, value in zip(optimizer.variables, state, strict=True) if v is counted)
        for key, value in (
            ("scale", _named(of, "dynamic_scale")),
            ("counter", _named(of, "step_counter")),
            ("iterations", iterations),
            *zip(weights, values, strict=True),
        ):
            record[key].append(np.array(value))
    return {"class": cls, "config": config, **SCALE, **{key: np.array(values) for key, values in record.items()}}


def _named(values: dict[str, Any], name: str) -> Any:
    return next(value for path, value in values.items() if path.endswith(name))


def _layer(
    policy: str, row: tuple[str, dict[str, Any], str, bool], inputs: dict[str, Any], rng: np.random.Generator
) -> dict[str, Any]:
    cls, config, given, training = row
    layer = getattr(keras.layers, cls)(**config, dtype=policy)
    layer.build(inputs[given].shape)
    # Variances among them are positive.
    weights = [np.abs(rng.normal(size=w.shape)).astype(np.float32) + 0.25 for w in layer.weights]
    layer.set_weights(weights)
    output = layer(inputs[given], training=training) if cls == "BatchNormalization" else layer(inputs[given])
    return {
        "class": cls,
        "config": config,
        "given": given,
        "training": training,
        "policy": policy,
        "dtype": keras.backend.standardize_dtype(output.dtype),
        "compute_dtype": layer.compute_dtype,
        "variable_dtypes": [keras.backend.standardize_dtype(w.dtype) for w in layer.weights],
        "output": np.asarray(output).astype(np.float32),
        **{f"weight_{i}": w for i, w in enumerate(weights)},
        **{f"moved_{i}": np.asarray(w.value) for i, w in enumerate(layer.weights) if not w.trainable},
    }


def _network(policy: str, inputs: dict[str, Any]) -> dict[str, Any]:
    keras.utils.set_random_seed(7)
    model = keras.Sequential(
        [
            keras.layers.Dense(UNITS, activation="elu", dtype=policy),
            keras.layers.LayerNormalization(epsilon=1e-5, dtype=policy),
            keras.layers.Dense(CLASSES, activation="softmax", dtype=policy),
        ]
    )
    model.build((None, 6))
    loss = keras.losses.SparseCategoricalCrossentropy()
    weights = [w.value for w in model.trainable_variables]

    def of(values: Any) -> Any:
        outputs, _ = model.stateless_call(values, [], inputs["rows"])
        return loss(inputs["classes"], outputs)

    value, gradients = jax.value_and_grad(of)(weights)
    return {
        "policy": policy,
        "loss": float(value),
        **{f"weight_{i}": np.asarray(w) for i, w in enumerate(weights)},
        **{f"gradient_{i}": np.asarray(g) for i, g in enumerate(gradients)},
    }


def _torch_network(like: dict[str, Any], inputs: dict[str, Any]) -> dict[str, Any]:
    first, norm, last = torch.nn.Linear(6, UNITS), torch.nn.LayerNorm(UNITS), torch.nn.Linear(UNITS, CLASSES)
    own = [first.weight, first.bias, norm.weight, norm.bias, last.weight, last.bias]
    with torch.no_grad():
        for i, weight in enumerate(own):
            weight.copy_(torch.tensor(like[f"weight_{i}"].T))
    with torch.autocast("cpu", torch.bfloat16):
        hidden = torch.nn.functional.elu(first(torch.tensor(inputs["rows"])))
        normed = norm(hidden)
        logits = last(normed)
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(inputs["classes"]))
    loss.backward()
    return {
        "loss": float(loss.detach()),
        "dtypes": {
            name: str(x.dtype).removeprefix("torch.")
            for name, x in (("hidden", hidden), ("normed", normed), ("logits", logits), ("loss", loss))
        },
        **{f"weight_{i}": like[f"weight_{i}"] for i in range(len(own))},
        **{f"gradient_{i}": np.ascontiguousarray(w.grad.numpy().T) for i, w in enumerate(own)},
    }
