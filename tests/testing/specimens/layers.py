"""Broken layers."""

from __future__ import annotations

import itertools
from typing import Any

import tinygrad_dnn as td
from tests.testing.specimens.breaking import breaks, crooked
from tinygrad_dnn.tensor import Tensor


class Scale(td.layers.Layer):
    """Multiplies each feature by a weight; there is nothing wrong in it."""

    def build(self, input_shape: Any) -> None:
        self.factor = self.add_weight((input_shape[-1],), "ones", name="factor")

    def call(self, inputs: Tensor) -> Tensor:
        return inputs * self.factor


@breaks("layers", "gradients", "its derivative is wrong")
class Crooked(Scale):
    def call(self, inputs: Tensor) -> Tensor:
        return crooked(inputs * self.factor)


@breaks("layers", "output_shape", "samples of [(None, 4)] gave (1, 4)")
class Misjudges(Scale):
    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], input_shape[-1] + 1)


@breaks("layers", "dtype", "with dtype='float64' its weight factor is float32")
class Narrow(Scale):
    def build(self, input_shape: Any) -> None:
        self.factor = self.add_weight((input_shape[-1],), "ones", name="factor", dtype="float32")


@breaks("layers", "inference_is_pure", "called again with training=False it gave or kept something else")
class CountsCalls(Scale):
    def build(self, input_shape: Any) -> None:
        self.factor = self.add_weight((input_shape[-1],), "ones", name="factor")
        self.calls = self.add_weight((), "zeros", name="calls", trainable=False)

    def call(self, inputs: Tensor) -> Tensor:
        self.calls.assign(self.calls + 1.0)
        return inputs * self.factor


@breaks("layers", "samples_apart", "a sample alone gave something else")
class CentresBatches(Scale):
    def call(self, inputs: Tensor) -> Tensor:
        return (inputs - inputs.mean(axis=0)) * self.factor


@breaks("layers", "finite_values", "an output is inf at 1000")
class Exponential(Scale):
    def call(self, inputs: Tensor) -> Tensor:
        return td.exp(inputs) * self.factor


@breaks("layers", "weights_kept", "its weights are called ['factor', 'factor']")
class Namesakes(Scale):
    def build(self, input_shape: Any) -> None:
        self.factor = self.add_weight((input_shape[-1],), "ones", name="factor")
        self.offset = self.add_weight((input_shape[-1],), "ones", name="factor")

    def call(self, inputs: Tensor) -> Tensor:
        return inputs * self.factor + self.offset


@breaks("layers", "training_flag", "inside a model it acted in another mode")
class HearsItsCallerAlone(Scale):
    def __call__(self, inputs: Any, *args: Any, training: bool | None = None, **kwargs: Any) -> Any:
        factor = 2.0 if training else 1.0
        return super().__call__(inputs, *args, training=training, **kwargs) * factor


_NUMBERS = itertools.count()


@breaks("layers", "in_a_file", "a model with it cannot be saved and loaded")
class NeverTheSameName(Scale):
    def build(self, input_shape: Any) -> None:
        self.factor = self.add_weight((input_shape[-1],), "ones", name=f"factor_{next(_NUMBERS)}")


@breaks("layers", "seeded", "two layers of seed=3 drew otherwise")
class DeafToItsSeed(Scale):
    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed
        self.generator = td.random.SeedGenerator()

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        return inputs * self.factor * (self.generator.uniform(inputs.shape) if training else 1.0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}


@breaks("layers", "learns", "training left the weight unused as it was")
class Hoards(Scale):
    def build(self, input_shape: Any) -> None:
        self.factor = self.add_weight((input_shape[-1],), "ones", name="factor")
        self.unused = self.add_weight((2,), "ones", name="unused")
