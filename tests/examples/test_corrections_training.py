"""The lesson that corrects training: when to stop, which epoch counts, and scaled pixels."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest

Correct = Callable[..., list[tuple[float, float]]]
SCRIPT = "corrections_training"


def test_the_training_loss_stops_nothing_and_the_validation_loss_does(correct: Correct) -> None:
    epochs, loss = correct(SCRIPT, "monitor", seeds=1, epochs=25)
    assert epochs[0] == 25
    assert epochs[1] < 20
    assert loss[0] > loss[1]


def test_the_last_epoch_is_not_the_best(correct: Correct) -> None:
    (last, best), _ = correct(SCRIPT, "best_epoch", seeds=1, epochs=25)
    assert last > best


def test_raw_pixels_harm_where_nothing_scales_them(correct: Correct) -> None:
    loss, accuracy = correct(SCRIPT, "raw_pixels", samples=300)
    assert loss[0] > 10 * loss[1]
    assert accuracy[0] < accuracy[1] - 15
    loss, _ = correct(SCRIPT, "normalised_pixels", samples=300)
    assert loss[0] == pytest.approx(loss[1], rel=0.2)


def test_the_wrong_way_is_shown_without_its_warning(
    load: Callable[[str], ModuleType], recwarn: pytest.WarningsRecorder
) -> None:
    load(SCRIPT).stopped("loss", 1, 0)
    assert not [warning for warning in recwarn if "EarlyStopping" in str(warning.message)]
