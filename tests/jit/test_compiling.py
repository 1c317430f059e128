"""Jitted functions: what is a program, what runs as it is, and that both do what the function does."""

from __future__ import annotations

import collections
import concurrent.futures
import copy
import functools
import gc
import inspect
import itertools
import random
import signal
import threading
import tracemalloc
import types
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest

import tinygrad_dnn as td


def is_program(jitted: Any) -> bool:
    return bool(jitted._entries) and all(entry.run is not None for entry in jitted._entries.values())


def returned(function: Callable[..., Any], *args: Any) -> list[str]:
    """Return what three calls of the jitted function warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            function(*args)
    return [str(warning.message) for warning in caught]


# -- what runs as it is -----------------------------------------------------------------------------------------------


def by_item(x: td.Tensor) -> td.Tensor:
    return x * x.sum().item()


def by_truth(x: td.Tensor) -> td.Tensor:
    return x * 2 if x.sum() > 0 else x * 3


def by_numpy(x: td.Tensor) -> td.Tensor:
    return x + x.numpy()


def by_float(x: td.Tensor) -> td.Tensor:
    return x + float(x[0])


def by_text(x: td.Tensor) -> td.Tensor:
    return x + len(f"{x[0]:.3f}")


def by_mask(x: td.Tensor) -> td.Tensor:
    return x[x > 0]


def by_copy(x: td.Tensor) -> td.Tensor:
    return x + td.tensor(x)


def caught_by_itself(x: td.Tensor) -> td.Tensor:
    try:
        return x * x.sum().item()
    except Exception:
        return x


LOOKING = [by_item, by_truth, by_numpy, by_float, by_text, by_mask, by_copy, caught_by_itself]


@pytest.mark.parametrize("function", LOOKING, ids=lambda f: f.__name__)
def test_a_function_that_looks_at_values_runs_as_it_is_and_says_where_once(
    function: Callable[[td.Tensor], td.Tensor], backend: str
) -> None:
    jitted = td.jit(function)
    (message,) = returned(jitted, td.tensor([1.0, -2.0, 3.0]))
    lines, first = inspect.getsourcelines(function)
    assert function.__name__ in message
    assert __file__ in message
    assert any(f"line {first + i}: {text.strip()}" in message for i, text in enumerate(lines))
    for values in ([1.0, -2.0, 3.0], [-1.0, -2.0, 1.0], [5.0, 1.0, 0.0]):
        assert (jitted(td.tensor(values)).numpy() == function(td.tensor(values)).numpy()).all()


def test_values_taken_past_tensors_are_noticed(backend: str) -> None:
    for function in (lambda x: x * float(td.backend.of(x.data).to_host(x.data).mean()), lambda x: x * float(w_of(x))):
        jitted = td.jit(function)
        (message,) = returned(jitted, td.tensor([1.0, 2.0]))
        assert "values taken out of Tensors" in message
        assert jitted(td.tensor([3.0, 5.0])).tolist() == [12.0, 20.0]


def w_of(x: td.Tensor) -> Any:
    return td.backend.of(x.data).to_host((x + 0.0).data).mean()


@pytest.mark.parametrize("dtype", ["int64", "int8", "uint8", "bool"])
@pytest.mark.parametrize("values", [[0], [1], [0, 1], [1, 1, 0], [0, 2], [0, 1, 2], [3, 0], [7]])
def test_no_integer_can_be_taken_past_a_tensor_without_notice(values: list[int], dtype: str, backend: str) -> None:
    for place in range(len(values)):
        jitted = td.jit(lambda x, k, at=place: x * float(td.backend.of(k.data).to_host(k.data)[at]))
        (message,) = returned(jitted, td.tensor([2.0]), td.tensor(values, dtype))
        assert "values taken out of Tensors" in message


@pytest.mark.parametrize("values", [[0, 1, 1], [1, 0], [0, 2, 1], [5, 0, 3]])
def test_indices_are_altered_within_their_range(values: list[int], backend: str) -> None:
    jitted = td.jit(lambda x, k: td.take(x, k, axis=0))
    rows = td.tensor(np.arange(2.0 * (max(values) + 1)).reshape(-1, 2), "float32")
    for order in (values, values[::-1]):
        np.testing.assert_array_equal(jitted(rows, td.tensor(order)).numpy(), rows.numpy()[order])


@pytest.mark.parametrize("reads_it_too", [False, True])
def test_values_of_state_taken_past_tensors_are_noticed(reads_it_too: bool, backend: str) -> None:
    w = td.Variable(2.0)

    def f(x: td.Tensor) -> td.Tensor:
        return x * float(w.backend.to_host(w.data)) + (w * 0 if reads_it_too else 0)

    jitted = td.jit(f)
    (message,) = returned(jitted, td.tensor([1.0, 2.0]))
    assert "values taken out of Tensors" in message
    w.assign(5.0)
    assert jitted(td.tensor([1.0, 2.0])).tolist() == [5.0, 10.0]


def test_a_copy_of_a_tensor_is_noticed() -> None:
    jitted = td.jit(lambda x: x + copy.deepcopy(x))
    assert len(returned(jitted, td.tensor([1.0, 2.0]))) == 1
    assert jitted(td.tensor([5.0, 6.0])).tolist() == [10.0, 12.0]


class Counter:
    """Counts in Python, and keeps what it saw."""

    def __init__(self) -> None:
        self.n = 0
        self.seen: list[Any] = []
        self.by_name: dict[str, Any] = {}

    def count(self, x: td.Tensor) -> td.Tensor:
        self.n += 1
        return x * self.n

    def append(self, x: td.Tensor) -> td.Tensor:
        self.seen.append(x * 2)
        return x

    def append_value(self, x: td.Tensor) -> td.Tensor:
        self.seen.append((x * 2).sum().item())
        return x

    def enter(self, x: td.Tensor) -> td.Tensor:
        self.by_name[str(len(self.by_name))] = x * 2
        return x


@pytest.mark.parametrize("method", ["count", "append", "append_value", "enter"])
def test_a_function_that_changes_what_python_holds_does_so_once_a_call(method: str) -> None:
    jitted, eager = Counter(), Counter()
    call = td.jit(getattr(jitted, method))
    with pytest.warns(UserWarning, match="which Python holds|looked at") as caught:
        results = [call(td.tensor([1.0])).tolist() for _ in range(7)]
    assert len(caught) == 1
    assert results == [getattr(eager, method)(td.tensor([1.0])).tolist() for _ in range(7)]
    assert jitted.n == eager.n
    assert repr(jitted.seen) == repr(eager.seen)
    assert repr(jitted.by_name) == repr(eager.by_name)


def test_a_function_that_does_something_else_at_first_does_so_once() -> None:
    class Lazy:
        built = False

        def __call__(self, x: td.Tensor) -> td.Tensor:
            if not self.built:
                self.built = True
                return x * 0
            return x * 2

    jitted = td.jit(Lazy())
    assert [jitted(td.tensor(1.0)).item() for _ in range(4)] == [0.0, 2.0, 2.0, 2.0]
    assert is_program(jitted)


def test_an_attribute_set_to_what_was_computed_is_set_at_each_call(backend: str) -> None:
    class Layer(td.Layer):
        def call(self, inputs: td.Tensor) -> td.Tensor:
            self.scores = td.exp(inputs)
            self.pair = [inputs * 2, (inputs * 3, {"a": inputs - 1})]
            return self.scores * 2

    layer = Layer()
    jitted = td.jit(layer)
    for values in ([1.0], [2.0], [0.0], [5.0]):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            out = jitted(td.tensor(values))
        assert (layer.scores.numpy() == np.exp(np.float32(values))).all()
        assert (out.numpy() == 2 * layer.scores.numpy()).all()
        assert layer.pair[1][1]["a"].item() == values[0] - 1
    assert is_program(jitted)


def test_an_attribute_that_carries_state_is_no_program() -> None:
    class Cell:
        h = td.tensor(0.0)

        def __call__(self, x: td.Tensor) -> td.Tensor:
            self.h = self.h + x
            return self.h

    jitted = td.jit(Cell())
    with pytest.warns(UserWarning, match=r"it changes Cell\.h, which Python holds"):
        assert [jitted(td.tensor(1.0)).item() for _ in range(5)] == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_randomness_that_python_holds_is_noticed_and_drawn_once_a_call() -> None:
    own, host = random.Random(1), np.random.default_rng(1)
    numbers = iter(range(100))
    draws: dict[str, Callable[[], float]] = {
        "random": random.random, "numpy": np.random.random, "own": own.random, "host": host.random,
    }  # fmt: skip
    for draw in draws.values():
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002  # what all share
        own.seed(0)
        host.bit_generator.state = np.random.default_rng(1).bit_generator.state
        expected = [draw() for _ in range(4)]
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002  # what all share
        own.seed(0)
        host.bit_generator.state = np.random.default_rng(1).bit_generator.state
        jitted = td.jit(lambda x, draw=draw: x * draw())
        with pytest.warns(UserWarning, match="runs operation by operation"):
            found = [jitted(td.tensor(1.0, "float64")).item() for _ in range(4)]
        assert found == expected
    jitted = td.jit(lambda x: x * next(numbers))
    with pytest.warns(UserWarning, match="something else each time"):
        found = [jitted(td.tensor(1.0)).item() for _ in range(3)]
    assert found[0] == 0
    assert found[1] < found[2]


def test_draws_without_a_seed_are_another_stream_each_time(backend: str) -> None:
    td.random.set_seed(4)
    expected = [td.random.uniform((3,)).tolist() for _ in range(4)]
    td.random.set_seed(4)
    jitted = td.jit(lambda: td.random.uniform((3,)))
    with pytest.warns(UserWarning, match="new stream of random numbers"):
        assert [jitted().tolist() for _ in range(4)] == expected


def test_draws_of_a_generator_and_of_a_seed_are_programs(backend: str) -> None:
    stream, twin = td.random.SeedGenerator(5), td.random.SeedGenerator(5)
    jitted = td.jit(lambda: (stream.normal((3,)), td.random.uniform((2,), seed=9)))
    for _ in range(4):
        drawn, fixed = jitted()
        assert drawn.tolist() == twin.normal((3,)).tolist()
        assert fixed.tolist() == td.random.uniform((2,), seed=9).tolist()
    assert is_program(jitted)
    assert stream.state.tolist() == twin.state.tolist()


@pytest.mark.parametrize("values", [[True, False], [0.5, 0.5], [0, 0], [-1, -1], [5, 0], [float("nan")], [3.0, 0.0]])
def test_values_read_past_tensors_are_noticed_whatever_they_are(values: list[Any]) -> None:
    jitted = td.jit(lambda x: td.tensor(np.asarray(x.data[-1:]) * 2.0))
    with td.backend.use("numpy"):
        given, other = td.tensor(values), td.tensor([type(values[0])(1)] * len(values))
        (message,) = returned(jitted, given)
        assert jitted(given).item() == pytest.approx(values[-1] * 2.0, nan_ok=True)
        assert jitted(other).item() == 2
    assert "taken out of Tensors, as by .data" in message


def test_what_another_thread_computes_is_not_recorded() -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        jitted = td.jit(lambda x: pool.submit(lambda: ~x).result())
        with pytest.warns(UserWarning, match="values taken out of Tensors"):
            assert [jitted(td.tensor([value])).item() for value in (True, True, False)] == [False, False, True]


# -- gradients --------------------------------------------------------------------------------------------------------


def test_backward_inside_is_honoured_or_refused_never_lost(backend: str) -> None:
    def leaves_gradients(w: td.Tensor, x: td.Tensor) -> None:
        (w * x).sum().backward()

    def uses_gradients(w: td.Tensor, x: td.Tensor) -> td.Tensor:
        loss = (w * x).sum()
        loss.backward()
        w.assign(w - w.grad)
        w.grad = None
        return loss

    twins = []
    for wrap in (td.jit, lambda f: f):
        w = td.Variable([1.0, 2.0], trainable=True)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call, x = wrap(leaves_gradients), td.tensor([1.0, 3.0])
            for _ in range(4):
                call(w, x)
        seen = [w.grad.tolist()]
        w.grad = None
        step = wrap(uses_gradients)
        seen += [step(w, td.tensor([0.5, i])).tolist() for i in range(4)]
        twins.append([*seen, w.tolist(), w.grad])
        if wrap is td.jit:
            assert is_program(step)
            assert not is_program(call)
            assert ["leaves gradients in .grad" in str(warning.message) for warning in caught] == [True]
    assert twins[0] == twins[1]


def test_a_gradient_of_an_argument_is_not_lost() -> None:
    jitted = td.jit(lambda x: (x * 2).sum().backward())
    x = td.tensor([1.0, 2.0], requires_grad=True)
    with pytest.warns(UserWarning, match=r"in \.grad"):
        jitted(x)
    jitted(x)
    assert x.grad.tolist() == [4.0, 4.0]


def test_outputs_that_gradients_flow_to_keep_their_history() -> None:
    w = td.Variable(3.0, trainable=True)
    jitted = td.jit(lambda x: w * x)
    with pytest.warns(UserWarning, match="gradients flow to"):
        assert td.grad(jitted(td.tensor(2.0)), w).item() == 2.0
    assert td.grad(jitted(td.tensor(2.0)), w).item() == 2.0
    with td.no_grad():
        assert jitted(td.tensor(4.0)).item() == 12.0
    x = td.tensor(2.0, requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert td.grad(td.jit(lambda x: x * x)(x), x).item() == 4.0


@pytest.mark.parametrize("order", [1, 2, 3])
def test_gradients_of_any_order_are_programs(order: int, backend: str) -> None:
    def f(x: td.Tensor) -> td.Tensor:
        return td.sum(td.exp(x) * x**3)

    g = f
    for _ in range(order):
        g = functools.partial(lambda h, x: td.sum(td.grad(h)(x)), g)
    jitted = td.jit(lambda x: (g(x), td.grad(g)(x), td.value_and_grad(g)(x)))
    for seed in range(3):
        x = td.tensor(np.random.default_rng(seed).normal(size=4))
        eager = (g(x), td.grad(g)(x), td.value_and_grad(g)(x))
        found = jitted(x)
        for a, b in zip(td.nested.leaves(found), td.nested.leaves(eager), strict=True):
            assert a.numpy().tobytes() == b.numpy().tobytes()
    assert is_program(jitted)


def test_a_gradient_inside_a_gradient_keeps_its_history() -> None:
    cube = td.jit(td.grad(lambda x: x**3))
    x = td.tensor(2.0, requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(3):
            assert cube(x).item() == 12.0
            assert td.grad(lambda x: cube(x) * 1.0)(2.0).item() == 12.0
            assert td.grad(lambda x: cube(x * 1.0))(2.0).item() == 12.0
            y = x * 1.0
            assert td.grad(cube(y), x).item() == 12.0


def test_losses_that_layers_add_are_those_of_the_last_call(backend: str) -> None:
    models = []
    for _ in range(2):
        td.random.set_seed(1)
        model = td.Sequential([td.layers.Dense(4, activity_regularizer="l2"), td.layers.Dense(1)])
        model.compile("sgd", "mse", jit_compile=False)
        model.build((None, 2))
        models.append(model)
    jitted = td.jit(models[0].train_step)
    for k in range(4):
        batch = td.ones((3, 2)) * float(k), td.ones((3, 1))
        jitted(batch)
        models[1].train_step(batch)
        assert [x.item() for x in models[0].losses] == [x.item() for x in models[1].losses]
    assert is_program(jitted)


def test_integers_taken_past_tensors_are_noticed() -> None:
    jitted = td.jit(lambda y: td.one_hot(y, int(td.backend.of(y.data).to_host(y.data).max()) + 1))
    (message,) = returned(jitted, td.tensor([0, 1, 5]))
    assert "values taken out of Tensors" in message
    assert jitted(td.tensor([0, 1, 2])).shape == (3, 3)


def test_probabilities_remember_their_logits_in_and_out() -> None:
    logits = td.tensor([[100.0, 0.0, -200.0]])
    loss = td.losses.SparseCategoricalCrossentropy()
    y = td.tensor([2])
    expected = loss(y, td.activations.softmax(logits)).item()
    assert expected > 250  # from the probability alone it would be 16
    assert td.jit(loss)(y, td.activations.softmax(logits)).item() == expected
    assert loss(y, td.jit(td.activations.softmax)(logits)).item() == expected


# -- arguments and results --------------------------------------------------------------------------------------------


class Pair(NamedTuple):
    a: Any
    b: Any


def test_containers_of_all_kinds_go_in_and_come_out(backend: str) -> None:
    def f(pair: Any, *, table: Any = None, flag: bool = True, none: None = None) -> Any:
        x, (y, z) = pair
        rest = [td.multiply(z, 2), (x, None, "text", 3, 2.5)]
        return {"sum": x + y, "rest": rest, "pair": Pair(x - y, table["t"] * 2)}

    jitted = td.jit(f)
    for k in (1.0, 2.0):
        given = [td.tensor([k]), (td.tensor([2.0 * k]), np.array([3.0], np.float32))]
        table = {"t": td.tensor(k)}
        found, eager = jitted(given, table=table), f(given, table=table)
        assert type(found["pair"]) is Pair
        assert repr(found) == repr(eager)
        assert found["rest"][1][0] is given[0]
    assert is_program(jitted)


def test_a_list_that_is_changed_is_changed_once_a_call() -> None:
    def f(x: td.Tensor, out: list[Any]) -> td.Tensor:
        out.append(x * 2)
        return x

    jitted, out = td.jit(f), []
    with pytest.warns(UserWarning, match="changes"):
        jitted(td.tensor(0.0), out)
    for i in (1.0, 2.0, 3.0):
        jitted(td.tensor(i), out)
    assert [t.item() for t in out] == [0.0, 2.0, 4.0, 6.0]


def test_an_argument_that_is_assigned_to_is_changed(backend: str) -> None:
    def f(x: td.Tensor, y: td.Tensor) -> td.Tensor:
        x += y
        x.assign(x * 2)
        return x + y

    jitted = td.jit(f)
    x, y = td.tensor([1.0, 2.0]), td.tensor([1.0, 1.0])
    twin = td.tensor([1.0, 2.0])
    for _ in range(3):
        assert jitted(x, y).tolist() == f(twin, y).tolist()
        assert x.tolist() == twin.tolist()
    assert is_program(jitted)
    both = td.tensor([1.0])
    same = td.tensor([1.0])
    for _ in range(3):
        assert jitted(both, both).tolist() == f(same, same).tolist()
    assert both.tolist() == same.tolist()


def test_an_argument_that_is_state_too_is_one_tensor(backend: str) -> None:
    seen = []
    for wrap in (td.jit, lambda f: f):
        state = td.tensor([1.0, 2.0])
        call = wrap(functools.partial(_both, state))
        found = [call(td.tensor([1.0, 1.0])).tolist()]
        found += [call(state).tolist() for _ in range(3)]
        seen.append([found, state.tolist()])
    assert seen[0] == seen[1]


def _both(state: td.Tensor, x: td.Tensor) -> td.Tensor:
    state.assign(state + 1)
    return x * 10 + state


def test_a_variable_given_is_state_of_its_own(backend: str) -> None:
    optimizer, twin = td.optimizers.Adam(0.1), td.optimizers.Adam(0.1)

    def step(optimizer: Any, w: td.Variable, x: td.Tensor) -> td.Tensor:
        loss, slope = td.value_and_grad(lambda w: ((w - x) ** 2).sum())(w)
        optimizer.apply([slope], [w])
        return loss

    jitted = td.jit(step)
    weights = [td.Variable([1.0, 2.0]), td.Variable([5.0, 2.0])]
    twins = [td.Variable([1.0, 2.0]), td.Variable([5.0, 2.0])]
    for i in range(4):
        for w, v in zip(weights, twins, strict=True):
            x = td.tensor([float(i), 1.0])
            assert jitted(optimizer, w, x).tolist() == step(twin, v, x).tolist()
    assert [w.tolist() for w in weights] == [w.tolist() for w in twins]
    assert is_program(jitted)


def test_arrays_that_are_used_as_numpy_uses_them_run_as_they_are() -> None:
    w = td.Variable([1.0, 2.0])
    for f in (lambda x: w * x.astype(np.float32).sum(), lambda x: w * x.sum(), lambda x: w * np.mean(x)):
        jitted = td.jit(f)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for k in (1.0, 2.0, 3.0):
                found, eager = jitted(np.full(3, k)), f(np.full(3, k))
                assert found.dtype == eager.dtype
                assert found.tolist() == eager.tolist()


def test_generators_and_other_objects_that_are_returned_are_new_each_time() -> None:
    def numbers(x: td.Tensor) -> Iterator[td.Tensor]:
        yield x
        yield x * 2

    jitted = td.jit(numbers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(6):
            assert [t.item() for t in jitted(td.tensor(2.0))] == [2.0, 4.0]
    jitted = td.jit(lambda x: types.SimpleNamespace(value=x * 2))
    with pytest.warns(UserWarning, match="something else"):
        assert [jitted(td.tensor(float(k))).value.item() for k in range(3)] == [0.0, 2.0, 4.0]


def test_constants_that_are_returned_are_new_each_time(backend: str) -> None:
    jitted = td.jit(lambda x: (td.zeros((2,)), x))
    for _ in range(3):
        zeros, _ = jitted(td.tensor(1.0))
        assert zeros.tolist() == [0.0, 0.0]
        zeros += 1


def test_one_value_returned_twice_is_two_tensors(backend: str) -> None:
    def f(x: td.Tensor) -> tuple[td.Tensor, td.Tensor]:
        y = x * 2
        return y, y

    a, b = td.jit(f)(td.tensor(1.0))
    a += 1
    assert (a.item(), b.item()) == (3.0, 2.0)


class Holder:
    def __init__(self) -> None:
        self.w = td.Variable([1.0, 2.0])

    @td.jit
    def method(self, x: td.Tensor) -> td.Tensor:
        return self.w * x

    @td.jit
    def step(self, x: td.Tensor) -> td.Tensor:
        self.w.assign(self.w + x)
        return self.method(x)


def test_methods_lambdas_partials_and_objects_are_functions(backend: str) -> None:
    holder = Holder()
    x = td.tensor([2.0, 3.0])
    for _ in range(3):
        assert holder.method(x).tolist() == [2.0, 6.0]
    assert "multiply" in holder.method.explain()
    assert holder.step(x).tolist() == [6.0, 15.0]
    assert holder.w.tolist() == [3.0, 5.0]
    assert holder.step(x).tolist() == [10.0, 24.0]
    for f in (functools.partial(td.add, 1.0), td.layers.Dense(1), td.activations.relu, td.losses.get("mse")):
        jitted = td.jit(f)
        given = (td.ones((2, 2)),) * (2 if f is td.losses.get("mse") else 1)
        with td.no_grad():
            assert jitted(*given).tolist() == f(*given).tolist()
            assert jitted(*given).tolist() == f(*given).tolist()


def test_a_jitted_function_inside_another_is_part_of_it(backend: str) -> None:
    inner = td.jit(lambda x: x * 2)
    outer = td.jit(lambda x: inner(x) + 1)
    for k in (1.0, 2.0, 3.0):
        assert outer(td.tensor(k)).item() == 2 * k + 1
        assert inner(td.tensor(k)).item() == 2 * k
    assert is_program(outer)
    assert is_program(inner)
    with pytest.warns(UserWarning, match="gradients flow to"):
        assert td.value_and_grad(inner)(3.0)[1].item() == 2.0


def test_numbers_have_programs_of_their_own_until_they_are_too_many() -> None:
    jitted = td.jit(lambda x, n: x * n)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for n in range(80):
            assert jitted(td.tensor(2.0), n).item() == 2.0 * n
    (warning,) = caught
    assert "64 kinds of arguments" in str(warning.message)
    assert len(jitted._entries) == 64


def test_a_kind_that_comes_often_takes_the_place_of_the_program_not_used_for_longest() -> None:
    jitted = td.jit(lambda x, n: x * n)
    for n in range(64):
        jitted(td.tensor(2.0), n)
    oldest, *others = jitted._entries
    jitted(td.tensor(2.0), 0)  # now the second is the oldest
    with pytest.warns(UserWarning, match="64 kinds of arguments"):
        found = [jitted(td.tensor(2.0), 99).item() for _ in range(64)]
    assert [*jitted._entries] == [oldest, *others]
    found += [jitted(td.tensor(2.0), 99).item() for _ in range(2)]
    assert found == [198.0] * 66
    added = [key for key in jitted._entries if key not in (oldest, *others)]
    assert [*jitted._entries] == [oldest, *others[1:], *added]
    assert jitted._entries[added[0]].calls == 2
    jitted(td.tensor(2.0), 1)  # the one that had to go
    assert [*jitted._entries] == [oldest, *others[1:], *added]


def test_programs_do_not_keep_more_memory_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    jitted = td.jit(lambda x: td.sum(td.exp(x) * x + x))
    for limit, kept in ((6_000_000, 5), (1, 4)):
        monkeypatch.setattr("tinygrad_dnn.jit.compiling._MOST_BYTES", limit)
        jitted = td.jit(jitted.function)
        with td.backend.use("numpy"):
            for n in range(kept):
                jitted(td.zeros((300_000 + n,)))
            with pytest.warns(UserWarning, match=f"{kept} kinds of arguments"):
                jitted(td.zeros(400_000))
        assert [entry.bytes for entry in jitted._entries.values()] == [pytest.approx(1_200_000, rel=0.1)] * kept


def test_what_is_counted_of_kinds_that_come_once_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinygrad_dnn.jit.compiling._MOST_COUNTED", 10)
    jitted = td.jit.Jitted(lambda x, n: x * n, after=3)
    for n in range(100):
        assert jitted(td.tensor(2.0), n).item() == 2.0 * n
    assert len(jitted._seen) <= 10
    assert not jitted._entries


def test_what_a_dropped_program_s_signature_names_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    class Setting:
        __slots__ = ("rate",)  # no weak references: only the signature's own keeps its identity

        def __init__(self, rate: float) -> None:
            self.rate = rate

    monkeypatch.setattr("tinygrad_dnn.jit.compiling._MOST_PROGRAMS", 2)
    jitted = td.jit(lambda x, setting: x * setting.rate)
    for n in range(3):
        setting = Setting(float(n))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert [jitted(td.tensor(2.0), setting).item() for _ in range(4)] == [2.0 * n] * 4
    assert [owner.rate for owner in jitted._owners.values()] == [1.0, 2.0]


@pytest.mark.parametrize("collects", [True, False])
def test_collecting_garbage_goes_on_as_before(collects: bool) -> None:
    before = gc.isenabled()
    (gc.enable if collects else gc.disable)()
    try:
        jitted = td.jit(lambda x: x * 2)
        jitted(td.ones(2))
        assert gc.isenabled() is collects
        with pytest.warns(UserWarning, match="looked at"):
            td.jit(lambda x: x.item())(td.ones(()))
        assert gc.isenabled() is collects
    finally:
        (gc.enable if before else gc.disable)()


def test_what_changes_at_each_call_is_not_recorded_for_ever() -> None:
    settings = types.SimpleNamespace(rate=0.0)
    jitted = td.jit(lambda x: x * settings.rate)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for n in range(20):
            settings.rate = float(n)
            assert jitted(td.tensor(2.0)).item() == 2.0 * n
    (warning,) = caught
    assert "settings.rate is another at each call" in str(warning.message)


def test_a_float_in_a_user_s_primitive_of_numpy_s_name_is_its_own() -> None:
    from tinygrad_dnn.graph import Primitive
    from tinygrad_dnn.tensor import apply

    double = Primitive("exp", lambda xp, x: x * 2, broadcasts=True, x=lambda g: g * 2)
    jitted = td.jit(lambda x: apply(double, (x,)))
    assert [jitted(td.tensor(3.0)).item() for _ in range(2)] == [6.0, 6.0]


# -- whole or not at all ----------------------------------------------------------------------------------------------


@pytest.mark.skipif(td.backend.current().name != "numpy", reason="indices on a device are not checked")
def test_a_call_that_fails_changes_nothing() -> None:
    w, n = td.Variable([1.0, 2.0]), td.Variable(0)

    def f(places: td.Tensor) -> td.Tensor:
        n.assign(n + 1)
        w.assign(w * 2)
        return td.take(w, places)

    jitted = td.jit(f)
    with pytest.raises(IndexError):
        jitted(td.tensor([5]))
    assert (w.tolist(), n.item()) == ([1.0, 2.0], 0)
    assert jitted(td.tensor([1])).tolist() == [4.0]
    with pytest.raises(IndexError):
        jitted(td.tensor([5]))
    assert (w.tolist(), n.item()) == ([2.0, 4.0], 1)
    assert jitted(td.tensor([0])).tolist() == [4.0]


def test_an_interrupt_waits_until_the_state_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        a, b = td.Variable(0.0), td.Variable(0.0)

        def f(x: td.Tensor) -> None:
            a.assign(a + x)
            b.assign(b + x)

        jitted = td.jit(f)
        jitted(td.tensor(1.0))
        (entry,) = jitted._entries.values()
        run = entry.run

        def interrupted(inputs: Any) -> Any:
            signal.raise_signal(signal.SIGINT)
            return run(inputs)

        entry.run = interrupted
        with pytest.raises(KeyboardInterrupt):
            jitted(td.tensor(1.0))
        assert (a.item(), b.item()) == (2.0, 2.0)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, previous)


def test_threads_that_call_one_function_do_not_disturb_each_other() -> None:
    n = td.Variable(0)

    def f(x: td.Tensor) -> td.Tensor:
        n.assign(n + 1)
        return td.exp(x) * x + td.sum(x)

    jitted = td.jit(f)
    failures: list[Any] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(150):
            x = rng.normal(size=200)
            if not np.array_equal(jitted(td.tensor(x)).numpy(), np.exp(x) * x + np.sum(x)):
                failures.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert n.item() == 600
    assert is_program(jitted)


def test_what_was_read_before_does_not_change() -> None:
    w = td.Variable([1.0, 2.0])
    jitted = td.jit(lambda x: w.assign(w + x).detach())
    kept: list[tuple[Any, list[float]]] = []
    for k in range(6):
        kept.append((jitted(td.tensor([1.0, 1.0])), [2.0 + k, 3.0 + k]))
        kept.append((w.detach(), [2.0 + k, 3.0 + k]))
        kept.append((td.Tensor._wrap(w.data[::-1]), [3.0 + k, 2.0 + k]))
    assert all(held.tolist() == expected for held, expected in kept)


def test_programs_that_share_state_may_alternate(backend: str) -> None:
    seen = []
    for wrap in (td.jit, lambda f: f):
        w, m = td.Variable(np.arange(6.0).reshape(2, 3)), td.Variable(np.zeros((3, 2)))

        def train(x: td.Tensor, w: Any = w, m: Any = m) -> td.Tensor:
            m.assign(m * 0.9 + w.T)
            w.assign(w - 0.1 * m.T * x.mean())
            return w.sum()

        def test(x: td.Tensor, w: Any = w) -> td.Tensor:
            return x * w.T.sum()

        found = []
        a, b = wrap(train), wrap(test)
        for i in range(12):
            x = td.tensor(np.linspace(0, 1, 3 + i % 2))
            found.append((b if i % 3 == 2 else a)(x).numpy().tobytes())
            if i % 5 == 4:
                found.append(train(x).numpy().tobytes())
        seen.append([found, w.numpy().tobytes(), m.numpy().tobytes()])
    assert seen[0] == seen[1]


# -- memory, copies, words --------------------------------------------------------------------------------------------


def test_memory_does_not_grow_with_calls() -> None:
    model = td.Sequential([td.layers.Dense(8, activation="elu"), td.layers.Dropout(0.1), td.layers.Dense(2)])
    model.compile("adam", "mse", jit_compile=False)
    batches = [(td.ones((n, 4)), td.ones((n, 2))) for n in (8, 5)]
    jitted = td.jit(model.train_step)
    for _ in range(20):
        for batch in batches:
            jitted(batch)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(2500):
            for batch in batches:
                jitted(batch)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 2**20
    finally:
        tracemalloc.stop()
    assert len(jitted._entries) == 2


def test_a_method_does_not_keep_its_object_alive() -> None:
    holder = Holder()
    gone = weakref.ref(holder), weakref.ref(holder.w)
    holder.method(td.tensor([1.0, 2.0]))
    holder.step(td.tensor([1.0, 2.0]))
    del holder
    gc.collect()
    assert [reference() for reference in gone] == [None, None]
    assert not Holder.__dict__["method"]._entries


def test_a_copy_records_programs_of_its_own() -> None:
    holder = Holder()
    jitted = td.jit(functools.partial(_both, holder.w))
    jitted(td.tensor(1.0))
    twin = copy.deepcopy(jitted)
    assert twin(td.tensor(1.0)).tolist() == [13.0, 14.0]
    assert holder.w.tolist() == [2.0, 3.0]
    assert twin(td.tensor(1.0)).tolist() == [14.0, 15.0]
    assert holder.w.tolist() == [2.0, 3.0]


def test_deep_programs_do_not_recurse() -> None:
    def f(x: td.Tensor) -> td.Tensor:
        loss = x
        for _ in range(3000):
            loss = loss * 1.0001 + 1e-4
        return loss.sum()

    found = td.jit(td.value_and_grad(f))(td.tensor([1.0]))
    assert repr(found) == repr(td.value_and_grad(f)(td.tensor([1.0])))


def test_explain_shows_the_programs_and_how_they_run() -> None:
    jitted = td.jit(lambda x: td.exp(x) + td.exp(x))
    assert jitted.explain() == "it was not called yet"
    jitted(td.tensor([1.0]))
    assert jitted.explain().splitlines()[:10] == [
        "-- call 1",
        "recorded: 3 instructions",
        "inputs   a: float32[1]",
        "b: float32[1] = exp(a)",
        "c: float32[1] = exp(a)",
        "d: float32[1] = add(b, c)",
        "returns  d",
        "simplified: 2 instructions",
        "inputs   a: float32[1]",
        "b: float32[1] = exp(a)",
    ]


def test_the_environment_may_ask_for_what_happens(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = types.SimpleNamespace(rate=2.0)
    jitted = td.jit(lambda x: x * settings.rate)
    jitted(td.tensor(1.0))
    assert not capsys.readouterr().err
    monkeypatch.setenv("TINYGRAD_DNN_DEBUG", "jit")
    settings.rate = 3.0
    jitted(td.tensor(1.0))
    told = capsys.readouterr().err
    assert "recorded anew, since there is a change of settings.rate" in told
    assert "multiply(a, 3.0)" in told


def test_a_plugin_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("plugin_of_somebody")
    module.swishy = types.FunctionType(by_float.__code__, {"__name__": module.__name__})  # type: ignore[attr-defined]
    module.swishy.__globals__["swishy"] = module.swishy
    origin = td.registration.Origin("activations", "swishy", "tinygrad-dnn-swishy", "1.0", "swishy", module.__name__)
    module.swishy.__tinygrad_dnn_origin__ = origin  # type: ignore[attr-defined]
    with pytest.warns(UserWarning, match="plugin tinygrad-dnn-swishy"):
        td.jit(module.swishy)(td.tensor([1.0]))


def test_0_d_empty_and_strided_arguments_and_all_dtypes() -> None:
    def f(x: td.Tensor) -> Any:
        return x + x, x.sum(), x * 2, -x if x.dtype.kind != "b" else x, td.ravel(x.T), td.cast(x, "float32").max()

    for dtype in ("float16", "float32", "float64", "int8", "int32", "int64", "uint8", "bool"):
        base = np.arange(24).reshape(4, 6).astype(dtype)
        for array in (base, base[::2, 1::3], base.T, base[:1, :1], base[0], base[0, 0:1].reshape(())):
            x = td.Tensor._wrap(array)
            jitted = td.jit(f)
            for _ in range(2):
                for a, b in zip(jitted(x), f(x), strict=True):
                    assert a.dtype == b.dtype
                    assert np.array_equal(a.numpy(), b.numpy())
    empty = td.jit(lambda x: (x * 2, x.sum(), x.T))
    for _ in range(2):
        assert repr(empty(td.zeros((0, 3)))) == repr((td.zeros((0, 3)) * 2, td.zeros((0, 3)).sum(), td.zeros((0, 3)).T))


def test_iteration_over_what_is_used_up_is_noticed() -> None:
    jitted = td.jit(lambda xs: sum(xs, td.tensor(0.0)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(3):
            assert jitted(iter([td.tensor(1.0), td.tensor(2.0)])).item() == 3.0


def test_containers_closed_over_are_watched() -> None:
    queue = collections.deque([1.0, 2.0])
    ordered = collections.OrderedDict(a=1.0)
    jitted = td.jit(lambda x: x * sum(queue) + ordered["a"])
    assert jitted(td.tensor(1.0)).item() == 4.0
    queue.append(3.0)
    assert jitted(td.tensor(1.0)).item() == 7.0
    ordered["a"] = 5.0
    assert jitted(td.tensor(1.0)).item() == 11.0
    assert [*itertools.islice(queue, 3)] == [1.0, 2.0, 3.0]


class Place:
    """Holds a Tensor, or none."""

    held: td.Tensor | None = None


def test_an_attribute_may_hold_another_tensor_like_it_where_the_program_reads_none() -> None:
    holder = Place()

    @td.jit
    def by_shape(x: td.Tensor) -> td.Tensor:
        return x * 2 if holder.held is None else x * (2 + holder.held.ndim)

    def after(held: td.Tensor | None) -> float:
        holder.held = held
        return by_shape(td.tensor(1.0)).item()

    assert after(td.tensor([1.0])) == 3
    (entry,) = by_shape._entries.values()
    assert after(td.tensor([5.0])) == 3
    assert [*by_shape._entries.values()] == [entry]
    assert after(td.tensor([[5.0, 1.0]])) == 4
    assert after(None) == 2
    assert after(td.tensor([1.0])) == 3


def test_an_attribute_whose_tensor_is_read_is_watched() -> None:
    holder = Place()
    for function in (lambda x: x * holder.held, lambda x: (x, holder.held), lambda x: (x, holder.held.detach() + 0)):
        compiled = td.jit(function)
        for value in (1.0, 5.0, 7.0):
            holder.held = td.tensor([value])
            returned = compiled(td.tensor(1.0))
            assert (returned[1] if isinstance(returned, tuple) else returned).item() == value
