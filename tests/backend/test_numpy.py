"""The NumPy backend: NumPy's functions, and the random bits that every backend must give."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_dnn.backend.base import philox_uniform
from tinygrad_dnn.backend.numpy import NumpyBackend

xp = NumpyBackend()


def test_functions_are_numpys() -> None:
    assert xp.matmul is np.matmul
    assert xp.float32 is np.float32
    with pytest.raises(AttributeError, match="no_such_function"):
        xp.no_such_function  # noqa: B018


def test_to_host_is_a_copy() -> None:
    array = np.ones(3)
    copy = xp.to_host(array)
    copy[:] = 2
    np.testing.assert_array_equal(array, np.ones(3))


def test_scatter_add_counts_repeated_indices() -> None:
    target = np.zeros((3, 2))
    assert xp.scatter_add(target, (np.array([0, 2, 0]), 1), np.array([1.0, 2.0, 3.0])) is target
    np.testing.assert_array_equal(target, [[0, 4], [0, 0], [0, 2]])


def words(seed: int, stream: int, step: int, count: int) -> np.ndarray:
    """Philox4x64-10 from its definition, in Python integers."""
    drawn: list[int] = []
    block = 0
    while len(drawn) < count:
        block += 1
        c, k = [block, 0, step % 2**64, 0], [seed % 2**64, stream % 2**64]
        for _ in range(10):
            high0, low0 = divmod(c[0] * 0xD2E7470EE14C6C93, 2**64)
            high1, low1 = divmod(c[2] * 0xCA5A826395121157, 2**64)
            c = [high1 ^ c[1] ^ k[0], low1, high0 ^ c[3] ^ k[1], low0]
            k = [(k[0] + 0x9E3779B97F4A7C15) % 2**64, (k[1] + 0xBB67AE8584CAA73B) % 2**64]
        drawn += c
    return np.array(drawn[:count], np.uint64)


@pytest.mark.parametrize("state", [(0, 0, 0), (1, 2, 3), (-1, 2**63 - 1, 2**40), (-(2**63), -7, -1)])
def test_uniform_is_philox(state: tuple[int, int, int]) -> None:
    array = np.array(state, np.int64)
    raw = words(*state, 9)
    doubles = xp.uniform(array, (3, 3), np.dtype(np.float64))
    assert doubles.dtype == np.float64
    np.testing.assert_array_equal(doubles.ravel(), [int(word) // 2**11 / 2**53 for word in raw])
    singles = xp.uniform(array, (17,), np.dtype(np.float32))
    halves = [half for word in raw for half in (int(word) % 2**32, int(word) // 2**32)]
    assert singles.dtype == np.float32
    np.testing.assert_array_equal(singles, [half // 2**8 / 2**24 for half in halves[:17]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_uniform_is_uniform(dtype: type) -> None:
    n = 40_000
    drawn = philox_uniform(np.array([5, 6, 7]), (n,), np.dtype(dtype)).astype(np.float64)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    # The mean of n uniform numbers has the standard error sqrt(1/12n), their lag-1 correlation 1/sqrt(n).
    assert abs(drawn.mean() - 0.5) < 4 * np.sqrt(1 / 12 / n)
    assert abs(np.corrcoef(drawn[1:], drawn[:-1])[0, 1]) < 4 / np.sqrt(n)
    counts = np.histogram(drawn, 20, (0, 1))[0]
    # chi-squared with 19 degrees of freedom: its 99.99 % point.
    assert ((counts - n / 20) ** 2 / (n / 20)).sum() < 50.8


def test_uniform_depends_on_each_part_of_the_state_and_on_nothing_else() -> None:
    first = philox_uniform(np.array([1, 1, 1]), (8,), np.dtype(np.float32))
    for other in ([2, 1, 1], [1, 2, 1], [1, 1, 2]):
        assert not np.isin(philox_uniform(np.array(other), (8,), np.dtype(np.float32)), first).any()
    longer = philox_uniform(np.array([1, 1, 1]), (2, 10), np.dtype(np.float32))
    np.testing.assert_array_equal(longer.ravel()[:8], first)
    assert philox_uniform(np.array([1, 1, 1]), (0, 3), np.dtype(np.float32)).shape == (0, 3)
    assert philox_uniform(np.array([1, 1, 1]), (), np.dtype(np.float64)).shape == ()
