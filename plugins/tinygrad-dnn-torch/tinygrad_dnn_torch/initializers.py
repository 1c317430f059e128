"""The distributions of ``torch.nn.init``, and those that ``torch.nn.Linear`` and ``Conv2d`` begin with.

The same formulas, not the same numbers: these draw from this project's generator. Weights are (inputs, outputs) here,
(outputs, inputs) in PyTorch; fan_in is the number of inputs in both.
"""

import math
from typing import ClassVar

import numpy as np

import tinygrad_dnn as td
from tinygrad_dnn.checks import as_choice, as_number

# Shapes that have a fan_in, for the conformance kit.
WEIGHTS = [(4, 3), (3, 3, 2, 4)]


def fans(shape):
    """Return how many inputs and outputs a weight connects, (fan_in, fan_out), as PyTorch counts them."""
    if len(shape) < 2:
        raise ValueError(f"fan_in and fan_out are those of a weight with at least 2 axes, not of shape {tuple(shape)}.")
    window = math.prod(shape[:-2])
    return window * shape[-2], window * shape[-1]


class _Init(td.initializers.Initializer):
    """What all share: numbers drawn in the type asked for, and the arguments by name."""

    _names = ()

    def get_config(self):
        """Return the arguments that make this initializer again."""
        return {**{key: getattr(self, key) for key in self._names}, "seed": self.seed}

    def _uniform(self, limit, shape, dtype):
        return self.rng().uniform(-limit, limit, shape).astype(dtype or td.backend.floatx())

    def _normal(self, stddev, shape, dtype):
        return (stddev * self.rng().standard_normal(shape)).astype(dtype or td.backend.floatx())


class _Kaiming(_Init):
    """Variance 2 / (1 + a^2) / fan."""

    _names = ("a", "mode")

    def __init__(self, a=0.0, mode="fan_in", seed=None):
        super().__init__(seed)
        self.a = as_number(a, f"torch: {type(self).__name__}: a")
        self.mode = as_choice(mode, f"torch: {type(self).__name__}: mode", ("fan_in", "fan_out"))

    def _stddev(self, shape):
        fan = fans(shape)[("fan_in", "fan_out").index(self.mode)]
        return math.sqrt(2.0 / (1 + self.a**2) / max(fan, 1))


class KaimingUniform(_Kaiming):
    """Uniform, of variance 2 / (1 + a^2) / fan, for leaky ReLUs of slope ``a`` (He et al., 2015).

    With ``a=math.sqrt(5)``, which ``torch.nn.Linear`` begins with, the limit is 1 / sqrt(fan_in): see
    ``torch.linear``.

    Args:
        a: The slope below 0; 0 is the ReLU's, and Keras's he_uniform.
        mode: "fan_in" or "fan_out".
        seed: As for ``td.initializers.Initializer``.

    Raises:
        ValueError: An argument is out of its range; on calling, the weight has less than 2 axes.

    Example:
        >>> w = td.initializers.get("torch.kaiming_uniform", a=5**0.5)((25, 10))
        >>> bool(abs(w).max() <= 1 / 25**0.5)
        True
    """

    conformance: ClassVar = {
        "inputs": WEIGHTS,
        "claims": {"mean": 0.0, "variance": lambda fan_in, fan_out: 2 / fan_in},
    }

    def __call__(self, shape, dtype=None):
        """Return the values of a weight."""
        return self._uniform(math.sqrt(3) * self._stddev(shape), shape, dtype)


class KaimingNormal(_Kaiming):
    """Normal, of variance 2 / (1 + a^2) / fan, and not cut off as Keras's he_normal is.

    Args:
        a: The slope below 0.
        mode: "fan_in" or "fan_out".
        seed: As for ``td.initializers.Initializer``.

    Raises:
        ValueError: An argument is out of its range; on calling, the weight has less than 2 axes.

    Example:
        >>> layer = td.layers.Dense(100, activation="relu", kernel_initializer="torch.kaiming_normal")
    """

    conformance: ClassVar = {
        "inputs": WEIGHTS,
        "claims": {"mean": 0.0, "variance": lambda fan_in, fan_out: 2 / fan_in},
    }

    def __call__(self, shape, dtype=None):
        """Return the values of a weight."""
        return self._normal(self._stddev(shape), shape, dtype)


class _Xavier(_Init):
    """Variance gain^2 2 / (fan_in + fan_out)."""

    _names = ("gain",)

    def __init__(self, gain=1.0, seed=None):
        super().__init__(seed)
        self.gain = as_number(gain, f"torch: {type(self).__name__}: gain", "[0, inf)")

    def _stddev(self, shape):
        return self.gain * math.sqrt(2.0 / max(sum(fans(shape)), 1))


class XavierUniform(_Xavier):
    """Uniform, of variance gain^2 2 / (fan_in + fan_out); Keras's glorot_uniform has no gain.

    Args:
        gain: What the numbers are multiplied by, at least 0; 5/3 for tanh.
        seed: As for ``td.initializers.Initializer``.

    Raises:
        ValueError: An argument is out of its range; on calling, the weight has less than 2 axes.

    Example:
        >>> layer = td.layers.Dense(100, kernel_initializer=td.initializers.get("torch.xavier_uniform", gain=5 / 3))
    """

    conformance: ClassVar = {
        "inputs": WEIGHTS,
        "claims": {"mean": 0.0, "variance": lambda fan_in, fan_out: 2 / (fan_in + fan_out)},
    }

    def __call__(self, shape, dtype=None):
        """Return the values of a weight."""
        return self._uniform(math.sqrt(3) * self._stddev(shape), shape, dtype)


