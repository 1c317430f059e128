"""Models of Keras's as plain data: configurations, weights by path, what they predict; each layer, and some graphs."""

from __future__ import annotations

import json
from typing import Any

import functional_networks as networks
import keras
import numpy as np

VECTOR, SEQUENCE, IMAGE = (6,), (4, 6), (7, 6, 4)
SAMPLES = 3
LAYERS: list[tuple[str, Any, dict[str, Any]]] = [
    ("Activation", VECTOR, {"activation": "mish"}),
    ("Add", [VECTOR, VECTOR, VECTOR], {}),
    ("AlphaDropout", VECTOR, {"rate": 0.3}),
    ("Average", [VECTOR, VECTOR], {}),
    ("AveragePooling2D", IMAGE, {"pool_size": (3, 2), "strides": (2, 1), "padding": "same"}),
    ("BatchNormalization", SEQUENCE, {"axis": 1, "epsilon": 0.01, "gamma_initializer": "he_normal"}),
    ("BatchNormalization", IMAGE, {"scale": False, "momentum": 0.9}),
    ("CenterCrop", IMAGE, {"height": 4, "width": 3}),
    ("Concatenate", [SEQUENCE, (3, 6)], {"axis": 1}),
    (
        "Conv2D", IMAGE,
        {"filters": 3, "kernel_size": (3, 2), "strides": 2, "padding": "same", "activation": "relu"},
    ),
    (
        "Dense", VECTOR,
        {
            "units": 3, "activation": "elu", "kernel_initializer": keras.initializers.HeNormal(seed=3),
            "kernel_regularizer": keras.regularizers.L2(0.25), "kernel_constraint": keras.constraints.MaxNorm(3.0),
            "bias_initializer": keras.initializers.Constant(0.5), "trainable": False,
        },
    ),
    ("Dense", SEQUENCE, {"units": 2, "use_bias": False, "activity_regularizer": "l1"}),
    ("Dropout", VECTOR, {"rate": 0.3, "seed": 7}),
    ("ELU", VECTOR, {"alpha": 0.5}),
    ("Flatten", IMAGE, {}),
    ("GaussianDropout", VECTOR, {"rate": 0.3}),
    ("GaussianNoise", VECTOR, {"stddev": 0.3}),
    ("GlobalAveragePooling2D", IMAGE, {"keepdims": True}),
    ("LayerNormalization", IMAGE, {"axis": (1, 3), "center": False}),
    ("LayerNormalization", VECTOR, {}),
    ("LeakyReLU", VECTOR, {"negative_slope": 0.125}),
    ("MaxPooling2D", IMAGE, {"pool_size": 2}),
    ("Maximum", [VECTOR, VECTOR], {}),
    ("Minimum", [VECTOR, VECTOR], {}),
    ("Multiply", [VECTOR, VECTOR], {}),
    ("Normalization", VECTOR, {"mean": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "variance": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]}),
    ("Normalization", SEQUENCE, {}),
    ("PReLU", IMAGE, {"shared_axes": [1, 2]}),
    ("Permute", SEQUENCE, {"dims": (2, 1)}),
    ("RandomBrightness", IMAGE, {"factor": 0.3}),
    ("RandomContrast", IMAGE, {"factor": 0.3}),
    ("RandomFlip", IMAGE, {"mode": "horizontal"}),
    ("RandomRotation", IMAGE, {"factor": 0.3}),
    ("RandomTranslation", IMAGE, {"height_factor": 0.3, "width_factor": 0.2}),
    ("RandomZoom", IMAGE, {"height_factor": 0.3}),
    ("ReLU", VECTOR, {"max_value": 0.5, "negative_slope": 0.25, "threshold": 0.125}),
    ("RepeatVector", VECTOR, {"n": 3}),
    ("Rescaling", VECTOR, {"scale": 0.5, "offset": 1.0}),
    ("Reshape", SEQUENCE, {"target_shape": (3, -1, 2)}),
    ("Resizing", IMAGE, {"height": 5, "width": 9}),
    ("Softmax", SEQUENCE, {"axis": 1}),
    ("SpatialDropout1D", SEQUENCE, {"rate": 0.3}),
    ("SpatialDropout2D", IMAGE, {"rate": 0.3}),
    ("Subtract", [VECTOR, VECTOR], {}),
    ("ZeroPadding2D", IMAGE, {"padding": ((1, 0), (2, 3))}),
]  # fmt: skip


