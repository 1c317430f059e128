"""Machine code on disk: later processes use it again, but none that it was not made for, or that cannot trust it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tinygrad_dnn.jit.native import cache
from tinygrad_dnn.jit.native.compiler import Compiler
from tinygrad_dnn.jit.native.kernel import NAME, Kernel

pytest.importorskip("llvmlite")

ROOT = Path(__file__).resolve().parents[3]
KEY, CODE = "LLVM 1 on a machine\ndefine ...", bytes(range(256)) * 5
DOUBLE = Kernel(f"define void @{NAME}(ptr %t, ptr %a, i64 %lo, i64 %hi) {{\nret void\n}}", (), 1, frozenset())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the cache have a folder of the test's own, which does not exist yet."""
    place = tmp_path / "some" / "kernels"
    monkeypatch.setenv("TINYGRAD_DNN_CACHE", str(place))
    return place


def entry(folder: Path) -> Path:
    """Return the only entry."""
    (found,) = folder.iterdir()
    return found


# -- where it is ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [(None, "/caches/tinygrad_dnn/kernels"), ("", "/caches/tinygrad_dnn/kernels"), ("/fast", "/fast"),
     ("~/code", "/home/ada/code"), ("off", None), ("OFF", None)],
)  # fmt: skip
def test_folder(chosen: str | None, expected: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    monkeypatch.delenv("TINYGRAD_DNN_CACHE")
    if chosen is not None:
        monkeypatch.setenv("TINYGRAD_DNN_CACHE", chosen)
    assert cache.folder() == (None if expected is None else Path(expected))


def test_without_a_home_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("TINYGRAD_DNN_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert cache.folder() is None
    cache.store(KEY, CODE)
    assert cache.load(KEY) is None


# -- entries ----------------------------------------------------------------------------------------------------------


def test_what_is_stored_is_loaded(folder: Path) -> None:
    assert cache.load(KEY) is None
    cache.store(KEY, CODE)
    cache.store(KEY + " ", b"")
    assert cache.load(KEY) == CODE
    assert cache.load(KEY + " ") == b""
    assert cache.load(KEY + "  ") is None


@pytest.mark.skipif(os.name != "posix", reason="other systems keep rights otherwise")
def test_nobody_else_may_look_into_it(folder: Path) -> None:
    cache.store(KEY, CODE)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert entry(folder).stat().st_mode & 0o777 == 0o600


def test_switched_off_nothing_is_read_or_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.store(KEY, CODE)
    monkeypatch.setenv("TINYGRAD_DNN_CACHE", "off")
    assert cache.load(KEY) is None
    cache.store(KEY + " ", CODE)
    monkeypatch.setenv("TINYGRAD_DNN_CACHE", str(folder))
    assert cache.load(KEY + " ") is None


def damaged(path: Path, content: bytes) -> None:
    """Write other content into an entry, which stays the user's own file."""
    path.write_bytes(content)


def of_another_key(path: Path) -> None:
    """Put the entry of another key in an entry's place."""
    cache.store(KEY + " ", CODE)
    (other,) = (found for found in path.parent.iterdir() if found != path)
    other.replace(path)


def of_another_key_with_a_right_checksum(path: Path) -> None:
    """Let an entry tell of another key than that of its name, of the same length."""
    content = path.read_bytes().replace(KEY.encode(), KEY.upper().encode())
    start = len(b"tinygrad_dnn code\n")
    damaged(path, content[:start] + hashlib.sha256(content[start + 32 :]).digest() + content[start + 32 :])


def a_link(path: Path) -> None:
    """Let an entry be a link to what was the entry."""
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def a_pipe(path: Path) -> None:
    """Put a pipe in an entry's place, which nobody will ever write to."""
    path.unlink()
    os.mkfifo(path)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "empty": lambda path: damaged(path, b""),
    "half a mark": lambda path: damaged(path, path.read_bytes()[:9]),
    "half a checksum": lambda path: damaged(path, path.read_bytes()[:30]),
    "without its content": lambda path: damaged(path, path.read_bytes()[:50]),
    "cut in the key": lambda path: damaged(path, path.read_bytes()[:64]),
    "cut in the code": lambda path: damaged(path, path.read_bytes()[:-700]),
    "a byte short": lambda path: damaged(path, path.read_bytes()[:-1]),
    "a byte long": lambda path: damaged(path, path.read_bytes() + b"\0"),
    "garbage": lambda path: damaged(path, bytes(7 * n % 251 for n in range(len(path.read_bytes())))),
    "zeros": lambda path: damaged(path, bytes(len(path.read_bytes()))),
    "of another key": of_another_key,
    "of another key with a right checksum": of_another_key_with_a_right_checksum,
    "writable by the group": lambda path: path.chmod(0o620),
    "writable by all": lambda path: path.chmod(0o602),
    "a link": a_link,
    "a pipe": a_pipe,
}


@pytest.mark.skipif(os.name != "posix", reason="rights, links and pipes are POSIX's")
@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_entry_is_ignored_and_replaced(name: str, folder: Path) -> None:
    cache.store(KEY, CODE)
    DAMAGES[name](entry(folder))
    assert cache.load(KEY) is None
    cache.store(KEY, CODE)
    assert cache.load(KEY) == CODE


def test_no_bit_of_an_entry_may_be_another(folder: Path) -> None:
    cache.store(KEY, CODE)
    path = entry(folder)
    right = path.read_bytes()
    for place in range(0, len(right), 3):
        wrong = bytearray(right)
        wrong[place] ^= 1 << place % 8
        path.write_bytes(wrong)
        assert cache.load(KEY) is None, place
    path.write_bytes(right)
    assert cache.load(KEY) == CODE


@pytest.mark.skipif(os.name != "posix", reason="files have no owner's number elsewhere")
def test_what_somebody_else_owns_is_ignored(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.store(KEY, CODE)
    assert cache.load(KEY) == CODE
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    assert cache.load(KEY) is None


def test_a_folder_in_the_place_of_an_entry_is_left_alone(folder: Path) -> None:
    cache.store(KEY, CODE)
    path = entry(folder)
    path.unlink()
    (path / "inside").mkdir(parents=True)
    assert cache.load(KEY) is None
    cache.store(KEY, CODE)
    assert cache.load(KEY) is None
    assert [*folder.iterdir()] == [path]  # and nothing unfinished beside it


def test_a_folder_that_cannot_be_made_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    for place in ("file", "file/kernels", "file/some/kernels"):
        monkeypatch.setenv("TINYGRAD_DNN_CACHE", str(tmp_path / place))
        cache.store(KEY, CODE)
        assert cache.load(KEY) is None
    assert Compiler().optimised == 1


def test_a_full_disk_leaves_nothing_behind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    cache.store(KEY + " ", CODE)
    monkeypatch.setattr(os, "replace", full)
    cache.store(KEY, CODE)
    assert cache.load(KEY) is None
    assert len([*folder.iterdir()]) == 1


def test_many_may_write_and_read_at_once(folder: Path) -> None:
    codes = [bytes([n]) * 100_000 for n in range(4)]
    seen: list[bytes | None] = []

    def work(code: bytes) -> None:
        for _ in range(30):
            cache.store(KEY, code)
            seen.append(cache.load(KEY))

    threads = [threading.Thread(target=work, args=(code,)) for code in codes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 120
    assert all(code in codes for code in seen)
    assert [path.suffix for path in folder.iterdir()] == [".code"]


# -- how much ---------------------------------------------------------------------------------------------------------


def aged(folder: Path, key: str, seconds: float) -> None:
    """Store an entry as if it had been used some time ago."""
    known = set(folder.iterdir()) if folder.exists() else set()
    cache.store(key, CODE)
    (path,) = set(folder.iterdir()) - known
    now = path.stat().st_mtime
    os.utime(path, (now - seconds, now - seconds))


@pytest.mark.parametrize("limit", [{"_MOST_BYTES": 4500}, {"_MOST_ENTRIES": 3}])
def test_what_was_not_used_for_longest_goes(
    limit: dict[str, int], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for age, key in enumerate("abc"):
        aged(folder, key, seconds=100.0 * (3 - age))
    assert cache.load("a") == CODE  # now "b" is the oldest
    for name, value in limit.items():
        monkeypatch.setattr(cache, name, value)
    cache.store("d", CODE)
    assert [key for key in "abcd" if cache.load(key) is not None] == ["a", "c", "d"]


def test_what_is_too_large_is_not_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_LARGEST", 2000)
    cache.store("a", CODE)
    cache.store("b", CODE * 2)
    assert (cache.load("a"), cache.load("b")) == (CODE, None)


def test_what_a_process_did_not_finish_goes_after_an_hour(folder: Path) -> None:
    cache.store("a", CODE)
    old, new, other = folder / "old.part", folder / "new.part", folder / "notes.txt"
    for path in (old, new, other):
        path.write_bytes(b"half")
    for path in (old, other):
        os.utime(path, (1e9, 1e9))
    cache.store("b", CODE)
    assert (old.exists(), new.exists(), other.exists()) == (False, True, True)


# -- machine code -----------------------------------------------------------------------------------------------------


def test_another_compiler_finds_what_the_first_has_made(folder: Path) -> None:
    first = Compiler()
    first.addresses([DOUBLE])
    assert (first.optimised, first.compiled) == (2, 1)  # what runs kernels is a module of its own
    second = Compiler()
    second.addresses([DOUBLE])
    assert (second.optimised, second.compiled) == (0, 1)


@pytest.mark.parametrize("name", ["get_host_cpu_name", "get_host_cpu_features", "llvm_version_info", "_FORMAT"])
def test_code_for_another_machine_or_of_another_version_is_not_used(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from llvmlite import binding

    from tinygrad_dnn.jit.native import compiler

    assert Compiler().optimised == 1
    assert Compiler().optimised == 0
    if name == "get_host_cpu_name":
        monkeypatch.setattr(binding, name, lambda: "generic")
    elif name == "get_host_cpu_features":
        monkeypatch.setattr(binding, name, lambda: binding.FeatureMap())
    elif name == "llvm_version_info":
        monkeypatch.setattr(binding, name, (1, 2, 3))
    else:
        monkeypatch.setattr(compiler, name, 0)
    assert Compiler().optimised == 1
    assert Compiler().optimised == 0
    monkeypatch.undo()
    monkeypatch.setenv("TINYGRAD_DNN_CACHE", str(folder))
    assert Compiler().optimised == 0


PROCESS = """
import json, numpy as np, tinygrad_dnn as td
from tinygrad_dnn.jit.native.compiler import compiler
td.utils.set_random_seed(7)
model = td.Sequential([td.layers.Input((5,)), td.layers.Dense(8, activation="elu"), td.layers.Dense(2)])
model.compile("nadam", "mse", jit_compile=True)
x, y = np.linspace(-1, 1, 20, dtype="float32").reshape(4, 5), np.eye(4, 2, dtype="float32")
for _ in range(3):
    model.train_on_batch(x, y)
print(json.dumps([compiler().optimised, compiler().compiled, [w.numpy().tobytes().hex() for w in model.weights]]))
"""


def test_a_later_process_makes_no_machine_code(folder: Path) -> None:
    def process() -> tuple[int, int, list[str]]:
        env = {**os.environ, "TINYGRAD_DNN_BACKEND": "numpy"}
        found = subprocess.check_output([sys.executable, "-c", PROCESS], text=True, cwd=ROOT, env=env)
        optimised, compiled, weights = json.loads(found)
        return optimised, compiled, weights

    optimised, compiled, weights = process()
    assert optimised == 2
    assert compiled > 1
    assert process() == (0, compiled, weights)
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:-5])
    assert process() == (2, compiled, weights)
    assert process() == (0, compiled, weights)
