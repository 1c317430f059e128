"""The work: its counts, its data, and that each contestant's module knows it."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import tinygrad_dnn as td

Load = Callable[[str], ModuleType]
PEERS = Path(__file__).parents[2] / "benchmarks" / "peers"


def test_a_key_names_one_case(load: Load) -> None:
    work = load("work")
    cases = [case for _, section in work.SECTIONS.values() for case in section]
    assert all(work.CASES[case.key] == case for case in cases)
    assert work.QUICK.issubset(work.CASES)
    assert all(any(case.key in work.QUICK for case in section) for _, section in work.SECTIONS.values())


def test_the_exercise_is_measured_whole(load: Load) -> None:
    work = load("work")
    cases = work.SECTIONS["exercise"][1]
    assert {(case.variant, case.batch) for case in cases} == set(itertools.product(work.VARIANTS, (32, 256, 1024)))
    assert {case.sizes for case in cases} == {(3072, *[100] * 20, 10)}
    depths = [len(case.sizes) - 2 for case in work.SECTIONS["depth"][1]]
    assert (depths[0], depths[-1]) == (5, 80)


def test_operations_and_bytes_are_counted(load: Load) -> None:
    work = load("work")
    # Products of 2 x 3 and 3 x 4: forward, and backward to the weights both, to the inputs the second alone.
    train = work.Case("", "train", (2, 3, 4), batch=5)
    assert train.flops == 2 * 5 * (6 + 12 + 6 + 12 + 12)
    assert train.parameters == 2 * 3 + 3 + 3 * 4 + 4
    assert train.bytes == 7 * 4 * train.parameters
    predict = train._replace(kind="predict")
    assert (predict.flops, predict.bytes) == (2 * 5 * 18, 4 * train.parameters)
    nadam, adam, sgd = work.SECTIONS["optimizers"][1]
    assert (nadam.parameters, nadam.flops) == (5_000_000, 0)
    assert (nadam.bytes, adam.bytes, sgd.bytes) == (140_000_000, 140_000_000, 60_000_000)
    sgemm, copy = work.SECTIONS["machine"][1]
    assert (sgemm.flops, sgemm.bytes, copy.flops, copy.bytes) == (10**9, 0, 0, 10**9)


def test_data_are_the_same_for_all(load: Load) -> None:
    work = load("work")
    case = work.Case("", "train", (7, 3, 10), batch=4, steps=3)
    x, y = work.data(case)
    assert (x.shape, x.dtype, y.shape, y.dtype) == ((12, 7), np.float32, (12,), np.int64)
    for first, second in zip((x, y), work.data(case), strict=True):
        np.testing.assert_array_equal(first, second)
    weights, gradients = work.arrays()
    assert sum(array.size for array in weights) == work.SECTIONS["optimizers"][1][0].parameters
    assert [array.shape for array in weights] == [array.shape for array in gradients]


@pytest.mark.parametrize("variant", ["elu", "bn", "selu", "alpha"])
def test_our_network_is_the_one_that_is_counted(load: Load, variant: str) -> None:
    work = load("work")
    case = work.Case("", "train", (6, 5, 5, 10), batch=4, steps=2, variant=variant)
    model = load("peers.keras_names").model(td, case)
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds.count("Dense") == 3
    assert kinds.count("BatchNormalization") == (3 if variant == "bn" else 0)
    assert kinds.count("AlphaDropout") == (variant == "alpha")
    counted = sum(w.size for w in model.trainable_weights if not w.path.startswith("batch_normalization"))
    normalized = 2 * sum(case.sizes[:-1]) if variant == "bn" else 0
    assert counted in (case.parameters, case.parameters + normalized)


@pytest.mark.parametrize("how", ["fit", "eager", "step"])
def test_ours_runs_every_kind_of_work(load: Load, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    work, ours = load("work"), load("peers.ours")
    applied = []
    apply = td.optimizers.Nadam.apply
    monkeypatch.setattr(td.optimizers.Nadam, "apply", lambda *args: applied.append(1) or apply(*args))
    case = work.Case("", "train", (6, 5, 10), batch=4, steps=3)
    assert ours.train(case, how)() is None
    assert ours.predict(case, how)() is None
    if how == "eager":
        assert len(applied) == case.steps
    monkeypatch.setattr(work, "arrays", lambda: ([np.ones(4, np.float32)], [np.ones(4, np.float32)]))
    update = ours.optimizer(case._replace(kind="optimizer"), how)
    assert (update is None) == (how == "step")
    if update is not None:
        assert update() is None


def test_a_roofline_is_a_time(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    roofline = load("peers.roofline")
    monkeypatch.setattr(roofline, "SIDE", 16)
    monkeypatch.setattr(roofline, "COPIED", 1000)
    sgemm, copy = load("work").SECTIONS["machine"][1]
    assert roofline.machine(sgemm, "")() > 0
    assert roofline.machine(copy, "")() > 0
    nothing = sgemm._replace(key="nothing")
    assert roofline.machine(nothing, "")() == 0


def test_each_contestant_has_its_module(load: Load) -> None:
    for contestant in load("peers").CONTESTANTS.values():
        tree = ast.parse((PEERS / f"{contestant.module}.py").read_text(encoding="utf-8"))
        defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        names = (node for node in ast.walk(tree) if isinstance(node, ast.Name))
        assigned = {name.id for name in names if isinstance(name.ctx, ast.Store)}
        assert {"train", "predict", "optimizer"} <= defined | assigned
