"""Programs as kernels, run on the emulator, against the same programs run primitive by primitive."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.jit.comparing import TOLERANCE, WITH_NAN, assert_close, extremes, state_after
from tests.jit.cuda.emulator import ORDERS
from tests.jit.cuda.running import Emulated, compile_together
from tests.jit.random_programs import RandomFunction
from tests.jit.training_steps import MODELS, OPTIMIZERS, Step, exercise
from tests.ops.samples import SAMPLES, Sample
from tinygrad_dnn.jit.cuda.launches import Launch, Product
from tinygrad_dnn.jit.interpret import Interpreted
from tinygrad_dnn.jit.recording import record
from tinygrad_dnn.jit.simplifying import simplify

pytestmark = pytest.mark.usefixtures("emulated")


Case = tuple[Any, list[np.ndarray], list[td.Tensor], float]


def compare(function: Any, arrays: list[np.ndarray], state: list[td.Tensor], tolerance: float) -> Emulated:
    """Run a function's program as kernels, in each order of threads alike, and compare with its primitives."""
    (run,) = compare_all([(function, arrays, state, tolerance)])
    return run


def compare_all(cases: list[Case]) -> list[Emulated]:
    """Compare several: functions, with the arrays that they are given, the Tensors they change, and the tolerance."""
    programs = [simplify(record(x, [td.tensor(array) for array in arrays]).program) for x, arrays, _, _ in cases]
    runs = [Emulated(program) for program in programs]
    compile_together(runs)
    for run, (_, arrays, state, tolerance) in zip(runs, cases, strict=True):
        expected, expected_state = state_after(partial(Interpreted(run.program), arrays), state)
        before: list[bytes] = []
        for order in ORDERS:
            run.order = order
            found, found_state = state_after(partial(run, arrays), state)
            for x, y in zip(found + found_state, expected + expected_state, strict=True):
                assert_close(x, y, tolerance)
            bits = [x.tobytes() for x in found + found_state]
            assert not before or bits == before
            before = bits
    return runs


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("tens", [*range(4), *(pytest.param(x, marks=pytest.mark.heavy) for x in range(4, 40))])
def test_random_programs(tens: int, dtype: str) -> None:
    functions = [RandomFunction(seed, 5 + seed % 40, dtype) for seed in range(10 * tens, 10 * tens + 10)]
    compare_all([(x, x.arrays, x.state, TOLERANCE[dtype]) for x in functions])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_primitive(dtype: str) -> None:
    compare_all([_case(sample, dtype) for sample in SAMPLES if sample.arrays])


def _case(sample: Sample, dtype: str) -> Case:
    arrays = [x.astype(dtype) if x.dtype.kind == "f" else x for x in sample.arrays]
    return lambda given: sample(*given) * 1, arrays, [], TOLERANCE[dtype]


DTYPES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint32", "uint64", "float16", "float32", "float64"]


