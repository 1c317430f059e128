"""A whole training beside NumPy's: on a GPU with -m gpu, and on the strict double, which shows that the tests work.

What single functions do is compared in test_strict*.py, on both likewise.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td

ROOT = Path(__file__).resolve().parents[2]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(256, 12)).astype("float32")
Y = RNG.integers(0, 4, 256)


@pytest.fixture(params=["strict", pytest.param("cupy", marks=pytest.mark.gpu)])
def there(request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of the backend that this thread uses, unless it cannot be used here."""
    try:
        chosen = td.backend.use(request.param)
    except RuntimeError as error:
        pytest.skip(str(error))
    with chosen:
        yield request.param


def network(optimizer: Any = "adam") -> Any:
    td.random.set_seed(11)
    layers = td.layers
    model = td.Sequential([
        td.Input(shape=(12,)), layers.Dense(16, activation="elu"), layers.BatchNormalization(), layers.Dropout(0.3),
        layers.Dense(16, activation="gelu", kernel_regularizer="l2"), layers.GaussianNoise(0.05),
        layers.Dense(4, activation="softmax"),
    ])  # fmt: skip
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def trained(optimizer: Any = "adam", epochs: int = 3, **options: Any) -> tuple[Any, list[float]]:
    model = network(optimizer)
    td.random.set_seed(12)
    return model, model.fit(X, Y, epochs=epochs, verbose=0, **options).history["loss"]


@pytest.mark.parametrize("jit", ["auto", False], ids=["replayed", "eager"])
@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adam", "nadam", "adamw", "adafactor", "lion"])
def test_a_training_is_numpys_within_rounding(there: str, optimizer: str, jit: Any) -> None:
    def run() -> tuple[list[float], np.ndarray]:
        model = network(optimizer)
        model._jit_compile = jit
        td.random.set_seed(12)
        losses: list[float] = model.fit(X, Y, epochs=3, verbose=0).history["loss"]
        return losses, model.predict(X, verbose=0)

    losses, outputs = run()
    with td.backend.use("numpy"):
        expected, of_numpy = run()
    # Lion moves by the sign alone: what rounds to another sign moves a weight by the whole rate.
    np.testing.assert_allclose(losses, expected, rtol=2e-3 if optimizer == "lion" else 1e-4)
    np.testing.assert_allclose(outputs, of_numpy, atol=2e-2 if optimizer == "lion" else 1e-3)


def test_weights_masks_and_noise_are_numpys_to_the_bit(there: str) -> None:
    def drawn() -> list[np.ndarray]:
        model = network()
        td.random.set_seed(5)
        stream = td.random.SeedGenerator(3, stream=2)
        dropped = td.layers.Dropout(0.5, seed=7)
        return [
            *model.get_weights(),
            *(stream.uniform((n, 3), dtype=dtype).numpy() for n in (0, 1, 5, 1000) for dtype in ("float16", "float64")),
            stream.uniform((100_003,)).numpy(),
            *(dropped(np.ones((7, 5), np.float32), training=True).numpy() for _ in range(3)),
            td.random.generator().permutation(10),
        ]

    here = drawn()
    with td.backend.use("numpy"):
        for a, b in zip(here, drawn(), strict=True):
            assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


def test_the_same_training_twice_gives_the_same_bits(there: str) -> None:
    (first, losses), (second, again) = trained(), trained()
    assert losses == again
    assert all(a.tobytes() == b.tobytes() for a, b in zip(first.get_weights(), second.get_weights(), strict=True))


def test_what_is_gathered_gives_numpys_gradient_to_the_bit(there: str) -> None:
    def gradient() -> np.ndarray:
        table = td.Variable(np.zeros((7, 5), np.float32), trainable=True)
        rows = np.random.default_rng(1).integers(0, 7, 4000)
        weights = td.tensor(np.random.default_rng(2).normal(size=(4000, 5)).astype("float32"))
        (table[rows] * weights).sum().backward()
        assert table.grad is not None
        return table.grad.numpy()

    first, second = gradient(), gradient()
    with td.backend.use("numpy"):
        assert first.tobytes() == second.tobytes() == gradient().tobytes()


