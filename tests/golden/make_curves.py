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
# The initial weights are changed by this part of themselves, times a standard normal, to measure the sensitivity.
RELATIVE_CHANGE = {"float32": 6e-8, "float64": 1e-15}
# Steps count as reliable while that changes no loss so far by more than this.
RELIABLE = 2e-4


def curve(variant: str, dtype: str, data: tuple[np.ndarray, np.ndarray], steps: int, runs: int) -> dict[str, Any]:
    """Return the losses, how much a rounding error changes them, and the norms of the weights at either end."""
    part = recipe.VARIANTS[variant]
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)  # floatx alone does not reach layers once a policy exists
    x, y = recipe.inputs(variant, data[0])[0].astype(dtype), data[1].astype(np.int32)
    initial = [weight.astype(dtype) for weight in recipe.initial_weights(variant)]
    losses, final = train(variant, initial, x, y, steps)
    sensitivity = np.zeros(steps)
    for run in range(runs):
        random = np.random.RandomState(run)
        moved = [(w * (1 + RELATIVE_CHANGE[dtype] * random.standard_normal(w.shape))).astype(dtype) for w in initial]
        sensitivity = np.maximum(sensitivity, np.abs(train(variant, moved, x, y, steps)[0] - losses))
    sensitivity = np.maximum.accumulate(sensitivity)
    return {
        "variant": variant,
        "dtype": dtype,
        "seed": part.seed,
        "learning_rate": part.learning_rate,
        "reliable_steps": int((sensitivity < RELIABLE).sum()),
        "losses": losses.astype(dtype),
        "sensitivity": sensitivity.astype(np.float32),
        "initial_norms": norms(initial),
        "final_norms": norms(final),
    }


def train(
    variant: str, weights: list[np.ndarray], x: np.ndarray, y: np.ndarray, steps: int
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the loss of each step, before its update, and the weights after the last."""
    model = recipe.build(keras, variant, dropout=0.0)
    model.set_weights(weights)
    model.compile(
        optimizer=keras.optimizers.Nadam(learning_rate=recipe.VARIANTS[variant].learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    losses = []
    for step in range(steps):
        rows = recipe.batch_indices(step, len(x))
        losses.append(model.train_on_batch(x[rows], y[rows], return_dict=True)["loss"])
    return np.array(losses, dtype=np.float64), model.get_weights()


def norms(weights: list[np.ndarray]) -> np.ndarray:
    """Return the Euclidean norm of each weight, in the order of get_weights()."""
    return np.array([np.linalg.norm(weight.astype(np.float64)) for weight in weights])


def main() -> None:
    """Write the curves of all variants in both precisions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=recipe.STEPS)
    parser.add_argument("--runs", type=int, default=16, help="from changed weights, for the sensitivity (default: 16)")
    parser.add_argument("--folder", type=Path, default=storage.DATA, help="where to write; default: %(default)s")
    options = parser.parse_args()
    with np.load(SAMPLE, allow_pickle=False) as sample:
        data = sample["x_train"], sample["y_train"]
    cases = {}
    for variant in recipe.VARIANTS:
        for dtype in RELATIVE_CHANGE:
            case = cases[f"{variant}_{dtype}"] = curve(variant, dtype, data, options.steps, options.runs)
            marks = [f"{case['sensitivity'][step]:.1e}" for step in range(24, options.steps, 25)]
            print(f"{variant}_{dtype}: {case['reliable_steps']} reliable steps; sensitivity by 25 steps {marks}")
    inputs = {"sample_sha256": hashlib.sha256(SAMPLE.read_bytes()).hexdigest()}
    size = storage.save("curves", {**versions(), "note": NOTE}, inputs, cases, options.folder)
    print(f"curves: {size} bytes")


if __name__ == "__main__":
    main()
