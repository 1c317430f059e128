"""Trajectories of every argument of every Keras optimizer that ``optimizers`` has not, alone and many at once."""

from __future__ import annotations

from typing import Any

import numpy as np

from generators.optimizers import EXPONENTIAL, PIECEWISE, case, drawn, trajectory

SHAPES = {"kernel": (4, 3), "bias": (3,), "wide": (2, 5), "volume": (2, 3, 4), "embedding": (4, 2)}
# Counted from 0: the first ones, the one whose mixed gradient is 0 and the next, and the last.
RECORDED = [0, 1, 2, 3, 7, 8, 12, 19]
PLAIN = ["kernel", "bias"]
# A tall matrix, a wide one, one called an embedding, and what is no matrix: rules that look at shapes tell them apart.
ALL = list(SHAPES)
MAX_NORM = {"kernel": {"class": "MaxNorm", "config": {"max_value": 1.0, "axis": 0}}}
NON_NEG = {"kernel": {"class": "NonNeg", "config": {}}}


def plain(cls: str, gradients: str = "unit", **options: Any) -> dict[str, Any]:
    """A row of a kernel and a bias."""
    return case(cls, gradients, weights=PLAIN, **options)


def shaped(cls: str, gradients: str = "unit", **options: Any) -> dict[str, Any]:
    """A row of weights of all shapes."""
    return case(cls, gradients, weights=ALL, **options)


