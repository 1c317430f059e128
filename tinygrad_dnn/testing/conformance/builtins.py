"""Samples of the built-ins' arguments and inputs, and what they claim: what a plugin's object says of itself."""

from __future__ import annotations

from typing import Any

import numpy as np

_SPARSE = (np.arange(5) % 3, np.array(
    [[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.2, 0.7], [0.55, 0.25, 0.2], [0.15, 0.45, 0.4]], np.float32,
))  # fmt: skip
_SIGNS = (np.where(np.eye(3)[np.arange(5) % 3] > 0, 1.0, -1.0).astype(np.float32), _SPARSE[1])
_LABELS = np.array([0, 1, 2, 0, 2, 2, 1, 0])
_SCORES = np.random.default_rng(6).uniform(0.05, 0.9, size=(8, 3)).astype(np.float32)
_BINARY = ((_LABELS > 0).astype(np.float32)[:, None], _SCORES[:, :1])
_REAL = (_SCORES[:, :2] * 3, _SCORES[:, 1:] * 2)


def _scaled(scale: float, mode: str) -> dict[str, Any]:
    """Return the claims of an initializer of variance ``scale`` divided by a fan."""
    fans = {
        "fan_in": lambda fan_in, fan_out: scale / fan_in,
        "fan_avg": lambda fan_in, fan_out: 2 * scale / (fan_in + fan_out),
    }
    return {"claims": {"mean": 0.0, "variance": fans[mode]}}


