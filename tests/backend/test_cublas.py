"""cuBLAS as it is called: without a GPU, by a stand-in that goes by columns, and by cuBLAS's own header where it is."""

from __future__ import annotations

import ctypes
import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_dnn.backend import cublas
from tinygrad_dnn.backend.cublas import FUNCTIONS, KINDS, WORKSPACE_BYTES, Cublas

# -- the header --------------------------------------------------------------------------------------------------------


def _header(name: str) -> str:
    """Return the text of a header from NVIDIA's wheels, or from a CUDA that is installed."""
    found = importlib.util.find_spec("nvidia")
    places = [Path(place) for place in (found.submodule_search_locations or ())] if found else []
    files = [file for place in places for file in sorted(place.glob(f"*/include/{name}"))]
    files += sorted(Path("/usr/local").glob(f"cuda*/include/{name}"))
    if not files:
        pytest.skip(f"{name} is not here: it comes with the wheels nvidia-cublas-cu12 and nvidia-cuda-runtime-cu12")
    return re.sub(r"/\*.*?\*/|//[^\n]*", " ", files[0].read_text(encoding="utf-8", errors="replace"), flags=re.DOTALL)


TYPES = {
    "int64_t": ctypes.c_int64, "long long int": ctypes.c_longlong, "size_t": ctypes.c_size_t,
    "cublasHandle_t": ctypes.c_void_p, "cublasHandle_t*": ctypes.POINTER(ctypes.c_void_p),
    "cudaStream_t": ctypes.c_void_p, "void*": ctypes.c_void_p, "const void*": ctypes.c_void_p,
}  # fmt: skip
ENUMS = {"cublasOperation_t", "cudaDataType", "cublasComputeType_t", "cublasGemmAlgo_t", "cublasMath_t",
         "cublasAtomicsMode_t"}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_have_the_arguments_of_the_header(name: str) -> None:
    found = re.search(rf"cublasStatus_t\s+CUBLASWINAPI\s+{name}\s*\(([^)]*)\)\s*;", _header("cublas_api.h"))
    assert found is not None
    types = []
    for argument in found[1].split(","):
        words = re.fullmatch(r"\s*(.*?)\s*\w+\s*", argument, re.DOTALL)
        assert words is not None
        kind = re.sub(r"\s+", " ", words[1]).replace(" *", "*")
        types.append(ctypes.c_int if kind in ENUMS else TYPES[kind])
    assert tuple(types) == FUNCTIONS[name]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CUBLAS_STATUS_SUCCESS", cublas.SUCCESS), ("CUBLAS_OP_N", cublas.OP_N), ("CUBLAS_OP_T", cublas.OP_T),
        ("CUBLAS_GEMM_DEFAULT", cublas.GEMM_DEFAULT), ("CUBLAS_DEFAULT_MATH", cublas.DEFAULT_MATH),
        ("CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION", cublas.DISALLOW_REDUCED_PRECISION_REDUCTION),
        ("CUBLAS_ATOMICS_NOT_ALLOWED", cublas.ATOMICS_NOT_ALLOWED), ("CUBLAS_COMPUTE_32F", cublas.COMPUTE_32F),
        ("CUBLAS_COMPUTE_64F", cublas.COMPUTE_64F), ("CUBLAS_COMPUTE_32F_FAST_TF32", cublas.COMPUTE_32F_FAST_TF32),
    ],
)  # fmt: skip
def test_numbers_are_those_of_the_header(name: str, value: int) -> None:
    found = re.search(rf"\b{name}\s*=\s*(-?\d+)", _header("cublas_api.h"))
    assert found is not None
    assert int(found[1]) == value


@pytest.mark.parametrize(
    ("name", "kind"), [("CUDA_R_32F", "float32"), ("CUDA_R_64F", "float64"), ("CUDA_R_16F", "float16"),
                       ("CUDA_R_16BF", "bfloat16")],
)  # fmt: skip
def test_types_are_those_of_the_header(name: str, kind: str) -> None:
    found = re.search(rf"\b{name}\s*=\s*(\d+)", _header("library_types.h"))
    assert found is not None
    assert int(found[1]) == KINDS[kind].data


# -- a stand-in --------------------------------------------------------------------------------------------------------

DTYPES = {kind.data: np.dtype(name) for name, kind in KINDS.items() if name != "bfloat16"}


