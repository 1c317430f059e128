"""Models' files to be changed at random, and the changes: of bytes, of the header, and of what describes the model."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

import tinygrad_dnn as td

L = td.layers
_VALUES = re.compile(
    r'(?<=[:\[,])(?:null|true|false|-?[\d.e+-]+|"(?:[^"\\]|\\.)*"|\[[^\[\]{}]*\]|\{[^{}]*\})'
)
_TOKENS = (
    "null", "true", "-1", "0", "3.5", "1e308", "99999999999", "[]", "{}", "[1,2]", '""', '"relu"', '"layer"', '"Dense"',
    '["$"]', '{"$":["tuple"]}', '{"$":["custom","system"]}', '{"$":["ops","zeros"]}',
    '{"class_name":"Dense","config":{}}',
)  # fmt: skip


def _data() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.normal(size=(16, 6)).astype("float32"), random.integers(0, 3, 16)


def sequential() -> td.Model:
    x, y = _data()
    model = td.Sequential(
        [td.Input(shape=(6,)), L.Dense(8, activation="elu", kernel_regularizer="l2"), L.BatchNormalization(),
         L.Dropout(0.3), L.Rescaling(2.0), L.Dense(3, activation="softmax")]
    )  # fmt: skip
    optimizer = td.optimizers.Nadam(td.schedulers.ExponentialDecay(0.01, 10, 0.5))
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, verbose=0)
    return model


def graph() -> td.Model:
    x, _ = _data()
    a, b = td.Input(shape=(6,)), td.Input(shape=(6,))
    shared, inner = L.Dense(5), td.Sequential([L.Dense(5)])
    both = shared(a) * 2.0 + shared(b) - np.ones(5, "float32")
    model = td.Model([a, b], {"first": L.Dense(2)(both), "second": inner(inner(both))})
    losses = {"first": td.losses.Huber(), "second": "mse"}
    metrics = {"first": ["mae"], "second": [td.metrics.AUC()]}
    model.compile(td.optimizers.Muon(exclude_layers=["out.*"]), losses, metrics=metrics)
    model.optimizer.exclude_from_weight_decay(var_names=["bias"])
    model.fit([x, x], {"first": x[:, :2], "second": (x[:, :5] > 0).astype("float32")}, verbose=0)
    return model


def ensemble() -> td.Model:
    model = td.models.Ensemble(
        [td.Sequential([L.Dense(4), L.Lambda(td.exp)]), td.Sequential([td.Input(shape=(6,)), L.Dense(4)])]
    )
    model(_data()[0])
    return model


def _saved(make: Callable[[], td.Model]) -> Callable[[Path], bytes]:
    def save(folder: Path) -> bytes:
        make().save(folder / "sample")
        return (folder / "sample").read_bytes()

    return save


SAMPLES = [_saved(make) for make in (sequential, graph, ensemble)]


def mutated(content: bytes, random: np.random.Generator) -> bytes:
    """Return a file with one to three random changes."""
    raw = bytearray(content)
    head = int.from_bytes(raw[:8], "little")
    kind = random.integers(9)
    if kind == 0:  # any bytes
        for _ in range(random.integers(1, 4)):
            raw[random.integers(len(raw))] = random.integers(256)
    elif kind == 1:  # the header's characters
        for _ in range(random.integers(1, 4)):
            raw[8 + random.integers(head)] = random.integers(32, 127)
    elif kind == 2:  # a cut
        del raw[random.integers(len(raw)) :]
    elif kind == 3:  # a part left out
        begin = random.integers(len(raw))
        del raw[begin : begin + random.integers(1, 60)]
    elif kind == 4:  # a part of the header twice
        place, begin = (8 + random.integers(head) for _ in range(2))
        raw[place:place] = raw[begin : begin + random.integers(1, 80)]
    elif kind == 5:  # the header's length
        raw[random.integers(8)] = random.integers(256)
    else:
        raw = _other_description(raw, head, random, swap=kind == 8)
    return bytes(raw)


def _other_description(raw: bytearray, head: int, random: np.random.Generator, swap: bool) -> bytearray:
    """Change values of what describes the model, in a file that is correct otherwise."""
    header = json.loads(raw[8 : 8 + head])
    text = header["__metadata__"]["tinygrad_dnn"]
    for _ in range(random.integers(1, 3)):
        spans = [match.span() for match in _VALUES.finditer(text)]
        begin, end = spans[random.integers(len(spans))]
        other = text[slice(*spans[random.integers(len(spans))])] if swap else _TOKENS[random.integers(len(_TOKENS))]
        text = text[:begin] + other + text[end:]
    header["__metadata__"]["tinygrad_dnn"] = text
    new = json.dumps(header).encode()
    return bytearray(len(new).to_bytes(8, "little") + new + raw[8 + head :])
