"""The probes that only a GPU can answer, by their numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.gpu_check import arrays, training
from tests.gpu_check.card import Card
from tests.gpu_check.figures import Figure

PROBES: dict[str, tuple[str, Callable[[Card], Iterator[Figure]]]] = {
    "1": ("products on an own handle inside a capture", arrays.products_in_a_capture),
    "2": ("the graph's memory under pressure", training.memory_under_pressure),
    "3": ("reductions and random numbers inside a capture", arrays.reductions_and_draws_in_a_capture),
    "4": ("random numbers, bit for bit", arrays.random_bits),
    "5": ("what the processor spends on a launch", arrays.cost_of_a_launch),
    "6": ("eager steps and replayed ones", training.eager_and_replay),
    "7": ("exactness of float32, with TF32 off", arrays.float32_error),
}
