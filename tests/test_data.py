"""What fit is given: checked, cut into batches, weighted, split."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn.data import (
    ArrayBatches,
    Batch,
    IterableBatches,
    checked_arrays,
    class_weights,
    is_arrays,
    resident,
    split_validation,
    unpack_x_y_sample_weight,
)

pytestmark = pytest.mark.usefixtures("backend")
X = np.arange(20, dtype=np.float32).reshape(10, 2)
Y = np.arange(10)


def numbers(batch: Batch) -> list[Any]:
    return [None if part is None else part.numpy().tolist() for part in batch]


def test_arrays_are_cut_in_order_with_a_remainder() -> None:
    batches = ArrayBatches(X, Y, batch_size=4)
    assert len(batches) == 3
    for _ in range(2):
        assert [numbers(batch) for batch in batches] == [
            [X[i : i + 4].tolist(), Y[i : i + 4].tolist(), None] for i in (0, 4, 8)
        ]


def test_a_batch_has_32_samples_by_default() -> None:
    assert [len(batch.x) for batch in ArrayBatches(np.zeros((70, 1)))] == [32, 32, 6]


def test_a_generator_draws_a_new_order_each_time_and_keeps_rows_together() -> None:
    batches = ArrayBatches(X, Y, X[:, 1], batch_size=3, rng=np.random.default_rng(0))
    orders = []
    for _ in range(2):
        rows = [row for batch in batches for row in zip(*numbers(batch), strict=True)]
        assert all(x == [2 * y, 2 * y + 1] and weight == x[1] for x, y, weight in rows)
        orders.append([y for _, y, _ in rows])
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1]) == Y.tolist()


def test_arrays_keep_their_type() -> None:
    (batch,) = ArrayBatches(X.astype(np.uint8), Y.astype(np.int16))
    assert (batch.x.dtype, batch.y.dtype) == (np.uint8, np.int16)


def test_arrays_of_any_layout_will_do() -> None:
    (batch,) = ArrayBatches(np.asfortranarray(X)[::-1], list(range(10)))
    assert numbers(batch)[:2] == [X[::-1].tolist(), Y.tolist()]


def test_data_become_tensors_of_the_threads_backend_without_history(backend: str) -> None:
    leaf = td.tensor(X, requires_grad=True)
    for given in (X, leaf * 2, td.tensor(X).to("strict" if backend == "numpy" else "numpy")):
        tensor = resident(given)
        assert tensor.backend.name == backend
        assert not tensor.requires_grad


def test_an_iterable_gives_what_it_has() -> None:
    items = [X, (X,), (X, Y), (X, Y, np.ones(10)), (td.tensor(X), td.tensor(Y)), [X, Y]]
    assert [[part is not None for part in batch] for batch in IterableBatches(items)] == [
        [True, False, False], [True, False, False], [True, True, False], [True, True, True], [True, True, False],
        [True, True, False],
    ]  # fmt: skip


def test_an_iterable_of_known_length_says_it() -> None:
    assert len(IterableBatches([X, X])) == 2
    assert len(IterableBatches(iter([X, X]))) == 0
    assert len(IterableBatches(iter([X, X]), steps=7)) == 7


def test_no_batch_is_taken_that_is_not_given_out() -> None:
    taken = []

    def source() -> Iterator[Any]:
        for i in range(9):
            taken.append(i)
            yield X

    batches = IterableBatches(source(), steps=2)
    for _ in batches:
        pass
    assert taken == [0, 1]
    next(iter(batches))
    assert taken == [0, 1, 2]


def test_examining_sees_the_first_inputs_and_all_targets() -> None:
    seen = []
    ArrayBatches(X, Y, batch_size=4, examine=lambda x, y, look: seen.append((len(x), len(y), type(y), look)))
    assert seen == [(4, 10, np.ndarray, True)]


def test_examining_batches_does_not_wait_for_a_device(backend: str) -> None:
    seen = []
    data = [(X, Y), (td.tensor(X), td.tensor(Y)), X]
    device = td.backend.get("strict")
    before = device.host_syncs
    list(IterableBatches(data, examine=lambda x, y, look: seen.append(look)))
    assert seen == [True, backend == "numpy", True]
    assert device.host_syncs == before


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        (X, None, True), (X, Y, True), (X.tolist(), None, True), ([X, X], Y, True), ((1.0, 2.0), None, True),
        ([(X, Y)], None, False), ([[X, Y]], None, False), ([X, X], None, False), (iter([X]), None, False),
        (range(3), None, False),
    ],
)  # fmt: skip
def test_arrays_and_iterables_are_told_apart(x: Any, y: Any, expected: bool) -> None:
    assert is_arrays(x, y, "fit") is expected
    assert is_arrays(td.tensor(X), None, "fit")


@pytest.mark.parametrize(
    "labels", [Y % 3, (Y % 3)[:, None], np.eye(3, dtype=np.float32)[Y % 3], (Y % 3).astype(np.float32)]
)
def test_class_weights_of_labels_in_any_form(labels: np.ndarray) -> None:
    y = td.tensor(labels)
    weights = class_weights(y, {0: 2, 2: 0.5}, None, "fit")
    expected = np.array([2, 1, 0.5])[Y % 3]
    np.testing.assert_array_equal(weights.numpy(), expected)
    both = class_weights(y, {np.int64(0): 2, 2.0: 0.5}, td.tensor(X[:, 1]), "fit")
    np.testing.assert_array_equal(both.numpy(), expected * X[:, 1])
    column = class_weights(y, {0: 2, 2: 0.5}, td.tensor(X[:, 1:]), "fit")
    np.testing.assert_array_equal(column.numpy(), both.numpy())


def test_a_split_cuts_the_end_off() -> None:
    first, second = split_validation(Batch(X, Y), 0.25)
    assert (len(first.x), len(second.x)) == (7, 3)
    np.testing.assert_array_equal(second.y, [7, 8, 9])
    assert first.sample_weight is None


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (Batch(None), "there is no x"),
        (Batch(np.zeros((0, 2))), r"x has no samples \(its shape is \(0, 2\)\)"),
        (Batch(X, Y[:9]), "x has 10 samples and y has 9: each sample needs its own"),
        (Batch(X, Y, np.ones(3)), "x has 10 samples and sample_weight has 3"),
        (Batch(X, Y, np.ones((10, 2))), r"sample_weight is one number a sample, not an array of shape \(10, 2\)"),
        (Batch([[1, 2], [3]]), "x must be an array of numbers, not nested lists of unequal lengths"),
        (Batch(["a", "b"]), "x must be an array of numbers, not text"),
        (Batch({"a": {}}), r"x\['a'\] is empty"),
        (Batch(X.astype(complex)), "x must be an array of numbers, not complex128"),
        (Batch(3.0), "x is a single number; its first axis must be that of the samples"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(given: Batch, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"fit: {sentence}"):
        checked_arrays(given, "fit")


@pytest.mark.parametrize("form", [np.asarray, td.tensor])
def test_the_first_number_that_is_none_is_found(form: Any) -> None:
    x = np.zeros((9000, 2, 3), np.float32)
    x[8500, 1, 2] = np.nan
    x[8600, 0, 0] = np.inf
    with pytest.raises(ValueError, match=r"x holds nan at sample 8500, place \(1, 2\): replace or drop it"):
        ArrayBatches(form(x))
    with pytest.raises(ValueError, match=r"y holds inf at sample 1: replace"):
        ArrayBatches(X, form(np.array([0, np.inf] * 5)))
    with pytest.raises(ValueError, match=r"sample_weight holds nan at sample 0"):
        ArrayBatches(X, Y, form(np.full(10, np.nan, np.float32)))


def test_a_batch_has_at_most_three_parts() -> None:
    assert unpack_x_y_sample_weight((X, Y)) == (X, Y, None)
    with pytest.raises(ValueError, match=r"a batch is x, \(x, y\) or \(x, y, sample_weight\), not a tuple of 4 parts"):
        unpack_x_y_sample_weight((1, 2, 3, 4))


def test_masked_values_are_refused() -> None:
    masked = np.ma.masked_greater(X, 17.5)
    with pytest.raises(ValueError, match=r"fit: x is a masked array, and 2 of its 20 values are masked: put other"):
        ArrayBatches(masked, Y)
    with pytest.raises(ValueError, match=r"fit: y\[1\] is a masked array"):
        ArrayBatches(X, [Y, masked])
    with pytest.raises(ValueError, match=r"predict: x is a masked array"):
        next(iter(IterableBatches([masked], caller="predict")))
    assert numbers(next(iter(ArrayBatches(masked[:8], Y[:8], batch_size=2))))[0] == X[:2].tolist()


@pytest.mark.parametrize("samples", [1, 3, 5])
@pytest.mark.parametrize("length", [1, 70_000, 200_000])
def test_nan_is_found_wherever_it_is(samples: int, length: int) -> None:
    for place in ((0, 0), (samples - 1, length - 1)):
        x = np.zeros((samples, length), np.float32)
        x[place] = np.nan
        for given in (x, td.tensor(x)):
            with pytest.raises(ValueError, match=rf"x holds nan at sample {place[0]}, place \({place[1]},\)"):
                ArrayBatches(given)
