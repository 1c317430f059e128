"""Makes the model files of the present format that every later version must read, with what the models predict.

    python tests/golden/make_model_files.py

It writes data/model_format_<n>_<name>.safetensors and data/model_format_<n>.npz for the present format's number n. A
file of an older format is never made again: it is kept as the version wrote it that had that format.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

import tinygrad_dnn as td
from tinygrad_dnn.models.saving import FORMAT

DATA = Path(__file__).parent / "data"
L = td.layers


def inputs() -> dict[str, np.ndarray]:
    """Return what the models are trained and asked with: rounded numbers, the same everywhere."""
    x = np.sin(np.arange(48.0)).reshape(8, 6).astype("float32").round(3)
    return {"x": x, "y": x[:, :1] * 2, "classes": np.arange(8) % 3}


def custom_scale(x: td.Tensor) -> td.Tensor:
    """A function of the user's own, which custom objects stand for."""
    return x * 0.5


def models() -> dict[str, td.Model]:
    """Return a trained model of each kind by name."""
    given = inputs()
    row = td.Sequential(
        [td.Input(shape=(6,)), L.Dense(4, activation="elu", kernel_regularizer="l2"), L.BatchNormalization(),
         L.Dropout(0.25), L.Lambda(custom_scale), L.Dense(3, activation="softmax")], name="row",
    )  # fmt: skip
    rate = td.schedulers.ExponentialDecay(0.01, decay_steps=4, decay_rate=0.5)
    row.compile(td.optimizers.Nadam(rate, use_ema=True), "sparse_categorical_crossentropy", metrics=["accuracy"])
    row.fit(given["x"], given["classes"], epochs=2, batch_size=4, verbose=0)
    first, second = td.Input(shape=(6,), name="first"), td.Input(shape=(6,), name="second")
    shared, inner = L.Dense(5, name="shared"), td.Sequential([L.Dense(5, activation="tanh")], name="inner")
    both = shared(first) * 2.0 + inner(shared(second)) - np.arange(5, dtype="float32")
    ends = {"a": L.Dense(1, name="a")(both), "b": L.Dense(2, name="b")(inner(both))}
    graph = td.Model([first, second], ends, name="graph")
    losses = {"a": "mse", "b": td.losses.Huber(delta=0.5)}
    optimizer, weights = td.optimizers.SGD(0.01, momentum=0.9), {"a": 1.0, "b": 0.5}
    graph.compile(optimizer, losses, loss_weights=weights, metrics={"a": ["mae"]})
    graph.fit([given["x"], -given["x"]], {"a": given["y"], "b": given["x"][:, :2]}, batch_size=4, verbose=0)
    return {"row": row, "graph": graph, "ensemble": td.models.Ensemble([row, td.models.clone_model(row)], name="both")}


def predictions(name: str, model: td.Model) -> dict[str, np.ndarray]:
    """Return what a model says of the inputs, by the output's name."""
    x = inputs()["x"]
    found = model.predict([x, -x] if name == "graph" else x, verbose=0)
    return found if isinstance(found, dict) else {"output": found}


def main() -> None:
    """Write the files."""
    td.utils.set_random_seed(42)
    said = {}
    for name, model in models().items():
        said |= {f"{name}/{output}": values for output, values in predictions(name, model).items()}
        model.save(DATA / f"model_format_{FORMAT}_{name}.safetensors")
    np.savez(DATA / f"model_format_{FORMAT}.npz", **said)


if __name__ == "__main__":
    main()
