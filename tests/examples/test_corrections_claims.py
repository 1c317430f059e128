"""The lesson on claims that are false, contested or unfairly tested."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest

Correct = Callable[..., list[tuple[float, float]]]
SCRIPT = "corrections_claims"


def test_a_high_rate_overshoots(correct: Correct) -> None:
    assert correct(SCRIPT, "low_rate") == [(0, 40)]


def test_tanh_damps_and_weights_amplify(correct: Correct) -> None:
    (large, small), (light, heavy) = correct(SCRIPT, "tanh_gradient")
    assert large < 0.2
    assert 0.8 < small < 1
    assert light == small
    assert heavy > 10


def test_small_batches_fit_more_closely_in_as_many_epochs_alone(correct: Correct) -> None:
    after_epochs, at_one_loss, test_loss = correct(SCRIPT, "batch_size", seeds=1, samples=600)
    assert after_epochs[0] > after_epochs[1] + 0.1
    assert at_one_loss[0] == pytest.approx(at_one_loss[1], abs=0.08)
    assert test_loss[0] < test_loss[1] - 0.1


def test_reuse_is_worth_much_to_relu_layers_and_little_to_selu_layers(correct: Correct) -> None:
    (unfair, relu), (same, selu) = correct(SCRIPT, "transfer", seeds=2, samples=600)
    assert unfair == same
    assert relu > unfair + 3
    assert abs(selu) < 3


def test_layers_learn_in_phases(load: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    script, seen = load("corrections_claims"), []

    def fit(model: object, *data: object, epochs: int, **options: object) -> object:
        seen.append((epochs, len(model.trainable_weights)))
        return type("Fitted", (), {"history": {"val_accuracy": [0.5] * epochs}})

    monkeypatch.setattr(script.td.Sequential, "fit", fit)
    hidden = [script.layers.Dense(3, input_shape=(2,)), script.layers.Dense(3)]
    accuracy = script.learn(hidden, ((False, 4), (True, 6)), ((), ()), ())
    assert seen == [(4, 2), (6, 6)]
    assert accuracy.tolist() == [50.0] * 10
