"""The BLAS inside NumPy: where its functions are."""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path
from typing import Any

import numpy as np

# What NumPy's wheels call the function whose sizes are 64 bits wide.
_NAMES = ("scipy_cblas_{}gemm64_", "cblas_{}gemm64_")


@functools.cache
def gemm(kind: str) -> int | None:
    """Return the address of the product of matrices of "float" or "double", or None if NumPy's library is not known."""
    for loaded in _libraries():
        for name in _NAMES:
            function = getattr(loaded, name.format(kind[0].replace("f", "s")), None)
            if function is not None:
                return ctypes.cast(function, ctypes.c_void_p).value
    return None


@functools.cache
def thread_functions() -> tuple[Any, Any] | None:
    """Return what tells and what sets how many threads NumPy's library uses, or None if it is not known."""
    for loaded in _libraries():
        for prefix in ("scipy_openblas", "openblas"):
            functions = [getattr(loaded, f"{prefix}_{verb}_num_threads64_", None) for verb in ("get", "set")]
            if all(functions):
                return functions[0], functions[1]
    return None


def _libraries() -> list[ctypes.CDLL]:
    packages = Path(np.__file__).parent
    places = [packages.parent / "numpy.libs", packages / ".dylibs"]
    found = sorted(path for place in places if place.is_dir() for path in place.glob("*openblas*"))
    return [ctypes.CDLL(str(path)) for path in found]