class XavierNormal(_Xavier):
    """Normal, of variance gain^2 2 / (fan_in + fan_out), and not cut off as Keras's glorot_normal is.

    Args:
        gain: What the numbers are multiplied by, at least 0.
        seed: As for ``td.initializers.Initializer``.

    Raises:
        ValueError: An argument is out of its range; on calling, the weight has less than 2 axes.

    Example:
        >>> layer = td.layers.Dense(100, kernel_initializer="torch.xavier_normal")
    """

    conformance: ClassVar = {
        "inputs": WEIGHTS,
        "claims": {"mean": 0.0, "variance": lambda fan_in, fan_out: 2 / (fan_in + fan_out)},
    }

    def __call__(self, shape, dtype=None):
        """Return the values of a weight."""
        return self._normal(self._stddev(shape), shape, dtype)


class Normal(_Init):
    """Normal numbers, of standard deviation 1 where Keras's have 0.05.

    Args:
        mean: Their mean.
        std: Their standard deviation, at least 0.
        seed: As for ``td.initializers.Initializer``.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> td.initializers.get("torch.normal")((2, 3)).shape
        (2, 3)
    """

    conformance: ClassVar = {"claims": {"mean": 0.0, "variance": 1.0}}

    _names = ("mean", "std")

    def __init__(self, mean=0.0, std=1.0, seed=None):
        super().__init__(seed)
        self.mean = as_number(mean, f"torch: {type(self).__name__}: mean")
        self.std = as_number(std, f"torch: {type(self).__name__}: std", "[0, inf)")

    def __call__(self, shape, dtype=None):
        """Return the values of a weight."""
        return (self.mean + self._normal(self.std, shape, "float64")).astype(dtype or td.backend.floatx())


class TruncNormal(Normal):
    """Normal numbers, those outside of [a, b] drawn again: two numbers, where Keras has two standard deviations.

    Args:
        mean: Their mean before the cut.
        std: Their standard deviation before the cut, positive.
        a: The least value; nearer to the mean than 5 standard deviations, or below it.
        b: The greatest value, above ``a``; likewise.
        seed: As for ``td.initializers.Initializer``.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> bool(np.abs(td.initializers.get("torch.trunc_normal", std=0.02)((9, 9))).max() < 0.2)
        True
    """

    conformance: ClassVar = {"claims": {"mean": 0.0, "variance": 0.7737413}}  # of normal numbers in [-2, 2]

    _names = ("mean", "std", "a", "b")

    def __init__(self, mean=0.0, std=1.0, a=-2.0, b=2.0, seed=None):
        super().__init__(mean, as_number(std, "torch: TruncNormal: std", "(0, inf)"), seed)
        self.a = as_number(a, "torch: TruncNormal: a", f"(-inf, {self.mean + 5 * self.std!r}]")
        self.b = as_number(b, "torch: TruncNormal: b", f"({max(self.a, self.mean - 5 * self.std)!r}, inf)")

    def __call__(self, shape, dtype=None):
        """Return the values of a weight."""
        rng = self.rng()
        values = self.mean + self.std * rng.standard_normal(shape)
        while (count := np.count_nonzero(outside := (values < self.a) | (values > self.b))) > 0:
            values[outside] = self.mean + self.std * rng.standard_normal(count)
        return values.astype(dtype or td.backend.floatx())


class Uniform(_Init):
    """Uniform numbers, from [0, 1) where Keras's are from [-0.05, 0.05).

    Args:
        a: The least value.
        b: The greatest value, not below ``a``.
        seed: As for ``td.initializers.Initializer``.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> bool(td.initializers.get("torch.uniform")((9,)).min() >= 0)
        True
    """

    conformance: ClassVar = {"claims": {"mean": 0.5, "variance": 1 / 12}}

    _names = ("a", "b")

    def __init__(self, a=0.0, b=1.0, seed=None):
        super().__init__(seed)
        self.a = as_number(a, "torch: Uniform: a")
        self.b = as_number(b, "torch: Uniform: b", f"[{self.a!r}, inf)")

    def __call__(self, shape, dtype=None):
        """Return the values of a weight."""
        return self.rng().uniform(self.a, self.b, shape).astype(dtype or td.backend.floatx())


class Linear(_Init):
    """What weights and biases of ``torch.nn.Linear`` and ``Conv2d`` begin with: uniform within 1 / sqrt(fan_in).

    Of a kernel that is ``torch.kaiming_uniform`` with a = sqrt(5), of a variance 6 times smaller than He's for ReLUs. A
    bias's shape does not say how many inputs its unit has: there the layer is asked for its kernel.

    Args:
        seed: As for ``td.initializers.Initializer``.

    Raises:
        ValueError: On calling, a weight has less than 2 axes, and there is no layer with a kernel.

    Example:
        >>> layer = td.layers.Dense(100, kernel_initializer="torch.linear", bias_initializer="torch.linear")
    """

    conformance: ClassVar = {
        "inputs": WEIGHTS,
        "claims": {"mean": 0.0, "variance": lambda fan_in, fan_out: 1 / 3 / fan_in},
    }

    def __call__(self, shape, dtype=None, layer=None):
        """Return the values of a kernel or a bias."""
        kernel = getattr(layer, "kernel", None)
        if len(shape) < 2 and kernel is None:
            raise ValueError("torch.linear is for kernels, and for the biases of layers that have one, as Dense has.")
        fan_in, _ = fans(shape if len(shape) > 1 else kernel.shape)
        return self._uniform(1 / math.sqrt(max(fan_in, 1)), shape, dtype)
