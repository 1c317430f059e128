"""Probes of arrays: products, reductions and draws inside a capture, what a launch costs, how exact float32 is."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import tinygrad_dnn as td
from tests.gpu_check.card import Card, differing
from tests.gpu_check.figures import Figure
from tinygrad_dnn.backend.base import philox_uniform

# Of products in float32; TF32 has errors of some 3e-4.
ERROR = 1e-5

# -- 1: products on an own handle, captured ----------------------------------------------------------------------------


class _Multiplied(NamedTuple):
    """A product to be captured: rows, inner length, columns, whether x and y lie transposed, how many, and the type."""

    rows: int
    inner: int
    columns: int
    transposed: tuple[bool, bool] = (False, False)
    count: int = 1
    dtype: str = "float32"


def _products(card: Card) -> list[_Multiplied]:
    """Return the exercise's products, forward and both backward, a wide one, a stack, a narrow one, one in float64."""
    return [
        _Multiplied(32, card.inputs, 100),
        _Multiplied(32, 10, 100, (False, True)),
        _Multiplied(card.inputs, 32, 100, (True, False)),
        _Multiplied(card.large, card.large, card.large),
        _Multiplied(32, 100, 100, count=7),
        _Multiplied(1, 100, 1),
        _Multiplied(33, 65, 17, (True, True), dtype="float64"),
    ]


def products_in_a_capture(card: Card) -> Iterator[Figure]:
    """Capture products on cuBLAS's own handle, launch them often on changing numbers, and compare every result."""
    xp, device = card.xp, card.device
    rng = np.random.default_rng(0)
    worst, wrong, launched = 0.0, 0, 0
    for each in _products(card):
        x_shape = (each.inner, each.rows) if each.transposed[0] else (each.rows, each.inner)
        y_shape = (each.columns, each.inner) if each.transposed[1] else (each.inner, each.columns)
        hosts = [rng.standard_normal((each.count, *shape)).astype(each.dtype) for shape in (x_shape, y_shape, x_shape)]
        x, y, other = map(xp.from_host, hosts)
        z = xp.from_host(np.full((each.count, each.rows, each.columns), np.nan, each.dtype))
        nothing = xp.from_host(np.full((each.count, each.rows, each.columns), np.nan, each.dtype))

        def multiply(x: Any = x, y: Any = y, z: Any = z, each: _Multiplied = each) -> None:
            lengths = each.rows, each.columns, each.inner
            leading = x.shape[-1], y.shape[-1], each.columns
            distances = tuple(int(np.prod(array.shape[1:])) for array in (x, y, z))
            device.product(
                np.dtype(each.dtype), tuple(map(device.address, (x, y, z))), each.transposed, lengths, leading,
                each.count, distances,
            )  # fmt: skip

        multiply()  # what is captured has been done before
        graph = device.capture(multiply)
        first = None
        # The first numbers often, then others in the same place: the graph must read what is there now.
        for host, times in ((hosts[0], card.launches), (hosts[2], 3)):
            if host is hosts[2]:
                device.copy(x, other)
                first = None
            left, right = (
                np.swapaxes(a, 1, 2) if flag else a for a, flag in zip((host, hosts[1]), each.transposed, strict=True)
            )
            expected = np.matmul(left.astype(np.float64), right.astype(np.float64))
            for _ in range(times):
                device.copy(z, nothing)
                graph.launch()
                found = xp.to_host(z)
                first = found if first is None else first
                wrong += found.tobytes() != first.tobytes()
                launched += 1
            error = float(np.linalg.norm(first - expected) / np.linalg.norm(expected))
            worst = max(worst, error if np.isfinite(error) else np.inf)
    yield Figure("error relative to float64, by the norm", worst, most=ERROR)
    yield Figure(f"launches that differ, of {launched:,}", wrong, most=0)


# -- 3 and 4: reductions and random numbers ----------------------------------------------------------------------------


def reductions_and_draws_in_a_capture(card: Card) -> Iterator[Figure]:
    """Capture CuPy's reductions, which may be CUB's, and our random numbers; compare launches with eager calls."""
    xp, device = card.xp, card.device
    rng = np.random.default_rng(0)
    shape = (33, card.large)
    x, other = (xp.from_host(rng.standard_normal(shape, dtype=np.float32)) for _ in range(2))
    before, wrong, kinds = xp.to_host(x), [], 0
    for name in ("sum", "max", "min", "argmax"):
        for axis in (None, 0, 1):
            kinds += 1
            reduce = functools.partial(getattr(xp, name), axis=axis)
            device.copy(x, xp.from_host(before))
            target = reduce(x)
            graph = device.capture(lambda reduce=reduce, target=target: device.call(reduce, (x,), target))
            for numbers in (x, other):
                expected = xp.to_host(reduce(numbers))
                device.copy(x, numbers)
                for _ in range(3):
                    graph.launch()
                    if xp.to_host(target).tobytes() != expected.tobytes():
                        wrong.append(f"{name}, axis {axis}")
    yield Figure(f"reductions that differ, of {kinds}", ", ".join(dict.fromkeys(wrong)) or "none", equal="none")
    wrong_draws = 0
    for dtype in (np.dtype(np.float32), np.dtype(np.float64)):
        state = xp.from_host(np.array([1, 2, 3]))
        draw = functools.partial(xp.uniform, shape=(1001,), dtype=dtype)
        target = draw(state)
        graph = device.capture(lambda draw=draw, state=state, target=target: device.call(draw, (state,), target))
        for words in ([1, 2, 3], [1, 2, 4], [-5, 2**62, 0]):
            device.copy(state, xp.from_host(np.array(words)))
            graph.launch()
            wrong_draws += int((xp.to_host(target) != philox_uniform(np.array(words), (1001,), dtype)).sum())
    yield Figure("random numbers that differ from NumPy's", wrong_draws, most=0)


