"""The lesson on dropout."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

Load = Callable[[str], ModuleType]


def test_dropout_keeps_the_validation_loss_down(load: Load, tmp_path: Path) -> None:
    arguments = ["--samples", "300", "--epochs", "40", "--seeds", "1", "--out", str(tmp_path / "dropout.png")]
    curves = load("dropout").main(arguments).curves
    none, some, half = (curves[rate] for rate in (0.0, 0.2, 0.5))
    assert none["loss"][0, -1] < some["loss"][0, -1] < half["loss"][0, -1]
    assert none["val_loss"][0, -1] > half["val_loss"][0, -1] + 0.1
    rises = [float(each["val_loss"][0, -1] - each["val_loss"].min()) for each in (none, half)]
    assert rises[0] > rises[1] + 0.1
    accuracies = [each["val_accuracy"][0, -5:].mean() for each in (none, some, half)]
    assert max(accuracies) - min(accuracies) < 0.03


def test_alpha_dropout_keeps_what_selu_normalises(load: Load) -> None:
    script = load("dropout")
    plain, alpha = (script.through_layers(kind, seed=0) for kind in script.KINDS[1:])
    assert np.abs(alpha[:, 0]).max() < 0.03
    np.testing.assert_allclose(alpha[:, 1], 1, atol=0.03)
    # Standardised units that are kept with probability 0.8 and divided by it.
    assert plain[0, 1] == pytest.approx(0.8**-0.5, abs=0.02)
    assert plain[-1, 1] > 1.5