def make() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return a case for each layer, each network of ``functional_networks``, and two more models."""
    rng = np.random.default_rng(20250501)
    cases = {}
    for name, shape, arguments in LAYERS:
        layer = getattr(keras.layers, name)(**arguments, name="only")
        shapes = shape if isinstance(shape, list) else [shape]
        inputs = [keras.Input(each, name=f"x{i}") for i, each in enumerate(shapes)]
        model = keras.Model(inputs, layer(inputs if isinstance(shape, list) else inputs[0]), name=f"of_{name}")
        key = f"layer_{name}" if f"layer_{name}" not in cases else f"layer_{name}_again"
        cases[key] = described(model, rng)
    for network in networks.NETWORKS:
        model, _, _, settings, _ = network(keras, networks.data())
        model.compile(keras.optimizers.Adam(0.01, beta_1=0.8), **settings)
        cases[f"network_{network.__name__}"] = described(model, rng)
    cases["sequential"] = described(sequential(), rng)
    cases["operators"] = described(operators(), rng)
    return {}, cases


def sequential() -> Any:
    """Layers in a row, with a schedule and with losses and metrics that are objects."""
    model = keras.Sequential(
        [
            keras.layers.Flatten(name="flat"),
            keras.layers.Dense(8, activation="selu", kernel_initializer="lecun_normal", name="hidden"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.Dense(3, name="logits"),
        ],
        name="row",
    )
    model.build((None, 3, 4))
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    model.compile(
        keras.optimizers.SGD(schedule, momentum=0.9, nesterov=True),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(k=2, name="best_two")],
    )
    return model


def operators() -> Any:
    """Operators between symbolic tensors, and a layer that is called twice."""
    x = keras.Input((4,), name="x")
    shared = keras.layers.Dense(4, activation="tanh", name="shared")
    y = (shared(shared(x)) * 2.0 - x) / 3.0
    return keras.Model(x, {"left": 1.0 - y, "right": -(y**2.0)}, name="ops")


def described(model: Any, rng: np.random.Generator) -> dict[str, Any]:
    """Return a model as plain data, its weights drawn anew, with inputs and what it predicts of them."""
    weights = by_path(model)
    for path, weight in weights.items():
        if path.endswith("count"):
            continue
        drawn = rng.normal(size=weight.shape)
        weight.assign(np.abs(drawn) + 0.5 if path.endswith("variance") else drawn)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()
    x = [rng.normal(size=(SAMPLES, *each.shape[1:])).astype(np.float32) for each in model.inputs]
    form = None if isinstance(model, keras.Sequential) else model.input
    given = dict(zip(form, x, strict=True)) if isinstance(form, dict) else x
    y = model.predict(given if len(x) > 1 else x[0], verbose=0)
    config = {"class_name": type(model).__name__, "config": model.get_config()}
    settings = model.get_compile_config() if model.compiled else None
    outputs = [y[name] for name in model.output] if isinstance(y, dict) else y if isinstance(y, list) else [y]
    return {
        "model": json.loads(json.dumps(config, default=lambda value: value.tolist())),
        "trainable": sum(weight.trainable for weight in model.trainable_weights),
        "compile": json.loads(json.dumps(settings, default=lambda value: value.tolist())),
        **{f"weight/{path}": np.array(weight) for path, weight in weights.items()},
        **{f"x{i}": part for i, part in enumerate(x)},
        **{f"y{i}": np.array(part) for i, part in enumerate(outputs)},
    }


def by_path(model: Any) -> dict[str, Any]:
    """Return all weights by the names of the layers they are in and their own."""
    found = {}
    for layer in model.layers:
        inside = by_path(layer) if hasattr(layer, "layers") else {w.name: w for w in getattr(layer, "weights", ())}
        found.update({f"{layer.name}/{name}": weight for name, weight in inside.items()})
    return found
