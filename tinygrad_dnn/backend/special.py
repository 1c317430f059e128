"""Special functions that NumPy lacks, computed on the host."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# W. J. Cody, "Rational Chebyshev approximations for the error function", Mathematics of Computation 23, 1969: numerator
# and denominator, the highest power first, of erf(x) / x in x^2 up to _NEAR, and of exp(x^2) erfc(x) in x beyond.
_NEAR = 0.46875
_ERF_TOP = (
    1.85777706184603153e-1, 3.16112374387056560e0, 1.13864154151050156e2, 3.77485237685302021e2, 3.20937758913846947e3,
)  # fmt: skip
_ERF_BOTTOM = (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3)
_ERFC_TOP = (
    2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594e0, 6.61191906371416295e1,
    2.98635138197400131e2, 8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3,
)  # fmt: skip
_ERFC_BOTTOM = (
    1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3,
    3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3,
)  # fmt: skip
# From here on erf is 1 in double precision; Cody's third approximation, for what erfc is then, is not needed.
_ONE_FROM = 6.0


def erf(x: np.ndarray) -> np.ndarray:
    """Return the error function of floating-point numbers, within 5 units in the last place, in their own dtype."""
    wide = x.astype(np.float32) if x.dtype.itemsize < 4 else x
    y = np.minimum(np.abs(wide), _ONE_FROM)
    square = y * y
    near = y * _horner(square, _ERF_TOP) / _horner(square, _ERF_BOTTOM)
    far = 1.0 - np.exp(-square) * _horner(y, _ERFC_TOP) / _horner(y, _ERFC_BOTTOM)
    return np.asarray(np.copysign(np.where(y <= _NEAR, near, far), wide)).astype(x.dtype, copy=False)


def _horner(x: np.ndarray, coefficients: Sequence[float]) -> np.ndarray:
    """Return the polynomial of these coefficients, the highest power first."""
    total = x * coefficients[0] + coefficients[1]
    for coefficient in coefficients[2:]:
        total = total * x + coefficient
    return total
