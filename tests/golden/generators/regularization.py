"""Values and gradients of regularizers, and constraints, on a fixed weight."""

from __future__ import annotations

from typing import Any

import jax
import keras
import numpy as np

REGULARIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "l1": ("L1", {"l1": 0.01}),
    "l1_default": ("L1", {}),
    "l2": ("L2", {"l2": 0.02}),
    "l2_default": ("L2", {}),
    "l1_l2": ("L1L2", {"l1": 0.01, "l2": 0.02}),
    "l1_l2_only_l1": ("L1L2", {"l1": 0.01}),
    "orthogonal_rows": ("OrthogonalRegularizer", {"factor": 0.1, "mode": "rows"}),
    "orthogonal_columns": ("OrthogonalRegularizer", {"factor": 0.1, "mode": "columns"}),
}
CONSTRAINTS: dict[str, tuple[str, dict[str, Any]]] = {
    "max_norm_default": ("MaxNorm", {}),
    "max_norm_1": ("MaxNorm", {"max_value": 1.0}),
    "max_norm_axis_1": ("MaxNorm", {"max_value": 1.0, "axis": 1}),
    "max_norm_both_axes": ("MaxNorm", {"max_value": 1.0, "axis": [0, 1]}),
    "non_neg": ("NonNeg", {}),
    "unit_norm": ("UnitNorm", {}),
    "unit_norm_axis_1": ("UnitNorm", {"axis": 1}),
    "min_max_norm_default": ("MinMaxNorm", {}),
    "min_max_norm": ("MinMaxNorm", {"min_value": 1.5, "max_value": 2.0}),
    "min_max_norm_rate": ("MinMaxNorm", {"min_value": 1.5, "max_value": 2.0, "rate": 0.5}),
    "min_max_norm_axis_1": ("MinMaxNorm", {"min_value": 1.5, "max_value": 2.0, "axis": 1}),
}


def make() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """One weight of shape (5, 4), with a zero, a zero column's neighbour of norm .01 and a large column."""
    weight = np.random.default_rng(20240507).normal(size=(5, 4)).astype(np.float32)
    weight[0, 0] = 0.0
    weight[:, 1] *= 0.01 / np.linalg.norm(weight[:, 1])
    weight[:, 2] *= 4
    cases: dict[str, dict[str, Any]] = {}
    for name, (cls, config) in REGULARIZERS.items():
        regularizer = getattr(keras.regularizers, cls)(**config)
        value, gradient = jax.value_and_grad(lambda w, r=regularizer: r(w).sum())(jax.numpy.asarray(weight))
        cases[name] = {
            "kind": "regularizer",
            "class": cls,
            "config": config,
            "value": float(value),
            "gradient": np.asarray(gradient),
        }
    for name, (cls, config) in CONSTRAINTS.items():
        constraint = getattr(keras.constraints, cls)(**config)
        cases[name] = {
            "kind": "constraint",
            "class": cls,
            "config": config,
            "value": np.asarray(constraint(jax.numpy.asarray(weight))),
        }
    return {"weight": weight}, cases
