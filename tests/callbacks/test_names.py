"""Callbacks by name: td.callbacks.get and serialize, as every kind has them."""

from __future__ import annotations

import pytest

import tinygrad_dnn as td


def test_get() -> None:
    found = td.callbacks.get("EarlyStopping", patience=3)
    assert isinstance(found, td.callbacks.EarlyStopping)
    assert found.patience == 3
    assert td.callbacks.get(found) is found
    assert td.callbacks.get(None) is None
    with pytest.raises(td.registry.UnknownNameError, match="Did you mean 'early_stopping'"):
        td.callbacks.get("early_stoping")


def test_serialize() -> None:
    assert td.callbacks.serialize(td.callbacks.History) == "history"
