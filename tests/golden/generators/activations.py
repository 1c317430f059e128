"""Values and derivatives of every Keras activation function, on a grid and at extreme arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import keras
import numpy as np

GRID = np.linspace(-30, 30, 241).astype(np.float32)
EXTREME = np.array(
    [-1e4, -1e3, -200, -104, -89, -50, -1e-3, -1e-6, -1e-10, 1e-10, 1e-6, 1e-3, 50, 88, 89, 104, 200, 1e3, 1e4],
    dtype=np.float32,
)
ELEMENTWISE: dict[str, tuple[str, dict[str, Any]]] = {
    name: (name, {})
    for name in (
        "linear relu relu6 leaky_relu elu selu celu gelu silu mish tanh sigmoid hard_sigmoid hard_silu hard_tanh "
        "softplus softsign exponential log_sigmoid hard_shrink soft_shrink tanh_shrink squareplus sparse_plus "
        "sparse_sigmoid"
    ).split()
}
ELEMENTWISE |= {
    "relu_options": ("relu", {"negative_slope": 0.1, "max_value": 6.0, "threshold": 1.0}),
    "relu_max_value": ("relu", {"max_value": 6.0}),
    "relu_negative_slope": ("relu", {"negative_slope": 0.1}),
    "relu_threshold": ("relu", {"threshold": 1.0}),
    "leaky_relu_slope": ("leaky_relu", {"negative_slope": 0.01}),
    "elu_alpha": ("elu", {"alpha": 0.5}),
    "celu_alpha": ("celu", {"alpha": 0.5}),
    "gelu_approximate": ("gelu", {"approximate": True}),
    "hard_shrink_options": ("hard_shrink", {"threshold": 2.0}),
    "soft_shrink_options": ("soft_shrink", {"threshold": 2.0}),
    "squareplus_options": ("squareplus", {"b": 1.0}),
    "threshold": ("threshold", {"threshold": 1.0, "default_value": -2.0}),
}
BY_ROW: dict[str, tuple[str, dict[str, Any]]] = {
    "softmax": ("softmax", {}),
    "softmax_axis_0": ("softmax", {"axis": 0}),
    "log_softmax": ("log_softmax", {}),
    "log_softmax_axis_0": ("log_softmax", {"axis": 0}),
    "sparsemax": ("sparsemax", {}),
    "glu": ("glu", {}),
}


def make() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Elementwise functions on the grid (cotangent of ones), the others on rows with a fixed cotangent."""
    rng = np.random.default_rng(20240504)
    rows = rng.permutation(GRID[:240]).reshape(24, 10)
    rows[:12] /= 8
    rows[0] = np.linspace(-1e4, 1e4, 10)
    rows[1] = 3.0
    cotangent = rng.normal(size=(24, 10)).astype(np.float32)
    inputs = {"grid": GRID, "extreme": EXTREME, "rows": rows, "cotangent": cotangent}
    cases: dict[str, dict[str, Any]] = {}
    for name, (function, kwargs) in ELEMENTWISE.items():
        f = bind(function, kwargs)
        value, gradient = pull(f, GRID, np.ones_like(GRID))
        extreme_value, extreme_gradient = pull(f, EXTREME, np.ones_like(EXTREME))
        cases[name] = {
            "function": function,
            "kwargs": kwargs,
            "input": "grid",
            "kinks": kinks(f),
            "value": value,
            "gradient": gradient,
            "extreme_value": extreme_value,
            "extreme_gradient": extreme_gradient,
        }
    for name, (function, kwargs) in BY_ROW.items():
        f = bind(function, kwargs)
        shape = f(rows).shape
        value, gradient = pull(f, rows, cotangent[:, : shape[1]])
        cases[name] = {
            "function": function,
            "kwargs": kwargs,
            "input": "rows",
            "value": value,
            "gradient": gradient,
        }
    return inputs, cases


def bind(function: str, kwargs: dict[str, Any]) -> Callable[[Any], jax.Array]:
    """The Keras function of that name with its keywords fixed."""
    chosen = getattr(keras.activations, function)
    return lambda x: chosen(jax.numpy.asarray(x), **kwargs)


def pull(f: Callable[[Any], jax.Array], x: np.ndarray, cotangent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The value and the vector-Jacobian product."""
    value, vjp = jax.vjp(f, jax.numpy.asarray(x))
    return np.asarray(value), np.asarray(vjp(jax.numpy.asarray(cotangent))[0])


def kinks(f: Callable[[Any], jax.Array]) -> list[float]:
    """Grid points where the derivative jumps, so that the recorded one is a convention of Keras on JAX."""
    left, right = (pull(f, GRID + np.float32(shift), np.ones_like(GRID))[1] for shift in (-1e-3, 1e-3))
    return [float(x) for x in GRID[np.abs(left - right) > 0.02 * np.maximum(1, np.abs(right))]]
