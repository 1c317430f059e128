"""Dtype policies: in which type a layer keeps its weights, and in which one it computes."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any, TypeAlias

from tinygrad_dnn import backend
from tinygrad_dnn.tensor import DTypeLike, as_dtype

_MIXED = "mixed_"
_NARROW = ("float16", "bfloat16")
_CHOICES = "'float16', 'bfloat16', 'float32' or 'float64'"


class DTypePolicy:
    """In which type a layer keeps its weights, and in which one it computes.

    Args:
        name: "mixed_float16" or "mixed_bfloat16" for weights in float32 and computation in 16 bits; or a dtype, for
            both. By default the thread's policy.

    Attributes:
        name: As given.
        compute_dtype: The name of the type that a layer computes in.
        variable_dtype: The name of the type of its weights.

    Raises:
        TypeError: It is neither; or "bfloat16" alone, in whose 8 binary digits a weight would lose most of its updates.
        ImportError: It computes in bfloat16, and the package ml_dtypes is not installed.

    Example:
        >>> policy = td.mixed_precision.DTypePolicy("mixed_float16")
        >>> policy, policy.compute_dtype, policy.variable_dtype
        (<DTypePolicy 'mixed_float16'>, 'float16', 'float32')
    """

    __slots__ = ("compute_dtype", "name", "variable_dtype")

    name: str
    compute_dtype: str
    variable_dtype: str

    def __init__(self, name: DTypeLike | None = None) -> None:
        if name is None:
            name = global_policy().name
        if isinstance(name, str) and name.startswith(_MIXED):
            self.compute_dtype, self.variable_dtype = name.removeprefix(_MIXED), "float32"
            if self.compute_dtype not in _NARROW:
                raise TypeError(f"a mixed dtype policy is 'mixed_float16' or 'mixed_bfloat16', not {name!r}.")
            as_dtype(self.compute_dtype)
            self.name = name
        else:
            self.name = self.compute_dtype = self.variable_dtype = as_dtype(name).name
            if self.name == "bfloat16":
                raise TypeError("weights are not kept in bfloat16: compute in it by the policy 'mixed_bfloat16'.")

    def __repr__(self) -> str:
        return f"<DTypePolicy {self.name!r}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DTypePolicy) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this policy again."""
        return {"name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DTypePolicy:
        """Return the policy that ``get_config`` described."""
        return cls(**config)


PolicyLike: TypeAlias = "DTypePolicy | DTypeLike"


class _ThreadState(threading.local):
    policy: DTypePolicy | None = None


_state = _ThreadState()


def global_policy() -> DTypePolicy:
    """Return this thread's policy: the one last chosen, else that of ``backend.floatx()`` for all.

    Example:
        >>> td.mixed_precision.global_policy()
        <DTypePolicy 'float32'>
    """
    return _state.policy or DTypePolicy(backend.floatx())


def as_policy(policy: PolicyLike | None) -> DTypePolicy:
    """Return what a layer's ``dtype`` means: a policy, its name or a dtype; None is the thread's policy.

    Raises:
        TypeError, ImportError: As for ``DTypePolicy``.

    Example:
        >>> td.precision.as_policy("float64")
        <DTypePolicy 'float64'>
    """
    return policy if isinstance(policy, DTypePolicy) else DTypePolicy(policy)


class mixed_precision:  # noqa: N801  # used as a function, and in a with statement, as backend.use is
    """Let the layers that this thread makes compute in a type, from now on or inside a ``with`` block.

    In float16 and bfloat16 the weights stay float32 and are rounded where they are used; sums within products, means,
    the statistics of normalisation, softmax and the loss are computed in float32. With float16, ``compile`` wraps the
    optimizer in a ``LossScaleOptimizer``. A layer keeps the policy it was made under. Two of 16 bits are faster where
    the hardware has units for them; on a CPU NumPy emulates them, which is for trying out what they do to a training.

    The names by which Keras's users know this are attributes: ``set_global_policy``, ``set_dtype_policy``,
    ``global_policy``, ``dtype_policy``, ``Policy``, ``DTypePolicy``.

    Args:
        dtype: "float16" or "bfloat16"; "float32" or "float64" for no mixture; or a policy or its name.

    Raises:
        ValueError: It is none of these.
        ImportError: It is bfloat16, and the package ml_dtypes is not installed.

    Example:
        >>> with td.mixed_precision("float16"):
        ...     layer = td.layers.Dense(2, kernel_initializer="ones")
        >>> layer(np.ones((1, 3))).detach(), layer.kernel.dtype.name
        (Tensor([[3., 3.]], dtype=float16), 'float32')
        >>> layer.dtype_policy
        <DTypePolicy 'mixed_float16'>

    Reference:
        Micikevicius et al., "Mixed precision training", 2018.
    """

    DTypePolicy: TypeAlias = DTypePolicy
    Policy: TypeAlias = DTypePolicy
    global_policy = dtype_policy = staticmethod(global_policy)

    def __init__(self, dtype: PolicyLike) -> None:
        if isinstance(dtype, str) and dtype in _NARROW:
            dtype = _MIXED + dtype
        self._policy = _checked(dtype)
        self._previous = [_state.policy]
        self._entered = False
        _state.policy = self._policy

    def __enter__(self) -> Policy:
        # A block that follows at once ends what making it began; any other one counts from here.
        if self._entered or _state.policy is not self._policy:
            self._previous.append(_state.policy)
            _state.policy = self._policy
        self._entered = True
        return self._policy

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _state.policy = self._previous.pop()

    @staticmethod
    def set_global_policy(policy: PolicyLike | None) -> None:
        """Set this thread's policy, by Keras's name for it; None follows ``backend.floatx()`` again.

        Args:
            policy: A ``DTypePolicy`` or its name: "mixed_float16", "mixed_bfloat16", "float32", "float64".

        Raises:
            ValueError: It is none of these.
            ImportError: It computes in bfloat16, and the package ml_dtypes is not installed.

        Example:
            >>> td.mixed_precision.set_global_policy("mixed_float16")
            >>> td.layers.Dense(2).compute_dtype
            'float16'
            >>> td.mixed_precision.set_global_policy(None)
        """
        _state.policy = None if policy is None else _checked(policy)

    set_dtype_policy = set_global_policy


def _checked(policy: PolicyLike | None) -> DTypePolicy:
    """Return a policy for all layers, whose weights can learn."""
    try:
        found = None if policy is None else as_policy(policy)
    except TypeError:
        found = None
    if found is None or found.variable_dtype not in ("float32", "float64"):
        raise ValueError(
            f"mixed_precision takes {_CHOICES}, or a policy's name as 'mixed_float16', not {policy!r}: one layer alone "
            "may have another by its argument dtype."
        )
    return found