def _matrix(address: int, kind: int, rows: int, columns: int, leading: int) -> np.ndarray:
    """Return the matrix of so many rows and columns that lies column by column at an address."""
    dtype = DTYPES[kind]
    length = ((columns - 1) * leading + rows) * dtype.itemsize
    memory = np.frombuffer((ctypes.c_char * length).from_address(address), np.uint8)
    return np.ndarray((rows, columns), dtype, memory, 0, (dtype.itemsize, leading * dtype.itemsize))


class Function:
    """A function as ctypes has it, with its types set before it is called."""

    def __init__(self, library: Library, name: str) -> None:
        self.argtypes: tuple[Any, ...] = ()
        self.restype: Any = None
        self._library, self._name = library, name

    def __call__(self, *arguments: Any) -> Any:
        assert len(arguments) == len(self.argtypes)
        for kind, argument in zip(self.argtypes, arguments, strict=True):
            kind.from_param(argument)  # as ctypes would do
        return self._library.called(self._name, arguments)


class Library:
    """cuBLAS, computed on the host as its documentation says: by columns."""

    def __init__(self, version_status: int = 0) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.status = version_status
        self._functions: dict[str, Function] = {}

    def __getattr__(self, name: str) -> Function:
        assert name in {*FUNCTIONS, "cublasGetStatusString"}
        return self._functions.setdefault(name, Function(self, name))

    def called(self, name: str, arguments: tuple[Any, ...]) -> Any:
        if name == "cublasGetStatusString":
            return b"no reason at all"
        self.calls.append((name, arguments))
        if name == "cublasGemmEx_64":
            _, a_is, b_is, m, n, k, one, a, a_kind, lda, b, b_kind, ldb, zero, c, c_kind, ldc, compute, _ = arguments
            self._multiply(a_is, b_is, m, n, k, one, a, a_kind, lda, b, b_kind, ldb, zero, c, c_kind, ldc, compute)
        elif name == "cublasGemmStridedBatchedEx_64":
            (_, a_is, b_is, m, n, k, one, a, a_kind, lda, a_far, b, b_kind, ldb, b_far, zero, c, c_kind, ldc, c_far,
             count, compute, _) = arguments  # fmt: skip
            size = DTYPES[a_kind].itemsize
            for i in range(count):
                x, y, z = a + i * a_far * size, b + i * b_far * size, c + i * c_far * size
                self._multiply(a_is, b_is, m, n, k, one, x, a_kind, lda, y, b_kind, ldb, zero, z, c_kind, ldc, compute)
        return self.status

    def _multiply(
        self, a_is: int, b_is: int, m: int, n: int, k: int, one: Any, a: int, a_kind: int, lda: int,
        b: int, b_kind: int, ldb: int, zero: Any, c: int, c_kind: int, ldc: int, compute: int,
    ) -> None:  # fmt: skip
        wide = np.float64 if compute == cublas.COMPUTE_64F else np.float32
        factor = ctypes.c_double if wide is np.float64 else ctypes.c_float
        assert (type(one._obj), one._obj.value) == (factor, 1.0)
        assert (type(zero._obj), zero._obj.value) == (factor, 0.0)
        x = _matrix(a, a_kind, m, k, lda) if a_is == cublas.OP_N else _matrix(a, a_kind, k, m, lda).T
        y = _matrix(b, b_kind, k, n, ldb) if b_is == cublas.OP_N else _matrix(b, b_kind, n, k, ldb).T
        assert lda >= (m if a_is == cublas.OP_N else k)
        assert ldb >= (k if b_is == cublas.OP_N else n)
        assert ldc >= m
        _matrix(c, c_kind, m, n, ldc)[:] = x.astype(wide) @ y.astype(wide)


def _address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


def _empty(nbytes: int) -> np.ndarray:
    return np.empty(nbytes, np.uint8)


