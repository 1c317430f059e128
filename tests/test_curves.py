"""The exercise's four networks learn as Keras's do: step by step, from equal weights and in equal order.

In float32 two correct programs part within a few steps, unless the layers are normalised; in float64 they stay
together. ``reliable_steps`` says how long (tests/golden/README.md).
"""

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.golden import recipe, storage

CURVES = storage.load("curves")
WITHIN = 1e-3


def losses(variant: str, dtype: str, steps: int) -> np.ndarray:
    """Return the loss of each training step; alpha dropout's rate is 0, as in the golden curves."""
    part = recipe.VARIANTS[variant]
    (images, labels), _ = td.datasets.sample.load_data()
    (images,) = recipe.inputs(variant, images)
    td.backend.set_floatx(dtype)
    try:
        model = recipe.build(td, variant, dropout=0.0, head="softmax")
        model.set_weights([w.astype(dtype) for w in recipe.initial_weights(variant)])
        optimizer = td.optimizers.Nadam(learning_rate=part.learning_rate)
        model.compile(loss="sparse_categorical_crossentropy", optimizer=optimizer)
        found = []
        for step in range(steps):
            chosen = recipe.batch_indices(step, len(images))
            model.reset_metrics()
            found.append(model.train_on_batch(images[chosen].astype(dtype), labels[chosen]))
    finally:
        td.backend.set_floatx("float32")
    return np.array(found)


@pytest.mark.parametrize("variant", recipe.VARIANTS)
def test_the_first_steps_are_those_of_keras(variant: str) -> None:
    expected = CURVES.cases[f"{variant}_float64"]["losses"][:30]
    np.testing.assert_allclose(losses(variant, "float64", 30), expected, rtol=0, atol=WITHIN)


@pytest.mark.heavy
@pytest.mark.parametrize("variant", recipe.VARIANTS)
def test_two_hundred_steps_are_those_of_keras(variant: str) -> None:
    case = CURVES.cases[f"{variant}_float64"]
    steps = case["reliable_steps"]
    assert steps >= 190
    np.testing.assert_allclose(losses(variant, "float64", steps), case["losses"][:steps], rtol=0, atol=WITHIN)


def test_normalised_layers_follow_keras_in_float32_too() -> None:
    case = CURVES.cases["bn_float32"]
    assert case["reliable_steps"] >= 30
    np.testing.assert_allclose(losses("bn", "float32", 30), case["losses"][:30], rtol=0, atol=WITHIN)
