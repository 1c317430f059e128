"""Arrays in and out by DLPack and by CUDA's array interface: which are shared, which are copied, which are refused.

PyTorch's and JAX's tensors are here where they are installed; what lies in a GPU's memory has a stand-in.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn.backend.base import CUDA, memory_of
from tinygrad_dnn.tensor import as_tensor


class Foreign:
    """An array of another library in the host's memory, which says what it was asked."""

    def __init__(self, array: np.ndarray, place: tuple[int, int] = (1, 0)) -> None:
        self.array, self.place = array, place
        self.asked: list[dict[str, Any]] = []

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.place

    def __dlpack__(self, **options: Any) -> Any:
        self.asked.append(options)
        return self.array.__dlpack__(**options)


class OnCuda(Foreign):
    """An array of another library in a GPU's memory."""

    def __init__(self) -> None:
        super().__init__(np.ones(2), (CUDA[0], 0))


class WithInterface:
    """An array such as Numba's, which knows no DLPack."""

    def __init__(self) -> None:
        self.__cuda_array_interface__ = {"shape": (2,), "typestr": "<f4", "data": (0, False), "version": 3}


@pytest.fixture(autouse=True)
def _at_home() -> Iterator[None]:
    with td.backend.use("numpy"):
        yield


# -- in ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "int64", "uint8", "bool"])
def test_host_arrays_come_in(dtype: str) -> None:
    source = np.arange(6).reshape(2, 3).astype(dtype)
    for array in (source, source.T, source[:, ::2], source[:0]):
        copied, shared = td.tensor(Foreign(array)), td.from_dlpack(Foreign(array))
        for x in (copied, shared):
            assert (x.dtype, x.shape, x.requires_grad) == (array.dtype, array.shape, False)
            np.testing.assert_array_equal(x.numpy(), array)
        assert not np.shares_memory(copied.data, source)
        assert np.shares_memory(shared.data, source) == bool(array.size)


def test_a_copy_is_safe_from_its_source_and_a_share_follows_it() -> None:
    source = np.zeros(3, np.float32)
    copied, shared = td.tensor(Foreign(source)), td.from_dlpack(Foreign(source))
    source[1] = 5.0
    assert (copied.tolist(), shared.tolist()) == ([0, 0, 0], [0, 5, 0])
    updated = td.Variable(Foreign(source), trainable=True)
    td.optimizers.SGD(1.0).apply([td.ones((3,))], [updated])
    assert source.tolist() == [0, 5, 0]
    assert updated.tolist() == [-1, 4, -1]


