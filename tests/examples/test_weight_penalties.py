"""The lesson on penalties of the weights."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


def test_what_the_lesson_claims(load: Callable[[str], ModuleType], tmp_path: Path) -> None:
    script = load("weight_penalties")
    arguments = ["--epochs", "50", "--seeds", "1", "--out", str(tmp_path / "weights.png")]
    none, l2, l1, both = script.main(arguments).values()
    assert none.at_zero < l2.at_zero < both.at_zero < l1.at_zero
    assert none.at_zero < 0.02
    assert l1.at_zero > 0.5
    assert not (l1.weights == 0).any()  # they hover about 0
    assert abs(l2.weights).max() < abs(l1.weights).max() < abs(none.weights).max()
    gaps = [float(result.train.mean() - result.valid.mean()) for result in (none, l2, l1, both)]
    assert gaps[0] == max(gaps)
    assert gaps[2] == min(gaps)


@pytest.mark.parametrize("share", ["-0.1", "1.5", "half"])
def test_a_share_out_of_range_is_refused(
    share: str, load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit, match="2"):
        load("weight_penalties").main([f"--wrong-labels={share}"])
    assert "wrong-labels" in capsys.readouterr().err
