"""Files of every format that ever was are read: kept as they were written, with what their models predicted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.golden import make_model_files as golden
from tinygrad_dnn.models.saving import FORMAT

FILES = sorted(golden.DATA.glob("model_format_*.safetensors"))
CUSTOM = {"custom_scale": golden.custom_scale}


def number_and_name(file: Path) -> tuple[int, str]:
    number, _, name = file.stem.removeprefix("model_format_").partition("_")
    return int(number), name


def test_there_is_a_file_of_every_format() -> None:
    assert {number_and_name(file) for file in FILES} >= {
        (number, name) for number in range(1, FORMAT + 1) for name in ("row", "graph", "ensemble")
    }


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_loads_predicts_and_trains(file: Path, tmp_path: Path) -> None:
    number, name = number_and_name(file)
    wanted = np.load(golden.DATA / f"model_format_{number}.npz")
    assert td.models.inspect(file).format == number
    model = td.models.load_model(file, custom_objects=CUSTOM)
    for output, values in golden.predictions(name, model).items():
        # Another machine's BLAS may add up in another order.
        np.testing.assert_allclose(values, wanted[f"{name}/{output}"], rtol=2e-6, atol=1e-6)
    if name == "row":
        assert int(model.optimizer.iterations) == 4
        given = golden.inputs()
        history = model.fit(given["x"], given["classes"], batch_size=4, verbose=0).history
        assert np.isfinite(history["loss"]).all()
    model.save(tmp_path / "again")
    assert td.models.inspect(tmp_path / "again").format == FORMAT
