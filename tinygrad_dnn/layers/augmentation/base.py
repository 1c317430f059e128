"""What the layers that change images share: their inputs, their draws, and the meaning of a factor."""

from __future__ import annotations

from typing import Any

from tinygrad_dnn import ops
from tinygrad_dnn.checks import as_number, as_seed
from tinygrad_dnn.layers.arguments import Shape
from tinygrad_dnn.layers.base import Layer
from tinygrad_dnn.ops.geometry import check_data_format
from tinygrad_dnn.ops.random import SeedGenerator
from tinygrad_dnn.tensor import Tensor


def as_factor(value: Any, owner: str, allowed: str) -> tuple[float, float]:
    """Return a number or a pair of them as a pair, the number twice; ``owner`` is what an error calls it.

    Raises:
        ValueError: It is neither, or lies outside of what is allowed.
    """
    numbers = tuple(value) if isinstance(value, (list, tuple)) else (value, value)
    expected = f"a number in {allowed}, or a pair of them"
    if len(numbers) != 2:
        raise ValueError(f"{owner} must be {expected}, not {value!r}.")
    first, second = (as_number(number, owner, allowed, expected) for number in numbers)
    return first, second


def as_bounds(value: Any, owner: str, allowed: str) -> tuple[float, float]:
    """Return what is drawn from: between the two numbers of a pair, or as far below 0 as above it for a number.

    Raises:
        ValueError: As for ``as_factor``.
    """
    first, second = as_factor(value, owner, allowed)
    return (min(first, second), max(first, second)) if isinstance(value, (list, tuple)) else (-abs(first), abs(first))


def as_given(value: Any) -> Any:
    """Return a factor that was checked as a configuration holds it: Python's float, or a list of two."""
    return [float(number) for number in value] if isinstance(value, (list, tuple)) else float(value)


def as_value_range(value: Any, owner: str) -> tuple[float, float]:
    """Return the least and the largest value of a pixel as floats; ``owner`` is what an error calls them.

    Raises:
        ValueError: They are no pair of finite numbers in ascending order.
    """
    expected = "a pair of finite numbers, the least and the largest value of a pixel"
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ValueError(f"{owner} must be {expected}, not {value!r}.")
    low, high = (as_number(number, owner, expected=expected) for number in value)
    if low >= high:
        raise ValueError(f"{owner} must be {expected}, not {value!r}.")
    return low, high


class ImageLayer(Layer):
    """A layer of images, (batch, height, width, channels).

    Args:
        data_format: None or "channels_last", the only order of axes there is.
        **kwargs: Those of ``Layer``.
    """

    _keeps_width = True

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_data_format(data_format, self._title)

    @property
    def _title(self) -> str:
        return f"{type(self).__name__} {self.name!r}"

    def _check(self, shape: Shape) -> None:
        """Refuse inputs that are no batch of images."""
        if len(shape) != 4:
            hint = "; x[None] makes a batch of a single image, x[..., None] gives grey images their axis of channels"
            raise ValueError(
                f"{self._title} takes images of shape (batch, height, width, channels), not {tuple(shape)}"
                f"{hint if len(shape) == 3 else ''}."
            )

    def build(self, input_shape: Shape) -> None:
        """Check that the inputs are images."""
        self.compute_output_shape(input_shape)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the same shape."""
        self._check(input_shape)
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
        return {**super().get_config(), "data_format": "channels_last"}


class RandomImageLayer(ImageLayer):
    """A layer that changes images at random in training, each image of a batch by a draw of its own.

    Args:
        seed: Of the draws, as for ``Dropout``.
        data_format: As for ``ImageLayer``.
        **kwargs: Those of ``Layer``.
    """

    def __init__(self, seed: int | None = None, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(data_format, **kwargs)
        self.seed = as_seed(seed, f"{self._title}: seed")
        self.seed_generator = SeedGenerator(self.seed)

    def call(self, inputs: Tensor, training: bool = True) -> Tensor:
        """Return the images changed, or at inference as they are; bytes become floats in both cases."""
        self.compute_output_shape(inputs.shape)
        images = ops.cast(inputs, self.dtype)
        return self._rounded(self._changed(images) if training else self._unchanged(images))

    def _changed(self, images: Tensor) -> Tensor:
        """Return what training sees."""
        raise NotImplementedError

    def _unchanged(self, images: Tensor) -> Tensor:
        """Return what inference sees."""
        return images

    def _draw(self, images: Tensor, bounds: tuple[float, float]) -> Tensor:
        """Return a uniform number for each image, in the shape that broadcasts to them."""
        return self.seed_generator.uniform((images.shape[0], 1, 1, 1), *bounds, dtype=self._draws)

    @property
    def _draws(self) -> str:
        """The type of what is drawn, which a place in an image must fit in."""
        return "float64" if self.dtype == "float64" else "float32"

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
        return {**super().get_config(), "seed": self.seed}
