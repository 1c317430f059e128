"""Layers whose defaults or formulas are others in PyTorch."""

from typing import ClassVar

import tinygrad_dnn as td
from tinygrad_dnn.checks import as_number
from tinygrad_dnn_torch import initializers


class Linear(td.layers.Dense):
    """``Dense`` with the weights that ``torch.nn.Linear`` begins with, and a bias that does not begin with 0.

    Args:
        units: The length of the output's last axis, at least 1; the number of inputs is found when it is built.
        kernel_initializer: How the kernel, of shape (inputs, units), starts.
        bias_initializer: How the bias starts.
        **kwargs: Those of ``td.layers.Dense``.

    Raises:
        ValueError: As for ``td.layers.Dense``.

    Example:
        >>> td.layers.get("torch.linear", units=3)(td.ones((2, 4))).shape
        (2, 3)
    """

    conformance: ClassVar = {"arguments": {"units": 3}}

    def __init__(self, units, *, kernel_initializer=None, bias_initializer=None, **kwargs):
        super().__init__(
            units,
            kernel_initializer=kernel_initializer or initializers.Linear(),
            bias_initializer=bias_initializer or initializers.Linear(),
            **kwargs,
        )


class Conv2d(td.layers.Conv2D):
    """``Conv2D`` with the weights that ``torch.nn.Conv2d`` begins with.

    Args:
        filters: The number of output channels, at least 1.
        kernel_size: The window's lengths.
        kernel_initializer: How the kernel starts.
        bias_initializer: How the bias starts.
        **kwargs: Those of ``td.layers.Conv2D``: the channels are the last axis here too.

    Raises:
        ValueError: As for ``td.layers.Conv2D``.

    Example:
        >>> td.layers.get("torch.conv2d", filters=4, kernel_size=3)(td.ones((2, 8, 8, 3))).shape
        (2, 6, 6, 4)
    """

    conformance: ClassVar = {"arguments": {"filters": 2, "kernel_size": 2}, "inputs": (2, 4, 4, 3)}

    def __init__(self, filters, kernel_size, *, kernel_initializer=None, bias_initializer=None, **kwargs):
        super().__init__(
            filters,
            kernel_size,
            kernel_initializer=kernel_initializer or initializers.Linear(),
            bias_initializer=bias_initializer or initializers.Linear(),
            **kwargs,
        )


class BatchNorm(td.layers.BatchNormalization):
    """``BatchNormalization`` as PyTorch's: epsilon 1e-5, and moving averages that take 0.1 of each batch.

    moving = (1 - momentum) moving + momentum batch, so that momentum is 1 minus Keras's; the moving variance follows
    the unbiased variance, n / (n - 1) times the one that the batch is divided by.

    Args:
        axis: The axis of the features.
        momentum: How much of each batch the moving averages take, in [0, 1].
        epsilon: What keeps the division finite.
        **kwargs: Those of ``td.layers.BatchNormalization``.

    Raises:
        ValueError: As for ``td.layers.BatchNormalization``.

    Example:
        >>> layer = td.layers.get("torch.batch_normalization")
        >>> y = layer([[1.0], [3.0]], training=True)
        >>> print(layer.moving_mean.numpy().round(3), layer.moving_variance.numpy().round(3))
        [0.2] [1.1]
    """

    def __init__(self, axis=-1, momentum=0.1, epsilon=1e-5, **kwargs):
        self.taken = as_number(momentum, "torch.batch_normalization: momentum", "[0, 1]")
        super().__init__(axis, 1 - self.taken, epsilon, unbiased=True, **kwargs)

    def get_config(self):
        """Return the arguments that make a layer like this one."""
        config = {**super().get_config(), "momentum": self.taken}
        del config["unbiased"]
        return config


class LayerNorm(td.layers.LayerNormalization):
    """``LayerNormalization`` with PyTorch's epsilon, a hundred times smaller than Keras's.

    Args:
        axis: The axis, or axes, of the features.
        epsilon: What keeps the division finite.
        **kwargs: Those of ``td.layers.LayerNormalization``.

    Raises:
        ValueError: As for ``td.layers.LayerNormalization``.

    Example:
        >>> td.layers.get("torch.layer_normalization").epsilon
        1e-05
    """

    def __init__(self, axis=-1, epsilon=1e-5, **kwargs):
        super().__init__(axis, epsilon, **kwargs)


class PReLU(td.layers.PReLU):
    """``PReLU`` with one alpha for all units, which begins with 0.25; Keras has one for each, which begin with 0.

    Args:
        init: What alpha begins with.
        **kwargs: Those of ``td.layers.Layer``.

    Raises:
        ValueError: ``init`` is not finite.

    Example:
        >>> layer = td.layers.get("torch.prelu")
        >>> print(layer([[-1.0, 2.0]]).numpy(), layer.alpha.shape)
        [[-0.25  2.  ]] (1,)
    """

    def __init__(self, init=0.25, **kwargs):
        self.init = as_number(init, "torch.prelu: init")
        super().__init__(alpha_initializer=td.initializers.Constant(self.init), **kwargs)

    def build(self, input_shape):
        """Make the alpha."""
        self.shared_axes = list(range(1, len(input_shape)))
        super().build(input_shape)

    def get_config(self):
        """Return the arguments that make a layer like this one."""
        inherited = td.layers.Layer.get_config(self)
        return {**inherited, "init": self.init}
