"""Convolutions as products of windows, and sums of overlapping windows, against their primitives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.jit.cuda.test_lowering import compare
from tinygrad_dnn.jit.cuda.launches import Launch, Product
from tinygrad_dnn.ops import window

pytestmark = pytest.mark.usefixtures("emulated")

CASES: list[tuple[Any, Any, Any, Any]] = [  # images, kernel, strides, dilation
    ((3, 8, 7, 2), (3, 2, 2, 4), (1, 1), (1, 1)),
    ((2, 9, 9, 3), (3, 3, 3, 5), (2, 2), (1, 1)),
    ((2, 9, 10, 1), (2, 3, 1, 2), (1, 1), (3, 2)),
    ((1, 5, 5, 4), (1, 1, 4, 3), (1, 1), (1, 1)),
    ((4, 6, 1, 3), (2, 1, 3, 1), (3, 1), (1, 1)),
    ((1, 3, 3, 1), (3, 3, 1, 1), (1, 1), (1, 1)),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("images", "kernel", "strides", "dilation"), CASES)
def test_a_convolution_and_its_gradients(images: Any, kernel: Any, strides: Any, dilation: Any, dtype: str) -> None:
    draw = np.random.default_rng(0)
    x, k = draw.normal(size=images).astype(dtype), draw.normal(size=kernel).astype(dtype)

    def function(given: list[td.Tensor]) -> Any:
        x, k, bias = (one.detach().requires_grad_() for one in given)
        y = window.conv(x, k, strides, dilation_rate=dilation) + bias
        td.sum(y * y).backward()
        return y.detach(), x.grad, k.grad, bias.grad

    run = compare(function, [x, k, np.ones(kernel[-1], dtype)], [], 1e-5 if dtype == "float32" else 1e-12)
    assert not run.calls
    assert sum(isinstance(step, Product) for step in run.steps) == 3


def test_a_convolution_of_single_places_copies_nothing() -> None:
    draw = np.random.default_rng(0)
    arrays = [draw.normal(size=(2, 4, 5, 3)), draw.normal(size=(1, 1, 3, 6))]
    run = compare(lambda given: window.conv(given[0], given[1]), arrays, [], 1e-12)
    assert [type(step) for step in run.steps] == [Product]


def test_images_that_were_turned_are_seen_as_they_lie() -> None:
    draw = np.random.default_rng(0)
    arrays = [draw.normal(size=(2, 3, 4, 5)), draw.normal(size=(2, 2, 3, 6))]
    run = compare(lambda given: window.conv(td.transpose(given[0], (0, 2, 3, 1)), given[1]), arrays, [], 1e-12)
    assert [type(step) for step in run.steps] == [Launch, Product]
