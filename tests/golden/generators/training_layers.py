"""fit on small networks of images: frozen and trained normalisation, every penalty and constraint, convolutions."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

SHAPE, SAMPLES, CLASSES = (6, 5, 2), 24, 3
MODULES = {"regularizer": keras.regularizers, "constraint": keras.constraints}


def layer(cls: str, trainable: bool = True, **config: Any) -> dict[str, Any]:
    """One row of a network's list of layers."""
    return {"class": cls, "config": config, "trainable": trainable}


def of(cls: str, **config: Any) -> dict[str, Any]:
    """A regularizer or a constraint."""
    return {"class": cls, "config": config}


FLAT, OUT = layer("Flatten"), layer("Dense", units=CLASSES, activation="softmax")


def hidden(**config: Any) -> list[dict[str, Any]]:
    """A network with one hidden dense layer."""
    return [FLAT, layer("Dense", units=5, activation="elu", **config), OUT]


def normalized(trainable: bool) -> list[dict[str, Any]]:
    """A network with a batch normalisation behind a dense layer without bias, whose rounding could not wander."""
    return [
        FLAT,
        layer("Dense", units=5, use_bias=False),
        layer("BatchNormalization", trainable, momentum=0.9),
        layer("Activation", activation="elu"),
        OUT,
    ]


def convolved(**config: Any) -> list[dict[str, Any]]:
    """A network with a convolution."""
    return [layer("Conv2D", filters=4, kernel_size=3, padding="same", activation="elu", **config), FLAT, OUT]


SGD, MOMENTUM = of("SGD", learning_rate=0.1), of("SGD", learning_rate=0.05, momentum=0.9, nesterov=True)
CASES: dict[str, dict[str, Any]] = {
    "bn_trained": {"layers": normalized(True), "optimizer": MOMENTUM},
    "bn_frozen": {"layers": normalized(False), "optimizer": MOMENTUM},
    "bn_images": {
        "layers": [
            layer("Conv2D", filters=4, kernel_size=[3, 2], strides=[2, 1], use_bias=False),
            layer("BatchNormalization", momentum=0.9),
            layer("ReLU"),
            layer("GlobalAveragePooling2D"),
            OUT,
        ],
        "optimizer": SGD,
    },
    "layer_normalization": {
        "layers": [FLAT, layer("LayerNormalization"), layer("Dense", units=5, activation="tanh"), OUT],
        "optimizer": MOMENTUM,
    },
    "convolutions": {
        "layers": [
            layer("Conv2D", filters=4, kernel_size=3, padding="same", activation="elu"),
            layer("MaxPooling2D"),
            layer("Conv2D", filters=3, kernel_size=[3, 2], padding="same", dilation_rate=[1, 2]),
            layer("PReLU", shared_axes=[1, 2], alpha_regularizer=of("L2", l2=0.1)),
            layer("AveragePooling2D", pool_size=2, strides=1, padding="same"),
            FLAT,
            OUT,
        ],
        "optimizer": MOMENTUM,
    },
    "l1": {"layers": hidden(kernel_regularizer=of("L1", l1=0.003)), "optimizer": SGD},
    "l2": {"layers": hidden(kernel_regularizer=of("L2", l2=0.02), bias_regularizer=of("L2")), "optimizer": SGD},
    "l1_l2": {"layers": hidden(kernel_regularizer=of("L1L2", l1=0.002, l2=0.01)), "optimizer": MOMENTUM},
    "orthogonal_rows": {
        "layers": hidden(kernel_regularizer=of("OrthogonalRegularizer", factor=0.01)),
        "optimizer": SGD,
    },
    "orthogonal_columns": {
        "layers": hidden(kernel_regularizer=of("OrthogonalRegularizer", factor=0.05, mode="columns")),
        "optimizer": SGD,
    },
    "activity_l1": {"layers": hidden(activity_regularizer=of("L1", l1=0.01)), "optimizer": SGD},
    "penalty_of_a_convolution": {"layers": convolved(kernel_regularizer=of("L2", l2=0.05)), "optimizer": SGD},
    "max_norm": {"layers": hidden(kernel_constraint=of("MaxNorm", max_value=1.5)), "optimizer": MOMENTUM},
    "min_max_norm": {
        "layers": hidden(kernel_constraint=of("MinMaxNorm", min_value=0.8, max_value=1.2, rate=0.5)),
        "optimizer": MOMENTUM,
    },
    "unit_norm": {"layers": hidden(kernel_constraint=of("UnitNorm", axis=1)), "optimizer": SGD},
    "non_neg": {
        "layers": hidden(kernel_constraint=of("NonNeg"), bias_constraint=of("NonNeg")),
        "optimizer": MOMENTUM,
    },
    "max_norm_of_filters": {
        "layers": convolved(kernel_constraint=of("MaxNorm", max_value=1.0, axis=[0, 1, 2])),
        "optimizer": MOMENTUM,
    },
}


def make() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Four epochs of five steps for each network, from weights drawn by NumPy."""
    rng = np.random.default_rng(20240701)
    labels = np.arange(SAMPLES) % CLASSES
    x = rng.normal(size=(SAMPLES, *SHAPE)) + labels[:, None, None, None] / 2
    inputs = {"x": x.astype(np.float32), "y": labels.astype(np.int32)}
    return inputs, {name: {**row, **run(row, inputs, i)} for i, (name, row) in enumerate(CASES.items())}


def run(row: dict[str, Any], inputs: dict[str, Any], index: int) -> dict[str, Any]:
    """First and last weights, history, and predictions."""
    rng = np.random.default_rng([20240702, index])
    model = keras.Sequential([keras.layers.InputLayer(shape=SHAPE)])
    for entry in row["layers"]:
        config = {key: made(key, value) for key, value in entry["config"].items()}
        model.add(getattr(keras.layers, entry["class"])(**config))
        model.layers[-1].trainable = entry["trainable"]
    for part in model.layers:
        part.set_weights([drawn(weight, rng).astype(np.float32) for weight in part.weights])
    optimizer = getattr(keras.optimizers, row["optimizer"]["class"])(**row["optimizer"]["config"])
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    initial = [value.copy() for value in model.get_weights()]
    history = model.fit(inputs["x"], inputs["y"], epochs=4, batch_size=5, shuffle=False, verbose=0)
    return {
        "weights": [weight.path.split("/")[-1] for weight in model.weights],
        "history": {key: [float(value) for value in values] for key, values in history.history.items()},
        "predict": model.predict(inputs["x"], verbose=0),
        **{f"initial_{i}": value for i, value in enumerate(initial)},
        **{f"final_{i}": value for i, value in enumerate(model.get_weights())},
    }


def made(key: str, value: Any) -> Any:
    """A regularizer, a constraint, or the value itself."""
    module = MODULES.get(key.rpartition("_")[2])
    return value if module is None else getattr(module, value["class"])(**value["config"])


def drawn(weight: Any, rng: np.random.Generator) -> np.ndarray:
    """First values: a normalisation's near what training would have made of them, the others small."""
    if weight.name in ("gamma", "moving_variance"):
        return rng.uniform(0.5, 2.0, size=weight.shape)
    return 0.3 * rng.normal(size=weight.shape)
