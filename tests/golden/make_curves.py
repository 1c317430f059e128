"""Makes the golden learning curves, data/curves.*: the losses of 200 steps of Keras 3 from the recipe's weights."""

from __future__ import annotations

import argparse
import hashlib
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAX_ENABLE_X64", "1")  # without it JAX computes float64 in float32

import keras
import numpy as np
import recipe
import storage
from make_keras import versions

SAMPLE = Path(__file__).parents[2] / "tinygrad_dnn" / "datasets" / "sample.npz"
NOTE = (
    "The output layer gives logits and the loss is SparseCategoricalCrossentropy(from_logits=True), which is "
    "what Keras on TensorFlow computes from a softmax output; Keras on JAX would clip the probabilities. Alpha "
    "dropout's rate is 0. Keras computes the normalisation of bn_float64 in float32."
)


def curve(variant: str, dtype: str, x_train: np.ndarray, y_train: np.ndarray, steps: int) -> dict[str, Any]:
    """Return the loss of each step, before its update, and the norms of the weights at either end."""
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)  # floatx alone does not reach layers once a policy exists
    x = recipe.inputs(variant, x_train)[0].astype(dtype)
    y = y_train.astype(np.int32)
    model = recipe.build(keras, variant, dropout=0.0)
    initial = recipe.initial_weights(variant)
    model.set_weights(initial)
    learning_rate = recipe.VARIANTS[variant].learning_rate
    model.compile(
        optimizer=keras.optimizers.Nadam(learning_rate=learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    losses = []
    for step in range(steps):
        rows = recipe.batch_indices(step, len(x))
        losses.append(model.train_on_batch(x[rows], y[rows], return_dict=True)["loss"])
    return {
        "variant": variant,
        "dtype": dtype,
        "learning_rate": learning_rate,
        "losses": np.array(losses, dtype=dtype),
        "initial_norms": norms(initial),
        "final_norms": norms(model.get_weights()),
    }


def norms(weights: list[np.ndarray]) -> np.ndarray:
    """Return the Euclidean norm of each weight, in the order of get_weights()."""
    return np.array([np.linalg.norm(weight.astype(np.float64)) for weight in weights])


def main() -> None:
    """Write the curves of all variants in both precisions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=recipe.STEPS)
    parser.add_argument("--folder", type=Path, default=storage.DATA, help="where to write; default: %(default)s")
    options = parser.parse_args()
    with np.load(SAMPLE, allow_pickle=False) as sample:
        x_train, y_train = sample["x_train"], sample["y_train"]
    cases = {
        f"{variant}_{dtype}": curve(variant, dtype, x_train, y_train, options.steps)
        for variant in recipe.VARIANTS
        for dtype in ("float32", "float64")
    }
    inputs = {"seed": recipe.SEED, "sample_sha256": hashlib.sha256(SAMPLE.read_bytes()).hexdigest()}
    size = storage.save("curves", {**versions(), "note": NOTE}, inputs, cases, options.folder)
    print(f"curves: {size} bytes")
    for name, case in cases.items():
        print(name, case["losses"][:: max(1, options.steps // 5)])


if __name__ == "__main__":
    main()