def random_bits(card: Card) -> Iterator[Figure]:
    """Draw with many states and lengths, and masks inside of a compiled function; compare bit for bit with NumPy."""
    xp = card.xp
    wrong = drawn = 0
    for words in ([0, 0, 0], [42, 7, 2**40], [-1, 2**63 - 1, -5]):
        for length in (1, 7, 256, 1000 * card.large + 3):
            for dtype in (np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64)):
                state = np.array(words, np.int64)
                found = xp.to_host(xp.uniform(xp.from_host(state), (length,), dtype))
                wrong += int((found != philox_uniform(state, (length,), dtype)).sum())
                drawn += length
    yield Figure(f"numbers that differ, of {drawn:,}", wrong, most=0)
    masks = [_masks(backend, compiled) for backend, compiled in (("numpy", False), (card.backend, True))]
    yield Figure("places of dropout masks that differ, in a compiled function", differing(*masks), most=0)


def _masks(backend: str, compiled: bool) -> list[np.ndarray]:
    """Return what dropout makes of ones, six times; with a compiled function the last ones are replayed."""
    with td.backend.use(backend):
        td.random.set_seed(11)
        layer = td.layers.Dropout(0.3)

        def drop(x: Any) -> Any:
            return layer(x, training=True)

        run = td.jit(drop, native=True) if compiled else drop
        ones = td.ones((64, 1001))
        return [run(ones).numpy() for _ in range(6)]


# -- 5: the cost of a launch -------------------------------------------------------------------------------------------


def cost_of_a_launch(card: Card) -> Iterator[Figure]:
    """Tell what the processor spends until a call returns: on CuPy's functions, our products, graphs, and Tensors."""
    xp, device = card.xp, card.device
    with td.backend.use(card.backend):
        x, square = td.ones((1000,)), td.ones((100, 100))
        array, flat = square.data, x.data
        out = xp.empty((100, 100), np.float32)
        addresses = tuple(map(device.address, (array, array, out)))
        lengths = (100, 100, 100)

        def product() -> None:
            device.product(np.dtype(np.float32), addresses, (False, False), lengths, lengths)

        product()
        graph = device.capture(product)
        calls: dict[str, Callable[[], Any]] = {
            "exp of 1,000 numbers": lambda: xp.exp(flat),
            "sum of 1,000 numbers": lambda: xp.sum(flat),
            "product of 100 x 100, CuPy's": lambda: xp.matmul(array, array),
            "product of 100 x 100, own handle": product,
            "launch of a graph": graph.launch,
            "td.exp": lambda: td.exp(x),
            "td.sum": lambda: td.sum(x),
            "td.matmul": lambda: td.matmul(square, square),
        }
        for name, call in calls.items():
            yield Figure(name, _host_microseconds(card, call), "µs")


def _host_microseconds(card: Card, call: Callable[[], Any]) -> float:
    """Return the median over rounds; so few calls a round that no queue fills up, which would make the host wait."""
    count = min(200, card.launches)
    found = []
    for _ in range(6):
        card.xp.synchronize()
        started = time.perf_counter()
        for _ in range(count):
            call()
        found.append((time.perf_counter() - started) / count * 1e6)
    card.xp.synchronize()
    return statistics.median(found[1:])  # the first round loads what later ones find


# -- 7: exactness ------------------------------------------------------------------------------------------------------


def float32_error(card: Card) -> Iterator[Figure]:
    """Compute in float32, eagerly and compiled, and compare with float64 on the host."""
    rng = np.random.default_rng(0)
    numbers = [rng.standard_normal((card.large, card.large), dtype=np.float32) for _ in range(2)]
    functions: dict[str, Callable[..., Any]] = {
        "matmul": td.matmul,
        "exp": lambda x, y: td.exp(x),
        "tanh": lambda x, y: td.tanh(x),
        "log": lambda x, y: td.log(td.exp(x) + 1),
        "erf": lambda x, y: td.erf(x),
        "sum over rows": lambda x, y: td.sum(x * y, axis=1),
        "mean over columns": lambda x, y: td.mean(x * y + 1, axis=0),
        "softmax": lambda x, y: td.activations.softmax(x),
    }
    for name, function in functions.items():
        with td.backend.use("numpy"):
            expected = function(*(td.tensor(each, dtype="float64") for each in numbers)).numpy()
        worst = 0.0
        with td.backend.use(card.backend):
            x, y = map(td.tensor, numbers)
            compiled = td.jit(function, native=True)
            for run in (function, compiled, compiled):
                error = float(np.linalg.norm(run(x, y).numpy() - expected) / np.linalg.norm(expected))
                worst = max(worst, error if np.isfinite(error) else np.inf)
        yield Figure(f"{name}, error relative to float64, by the norm", worst, most=ERROR)
