"""Clipping and normalisation of gradients: what each kind looks at, and that only one is possible."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.optimizers.trajectories import path


def variable(value: Any, name: str = "w") -> td.Variable:
    return td.Variable(np.asarray(value, np.float32), trainable=True, name=name)


def grad(value: Any) -> td.Tensor:
    return td.tensor(np.asarray(value, np.float32))


def test_clipvalue_limits_each_element(backend: str) -> None:
    (value,) = path(td.optimizers.SGD(1.0, clipvalue=0.5), np.zeros(4), [[0.25, -0.5, 3.0, -7.0]])
    np.testing.assert_array_equal(value, [-0.25, 0.5, -0.5, 0.5])


def test_clipnorm_looks_at_each_weight_by_itself(backend: str) -> None:
    weights = [variable(np.zeros(2)), variable(np.zeros((1, 2))), variable(np.zeros(2))]
    td.optimizers.SGD(1.0, clipnorm=1.0).apply([grad([3.0, 4.0]), grad([[0.3, 0.4]]), grad([0.0, 0.0])], weights)
    np.testing.assert_allclose(weights[0].numpy(), [-0.6, -0.8], rtol=1e-6)
    np.testing.assert_array_equal(weights[1].numpy(), np.float32([[-0.3, -0.4]]))  # shorter already: the same bits
    np.testing.assert_array_equal(weights[2].numpy(), [0.0, 0.0])


def test_global_clipnorm_looks_at_the_whole_gradient_also_of_several_dtypes(backend: str) -> None:
    single, double = variable(np.zeros(2)), td.Variable(np.zeros((1, 1)), "float64", trainable=True)
    td.optimizers.SGD(1.0, global_clipnorm=1.0).apply(
        [grad([3.0, 4.0]), td.tensor(np.array([[12.0]]))], [single, double]
    )
    np.testing.assert_allclose(single.numpy(), [-3 / 13, -4 / 13], rtol=1e-6)
    np.testing.assert_allclose(double.numpy(), [[-12 / 13]], rtol=1e-6)
    assert (single.dtype, double.dtype) == (np.float32, np.float64)
    short = variable(np.zeros(2))
    td.optimizers.SGD(1.0, global_clipnorm=1.0).apply([grad([0.3, 0.4])], [short])
    np.testing.assert_array_equal(short.numpy(), np.float32([-0.3, -0.4]))


def test_global_clipnorm_leaves_weights_without_gradient_out(backend: str) -> None:
    weights = [variable([0.0]), variable([7.0])]
    td.optimizers.SGD(1.0, global_clipnorm=1.0).apply([grad([5.0]), None], weights)
    assert [w.item() for w in weights] == [-1.0, 7.0]


def test_normalizing_scales_the_whole_gradient_to_norm_1_also_a_short_one(backend: str) -> None:
    for scale in (1e-6, 1.0, 1e6):
        weights = [variable(np.zeros(2)), variable([7.0]), td.Variable(np.zeros((1, 1)), "float64", trainable=True)]
        gradients = [grad([3.0 * scale, -4.0 * scale]), None, td.tensor(np.array([[12.0 * scale]]))]
        td.optimizers.SGD(1.0, normalize_gradients=True).apply(gradients, weights)
        np.testing.assert_allclose(weights[0].numpy(), [-3 / 13, 4 / 13], rtol=1e-6)
        assert weights[1].item() == 7.0
        np.testing.assert_allclose(weights[2].numpy(), [[-12 / 13]], rtol=1e-6)


def test_normalizing_leaves_a_gradient_of_0(backend: str) -> None:
    found = path(td.optimizers.SGD(1.0, normalize_gradients=True), [1.0, 2.0], np.zeros((2, 2)))
    np.testing.assert_array_equal(found, [[1.0, 2.0]] * 2)


@pytest.mark.parametrize(
    "pair",
    [
        ("clipnorm", "clipvalue"),
        ("clipnorm", "global_clipnorm"),
        ("clipvalue", "global_clipnorm"),
        ("global_clipnorm", "normalize_gradients"),
    ],
)
def test_two_clippings_at_once(pair: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match=f"^adam: {pair[0]} and {pair[1]} were given; at most one kind of clipping"):
        td.optimizers.Adam(**dict.fromkeys(pair, 1.0))
