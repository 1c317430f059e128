"""Custom objects: names that mean something else for a while, in one thread, and what is written down meanwhile."""

from __future__ import annotations

import threading

import pytest

import tinygrad_dnn as td
from tinygrad_dnn import registry


def halved(x: td.Tensor) -> td.Tensor:
    return x * 0.5


class Penalty:
    def __call__(self, x: td.Tensor) -> td.Tensor:
        return td.sum(x)

    def get_config(self) -> dict[str, object]:
        return {}

    @classmethod
    def from_config(cls, config: dict[str, object]) -> Penalty:
        return cls(**config)


def test_custom_objects_go_first_and_only_while_the_scope_lasts() -> None:
    with registry.scope({"ReLU": halved, "Penalty": Penalty}):
        assert registry.activations.get("relu") is halved
        assert isinstance(registry.regularizers.get({"class_name": "penalty", "config": {}}), Penalty)
        assert type(registry.layers.get("relu")) is td.layers.ReLU, "a function is no layer"
    assert registry.activations.get("relu") is td.activations.relu
    assert "penalty" not in registry.regularizers


def test_scopes_nest_and_end_with_an_error() -> None:
    with registry.scope({"mine": halved}):
        with registry.scope({"mine": abs}):
            assert registry.activations.get("mine") is abs
        with pytest.raises(ZeroDivisionError), registry.scope({"mine": abs}):
            raise ZeroDivisionError
        assert registry.activations.get("mine") is halved


def test_another_thread_knows_nothing_of_it() -> None:
    known = []
    with registry.scope({"mine": halved}):
        thread = threading.Thread(target=lambda: known.append("mine" in registry.activations))
        thread.start()
        thread.join()
    assert known == [False]


def test_what_is_not_registered_is_written_by_its_name_in_a_scope_alone() -> None:
    with registry.scope() as scope:
        assert registry.activations.serialize(halved) == "halved"
        assert registry.regularizers.serialize(Penalty()) == {"class_name": "Penalty", "config": {}}
        assert registry.activations.serialize(td.activations.elu) == "elu"
        with pytest.raises(ValueError, match="is not a registered activation"):
            registry.activations.serialize(lambda x: x)
    assert [(origin.kind, origin.name, origin.distribution) for origin in scope.written] == [
        ("activations", "halved", "local"), ("regularizers", "Penalty", "local"),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="is not a registered activation"):
        registry.activations.serialize(halved)


def test_a_name_that_means_something_else_is_refused() -> None:
    def relu(x: td.Tensor) -> td.Tensor:
        return x

    with registry.scope(), pytest.raises(ValueError, match="'relu' means another activation: give it another name"):
        registry.activations.serialize(relu)
