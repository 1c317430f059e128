"""TensorBoard: the event files read back, value by value, however training ends."""

from __future__ import annotations

import re
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.record_writer import masked_crc32c

import tinygrad_dnn as td

X = np.linspace(-1, 1, 40, dtype=np.float32).reshape(10, 4)
Y = X.sum(axis=1, keepdims=True)
TensorBoard = td.callbacks.TensorBoard


def network() -> td.Sequential:
    model = td.Sequential([td.layers.Dense(3, name="hidden"), td.layers.Dense(1, name="out")], name="net")
    model.compile(td.optimizers.SGD(0.05), "mse", metrics=["mae"])
    return model


def events(folder: Path) -> list[Any]:
    """Return the events of a folder's files, each file in full: its records' lengths and checksums are right."""
    found = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        content, first = path.read_bytes(), len(found)
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            assert struct.unpack("<I", content[8:12]) == (masked_crc32c(content[:8]),)
            record = content[12 : 12 + length]
            assert struct.unpack("<I", content[12 + length : 16 + length]) == (masked_crc32c(record),)
            found.append(Event.FromString(record))
            content = content[16 + length :]
        assert found[first].file_version == "brain.Event:2"
    return found


def series(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return the scalars of a folder: (step, value) by name."""
    found: dict[str, list[tuple[int, float]]] = {}
    for event in events(folder):
        for value in event.summary.value:
            if value.HasField("simple_value"):
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def steps(written: dict[str, list[tuple[int, float]]], name: str) -> list[int]:
    return [step for step, _ in written[name]]


def values(written: dict[str, list[tuple[int, float]]], name: str) -> list[float]:
    return [value for _, value in written[name]]


def test_each_epoch_is_a_point_of_the_history(backend: str, tmp_path: Path) -> None:
    model = network()
    drop = td.callbacks.LearningRateScheduler(lambda epoch, rate: 0.05 / (epoch + 1))
    board = TensorBoard(tmp_path)
    history = model.fit(X, Y, epochs=3, validation_data=(X[:4], Y[:4]), callbacks=[drop, board], verbose=0).history
    train, validation = series(tmp_path / "train"), series(tmp_path / "validation")
    assert set(train) == {"epoch_loss", "epoch_mae", "epoch_learning_rate"}
    for name, numbers in history.items():
        written = validation if name.startswith("val_") else train
        tag = f"epoch_{name.removeprefix('val_')}"
        assert steps(written, tag) == [0, 1, 2]
        assert values(written, tag) == pytest.approx(numbers, rel=1e-7)
    assert values(train, "epoch_learning_rate") == pytest.approx([0.05, 0.025, 0.05 / 3], rel=1e-6)
    assert steps(validation, "evaluation_loss_vs_iterations") == [1, 2, 3]
    assert values(validation, "evaluation_mae_vs_iterations") == pytest.approx(history["val_mae"], rel=1e-7)


def test_a_schedule_s_rate_is_that_of_the_next_step(backend: str, tmp_path: Path) -> None:
    model = network()
    model.compile(td.optimizers.SGD(td.schedulers.PiecewiseConstantDecay([3, 5], [0.1, 0.05, 0.025])), "mse")
    model.fit(X, Y, batch_size=5, epochs=4, callbacks=[TensorBoard(tmp_path)], verbose=0)
    rates = values(series(tmp_path / "train"), "epoch_learning_rate")
    assert rates == pytest.approx([0.1, 0.05, 0.025, 0.025], rel=1e-6)


@pytest.mark.parametrize(("update_freq", "expected"), [("batch", [1, 2, 3, 4, 5, 6]), (4, [4]), ("epoch", [])])
def test_series_by_batch(backend: str, tmp_path: Path, update_freq: int | str, expected: list[int]) -> None:
    seen = []
    noting = td.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(logs["mae"]))
    board = TensorBoard(tmp_path, update_freq=update_freq, write_steps_per_second=True)
    network().fit(X, Y, batch_size=4, epochs=2, callbacks=[noting, board], verbose=0)
    written = series(tmp_path / "train")
    names = {name for name in written if name.startswith("batch_")}
    assert names == ({"batch_loss", "batch_mae", "batch_steps_per_second"} if expected else set())
    for name in names:
        assert steps(written, name) == expected
    if expected:
        assert values(written, "batch_mae") == pytest.approx([seen[step - 1] for step in expected], rel=1e-7)
    assert steps(written, "epoch_steps_per_second") == [0, 1]
    assert all(value > 0 for name in written if "per_second" in name for value in values(written, name))


def test_an_interrupted_training_goes_on_in_a_file_of_its_own(backend: str, tmp_path: Path) -> None:
    def run(folder: Path, at: int, *more: Any) -> dict[str, list[tuple[int, float]]]:
        def stop(batch: int, logs: Any) -> None:
            nonlocal at
            at -= 1
            if not at:
                raise RuntimeError("enough")

        td.utils.set_random_seed(1)
        model, board = network(), TensorBoard(folder, update_freq=1, write_steps_per_second=True)
        interrupting = td.callbacks.LambdaCallback(on_train_batch_end=stop)
        model.fit(X, Y, 2, 3, 0, [board, *more, interrupting])
        return series(folder / "train")

    straight = run(tmp_path / "straight", 0)
    with pytest.raises(RuntimeError, match="enough"):  # in the third step of the second epoch, after the board
        run(tmp_path / "logs", 8, td.callbacks.BackupAndRestore(tmp_path / "b", 1))
    resumed = run(tmp_path / "logs", 0, td.callbacks.BackupAndRestore(tmp_path / "b", 1))
    assert resumed.keys() == straight.keys()
    assert steps(resumed, "batch_loss") == [*range(1, 9), *range(8, 16)]
    for name in ("batch_loss", "epoch_loss", "epoch_mae"):
        assert sorted(set(resumed[name])) == straight[name]


def test_histograms_of_the_weights(backend: str, tmp_path: Path) -> None:
    model = network()
    model.fit(X, Y, epochs=4, callbacks=[TensorBoard(tmp_path, histogram_freq=3)], verbose=0)
    written = [(e.step, v) for e in events(tmp_path / "train") for v in e.summary.value]
    found = [(step, v.tag, v.histo) for step, v in written if v.HasField("histo")]
    tags = ["hidden/kernel/histogram", "hidden/bias/histogram", "out/kernel/histogram", "out/bias/histogram"]
    assert [(step, tag) for step, tag, _ in found] == [(step, tag) for step in (0, 3) for tag in tags]
    for weight, (_, _, histogram) in zip(model.get_weights(), found[4:], strict=True):
        assert histogram.num == sum(histogram.bucket) == weight.size
        assert (histogram.min, histogram.max) == (weight.min(), weight.max())
        assert histogram.sum == pytest.approx(weight.sum(dtype=np.float64), abs=1e-12)
        for low, high, count in zip(
            histogram.bucket_limit, histogram.bucket_limit[1:], histogram.bucket[1:], strict=False
        ):
            inside = (weight >= low) & ((weight < high) | (high == histogram.bucket_limit[-1]))
            assert np.count_nonzero(inside) == count


def test_weights_that_are_no_numbers_do_not_stop_training(backend: str, tmp_path: Path) -> None:
    model = network()
    model.build((None, 4))
    kernel, bias, *others = model.get_weights()
    model.set_weights([np.where(kernel > 0, np.nan, kernel), np.full_like(bias, np.inf), *others])
    model.layers[0].trainable = False
    model.compile("sgd", "mse")
    model.fit(X, Y, callbacks=[TensorBoard(tmp_path, histogram_freq=1)], verbose=0)
    found = {v.tag: v.histo for e in events(tmp_path / "train") for v in e.summary.value if v.HasField("histo")}
    assert found["hidden/kernel/histogram"].num == np.count_nonzero(kernel <= 0)
    assert "hidden/bias/histogram" not in found
    assert np.isnan(values(series(tmp_path / "train"), "epoch_loss")).all()


@pytest.mark.parametrize("write_graph", [True, False])
def test_the_table_of_the_layers_is_a_text(
    backend: str, tmp_path: Path, write_graph: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    model = network()
    model.fit(X, Y, epochs=2, callbacks=[TensorBoard(tmp_path, write_graph=write_graph)], verbose=0)
    assert capsys.readouterr().out == ""
    model.summary()
    table = [f"    {line.rstrip()}" for line in capsys.readouterr().out.splitlines()]
    texts = [v for e in events(tmp_path / "train") for v in e.summary.value if v.HasField("tensor")]
    assert [v.tag for v in texts] == ["model/text_summary"] * write_graph
    assert [v.metadata.plugin_data.plugin_name for v in texts] == ["text"] * write_graph
    assert [v.tensor.string_val[0].decode().splitlines() for v in texts] == [table] * write_graph


def test_what_is_no_single_number_is_left_out(backend: str, tmp_path: Path) -> None:
    def add(epoch: int, logs: Any) -> None:
        logs.update(each=np.ones(3), phase="warm", one=np.ones((1, 1)), tensor=td.tensor(2.5))

    adding = td.callbacks.LambdaCallback(on_epoch_end=add)
    network().fit(X, Y, callbacks=[adding, TensorBoard(tmp_path)], verbose=0)
    written = series(tmp_path / "train")
    assert (written["epoch_one"], written["epoch_tensor"]) == ([(0, 1.0)], [(0, 2.5)])
    assert not {"epoch_each", "epoch_phase"} & set(written)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_files_are_complete_and_closed_when_training_ends_in_an_error(
    backend: str, tmp_path: Path, error: type[BaseException]
) -> None:
    def fail(batch: int, logs: Any) -> None:
        if int(model.optimizer.iterations) == 5:
            raise error("enough")

    model, board = network(), TensorBoard(tmp_path, update_freq=1)
    failing = td.callbacks.LambdaCallback(on_train_batch_begin=fail)
    with pytest.raises(error, match="enough"):
        model.fit(X, Y, batch_size=4, epochs=9, validation_data=(X, Y), callbacks=[board, failing], verbose=0)
    assert steps(series(tmp_path / "train"), "batch_loss") == [1, 2, 3, 4, 5]
    assert steps(series(tmp_path / "validation"), "epoch_loss") == [0]
    assert not open_files(tmp_path)
    model.fit(X, Y, epochs=2, callbacks=[board], verbose=0)  # and it can be used again
    assert steps(series(tmp_path / "train"), "epoch_loss") == [0, 0, 1]


def open_files(folder: Path) -> list[str]:
    """Return the files under a folder that this process has open, where the system can tell."""
    names = [str(path.readlink()) for path in Path("/proc/self/fd").glob("*") if path.is_symlink()]
    return [name for name in names if name.startswith(str(folder))]


def test_files_are_complete_after_each_epoch(backend: str, tmp_path: Path) -> None:
    read = []
    looking = td.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: read.append(len(series(tmp_path / "train").get("epoch_loss", ())))
    )
    network().fit(X, Y, epochs=3, callbacks=[TensorBoard(tmp_path), looking], verbose=0)
    assert read == [0, 1, 2]


def test_evaluate_writes_one_point_and_closes_its_file(backend: str, tmp_path: Path) -> None:
    model, board = network(), TensorBoard(tmp_path)
    model.fit(X, Y, verbose=0)
    results = [model.evaluate(X, Y, callbacks=[board], verbose=0, return_dict=True) for _ in range(2)]
    assert not open_files(tmp_path)
    assert not (tmp_path / "train").exists()
    written = series(tmp_path / "validation")
    assert written["evaluation_mae_vs_iterations"] == [(1, pytest.approx(r["mae"], rel=1e-7)) for r in results]


def test_a_generators_model_has_its_table_too(backend: str, tmp_path: Path) -> None:
    network().fit(iter([(X, Y)] * 2), steps_per_epoch=1, epochs=2, callbacks=[TensorBoard(tmp_path)], verbose=0)
    (text,) = [v for e in events(tmp_path / "train") for v in e.summary.value if v.HasField("tensor")]
    assert b"not built" not in text.tensor.string_val[0]


def test_without_the_library_it_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    model = network()
    with pytest.raises(ImportError, match=re.escape("pip install 'tinygrad-dnn[tensorboard]'")):
        model.fit(X, Y, callbacks=[TensorBoard(tmp_path)], verbose=0)
    assert int(model.optimizer.iterations) == 0


def test_a_folder_that_cannot_be_is_refused_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    model = network()
    with pytest.raises(OSError, match="file"):
        model.fit(X, Y, callbacks=[TensorBoard(tmp_path / "file")], verbose=0)
    assert int(model.optimizer.iterations) == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"histogram_freq": -1}, "histogram_freq must be an integer of at least 0, not -1"),
        ({"histogram_freq": 0.5}, "histogram_freq must be an integer of at least 0, not 0.5"),
        ({"update_freq": 0}, "update_freq must be 'epoch', 'batch' or an integer of at least 1, not 0"),
        ({"update_freq": "step"}, "update_freq must be 'epoch', 'batch' or an integer of at least 1, not 'step'"),
        ({"update_freq": True}, "update_freq must be 'epoch', 'batch' or an integer of at least 1, not True"),
        ({"write_images": True}, "write_images is accepted only as False, not True"),
        ({"profile_batch": (2, 4)}, "profile_batch is accepted only as 0, not (2, 4)"),
        ({"embeddings_freq": 1}, "embeddings_freq is accepted only as 0, not 1"),
        ({"embeddings_metadata": "names.tsv"}, "embeddings_metadata is accepted only as None, not 'names.tsv'"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused_by_name(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=f"TensorBoard: {re.escape(sentence)}"):
        TensorBoard(**arguments)


def test_log_dir_is_a_path() -> None:
    with pytest.raises(TypeError, match="TensorBoard: log_dir must be the path of a folder, not 3"):
        TensorBoard(3)  # type: ignore[arg-type]
