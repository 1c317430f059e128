"""Programs run on a device: what is launched, captured and copied, and what becomes of Tensors that others know of."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.jit.comparing import TOLERANCE, assert_close
from tests.jit.cuda.device import EmulatedDevice, emulated
from tests.jit.cuda.emulator import COMPILER, REASON, compile_all
from tests.jit.random_programs import RandomFunction
from tinygrad_dnn.backend.strict import StrictBackend
from tinygrad_dnn.graph import Primitive
from tinygrad_dnn.jit.cuda.launches import Call, Launch
from tinygrad_dnn.jit.cuda.lowering import lower_groups, prepare
from tinygrad_dnn.jit.cuda.run import Run, lower
from tinygrad_dnn.jit.memory import plan
from tinygrad_dnn.jit.program import Program
from tinygrad_dnn.tensor import apply

pytestmark = pytest.mark.skipif(COMPILER is None, reason=REASON)


@pytest.fixture
def device() -> Iterator[EmulatedDevice]:
    with emulated() as device, td.no_grad():
        yield device


def lowered(function: Callable[..., Any], *given: td.Tensor) -> Run:
    """Return a function, of a list of Tensors, as a program that is run on the device."""
    program = td.jit.simplify(td.jit.record(function, given).program)
    return lower(program, td.backend.current())


def run(program: Run, *given: td.Tensor) -> list[np.ndarray]:
    return [td.backend.current().to_host(array) for array in program([tensor.data for tensor in given])]


def test_the_first_run_is_launched_and_the_second_captured(device: EmulatedDevice) -> None:
    x = td.tensor([1.0, 2.0])
    program = lowered(lambda x: [td.exp(x[0]) * 2], x)
    assert program.described == "to be captured as one graph"
    for number in range(4):
        given = td.tensor([float(number), 1.0])
        np.testing.assert_allclose(run(program, given)[0], np.exp(given.numpy()) * 2, rtol=1e-6)
        assert (device.done["launch"], device.done["graph"]) == (1, number)
    assert program.described == "run as one graph"


def test_outputs_are_new_arrays(device: EmulatedDevice) -> None:
    def f(x: Any) -> Any:
        y = x[0] + 1
        return [y, y[1:], x[0].T, td.sum(y), td.reshape(x[0] * 2, (-1,))]

    x = td.tensor(np.arange(6, dtype=np.float32).reshape(2, 3))
    program = lowered(f, x)
    seen = []
    for number in range(4):
        given = td.tensor(x.numpy() * (number + 1))
        arrays = program([given.data])
        g = given.numpy()
        seen.append((arrays, [g + 1, g[1:] + 1, g.T, np.sum(g + 1), np.ravel(g * 2)]))
    for arrays, expected in seen:
        for array, right in zip(arrays, expected, strict=True):
            assert array.flags.c_contiguous
            np.testing.assert_array_equal(td.backend.current().to_host(array), right)


def test_long_outputs_are_new_arrays_too(device: EmulatedDevice) -> None:
    x = td.tensor(np.arange(5000, dtype=np.float32))
    program = lowered(lambda x: [td.sum(x[0]), x[0] * 2, x[0][::-1]], x)
    first = program([x.data])
    for _ in range(3):
        program([td.zeros_like(x).data])
    total, twice, turned = (td.backend.current().to_host(array) for array in first)
    assert total == x.numpy().sum(dtype=np.float64)
    np.testing.assert_array_equal(twice, x.numpy() * 2)
    np.testing.assert_array_equal(turned, x.numpy()[::-1])


@pytest.mark.parametrize("order", ["F", "C"])
def test_inputs_may_lie_as_they_like(device: EmulatedDevice, order: Any) -> None:
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    program = lowered(lambda x: [td.sum(x[0], axis=0)], td.tensor(x))
    for _ in range(3):
        given = td.backend.current().from_host(np.asarray(x, order=order))
        (array,) = program([given])
        np.testing.assert_array_equal(td.backend.current().to_host(array), x.sum(0))


# -- state -------------------------------------------------------------------------------------------------------------


def counting() -> tuple[td.Variable, Run]:
    """Return a Variable, and a program that adds a number given to it and returns twice what it was."""
    w = td.Variable([1.0, 2.0], name="w")

    def f(x: Any) -> Any:
        before = w * 2
        w.assign(w + x[0])
        return [before]

    return w, lowered(f, td.tensor(1.0))


def test_state_is_written_where_it_is(device: EmulatedDevice) -> None:
    w, program = counting()
    run(program, td.tensor(1.0))
    array = w.data
    place = device.address(array)
    del array
    for number in range(2, 5):
        assert run(program, td.tensor(1.0))[0].tolist() == [2.0 * number, 2.0 * number + 2]
        assert w.tolist() == [number + 1.0, number + 2.0]
        assert device.address(w.data) == place
    assert device.done["graph"] == 3


def test_what_is_assigned_in_between_counts_and_the_graph_stays(device: EmulatedDevice) -> None:
    w, program = counting()
    for _ in range(3):
        run(program, td.tensor(1.0))
    captured = device.done["launch"]
    for value in (10.0, 20.0, 30.0):
        w.assign([value, value])
        assert run(program, td.tensor(1.0))[0].tolist() == [2 * value] * 2
        assert w.tolist() == [value + 1] * 2
    assert device.done["launch"] == captured
    assert program.described == "run as one graph"


HOLD: dict[str, Callable[[Any], Any]] = {
    "its array": lambda w: w.data,
    "a view of its array": lambda w: w.data[1:],
    "a Tensor": lambda w: w.detach(),
    "a Tensor of a view": lambda w: w[1:].detach(),
}


@pytest.mark.parametrize("hold", HOLD.values(), ids=HOLD)
def test_what_somebody_holds_does_not_change(device: EmulatedDevice, hold: Callable[[Any], Any]) -> None:
    w, program = counting()
    for _ in range(3):
        run(program, td.tensor(1.0))
    held = hold(w)
    right = (w if held.shape == (2,) else w[1:]).tolist()
    for number in range(3):
        run(program, td.tensor(1.0))
        array = held.data if isinstance(held, td.Tensor) else held
        assert td.backend.current().to_host(array).tolist() == right
        assert w.tolist() == [5.0 + number, 6.0 + number]


def test_a_tensor_that_is_only_read_is_read_where_it_is_and_as_a_copy_once_it_has_moved(device: EmulatedDevice) -> None:
    rate = td.Variable([0.5, 0.25], name="rate")
    program = lowered(lambda x: [x[0] * rate], td.tensor(1.0))
    for _ in range(2):
        assert run(program, td.tensor(2.0))[0].tolist() == [1.0, 0.5]
    before = device.done["launch"]
    for number in range(1, 6):
        rate.assign([float(number), 0.0])
        held = rate.data  # which keeps memory from being the same again by chance
        assert run(program, td.tensor(2.0))[0].tolist() == [2.0 * number, 0.0]
        assert rate.data is held
    assert device.done["launch"] == before + 1  # for the first change alone
    assert program.described == "run as one graph"


def test_what_another_program_writes_in_place_is_read(device: EmulatedDevice) -> None:
    w, program = counting()
    reader = lowered(lambda x: [x[0] + w], td.tensor(0.0))
    for number in range(1, 6):
        run(program, td.tensor(1.0))
        assert run(reader, td.tensor(0.0))[0].tolist() == [number + 1.0, number + 2.0]


def test_two_programs_write_the_same_state_without_moving_it(device: EmulatedDevice) -> None:
    w = td.Variable([1.0, 2.0])

    def stepping(by: float) -> Run:
        def f(x: Any) -> Any:
            w.assign(w * by + x[0])
            return [td.sum(w)]

        return lowered(f, td.tensor(0.0))

    double, half = stepping(2.0), stepping(0.5)
    for _ in range(4):
        run(double, td.tensor(1.0))
        run(half, td.tensor(0.0))
    expected = np.array([1.0, 2.0])
    for _ in range(4):
        expected = (expected * 2 + 1) * 0.5
    assert w.tolist() == expected.tolist()
    assert double.described == half.described == "run as one graph"


def test_tensors_change_places(device: EmulatedDevice) -> None:
    a, b, c = td.Variable([1.0, 1.0]), td.Variable([2.0, 2.0]), td.Variable([3.0, 3.0])

    def f(x: Any) -> Any:
        old = a * 1.0, b.detach(), c.detach()
        a.assign(old[1])
        b.assign(old[2])
        c.assign(old[0])
        return [old[1] + x[0], old[2]]

    program = lowered(f, td.tensor(0.0))
    values = [1.0, 2.0, 3.0]
    for _ in range(5):
        found = run(program, td.tensor(0.5))
        assert [x.tolist() for x in found] == [[values[1] + 0.5] * 2, [values[2]] * 2]
        values = [*values[1:], values[0]]
        assert [x.tolist() for x in (a, b, c)] == [[v] * 2 for v in values]
    assert device.done["graph"] == 4


def test_two_tensors_may_share_an_array(device: EmulatedDevice) -> None:
    a = td.Variable([1.0, 2.0])
    b = td.Variable([0.0, 0.0])
    b.data = a.data

    def f(x: Any) -> Any:
        a.assign(a + x[0])
        b.assign(b * 2)
        return [td.sum(a)]

    program = lowered(f, td.tensor(0.0))
    for number in range(1, 4):
        run(program, td.tensor(1.0))
        assert a.tolist() == [1.0 + number, 2.0 + number]
        assert b.tolist() == [2.0**number, 2.0 ** (number + 1)]


def test_state_lasts_no_longer_than_its_tensors_and_programs(device: EmulatedDevice) -> None:
    strict = td.backend.get("strict")
    gc.collect()
    before = strict.memory().used
    w, program = counting()
    for _ in range(3):
        run(program, td.tensor(1.0))
    w.assign([7.0, 7.0])
    del program
    gc.collect()
    assert strict.memory().used == before + w.data.nbytes  # what was its home is nobody's any more
    del w
    gc.collect()
    assert strict.memory().used == before


def test_a_thousand_runs_take_no_more_memory_and_give_the_same_bits(device: EmulatedDevice) -> None:
    strict = td.backend.get("strict")
    assert isinstance(strict, StrictBackend)
    w = td.Variable(np.linspace(0.1, 1.0, 7).astype(np.float32))

    def f(x: Any) -> Any:
        y = td.tanh(x[0] * w)
        w.assign(w + td.sum(y) * 0.0)
        return [td.sum(y), y]

    x = td.tensor(np.linspace(-1, 1, 7).astype(np.float32))
    program = lowered(f, x)
    seen = set()
    for _ in range(3):
        program([x.data])
    gc.collect()
    before, waits, done = strict.memory().used, strict.host_syncs, dict(device.done)
    for _ in range(1000):
        arrays = program([x.data])
        seen.add(arrays[0]._data.tobytes() + arrays[1]._data.tobytes())
        del arrays
    assert len(seen) == 1
    assert strict.memory().used == before
    assert strict.host_syncs == waits
    # A run is one copy in, one launch of the graph, and one copy out.
    asked = {name: device.done[name] - count for name, count in done.items()}
    assert asked == {"launch": 0, "copy": 2000, "graph": 1000}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_random_programs_give_what_their_primitives_give(device: EmulatedDevice, dtype: str) -> None:
    functions = [RandomFunction(seed, 5 + seed % 30, dtype) for seed in range(1000, 1016)]
    programs = [td.jit.simplify(function.program()) for function in functions]
    compiled_at_once(programs)
    to_host = td.backend.current().to_host
    for function, program in zip(functions, programs, strict=True):
        given = [td.tensor(x).data for x in function.arrays]
        before = [x.numpy() for x in function.state]
        seen = []
        for call in (td.jit.Interpreted(program), lower(program, td.backend.current())):
            for x, value in zip(function.state, before, strict=True):
                x.assign(value)
            seen.append([[*map(to_host, call(given)), *(x.numpy() for x in function.state)] for _ in range(3)])
        for expected, found in zip(*seen, strict=True):
            for x, y in zip(found, expected, strict=True):
                assert_close(x, y, TOLERANCE[dtype])
    assert device.done["graph"] == 2 * len(programs)


def compiled_at_once(programs: Sequence[Program]) -> None:
    """Compile the kernels of programs together, which takes a fraction of the time."""
    kernels = []
    for program in programs:
        prepared = prepare(program)
        places = plan(program, prepared.lowered, prepared.groups)
        kernels += [x.kernel for x in lower_groups(prepared.groups, places.place) if isinstance(x, Launch)]
    compile_all(kernels)


# -- what goes wrong ---------------------------------------------------------------------------------------------------


def test_what_cannot_be_captured_is_launched_and_said_once(device: EmulatedDevice) -> None:
    w, program = counting()
    device.refuses = "a host copy in a capture"
    run(program, td.tensor(1.0))
    with pytest.warns(UserWarning, match=r"launch by launch, .* \(RuntimeError: a host copy in a capture\)\.") as said:
        run(program, td.tensor(1.0))
    assert len(said) == 1
    assert said[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number in range(3, 6):
            assert run(program, td.tensor(1.0))[0].tolist() == [2.0 * number, 2.0 * number + 2]
    assert w.tolist() == [6.0, 7.0]
    assert program.described == (
        "run one by one, since they cannot be captured as a graph (RuntimeError: a host copy in a capture)"
    )


def test_what_fails_at_first_is_interpreted_and_nothing_is_lost(device: EmulatedDevice) -> None:
    w, program = counting()
    device.fails = RuntimeError("no such kernel for this card")
    with pytest.warns(UserWarning, match=r"primitive by primitive \(RuntimeError: no such kernel for this card\)\."):
        assert run(program, td.tensor(1.0))[0].tolist() == [2.0, 4.0]
    assert w.tolist() == [2.0, 3.0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run(program, td.tensor(1.0))[0].tolist() == [4.0, 6.0]
    assert device.done["graph"] == 0
    assert program.described == "run primitive by primitive, since that failed"


def test_a_kernel_that_fails_after_others_have_written_leaves_tensors_as_they_were(
    device: EmulatedDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    w, program = counting()

    def waited(device: EmulatedDevice) -> None:  # all has been written by then
        raise RuntimeError("the driver is gone")

    monkeypatch.setattr(EmulatedDevice, "synchronize", waited)
    with pytest.warns(UserWarning, match="the driver is gone"):
        assert run(program, td.tensor(1.0))[0].tolist() == [2.0, 4.0]
    assert w.tolist() == [2.0, 3.0]


def test_an_interrupted_first_run_leaves_tensors_as_they_were_and_is_made_again(
    device: EmulatedDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    w, program = counting()
    interrupts = [KeyboardInterrupt()]

    def waited(device: EmulatedDevice) -> None:  # all has been done by then
        if interrupts:
            raise interrupts.pop()

    monkeypatch.setattr(EmulatedDevice, "synchronize", waited)
    with pytest.raises(KeyboardInterrupt):
        run(program, td.tensor(1.0))
    assert w.tolist() == [1.0, 2.0]
    for number in range(1, 4):
        assert run(program, td.tensor(1.0))[0].tolist() == [2.0 * number, 2.0 * number + 2]
    assert program.described == "run as one graph"


def test_a_jitted_function_whose_kernels_cannot_be_compiled_is_interpreted(
    device: EmulatedDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(self: Any, kernels: Any) -> Any:
        raise RuntimeError("the kernel f cannot be compiled: no nvrtc")

    monkeypatch.setattr(EmulatedDevice, "load", load)
    jitted = td.jit(lambda x: x * 2 + 1, native=True)
    with pytest.warns(UserWarning, match=r"primitive by primitive \(RuntimeError: the kernel f cannot be compiled: no"):
        assert jitted(td.ones(2)).tolist() == [3.0, 3.0]
    assert "run primitive by primitive" in jitted.explain()


def test_an_array_of_another_kind_is_refused_before_anything_is_done(device: EmulatedDevice) -> None:
    w, program = counting()
    run(program, td.tensor(1.0))
    with pytest.raises(ValueError, match=r"recorded for float32\[\], and was given float32\[1\]\."):
        program([td.ones(1).data])
    with pytest.raises(ValueError, match=r"recorded for float32\[\], and was given float64\[\]\."):
        program([td.tensor(1.0, dtype="float64").data])
    with pytest.raises(ValueError, match="arrays of backend 'strict', and was given one of type ndarray: bring"):
        program([np.ones((), np.float32)])
    kept, w.data = w.data, td.ones(3).data
    with pytest.raises(ValueError, match=r"recorded for float32\[2\], and was given by w float32\[3\]\."):
        program([td.tensor(1.0).data])
    w.data = kept
    del kept
    run(program, td.tensor(1.0))
    assert w.tolist() == [3.0, 4.0]


def test_another_device_gets_memory_of_its_own(device: EmulatedDevice) -> None:
    w, program = counting()
    for _ in range(3):
        run(program, td.tensor(1.0))
    other = EmulatedDevice(1)
    StrictBackend.device = other  # type: ignore[assignment]
    for number in range(4, 7):
        assert run(program, td.tensor(1.0))[0].tolist() == [2.0 * number, 2.0 * number + 2]
    StrictBackend.device = device  # type: ignore[assignment]
    assert run(program, td.tensor(1.0))[0].tolist() == [14.0, 16.0]
    assert w.tolist() == [8.0, 9.0]
    assert other.done["graph"] == 2


# -- calls -------------------------------------------------------------------------------------------------------------


LARGEST = Primitive("largest", lambda xp, x: xp.argmax(x, axis=-1))
WAITING = Primitive("waiting", lambda xp, x: x * xp.sum(x).item())


def test_a_primitive_without_a_kernel_is_called_in_the_graph(device: EmulatedDevice) -> None:
    w = td.Variable(np.arange(6, dtype=np.float32).reshape(2, 3))

    def f(x: Any) -> Any:
        found = apply(LARGEST, (w * x[0],))
        w.assign(w + 1)
        return [found, td.sum(w[:, 0] * found)]

    x = td.tensor(np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.0]], np.float32))
    program = lowered(f, x)
    assert [step.operation.name for step in program.steps if isinstance(step, Call)] == ["largest"]
    state = w.numpy()
    for number in range(4):
        expected = np.argmax((state + number) * x.numpy(), axis=1)
        found, total = run(program, x)
        assert found.tolist() == expected.tolist()
        np.testing.assert_allclose(total, np.sum(expected * (state + number + 1)[:, 0]), rtol=1e-6)
    assert device.done["call"] == 1
    assert device.done["graph"] == 3


def test_a_primitive_that_waits_for_the_device_is_called_outside_of_a_graph(device: EmulatedDevice) -> None:
    program = lowered(lambda x: [apply(WAITING, (x[0],)) + 1], td.ones(2))
    run(program, td.ones(2))
    with pytest.warns(UserWarning, match=r"launch by launch.*item\(\) waits for the device"):
        assert run(program, td.ones(2))[0].tolist() == [3.0, 3.0]
    assert run(program, td.tensor([1.0, 2.0]))[0].tolist() == [4.0, 7.0]
    assert device.done["graph"] == 0


def test_products_of_half_precision_and_convolutions_are_in_the_graph(device: EmulatedDevice) -> None:
    generator = np.random.default_rng(0)
    sizes = (2, 5, 5, 3), (3, 3, 3, 4), (4, 6)
    images, kernel, matrix = (generator.normal(size=size).astype(np.float32) for size in sizes)
    k, m = td.tensor(kernel), td.tensor(matrix)

    def f(x: Any) -> Any:
        y = td.ops.window.conv(x[0], k)
        return [td.matmul(td.cast(y, "float16"), td.cast(m, "float16"))]

    eager = f([td.tensor(images)])[0].numpy()
    program = lowered(f, td.tensor(images))
    for _ in range(3):
        np.testing.assert_allclose(run(program, td.tensor(images))[0], eager, rtol=2e-3, atol=2e-2)
    assert device.done["graph"] == 2


def test_explain_tells_of_launches(device: EmulatedDevice) -> None:
    w = td.Variable(np.ones((3, 4), np.float32), name="w")
    jitted = td.jit(lambda x: td.sum(td.exp(x @ w), axis=1).detach(), native=True)
    x = td.ones((2, 3))
    for _ in range(2):
        jitted(x)
    told = jitted.explain()
    assert "run on a device: 1 launch of 1 kernel, 1 product; run as one graph" in told
    assert "product [2, 3] @ [3, 4], float32" in told
    assert "kernel 1, 1 block of 256 threads" in told
    assert "only read: 1 array of 48 bytes: w" in told
