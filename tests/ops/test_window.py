"""Windows, convolution and pooling: values by definition, derivatives, blocks, memory, arguments."""

from __future__ import annotations

import itertools
import tracemalloc
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.ops.samples import distinct, signed
from tinygrad_dnn.ops import geometry, window
from tinygrad_dnn.testing import check_grads

PADDINGS = ["valid", "same"]
STEPS = [(1, 1), (2, 1), (3, 2), (1, 2), (2, 3)]  # stride and dilation; Keras has none with both


def surrounded(x: np.ndarray, size: int, stride: int, dilation: int, value: float = 0.0) -> np.ndarray:
    """Return what "same" makes of images: as many windows as steps begin inside, the odd row or column behind."""
    widths = [(0, 0)]
    for n in x.shape[1:3]:
        windows = -(-n // stride)
        missing = max(0, (windows - 1) * stride + (size - 1) * dilation + 1 - n)
        widths.append((missing // 2, missing - missing // 2))
    return np.pad(x, [*widths, (0, 0)], constant_values=value)


def by_definition(x: np.ndarray, kernel: np.ndarray, stride: int, dilation: int) -> np.ndarray:
    """Return the sum over the kernel's places, one output element after the other."""
    size, _, _, filters = kernel.shape
    span = (size - 1) * dilation + 1
    rows, columns = ((n - span) // stride + 1 for n in x.shape[1:3])
    out = np.zeros((len(x), rows, columns, filters))
    for n, i, j, f in np.ndindex(*out.shape):
        part = x[n, i * stride :: dilation, j * stride :: dilation][:size, :size]
        out[n, i, j, f] = (part * kernel[..., f]).sum()
    return out


@pytest.mark.parametrize(("stride", "dilation"), STEPS)
@pytest.mark.parametrize("padding", PADDINGS)
def test_convolution_by_definition(backend: str, padding: str, stride: int, dilation: int) -> None:
    x, kernel = signed((2, 8, 7, 2)), signed((3, 3, 2, 2), 1)
    whole = surrounded(x, 3, stride, dilation) if padding == "same" else x
    expected = by_definition(whole, kernel, stride, dilation)
    found = window.conv(x, kernel, stride, padding, dilation)
    assert (found.shape, found.backend.name) == (expected.shape, backend)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (2, 2)])
@pytest.mark.parametrize("padding", PADDINGS)
def test_derivatives_of_convolution(backend: str, padding: str, stride: int, dilation: int) -> None:
    def f(x: td.Tensor, kernel: td.Tensor) -> td.Tensor:
        return window.conv(x, kernel, stride, padding, dilation)

    check_grads(f, [signed((1, 4, 3, 1)), signed((2, 2, 1, 2), 1)])


def test_third_derivative_of_a_cube(backend: str) -> None:
    kernel = td.tensor(signed((2, 2, 1, 1)))
    total = lambda x: (window.conv(x, kernel) ** 3).sum()  # noqa: E731
    x = signed((1, 2, 2, 1), 1)
    along = lambda f: lambda x: td.grad(f)(x).sum()  # noqa: E731  # the derivative along (1, 1, ...)
    found = along(along(along(total)))(td.tensor(x))
    assert found.item() == pytest.approx(6 * float(kernel.sum()) ** 3, rel=1e-10)


@pytest.mark.parametrize("block", [1, 200, 1500, 5000])
@pytest.mark.parametrize("padding", PADDINGS)
def test_blocks_make_no_difference(backend: str, padding: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x, kernel = signed((5, 7, 6, 2)), signed((3, 2, 2, 3), 1)

    def results() -> list[np.ndarray]:
        inputs = [td.tensor(x, requires_grad=True), td.tensor(kernel, requires_grad=True)]
        out = window.conv(*inputs, (2, 1), padding, (1, 2))
        first = td.grad((out * out).sum(), inputs, create_graph=True)
        second = td.grad((first[0] * first[0]).sum() + (first[1] * first[1]).sum(), inputs)
        return [t.numpy() for t in (out, *first, *second)]

    whole = results()
    monkeypatch.setattr(window, "_HOST_BYTES", block)
    monkeypatch.setattr(window, "_DEVICE_BYTES", block)
    for found, expected in zip(results(), whole, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-8)


def test_convolution_holds_no_copy_of_all_windows() -> None:
    with td.backend.use("numpy"):  # which tells tracemalloc of its memory
        x = td.tensor(np.zeros((64, 16, 16, 32), np.float32), requires_grad=True)
        kernel = td.tensor(np.zeros((3, 3, 32, 8), np.float32), requires_grad=True)
        tracemalloc.start()
        try:
            window.conv(x, kernel, padding="same").sum().backward()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    size = x.size * 4
    assert peak < 5 * size  # the windows alone would take nine times the memory of the images


def test_windows_are_views_of_the_images(backend: str) -> None:
    x = td.tensor(distinct((2, 5, 4, 3)))
    found = window.windows(x, (2, 3), (1, 1), (2, 1))
    assert found.shape == (2, 3, 2, 2, 3, 3)
    for i, j in itertools.product(range(3), range(2)):
        np.testing.assert_array_equal(found[:, i, j].numpy(), x[:, i : i + 3 : 2, j : j + 3].numpy())
    x.data[...] = 0
    assert not found.numpy().any()


# -- pooling -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "stride"), [(2, 2), (2, 1), (3, 2), (2, 3), (1, 1)])
@pytest.mark.parametrize("padding", PADDINGS)
def test_pooling_by_definition(backend: str, padding: str, size: int, stride: int) -> None:
    x = distinct((2, 5, 6, 2))
    whole = surrounded(x, size, stride, 1, np.nan) if padding == "same" else x
    rows, columns = ((n - size) // stride + 1 for n in whole.shape[1:3])
    parts = [
        whole[:, i * stride : i * stride + size, j * stride : j * stride + size]
        for i, j in itertools.product(range(rows), range(columns))
    ]
    for operation, reference in ((window.max_pool, np.nanmax), (window.average_pool, np.nanmean)):
        expected = np.stack([reference(part, axis=(1, 2)) for part in parts], axis=1).reshape(2, rows, columns, 2)
        np.testing.assert_allclose(operation(x, size, stride, padding).numpy(), expected, rtol=1e-14)


@pytest.mark.parametrize("operation", [window.max_pool, window.average_pool])
@pytest.mark.parametrize(("size", "stride"), [(2, 2), (3, 1)])
@pytest.mark.parametrize("padding", PADDINGS)
def test_derivatives_of_pooling(backend: str, operation: Any, padding: str, size: int, stride: int) -> None:
    check_grads(lambda x: operation(x, size, stride, padding) ** 2, [distinct((1, 3, 4, 2))])


def test_pooling_of_negative_numbers_never_sees_the_padding(backend: str) -> None:
    x = td.tensor(-np.ones((1, 3, 3, 1), np.float32), requires_grad=True)
    for operation in (window.max_pool, window.average_pool):
        out = operation(x, 2, 2, "same")
        assert out.tolist() == (-np.ones((1, 2, 2, 1))).tolist()
        # Each window hands on 1, shared by its elements that are images: four, two, two and one.
        expected = [[0.25, 0.25, 0.5], [0.25, 0.25, 0.5], [0.5, 0.5, 1.0]]
        assert td.grad(out.sum(), x)[0, :, :, 0].tolist() == expected


def test_nan_stays_visible(backend: str) -> None:
    x = np.zeros((1, 4, 4, 1))
    x[0, 0, 0, 0] = np.nan
    for operation in (window.max_pool, window.average_pool):
        assert np.isnan(operation(x, 2).numpy()[0, :, :, 0]).tolist() == [[True, False], [False, False]]


# -- dtypes and arguments ------------------------------------------------------------------------------------------


def test_dtypes(backend: str) -> None:
    images = np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1)
    kernel = np.ones((2, 2, 1, 1), np.float32)
    assert window.conv(images, kernel).dtype == np.float32
    assert window.conv(images, kernel)[0, 0, 0, 0].item() == 10.0
    assert window.max_pool(images, 2).dtype == np.float32
    assert window.average_pool(images, 2)[0, :, :, 0].tolist() == [[2.5, 4.5], [10.5, 12.5]]
    assert window.conv(images.astype(np.float64), kernel).dtype == np.float64
    assert window.conv(images, kernel, bias=np.ones(1)).dtype == np.float32
    assert window.conv(images, kernel, bias=[0.5])[0, 0, 0, 0].item() == 10.5
    assert window.windows(images, 2).dtype == np.uint8


@pytest.mark.parametrize("batch", [0, 1])
def test_empty_batches(backend: str, batch: int) -> None:
    x = td.zeros((batch, 4, 4, 2), requires_grad=True)
    kernel = td.ones((3, 3, 2, 5), requires_grad=True)
    out = window.conv(x, kernel, padding="same")
    assert out.shape == (batch, 4, 4, 5)
    gradients = td.grad(out.sum(), [x, kernel])
    assert [g.shape for g in gradients] == [x.shape, kernel.shape]
    for operation in (window.max_pool, window.average_pool):
        assert operation(x, 3, 2, "same").shape == (batch, 2, 2, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: window.conv(x, np.ones((3, 3, 2, 1))), r"conv: images of shape \(1, 4, 5, 3\) and a kernel"),
        (lambda x: window.conv(x[0], np.ones((3, 3, 3, 1))), r"conv: images of shape \(4, 5, 3\)"),
        (lambda x: window.conv(x, np.ones((3, 3, 3, 1)), 0), "conv: strides must be a positive integer, or a pair"),
        (lambda x: window.conv(x, np.ones((3, 3, 3, 1)), padding="full"), "conv: padding must be 'valid' or 'same'"),
        (lambda x: window.conv(x, np.ones((3, 3, 3, 1)), dilation_rate=2), "conv: a window that spans 5 does not fit"),
        (lambda x: window.conv(x, np.ones((1, 1, 3, 2)), bias=np.ones(3)), r"conv: a bias of shape \(3,\) does not"),
        (lambda x: window.max_pool(x, 5), "max_pool: a window that spans 5 does not fit an axis of length 4"),
        (lambda x: window.max_pool(x[0], 2), r"max_pool takes images of shape \(batch, height, width, channels\), not"),
        (lambda x: window.average_pool(x, (2, 2, 2)), r"average_pool: pool_size must be .*, not \(2, 2, 2\)"),
        (lambda x: window.average_pool(x, 2.0), r"average_pool: pool_size must be .*, not 2\.0"),
        (lambda x: window.windows(x, True), "windows: size must be .*, not True"),
    ],
)
def test_arguments_out_of_range(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        call(signed((1, 4, 5, 3)))


def test_same_always_has_a_window_and_valid_may_have_none() -> None:
    for length, size, stride, dilation in itertools.product(range(1, 8), range(1, 5), range(1, 4), range(1, 3)):
        assert geometry.output_length(length, size, stride, "same", dilation) == len(range(0, length, stride))
        inside = [i for i in range(0, length, stride) if i + (size - 1) * dilation < length]
        assert geometry.output_length(length, size, stride, "valid", dilation) == len(inside)
