"""Every primitive against NumPy and finite differences: value, first and second derivative, layouts, dtypes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.ops.samples import SAMPLES, Sample, primitives
from tinygrad_dnn.tensor import Tensor
from tinygrad_dnn.testing import check_grads

# A strided layout of something 0-d does not exist, and numbers are none.
STRIDED = [sample for sample in SAMPLES if all(x.ndim for x in sample.arrays)]
LAYOUTS = [*((sample, False) for sample in SAMPLES), *((sample, True) for sample in STRIDED)]
# A cast away from float64 has its gradient tested in test_cast.py.
DIFFERENTIABLE = [
    (sample, strided)
    for sample, strided in LAYOUTS
    if sample.primitive.vjps and sample.expected(sample.arrays).dtype == np.float64
]


def name(value: object) -> str:
    return ("contiguous", "strided")[value] if isinstance(value, bool) else str(value)


def widened(array: np.ndarray) -> np.ndarray:
    """Return what ``narrowed`` makes a Tensor of ``array``'s values from: each value twice, and the axes reversed."""
    return np.ascontiguousarray(np.repeat(array, 2, axis=-1).T)


def narrowed(x: Tensor) -> Tensor:
    """Return a view with gaps, its axes in another order than in memory."""
    return x.T[..., ::2]


def laid_out(sample: Sample, strided: bool, dtype: type = np.float64) -> tuple[list[Tensor], list[Tensor]]:
    """Return leaves, and what the primitive is given: the leaves themselves or strided views of them."""
    arrays = [x.astype(dtype) if x.dtype.kind == "f" else x for x in sample.arrays]
    leaves = [
        td.tensor(widened(x) if strided else x, requires_grad=bool(sample.primitive.vjps) and x.dtype.kind == "f")
        for x in arrays
    ]
    return leaves, [narrowed(x) for x in leaves] if strided else leaves


def hosts(tensors: Sequence[Tensor]) -> list[np.ndarray]:
    return [x.numpy() for x in tensors]


def test_every_primitive_has_samples() -> None:
    assert len(primitives()) > 40
    missing = set(primitives().values()) - {sample.primitive for sample in SAMPLES}
    assert not missing, f"add samples to tests/ops/samples.py for {missing}"


def test_every_differentiable_primitive_is_tried_on_every_kind_of_input() -> None:
    for primitive in {sample.primitive for sample in SAMPLES if sample.primitive.vjps}:
        inputs = [x for sample in SAMPLES if sample.primitive is primitive for x in sample.arrays]
        assert any(not x.size for x in inputs), f"{primitive} is not tried on anything empty"
        assert primitive.name in ("matmul", "concatenate", "cumsum") or any(not x.ndim for x in inputs), (
            f"{primitive} is not tried on anything 0-d"
        )


@pytest.mark.parametrize(("sample", "strided"), LAYOUTS, ids=name)
@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-13), (np.float32, 2e-6)], ids=["float64", "float32"])
def test_value_is_numpys(sample: Sample, strided: bool, dtype: type, rtol: float, backend: str) -> None:
    leaves, given = laid_out(sample, strided, dtype)
    arrays, before = hosts(given), hosts(leaves)
    out = sample(*given)
    expected = sample.expected(arrays)
    assert (out.shape, out.backend.name) == (expected.shape, backend)
    assert out.dtype == expected.dtype
    np.testing.assert_allclose(out.numpy(), expected, rtol=rtol, atol=rtol)
    for x, was in zip(leaves, before, strict=True):
        np.testing.assert_array_equal(x.numpy(), was)


@pytest.mark.parametrize(("sample", "strided"), DIFFERENTIABLE, ids=name)
def test_derivatives_are_those_of_finite_differences(sample: Sample, strided: bool, backend: str) -> None:
    def f(*leaves: Tensor) -> Tensor:
        return sample(*(narrowed(x) if strided else x for x in leaves))

    check_grads(f, [widened(x) if strided else x for x in sample.arrays], order=2)


@pytest.mark.parametrize(("sample", "strided"), DIFFERENTIABLE, ids=name)
def test_gradients_in_float32_keep_dtype_and_inputs(sample: Sample, strided: bool, backend: str) -> None:
    gradients = {}
    for dtype in (np.float32, np.float64):
        leaves, given = laid_out(sample, strided, dtype)
        out = sample(*given)
        before = hosts([*leaves, *given, out])
        wanted = [x for x in leaves if x.requires_grad]
        first = td.grad((out * out).sum(), wanted, create_graph=True)
        second = td.grad([(g * g).sum() for g in first], wanted)
        gradients[dtype] = hosts([*first, *second])
        assert {g.dtype for g in gradients[dtype]} == {np.dtype(dtype)}
        for x, was in zip([*leaves, *given, out], before, strict=True):
            np.testing.assert_array_equal(x.numpy(), was)
    for single, double in zip(*gradients.values(), strict=True):
        np.testing.assert_allclose(single, double, rtol=2e-4, atol=2e-5)
