"""Every primitive against NumPy and finite differences: value, first and second derivative, layouts, dtypes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.ops.samples import SAMPLES, Sample, primitives
from tinygrad_dnn.graph import Primitive
from tinygrad_dnn.ops import window
from tinygrad_dnn.tensor import Tensor
from tinygrad_dnn.testing import check_grads

PRIMITIVES = list(primitives().values())
DIFFERENTIABLE = [primitive for primitive in PRIMITIVES if primitive.vjps]
# Those whose inputs have axes by their nature.
WITH_AXES = {"matmul", "concatenate", "cumsum", *(p.name for p in vars(window).values() if isinstance(p, Primitive))}


def cases(primitive: Primitive) -> list[tuple[Sample, bool]]:
    """Return a primitive's samples, each as it is and, where it has axes, in a strided layout."""
    samples = [sample for sample in SAMPLES if sample.primitive is primitive]
    return [(s, False) for s in samples] + [(s, True) for s in samples if all(x.ndim for x in s.arrays)]


def differentiable_cases(primitive: Primitive) -> list[tuple[Sample, bool]]:
    """Return the cases of float64 results; a cast away from it has its gradient tested in test_cast.py."""
    return [(s, strided) for s, strided in cases(primitive) if s.expected(s.arrays).dtype == np.float64]


@contextmanager
def named(sample: Sample, strided: bool) -> Iterator[None]:
    """Let a failure say which sample it is of."""
    try:
        yield
    except Exception as error:
        error.add_note(f"sample: {sample}, {'strided' if strided else 'contiguous'}")
        raise


def widened(array: np.ndarray) -> np.ndarray:
    """Return what ``narrowed`` makes ``array`` of: each value twice, and the axes reversed."""
    return np.ascontiguousarray(np.repeat(array, 2, axis=-1).T)


def narrowed(x: Tensor) -> Tensor:
    """Return a view with gaps, its axes in another order than in memory."""
    return x.T[..., ::2]


def laid_out(sample: Sample, strided: bool, dtype: type) -> tuple[list[Tensor], list[Tensor]]:
    """Return leaves, and what the primitive is given: the leaves themselves or strided views of them."""
    arrays = [x.astype(dtype) if x.dtype.kind == "f" else x for x in sample.arrays]
    differentiable = bool(sample.primitive.vjps)
    leaves = [
        td.tensor(widened(x) if strided else x, requires_grad=differentiable and x.dtype.kind == "f") for x in arrays
    ]
    return leaves, [narrowed(x) for x in leaves] if strided else leaves


def hosts(tensors: Sequence[Tensor]) -> list[np.ndarray]:
    return [x.numpy() for x in tensors]


def assert_unchanged(tensors: Sequence[Tensor], before: Sequence[np.ndarray]) -> None:
    for x, was in zip(tensors, before, strict=True):
        np.testing.assert_array_equal(x.numpy(), was)


def test_every_primitive_has_samples() -> None:
    assert len(PRIMITIVES) > 40
    missing = [primitive for primitive in PRIMITIVES if not cases(primitive)]
    assert not missing, f"add samples to tests/ops/samples.py for {missing}"


@pytest.mark.parametrize("primitive", DIFFERENTIABLE, ids=repr)
def test_samples_hold_empty_0d_and_strided_inputs(primitive: Primitive) -> None:
    chosen = differentiable_cases(primitive)
    inputs = [x for sample, _ in chosen for x in sample.arrays]
    assert any(strided for _, strided in chosen)
    assert any(not x.size for x in inputs)
    assert primitive.name in WITH_AXES or any(not x.ndim for x in inputs)


@pytest.mark.parametrize("primitive", PRIMITIVES, ids=repr)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-13), (np.float32, 2e-6)], ids=["float64", "float32"])
def test_value_is_numpys(primitive: Primitive, dtype: type, tolerance: float, backend: str) -> None:
    for sample, strided in cases(primitive):
        with named(sample, strided):
            leaves, given = laid_out(sample, strided, dtype)
            arrays, before = hosts(given), hosts(leaves)
            out, expected = sample(*given), sample.expected(arrays)
            assert (out.shape, out.dtype, out.backend.name) == (expected.shape, expected.dtype, backend)
            np.testing.assert_allclose(out.numpy(), expected, rtol=tolerance, atol=tolerance)
            assert_unchanged(leaves, before)


@pytest.mark.parametrize("primitive", DIFFERENTIABLE, ids=repr)
def test_derivatives_are_those_of_finite_differences(primitive: Primitive, backend: str) -> None:
    for sample, strided in differentiable_cases(primitive):

        def f(*leaves: Tensor, sample: Sample = sample, strided: bool = strided) -> Tensor:
            out = sample(*(map(narrowed, leaves) if strided else leaves))
            return out * out + out  # so that the second derivative of what is linear is not zero

        with named(sample, strided):
            check_grads(f, [widened(x) for x in sample.arrays] if strided else sample.arrays)


@pytest.mark.parametrize("primitive", DIFFERENTIABLE, ids=repr)
def test_gradients_in_float32_keep_the_dtype_and_the_inputs(primitive: Primitive, backend: str) -> None:
    for sample, strided in differentiable_cases(primitive):
        with named(sample, strided):
            gradients = []
            for dtype in (np.float32, np.float64):
                leaves, given = laid_out(sample, strided, dtype)
                out = sample(*given)
                seen = [*leaves, *given, out]
                before = hosts(seen)
                wanted = [x for x in leaves if x.requires_grad]
                first = td.grad((out * out).sum(), wanted, create_graph=True)
                second = td.grad((first[0] * first[0]).sum(), wanted, allow_unused=True)
                found = [g for g in [*first, *second] if g is not None]
                assert {g.dtype for g in found} == {np.dtype(dtype)}
                gradients.append(hosts(found))
                assert_unchanged(seen, before)
            for single, double in zip(*gradients, strict=True):
                np.testing.assert_allclose(single, double, rtol=2e-4, atol=2e-5)
