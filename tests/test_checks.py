"""The checks of arguments: what is taken, as Python's own, and how the rest is refused."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn.checks import (
    Checked,
    as_axes,
    as_choice,
    as_flag,
    as_integer,
    as_list,
    as_number,
    as_path,
    as_seed,
    shown,
)

HUGE = 10**400  # greater than every float


@pytest.mark.parametrize("value", [1, 0.5, np.float32(0.5), np.int64(1), np.float16(0.25)])
def test_a_number_becomes_python_s(value: Any) -> None:
    found = as_number(value, "layer 'x': rate")
    assert type(found) is float
    assert found == value


@pytest.mark.parametrize("value", ["1", None, True, np.True_, math.nan, math.inf, HUGE, -HUGE, [0.5], 1j])
def test_what_is_no_finite_number(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^layer 'x': rate must be a finite number, not "):
        as_number(value, "layer 'x': rate")


@pytest.mark.parametrize(
    ("allowed", "inside", "outside", "words"),
    [
        ("[0, 1]", [0, 0.5, 1], [-1e-9, 1 + 1e-9], "a number in [0, 1]"),
        ("[0, 1)", [0, 0.999], [-0.1, 1], "a number in [0, 1)"),
        ("(0, 1]", [1e-300, 1], [0, 1.1], "a number in (0, 1]"),
        ("(-1, 0.5)", [-0.99, 0.49], [-1, 0.5], "a number in (-1, 0.5)"),
        ("[0, inf)", [0, 1e308], [-1e-300, math.inf, HUGE], "a number of at least 0"),
        ("(0, inf)", [1e-300, 1e308], [0, -1, math.inf, HUGE], "a number above 0"),
        ("(1, inf]", [1.1, math.inf], [1, -math.inf, HUGE], "a number above 1"),
        ("(-inf, 0]", [0, -1e308], [1e-300, -math.inf], "a number of at most 0"),
        ("(-inf, 0)", [-1e-300], [0], "a number below 0"),
    ],
)
def test_a_number_lies_in_its_interval(allowed: str, inside: list[float], outside: list[float], words: str) -> None:
    for value in inside:
        assert as_number(value, "x", allowed) == value
    for value in [*outside, math.nan]:
        with pytest.raises(ValueError, match=re.escape(f"x must be {words}, not {shown(value)}.")):
            as_number(value, "x", allowed)


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
def test_an_integer_becomes_python_s(value: Any) -> None:
    found = as_integer(value, "x", "[1, inf)")
    assert type(found) is int
    assert found == 3
    assert as_integer(10**300, "x") == 10**300


@pytest.mark.parametrize("value", [0, -1, 2.0, 2.5, "3", None, True, math.nan, [3]])
def test_what_is_no_such_integer(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^Dense 'd': units must be an integer of at least 1, not "):
        as_integer(value, "Dense 'd': units", "[1, inf)")


def test_an_error_says_what_is_expected_in_words_of_its_own() -> None:
    for check in (as_number, as_integer):
        with pytest.raises(ValueError, match=r"^x must be None or 5, not 7\.$"):
            check(7, "x", "[5, 5]", "None or 5")


def test_a_truth_value_is_no_word_and_no_number() -> None:
    assert as_flag(np.True_, "x") is True
    assert as_flag(False, "x") is False
    for value in ("no", 0, 1, None):
        with pytest.raises(ValueError, match=r"^x must be True or False, not "):
            as_flag(value, "x")


def test_a_choice_is_one_of_some() -> None:
    assert as_choice(None, "x", ("a", None)) is None
    for value in ("d", None, 3, ["a"]):
        with pytest.raises(ValueError, match=r"^x must be 'a', 'b' or 'c', not "):
            as_choice(value, "x", ("a", "b", "c"))
    with pytest.raises(ValueError, match=r"^x must be 'a', not 'b'\.$"):
        as_choice("b", "x", ("a",))


def test_a_list_is_no_text() -> None:
    assert as_list(range(3), "x") == [0, 1, 2]
    for value in ("ab", b"ab", {"a": 1}, 5, None):
        with pytest.raises(ValueError, match=r"^x must be a list, not "):
            as_list(value, "x")


@pytest.mark.parametrize(("axis", "axes"), [(-1, (-1,)), ([1, 2], (1, 2)), ((), ()), (np.int64(3), (3,))])
def test_an_axis_or_several_become_a_tuple(axis: Any, axes: tuple[int, ...]) -> None:
    assert as_axes(axis, "layer 'x': axis") == axes


@pytest.mark.parametrize("axis", [None, "last", 1.0, True, [1, None]])
def test_what_is_no_axis(axis: Any) -> None:
    with pytest.raises(ValueError, match=r"^layer 'x': axis must be an integer or a sequence of integers, not "):
        as_axes(axis, "layer 'x': axis")


@pytest.mark.parametrize("seed", [None, 0, 2**63 - 1, np.int64(4)])
def test_a_seed_is_none_or_an_integer(seed: Any) -> None:
    found = as_seed(seed, "layer 'x': seed")
    assert found == seed
    assert type(found) in (int, type(None))


@pytest.mark.parametrize("seed", [-1, 2**63, 0.5, "x", True])
def test_what_is_no_seed(seed: Any) -> None:
    with pytest.raises(ValueError, match=r"^layer 'x': seed must be None or an integer from 0 to 2\*\*63 - 1, not "):
        as_seed(seed, "layer 'x': seed")


def test_a_class_checks_by_its_own_name_and_may_say_another() -> None:
    class Named(Checked):
        @property
        def _title(self) -> str:
            return "named"

    with pytest.raises(ValueError, match=r"^Checked: rate must be a number in \[0, 1\], not 2\.$"):
        Checked()._number("rate", 2, "[0, 1]")
    with pytest.raises(ValueError, match=r"^named: n must be an integer of at least 1, not 0\.$"):
        Named()._integer("n", 0, "[1, inf)")
    assert Checked()._optional("rate", None, "[0, 1]") is None
    assert type(Checked()._optional("n", 3, "[0, inf)", as_integer)) is int


def test_paths(tmp_path: Path) -> None:
    assert as_path("a", "x") == "a"
    assert as_path(tmp_path, "x", "folder") == str(tmp_path)
    for value in (None, 3, "", b"a", ["a"]):
        with pytest.raises(TypeError, match=r"^x: path must be the path of a folder, not "):
            as_path(value, "x: path", "folder")


class Unshown:
    """What has no repr."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.ones((2, 2)), "array([[1., 1.], [1., 1.]])"),
        ("a  b", "'a  b'"),
        ("x" * 300, "'" + "x" * 96 + "..."),
        (10**5000, "<int>"),
        (Unshown(), "<Unshown>"),
    ],
    ids=["array", "text", "long", "digits", "none"],
)
def test_whatever_is_refused_is_shown_in_one_short_line(value: Any, text: str) -> None:
    assert shown(value) == text
    for check in (as_number, as_integer, as_flag, as_axes, as_seed):
        if check is not as_axes or not isinstance(value, int):
            with pytest.raises(ValueError, match=r"^the argument must be .*\.$") as caught:
                check(value, "the argument")
            assert str(caught.value).endswith(f"not {text}.")
    if isinstance(value, np.ndarray):
        with pytest.raises(TypeError, match=re.escape(f"got {text}.")):
            td.layers.Dense(1, kernel_initializer=value)
