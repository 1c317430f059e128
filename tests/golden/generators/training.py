"""Whole runs of fit, evaluate, predict and train_on_batch on small models from stored weights, unshuffled."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

SAMPLES, FEATURES, CLASSES = 50, 20, 10


def dense(units: int, activation: str | None = None, **options: Any) -> dict[str, Any]:
    """One row of a model's list of layers."""
    return {"class": "Dense", "config": {"units": units, "activation": activation, **options}}


SOFTMAX = [dense(16, "relu"), dense(CLASSES, "softmax")]
LOGITS = [dense(16, "elu"), dense(CLASSES)]
NORMALIZED = [
    dense(16),
    {"class": "BatchNormalization", "config": {}},
    {"class": "Activation", "config": {"activation": "elu"}},
    dense(CLASSES, "softmax"),
]
FROZEN = [{**dense(16, "relu"), "trainable": False}, dense(CLASSES, "softmax")]
PENALIZED = [
    dense(16, "relu", kernel_regularizer={"class": "L2", "config": {"l2": 0.01}}),
    dense(
        CLASSES,
        "softmax",
        kernel_regularizer={"class": "L1", "config": {"l1": 0.001}},
        bias_regularizer={"class": "L2", "config": {"l2": 0.1}},
    ),
]
ACTIVITY = [dense(16, "relu", activity_regularizer={"class": "L2", "config": {"l2": 0.01}}), SOFTMAX[1]]
CONSTRAINED = [dense(16, "relu", kernel_constraint={"class": "MaxNorm", "config": {"max_value": 0.5}}), SOFTMAX[1]]
OBJECTS = ("kernel_regularizer", "bias_regularizer", "activity_regularizer", "kernel_constraint")

SGD = {"class": "SGD", "config": {"learning_rate": 0.1}}
MOMENTUM = {"class": "SGD", "config": {"learning_rate": 0.05, "momentum": 0.9, "nesterov": True}}
ADAM = {"class": "Adam", "config": {"learning_rate": 0.01}}
NADAM = {"class": "Nadam", "config": {"learning_rate": 0.01}}
SPARSE = "sparse_categorical_crossentropy"
CLASS_WEIGHT = {0: 1.0, 1: 2.0, 2: 0.5, 3: 0.0, 4: 1.0, 5: 3.0, 6: 1.0, 7: 0.1, 8: 1.0, 9: 1.5}


