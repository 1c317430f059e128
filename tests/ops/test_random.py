"""Random numbers: the bits are Philox's, the state is three integers, and the statistics are right."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn.ops.random import SeedGenerator, generator, get_seed, normal, set_seed, uniform


def words(seed: int, stream: int, step: int, count: int) -> np.ndarray:
    """Return 64-bit words of NumPy's Philox with key (seed, stream), its counter at (0, 0, step, 0)."""
    key, counter = np.array([seed, stream], np.uint64), np.array([0, 0, step, 0], np.uint64)
    return np.random.Philox(key=key, counter=counter).random_raw(count)


def expected_uniform(seed: int, stream: int, step: int, count: int, dtype: str) -> np.ndarray:
    """Derive the numbers from the words one by one."""
    if dtype == "float64":
        return np.array([(int(w) >> 11) / 2**53 for w in words(seed, stream, step, count)])
    halves = [half for w in words(seed, stream, step, (count + 1) // 2) for half in (int(w) & 0xFFFFFFFF, int(w) >> 32)]
    return np.array([(half >> 8) / 2**24 for half in halves[:count]], np.float32)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5), (0, 2)], ids=repr)
def test_uniform_is_derived_from_philox(shape: tuple[int, ...], dtype: str, backend: str) -> None:
    stream = SeedGenerator(seed=11, stream=4)
    for step in range(3):
        drawn = stream.uniform(shape, dtype=dtype)
        assert (drawn.shape, drawn.dtype.name, drawn.backend.name) == (shape, dtype, backend)
        expected = expected_uniform(11, 4, step, math.prod(shape), dtype)
        np.testing.assert_array_equal(drawn.numpy().reshape(-1), expected)


def test_normal_is_box_and_mullers(backend: str) -> None:
    stream = SeedGenerator(seed=11)
    drawn = stream.normal((6,), mean=2.0, stddev=3.0, dtype="float64").numpy()
    first, second = (expected_uniform(11, 0, step, 6, "float64") for step in (0, 1))
    expected = np.sqrt(-2 * np.log(1 - first)) * np.cos(2 * np.pi * second) * 3 + 2
    np.testing.assert_allclose(drawn, expected, rtol=1e-12)


def test_both_backends_draw_the_same() -> None:
    drawn = []
    for name in ("numpy", "strict"):
        with td.backend.use(name):
            stream = SeedGenerator(seed=3, stream=9)
            drawn.append([stream.uniform((4, 3)).numpy(), stream.normal((5,)).numpy(), stream.state.numpy()])
    for one, other in zip(*drawn, strict=True):
        np.testing.assert_array_equal(one, other)


# -- state --------------------------------------------------------------------------------------------------------


def test_state_is_three_integers_and_counts_the_draws(backend: str) -> None:
    stream = SeedGenerator(seed=5, stream=2)
    assert isinstance(stream.state, td.Variable)
    assert (stream.state.dtype.name, stream.state.shape, stream.state.trainable) == ("int64", (3,), False)
    assert stream.state.tolist() == [5, 2, 0]
    stream.uniform((100,))
    assert stream.state.tolist() == [5, 2, 1]
    stream.normal((3,))
    assert stream.state.tolist() == [5, 2, 3]


def test_a_stream_resumes_from_its_state(backend: str) -> None:
    stream = SeedGenerator(seed=5)
    stream.uniform((3,))
    saved = stream.state.numpy()
    expected = [stream.uniform((4,)).tolist(), stream.normal((4,)).tolist()]
    resumed = SeedGenerator(seed=99)
    resumed.state.assign(saved)
    assert [resumed.uniform((4,)).tolist(), resumed.normal((4,)).tolist()] == expected


def test_streams_differ_by_seed_stream_and_step(backend: str) -> None:
    draws = []
    for seed, number in [(1, 0), (2, 0), (1, 1)]:
        stream = SeedGenerator(seed=seed, stream=number)
        draws += [tuple(stream.uniform((4,)).tolist()) for _ in range(3)]
    assert len(set(draws)) == 9


def test_restart_begins_a_stream_of_the_threads_seed_unless_one_was_chosen(backend: str) -> None:
    set_seed(8)
    chosen, free = SeedGenerator(seed=3), SeedGenerator()
    chosen.uniform((2,))
    free.uniform((2,))
    chosen.restart(7)
    free.restart(7)
    assert (chosen.state.tolist(), free.state.tolist()) == ([3, 0, 1], [8, 7, 0])


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1, np.int64(5)])
def test_same_seed_same_numbers(seed: Any, backend: str) -> None:
    runs = []
    for _ in range(2):
        set_seed(seed)
        assert get_seed() == seed
        runs.append([uniform((3,)).tolist(), normal((3,)).tolist(), uniform((3,)).tolist(), generator().random()])
    assert runs[0] == runs[1]
    assert runs[0][0] != runs[0][2]
    assert uniform((3,), seed=int(seed)).tolist() == uniform((3,), seed=int(seed)).tolist()


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, "1", None], ids=repr)
def test_other_seeds_are_refused_with_a_sentence(seed: Any) -> None:
    with pytest.raises(ValueError, match=r"a seed is an integer from 0 to 2\*\*63 - 1, not "):
        set_seed(seed)