@pytest.mark.parametrize("jit", ["auto", True])
@pytest.mark.parametrize("writeable", [True, False])
def test_a_weight_that_shares_is_trained_beside_its_source(jit: Any, writeable: bool) -> None:
    """Programs write new weights over old ones, but not over what is another library's."""
    source = np.ones((2, 1), np.float32)
    source.flags.writeable = writeable
    model = td.Sequential([td.Input(shape=(2,)), td.layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=jit)
    x, y = np.ones((80, 2), np.float32), np.zeros((80, 1), np.float32)
    for _ in range(2):
        model.layers[0].kernel.assign(td.from_dlpack(Foreign(source) if writeable else source))
        model.fit(x, y, batch_size=4, verbose=0)
        assert (source == 1).all()
        assert (model.layers[0].kernel.numpy() < 1).all()


def test_elsewhere_a_share_is_brought_over(backend: str) -> None:
    with td.backend.use(backend):
        x = td.from_dlpack(Foreign(np.arange(3)))
        assert (x.backend.name, x.tolist()) == (backend, [0, 1, 2])


def test_operands_and_dtypes() -> None:
    wide = Foreign(np.ones(2))
    assert (td.ones((2,)) * as_tensor(wide)).dtype == np.float64, "arrays keep their dtype, as NumPy's do"
    assert td.tensor(wide, dtype="float32").dtype == np.float32
    assert td.tensor(wide, requires_grad=True).requires_grad


@pytest.mark.parametrize("foreign", [OnCuda(), WithInterface()], ids=["dlpack", "interface"])
@pytest.mark.parametrize("take", [td.tensor, td.from_dlpack, as_tensor, lambda x: td.Variable(x)])
def test_a_gpus_array_is_refused_on_the_host(backend: str, take: Any, foreign: Any) -> None:
    message = (
        rf"^a .*{type(foreign).__name__} lies in a GPU's memory, which backend '{backend}' does not reach: choose "
        r"td\.backend\.use\('cupy'\), or bring it to the host first, as PyTorch's \.cpu\(\) does$"
    )
    with td.backend.use(backend), pytest.raises(TypeError, match=message):
        take(foreign)


def test_layers_take_several() -> None:
    add = td.layers.Add()
    assert add([Foreign(np.ones((2, 3))), Foreign(np.ones((2, 3)))]).tolist() == [[2.0] * 3] * 2
    with pytest.raises(TypeError, match=rf"^layer {add.name!r}: a .*OnCuda lies in a GPU's memory"):
        add([OnCuda(), OnCuda()])


def test_fit_refuses_it_likewise() -> None:
    model = td.Sequential([td.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(TypeError, match=r"OnCuda lies in a GPU's memory"):
        model.fit(OnCuda(), np.ones(2), verbose=0)


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        ([1.0], r"from_dlpack: list \[1.0\] has no __dlpack__: bring it to the host, and take td\.tensor\.$"),
        (Foreign(np.ones(1), (4, 0)), "lies neither in the host's memory nor in a CUDA device's"),
        (np.ones(1, complex), "a Tensor holds floats, integers or booleans"),
    ],
)
def test_what_is_no_such_array_is_refused(thing: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        td.from_dlpack(thing)


def test_where_an_array_lies() -> None:
    places = [memory_of(Foreign(np.ones(1), (n, 0))) for n in (1, 3, 2, 13, 4, 10)]
    assert places == ["host", "host", "cuda", "cuda", "elsewhere", "elsewhere"]
    assert [memory_of(x) for x in (WithInterface(), 1.0, None, [1], Foreign)] == ["cuda", None, None, None, None]


# -- out ---------------------------------------------------------------------------------------------------------------


def test_it_goes_out_for_reading() -> None:
    x = td.tensor([1.0, 2.0])
    taken = np.from_dlpack(x)
    assert np.shares_memory(taken, x.data)
    assert not taken.flags.writeable
    assert x.data.flags.writeable
    assert x.__dlpack_device__() == (1, 0)
    assert np.from_dlpack(x, copy=True).flags.writeable
    x.__dlpack__()  # a library that knows no version gets it too
    back = td.from_dlpack(x)
    assert np.shares_memory(back.data, x.data)


def test_with_a_gradient_it_stays() -> None:
    x = td.tensor([1.0], requires_grad=True)
    with pytest.raises(BufferError, match=r"requires a gradient is not given away: give x\.detach\(\)"):
        np.from_dlpack(x)
    assert np.from_dlpack(x.detach()).tolist() == [1.0]


def test_only_a_gpus_tensor_has_cudas_interface() -> None:
    for where in ("numpy", "strict"):
        assert not hasattr(td.tensor([1.0]).to(where), "__cuda_array_interface__")
    x = td.tensor([1.0])
    x.data = WithInterface()
    assert x.__cuda_array_interface__["typestr"] == "<f4"
    x._requires_grad = True
    with pytest.raises(AttributeError, match=r"take x\.detach"):
        x.__cuda_array_interface__  # noqa: B018


def test_the_double_gives_nothing_away() -> None:
    x = td.tensor([1.0]).to("strict")
    for give in (x.__dlpack_device__, x.__dlpack__, lambda: np.from_dlpack(x)):
        with pytest.raises(BufferError, match="strict double has no device whose memory"):
            give()


def test_what_is_given_away_is_not_recorded() -> None:
    @td.jit
    def shared(x: Any) -> Any:
        return x + float(np.from_dlpack(x * 2.0)[0])

    with pytest.warns(UserWarning, match="the values of a Tensor are looked at"):
        results = [shared(td.tensor([n])).tolist() for n in (1.0, 2.0, 3.0, 4.0, 5.0)]
    assert results == [[3.0], [6.0], [9.0], [12.0], [15.0]]


# -- other libraries ---------------------------------------------------------------------------------------------------


def test_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    source = torch.arange(6.0, dtype=torch.float64).reshape(2, 3).T
    shared, copied = td.from_dlpack(source), td.tensor(source)
    source[0, 0] = 7.0
    assert (shared.dtype, shared.shape, shared.tolist()[0][0], copied.tolist()[0][0]) == (np.float64, (3, 2), 7.0, 0.0)
    assert torch.from_dlpack(shared).data_ptr() == source.data_ptr()
    assert td.tensor(torch.tensor([True])).dtype == np.bool_
    with pytest.raises(BufferError, match="detach"):
        td.from_dlpack(source.clone().requires_grad_())
    with pytest.raises(TypeError, match="cannot be taken"):
        td.from_dlpack(torch.ones(1, dtype=torch.bfloat16))
    model = td.Sequential([td.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(torch.ones(4, 2), torch.ones(4, 1), verbose=0)
    assert model.predict(torch.ones(4, 2), verbose=0).shape == (4, 1)


def test_jax() -> None:
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    source = jax.numpy.arange(6.0).reshape(2, 3)
    shared = td.from_dlpack(source)
    assert shared.data.ctypes.data == source.unsafe_buffer_pointer()
    assert not shared.data.flags.writeable
    assert (shared * 2.0 + td.tensor(source)).tolist() == [[0, 3, 6], [9, 12, 15]]
    assert jax.numpy.from_dlpack(td.tensor([1.0, 2.0])).tolist() == [1.0, 2.0]


def test_neither_is_imported() -> None:
    code = "import sys, numpy as np, tinygrad_dnn as td; td.from_dlpack(np.ones(1)); print({'torch', 'jax', 'cupy'} & "
    done = subprocess.run([sys.executable, "-c", code + "{*sys.modules})"], text=True, capture_output=True, check=True)
    assert done.stdout.strip() == "set()"
