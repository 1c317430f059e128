"""Ensemble: several models whose outputs are averaged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygrad_dnn import ops
from tinygrad_dnn.layers import Layer
from tinygrad_dnn.models.base import Model
from tinygrad_dnn.tensor import Tensor


class Ensemble(Model):
    """Several models as one, whose output is the mean of theirs.

    Members that were trained apart, from other weights or on other samples, err apart: their mean is as a rule better
    than each. Compile it to ``evaluate`` it; ``fit`` trains the members together, on the loss of their mean.

    Args:
        members: Models or layers, at least one, that take the same inputs and give outputs of one shape.
        **kwargs: Those of ``Layer``.

    Attributes:
        members: As given, in a list.

    Raises:
        ValueError: There is no member, or their outputs differ in shape.
        TypeError: A member is no layer.

    Example:
        >>> first, second = (td.models.Sequential([td.layers.Dense(1, input_shape=(2,))]) for _ in range(2))
        >>> x = np.ones((3, 2))
        >>> together = td.models.Ensemble([first, second]).predict(x)
        >>> bool(np.allclose(together, (first.predict(x) + second.predict(x)) / 2))
        True

    Reference:
        Hansen and Salamon (1990): Neural network ensembles. IEEE PAMI 12.
    """

    def __init__(self, members: Sequence[Layer], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.members = list(members)
        if not self.members:
            raise ValueError(f"ensemble {self.name!r} has no members: give it at least one model.")
        for member in self.members:
            if not isinstance(member, Layer):
                raise TypeError(f"ensemble {self.name!r}: a member is a model or a layer, not {member!r}.")

    def call(self, inputs: Any, training: bool = False) -> Tensor:
        """Return the mean of the members' outputs."""
        outputs = [member(inputs) for member in self.members]
        shapes = {member.name: output.shape for member, output in zip(self.members, outputs, strict=True)}
        if len(set(shapes.values())) > 1:
            raise ValueError(f"ensemble {self.name!r}: the members' outputs must have one shape, not {shapes}.")
        return ops.mean(ops.stack(outputs), 0)
