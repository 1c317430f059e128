"""Element types: what operands become beside one another, what is refused, and what may be assigned."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn.ops.cast import fitted, floating, for_assign, promote

FLOATS = ["float16", "float32", "float64"]
INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
DTYPES = [*FLOATS, *INTEGERS, "bool"]
ARITHMETIC = [operator.add, operator.sub, operator.mul, td.maximum, td.minimum]


# -- promotion ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", ARITHMETIC)
@pytest.mark.parametrize("dtype", FLOATS)
def test_numbers_adapt_to_a_float_tensor(function: Callable[[Any, Any], td.Tensor], dtype: str, backend: str) -> None:
    x = td.tensor([1.0, 3.0], dtype)
    numbers: list[Any] = [2, 2.5, True, np.float64(2.5), np.float32(2.5), np.int64(2), np.uint8(2)]
    for number in numbers:
        assert function(x, number).dtype == function(number, x).dtype == dtype
        np.testing.assert_array_equal(function(x, number).numpy(), function(x, td.tensor(number, dtype)).numpy())


@pytest.mark.parametrize("function", ARITHMETIC)
@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_beside_an_integer_tensor_adapt_and_floats_give_the_default_type(
    function: Callable[[Any, Any], td.Tensor], dtype: str, backend: str
) -> None:
    x = td.tensor([1, 3], dtype)
    for integer in (2, np.int64(2), np.uint8(2)):
        assert function(x, integer).dtype == function(integer, x).dtype == dtype
    for number in (2.5, np.float64(2.5), np.float32(2.5)):
        assert function(x, number).dtype == function(number, x).dtype == td.backend.floatx()


@pytest.mark.parametrize("dtype", FLOATS)
def test_integers_beside_floats_take_the_floats_type(dtype: str, backend: str) -> None:
    for other in (*INTEGERS, "bool"):
        x, n = td.tensor([1.5, 2.5], dtype), td.tensor([1, 0], other)
        for out in (x + n, n + x, x * n, td.maximum(x, n), td.where(n == 1, x, n), td.concatenate([n, x])):
            assert out.dtype == dtype


@pytest.mark.parametrize(
    ("one", "other", "common"),
    [
        ("float16", "float32", "float32"),
        ("float32", "float64", "float64"),
        ("int8", "int32", "int32"),
        ("uint8", "int8", "int16"),
        ("bool", "int16", "int16"),
    ],
)
def test_two_of_one_kind_take_the_wider_type(one: str, other: str, common: str, backend: str) -> None:
    x, y = td.tensor([1, 0], one), td.tensor([1, 1], other)
    assert (x + y).dtype == (y + x).dtype == common


def test_a_boolean_tensor_beside_numbers(backend: str) -> None:
    mask = td.tensor([True, False])
    assert (mask + 2).tolist() == [3, 2]
    assert (mask + 2).dtype == "int64"
    assert (mask * 0.5).dtype == td.backend.floatx()
    assert (mask * True).dtype == "bool"


def test_division_of_integers_gives_the_default_float(backend: str) -> None:
    n = td.tensor([1, 2])
    for out in (n / n, n / 2, 2 / n, n / True, td.divide(1, 2), td.tensor([True, True]) / td.tensor([1, 2], "uint8")):
        assert out.dtype == td.backend.floatx()
    assert (n / 2).tolist() == [0.5, 1.0]
    assert (td.tensor([1.0], "float16") / n).dtype == "float16"


def test_default_float_is_the_threads(backend: str) -> None:
    td.backend.set_floatx("float64")
    try:
        assert td.tensor([1.5]).dtype == (td.tensor([1]) / 2).dtype == td.mean([1, 2]).dtype == "float64"
    finally:
        td.backend.set_floatx("float32")


def test_lists_beside_a_float_tensor_are_not_rounded_to_the_default_type(backend: str) -> None:
    x = td.tensor([1.0, 2.0], "float64")
    tenths = [0.1, 0.2]
    assert (x + tenths).tolist() == (tenths + x).tolist() == [1.0 + 0.1, 2.0 + 0.2]
    x.assign([0.1, 0.2])
    assert x.tolist() == [0.1, 0.2]
    x[0] = 0.3
    assert x.tolist() == [0.3, 0.2]
    assert td.matmul([[0.1, 0.2]], x.reshape(2, 1)).item() == 0.1 * 0.3 + 0.2 * 0.2
    assert (td.tensor([1.0, 2.0], "float16") + tenths).dtype == "float16"


def test_arrays_keep_their_dtype_beside_a_tensor(backend: str) -> None:
    assert (td.tensor([1.0]) + np.array([0.1])).dtype == "float64"
    assert (np.array([0.1], np.float32) + td.tensor([1.0], "float16")).dtype == "float32"


def test_promote_leaves_equal_operands_alone(backend: str) -> None:
    x, y = td.tensor([1.0]), td.tensor([2.0])
    assert promote(x, y) == (x, y)
    assert promote(x, 2.0)[0] is x
    assert promote(2.0, x)[1] is x
    assert floating(x) is x


# -- dtypes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_is_held_and_computed_with(dtype: str, backend: str) -> None:
    values = np.array([0, 1, 1, 0]).astype(dtype)
    x = td.tensor(values)
    assert x.dtype == dtype
    assert x.numpy().dtype == dtype
    np.testing.assert_array_equal((x == x).numpy(), np.ones(4, bool))
    np.testing.assert_array_equal(x.reshape(2, 2).T.numpy(), values.reshape(2, 2).T)
    np.testing.assert_array_equal(td.concatenate([x, x])[3:6].numpy(), np.concatenate([values, values])[3:6])
    np.testing.assert_array_equal(x.max().numpy(), values.max())
    assert x.sum().item() == 2
    assert x.mean().item() == 0.5
    assert x.mean().dtype == (dtype if dtype in FLOATS else td.backend.floatx())


@pytest.mark.parametrize("dtype", INTEGERS[:4])
def test_sum_of_small_integers_is_counted_in_int64(dtype: str, backend: str) -> None:
    assert td.tensor([100, 100], dtype).sum().dtype == "int64"
    assert td.tensor([100, 100], dtype).sum().item() == 200


@pytest.mark.parametrize("dtype", DTYPES)
def test_cast_is_numpys(dtype: str, backend: str) -> None:
    values = np.array([0, 1, 3]).astype(dtype)
    for target in DTYPES:
        out = td.cast(td.tensor(values), target)
        assert out.dtype == target
        np.testing.assert_array_equal(out.numpy(), values.astype(target))


def test_cast_to_the_same_type_is_the_tensor_itself(backend: str) -> None:
    x = td.tensor([1.0])
    assert td.cast(x, "float32") is x
    assert x.astype(np.float32) is x


@pytest.mark.parametrize("dtype", FLOATS)
def test_gradient_of_a_cast_has_the_inputs_type(dtype: str, backend: str) -> None:
    for target in FLOATS:
        x = td.tensor([1.5, 2.5], dtype, requires_grad=True)
        g = td.grad((td.cast(x, target) * [2.0, 3.0]).sum(), x)
        assert g.dtype == dtype
        assert g.tolist() == [2.0, 3.0]


def test_no_gradient_through_integers(backend: str) -> None:
    x = td.tensor([1.5], requires_grad=True)
    assert not td.cast(x, "int32").requires_grad
    assert not td.cast(td.cast(x, "int32"), "float32").requires_grad
    with pytest.raises(TypeError, match="only floating-point Tensors have gradients, this one is int64"):
        td.tensor([1], requires_grad=True)


OTHERS = ["complex64", "complex128", "object", "str", "datetime64[s]", [("a", "f4")]]
if np.dtype(np.longdouble).itemsize > 8:
    OTHERS.append("longdouble")


@pytest.mark.parametrize("dtype", OTHERS, ids=str)
def test_other_dtypes_are_refused_with_a_sentence(dtype: Any, backend: str) -> None:
    message = "a Tensor holds floats, integers or booleans of at most 64 bits, not"
    calls: list[Callable[[], td.Tensor]] = [
        lambda: td.tensor(np.zeros(2, dtype)),
        lambda: td.tensor([0], dtype),
        lambda: td.cast([1.0], dtype),
        lambda: td.zeros(2, dtype),
    ]
    for call in calls:
        with pytest.raises(TypeError, match=message):
            call()


@pytest.mark.parametrize(
    "value", [None, "text", 1 + 2j, object(), [[1.0], "x"], {"a": 1}, [None]], ids=lambda value: repr(value)[:9]
)
def test_what_is_no_number_is_refused_with_a_sentence(value: Any, backend: str) -> None:
    for call in (lambda: td.tensor(value), lambda: td.tensor([1.0]) + value, lambda: td.tensor([1.0]).assign(value)):
        with pytest.raises(
            (TypeError, ValueError), match=r"a Tensor is made of (numbers; .* is none|nested lists .*, not of .*)\."
        ):
            call()


def test_integers_beyond_64_bits_are_refused_with_a_sentence(backend: str) -> None:
    with pytest.raises(TypeError, match=r"a Tensor is made of numbers; list .* is none"):
        td.tensor([2**70])


def test_ragged_lists_are_refused_with_a_sentence(backend: str) -> None:
    with pytest.raises(ValueError, match=r"nested lists of equal lengths, not of list \[\[1, 2\], \[3\]\]"):
        td.tensor([[1, 2], [3]])


# -- float16 is stored --------------------------------------------------------------------------------------------


def test_float16_is_stored_and_computed_with(backend: str) -> None:
    x = td.tensor(np.array([0.5, 2.0, 30000.0], np.float16), requires_grad=True)
    assert (x * 2).dtype == td.exp(x[:2]).dtype == x.sum().dtype == "float16"
    assert td.cast(x, "float32").sum().item() == 30002.5
    g = td.grad((td.cast(x, "float32") * 3).sum(), x)
    assert g.dtype == "float16"
    assert g.tolist() == [3.0, 3.0, 3.0]


# -- assignment ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "value", "stored"),
    [
        ("float32", [1.5, 2.5], [1.5, 2.5]),
        ("float32", np.array([1.5, 2.5]), [1.5, 2.5]),
        ("float32", [1, 2], [1.0, 2.0]),
        ("float64", np.array([1.5, 2.5], np.float16), [1.5, 2.5]),
        ("int64", [True, False], [1, 0]),
        ("uint8", [1, 2], [1, 2]),
        ("int32", np.array([1, 2], np.uint8), [1, 2]),
        ("bool", [True, False], [True, False]),
    ],
)
def test_assignment_converts_within_a_kind(dtype: str, value: Any, stored: list[Any], backend: str) -> None:
    x = td.zeros(2, dtype)
    assert x.assign(value) is x
    assert x.dtype == dtype
    assert x.tolist() == stored
    assert fitted(value, x).dtype == dtype
    y = td.zeros(2, dtype)
    y[:] = value
    assert y.tolist() == stored


@pytest.mark.parametrize(("dtype", "value"), [("int64", 1.5), ("uint8", 1.0), ("bool", 1), ("bool", 0.5)])
def test_assignment_does_not_lose_the_kind(dtype: str, value: float, backend: str) -> None:
    x = td.Variable(td.zeros(2, dtype), name="counter")
    with pytest.raises(TypeError, match=f"Variable 'counter' is {dtype} and was assigned .*: cast it"):
        x.assign([value, value])
    with pytest.raises(TypeError, match=f"Variable 'counter' is {dtype} and was assigned .*: cast it"):
        x[0] = value
    assert x.tolist() == [0, 0]


def test_assignment_keeps_the_shape(backend: str) -> None:
    x = td.zeros(2)
    with pytest.raises(ValueError, match=r"the Tensor has shape \(2,\) and was assigned a value of shape \(3,\)"):
        x.assign([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"shape \(\)"):
        for_assign(1.0, x)


def test_assignment_between_backends_copies() -> None:
    on_strict = td.zeros(2).to("strict")
    on_strict.assign(td.tensor([1.0, 2.0]))
    assert on_strict.backend.name == "strict"
    assert on_strict.tolist() == [1.0, 2.0]