def test_memory_does_not_grow(there: str) -> None:
    model, _ = trained()
    used = []
    for _ in range(4):
        model.fit(X, Y, epochs=2, verbose=0)
        model.evaluate(X, Y, verbose=0)
        model.predict(X, verbose=0)
        gc.collect()
        td.backend.current().synchronize()
        memory = td.backend.memory()
        assert memory.used is not None
        assert memory.held is not None
        assert memory.used <= memory.held
        used.append((memory.used, memory.held))
    assert used[1:] == [used[1]] * 3
    del model
    gc.collect()
    td.backend.free_memory()
    after = td.backend.memory()
    assert after.used is not None
    assert after.used < used[-1][0]
    assert after.held is not None
    assert after.held <= used[-1][1]


def test_a_training_moves_there_and_back(there: str) -> None:
    with td.backend.use("numpy"):
        model, _ = trained()
        before = {k: v.numpy().tobytes() for k, v in td.saving.state.weights(model).items()}
    model.to(there)
    assert {k: v.numpy().tobytes() for k, v in td.saving.state.weights(model).items()} == before
    losses = model.fit(X, Y, epochs=2, verbose=0, shuffle=False).history["loss"]
    with td.backend.use("numpy"):
        stays, _ = trained()
        expected = stays.fit(X, Y, epochs=2, verbose=0, shuffle=False).history["loss"]
        np.testing.assert_allclose(losses, expected, rtol=1e-4)
        model.to("numpy").fit(X, Y, epochs=1, verbose=0)
    assert int(model.optimizer.iterations) == 6 * 8


def test_a_file_written_there_is_read_anywhere(there: str, tmp_path: Path) -> None:
    model, _ = trained()
    model.save(tmp_path / "model.safetensors")
    for place in (there, "numpy"):
        with td.backend.use(place):
            loaded = td.models.load_model(tmp_path / "model.safetensors")
            assert {w.backend.name for w in loaded.weights} == {place}
            for a, b in zip(loaded.get_weights(), model.get_weights(), strict=True):
                assert a.tobytes() == b.tobytes()
            loaded.fit(X, Y, epochs=1, verbose=0)


def test_an_interrupted_training_goes_on_to_the_same_bits(there: str, tmp_path: Path) -> None:
    def run(epochs: int, backup: bool) -> Any:
        callbacks = [td.callbacks.BackupAndRestore(tmp_path / "backup", delete_checkpoint=False)] if backup else []
        return trained(epochs=epochs, callbacks=callbacks)[0]

    whole = run(4, backup=False)
    run(2, backup=True)
    resumed = run(4, backup=True)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True))


def test_what_is_brought_over_may_be_written_on_at_once(there: str) -> None:
    source = np.zeros(1 << 20, np.float32)
    brought = []
    for n in range(5):
        source[:] = n
        brought.append(td.tensor(source))
        late = td.backend.current().send(source)
        source[:] = -1
        assert float(td.tensor(late()).sum()) == n * source.size
    assert [float(x.sum()) for x in brought] == [n * source.size for n in range(5)]


def test_remainders_are_numpys(there: str) -> None:
    x, y = (a.astype("float32") for a in np.meshgrid([1, -1, 0.1, 7, -7.5, 1e6, np.inf], [0.1, 3, -3, np.inf, -np.inf]))
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(td.remainder(x, td.tensor(y)).numpy(), np.remainder(x, y))
        np.testing.assert_array_equal(td.floor_divide(td.tensor(x), y).numpy(), np.floor_divide(x, y))
        np.testing.assert_array_equal((td.tensor(x) % 0.1).numpy(), x % np.float32(0.1))
    np.testing.assert_array_equal((td.tensor([7, -7]) % 3).numpy(), [1, 2])


@pytest.mark.gpu
@pytest.mark.parametrize("tests", ["tests/ops", "tests/layers", "tests/losses tests/metrics tests/optimizers"])
def test_the_packages_tests_pass_on_cupy(tests: str) -> None:
    if (reason := td.backend.available()["cupy"]) is not None:
        pytest.skip(reason)
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-m", "not heavy and not gpu", *tests.split()]
    environment = os.environ | {"TINYGRAD_DNN_BACKEND": "cupy"}
    done = subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]


