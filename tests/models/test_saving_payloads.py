"""No file runs code: what has broken other frameworks is refused here, and nothing is imported to refuse it.

The payloads are modelled on CVE-2025-1550 (a module's name beside a class's), CVE-2025-8747 (a function of an allowed
package that does harm), CVE-2025-9905 (code in a Lambda layer of an older format), CVE-2025-32434 (a pickle beneath a
flag that promises safety), CVE-2026-0897 (a shape that takes all memory), CVE-2026-1669 (links to files elsewhere) and
CVE-2026-24747 (a pickle of weights alone).
"""

from __future__ import annotations

import ast
import base64
import contextlib
import json
import marshal
import os
import pickle
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn import saving

L = td.layers
PACKAGE = Path(td.__file__).parent


def described(change: Callable[[dict[str, Any]], object], folder: Path) -> Path:
    """Save a model, and change what its file says of it."""
    model = td.Sequential([td.Input(shape=(3,)), L.Dense(2, name="dense"), L.Activation("relu", name="act")])
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
    file = folder / "model"
    model.save(file)
    arrays, texts = saving.read_tensors(file)
    said = json.loads(texts["tinygrad_dnn"])
    change(said)
    saving.write_tensors(file, arrays, {"tinygrad_dnn": json.dumps(said)})
    return file


def node(place: int, **members: Any) -> Callable[[dict[str, Any]], object]:
    return lambda said: said["model"]["layers"][place].update(members)


def config(place: int, **members: Any) -> Callable[[dict[str, Any]], object]:
    return lambda said: said["model"]["layers"][place]["config"].update(members)


def lambda_layer(function: Any, **more: Any) -> Callable[[dict[str, Any]], object]:
    return node(2, class_name="Lambda", config={"name": "act", "function": function, "output_shape": None,
                                                "arguments": {}, **more})  # fmt: skip


CODE = base64.b64encode(marshal.dumps(compile("__import__('antigravity')", "x", "eval"))).decode()


class Reduced:
    def __reduce__(self) -> Any:
        return __import__, ("antigravity",)


PICKLE = base64.b64encode(pickle.dumps(Reduced())).decode()
# 1550: Keras's configurations say a module, a class and a registered name.
KERAS = {"module": "antigravity", "class_name": "fly", "registered_name": None, "config": {}}

PAYLOADS: dict[str, Callable[[dict[str, Any]], object]] = {
    # CVE-2025-1550
    "a module beside the class": node(1, module="antigravity", class_name="antigravity"),
    "a module before the class": node(1, class_name="antigravity.fly"),
    "os.system as a class": node(1, class_name="os.system"),
    "a builtin as a class": node(1, class_name="exec"),
    "a path of Python as a class": node(1, class_name="antigravity:fly"),
    "a dunder as a class": node(1, class_name="__import__"),
    "Keras's own form as an activation": config(2, activation=KERAS),
    "a module as a registered name": config(1, kernel_initializer={"class_name": "antigravity>fly", "config": {}}),
    # CVE-2025-8747
    "a function of an allowed package": lambda_layer({"$": ["ops", "autograd"]}),
    "an attribute of an allowed package": lambda_layer({"$": ["ops", "__builtins__"]}),
    "a dotted attribute of an allowed package": lambda_layer({"$": ["ops", "random.os.system"]}),
    "a downloader as a function": lambda_layer({"$": ["registered", "datasets", "get_file"]}),
    "an operation that is none": node(2, class_name="Operation", config={"operation": "__class__"}),
    "an operation from a module": node(2, class_name="Operation", config={"operation": "random"}),
    # CVE-2025-9905
    "code in a Lambda": lambda_layer([CODE, None, None]),
    "code in a Lambda, as Keras 3 has it": lambda_layer(
        {"class_name": "__lambda__", "config": {"code": CODE, "defaults": None, "closure": None}}
    ),
    "code as a text": lambda_layer("lambda x: __import__('antigravity')"),
    "code as an output shape": lambda_layer({"$": ["ops", "exp"]}, output_shape=f"__import__('antigravity') {CODE}"),
    "a custom function's name": lambda_layer({"$": ["custom", "antigravity"]}),
    # CVE-2025-32434, CVE-2026-24747
    "a pickle as a value": config(1, kernel_initializer={"$": ["pickle", PICKLE]}),
    "a pickle as a tag of an object": config(1, kernel_initializer={"$": ["reduce", "antigravity", []]}),
    "a flag that relaxes": lambda said: said.update(
        safe_mode=False, weights_only=False, trust_remote_code=True, model={"kind": "pickle", "config": {}}
    ),
    "an upgrade that is none": lambda said: said.update(format=0),
    # CVE-2026-0897
    "a layer of 10**18 units": config(1, units=10**18),
    "a kernel of 10**18 numbers": lambda said: said["model"]["layers"][1].update(build=[None, 10**18]),
    # CVE-2026-1669
    "an array in a file elsewhere": config(1, kernel_initializer={"$": ["array", "/etc/passwd"]}),
    "an array at an address": config(1, kernel_initializer={"$": ["array", "file:///etc/passwd"]}),
    # Other ways to a name.
    "a loss from a module": lambda said: said["compile"].update(loss="antigravity.fly"),
    "a metric from a module": lambda said: said["compile"].update(metrics=["antigravity:fly"]),
    "an optimizer from a module": lambda said: said["compile"]["optimizer"].update(class_name="antigravity.fly"),
    "a plugin's command": lambda said: said["plugins"].append(
        {"name": "x", "kind": "layers", "distribution": "x; touch pwned", "version": "1", "entry_point": "antigravity"}
    ),
    "a plugin's option": lambda said: said["plugins"].append(
        {"name": "x", "kind": "layers", "distribution": "--index-url=http://x", "version": "1", "entry_point": ""}
    ),
    "a plugin's entry point": lambda said: said["plugins"].append(
        {"name": "x", "kind": "layers", "distribution": "x", "version": "1", "entry_point": "antigravity:fly"}
    ),
    "a callback as a layer": node(2, class_name="CSVLogger", config={"filename": "/tmp/pwned"}),
    "a callback as a value": config(
        1, kernel_initializer={"$": ["registered", "callbacks", {"class_name": "csvlogger", "config": {}}]}
    ),
    "an expression that takes for ever": lambda said: said["compile"]["undecayed"].update(patterns=["(a|aa)+$"]),
    "a shared layer from nowhere": lambda said: said["model"]["layers"].append({"kind": "shared", "id": 7}),
    "an attribute's name as a value": lambda_layer({"$": ["__class__"]}),
}  # fmt: skip


