"""Watching: each kind of place that a function can reach, noticed, named, and put back."""

from __future__ import annotations

import collections
import functools
import gc
import types
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn.jit import Watch
from tinygrad_dnn.jit.watch import Attributes

NUMBER = 1.0


class Base:
    shared = 1.0

    def __init__(self) -> None:
        self.own = 1.0


class Slotted(Base):
    __slots__ = ("slot",)

    def __init__(self) -> None:
        super().__init__()
        self.slot = 1.0

    @property
    def doubled(self) -> float:
        return self.slot * NUMBER

    @staticmethod
    def settings() -> float:
        return NUMBER


def place(kind: str) -> tuple[Any, Callable[[], None], str]:
    """Return a function that reaches a place, what changes it, and the name of the place."""
    thing = Slotted()
    value = 1.0

    def closed() -> float:
        return value

    def rebind() -> None:
        nonlocal value
        value = 2.0

    def default(x: float = 1.0) -> float:
        return x

    def set_default() -> None:
        default.__defaults__ = (2.0,)

    items, table, chosen, queue = [1.0], {"a": 1.0}, {1.0}, collections.deque([1.0])
    array, _rng, held = np.ones(3), np.random.default_rng(0), types.SimpleNamespace(inner=[thing])
    places: dict[str, tuple[Any, Callable[[], Any], str]] = {
        "closure": (closed, rebind, "value"),
        "default": (default, set_default, "default"),
        "attribute": (lambda: thing.own, lambda: setattr(thing, "own", 2.0), "thing.own"),
        "slot": (lambda: thing, lambda: setattr(thing, "slot", 2.0), "thing.slot"),
        "new attribute": (lambda: thing, lambda: setattr(thing, "other", 2.0), "thing.other"),
        "attribute deep inside": (lambda: held, lambda: setattr(thing, "own", 2.0), "held.inner[0].own"),
        "list": (lambda: items, lambda: items.append(2.0), "items"),
        "dict": (lambda: table, lambda: table.update(a=2.0), "table"),
        "set": (lambda: chosen, lambda: chosen.add(2.0), "chosen"),
        "deque": (lambda: queue, lambda: queue.append(2.0), "queue"),
        "array": (lambda: array, lambda: array.fill(2.0), "array"),
        "partial": (functools.partial(lambda x: x, items), lambda: items.append(2.0), "partial[0]"),
        "method": (thing.__init__, lambda: setattr(thing, "own", 2.0), "Slotted.own"),  # type: ignore[misc]
        "weak reference": (weakref.ref(thing), lambda: setattr(thing, "own", 2.0), "ReferenceType.own"),
    }
    function, change, name = places[kind]
    return (function, thing), change, name  # type: ignore[return-value]


KINDS = (
    "closure", "default", "attribute", "slot", "new attribute", "attribute deep inside", "list", "dict", "set", "deque",
    "array", "partial", "method", "weak reference",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_change_is_noticed_named_and_put_back(kind: str) -> None:
    (function, _alive), change, name = place(kind)
    watch = Watch(function)
    assert watch.same()
    assert not watch.changes()
    change()
    assert not watch.same()
    assert watch.changes() == [name]
    watch.restore()
    assert watch.same()
    assert not watch.changes()


def test_names_of_the_module_and_of_classes_are_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    thing = Slotted()
    for holder, name, named in (
        (__import__("sys").modules[__name__], "NUMBER", "NUMBER"),
        (Base, "shared", "Base.shared"),
        (Slotted, "doubled", "Slotted.doubled"),
    ):
        watch = Watch(lambda: thing.doubled)
        with monkeypatch.context() as patch:
            patch.setattr(holder, name, 5.0)
            assert not watch.same()
            assert watch.changes() == [named]
        assert watch.same()


def test_the_class_of_an_object_is_watched() -> None:
    class Other(Slotted):
        __slots__ = ()

    thing = Slotted()
    watch = Watch(lambda: thing)
    thing.__class__ = Other
    assert not watch.same()
    assert "thing.__class__" in watch.changes()


def of(watch: Watch, holder: object) -> Attributes:
    """Return what is watched of an object."""
    (found,) = (attributes for attributes in watch._attributes if attributes.get() is holder)
    return found


def test_what_was_held_by_what_is_left_out_may_go() -> None:
    thing, held = Base(), Base()
    thing.own = held
    watch = Watch(lambda: thing)
    watch.leave_out([(of(watch, thing), "own")])
    del held
    thing.own = 3.0
    gc.collect()
    assert watch.same()
    assert not watch.changes()


def test_what_goes_is_a_change_of_who_held_it() -> None:
    thing = Base()
    thing.own = Base()
    watch = Watch(lambda: thing)
    thing.own = 3.0
    gc.collect()
    assert not watch.same()
    assert watch.changes() == ["thing.own"]


def test_state_is_not_watched() -> None:
    model = td.Sequential([td.layers.Dense(2), td.layers.Dropout(0.1)])
    model.compile("adam", "mse", jit_compile=False)
    batch = td.ones((3, 2)), td.ones((3, 2))
    for _ in range(2):
        model.train_step(batch)
    watch = Watch(model.test_step)
    watch.leave_out([(of(watch, model), "_losses")])
    model.test_step(batch)
    model.weights[0].assign(model.weights[0] * 2)
    model.layers[1]._parts()
    model.predict(np.ones((1, 2), np.float32), verbose=0)
    model.reset_metrics()
    assert watch.same(), watch.changes()


def test_what_is_left_out_is_not_watched() -> None:
    thing = Base()
    watch = Watch(lambda: thing)
    watch.leave_out([(of(watch, thing), "own")])
    thing.own = 3.0
    assert watch.same()
    assert not watch.changes()
    watch.restore()
    assert thing.own == 3.0


def test_generators_of_numbers_are_put_back_and_do_not_ask_for_another_recording() -> None:
    rng = np.random.default_rng(0)
    watch = Watch(lambda: rng.random())
    first = rng.random()
    assert watch.same()
    assert watch.changes() == ["rng"]
    watch.restore()
    assert rng.random() == first


def test_objects_are_not_kept_alive() -> None:
    thing = Base()
    gone = weakref.ref(thing)
    watch = Watch(thing.__init__)  # type: ignore[misc]
    del thing
    gc.collect()
    assert gone() is None
    assert not watch.same()


def test_what_moves_from_one_list_to_the_next_is_noticed() -> None:
    parts = [object(), object(), object()]
    first, second = parts[:1], parts[1:]
    watch = Watch(lambda: (first, second))
    assert watch.same()
    first.append(second.pop(0))
    assert not watch.same()
    second.insert(0, first.pop())
    assert watch.same()
    first[0] = parts[1]
    assert watch.changes() == ["first"]


def test_an_equal_object_is_another() -> None:
    thing = Base()
    watch = Watch(lambda: thing)
    for equal in (1, True, np.float64(1.0)):
        thing.own = equal
        assert not watch.same()
    watch.restore()
    assert watch.same()


def test_an_attribute_that_is_renamed_is_noticed() -> None:
    thing = Base()
    watch = Watch(lambda: thing)
    thing.other = thing.__dict__.pop("own")
    assert not watch.same()
    assert watch.changes() == ["thing.own", "thing.other"]
