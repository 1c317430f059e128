"""The lesson on augmentation."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np

Load = Callable[[str], ModuleType]


def test_what_the_lesson_claims(load: Load, tmp_path: Path) -> None:
    arguments = ["--samples", "400", "--epochs", "40", "--seeds", "1", "--out", str(tmp_path / "augmentation.png")]
    (plain,), (augmented,) = load("augmentation").main(arguments).values()
    assert plain.train[-1] < 0.15 < augmented.train[-1]
    assert plain.valid[-1] > min(plain.valid) + 0.05
    assert augmented.valid[-1] < min(augmented.valid) + 0.1
    assert augmented.same < plain.same + 0.01
    assert augmented.changed > plain.changed + 0.1


def test_each_layer_shown_draws_for_each_image_in_training_only(load: Load) -> None:
    script = load("augmentation")
    images = np.repeat(load("lesson").images(1).x_test[:1, ..., np.newaxis], 20, axis=0)
    for name, layer in script.SHOWN.items():
        draws = np.array(layer(images, training=True))
        assert len(np.unique(draws.reshape(20, -1), axis=0)) > 1, name
        still = np.array(layer(images, training=False))
        if name.startswith("RandomCrop"):
            assert still.shape == (20, 20, 20, 1)
            np.testing.assert_allclose(still, still[:1].repeat(20, axis=0), atol=1e-6)
        else:
            np.testing.assert_array_equal(still, images, err_msg=name)
