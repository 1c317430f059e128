"""Names of layers, and the check of shapes that layers share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_dnn.layers.arguments import as_shape, unique_name


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        ("UnheardOf", "unheard_of"),
        ("UnheardOfNormalization", "unheard_of_normalization"),
        ("ABCDropout", "abc_dropout"),
        ("Unheard2D", "unheard2d"),
        ("Unheard2DTranspose", "unheard2d_transpose"),
        ("UnheardV2", "unheard_v2"),
        ("unheard", "unheard"),
    ],
)
def test_a_name_is_the_class_s_in_snake_case_and_numbered(cls: str, name: str) -> None:
    assert [unique_name(type(cls, (), {})) for _ in range(3)] == [name, f"{name}_1", f"{name}_2"]


@pytest.mark.parametrize("shape", [(), (3,), [None, 4], (np.int64(2), 0), np.array([2, 3])])
def test_a_shape_is_a_sequence_of_lengths(shape: Any) -> None:
    found = as_shape(shape, "layer 'x': shape")
    assert isinstance(found, tuple)
    assert found == tuple(shape)
    assert {type(n) for n in found} <= {int, type(None)}


@pytest.mark.parametrize("shape", [784, None, (2.0,), (-1,), "ab", [[2]], (True, "x")])
def test_what_is_no_shape(shape: Any) -> None:
    with pytest.raises(
        ValueError, match=r"^layer 'x': shape is a tuple of lengths, each an integer of at least 0 or None"
    ):
        as_shape(shape, "layer 'x': shape")
