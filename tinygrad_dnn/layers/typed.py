"""In which types a layer keeps its weights, takes its inputs and computes: its dtype policy."""

from __future__ import annotations

from typing import ClassVar

from tinygrad_dnn import ops
from tinygrad_dnn.precision import DTypePolicy, PolicyLike, as_policy
from tinygrad_dnn.tensor import Tensor, Variable, as_dtype


class Typed:
    """Base of ``Layer``: what it keeps, takes and computes in.

    Attributes:
        dtype: The name of the type of its weights.
        compute_dtype: The name of the type that it computes in, and of what it gives.
        input_dtype: The name of the type that floating-point inputs are cast to when it is called.

    Example:
        >>> dense = td.layers.Dense(2, dtype="mixed_float16")
        >>> isinstance(dense, td.layers.typed.Typed), dense.dtype, dense.compute_dtype
        (True, 'float32', 'float16')
    """

    name: str
    dtype: str
    compute_dtype: str
    input_dtype: str
    _added_weights: list[Variable]

    # Whether inputs keep the width of its weights, though it computes in 16 bits: raw data may need it.
    _keeps_width: ClassVar[bool] = False

    def _take(self, dtype: PolicyLike | None) -> None:
        """Follow a policy; three names are what a call asks for."""
        try:
            policy = as_policy(dtype)
        except TypeError as error:
            raise TypeError(
                f"layer {self.name!r}: dtype must be a numeric type, not {dtype!r}; or a policy, as 'mixed_float16'."
            ) from error
        self.dtype, self.compute_dtype = policy.variable_dtype, policy.compute_dtype
        self.input_dtype = self.dtype if self._keeps_width else self.compute_dtype

    @property
    def variable_dtype(self) -> str:
        """``dtype``, the name of the type of its weights."""
        return self.dtype

    @property
    def dtype_policy(self) -> DTypePolicy:
        """What it keeps its weights in and computes in; it may be set, to one that keeps the weights in their type."""
        return DTypePolicy(self.dtype if self.dtype == self.compute_dtype else f"mixed_{self.compute_dtype}")

    @dtype_policy.setter
    def dtype_policy(self, policy: PolicyLike) -> None:
        before = self.dtype_policy
        self._take(policy)
        if self._added_weights and self.dtype != before.variable_dtype:
            kept, self.dtype = self.dtype, before.variable_dtype
            self._take(before)
            raise ValueError(
                f"layer {self.name!r} has weights of {self.dtype} already, and the policy {policy!r} wants {kept}: "
                "give it to the constructor, as dtype."
            )
        for weight in self._added_weights:
            self._let_cast(weight)

    def _let_cast(self, weight: Variable) -> None:
        """Let a weight take the type that the layer computes in beside a Tensor of it."""
        narrower = self.compute_dtype != self.dtype == weight.dtype
        weight._autocast = as_dtype(self.compute_dtype) if narrower else None

    def _rounded(self, outputs: Tensor) -> Tensor:
        """Return what was computed in the type of the weights in that of the layer's outputs."""
        return outputs if self.compute_dtype == self.dtype else ops.cast(outputs, self.compute_dtype)
