"""Batches that fit, evaluate and predict ask for by their number, as Keras's PyDataset and Sequence give them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn as td
from tests.training import resuming
from tests.training.resuming import BATCH, EPOCHS, STEPS, X, Y, dense
from tinygrad_dnn.data import IndexedBatches, IterableBatches, is_indexed

pytestmark = pytest.mark.usefixtures("backend")


class Rows:
    """The rows of X in batches; it notes which were asked for, and what else it hears."""

    def __init__(self) -> None:
        self.rows = np.arange(len(X))
        self.asked: list[Any] = []

    def __len__(self) -> int:
        return STEPS

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        if not 0 <= number < STEPS:
            raise IndexError(number)
        self.asked.append(number)
        rows = self.rows[number * BATCH : (number + 1) * BATCH]
        return X[rows], Y[rows]


class Listening(Rows):
    """One that hears of epochs, and can be iterated."""

    def on_epoch_begin(self) -> None:
        self.asked.append("begin")

    def on_epoch_end(self) -> None:
        self.asked.append("end")

    def __iter__(self) -> Iterator[Any]:
        raise AssertionError("it is asked by numbers")


class Shuffling(Rows):
    """One that shuffles its rows after each epoch, as Keras's examples do."""

    def __init__(self) -> None:
        super().__init__()
        self.rng = np.random.default_rng(7)

    def on_epoch_end(self) -> None:
        self.rng.shuffle(self.rows)


class Endless:
    """One without an end, as Keras has it; its batches change from one to the next."""

    num_batches = None

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        return X[:BATCH] + np.float32(number / 100), Y[:BATCH]


class Keeping(Rows):
    """One with random numbers of its own, whose state it gives away."""

    def __init__(self) -> None:
        super().__init__()
        self.rng = np.random.default_rng(8)

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        x, y = super().__getitem__(number)
        return x + self.rng.normal(size=x.shape).astype(np.float32), y

    def get_state(self) -> Any:
        return {"generator": self.rng.bit_generator.state}

    def set_state(self, state: Any) -> None:
        self.rng.bit_generator.state = state["generator"]


def trained(data: Any, **options: Any) -> td.Model:
    td.utils.set_random_seed(1)
    model = dense()()
    model.fit(data, verbose=0, **options)
    return model


def test_each_epoch_asks_for_all_in_a_new_order() -> None:
    data = Rows()
    trained(data, epochs=3)
    epochs = [data.asked[i : i + STEPS] for i in range(0, 3 * STEPS, STEPS)]
    assert len(data.asked) == 3 * STEPS
    assert [sorted(epoch) for epoch in epochs] == [[*range(STEPS)]] * 3
    assert len({tuple(epoch) for epoch in epochs}) == 3
    again = Rows()
    trained(again, epochs=3)
    assert again.asked == data.asked
    assert {type(number) for number in data.asked} == {int}


def test_in_order_it_teaches_what_the_arrays_teach() -> None:
    by_number = trained(Rows(), epochs=2, shuffle=False, class_weight={0: 2.0})
    arrays = trained(X, y=Y, batch_size=BATCH, epochs=2, shuffle=False, class_weight={0: 2.0})
    assert by_number.history.history == arrays.history.history
    assert all(np.array_equal(a, b) for a, b in zip(by_number.get_weights(), arrays.get_weights(), strict=True))


def test_it_hears_of_epochs() -> None:
    data, validation = Listening(), Listening()
    trained(data, epochs=2, shuffle=False, validation_data=validation, validation_steps=2)
    assert data.asked == ["begin", *range(STEPS), "end"] * 2
    assert validation.asked == ["begin", 0, 1, "end"] * 2


def test_epochs_of_some_steps_follow_each_other() -> None:
    data = Rows()
    trained(data, epochs=3, steps_per_epoch=4, shuffle=False)
    assert data.asked == [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5]
    data = Rows()
    trained(data, epochs=3, steps_per_epoch=4)
    assert sorted(data.asked[:STEPS]) == sorted(data.asked[STEPS:]) == [*range(STEPS)]
    assert trained(Endless(), epochs=2, steps_per_epoch=3).history.epoch == [0, 1]


def test_evaluating_and_predicting_go_in_order() -> None:
    model, data = trained(Rows()), Rows()
    assert model.evaluate(data, verbose=0) == model.evaluate(X, Y, batch_size=BATCH, verbose=0)
    assert np.array_equal(model.predict(data), model.predict(X, batch_size=BATCH))
    assert data.asked == [*range(STEPS)] * 2
    assert model.predict(Endless(), steps=2).shape == (2 * BATCH, 3)


@pytest.mark.parametrize("save_freq", ["epoch", 1, 4])
@pytest.mark.parametrize(
    ("data", "options"),
    [
        (Rows, {}),
        (Rows, {"validation_data": (X[:9], Y[:9])}),
        (Rows, {"steps_per_epoch": 4}),
        (Shuffling, {}),
        (Shuffling, {"shuffle": False}),
        (Keeping, {}),
        (Endless, {"steps_per_epoch": STEPS}),
    ],
)
def test_a_training_goes_on_to_the_bit(tmp_path: Path, data: Any, options: Any, save_freq: Any) -> None:
    expected = resuming.straight(dense(), x=data, **options)
    # A step has two calls: in the first epoch, at the end of the second, and in the third.
    places = [5, 14, 12 + 1 + 7]
    got = resuming.resumed(dense(), tmp_path / "backup", places, save_freq, x=data, **options)
    assert [key for key in expected if got.get(key) != expected[key]] == []


def test_another_number_of_batches_is_another_training(tmp_path: Path) -> None:
    class Fewer(Rows):
        def __len__(self) -> int:
            return STEPS - 1

    backup = td.callbacks.BackupAndRestore(tmp_path / "b", 1)
    with pytest.raises(resuming.InterruptionError):
        trained(Rows(), callbacks=[backup, resuming.Interrupt(9)], epochs=EPOCHS)
    with pytest.raises(ValueError, match="batches is 6 there and 5 here"):
        trained(Fewer(), callbacks=[backup], epochs=EPOCHS)


def test_what_cannot_be_gone_through_is_refused() -> None:
    class Empty(Rows):
        def __len__(self) -> int:
            return 0

    model = dense()()
    with pytest.raises(ValueError, match=r"fit: Empty has no batches, its length is 0"):
        model.fit(Empty())
    with pytest.raises(ValueError, match=r"fit: Endless has no end: say how many steps an epoch takes"):
        model.fit(Endless())
    with pytest.raises(ValueError, match=r"evaluate: Rows gives batches \(x, y\) by their number: leave out y"):
        model.evaluate(Rows(), Y)
    with pytest.raises(ValueError, match=r"fit: sample_weight is for arrays"):
        model.fit(Rows(), sample_weight=np.ones(22))


def test_what_else_has_items_is_none() -> None:
    class Iterated(Rows):
        def __iter__(self) -> Iterator[Any]:
            yield X, Y

    for other in ([1], (1,), {"a": 1}, "ab", b"ab", X, td.tensor(X), range(3), Iterated(), iter([1]), None):
        assert not is_indexed(other)
    assert is_indexed(Rows())
    assert is_indexed(Listening())
    assert not isinstance(IterableBatches(Iterated()).batches, IndexedBatches)
