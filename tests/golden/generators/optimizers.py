"""Trajectories of every Keras optimizer and of each base-class option on fixed sequences of gradients."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

STEPS = 20
SHAPES = {"kernel": (4, 3), "bias": (3,)}

EXPONENTIAL = {
    "class": "ExponentialDecay",
    "config": {"initial_learning_rate": 0.1, "decay_steps": 5, "decay_rate": 0.5},
}
STAIRCASE = {"class": "ExponentialDecay", "config": {**EXPONENTIAL["config"], "staircase": True}}
PIECEWISE = {"class": "PiecewiseConstantDecay", "config": {"boundaries": [4, 9], "values": [0.1, 0.02, 0.005]}}


def case(cls: str, gradients: str = "unit", **options: Any) -> dict[str, Any]:
    """One row of the table: Keras's class, its arguments, and what goes on around it."""
    special = ("schedule", "constraints", "exclude_from_weight_decay", "exclude_weights", "weights", "note")
    row: dict[str, Any] = {"class": cls, "gradients": gradients, "start": "drawn"}
    row.update({key: options.pop(key) for key in special if key in options})
    row["config"] = options
    return row


MOMENTUM = {"learning_rate": 0.01, "momentum": 0.9}
CASES: dict[str, dict[str, Any]] = {
    "sgd": case("SGD", learning_rate=0.01),
    "sgd_default": case("SGD"),
    "sgd_momentum": case("SGD", **MOMENTUM),
    "sgd_nesterov": case("SGD", **MOMENTUM, nesterov=True),
    "adam": case("Adam"),
    "adam_small_gradients": case("Adam", "small"),
    "adam_mixed_gradients": case("Adam", "mixed"),
    "adam_betas": case("Adam", learning_rate=0.01, beta_1=0.8, beta_2=0.95, epsilon=1e-4),
    "adam_amsgrad": case("Adam", amsgrad=True),
    "adam_amsgrad_mixed_gradients": case("Adam", "mixed", amsgrad=True),
    "nadam": case("Nadam"),
    "nadam_5e-5": case("Nadam", learning_rate=5e-5),
    "nadam_small_gradients": case("Nadam", "small"),
    "nadam_mixed_gradients": case("Nadam", "mixed"),
    "nadam_betas": case("Nadam", learning_rate=0.01, beta_1=0.8, beta_2=0.95, epsilon=1e-4),
    # Base-class options.
    "adam_clipvalue": case("Adam", "mixed", clipvalue=0.5),
    "adam_clipnorm": case("Adam", "mixed", clipnorm=1.0),
    "adam_global_clipnorm": case("Adam", "mixed", global_clipnorm=1.0),
    "sgd_clipvalue": case("SGD", "mixed", learning_rate=0.1, clipvalue=0.5),
    "sgd_clipnorm": case("SGD", "mixed", learning_rate=0.1, clipnorm=1.0),
    "sgd_global_clipnorm": case("SGD", "mixed", learning_rate=0.1, global_clipnorm=1.0),
    "adam_weight_decay": case("Adam", weight_decay=0.004),
    "adam_weight_decay_exclude_bias": case(
        "Adam", learning_rate=0.1, weight_decay=0.1, exclude_from_weight_decay=["bias"]
    ),
    "sgd_weight_decay": case("SGD", learning_rate=0.1, weight_decay=0.1),
    "nadam_weight_decay": case("Nadam", learning_rate=0.1, weight_decay=0.1),
    "sgd_ema": case("SGD", **MOMENTUM, use_ema=True, ema_momentum=0.9),
    "sgd_ema_overwrite": case("SGD", **MOMENTUM, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=5),
    "adam_ema": case("Adam", learning_rate=0.1, use_ema=True),
    "sgd_accumulation": case("SGD", learning_rate=0.1, gradient_accumulation_steps=4),
    "sgd_momentum_accumulation": case("SGD", **MOMENTUM, gradient_accumulation_steps=4),
    "adam_accumulation": case("Adam", gradient_accumulation_steps=4),
    "adam_accumulation_by_3": case(
        "Adam", gradient_accumulation_steps=3, note="20 is no multiple of 3: the last two gradients wait"
    ),
    "nadam_accumulation": case("Nadam", learning_rate=0.01, gradient_accumulation_steps=4),
    "adam_accumulation_clipnorm": case(
        "Adam", "mixed", clipnorm=1.0, gradient_accumulation_steps=4, note="the mean gradient is clipped"
    ),
    "adam_accumulation_weight_decay": case("Adam", learning_rate=0.1, weight_decay=0.1, gradient_accumulation_steps=4),
    "sgd_accumulation_ema": case(
        "SGD",
        learning_rate=0.1,
        use_ema=True,
        ema_momentum=0.9,
        gradient_accumulation_steps=4,
        note="Keras moves the average at every micro-batch, and restarts it while no update has been counted",
    ),
    "sgd_schedule": case("SGD", schedule=EXPONENTIAL),
    "sgd_schedule_staircase": case("SGD", schedule=STAIRCASE),
    "sgd_schedule_piecewise": case("SGD", schedule=PIECEWISE),
    "sgd_schedule_accumulation": case(
        "SGD", schedule=EXPONENTIAL, gradient_accumulation_steps=4, note="the schedule counts micro-batches"
    ),
    "sgd_schedule_weight_decay": case("SGD", schedule=EXPONENTIAL, weight_decay=0.1),
    "nadam_schedule": case("Nadam", schedule=EXPONENTIAL),
    "nadam_schedule_accumulation": case("Nadam", schedule=EXPONENTIAL, gradient_accumulation_steps=4),
    "sgd_max_norm": case(
        "SGD",
        learning_rate=0.1,
        constraints={"kernel": {"class": "MaxNorm", "config": {"max_value": 1.0, "axis": 0}}},
    ),
    "adam_non_neg": case(
        "Adam",
        learning_rate=0.1,
        constraints={"kernel": {"class": "NonNeg", "config": {}}, "bias": {"class": "NonNeg", "config": {}}},
    ),
    "sgd_non_neg_ema": case(
        "SGD",
        learning_rate=0.1,
        use_ema=True,
        ema_momentum=0.9,
        constraints={"kernel": {"class": "NonNeg", "config": {}}},
        note="the average takes the weight before its constraint does",
    ),
    # The other optimizers.
    "adagrad": case("Adagrad"),
    "adagrad_accumulator": case("Adagrad", learning_rate=0.1, initial_accumulator_value=0.0, epsilon=1e-4),
    "rmsprop": case("RMSprop"),
    "rmsprop_small_gradients": case("RMSprop", "small"),
    "rmsprop_momentum": case("RMSprop", momentum=0.9, rho=0.8),
    "rmsprop_centered": case("RMSprop", centered=True),
    "rmsprop_centered_momentum": case("RMSprop", centered=True, momentum=0.9),
    "adamw": case("AdamW"),
    "adamw_decay": case("AdamW", learning_rate=0.1, weight_decay=0.1),
    "adamax": case("Adamax"),
    "adadelta": case("Adadelta"),
    "adadelta_lr_1": case("Adadelta", learning_rate=1.0),
    "lion": case("Lion"),
    "lamb": case("Lamb"),
    "lamb_weight_decay": case("Lamb", learning_rate=0.1, weight_decay=0.1),
    "ftrl": case("Ftrl", learning_rate=0.1),
    "ftrl_regularized": case(
        "Ftrl", learning_rate=0.1, l1_regularization_strength=0.01, l2_regularization_strength=0.01, beta=0.1
    ),
    "adafactor": case("Adafactor", learning_rate=0.1),
    "adafactor_absolute_step": case("Adafactor", learning_rate=0.1, relative_step=False),
    "muon": case("Muon", learning_rate=0.1),
    "schedule_free_adamw": case("ScheduleFreeAdamW"),
}
# From zero the weights are the distance travelled, so that an error is not hidden behind large weights.
CASES |= {
    f"{name}_from_zero": {**CASES[name], "start": "zero"}
    for name in (
        "sgd sgd_momentum sgd_nesterov adam adam_small_gradients adam_mixed_gradients adam_amsgrad nadam "
        "nadam_5e-5 nadam_small_gradients nadam_mixed_gradients"
    ).split()
}