@pytest.fixture
def library() -> Library:
    return Library()


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("transposed", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("count", [1, 3])
def test_products_go_by_rows(library: Library, dtype: str, transposed: tuple[bool, bool], count: int) -> None:
    rows, columns, inner = 3, 4, 5
    generator = np.random.default_rng(0)
    shapes = [(inner, rows) if transposed[0] else (rows, inner)]
    shapes.append((columns, inner) if transposed[1] else (inner, columns))
    # Each matrix is a part of a larger one, so that its rows lie further apart than they are long.
    x, y = (generator.normal(size=(count, n + 1, m + 2)).astype(dtype) for n, m in shapes)
    z = np.full((count, rows + 2, columns + 3), 7, dtype)
    size = x.itemsize
    leading = [a.shape[2] for a in (x, y, z)]
    places = [_address(a) + (a.shape[2] + 1) * size for a in (x, y, z)]  # begin at row 1, column 1
    Cublas(library, _empty, _address).product(
        5, np.dtype(dtype), (places[0], places[1], places[2]), transposed, (rows, columns, inner),
        (leading[0], leading[1], leading[2]), count, (x[0].size, y[0].size, z[0].size),
    )  # fmt: skip
    left, right = (a[:, 1 : 1 + n, 1 : 1 + m].astype(np.float64) for a, (n, m) in zip((x, y), shapes, strict=True))
    expected = (left.swapaxes(1, 2) if transposed[0] else left) @ (right.swapaxes(1, 2) if transposed[1] else right)
    got = z[:, 1 : 1 + rows, 1 : 1 + columns]
    np.testing.assert_allclose(got, expected, rtol={2: 1e-3, 4: 1e-5, 8: 1e-13}[size], atol={2: 1e-2}.get(size, 1e-5))
    got[:] = 7
    assert (z == 7).all()  # nothing around it was written
    assert library.calls[-1][0] == ("cublasGemmEx_64" if count == 1 else "cublasGemmStridedBatchedEx_64")


def _multiply(product: Cublas, stream: int, dtype: str = "float32") -> None:
    x = np.ones((2, 2), dtype)
    product.product(stream, x.dtype, (_address(x),) * 3, (False, False), (2, 2, 2), (2, 2, 2), 1, (0, 0, 0))


def test_the_workspace_is_set_after_each_change_of_the_stream(library: Library) -> None:
    made: list[np.ndarray] = []

    def empty(nbytes: int) -> np.ndarray:
        made.append(_empty(nbytes))
        return made[-1]

    product = Cublas(library, empty, _address)
    assert [name for name, _ in library.calls] == ["cublasCreate_v2", "cublasSetMathMode", "cublasSetAtomicsMode"]
    library.calls.clear()
    for stream in (0, 0, 9, 9, 0):
        _multiply(product, stream)
    names = [name.removeprefix("cublas").split("_")[0] for name, _ in library.calls]
    first = ["SetStream", "SetWorkspace", "GemmEx"]
    assert names == [*first, "GemmEx", *first, "GemmEx", *first]
    assert [arguments[1] for name, arguments in library.calls if name == "cublasSetStream_v2"] == [0, 9, 0]
    (workspace,) = made
    assert {arguments[1:] for name, arguments in library.calls if name == "cublasSetWorkspace_v2"} == {
        (_address(workspace), WORKSPACE_BYTES)
    }
    assert workspace.nbytes == WORKSPACE_BYTES


@pytest.mark.parametrize(
    ("dtype", "tf32", "compute"),
    [("float32", False, 68), ("float32", True, 77), ("float64", True, 70), ("float16", True, 68)],
)
def test_tf32_is_off_unless_asked_for(library: Library, dtype: str, tf32: bool, compute: int) -> None:
    _multiply(Cublas(library, _empty, _address, tf32), 0, dtype)
    name, arguments = library.calls[-1]
    assert name == "cublasGemmEx_64"
    assert arguments[-2] == compute
    math_mode = next(arguments[1] for name, arguments in library.calls if name == "cublasSetMathMode")
    assert math_mode == cublas.DEFAULT_MATH | cublas.DISALLOW_REDUCED_PRECISION_REDUCTION


def test_a_status_becomes_an_error_with_the_librarys_words(library: Library) -> None:
    product = Cublas(library, _empty, _address)
    library.status = 15
    with pytest.raises(RuntimeError, match=r"cuBLAS: cublasSetStream_v2\(3\) gave status 15, no reason at all\."):
        _multiply(product, 3)
    library.status = 0
    library.calls.clear()
    _multiply(product, 3)  # a stream that was not taken is set again
    assert library.calls[0][0] == "cublasSetStream_v2"


def test_a_handle_that_is_not_given_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="cublasCreate_v2"):
        Cublas(Library(1), _empty, _address)


def test_other_types_are_refused_by_name(library: Library) -> None:
    with pytest.raises(TypeError, match="float32, float64, float16, bfloat16, not int32"):
        _multiply(Cublas(library, _empty, _address), 0, "int32")
