"""The activation bent identity, as a plugin for tinygrad_dnn."""

import tinygrad_dnn as td
from tinygrad_dnn import hookimpl


def bent_identity(x):
    """Return the bent identity of ``x``: (sqrt(x^2 + 1) - 1) / 2 + x, of slope 1/2 far left and 3/2 far right.

    Args:
        x: A Tensor of any shape and a float dtype.

    Returns:
        A Tensor of the same shape and dtype.

    Example:
        >>> td.activations.get("bent_identity")(td.tensor([0.0])).numpy()
        array([0.], dtype=float32)
    """
    return (td.sqrt(x * x + 1.0) - 1.0) / 2.0 + x


@hookimpl
def register_activations(register):
    """Give ``bent_identity`` its name."""
    register(bent_identity)