def make() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Run every row of the table."""
    inputs = drawn(SHAPES, 20240502)
    return inputs, {name: {**row, **trajectory(row, inputs)} for name, row in CASES.items()}


def drawn(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, Any]:
    """Weights to start with and sequences of gradients: of size 1, of size 1e-6, and of all sizes with zeros."""
    rng = np.random.default_rng(seed)
    inputs: dict[str, Any] = {}
    for name, shape in shapes.items():
        inputs[f"drawn_{name}"] = rng.normal(size=shape).astype(np.float32)
        inputs[f"zero_{name}"] = np.zeros(shape, dtype=np.float32)
        sequence = (STEPS, *shape)
        inputs[f"unit_{name}"] = rng.normal(size=sequence).astype(np.float32)
        inputs[f"small_{name}"] = (1e-6 * rng.normal(size=sequence)).astype(np.float32)
        mixed = rng.normal(size=sequence) * 10.0 ** rng.uniform(-6, 1, size=sequence)
        mixed[rng.uniform(size=sequence) < 0.1] = 0.0
        mixed[7] = 0.0
        inputs[f"mixed_{name}"] = mixed.astype(np.float32)
    return inputs


def trajectory(row: dict[str, Any], inputs: dict[str, Any]) -> dict[str, np.ndarray]:
    """The weights after each step, the learning rate of each step, the averages where there are any."""
    config = dict(row["config"])
    if "schedule" in row:
        schedule = getattr(keras.optimizers.schedules, row["schedule"]["class"])
        config["learning_rate"] = schedule(**row["schedule"]["config"])
    optimizer = getattr(keras.optimizers, row["class"])(**config)
    weights = [keras.Variable(inputs[f"{row['start']}_{name}"], name=name) for name in row.get("weights", SHAPES)]
    if "exclude_from_weight_decay" in row or "exclude_weights" in row:
        excluded = [weight for weight in weights if weight.name in row.get("exclude_weights", ())]
        optimizer.exclude_from_weight_decay(excluded, row.get("exclude_from_weight_decay"))
    for weight in weights:
        if weight.name in row.get("constraints", {}):
            constraint = row["constraints"][weight.name]
            weight.constraint = getattr(keras.constraints, constraint["class"])(**constraint["config"])
    optimizer.build(weights)
    record: dict[str, list[Any]] = {"learning_rates": []}
    for step in range(STEPS):
        record["learning_rates"].append(np.float32(optimizer.learning_rate))
        optimizer.apply([inputs[f"{row['gradients']}_{weight.name}"][step] for weight in weights], weights)
        for index, weight in enumerate(weights):
            record.setdefault(weight.name, []).append(weight.numpy().copy())
            if config.get("use_ema"):
                average = optimizer._model_variables_moving_average[index]
                record.setdefault(f"{weight.name}_average", []).append(average.numpy().copy())
    arrays = {key: np.asarray(values, dtype=np.float32) for key, values in record.items()}
    if config.get("use_ema") or row["class"] == "ScheduleFreeAdamW":
        optimizer.finalize_variable_values(weights)
        arrays.update({f"{weight.name}_final": weight.numpy().copy() for weight in weights})
    return arrays
