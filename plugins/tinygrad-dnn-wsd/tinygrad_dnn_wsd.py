"""The learning-rate schedule warm-up, stable, decay, as a plugin for tinygrad_dnn."""

from typing import ClassVar

import tinygrad_dnn as td
from tinygrad_dnn import hookimpl
from tinygrad_dnn.checks import as_choice, as_integer, as_number

SHAPES = {
    "1-sqrt": lambda gone: 1.0 - td.sqrt(gone),
    "linear": lambda gone: 1.0 - gone,
    "cosine": lambda gone: 0.5 + 0.5 * td.cos(gone * 3.141592653589793),
}


class WarmupStableDecay(td.schedulers.LearningRateSchedule):
    """Up in a line, then one rate for as long as one likes, and down at the end.

    Unlike half a cosine wave, the long stable part does not depend on how long the training will be: it can be gone on
    with from any of its steps, and the decay be appended when it is wanted.

    Args:
        learning_rate: The stable rate, at least 0.
        total_steps: The steps of the training, an integer of at least 1; from there on the rate stays at its last.
        warmup_steps: In how many first steps it rises, at least 0; step s has (s + 1) / warmup_steps of the rate.
        decay_steps: In how many last steps it falls, at least 0.
        final_learning_rate: Where it falls to, at least 0 and at most ``learning_rate``.
        decay: The way it falls: "1-sqrt", "linear" or "cosine".

    Raises:
        ValueError: An argument is out of its range, or warm-up and decay do not fit into the total.

    Example:
        >>> schedule = td.schedulers.get("wsd", learning_rate=0.1, total_steps=100, warmup_steps=10, decay_steps=20)
        >>> [round(float(schedule(step)), 3) for step in (0, 9, 50, 80, 85, 100, 1000)]
        [0.01, 0.1, 0.1, 0.1, 0.05, 0.0, 0.0]

    Reference:
        Hu et al., "MiniCPM: unveiling the potential of small language models with scalable training strategies", 2024;
        the decay 1-sqrt: Hägele et al., "Scaling laws and compute-optimal training beyond fixed training durations",
        2024.
    """

    conformance: ClassVar = [
        {"arguments": {"learning_rate": 0.1, "total_steps": 50, "warmup_steps": 5, "decay_steps": 9, "decay": decay}}
        for decay in SHAPES
    ]

    def __init__(
        self, learning_rate, total_steps, warmup_steps=0, decay_steps=0, final_learning_rate=0.0, decay="1-sqrt"
    ):
        self.learning_rate = as_number(learning_rate, "WarmupStableDecay: learning_rate", "[0, inf)")
        self.total_steps = as_integer(total_steps, "WarmupStableDecay: total_steps", "[1, inf)")
        self.warmup_steps = as_integer(warmup_steps, "WarmupStableDecay: warmup_steps", "[0, inf)")
        self.decay_steps = as_integer(decay_steps, "WarmupStableDecay: decay_steps", "[0, inf)")
        self.final_learning_rate = as_number(
            final_learning_rate, "WarmupStableDecay: final_learning_rate", f"[0, {self.learning_rate!r}]"
        )
        self.decay = as_choice(decay, "WarmupStableDecay: decay", SHAPES)
        if self.warmup_steps + self.decay_steps > self.total_steps:
            raise ValueError(
                f"WarmupStableDecay: warmup_steps ({warmup_steps}) and decay_steps ({decay_steps}) together are more "
                f"than total_steps ({total_steps})."
            )

    def __call__(self, step):
        """Return the learning rate at ``step``."""
        # In float64: float32 does not tell 16,777,216 steps from one more.
        steps = td.cast(step, "float64")
        risen = td.minimum((steps + 1.0) / max(self.warmup_steps, 1), 1.0)
        gone = (steps - (self.total_steps - self.decay_steps)) / max(self.decay_steps, 1)
        left = SHAPES[self.decay](td.clip(gone, 0.0, 1.0)) if self.decay_steps else 1.0
        falling = self.final_learning_rate + (self.learning_rate - self.final_learning_rate) * left
        return td.cast(risen * falling, td.backend.floatx())

    def get_config(self):
        """Return the arguments that make this schedule again."""
        own = ("learning_rate", "total_steps", "warmup_steps", "decay_steps", "final_learning_rate", "decay")
        return {name: getattr(self, name) for name in own}


@hookimpl
def register_schedulers(register):
    """Give ``WarmupStableDecay`` the name that everybody uses, and its own."""
    register(WarmupStableDecay, name="wsd", aliases=("warmup_stable_decay",))
