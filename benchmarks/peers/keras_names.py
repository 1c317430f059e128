"""The networks in Keras's names, which tinygrad_dnn has too: one text for both."""

from __future__ import annotations

from typing import Any

from work import CLASSES, DROPOUT, LEARNING_RATE, Case

OPTIMIZERS = {"nadam": "Nadam", "adam": "Adam", "sgd": "SGD"}


def model(keras: Any, case: Case, **compile_options: Any) -> Any:
    """Return the compiled network of a case, made with the module ``keras``."""
    layers = keras.layers
    made = keras.models.Sequential([layers.InputLayer(shape=(case.sizes[0],))])
    initializer = "lecun_normal" if case.variant in ("selu", "alpha") else "he_normal"
    activation = "selu" if case.variant in ("selu", "alpha") else "elu"
    if case.variant == "bn":
        made.add(layers.BatchNormalization())
    for units in case.sizes[1:-1]:
        if case.variant == "bn":
            made.add(layers.Dense(units, kernel_initializer=initializer))
            made.add(layers.BatchNormalization())
            made.add(layers.Activation(activation))
        else:
            made.add(layers.Dense(units, kernel_initializer=initializer, activation=activation))
    if case.variant == "alpha":
        made.add(layers.AlphaDropout(rate=DROPOUT))
    made.add(layers.Dense(CLASSES, activation="softmax"))
    made.compile(
        loss="sparse_categorical_crossentropy", optimizer=optimizer(keras, case), metrics=["accuracy"],
        **compile_options,
    )  # fmt: skip
    return made


def optimizer(keras: Any, case: Case) -> Any:
    """Return the optimizer of a case."""
    return getattr(keras.optimizers, OPTIMIZERS[case.optimizer])(learning_rate=LEARNING_RATE)
