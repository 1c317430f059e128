"""Random numbers: counter-based streams whose state is three integers, equal on every backend."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Sequence

import numpy as np

from tinygrad_dnn import backend as backends
from tinygrad_dnn.backend.element_types import FLOATING
from tinygrad_dnn.graph import Primitive, no_grad
from tinygrad_dnn.ops.elementwise import cos, log, sqrt
from tinygrad_dnn.tensor import DTypeLike, Tensor, Variable, apply, as_dtype, tensor

UNIFORM = Primitive("uniform", lambda xp, state, *, shape, dtype: xp.uniform(state, shape, dtype))


# A seed given to an initializer and to a dropout layer must not give both the same numbers.
_HOST_STREAM = 2**62


class _ThreadState(threading.local):
    """The seed of a thread and the number of streams it has given out."""

    def __init__(self) -> None:
        self.seed = int.from_bytes(os.urandom(7), "little")
        self.streams = 0


_state = _ThreadState()


def set_seed(seed: int) -> None:
    """Seed this thread: the initializers, dropout masks and shuffles that follow are the same in every run.

    Args:
        seed: An integer in [0, 2**63).

    Raises:
        ValueError: It is none.

    Example:
        >>> td.random.set_seed(1)
        >>> a = td.random.uniform((2,))
        >>> td.random.set_seed(1)
        >>> bool((td.random.uniform((2,)) == a).all())
        True
    """
    if not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**63:
        raise ValueError(f"a seed is an integer from 0 to 2**63 - 1, not {seed!r}.")
    _state.seed = int(seed)
    _state.streams = 0


def get_seed() -> int:
    """Return this thread's seed: what ``set_seed`` was given, else a number drawn when the thread first asked."""
    return _state.seed


def get_state() -> tuple[int, int]:
    """Return this thread's whole random state, to be put back by ``set_state``: its seed and the streams given out.

    Example:
        >>> state = td.random.get_state()
        >>> a = td.random.uniform((2,))
        >>> td.random.set_state(state)
        >>> bool((td.random.uniform((2,)) == a).all())
        True
    """
    return _state.seed, _state.streams


def set_state(state: tuple[int, int]) -> None:
    """Put back what ``get_state`` returned, in this thread."""
    _state.seed, _state.streams = state


def _next_stream() -> int:
    _state.streams += 1
    return _state.streams


def generator(seed: int | None = None) -> np.random.Generator:
    """Return a NumPy generator for drawing on the host: a new stream of this thread's seed, or that of ``seed``.

    Example:
        >>> td.random.generator(7).integers(10) == td.random.generator(7).integers(10)
        np.True_
    """
    key = (_state.seed, _next_stream()) if seed is None else (seed, _HOST_STREAM)
    return np.random.Generator(np.random.Philox(key=np.array(key, np.uint64)))


class SeedGenerator:
    """A stream of random Tensors whose whole state is one Variable: (seed, stream, draws made).

    Args:
        seed: The key of the stream; by default this thread's seed with a stream of its own.
        stream: Which of the seed's streams; by default the next unused one.

    Attributes:
        state: An int64 Variable of shape (3,); saving and restoring it resumes the stream exactly.
        number: The stream that it was last told to begin, None if never.

    Example:
        >>> stream = td.random.SeedGenerator(seed=5)
        >>> stream.uniform((2,)).shape
        (2,)
    """

    def __init__(self, seed: int | None = None, stream: int | None = None) -> None:
        if stream is None:
            stream = _next_stream() if seed is None else 0
        self.seed = seed
        self.number: int | None = None
        self.state = Variable(
            np.array([_state.seed if seed is None else seed, stream, 0], np.int64), name="seed_generator_state"
        )
        self._one_draw = tensor(np.array([0, 0, 1], np.int64), backend=self.state.backend)

    def restart(self, stream: int) -> None:
        """Begin the given stream of the same seed, unless the user chose a seed."""
        self.number = stream
        if self.seed is None:
            self.state.assign(np.array([_state.seed, stream, 0], np.int64))

    def uniform(
        self, shape: Sequence[int], minval: float = 0.0, maxval: float = 1.0, dtype: DTypeLike | None = None
    ) -> Tensor:
        """Draw uniform numbers in [minval, maxval) of a shape, and advance the state.

        Raises:
            TypeError: ``dtype`` is no floating-point type.
        """
        with no_grad():
            target = as_dtype(backends.floatx() if dtype is None else dtype)
            if target.kind not in FLOATING:
                raise TypeError(f"random numbers are drawn as floats, not as {target.name}: cast them afterwards.")
            drawn = apply(UNIFORM, (self.state,), {"shape": tuple(shape), "dtype": target})
            self.state.assign(self.state + self._one_draw)
            return drawn if (minval, maxval) == (0.0, 1.0) else drawn * (maxval - minval) + minval

    def normal(
        self, shape: Sequence[int], mean: float = 0.0, stddev: float = 1.0, dtype: DTypeLike | None = None
    ) -> Tensor:
        """Draw normal numbers of a shape (Box and Muller, 1958), and advance the state."""
        with no_grad():
            radius = sqrt(-2.0 * log(1.0 - self.uniform(shape, dtype=dtype)))
            return radius * cos(2 * math.pi * self.uniform(shape, dtype=dtype)) * stddev + mean


def uniform(
    shape: Sequence[int],
    minval: float = 0.0,
    maxval: float = 1.0,
    dtype: DTypeLike | None = None,
    seed: int | None = None,
) -> Tensor:
    """Draw uniform numbers in [minval, maxval): the same for the same ``seed``, else from a new stream each call.

    Example:
        >>> td.random.uniform((2, 3)).shape
        (2, 3)
    """
    return SeedGenerator(seed).uniform(shape, minval, maxval, dtype)


def normal(
    shape: Sequence[int],
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: DTypeLike | None = None,
    seed: int | None = None,
) -> Tensor:
    """Draw normal numbers: the same for the same ``seed``, else from a new stream each call.

    Example:
        >>> td.random.normal((2, 3)).shape
        (2, 3)
    """
    return SeedGenerator(seed).normal(shape, mean, stddev, dtype)
