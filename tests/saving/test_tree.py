"""A tree of state in a file: what comes back is what went in, to the bit, or nothing."""

from __future__ import annotations

import json
import math
import random
import zlib
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_dnn as td
from tests.golden import make_state_files as golden
from tinygrad_dnn.saving import FileError
from tinygrad_dnn.saving.files import read_tensors, write_tensors
from tinygrad_dnn.saving.text import spelt, unspelt
from tinygrad_dnn.saving.tree import VERSION, read_state, write_state

Pair = namedtuple("Pair", "a b")
DTYPES = st.sampled_from([np.dtype(f"<{kind}") for kind in ("f2", "f4", "f8", "i1", "i4", "i8", "u1", "u8", "b1")])
ARRAYS = hnp.arrays(DTYPES, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
SCALARS = DTYPES.flatmap(lambda dtype: hnp.from_dtype(dtype)).map(lambda value: value[()])
KEYS = st.one_of(st.text(max_size=5), st.integers(), st.booleans(), st.none(), st.tuples(st.integers()))
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), ARRAYS, SCALARS)
TREES = st.recursive(
    LEAVES,
    lambda parts: st.one_of(
        st.lists(parts, max_size=4), st.tuples(parts, parts), st.dictionaries(KEYS, parts, max_size=4),
        st.lists(st.floats(), min_size=30, max_size=40), st.lists(st.integers(), min_size=30, max_size=40),
    ),
    max_leaves=12,
)  # fmt: skip


def same(a: Any, b: Any) -> bool:
    """Tell whether two trees are of the same types, and have the same bits."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (np.ndarray, np.generic)):
        numbers = a.dtype == b.dtype and a.shape == b.shape
        nan = not isinstance(a, np.ndarray) and a.dtype.kind == "f" and np.isnan(a)
        return numbers and bool(np.isnan(b) if nan else a.tobytes() == b.tobytes())
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return a == b


@settings(max_examples=100, deadline=None)
@given(TREES)
def test_a_tree_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, tree: Any) -> None:
    path = tmp_path_factory.mktemp("trees") / "a"
    write_state(path, tree)
    assert same(read_state(path), tree)


def test_long_lists_of_numbers_keep_their_types(tmp_path: Path) -> None:
    for first in (0, 1.0, math.inf, True, -(2**63), 2**63, 2**64, -(2**70)):
        for other in (1, -1, 0.5):
            tree = [first, *[other] * 40]
            write_state(tmp_path / "a", tree)
            assert same(read_state(tmp_path / "a"), tree)


def test_tensors_come_back_as_arrays_with_the_order_of_their_axes(backend: str, tmp_path: Path) -> None:
    tensors = [td.tensor([[1.0, 2.0, 3.0]]), td.transpose(td.ones((2, 3, 4)), (1, 2, 0)), td.zeros(())]
    write_state(tmp_path / "a", {"t": tensors, "n": Pair(1, 2)})
    got = read_state(tmp_path / "a")
    assert got["n"] == (1, 2)
    for tensor, array in zip(tensors, got["t"], strict=True):
        assert array.tobytes() == tensor.numpy().tobytes()
        assert array.flags.writeable
        if backend == "numpy":
            assert array.strides == tensor.data.strides


def test_names_that_would_meet_are_told_apart(tmp_path: Path) -> None:
    tree = {"a/b": np.ones(1), "a": {"b": np.zeros(1), "b~2": np.full(1, 2.0)}}
    write_state(tmp_path / "a", tree)
    assert same(read_state(tmp_path / "a"), tree)


@pytest.mark.parametrize(
    ("tree", "sentence"),
    [
        ({"a": [1, {2}]}, "state/a/1 is of type set, which a state cannot hold: it may hold None, truth"),
        ([lambda: 1], "state/0 is of type function"),
        ({"a": 1j}, "state/a is of type complex"),
        (np.array(["a"]), "state is an array of str"),
        ({"a": np.array([None])}, "state/a is an array of object"),
        ({"a": np.complex64(1)}, "state/a is of type complex64"),
        ({frozenset(): 1}, "state is of type frozenset"),
    ],
)
def test_what_no_file_can_say_is_refused_by_its_place(tmp_path: Path, tree: Any, sentence: str) -> None:
    with pytest.raises(TypeError, match=f"^{sentence}"):
        write_state(tmp_path / "a", tree)
    assert not list(tmp_path.iterdir())


def test_a_tree_without_an_end_is_refused(tmp_path: Path) -> None:
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    loop: list[Any] = []
    loop.append(loop)
    for tree in (deep, loop):
        with pytest.raises(ValueError, match="cannot be written"):
            write_state(tmp_path / "a", tree)
    assert not list(tmp_path.iterdir())


def test_no_damage_goes_unseen(tmp_path: Path) -> None:
    tree = {"w": np.arange(40, dtype=np.float32), "b": np.zeros((0, 2)), "rate": 0.1, "name": "x", "n": [0.5] * 40}
    path = tmp_path / "a"
    write_state(path, tree)
    content = path.read_bytes()
    draw = random.Random(3)
    for n in range(600):
        damaged = bytearray(content)
        if n % 3 == 0:
            del damaged[draw.randrange(len(content)) :]
        elif n % 3 == 1:
            damaged[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        else:
            at = draw.randrange(len(content))
            damaged[at : at + 64] = bytes(min(64, len(content) - at))
        path.write_bytes(damaged)
        if damaged == content:
            continue
        with pytest.raises(FileError, match=str(path)):
            read_state(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    td.saving.write_tensors(path, {"a": np.ones(2)}, {})
    with pytest.raises(FileError, match="holds no state of a training"):
        read_state(path)


FILES = sorted(golden.DATA.glob("state_version_*.safetensors"))


def test_there_is_a_file_of_every_version() -> None:
    assert [int(file.stem.rpartition("_")[2]) for file in FILES] == [*range(1, VERSION + 1)]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_file_of_an_older_version_is_read_to_the_bit(file: Path) -> None:
    assert same(read_state(file), golden.state())


@pytest.mark.parametrize("text", ["infinity", "1e999", "0.5", "", None, 1, ["inf"]])
def test_a_number_that_is_not_finite_has_one_text(text: Any, tmp_path: Path) -> None:
    with pytest.raises((KeyError, TypeError)):
        unspelt(text)
    for number in (math.inf, -math.inf, math.nan):
        assert same(unspelt(spelt(number) or ""), number)
    write_state(tmp_path / "a", [math.inf])
    tensors, texts = read_tensors(tmp_path / "a")
    changed = texts["tinygrad_dnn.state"].replace('{"float": "inf"}', json.dumps({"float": text}))
    assert changed != texts["tinygrad_dnn.state"]
    checksum = str(zlib.crc32(changed.encode()))
    write_tensors(tmp_path / "a", tensors, {"tinygrad_dnn.state": changed, "tinygrad_dnn.state.crc32": checksum})
    with pytest.raises(FileError, match="is damaged"):
        read_state(tmp_path / "a")
