"""What is inside a file, told without making anything of it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

import tinygrad_dnn as td
from tinygrad_dnn import saving

L = td.layers


@pytest.fixture
def file(tmp_path: Path) -> Path:
    inner = td.Sequential([L.Dense(5, activation="tanh", name="deep")], name="inner")
    model = td.Sequential([td.Input(shape=(6,), name="x"), L.Dense(4, name="first"), inner, L.Dense(1, name="last")])
    model.layers[0].trainable = False
    model.compile(td.optimizers.Adam(0.001), "mse", metrics=["mae", td.metrics.RootMeanSquaredError(name="rms")])
    model.fit(np.ones((4, 6)), np.ones((4, 1)), verbose=0)
    model.save(tmp_path / "model")
    return tmp_path / "model"


def test_a_model(file: Path) -> None:
    contents = td.models.inspect(file)
    assert [dataclasses.astuple(row) for row in contents.layers] == [
        ("x", "InputLayer", 0, "", 0, True),
        ("first", "Dense", 0, "(None, 4)", 28, False),
        ("inner", "Sequential", 0, "(None, 5)", 25, True),
        ("deep", "Dense", 1, "(None, 5)", 25, True),
        ("last", "Dense", 0, "(None, 1)", 6, True),
    ]
    assert (contents.parameters, contents.dtypes) == (59, {"float32": 59})
    assert (contents.format, contents.version, contents.plugins) == (1, td.__version__, ())
    assert contents.size == file.stat().st_size
    assert contents.training["learning rate"] == 0.001
    assert contents.training["metrics"] == ["mae", "rms"]
    assert "@optimizer/iterations" in contents.others
    assert json.loads(json.dumps(contents.as_dict()))["parameters"] == 59


def test_what_is_printed(file: Path) -> None:
    text = str(td.models.inspect(file))
    parts = [
        f"a model, format 1, written by tinygrad-dnn {td.__version__}", "first", "frozen", "(None, 4)", "adam",
        "59 parameters (59 float32)", "mean_squared_error", "of 4 weights", "inner/deep/kernel",
    ]  # fmt: skip
    assert [part for part in parts if part not in text] == []
    assert max(map(len, text.splitlines())) <= 110 + len(str(file))


def test_weights_and_files_of_others(tmp_path: Path) -> None:
    td.Sequential([L.Dense(1, input_shape=(3,), name="last")]).save_weights(tmp_path / "weights")
    contents = td.models.inspect(tmp_path / "weights")
    assert not contents.layers
    assert list(contents.weights) == ["last/kernel", "last/bias"]
    assert "the weights of a model, format 1" in str(contents)
    safetensors.numpy.save_file({f"layer.{i}.weight": np.ones((2, 3)) for i in range(50)}, tmp_path / "theirs")
    contents = td.models.inspect(tmp_path / "theirs")
    assert (contents.format, contents.version, contents.parameters) == (None, "", 300)
    assert "another program" in str(contents)
    assert "and 10 more" in str(contents)


def test_a_subclass(tmp_path: Path) -> None:
    class Own(td.Model):
        def __init__(self, **kwargs: object) -> None:
            super().__init__(**kwargs)
            self.hidden = L.Dense(1, name="hidden")

        def call(self, inputs: td.Tensor) -> td.Tensor:
            return self.hidden(inputs)

        def get_config(self) -> dict[str, object]:
            return super().get_config()

    model = Own(name="mine")
    model(np.ones((2, 3)))
    model.save(tmp_path / "model")
    contents = td.models.inspect(tmp_path / "model")
    assert [(row.name, row.class_name) for row in contents.layers] == [("mine", "Own")]
    assert contents.plugins[0]["distribution"] == "local"


def test_nothing_in_a_file_steers_the_terminal(file: Path) -> None:
    arrays, texts = saving.read_tensors(file)
    said = texts["tinygrad_dnn"].replace('"first"', '"\\u001b[31m\\u202e\\nfirst[bold]"')
    arrays["\x1b]0;title\x07/kernel"] = np.ones(1)
    saving.write_tensors(file, arrays, {"tinygrad_dnn": said})
    text = str(td.models.inspect(file))
    assert not [c for c in text if not c.isprintable() and c != "\n"]
    assert "[bold]" in text


@pytest.mark.parametrize(
    "said",
    [
        "[]", "null", "1", '"x"', "{}", '{"format":true}', '{"format":0}', '{"format":"1"}', '{"format":1}',
        '{"format":1,"model":1,"compile":null,"plugins":[]}',
        '{"format":1,"model":{},"compile":null,"plugins":[]}',
        '{"format":1,"model":{"kind":"layer"},"compile":null,"plugins":[]}',
        '{"format":1,"model":{"kind":"sequential","layers":[1]},"compile":null,"plugins":[]}',
        '{"format":1,"model":null,"compile":{},"plugins":[]}',
        '{"format":1,"model":null,"compile":null,"plugins":[1]}',
        '{"format":1,"model":null,"compile":null,"plugins":[{"name":"x"}]}',
        '{"format":1,"model":null,"compile":null,"plugins":{}}',
    ],
)
def test_a_description_of_another_form(said: str, tmp_path: Path) -> None:
    saving.write_tensors(tmp_path / "file", {}, {"tinygrad_dnn": said})
    for read in (td.models.inspect, td.models.load_model):
        with pytest.raises(td.models.FileError, match=str(tmp_path / "file")):
            read(tmp_path / "file")


def test_a_newer_format_says_what_to_do(tmp_path: Path) -> None:
    said = '{"format":2,"version":"9.0","model":null}'
    saving.write_tensors(tmp_path / "file", {}, {"tinygrad_dnn": said})
    wanted = r"format 2, .* reads up to 1: pip install --upgrade tinygrad-dnn \(.*9\.0\)"
    for read in (td.models.inspect, td.models.load_model):
        with pytest.raises(td.models.FileError, match=wanted):
            read(tmp_path / "file")
