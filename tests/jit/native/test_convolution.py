"""Convolutions and their gradients against those that NumPy makes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.jit.native.test_lowering import compare, native
from tinygrad_dnn.jit.recording import record
from tinygrad_dnn.ops import window

# Batch and image, kernel with its filters, strides, dilation, padding.
CASES: list[tuple[Any, Any, Any, Any, str]] = [
    ((2, 6, 7, 3), (3, 3, 4), 1, 1, "same"),
    ((2, 6, 7, 3), (3, 2, 4), 1, 1, "valid"),
    ((3, 6, 7, 2), (2, 3, 1), (2, 1), 1, "valid"),
    ((1, 8, 9, 2), (2, 2, 3), (1, 2), (3, 2), "valid"),
    ((2, 5, 5, 1), (1, 1, 3), 1, 1, "valid"),
    ((2, 5, 5, 4), (1, 1, 3), 2, 1, "same"),
    ((1, 1, 1, 1), (1, 1, 1), 1, 1, "valid"),
    ((2, 4, 4, 3), (4, 4, 5), 1, 1, "valid"),
    ((5, 24, 24, 16), (3, 3, 8), 1, 1, "same"),  # several blocks in each image
]


def normal(*shape: int, dtype: str = "float32") -> np.ndarray:
    """Return the same random numbers for a shape each time."""
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(dtype)


def step(given: list[td.Tensor], strides: Any, padding: str, dilation: Any) -> list[Any]:
    """Return a convolution with its gradients."""
    x, kernel, bias = (x.detach().requires_grad_() for x in given)
    y = window.conv(x, kernel, strides, padding, dilation, bias)
    td.sum(td.square(y)).backward()
    return [y.detach(), x.grad, kernel.grad, bias.grad]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("size", "kernel", "strides", "dilation", "padding"), CASES)
def test_convolutions(size: Any, kernel: Any, strides: Any, dilation: Any, padding: str, dtype: str) -> None:
    height, width, filters = kernel
    arrays = [normal(*size, dtype=dtype), normal(height, width, size[3], filters, dtype=dtype)]
    arrays.append(normal(filters, dtype=dtype))
    run = compare(
        lambda given: step(given, strides, padding, dilation), arrays, [], 1e-5 if dtype == "float32" else 1e-13
    )
    assert not run.calls


def test_views_of_images_and_kernels() -> None:
    def function(given: list[td.Tensor]) -> Any:
        images, kernel = given
        turned = td.transpose(images, (0, 2, 1, 3))[:, ::-1]
        return window.conv(turned, td.transpose(kernel, (1, 0, 3, 2))) * 2.0

    assert not compare(function, [normal(2, 6, 7, 3), normal(2, 3, 4, 3)], [], 1e-5).calls


def test_the_same_in_one_thread_and_in_two() -> None:
    arrays = [normal(5, 24, 24, 16), normal(3, 3, 16, 8), normal(8)]
    program = record(lambda given: step(given, 1, "same", 1), [td.tensor(x) for x in arrays]).program
    one, two = (native.lower(program, threads)(arrays) for threads in (1, 2))
    for x, y in zip(one, two, strict=True):
        assert x.tobytes() == y.tobytes()


def test_no_images_and_windows_too_large_are_left_to_the_primitive() -> None:
    run = compare(lambda given: window.conv(*given), [normal(0, 4, 4, 1), normal(2, 2, 1, 3)], [], 0)
    assert run.calls == ["convolve"]
    run = compare(lambda given: window.conv(*given), [normal(1, 2, 2, 4096), normal(2, 2, 4096, 1)], [], 1e-5)
    assert run.calls == ["convolve"]


def test_nan_stays_where_windows_see_it() -> None:
    images = normal(2, 6, 6, 2)
    images[0, 0, 0, 0] = np.nan
    compare(lambda given: window.conv(*given) * 1.0, [images, normal(2, 2, 2, 3)], [], 1e-5)