def case(layers: list[dict[str, Any]], optimizer: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Layers, what compile gets, what fit gets beside x and y; ``y`` names the labels among the inputs."""
    fit = {"epochs": 3, "batch_size": 7, "shuffle": False, **options.pop("fit", {})}
    return {
        "layers": layers,
        "optimizer": optimizer,
        "loss": options.pop("loss", SPARSE),
        "loss_config": options.pop("loss_config", {}),
        "metrics": options.pop("metrics", ["accuracy"]),
        "weighted_metrics": options.pop("weighted_metrics", None),
        "y": options.pop("y", "labels"),
        "fit": fit,
        **options,
    }


SPLIT = {"validation_split": 0.25}
CASES: dict[str, dict[str, Any]] = {
    "sgd": case(SOFTMAX, SGD),
    "nadam": case(SOFTMAX, NADAM),
    "momentum": case(SOFTMAX, MOMENTUM),
    "sgd_column_labels": case(SOFTMAX, SGD, y="labels_column"),
    "sgd_validation_split": case(SOFTMAX, SGD, fit=SPLIT),
    "nadam_validation_split": case(SOFTMAX, NADAM, fit=SPLIT),
    "sgd_class_weight": case(SOFTMAX, SGD, fit={"class_weight": CLASS_WEIGHT}),
    "nadam_class_weight": case(SOFTMAX, NADAM, fit={"class_weight": CLASS_WEIGHT}),
    "class_weight_validation_split": case(SOFTMAX, SGD, fit={"class_weight": CLASS_WEIGHT, **SPLIT}),
    "sgd_sample_weight": case(SOFTMAX, SGD, fit={"sample_weight": "sample_weight"}),
    "nadam_sample_weight": case(SOFTMAX, NADAM, fit={"sample_weight": "sample_weight"}),
    "sample_weight_validation_split": case(SOFTMAX, SGD, fit={"sample_weight": "sample_weight", **SPLIT}),
    "weighted_metrics": case(
        SOFTMAX,
        SGD,
        weighted_metrics=["accuracy"],
        metrics=None,
        fit={"sample_weight": "sample_weight", **SPLIT},
    ),
    "validation_data": case(SOFTMAX, SGD, fit={"validation_data": ["x_validation", "labels_validation"]}),
    "validation_data_weighted": case(
        SOFTMAX,
        SGD,
        fit={"validation_data": ["x_validation", "labels_validation", "weight_validation"]},
    ),
    "validation_batch_size": case(SOFTMAX, SGD, fit={**SPLIT, "validation_batch_size": 4}),
    "initial_epoch": case(SOFTMAX, SGD, fit={"initial_epoch": 1}),
    "logits": case(LOGITS, NADAM, loss="SparseCategoricalCrossentropy", loss_config={"from_logits": True}, fit=SPLIT),
    "label_smoothing": case(
        SOFTMAX, ADAM, loss="CategoricalCrossentropy", loss_config={"label_smoothing": 0.1}, y="one_hot", fit=SPLIT
    ),
    "one_hot": case(SOFTMAX, SGD, loss="categorical_crossentropy", y="one_hot", fit=SPLIT),
    "binary": case([dense(16, "relu"), dense(1, "sigmoid")], NADAM, loss="binary_crossentropy", y="binary", fit=SPLIT),
    "regression": case([dense(16, "tanh"), dense(2)], ADAM, loss="mse", y="targets", metrics=["mae"], fit=SPLIT),
    "batch_normalization": case(NORMALIZED, NADAM, fit=SPLIT),
    "penalties": case(PENALIZED, SGD, fit=SPLIT),
    "activity_penalty": case(ACTIVITY, SGD, fit=SPLIT),
    "max_norm": case(CONSTRAINED, SGD),
    "frozen_layer": case(FROZEN, SGD),
    "clipnorm": case(SOFTMAX, {"class": "SGD", "config": {"learning_rate": 1.0, "clipnorm": 0.1}}),
    "accumulation": case(SOFTMAX, {"class": "SGD", "config": {"learning_rate": 0.1, "gradient_accumulation_steps": 3}}),
    "ema": case(
        SOFTMAX,
        {"class": "SGD", "config": {"learning_rate": 0.1, "use_ema": True, "ema_momentum": 0.9}},
        fit=SPLIT,
        note="the averages replace the weights after the last epoch, so evaluate differs from the history",
    ),
    "one_batch": case(SOFTMAX, SGD, fit={"batch_size": 50}),
}


def make() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Every case from the same data."""
    inputs = arrays()
    return inputs, {name: {**row, **run(row, inputs, index)} for index, (name, row) in enumerate(CASES.items())}


def arrays() -> dict[str, Any]:
    """Data whose labels depend on the features, so that the accuracies move."""
    rng = np.random.default_rng(20240508)
    x, x_validation = rng.normal(size=(SAMPLES, FEATURES)), rng.normal(size=(17, FEATURES))
    matrix = rng.normal(size=(FEATURES, CLASSES))
    labels, labels_validation = (x @ matrix).argmax(axis=1), (x_validation @ matrix).argmax(axis=1)
    floats = {
        "x": x,
        "x_validation": x_validation,
        "one_hot": np.eye(CLASSES)[labels],
        "binary": (x @ matrix[:, 0] > 0)[:, None],
        "targets": np.tanh(x @ matrix[:, :2]),
        "sample_weight": np.round(rng.uniform(0, 3, size=SAMPLES), 1),
        "weight_validation": np.round(rng.uniform(0, 3, size=17), 1),
    }
    integers = {
        "labels": labels,
        "labels_column": labels[:, None],
        "labels_validation": labels_validation,
    }
    return {
        **{name: value.astype(np.float32) for name, value in floats.items()},
        **{name: value.astype(np.int32) for name, value in integers.items()},
    }


def build(row: dict[str, Any], rng: np.random.Generator) -> tuple[keras.Model, list[np.ndarray]]:
    """The compiled model with weights drawn by NumPy, and those weights."""
    model = keras.Sequential([keras.layers.InputLayer(shape=(FEATURES,))])
    for entry in row["layers"]:
        config = dict(entry["config"])
        for key in OBJECTS:
            if key in config:
                module = keras.constraints if key.endswith("constraint") else keras.regularizers
                config[key] = getattr(module, config[key]["class"])(**config[key]["config"])
        layer = getattr(keras.layers, entry["class"])(**config)
        model.add(layer)
        layer.trainable = entry.get("trainable", True)
    for layer in model.layers:
        drawn = []
        for weight in layer.weights:
            fresh = {"gamma": 1.0, "moving_mean": 0.0, "moving_variance": 1.0}.get(weight.name)
            drawn.append(np.full(weight.shape, fresh) if fresh is not None else 0.3 * rng.normal(size=weight.shape))
        layer.set_weights([value.astype(np.float32) for value in drawn])
    loss = row["loss"]
    if row["loss_config"]:
        loss = getattr(keras.losses, loss)(**row["loss_config"])
    model.compile(
        optimizer=getattr(keras.optimizers, row["optimizer"]["class"])(**row["optimizer"]["config"]),
        loss=loss,
        metrics=row["metrics"],
        weighted_metrics=row["weighted_metrics"],
    )
    return model, [value.copy() for value in model.get_weights()]


def run(row: dict[str, Any], inputs: dict[str, Any], index: int) -> dict[str, Any]:
    """History, evaluate, predict and the weights after fit; then single batches from the initial weights again."""
    x, y = inputs["x"], inputs[row["y"]]
    model, initial = build(row, np.random.default_rng([20240509, index]))
    options = dict(row["fit"])
    if "validation_data" in options:
        options["validation_data"] = tuple(inputs[name] for name in options["validation_data"])
    if "sample_weight" in options:
        options["sample_weight"] = inputs[options["sample_weight"]]
    history = model.fit(x, y, verbose=0, **options)
    result: dict[str, Any] = {
        "history": {key: [float(value) for value in values] for key, values in history.history.items()},
        "history_epochs": list(history.epoch),
        "evaluate": named(model.evaluate(x, y, batch_size=7, verbose=0, return_dict=True)),
        "evaluate_weighted": named(
            model.evaluate(x, y, batch_size=7, sample_weight=inputs["sample_weight"], verbose=0, return_dict=True)
        ),
        "predict": model.predict(inputs["x_validation"], batch_size=5, verbose=0),
    }
    result.update({f"initial_{number}": value for number, value in enumerate(initial)})
    result.update({f"final_{number}": value for number, value in enumerate(model.get_weights())})
    fresh, _ = build(row, np.random.default_rng([20240509, index]))
    starts = range(0, 35, 7)
    result["train_on_batch"] = [
        named(fresh.train_on_batch(x[s : s + 7], y[s : s + 7], return_dict=True)) for s in starts
    ]
    result["test_on_batch"] = named(fresh.test_on_batch(x[:7], y[:7], return_dict=True))
    return result


def named(logs: dict[str, Any]) -> dict[str, float]:
    """Plain floats."""
    return {key: float(value) for key, value in logs.items()}
