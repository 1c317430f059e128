"""Graphs of layers drawn by Keras's functional API, with the same lines for Keras and for this project."""

from __future__ import annotations

from typing import Any

import numpy as np

SAMPLES, FEATURES, IMAGE, CLASSES = 24, 6, (6, 5, 2), 3
Network = tuple[Any, Any, Any, dict[str, Any], dict[str, Any]]


def data() -> dict[str, np.ndarray]:
    """Return what the networks learn from."""
    rng = np.random.default_rng(20240703)
    labels = np.arange(SAMPLES) % CLASSES
    a, b = (rng.normal(size=(SAMPLES, FEATURES)) + labels[:, None] / 2 for _ in range(2))
    return {
        "a": a.astype(np.float32),
        "b": b.astype(np.float32),
        "images": (rng.normal(size=(SAMPLES, *IMAGE)) + labels[:, None, None, None] / 2).astype(np.float32),
        "labels": labels.astype(np.int32),
        "values": np.stack([a.sum(1), (a * b).sum(1)], axis=1).astype(np.float32) / 4,
        "same": (labels % 2).astype(np.float32)[:, None],
        "weights": (rng.integers(1, 9, SAMPLES) / 4).astype(np.float32),
    }


def residual(k: Any, of: dict[str, np.ndarray]) -> Network:
    """Two dense blocks, each added to what it was given."""
    x = h = k.Input((FEATURES,), name="x")
    for i in range(2):
        inner = k.layers.Dense(8, activation="elu", name=f"wide_{i}")(h)
        h = k.layers.Add(name=f"sum_{i}")([h, k.layers.Dense(FEATURES, name=f"narrow_{i}")(inner)])
    outputs = k.layers.Dense(CLASSES, activation="softmax", name="classes")(h)
    settings = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}
    return k.Model(x, outputs), of["a"], of["labels"], settings, {}


def siamese(k: Any, of: dict[str, np.ndarray]) -> Network:
    """Two inputs that one layer encodes; whether they are of one kind."""
    a, b = k.Input((FEATURES,), name="a"), k.Input((FEATURES,), name="b")
    encoder = k.layers.Dense(5, activation="tanh", name="encoder")
    apart = k.layers.Subtract(name="apart")([encoder(a), encoder(b)])
    squared = k.layers.Multiply(name="squared")([apart, apart])
    outputs = k.layers.Dense(1, activation="sigmoid", name="same")(squared)
    settings = {"loss": "binary_crossentropy", "metrics": ["accuracy"]}
    return k.Model([a, b], outputs), [of["a"], of["b"]], of["same"], settings, {}


def _two_by_two(k: Any) -> tuple[Any, list[Any], list[Any]]:
    a, b = k.Input((FEATURES,), name="a"), k.Input((FEATURES,), name="b")
    h = k.layers.Concatenate(name="both")([k.layers.Dense(6, activation="selu", name="of_a")(a), b])
    label = k.layers.Dense(CLASSES, activation="softmax", name="label")(h)
    value = k.layers.Dense(2, name="value")(h)
    return h, [a, b], [label, value]


def two_outputs(k: Any, of: dict[str, np.ndarray]) -> Network:
    """Two inputs and two outputs; losses, their weights, metrics, inputs and targets all by name."""
    _, inputs, outputs = _two_by_two(k)
    settings = {
        "loss": {"label": "sparse_categorical_crossentropy", "value": "mse"},
        "loss_weights": {"label": 1.0, "value": 0.25},
        "metrics": {"label": ["accuracy"], "value": ["mae", "mse"]},
    }
    x, y = {"a": of["a"], "b": of["b"]}, {"label": of["labels"], "value": of["values"]}
    return k.Model(inputs, outputs), x, y, settings, {"validation_split": 0.25}


def weighted(k: Any, of: dict[str, np.ndarray]) -> Network:
    """Two outputs with sample weights each, in lists, and one penalty on an activity and one on a weight."""
    h, inputs, (label, value) = _two_by_two(k)
    h = k.layers.Dense(
        4, activation="tanh", name="regular", activity_regularizer=k.regularizers.L2(0.1),
        kernel_regularizer=k.regularizers.L1(0.01),
    )(h)  # fmt: skip
    more = k.layers.Dense(1, name="more")(h)
    settings = {
        "loss": ["sparse_categorical_crossentropy", "huber", None],
        "loss_weights": [0.5, 2.0, None],
        "weighted_metrics": [["accuracy"], ["mae"], []],
    }
    targets = [of["labels"], of["values"], None]
    fitting = {"sample_weight": [of["weights"], of["weights"][::-1].copy(), None]}
    return k.Model(inputs, [label, value, more]), [of["a"], of["b"]], targets, settings, fitting


