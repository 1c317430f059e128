"""cuBLAS on a handle of our own: CuPy's does not let a matrix product into the capture of a CUDA graph."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tinygrad_dnn.backend.devices import Array

# -- what cublas_api.h and library_types.h say -------------------------------------------------------------------------

HANDLE = ADDRESS = STREAM = ctypes.c_void_p
ENUM = ctypes.c_int

# The variants with lengths of 64 bits: ctypes would cut a longer number for the others without a word.
_SIZES = (HANDLE, ENUM, ENUM, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
_MATRIX = (ADDRESS, ENUM, ctypes.c_int64)
_STACK = (*_MATRIX, ctypes.c_longlong)
FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "cublasCreate_v2": (ctypes.POINTER(HANDLE),),
    "cublasSetStream_v2": (HANDLE, STREAM),
    "cublasSetWorkspace_v2": (HANDLE, ADDRESS, ctypes.c_size_t),
    "cublasSetMathMode": (HANDLE, ENUM),
    "cublasSetAtomicsMode": (HANDLE, ENUM),
    "cublasGemmEx_64": (*_SIZES, ADDRESS, *_MATRIX, *_MATRIX, ADDRESS, *_MATRIX, ENUM, ENUM),
    "cublasGemmStridedBatchedEx_64": (
        *_SIZES, ADDRESS, *_STACK, *_STACK, ADDRESS, *_STACK, ctypes.c_int64, ENUM, ENUM,
    ),
}  # fmt: skip
"""The functions that are used, with the types of their arguments; each returns a status."""

SUCCESS = 0
OP_N, OP_T = 0, 1
GEMM_DEFAULT = -1
ATOMICS_NOT_ALLOWED = 0
DEFAULT_MATH = 0
DISALLOW_REDUCED_PRECISION_REDUCTION = 16
COMPUTE_32F, COMPUTE_64F, COMPUTE_32F_FAST_TF32 = 68, 70, 77


class Kind(NamedTuple):
    """How cuBLAS is told the type of elements, what it computes in, and the type of the factors alpha and beta."""

    data: int
    compute: int
    factor: Any


KINDS: dict[str, Kind] = {
    "float32": Kind(0, COMPUTE_32F, ctypes.c_float),
    "float64": Kind(1, COMPUTE_64F, ctypes.c_double),
    "float16": Kind(2, COMPUTE_32F, ctypes.c_float),
    "bfloat16": Kind(14, COMPUTE_32F, ctypes.c_float),
}
"""Of each type of elements, by its name."""

# With a workspace of its own a handle allocates nothing in a capture, and gives the same bits each time. So much is
# what cuBLAS takes for itself on cards of compute capability 9; others need less.
WORKSPACE_BYTES = 32 * 2**20


class Cublas:
    """Matrix products by cuBLAS, in row-major order, the same bits each time.

    Args:
        library: cuBLAS, or anything that has its functions as attributes and lets itself be called as by ctypes.
        empty: Returns new memory of so many bytes on the device that is current.
        address: Returns where that is.
        tf32: Whether float32 may be rounded to 10 bits of mantissa before it is multiplied, which is faster.

    Raises:
        RuntimeError: cuBLAS gives no handle.
    """

    def __init__(
        self, library: Any, empty: Callable[[int], Array], address: Callable[[Array], int], tf32: bool = False
    ) -> None:
        self._functions = {}
        for name, types in FUNCTIONS.items():
            function = self._functions[name] = getattr(library, name)
            function.argtypes, function.restype = types, ENUM
        self._words = library.cublasGetStatusString
        self._words.argtypes, self._words.restype = (ENUM,), ctypes.c_char_p
        kinds = KINDS | ({"float32": KINDS["float32"]._replace(compute=COMPUTE_32F_FAST_TF32)} if tf32 else {})
        self._kinds = {name: (kind, kind.factor(1), kind.factor(0)) for name, kind in kinds.items()}
        self._lock = threading.Lock()  # a handle is for one thread at a time
        self._stream: int | None = None
        self._handle = HANDLE()
        self._do("cublasCreate_v2", ctypes.byref(self._handle))
        self._do("cublasSetMathMode", self._handle, DEFAULT_MATH | DISALLOW_REDUCED_PRECISION_REDUCTION)
        self._do("cublasSetAtomicsMode", self._handle, ATOMICS_NOT_ALLOWED)
        self._workspace = empty(WORKSPACE_BYTES)
        self._workspace_address = address(self._workspace)

    def product(
        self, stream: int, dtype: np.dtype[Any], addresses: tuple[int, int, int], transposed: tuple[bool, bool],
        lengths: tuple[int, int, int], leading: tuple[int, int, int], count: int, distances: tuple[int, int, int],
    ) -> None:  # fmt: skip
        """Multiply as ``Device.product`` says, on a stream.

        cuBLAS goes by columns: what lies row by row is the transposed matrix to it, and z' = y' x'. So y comes first,
        and what lies transposed or not does so to both.

        Raises:
            RuntimeError: cuBLAS refuses.
            TypeError: It has no product of that type.
        """
        if dtype.name not in self._kinds:
            raise TypeError(f"cuBLAS multiplies {', '.join(self._kinds)}, not {dtype.name}: cast the matrices first.")
        kind, one, zero = self._kinds[dtype.name]
        data, compute = kind.data, kind.compute
        (x, y, z), (rows, columns, inner) = addresses, lengths
        (x_rows, y_rows, z_rows), (x_next, y_next, z_next) = leading, distances
        shape = OP_T if transposed[1] else OP_N, OP_T if transposed[0] else OP_N, columns, rows, inner
        one, zero = ctypes.byref(one), ctypes.byref(zero)
        with self._lock:
            self._follow(stream)
            if count == 1:
                self._do(
                    "cublasGemmEx_64", self._handle, *shape, one,
                    y, data, y_rows, x, data, x_rows, zero, z, data, z_rows, compute, GEMM_DEFAULT,
                )  # fmt: skip
            else:
                self._do(
                    "cublasGemmStridedBatchedEx_64", self._handle, *shape, one,
                    y, data, y_rows, y_next, x, data, x_rows, x_next, zero, z, data, z_rows, z_next,
                    count, compute, GEMM_DEFAULT,
                )  # fmt: skip

    def _follow(self, stream: int) -> None:
        if stream != self._stream:
            self._stream = None  # until both calls are through
            self._do("cublasSetStream_v2", self._handle, stream)
            # To set a stream takes the workspace away.
            self._do("cublasSetWorkspace_v2", self._handle, self._workspace_address, WORKSPACE_BYTES)
            self._stream = stream

    def _do(self, name: str, *arguments: Any) -> None:
        status = self._functions[name](*arguments)
        if status != SUCCESS:
            words = self._words(status) or b"unknown"
            given = ", ".join(str(x) for x in arguments if type(x) is int)
            raise RuntimeError(f"cuBLAS: {name}({given}) gave status {status}, {words.decode()}.")
