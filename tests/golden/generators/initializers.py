"""Bounds and standard deviations of Keras's initializers: the formula's figures beside measured ones."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras.src.initializers.random_initializers import compute_fans

SHAPE = (300, 200)
LARGE = (3000, 2000)
TRUNCATED_STD = 0.87962566103423978
VARIANCE_SCALING = {
    f"{family}_{kind}": {"scale": scale, "mode": mode, "distribution": distribution}
    for family, scale, mode in (("glorot", 1.0, "fan_avg"), ("he", 2.0, "fan_in"), ("lecun", 1.0, "fan_in"))
    for kind, distribution in (("uniform", "uniform"), ("normal", "truncated_normal"))
}
OPTIONS = {
    "scaling_fan_out_uniform": {"scale": 0.5, "mode": "fan_out", "distribution": "uniform"},
    "scaling_fan_out_truncated": {"scale": 0.5, "mode": "fan_out", "distribution": "truncated_normal"},
    "scaling_untruncated": {"scale": 2.0, "mode": "fan_in", "distribution": "untruncated_normal"},
}
PLAIN: dict[str, tuple[dict[str, Any], float | None, float]] = {
    # name: (config, exact bound or None, exact standard deviation)
    "random_normal": ({"mean": 0.0, "stddev": 0.05}, None, 0.05),
    "truncated_normal": ({"mean": 0.0, "stddev": 0.05}, 0.1, 0.05 * TRUNCATED_STD),
    "random_uniform": ({"minval": -0.05, "maxval": 0.05}, 0.05, 0.05 / math.sqrt(3)),
}
FAN_SHAPES = [[], [300], [300, 200], [3, 3, 16, 32], [5, 16, 32], [2, 3, 4, 5, 6]]


def make() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """``bound`` and ``std`` are exact; ``measured_*`` come from six million draws of Keras itself."""
    cases: dict[str, dict[str, Any]] = {}
    for name, config in {**VARIANCE_SCALING, **OPTIONS}.items():
        is_alias = name in VARIANCE_SCALING
        initializer = keras.initializers.get(name) if is_alias else None
        draw = initializer or keras.initializers.VarianceScaling(**config)
        bound, std, sigma = exact(SHAPE, **config)
        large_bound, large_std, _ = exact(LARGE, **config)
        cases[name] = {
            "class": type(draw).__name__,
            "config": {} if is_alias else config,
            **config,
            "shape": list(SHAPE),
            "bound": bound,
            "std": std,
            "sigma": sigma,
            **measure(draw, large_bound, large_std),
        }
    for name, (config, bound, std) in PLAIN.items():
        draw = keras.initializers.get({"class_name": name, "config": config})
        cases[name] = {
            "class": type(draw).__name__,
            "config": config,
            "shape": list(SHAPE),
            "bound": bound,
            "std": std,
            **measure(draw, bound, std),
        }
    fans = [{"shape": shape, "fans": [int(fan) for fan in compute_fans(tuple(shape))]} for shape in FAN_SHAPES]
    return {"fans": fans, "truncated_std": TRUNCATED_STD, "large_shape": list(LARGE)}, cases


def exact(
    shape: tuple[int, int], scale: float, mode: str, distribution: str
) -> tuple[float | None, float, float | None]:
    """The largest absolute value, the standard deviation, and the sigma of the normal before truncation."""
    fan_in, fan_out = shape
    n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[mode]
    std = math.sqrt(scale / n)
    if distribution == "uniform":
        return math.sqrt(3) * std, std, None
    if distribution == "truncated_normal":
        sigma = std / TRUNCATED_STD
        return 2 * sigma, std, sigma
    return None, std, std


def measure(draw: keras.initializers.Initializer, bound: float | None, std: float) -> dict[str, float | None]:
    """Figures of a large draw; those for an exact value are divided by it and must be close to 1."""
    values = np.asarray(draw(LARGE), dtype=np.float64)
    return {
        "measured_mean_in_std": float(values.mean() / std),
        "measured_std_ratio": float(values.std() / std),
        "measured_bound_ratio": None if bound is None else float(np.abs(values).max() / bound),
        "measured_kurtosis": float((values**4).mean() / (values**2).mean() ** 2),
    }