def test_each_thread_has_its_seed() -> None:
    set_seed(1)
    expected = uniform((3,)).tolist()
    set_seed(1)
    found: dict[str, Any] = {}

    def work() -> None:
        found["unseeded"] = get_seed()
        set_seed(1)
        found["drawn"] = uniform((3,)).tolist()
        set_seed(2)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert get_seed() == 1
    assert found["unseeded"] != 1
    assert found["drawn"] == expected == uniform((3,)).tolist()


def draw_in_scopes(times: int) -> None:
    """Let eight threads seed and draw again and again; each must draw what it draws alone."""
    alone = {}
    for number in range(8):
        set_seed(number)
        alone[number] = uniform((2,)).tolist()
    wrong: list[int] = []
    start = threading.Barrier(8)

    def work(number: int) -> None:
        start.wait()
        for _ in range(times):
            set_seed(number)
            if uniform((2,)).tolist() != alone[number] or get_seed() != number:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_threads_do_not_draw_from_one_another() -> None:
    draw_in_scopes(200)


@pytest.mark.heavy
def test_threads_do_not_draw_from_one_another_in_10000_scopes() -> None:
    draw_in_scopes(10_000)


def test_generator_draws_on_the_host() -> None:
    assert isinstance(generator(3), np.random.Generator)
    assert generator(3).integers(1000) == generator(3).integers(1000)
    assert generator().integers(2**60) != generator().integers(2**60)


# -- distribution -------------------------------------------------------------------------------------------------

COUNT = 40_000


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uniform_statistics(dtype: str, backend: str) -> None:
    drawn = uniform((COUNT,), dtype=dtype, seed=1).numpy().astype(np.float64)
    assert drawn.min() >= 0.0
    assert drawn.max() < 1.0
    # Within 4 standard errors: of the mean sqrt(1/12 n), of the variance sqrt(1/180 n).
    assert abs(drawn.mean() - 0.5) < 4 * math.sqrt(1 / 12 / COUNT)
    assert abs(drawn.var() - 1 / 12) < 4 * math.sqrt(1 / 180 / COUNT)
    # Chi-square of 20 buckets has 19 degrees of freedom: 45 is passed by chance once in 1,000 seeds.
    counts = np.histogram(drawn, bins=20, range=(0, 1))[0]
    assert np.sum((counts - COUNT / 20) ** 2 / (COUNT / 20)) < 45
    # The correlation of neighbours has the standard error 1 / sqrt(n).
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 4 / math.sqrt(COUNT)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal_statistics(dtype: str, backend: str) -> None:
    drawn = normal((COUNT,), dtype=dtype, seed=1).numpy().astype(np.float64)
    # Within 4 standard errors: mean 1/sqrt(n), variance sqrt(2/n), third moment sqrt(15/n), fourth sqrt(96/n).
    assert abs(drawn.mean()) < 4 / math.sqrt(COUNT)
    assert abs(drawn.var() - 1) < 4 * math.sqrt(2 / COUNT)
    assert abs((drawn**3).mean()) < 4 * math.sqrt(15 / COUNT)
    assert abs((drawn**4).mean() - 3) < 4 * math.sqrt(96 / COUNT)
    assert np.isfinite(drawn).all()


def test_range_of_uniform(backend: str) -> None:
    drawn = uniform((COUNT,), minval=-3.0, maxval=1.0, seed=2)
    assert -3.0 <= drawn.min().item() < -2.99
    assert 0.99 < drawn.max().item() <= 1.0
    assert drawn.mean().item() == pytest.approx(-1.0, abs=4 * 4 * math.sqrt(1 / 12 / COUNT))


def test_streams_are_not_correlated(backend: str) -> None:
    one, other = (SeedGenerator(seed=1, stream=s).uniform((COUNT,)).numpy() for s in (0, 1))
    assert abs(np.corrcoef(one, other)[0, 1]) < 4 / math.sqrt(COUNT)


def test_what_is_drawn_has_no_history_and_floats_only(backend: str) -> None:
    assert uniform((2,)).is_leaf
    assert not normal((2,)).requires_grad
    assert uniform((2,), dtype="float16").dtype == "float16"
    with pytest.raises(TypeError, match="random numbers are drawn as floats, not as int32"):
        uniform((2,), dtype="int32")
