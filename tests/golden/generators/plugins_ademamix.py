"""AdEMAMix by the paper's Algorithm 1, number by number in float64 NumPy: python plugins_ademamix.py.

It writes plugins/tinygrad-dnn-ademamix/tests/golden.json and .npz, which travel with that package. The arguments that
a case leaves out are the package's defaults.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
TESTS = HERE.parents[2] / "plugins" / "tinygrad-dnn-ademamix" / "tests"
STEPS = 15
DEFAULTS = {
    "learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "beta_3": 0.9999, "alpha": 5.0, "epsilon": 1e-8,
    "weight_decay": 0.0, "alpha_warmup": None, "beta_3_warmup": None,
}  # fmt: skip
CASES: dict[str, dict[str, Any]] = {
    "default": {},
    "short": {"learning_rate": 0.1, "beta_1": 0.8, "beta_2": 0.9, "beta_3": 0.95, "alpha": 3.0, "epsilon": 0.01},
    "alpha_warmup": {"learning_rate": 0.01, "alpha_warmup": 10},
    "both_warmups": {"learning_rate": 0.01, "alpha_warmup": 12, "beta_3_warmup": 8, "beta_3": 0.99},
    "long_warmups": {"learning_rate": 0.01, "alpha_warmup": 10_000, "beta_3_warmup": 10_000, "alpha": 8.0},
    "weight_decay": {"learning_rate": 0.1, "weight_decay": 0.2, "beta_3": 0.99},
    "no_fast_mean": {"learning_rate": 0.01, "beta_1": 0.0},
}


def make() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the weight and its gradients, and a case for each choice of arguments."""
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((3, 4))
    # The gradients of one element are small: epsilon counts there.
    gradients = rng.standard_normal((STEPS, 3, 4)) * np.where(np.arange(12).reshape(3, 4) == 5, 1e-7, 1.0)
    cases = {
        name: {"arguments": given, "path": path(weight, gradients, **{**DEFAULTS, **given})}
        for name, given in CASES.items()
    }
    return {"weight": weight, "gradients": gradients}, cases


def path(
    theta: np.ndarray,
    gradients: np.ndarray,
    *,
    learning_rate: float,
    beta_1: float,
    beta_2: float,
    beta_3: float,
    alpha: float,
    epsilon: float,
    weight_decay: float,
    alpha_warmup: int | None,
    beta_3_warmup: int | None,
) -> np.ndarray:
    """Return the weight after each step."""
    m1, m2, nu = np.zeros_like(theta), np.zeros_like(theta), np.zeros_like(theta)
    result = []
    for t, g in enumerate(gradients, 1):
        mixed = alpha if alpha_warmup is None else min(t * alpha / alpha_warmup, alpha)
        slow = beta_3
        if beta_3_warmup is not None and t < beta_3_warmup:
            part = t / beta_3_warmup
            start, end = math.log(beta_1), math.log(beta_3)
            slow = min(math.exp(start * end / ((1 - part) * end + part * start)), beta_3)
        m1 = beta_1 * m1 + (1 - beta_1) * g
        m2 = slow * m2 + (1 - slow) * g
        nu = beta_2 * nu + (1 - beta_2) * g**2
        m1_hat = m1 / (1 - beta_1**t)
        nu_hat = nu / (1 - beta_2**t)
        theta = theta - learning_rate * ((m1_hat + mixed * m2) / (np.sqrt(nu_hat) + epsilon) + weight_decay * theta)
        result.append(theta)
    return np.stack(result)


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    import storage

    print(storage.save("golden", {"made_by": f"numpy {np.__version__}"}, *make(), folder=TESTS), "bytes in", TESTS)
