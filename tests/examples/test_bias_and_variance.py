"""The lesson on bias and variance."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

Load = Callable[[str], ModuleType]


def test_bias_and_variance_of_known_predictions(load: Load) -> None:
    # Two sets, one sample of class 0: the mean prediction is (0.7, 0.3), each set 0.1 from it in both classes.
    predictions = np.array([[[0.8, 0.2]], [[0.6, 0.4]]])
    variance = 2 * (0.1**2 + 0.1**2)  # divided by sets - 1
    bias, found = load("bias_and_variance").decompose(predictions, np.array([0]))
    assert found == pytest.approx(variance)
    assert bias + found == pytest.approx((2 * 0.2**2 + 2 * 0.4**2) / 2)


def test_neither_is_biased_by_the_number_of_sets(load: Load) -> None:
    random = np.random.default_rng(0)
    predictions = 0.3 + 0.2 * random.standard_normal((3, 40_000, 2))
    bias, variance = load("bias_and_variance").decompose(predictions, np.zeros(40_000, int))
    # The standard error of the variance is 2 * 0.04 / sqrt(2 * 40,000), that of the bias about 0.0013.
    assert variance == pytest.approx(2 * 0.2**2, abs=0.0013)
    assert bias == pytest.approx(0.7**2 + 0.3**2, abs=0.006)


def test_what_networks_of_each_size_do(load: Load, tmp_path: Path) -> None:
    options = ["--sets", "2", "--samples", "64", "--steps", "50", "--out", str(tmp_path / "bias.png")]
    measured = load("bias_and_variance").main(options)
    small, _, right, large, dropout, more = measured.values()
    assert small["bias"] > right["bias"] > large["bias"]
    assert large["variance"] > 1.2 * right["variance"]
    assert dropout["variance"] < large["variance"]
    assert more["bias"] < large["bias"]
    assert more["variance"] < large["variance"]
    gaps = [case["val_loss"][:, -1].mean() - case["train_loss"][:, -1].mean() for case in (small, right, large)]
    assert gaps[0] < gaps[1] < gaps[2]


@pytest.mark.parametrize("options", [["--sets", "1"], ["--sets", "5", "--samples", "300"]])
def test_sets_that_cannot_be_are_refused(load: Load, options: list[str], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit, match="2"):
        load("bias_and_variance").main(options)
    assert "at least 2 sets, which need 4 x sets x samples of the 5000 images" in capsys.readouterr().err
