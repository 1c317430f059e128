"""Layers that draw, for the tests of image augmentation, and the draws that a test chooses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.golden import storage

GOLDEN = storage.load("augmentation")
IMAGES = GOLDEN.inputs["images"]
# Every layer that draws, with arguments that change nearly every image.
DRAWING: dict[str, dict[str, Any]] = {
    "RandomFlip": {"mode": "horizontal"},
    "RandomTranslation": {"height_factor": 0.4, "width_factor": [-0.1, 0.5]},
    "RandomRotation": {"factor": 0.3},
    "RandomZoom": {"height_factor": [-0.5, 0.9], "width_factor": 0.5},
    "RandomCrop": {"height": 3, "width": 2},
    "RandomContrast": {"factor": 0.9, "value_range": [-300.0, 600.0]},
    "RandomBrightness": {"factor": 0.3, "value_range": [-300.0, 600.0]},
}
EACH = pytest.mark.parametrize("cls", DRAWING)


def new(cls: str, **options: Any) -> td.layers.Layer:
    """Return a layer of a class by these arguments."""
    layer = getattr(td.layers, cls)(**options)
    assert isinstance(layer, td.layers.Layer)
    return layer


def make(cls: str, **options: Any) -> td.layers.Layer:
    """Return a layer of a class by the arguments above, but where others are given."""
    return new(cls, **{**DRAWING[cls], **options})


class Given:
    """A stream of numbers chosen by the test, which remembers the intervals they were to be drawn from."""

    def __init__(self, *draws: Any) -> None:
        self.draws, self.intervals = list(draws), []

    def uniform(self, shape: tuple[int, ...], minval: float, maxval: float, dtype: str) -> td.Tensor:
        self.intervals.append((minval, maxval))
        draw = self.draws.pop(0) if self.draws else np.full(shape, minval)
        return td.tensor(np.broadcast_to(draw, shape).astype(dtype))