def test_there_are_enough() -> None:
    assert len(PAYLOADS) >= 25


@pytest.mark.parametrize("name", PAYLOADS)
def test_payloads(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = described(PAYLOADS[name], tmp_path)
    monkeypatch.chdir(tmp_path)
    td.plugins.discover()
    for command in (os.system, subprocess.run, pickle.loads, marshal.loads):
        monkeypatch.setattr(sys.modules[command.__module__ or "os"], command.__name__, None, raising=False)
    with pytest.raises(td.models.FileError):  # once before, for what is imported when first needed
        td.models.load_model(file)
    before = dict(sys.modules)
    with pytest.raises(td.models.FileError) as raised:
        td.models.load_model(file)
    assert sys.modules == before
    assert "antigravity" not in sys.modules
    assert str(file) in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(
    "change",
    [
        config(0, shape=[10**15]),
        node(2, class_name="RepeatVector", config={"name": "act", "n": 10**18}),
        node(2, class_name="UpSampling", config={"name": "act", "size": 10**9}),
        node(2, class_name="Resizing", config={"name": "act", "height": 10**9, "width": 10**9}),
        node(2, class_name="Operation", config={"name": "act", "operation": "ones", "arguments": [[10**6, 10**6]]}),
        node(2, class_name="Conv2D", config={"name": "act", "filters": 10**9, "kernel_size": 10**4}),
    ],
)
def test_what_speaks_of_great_arrays_costs_nothing(change: Any, tmp_path: Path) -> None:
    file = described(change, tmp_path)
    td.plugins.discover()
    tracemalloc.start()
    with contextlib.suppress(td.models.FileError):
        td.models.load_model(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


@pytest.mark.parametrize("content", [pickle.dumps(Reduced()), marshal.dumps(compile("1", "x", "eval"))])
def test_a_pickle_and_code_by_another_name(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(td.models.FileError):
        td.models.load_model(tmp_path / "model.safetensors")
    assert "antigravity" not in sys.modules


def test_the_package_never_runs_what_a_file_could_hold() -> None:
    """No module may use what turns bytes or texts into code; names reach importlib only in the plugin host."""
    forbidden = set("pickle cPickle _pickle dill cloudpickle joblib marshal shelve code runpy imp".split())
    calls = {"eval", "exec", "compile", "__import__", "execfile", "breakpoint"}
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for each in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(each, ast.Import):
                names = [alias.name for alias in each.names]
            elif isinstance(each, ast.ImportFrom):
                names = [each.module or ""]
            elif isinstance(each, ast.Call) and isinstance(each.func, ast.Name) and each.func.id in calls:
                found.append(f"{path.relative_to(PACKAGE)}:{each.lineno} {each.func.id}()")
            found += [f"{path.relative_to(PACKAGE)}: {name}" for name in names if name.split(".")[0] in forbidden]
    assert not found


# Where a name is imported that is no constant: the host's own tables, and the optional packages that `doctor` lists.
BY_NAME = {"__init__.py", "plugins.py", "backend/__init__.py", "diagnostics/installation.py", "testing"}


def test_no_name_from_a_file_reaches_importlib() -> None:
    found = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        for each in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = isinstance(each, ast.Call) and ast.unparse(each.func).endswith(("import_module", "find_spec"))
            if called and not (each.args and isinstance(each.args[0], ast.Constant)):
                found.add(path.relative_to(PACKAGE).as_posix())
    assert found <= BY_NAME
    for folder in ("saving", "models"):
        for path in (PACKAGE / folder).rglob("*.py"):
            assert "importlib" not in path.read_text(encoding="utf-8"), path