_DECAY = {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5}
_TO_ZERO = {"zero_for_perfect": True}
_DECREASING = {"monotone": "decreasing"}
_DECAYS = [
    {"arguments": {**_DECAY, "staircase": staircase}, "claims": _DECREASING} for staircase in (False, True)
]
# The logarithm of a prediction below 0 is none, and probabilities that are all 0 cannot be made to have the sum 1.
_CATEGORICAL: list[dict[str, Any]] = [{"claims": {"domain": (0.5, 1e4)}}, {"arguments": {"from_logits": True}}]
SAMPLES: dict[tuple[str, str], Any] = {
    # -- activations
    # exp(1e3) is no number of float32.
    ("activations", "exponential"): {"claims": {"domain": (-1e4, 80.0)}},
    ("activations", "glu"): {"claims": {"keeps_shape": False}},
    ("activations", "threshold"): {"arguments": {"threshold": 1.0, "default_value": -2.0}},
    # -- initializers
    ("initializers", "zeros"): {"claims": {"mean": 0.0, "variance": 0.0}},
    ("initializers", "ones"): {"claims": {"mean": 1.0, "variance": 0.0}},
    ("initializers", "constant"): {"arguments": {"value": 0.5}, "claims": {"mean": 0.5, "variance": 0.0}},
    ("initializers", "identity"): {"inputs": [(4, 3), (3, 3)]},
    # Its rows or columns are of length 1, whichever are more.
    ("initializers", "orthogonal"): {
        "inputs": [(4, 3), (3, 4)],
        "claims": {"mean": 0.0, "variance": lambda fan_in, fan_out: 1 / max(fan_in, fan_out)},
    },
    ("initializers", "randomnormal"): {
        "arguments": {"mean": 0.5, "stddev": 0.2}, "claims": {"mean": 0.5, "variance": 0.04},
    },
    ("initializers", "truncatednormal"): {
        "arguments": {"stddev": 0.2}, "claims": {"mean": 0.0, "variance": (0.2 * 0.87962566103423978) ** 2},
    },
    ("initializers", "randomuniform"): {
        "arguments": {"minval": -0.3, "maxval": 0.1}, "claims": {"mean": -0.1, "variance": 0.16 / 12},
    },
    ("initializers", "variancescaling"): [
        {"arguments": {"scale": 2.0, "distribution": each}, **_scaled(2.0, "fan_in")}
        for each in ("uniform", "truncated_normal", "untruncated_normal")
    ],
    **{("initializers", f"glorot{each}"): _scaled(1.0, "fan_avg") for each in ("normal", "uniform")},
    **{("initializers", f"he{each}"): _scaled(2.0, "fan_in") for each in ("normal", "uniform")},
    **{("initializers", f"lecun{each}"): _scaled(1.0, "fan_in") for each in ("normal", "uniform")},
    # -- optimizers
    # It makes weights of sums of gradients, and so 0 of none.
    ("optimizers", "ftrl"): {"claims": {"moves_without_gradient": True}},
    # Its apply divides by the scale, which gradients that are given by hand have not.
    ("optimizers", "lossscaleoptimizer"): {"arguments": {"initial_scale": 1.0}},
    ("optimizers", "muon"): {"arguments": {"adam_weight_decay": None}},
    # It decays the average at which gradients are taken, not the weight that it is given.
    ("optimizers", "schedulefreeadamw"): {"claims": {"decays_weights": True}},
    # -- schedulers
    ("schedulers", "exponentialdecay"): _DECAYS,
    ("schedulers", "inversetimedecay"): _DECAYS,
    ("schedulers", "powerdecay"): _DECAYS,
    ("schedulers", "polynomialdecay"): {
        "arguments": {"initial_learning_rate": 0.1, "decay_steps": 10, "power": 2.0}, "claims": _DECREASING,
    },
    ("schedulers", "cosinedecay"): {
        "arguments": {"initial_learning_rate": 0.1, "decay_steps": 10}, "claims": _DECREASING,
    },
    ("schedulers", "cosinedecayrestarts"): {"arguments": {"initial_learning_rate": 0.1, "first_decay_steps": 5}},
    ("schedulers", "cyclic"): {"arguments": {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 5}},
    ("schedulers", "linearwarmup"): {
        "arguments": {"warmup_target": 0.1, "warmup_steps": 10}, "claims": {"monotone": "increasing"},
    },
    ("schedulers", "onecycle"): {"arguments": {"max_lr": 0.1, "total_steps": 40}},
    ("schedulers", "piecewiseconstantdecay"): {
        "arguments": {"boundaries": [5, 10], "values": [0.1, 0.05, 0.01]}, "claims": _DECREASING,
    },
    ("schedulers", "productschedule"): {"arguments": {"schedules": [0.1, 0.5]}},
    ("schedulers", "sequentialschedule"): {"arguments": {"schedules": [0.1, 0.2], "milestones": [5]}},
    # -- losses: the logarithm of a prediction below 0 is none
    **{
        ("losses", name): {"claims": _TO_ZERO}
        for name in (
            "mean_squared_error", "meansquarederror", "mean_absolute_error", "meanabsoluteerror", "huber", "huber_loss",
            "log_cosh", "logcosh", "mean_squared_logarithmic_error", "meansquaredlogarithmicerror", "kl_divergence",
            "kldivergence", "mean_absolute_percentage_error", "meanabsolutepercentageerror",
        )
    },
    **{("losses", name): {"claims": {"domain": (0.0, 1e4)}} for name in ("poisson", "poisson_loss")},
    **{
        ("losses", name): _CATEGORICAL
        for name in (
            "categorical_crossentropy", "categoricalcrossentropy", "categorical_focal_crossentropy",
            "categoricalfocalcrossentropy",
        )
    },
    **{
        ("losses", name): [{**each, "inputs": _SPARSE} for each in _CATEGORICAL]
        for name in ("sparse_categorical_crossentropy", "sparsecategoricalcrossentropy")
    },
    **{
        ("losses", name): {"inputs": _SIGNS} for name in ("hinge", "hinge_loss", "squared_hinge", "squaredhinge")
    },
    # -- metrics
    **{
        ("metrics", name): {"inputs": (_LABELS, _SCORES)}
        for name in ("sparsecategoricalaccuracy", "sparsecategoricalcrossentropy", "sparsetopkcategoricalaccuracy")
    },
    **{
        ("metrics", name): {"inputs": _BINARY}
        for name in (
            "auc", "binaryaccuracy", "precision", "recall", "truepositives", "truenegatives", "falsepositives",
            "falsenegatives",
        )
    },
    **{("metrics", name): {"inputs": _REAL} for name in ("r2score", "meanabsoluteerror", "rootmeansquarederror")},
    ("metrics", "mean"): {"inputs": (_SCORES[:, 0],)},
    # -- layers
    ("layers", "activation"): {"arguments": {"activation": "elu"}},
    ("layers", "centercrop"): {"arguments": {"height": 2, "width": 2}},
    ("layers", "conv2d"): {"arguments": {"filters": 2, "kernel_size": 2}},
    ("layers", "dense"): {"arguments": {"units": 3}},
    **{
        ("layers", name): {"arguments": {"rate": 0.25}}
        for name in ("alphadropout", "dropout", "gaussiandropout", "spatialdropout1d", "spatialdropout2d")
    },
    ("layers", "gaussiannoise"): {"arguments": {"stddev": 0.25}},
    ("layers", "inputlayer"): {"arguments": {"shape": (4,)}},
    ("layers", "lambda"): {"arguments": {"function": np.abs}},
    ("layers", "operation"): {"arguments": {"operation": "tanh"}},
    ("layers", "permute"): {"arguments": {"dims": (1,)}},
    ("layers", "randombrightness"): {"arguments": {"factor": 0.25}},
    ("layers", "randomcontrast"): {"arguments": {"factor": 0.25}},
    ("layers", "randomcrop"): {"arguments": {"height": 2, "width": 2}},
    ("layers", "randomrotation"): {"arguments": {"factor": 0.25}},
    ("layers", "randomtranslation"): {"arguments": {"height_factor": 0.25, "width_factor": 0.25}},
    ("layers", "randomzoom"): {"arguments": {"height_factor": 0.25}},
    ("layers", "repeatvector"): {"arguments": {"n": 2}},
    ("layers", "rescaling"): {"arguments": {"scale": 2.0}},
    ("layers", "reshape"): {"arguments": {"target_shape": (-1,)}},
    ("layers", "resizing"): {"arguments": {"height": 3, "width": 3}},
    # -- callbacks: each check runs in a folder that is thrown away
    ("callbacks", "backupandrestore"): {"arguments": {"backup_dir": "backup"}},
    ("callbacks", "csvlogger"): {"arguments": {"filename": "log.csv"}},
    ("callbacks", "learningratescheduler"): {"arguments": {"schedule": lambda epoch, rate: rate * 0.5}},
    ("callbacks", "modelcheckpoint"): {"arguments": {"filepath": "model.safetensors"}},
}
