"""Arrays to check with, and how they are compared: bit for bit, within rounding, finite, away from kinks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tinygrad_dnn import autograd, ops
from tinygrad_dnn.tensor import Tensor, tensor
from tinygrad_dnn.testing.conformance.checking import CheckError
from tinygrad_dnn.testing.gradients import check_grads

EXTREMES = (0.0, 1.0, -1.0, 1e3, -1e3, 1e4, -1e4)
# The part of the elements that may lie at a kink: where one-sided differences disagree nothing can be checked.
KINKS = 0.25
_STEP = 1e-5


def extremes(domain: tuple[float, float]) -> np.ndarray:
    """Return the extreme numbers inside a domain, in float32."""
    return np.array([x for x in EXTREMES if domain[0] <= x <= domain[1]], np.float32)


def host(x: Any) -> np.ndarray:
    """Return anything numeric as a host array."""
    return x.numpy() if isinstance(x, Tensor) else np.asarray(x)


def weights_like(y: Tensor) -> Tensor:
    """Return numbers that differ, of a Tensor's shape and type: what a gradient starts from."""
    return tensor(np.linspace(0.5, 1.5, y.size).reshape(y.shape), y.dtype)


def slopes(output: Tensor, sources: Sequence[Tensor], create_graph: bool = False) -> list[Tensor]:
    """Return the gradient of an output, its elements weighed by numbers that differ, for each source."""
    if not output.requires_grad:
        return [ops.zeros_like(x) for x in sources]
    starts = weights_like(output)
    found = autograd.grad(output, list(sources), starts, create_graph=create_graph, allow_unused=True)
    return [ops.zeros_like(x) if g is None else g for x, g in zip(sources, found, strict=True)]


def first_difference(found: Iterable[Any], expected: Iterable[Any], tolerance: float = 0.0) -> str:
    """Say how two lists of arrays first differ, beyond a part of each array's norm; nothing if they do not."""
    for i, (a, b) in enumerate(zip(map(host, found), map(host, expected), strict=True)):
        if a.shape != b.shape or a.dtype != b.dtype:
            return f"value {i} is {a.dtype}{list(a.shape)} and not {b.dtype}{list(b.shape)}"
        if np.array_equal(a, b, equal_nan=a.dtype.kind == "f"):
            continue
        finite = np.isfinite(a) & np.isfinite(b)
        if np.array_equal(a[~finite], b[~finite], equal_nan=True):
            away = float(np.linalg.norm((a[finite] - b[finite]).astype(float)))
            if away <= tolerance * (float(np.linalg.norm(b[finite].astype(float))) + 1e-3):
                continue
        differs = np.argwhere(~((a == b) | ((a != a) & (b != b))))
        place = tuple(int(n) for n in differs[0])
        return f"value {i} is {a[place]!s} at {place} and not {b[place]!s}"
    return ""


def expect_equal(
    found: Iterable[Any], expected: Iterable[Any], what: str, want: str, advice: str, tolerance: float = 0.0
) -> None:
    """Raise ``CheckError`` where two lists of arrays differ; ``what`` begins the sentence."""
    if difference := first_difference(found, expected, tolerance):
        raise CheckError(f"{what}: {difference}", want, advice)


def expect_finite(values: Any, what: str, at: Any, advice: str) -> None:
    """Raise ``CheckError`` where a value is NaN or infinite, naming the input ``at`` that place or of that call."""
    array = host(values)
    if np.isfinite(array).all():
        return
    place = tuple(int(n) for n in np.argwhere(~np.isfinite(array))[0])
    where = host(at)
    number = where[place] if where.shape == array.shape else where.ravel()[0] if where.size else at
    raise CheckError(f"{what} {array[place]!s} at {number:g}", "a finite number", advice)


def away_from_kinks(f: Callable[..., Tensor], arrays: Sequence[np.ndarray], order: int = 2) -> list[np.ndarray]:
    """Return the arrays with the elements at which one-sided differences disagree moved away, if they are few.

    A kink is where the slopes to the left and to the right differ by more than what curvature explains: the
    difference of the two does not become smaller with the step. At most a stated part of all elements may be moved.
    """
    moved = [np.array(x) for x in arrays]
    total = sum(x.size for x in moved if x.dtype.kind == "f")
    for tries in range(3):
        kinks = [(i, place) for i, x in enumerate(moved) if x.dtype.kind == "f" for place in _kinks(f, moved, i)]
        if not kinks:
            return moved
        if len(kinks) > max(KINKS * total, 1):
            break
        for i, place in kinks:
            moved[i].flat[place] += 0.0137 * (tries + 1)
    raise CheckError(
        f"one-sided differences disagree at {len(kinks)} of {total} elements",
        f"kinks at no more than {KINKS:.0%} of them",
        "make it continuous and smooth almost everywhere, or declare inputs away from its kinks",
    )


def _kinks(f: Callable[..., Tensor], arrays: list[np.ndarray], i: int) -> list[int]:
    """Return the elements of one array at which a projection of f has two slopes."""
    found = []
    x = arrays[i]
    base = _projected(f, arrays)
    for place in range(x.size):
        gaps = []
        for step in (1e-4, 1e-5):
            ends = []
            for sign in (1, -1):
                probe = [np.array(each) for each in arrays]
                probe[i].flat[place] += sign * step
                ends.append(_projected(f, probe))
            gaps.append(abs(ends[0] + ends[1] - 2 * base) / step)
        # Curvature gives a tenth of the gap at a tenth of the step; a kink the same.
        if gaps[1] > 1e-4 * (1 + abs(base)) and gaps[1] > 0.5 * gaps[0]:
            found.append(place)
    return found


def _projected(f: Callable[..., Tensor], arrays: Sequence[np.ndarray]) -> float:
    y = f(*(tensor(x) for x in arrays)).numpy().astype(float)
    return float(np.sum(y * np.linspace(0.5, 1.5, y.size).reshape(y.shape)))


def expect_gradients(f: Callable[..., Tensor], arrays: Sequence[np.ndarray], advice: str) -> None:
    """Raise ``CheckError`` where the first or second derivative is not what finite differences give, in float64."""
    try:
        check_grads(f, away_from_kinks(f, arrays), order=2, rtol=1e-4, atol=1e-6)
    except AssertionError as error:
        text = str(error).rstrip(".")
        raise CheckError(f"its derivative is wrong ({text})", "the derivative of what it computes", advice) from error