def _numbers(dtype: str) -> np.ndarray:
    if dtype == "bool":
        return np.array([[True, False, True], [False, False, True]])
    numbers = np.array([[3, 0, 100], [1, 7, 5]], dtype)
    return numbers if dtype.startswith("u") else numbers * np.array([1, -1, -1], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_casts(dtype: str) -> None:
    numbers = _numbers(dtype)

    def function(given: list[td.Tensor]) -> Any:
        x = given[0]
        unsigned = x if dtype == "bool" else td.abs(x)  # what becomes of negative numbers is not defined
        return [td.cast(unsigned if to.startswith("u") else x, to) for to in DTYPES]

    run = compare(function, [numbers], [], 0)
    assert not run.calls


def test_rounding_to_float16() -> None:
    x = np.array([1.0004, 1.0005, 65519.0, 65520.0, 1e-8, 5.96e-8, -0.0, np.nan, np.inf, 0.1], np.float32)

    def function(given: list[td.Tensor]) -> Any:
        rounded = td.cast(given[0], "float16")
        return [rounded, td.cast(rounded, "float32")]

    with np.errstate(over="ignore"):
        expected = x.astype(np.float16)
        found = Emulated(record(function, [td.tensor(x)]).program)([x])
    np.testing.assert_array_equal(found[0], expected)
    np.testing.assert_array_equal(found[1], expected.astype(np.float32))


@pytest.mark.parametrize("dtype", DTYPES)
def test_other_dtypes(dtype: str) -> None:
    def function(given: list[td.Tensor]) -> Any:
        x, y = given
        results = [x == y, x < y, x >= y, td.where(x > y, x, y), td.sum(x), td.sum(x, 0), x + y, x * y, td.any(x)]
        if dtype != "bool":
            results += [td.maximum(x, y), td.max(x, 1), td.min(y, 0), x - y, x // 2, x % 3, td.abs(x), td.sign(x), -x]
        else:
            results += [x & y, x | y, ~x]
        return results

    numbers = _numbers(dtype)
    run = compare(function, [numbers, numbers[::-1, ::-1].copy()], [], 1e-3 if dtype == "float16" else 1e-7)
    assert not run.calls or dtype == "bool"  # a product of truth values is left to the primitive


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_extreme_inputs(dtype: str) -> None:
    x = np.array([np.nan, np.inf, -np.inf, 0, -0.0, 1e4, -1e4, 88.8, -104, 1e-40, -1e-40, 1e-30, 0.5, -1], dtype)
    names = ["exp", "expm1", "log", "log1p", "tanh", "erf", "sqrt", "abs", "sign", "floor"]
    with np.errstate(all="ignore"):
        run = compare(lambda given: [getattr(td.ops, name)(given[0]) for name in names], [x], [], 1e-6)
    assert not run.calls


def test_extremes_and_comparisons_of_nan() -> None:
    with np.errstate(invalid="ignore"):
        compare(extremes, [WITH_NAN], [], 0)


@pytest.mark.parametrize("dtype", ["int8", "int64", "uint8", "uint64"])
def test_remainders_of_integers(dtype: str) -> None:
    limits = np.iinfo(dtype)
    numbers = np.array([0, 1, 2, 3, 7, 100, limits.max, limits.min, limits.min + 1], dtype)
    signed = [np.array([-1, -2, -3], dtype)] if dtype.startswith("i") else []
    divisors = np.concatenate([np.array([1, 2, 3, 7, 100, limits.max, limits.min, limits.max - 1, 0], dtype), *signed])
    with np.errstate(all="ignore"):
        run = compare(
            lambda given: [given[0] % given[1], given[0] % 3, given[0] // given[1], given[0] // 3],
            [numbers[:, None], divisors], [], 0,
        )  # fmt: skip
    assert not run.calls


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_whole_quotients_of_floats(dtype: str) -> None:
    special = [np.nan, np.inf, 0.0, 1.0, 0.1, 0.3, 0.7, 2.5, 1e-40, 1e15, 7.0]
    x = np.array([*special, *(-x for x in special)], dtype)
    with np.errstate(all="ignore"):
        run = compare(lambda given: [given[0] // given[1], given[0] % given[1]], [x[:, None], x], [], 0)
        (found, _) = run([x[:, None], x])
        assert not run.calls
        np.testing.assert_array_equal(np.signbit(found), np.signbit(np.floor_divide(x[:, None], x)))


def test_float16_is_multiplied_and_added_up_in_float32() -> None:
    x = np.random.default_rng(0).normal(size=(40, 40)).astype(np.float16)

    def function(given: list[td.Tensor]) -> Any:
        (x,) = given
        return [x @ x, td.sum(x @ x, 0), td.exp(x) * 0.01, td.max(x, 1), td.cast(x, "float32") @ td.cast(x, "float32")]

    run = compare(function, [x], [], 3e-3)
    assert not run.calls
    wide = x.astype(np.float64)
    np.testing.assert_allclose(run([x])[0], wide @ wide, rtol=1e-3, atol=1e-3)


# -- training steps ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_a_training_step(name: str) -> None:
    Step(MODELS[name], td.optimizers.Nadam, "float32").compare(Emulated, 1, 1e-5)
    run = Step(MODELS[name], td.optimizers.Nadam, "float64").compare(Emulated, 20, 1e-9)
    assert not run.calls


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer(name: str) -> None:
    step = Step(exercise, lambda: getattr(td.optimizers, name)(clipnorm=1.0), "float64")
    assert not step.compare(Emulated, 5, 1e-9).calls


def test_updates_and_the_gradients_before_them_are_one_launch_each() -> None:
    run = Emulated(Step(exercise, td.optimizers.SGD, "float32").program)
    *others, gradients, last = run.steps
    assert isinstance(last, Launch)
    assert len(last.rows) >= 5  # the kernels of five layers; biases are updated where their gradients are summed up
    assert isinstance(gradients, Launch)
    assert len(gradients.rows) == 5
    assert sum(isinstance(x, Product) for x in others) == 5 + 4
    assert sum(isinstance(x, Launch) for x in others) <= 5 + 5 + 1