MOMENTUM = {"learning_rate": 0.01, "momentum": 0.9}
CASES: dict[str, dict[str, Any]] = {
    # What belongs to a rule.
    "sgd_nesterov_without_momentum": plain("SGD", nesterov=True),
    "sgd_momentum_1": plain("SGD", learning_rate=0.01, momentum=1.0),
    "rmsprop_epsilon": plain("RMSprop", "small", learning_rate=0.01, epsilon=1e-3),
    "rmsprop_rho_0": plain("RMSprop", rho=0.0),
    "adamw_arguments": plain("AdamW", learning_rate=0.01, beta_1=0.8, beta_2=0.95, epsilon=1e-4),
    "adamw_amsgrad": plain("AdamW", "mixed", learning_rate=0.01, amsgrad=True),
    "adamw_exclude_bias": plain("AdamW", learning_rate=0.1, weight_decay=0.1, exclude_from_weight_decay=["bias"]),
    "adamax_arguments": plain("Adamax", learning_rate=0.01, beta_1=0.8, beta_2=0.95, epsilon=1e-2),
    "adamax_mixed_gradients": plain("Adamax", "mixed", learning_rate=0.01),
    "adadelta_arguments": plain("Adadelta", learning_rate=1.0, rho=0.8, epsilon=1e-3),
    "adagrad_small_gradients": plain("Adagrad", "small", learning_rate=0.1, initial_accumulator_value=0.0),
    "lion_betas": plain("Lion", beta_1=0.5, beta_2=0.8),
    "lion_weight_decay": plain("Lion", learning_rate=0.01, weight_decay=0.1),
    "lamb_arguments": plain("Lamb", learning_rate=0.1, beta_1=0.8, beta_2=0.95, epsilon=1e-2),
    "ftrl_learning_rate_power": plain("Ftrl", learning_rate=0.1, learning_rate_power=-0.75),
    "ftrl_accumulator": plain("Ftrl", learning_rate=0.1, initial_accumulator_value=0.5),
    "ftrl_shrinkage": plain("Ftrl", learning_rate=0.1, l2_shrinkage_regularization_strength=0.1),
    "ftrl_l1": plain("Ftrl", learning_rate=0.1, l1_regularization_strength=0.5),
    "ftrl_l2": plain("Ftrl", learning_rate=0.1, l2_regularization_strength=0.5),
    "ftrl_beta": plain("Ftrl", learning_rate=0.1, beta=0.5),
    # What belongs to the base class.
    "sgd_loss_scale": plain("SGD", learning_rate=0.1, loss_scale_factor=10.0),
    "adam_loss_scale_clipnorm": plain(
        "Adam", "mixed", learning_rate=0.1, loss_scale_factor=8.0, clipnorm=0.1, note="the unscaled gradient is clipped"
    ),
    "sgd_loss_scale_accumulation": plain(
        "SGD", learning_rate=0.1, loss_scale_factor=10.0, gradient_accumulation_steps=4
    ),
    "sgd_clipvalue_small": plain("SGD", "small", learning_rate=0.1, clipvalue=1e-6),
    "sgd_global_clipnorm_short": plain("SGD", learning_rate=0.1, global_clipnorm=100.0),
    "sgd_weight_decay_exclude_weights": plain("SGD", learning_rate=0.1, weight_decay=0.1, exclude_weights=["kernel"]),
    "sgd_weight_decay_exclude_all": plain(
        "SGD", learning_rate=0.1, weight_decay=0.1, exclude_weights=["kernel"], exclude_from_weight_decay=["^b", "x"]
    ),
    "sgd_momentum_weight_decay_nesterov": plain("SGD", **MOMENTUM, nesterov=True, weight_decay=0.1),
    "adam_ema_overwrite": plain(
        "Adam", learning_rate=0.1, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=3, weight_decay=0.1
    ),
    "adam_ema_overwrite_every_update": plain("Adam", learning_rate=0.1, use_ema=True, ema_overwrite_frequency=1),
    "sgd_ema_momentum_0": plain("SGD", learning_rate=0.1, use_ema=True, ema_momentum=0.0),
    "sgd_ema_momentum_1": plain("SGD", learning_rate=0.1, use_ema=True, ema_momentum=1.0),
    "sgd_max_norm_ema_overwrite": plain(
        "SGD", learning_rate=0.1, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2, constraints=MAX_NORM
    ),
    "adam_accumulation_clipvalue": plain("Adam", "mixed", clipvalue=0.5, gradient_accumulation_steps=4),
    "adam_accumulation_global_clipnorm": plain("Adam", "mixed", global_clipnorm=1.0, gradient_accumulation_steps=2),
    "sgd_accumulation_constraint": plain(
        "SGD", learning_rate=0.1, gradient_accumulation_steps=4, constraints=NON_NEG
    ) | {
        "start": "zero",
        "note": "Keras constrains at every micro-batch, which a weight that complies from the start does not notice",
    },
    "sgd_accumulation_by_20": plain("SGD", learning_rate=0.1, gradient_accumulation_steps=20),
    "sgd_accumulation_schedule_decay": plain(
        "SGD", schedule=PIECEWISE, momentum=0.9, weight_decay=0.1, gradient_accumulation_steps=3
    ),
    "sgd_schedule_ema": plain("SGD", schedule=PIECEWISE, use_ema=True, ema_momentum=0.9),
    # Muon.
    "muon": shaped("Muon"),
    "muon_small_gradients": shaped("Muon", "small", learning_rate=0.1),
    "muon_mixed_gradients": shaped("Muon", "mixed", learning_rate=0.1),
    "muon_plain_momentum": shaped("Muon", learning_rate=0.1, momentum=0.5, nesterov=False),
    "muon_ns_steps": shaped("Muon", learning_rate=0.1, ns_steps=2),
    "muon_polynomial": shaped("Muon", learning_rate=0.1, muon_a=2.0, muon_b=-1.5, muon_c=0.5, ns_steps=10),
    "muon_rms_rate": shaped("Muon", learning_rate=0.1, rms_rate=1.0),
    "muon_without_rms_rate": shaped("Muon", learning_rate=0.1, rms_rate=None),
    "muon_adam_arguments": shaped(
        "Muon", learning_rate=0.1, adam_beta_1=0.8, adam_beta_2=0.95, epsilon=1e-4, adam_lr_ratio=0.1
    ),
    "muon_decays": shaped("Muon", learning_rate=0.1, weight_decay=0.2, adam_weight_decay=0.1),
    "muon_decays_of_matrices": shaped("Muon", learning_rate=0.1, weight_decay=0.2, adam_weight_decay=None),
    "muon_decays_of_others": shaped("Muon", learning_rate=0.1, weight_decay=None, adam_weight_decay=0.1),
    "muon_decays_excluded": shaped(
        "Muon", learning_rate=0.1, weight_decay=0.2, adam_weight_decay=0.1, exclude_from_weight_decay=["wide", "bias"]
    ),
    "muon_exclude_layers": shaped("Muon", learning_rate=0.1, exclude_layers=["^w", "nothing"]),
    "muon_embeddings": shaped("Muon", learning_rate=0.1, exclude_embeddings=False),
    # Adafactor.
    "adafactor": shaped("Adafactor"),
    "adafactor_rate_1": shaped("Adafactor", learning_rate=1.0),
    "adafactor_rate_1_absolute_step": shaped(
        "Adafactor", learning_rate=1.0, relative_step=False, note="Keras bounds the rate by 1/sqrt(t) all the same"
    ),
    "adafactor_small_gradients": shaped("Adafactor", "small", learning_rate=0.1),
    "adafactor_mixed_gradients": shaped("Adafactor", "mixed", learning_rate=0.1),
    "adafactor_beta_2_decay": shaped("Adafactor", learning_rate=0.1, beta_2_decay=-0.5),
    "adafactor_epsilon_1": shaped("Adafactor", learning_rate=0.1, epsilon_1=0.5),
    "adafactor_epsilon_2": shaped("Adafactor", learning_rate=0.1, epsilon_2=2.0),
    "adafactor_clip_threshold": shaped("Adafactor", learning_rate=0.1, clip_threshold=0.5),
    "adafactor_schedule": shaped("Adafactor", schedule=EXPONENTIAL, weight_decay=0.1),
    # ScheduleFreeAdamW.
    "schedule_free_rate": plain("ScheduleFreeAdamW", learning_rate=0.1),
    "schedule_free_small_gradients": plain("ScheduleFreeAdamW", "small", learning_rate=0.1),
    "schedule_free_mixed_gradients": plain("ScheduleFreeAdamW", "mixed", learning_rate=0.1),
    "schedule_free_arguments": plain("ScheduleFreeAdamW", learning_rate=0.1, beta_1=0.5, beta_2=0.9, epsilon=0.01),
    "schedule_free_warmup": plain("ScheduleFreeAdamW", learning_rate=0.1, warmup_steps=8),
    "schedule_free_weight_decay": plain("ScheduleFreeAdamW", learning_rate=0.1, weight_decay=0.1),
    "schedule_free_schedule": plain("ScheduleFreeAdamW", schedule=EXPONENTIAL, warmup_steps=3),
}
ADAMS = {"learning_rate": 0.05, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3}
# Every rule with as many options around it as go together.
RULES: dict[str, dict[str, Any]] = {
    "SGD": {**MOMENTUM, "nesterov": True},
    "RMSprop": {"learning_rate": 0.01, "rho": 0.8, "momentum": 0.5, "centered": True, "epsilon": 1e-3},
    "Adam": {**ADAMS, "amsgrad": True},
    "Nadam": ADAMS,
    "AdamW": {**ADAMS, "amsgrad": True},
    "Adamax": ADAMS,
    "Adadelta": {"learning_rate": 1.0},
    "Adagrad": {"learning_rate": 0.1},
    "Lion": {"learning_rate": 0.01},
    "Lamb": ADAMS,
    "Ftrl": {"learning_rate": 0.1, "l2_regularization_strength": 0.1},
    "Muon": {"learning_rate": 0.1, "adam_weight_decay": 0.05},
    "Adafactor": {"learning_rate": 0.1},
    "ScheduleFreeAdamW": ADAMS,
}
for cls, arguments in RULES.items():
    CASES[f"{cls.lower()}_with_averages"] = plain(
        cls, "mixed", **arguments, global_clipnorm=2.0, weight_decay=0.1, exclude_from_weight_decay=["bias"],
        use_ema=True, ema_momentum=0.7, ema_overwrite_frequency=4, constraints=NON_NEG,
    )  # fmt: skip
    CASES[f"{cls.lower()}_with_accumulation"] = plain(
        cls, **arguments, clipnorm=1.0, weight_decay=0.1, exclude_weights=["bias"], gradient_accumulation_steps=3,
        loss_scale_factor=4.0,
    )  # fmt: skip
    CASES[f"{cls.lower()}_with_schedule"] = plain(
        cls, **{key: value for key, value in arguments.items() if key != "learning_rate"}, schedule=EXPONENTIAL,
        clipvalue=0.5,
    )  # fmt: skip
# From zero the weights are the distance travelled, so that an error is not hidden behind large weights.
CASES |= {
    f"{name}_from_zero": {**CASES[name], "start": "zero"}
    for name in "muon muon_mixed_gradients adafactor_epsilon_2 schedule_free_rate schedule_free_warmup".split()
}


def make() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Run every row of the table, and keep some steps, the weights of a case side by side in one array."""
    inputs = drawn(SHAPES, 20251121)
    cases = {name: {**row, **packed(row["weights"], trajectory(row, inputs))} for name, row in CASES.items()}
    return {**inputs, "steps": RECORDED}, cases


def packed(names: list[str], arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The weights, and the averages where there are any, at the steps to keep; and what finalising makes of them."""
    rows = {"values": "{}", "averages": "{}_average"}
    found = {
        key: np.concatenate([arrays[field.format(name)][RECORDED].reshape(len(RECORDED), -1) for name in names], axis=1)
        for key, field in rows.items()
        if field.format(names[0]) in arrays
    }
    if f"{names[0]}_final" in arrays:
        found["final"] = np.concatenate([arrays[f"{name}_final"].ravel() for name in names])
    return found
