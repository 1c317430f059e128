"""Element types: what counts as floating-point, what of it has 16 bits, and bfloat16, which ml_dtypes gives NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

FLOATING = "fV"
"""The kinds of the floating-point dtypes that a Tensor may hold; bfloat16 is the only one of kind "V" among them."""


def is_narrow(dtype: np.dtype[Any]) -> bool:
    """Tell whether a dtype is a floating-point one of 16 bits, whose sums and products are computed in float32.

    Example:
        >>> [td.backend.element_types.is_narrow(np.dtype(name)) for name in ("float16", "float32", "int16")]
        [True, False, False]
    """
    return dtype.itemsize == 2 and dtype.kind in FLOATING


def bfloat16() -> np.dtype[Any]:
    """Return the dtype bfloat16: float32's range in 16 bits, 8 of them for the digits.

    Raises:
        ImportError: The package ml_dtypes is not installed; the message has the line that installs it.

    Example:
        >>> td.backend.element_types.bfloat16().name
        'bfloat16'
    """
    try:
        import ml_dtypes
    except ImportError as error:
        raise ImportError(
            "bfloat16 is a type that NumPy has from the package ml_dtypes, which is not installed: "
            'pip install "tinygrad-dnn[bfloat16]", or take float16.'
        ) from error
    found: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
    return found


def common_float(a: np.dtype[Any], b: np.dtype[Any]) -> np.dtype[Any]:
    """Return the floating-point dtype that holds the values of both; float32 for float16 and bfloat16.

    Example:
        >>> td.backend.element_types.common_float(np.dtype("float16"), np.dtype("float32")).name
        'float32'
    """
    if "V" in (a.kind, b.kind) and is_narrow(a) and is_narrow(b):
        return a if a == b else np.dtype(np.float32)
    common: np.dtype[Any] = np.result_type(a, b)
    return common