# -- other libraries on the same card ----------------------------------------------------------------------------------


@pytest.fixture
def on_cupy() -> Iterator[None]:
    try:
        chosen = td.backend.use("cupy")
    except RuntimeError as error:
        pytest.skip(str(error))
    with chosen:
        yield


@pytest.mark.gpu
@pytest.mark.usefixtures("on_cupy")
def test_pytorchs_tensors_come_and_go_without_a_copy() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    if not torch.cuda.is_available():
        pytest.skip("PyTorch sees no GPU")
    source = torch.arange(6.0, device="cuda").reshape(2, 3)
    shared, copied = td.from_dlpack(source), td.tensor(source)
    assert shared.data.data.ptr == source.data_ptr()
    assert torch.from_dlpack(shared).data_ptr() == source.data_ptr()
    assert torch.as_tensor(shared, device="cuda").data_ptr() == source.data_ptr()
    source += 1
    assert (shared.tolist()[0][0], copied.tolist()[0][0]) == (1.0, 0.0)
    with td.backend.use("numpy"), pytest.raises(TypeError, match="lies in a GPU's memory"):
        td.tensor(source)
    model, _ = trained(epochs=1)
    given = torch.from_numpy(X).cuda()
    np.testing.assert_allclose(model.predict(given, verbose=0), model.predict(X, verbose=0), rtol=1e-6)
    model.fit(given, torch.from_numpy(Y).cuda(), verbose=0)


@pytest.mark.gpu
@pytest.mark.usefixtures("on_cupy")
def test_what_pytorch_computes_on_another_stream_is_waited_for() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    if not torch.cuda.is_available():
        pytest.skip("PyTorch sees no GPU")
    stream = torch.cuda.Stream()
    for n in range(20):
        with torch.cuda.stream(stream):
            x = torch.zeros(1 << 22, device="cuda")
            for _ in range(50):
                x = x + 1
            shared = td.from_dlpack(x)
        assert float((shared * n).max()) == 50.0 * n


@pytest.mark.gpu
@pytest.mark.usefixtures("on_cupy")
def test_jaxs_arrays_come_and_go_without_a_copy() -> None:
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    if jax.default_backend() != "gpu":
        pytest.skip("JAX sees no GPU")
    source = jax.numpy.arange(6.0)
    shared = td.from_dlpack(source)
    assert shared.data.data.ptr == source.unsafe_buffer_pointer()
    assert jax.dlpack.from_dlpack(shared * 1.0).tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.gpu
@pytest.mark.usefixtures("on_cupy")
def test_what_others_keep_of_a_weight_is_not_written_over() -> None:
    cupy = pytest.importorskip("cupy")
    w = td.Variable(np.arange(6, dtype=np.float32))

    def step(x: td.Tensor) -> td.Tensor:
        w.assign(w + x)
        return td.sum(w)

    jitted, one = td.jit(step, native=True), td.tensor(1.0)
    views = [
        lambda x: x[1:], lambda x: cupy.lib.stride_tricks.as_strided(x, (5,), (4,)),
        lambda x: cupy.ndarray((5,), np.float32, x.data), lambda x: cupy.from_dlpack(x), lambda x: None,
    ]  # fmt: skip
    kept = []
    for number in range(30):
        assert jitted(one).item() == 15 + 6 * (number + 1)
        view = views[number % len(views)](w.data)
        if view is not None:
            kept.append((view, view.get()))
        del view
    for view, before in kept:
        np.testing.assert_array_equal(view.get(), before)


@pytest.mark.gpu
@pytest.mark.usefixtures("on_cupy")
def test_a_second_gpu() -> None:
    if td.backend.current().device_count() < 2:
        pytest.skip("there is one GPU")
    xp = td.backend.current()
    with td.backend.device(1):
        model, losses = trained()
        assert xp.device_of(model.weights[0].data) == 1
    model.to("cupy:0")
    assert xp.device_of(model.weights[0].data) == 0
    assert losses == trained()[1]
