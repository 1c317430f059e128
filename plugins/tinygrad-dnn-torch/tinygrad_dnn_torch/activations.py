"""Activations whose default is another in PyTorch."""

import tinygrad_dnn as td


def leaky_relu(x, negative_slope=0.01):
    """Return x where it is positive, else ``negative_slope * x``; Keras's function has 0.2, its layer 0.3.

    Args:
        x: A Tensor of any shape.
        negative_slope: The slope below 0.

    Example:
        >>> print(td.activations.get("torch.leaky_relu")([-1.0, 2.0]).numpy())
        [-0.01  2.  ]
    """
    return td.activations.leaky_relu(x, negative_slope)