def keys(k: Any, of: dict[str, np.ndarray]) -> Network:
    """Inputs and outputs in dicts, by whose keys the losses and metrics are."""
    _, inputs, outputs = _two_by_two(k)
    settings = {
        "loss": {"kind": "sparse_categorical_crossentropy", "amount": "mae"},
        "metrics": {"amount": ["mse"]},
    }
    model = k.Model(dict(zip("pq", inputs, strict=True)), dict(zip(["kind", "amount"], outputs, strict=True)))
    return model, {"p": of["a"], "q": of["b"]}, {"kind": of["labels"], "amount": of["values"]}, settings, {}


def nested(k: Any, of: dict[str, np.ndarray]) -> Network:
    """A Sequential called on two inputs, and a graph with a normalisation inside another."""
    a, b = k.Input((FEATURES,), name="a"), k.Input((FEATURES,), name="b")
    row = k.Sequential(
        [k.layers.Dense(5, activation="elu", name="first"), k.layers.Dense(4, name="second")], name="row"
    )
    p, q = k.Input((4,), name="p"), k.Input((4,), name="q")
    inner = k.layers.Dense(4, use_bias=False, name="mixed")(k.layers.Concatenate(name="beside")([p, q]))
    inner = k.layers.BatchNormalization(momentum=0.9, name="norm")(inner)
    block = k.Model([p, q], k.layers.Add(name="short_cut")([p, inner]), name="block")
    outputs = k.layers.Dense(CLASSES, activation="softmax", name="classes")(block([row(a), row(b)]))
    settings = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}
    return k.Model([a, b], outputs), [of["a"], of["b"]], of["labels"], settings, {}


def resnet(k: Any, of: dict[str, np.ndarray]) -> Network:
    """A residual block of convolutions with batch normalisation, pooled over the image."""
    x = k.Input(IMAGE, name="x")
    h = k.layers.Conv2D(4, 3, padding="same", use_bias=False, name="conv_1")(x)
    h = k.layers.Activation("relu", name="relu_1")(k.layers.BatchNormalization(momentum=0.9, name="norm_1")(h))
    h = k.layers.Conv2D(4, 3, padding="same", use_bias=False, name="conv_2")(h)
    h = k.layers.BatchNormalization(momentum=0.9, name="norm_2")(h)
    short = k.layers.Conv2D(4, 1, name="short_cut")(x)
    h = k.layers.Activation("relu", name="relu_2")(k.layers.Add(name="sum")([h, short]))
    h = k.layers.GlobalAveragePooling2D(name="pool")(h)
    outputs = k.layers.Dense(CLASSES, activation="softmax", name="classes")(h)
    settings = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}
    return k.Model(x, outputs), of["images"], of["labels"], settings, {}


def extracted(k: Any, of: dict[str, np.ndarray]) -> Network:
    """A new head on a frozen part of another model, normalisation included."""
    base = k.Sequential(
        [
            k.layers.InputLayer(shape=(FEATURES,)),
            k.layers.Dense(6, activation="elu", name="base_1"),
            k.layers.BatchNormalization(name="base_norm"),
            k.layers.Dense(5, activation="elu", name="base_2"),
            k.layers.Dense(2, name="base_out"),
        ]
    )
    features = k.Model(base.inputs, base.layers[-2].output, name="features")
    features.trainable = False
    x = k.Input((FEATURES,), name="x")
    outputs = k.layers.Dense(CLASSES, activation="softmax", name="classes")(features(x))
    settings = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}
    return k.Model(x, outputs), of["a"], of["labels"], settings, {}


NETWORKS = [residual, siamese, two_outputs, weighted, keys, nested, resnet, extracted]


def named_weights(model: Any) -> dict[str, Any]:
    """Return a model's weights by the names of their layers and their own: "classes/kernel"."""
    return {"/".join(weight.path.split("/")[-2:]): weight for weight in model.weights}
