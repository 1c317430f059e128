"""fit on graphs of layers: residual, shared, nested and frozen ones, with several inputs and outputs."""

from __future__ import annotations

from typing import Any

import functional_networks as networks
import keras
import numpy as np


def make() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Four epochs of five steps for each network, from weights drawn by NumPy."""
    inputs = networks.data()
    return inputs, {network.__name__: run(network, inputs, i) for i, network in enumerate(networks.NETWORKS)}


def run(network: Any, inputs: dict[str, Any], index: int) -> dict[str, Any]:
    """First and last weights, history, what evaluate returns, and predictions."""
    rng = np.random.default_rng([20240704, index])
    model, x, y, settings, fitting = network(keras, inputs)
    weights = networks.named_weights(model)
    for weight in weights.values():
        weight.assign(drawn(weight, rng))
    initial = {f"initial/{name}": np.array(weight) for name, weight in weights.items()}
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), **settings)
    history = model.fit(x, y, epochs=4, batch_size=5, shuffle=False, verbose=0, **fitting).history
    predicted = model.predict(x, verbose=0)
    if isinstance(predicted, dict):
        predicted = [predicted[name] for name in y]
    predicted = predicted if isinstance(predicted, list) else [predicted]
    return {
        "history": {key: [float(value) for value in values] for key, values in history.items()},
        "evaluate": [float(value) for value in model.evaluate(x, y, verbose=0)],
        **{f"predict_{i}": part for i, part in enumerate(predicted)},
        **initial,
        **{f"final/{name}": np.array(weight) for name, weight in weights.items()},
    }


def drawn(weight: Any, rng: np.random.Generator) -> np.ndarray:
    """First values: near 1 for a scale or a variance, near 0 for what is added, else a kernel's."""
    if len(weight.shape) > 1:
        return rng.normal(size=weight.shape) / np.sqrt(np.prod(weight.shape[:-1]))
    level = 1 if weight.path.endswith(("gamma", "variance")) else 0
    return level + rng.uniform(-0.2, 0.2, size=weight.shape)
