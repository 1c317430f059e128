"""Hostile and damaged files give an error of our own: no crash, no hang, no more memory than twice the file."""

from __future__ import annotations

import json
import os
import struct
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.saving.hostile import DAMAGED, HOSTILE, framed
from tests.saving.mutations import SAMPLES, mutated
from tinygrad_dnn import models, saving
from tinygrad_dnn.saving import header

ROOM = 64 << 20


@pytest.fixture
def memory() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def refusal(read: Callable[[Path], object], file: Path) -> saving.FileError | None:
    """Return the error of reading a file, the only one that there may be."""
    try:
        read(file)
    except saving.FileError as error:
        return error
    return None


def test_there_are_enough_hand_made_files() -> None:
    assert len(HOSTILE) >= 60


@pytest.mark.parametrize("name", HOSTILE)
def test_hand_made(name: str, tmp_path: Path, memory: None) -> None:
    content, message = HOSTILE[name]
    file = tmp_path / "file"
    file.write_bytes(content)
    for read in (saving.read_header, saving.read_tensors, models.load_model, models.inspect):
        with pytest.raises(saving.FileError, match=message) as raised:
            read(file)
        assert str(file) in str(raised.value)
        assert len(str(raised.value)) < 500
    assert tracemalloc.get_traced_memory()[1] <= 2 * len(content) + ROOM


@pytest.mark.parametrize("name", DAMAGED)
def test_content_that_its_type_has_not(name: str, tmp_path: Path) -> None:
    make, message = DAMAGED[name]
    (tmp_path / "file").write_bytes(make())
    with pytest.raises(saving.FileError, match=message):
        saving.read_tensors(tmp_path / "file")


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for read in (saving.read_header, saving.read_tensors, models.load_model, models.inspect):
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "nowhere")
        with pytest.raises(IsADirectoryError, match="is a folder"):
            read(tmp_path)
        for special in (tmp_path / "pipe", "/dev/zero", "/dev/null"):
            with pytest.raises(saving.FileError, match="is a pipe or a device"):
                read(special)


def test_a_file_that_is_not_ours_to_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: object) -> int:
        raise PermissionError(13, "Permission denied", str(tmp_path / "file"))

    monkeypatch.setattr(saving.files.os, "open", refused)
    with pytest.raises(PermissionError, match="file"):
        models.load_model(tmp_path / "file")


def test_a_file_that_is_cut_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    saving.write_tensors(file, {"a": np.ones(1000), "b": np.ones(1000)}, {})
    whole = saving.files._header

    def cutting(*arguments: object) -> object:
        found = whole(*arguments)
        os.truncate(file, 9000)
        return found

    monkeypatch.setattr(saving.files, "_header", cutting)
    with pytest.raises(saving.FileError, match="ended while the tensor 'b' was read"):
        saving.read_tensors(file)


def test_a_sparse_file_of_a_terabyte_costs_nothing(tmp_path: Path, memory: None) -> None:
    file = tmp_path / "file"
    with file.open("wb") as opened:
        opened.write(struct.pack("<Q", 1 << 39))
        opened.truncate(1 << 40)
    with pytest.raises(saving.FileError, match="may take"):
        saving.read_tensors(file)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20


def many_tensors(size: int) -> bytes:
    entries, length, number = [], 0, 0
    while length < size - 200:
        entries.append(f'"{number:x}":' + '{"dtype":"U8","shape":[0],"data_offsets":[0,0]}')
        length += len(entries[-1]) + 1
        number += 1
    return framed("{" + ",".join(entries) + "}")


def described(text: str) -> bytes:
    return framed(json.dumps({"__metadata__": {"tinygrad_dnn": text}}, ensure_ascii=False))


def keys(count: int) -> str:
    return "".join(f'"{number:x}":0,' for number in range(count))


HEAD = '{"format":1,"version":"1","floatx":"float32","model":null,"compile":null,"plugins":[],"x":['
GREAT = {
    "tensors": lambda n: many_tensors(n),
    "characters of four bytes": lambda n: described("\N{GRINNING FACE}" * ((n - 100) // 4)),
    "lists": lambda n: described(HEAD + "[]," * (n // 4) + "0]}"),
    "lists, fewer": lambda n: described(HEAD + "[]," * (n // 24) + "0]}"),
    "objects": lambda n: described(HEAD + "{}," * (n // 4) + "0]}"),
    "objects, fewer": lambda n: described(HEAD + "{}," * (n // 50) + "0]}"),
    "numbers": lambda n: described(HEAD + "1.5," * (n // 5) + "0]}"),
    "depth": lambda n: described("[" * (n // 2)),
    "texts that look deep": lambda n: described(HEAD + '"' + "[" * (n // 120) + '"]}'),
    "keys": lambda n: described(HEAD + "{" + keys(n // 22) + '"":0}]}'),
    "a key twice at the end": lambda n: described(HEAD + "{" + keys(n // 22) + '"0":0}]}'),
    "spaces": lambda n: framed("{" + " " * (n - 100) + "}"),
    "backslashes": lambda n: described('"' + "\\\\" * (n // 5)),
}  # fmt: skip


@pytest.mark.parametrize("kind", GREAT)
def test_a_header_made_to_be_dear(kind: str, tmp_path: Path, memory: None) -> None:
    content = GREAT[kind](header.MOST_BYTES)
    assert len(content) < header.MOST_BYTES + 1000
    (tmp_path / "file").write_bytes(content)
    del content
    size = (tmp_path / "file").stat().st_size
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    assert len(str(refusal(models.inspect, tmp_path / "file"))) < 500
    assert tracemalloc.get_traced_memory()[1] - before <= 2 * size + ROOM


@pytest.mark.parametrize(
    "count", [pytest.param(500, id="quick"), pytest.param(10_000, id="all", marks=pytest.mark.heavy)]
)
def test_mutations(count: int, tmp_path: Path, memory: None) -> None:
    """No crash, hang or foreign error, whatever a random change makes of a model's file."""
    file = tmp_path / "file"
    samples = [make(tmp_path) for make in SAMPLES]
    random = np.random.default_rng(count)
    refused = {models.load_model: 0, models.inspect: 0}
    slowest = 0.0
    for number in range(count):
        content = mutated(samples[number % len(samples)], random)
        file.write_bytes(content)
        for read in refused:
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            started = time.process_time()
            error = refusal(read, file)
            refused[read] += error is not None
            assert error is None or str(file) in str(error)
            slowest = max(slowest, time.process_time() - started)
            assert tracemalloc.get_traced_memory()[1] - before <= 2 * len(content) + ROOM
    # A hang would be minutes; a busy machine is slow by much less.
    assert slowest < 10
    assert refused[models.load_model] > 0.8 * count
    assert refused[models.load_model] < count, "some changes, as of a number, leave a model"
