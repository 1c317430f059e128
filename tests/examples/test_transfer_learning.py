"""The lesson on transfer learning."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

Load = Callable[[str], ModuleType]


def test_the_split_of_the_classes(load: Load) -> None:
    x = np.arange(20.0).reshape(10, 2)
    (x_a, y_a), (x_b, y_b) = load("transfer_learning").split(x, np.arange(10))
    np.testing.assert_array_equal(x_a[:, 0], [0, 2, 4, 6, 8, 14, 16, 18])
    np.testing.assert_array_equal(y_a, range(8))
    np.testing.assert_array_equal(x_b[:, 0], [10, 12])
    np.testing.assert_array_equal(y_b, [0.0, 1.0])


@pytest.mark.parametrize("way", ["A's layers reused", "frozen, then fine-tuned"])
def test_what_is_trained_when(load: Load, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    script = load("transfer_learning")
    seen = []

    def fit(model: object, *data: object, epochs: int, **options: object) -> object:
        seen.append((epochs, len(model.trainable_weights), round(float(model.optimizer.learning_rate), 6)))
        return type("Fitted", (), {"history": {"val_accuracy": [0.5] * epochs}})

    monkeypatch.setattr(script.td.Sequential, "fit", fit)
    layers = [script.td.layers.Dense(3, input_shape=(2,)), script.td.layers.Dense(3)]
    accuracy = script.train_b(layers, way, (), (), 10)
    assert seen == ([(10, 6, 0.05)] if way.startswith("A's") else [(4, 2, 0.05), (6, 6, 0.005)])
    assert len(accuracy) == 10


def test_few_images_learn_faster_with_the_layers_of_a_which_stays_as_it_was(load: Load, tmp_path: Path) -> None:
    options = ["--seeds", "1", "--samples", "600", "--epochs", "6", "--out", str(tmp_path / "transfer.png")]
    measured = load("transfer_learning").main(options)
    for by_way in measured.values():
        before, after, shared = by_way["A"].T
        np.testing.assert_array_equal(before, after)
        assert (shared < before).all()
        scratch, reused = by_way[20, "from scratch"].mean(), by_way[20, "A's layers reused"].mean()
        assert reused > scratch + 5
        assert by_way[200, "from scratch"].mean() > scratch
