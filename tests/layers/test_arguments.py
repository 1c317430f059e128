"""Names of layers, and the checks of shapes and numbers that layers share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_dnn.layers.arguments import as_axes, as_number, as_seed, as_shape, unique_name


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


@pytest.mark.parametrize("value", [1, 0.5, np.float32(0.5), np.int64(1)])
def test_a_number_becomes_python_s(value: Any) -> None:
    found = as_number(value, "layer 'x': rate", "a number", lambda v: True)
    assert type(found) is float
    assert found == value


@pytest.mark.parametrize("value", ["1", None, True, 2.0, float("nan"), [0.5]])
def test_what_is_no_such_number(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^layer 'x': rate must be below 1, not "):
        as_number(value, "layer 'x': rate", "below 1", lambda v: v < 1)


@pytest.mark.parametrize(("axis", "axes"), [(-1, (-1,)), ([1, 2], (1, 2)), ((), ()), (np.int64(3), (3,))])
def test_an_axis_or_several_become_a_tuple(axis: Any, axes: tuple[int, ...]) -> None:
    assert as_axes(axis, "layer 'x': axis") == axes


@pytest.mark.parametrize("axis", [None, "last", 1.0, True, [1, None]])
def test_what_is_no_axis(axis: Any) -> None:
    with pytest.raises(ValueError, match=r"^layer 'x': axis must be an integer or a sequence of integers, not "):
        as_axes(axis, "layer 'x': axis")


@pytest.mark.parametrize("seed", [None, 0, 2**63 - 1, np.int64(4)])
def test_a_seed_is_none_or_an_integer(seed: Any) -> None:
    found = as_seed(seed, "layer 'x'")
    assert found == seed
    assert type(found) in (int, type(None))


@pytest.mark.parametrize("seed", [-1, 2**63, 0.5, "x"])
def test_what_is_no_seed(seed: Any) -> None:
    with pytest.raises(ValueError, match=r"^layer 'x': seed must be None or an integer from 0 to 2\*\*63 - 1, not "):
        as_seed(seed, "layer 'x'")
