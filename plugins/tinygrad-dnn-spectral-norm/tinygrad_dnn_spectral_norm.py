"""The regularizer spectral norm, as a plugin for tinygrad_dnn."""

import math

import numpy as np

import tinygrad_dnn as td
from tinygrad_dnn import hookimpl
from tinygrad_dnn.checks import as_integer, as_number


class SpectralNorm(td.regularizers.Regularizer):
    """The penalty ``factor / 2 * sigma**2``, sigma being the largest factor by which a weight can stretch its input.

    sigma, a matrix's largest singular value, is found by power iteration on the smaller of W^T W and W W^T, always from
    the same direction. The result depends on the weight alone, nothing is kept between steps, and the gradient is that
    of what is computed, iterations included. Too few of them give a sigma that is too small: after 20, for random
    matrices, by less than three hundredths, and by less the more one direction stands out. A weight of more axes is one
    matrix with the last axis as columns.

    Args:
        factor: At least 0.
        iterations: How often the direction is improved, at least 1.

    Raises:
        ValueError: An argument is out of its range; on calling, the weight has less than 2 axes.

    Example:
        >>> penalty = td.regularizers.get("spectral_norm", factor=2.0)
        >>> print(round(float(penalty(td.tensor([[3.0, 0.0], [0.0, 1.0]]))), 4))
        9.0

    Reference:
        Yoshida and Miyato, "Spectral norm regularization for improving the generalizability of deep learning", 2017.
    """

    def __init__(self, factor=0.01, iterations=20):
        self.factor = as_number(factor, "SpectralNorm: factor", "[0, inf)")
        self.iterations = as_integer(iterations, "SpectralNorm: iterations", "[1, inf)")

    def __call__(self, x):
        """Return the penalty of a weight."""
        if x.ndim < 2:
            raise ValueError(f"SpectralNorm takes a matrix, not a weight of shape {x.shape}.")
        matrix = td.reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))
        # Squares of squares are to come, which must neither overflow nor vanish; sigma grows with the weight, so that
        # dividing by a number that counts as constant, and multiplying with it again, changes no gradient.
        largest = td.max(td.abs(matrix.detach()))
        largest = td.where(td.greater(largest, 0.0), largest, 1.0)
        matrix = matrix / largest
        rows, columns = matrix.shape
        product = matrix.T @ matrix if columns <= rows else matrix @ matrix.T
        start = np.random.default_rng(0).standard_normal((min(rows, columns), 1))
        direction = td.tensor(start / np.linalg.norm(start), dtype=x.dtype)
        for _ in range(self.iterations):
            longer = product @ direction
            # Only a weight of zeros, which stretches nothing, comes below the floor.
            direction = longer / td.sqrt(td.maximum((longer * longer).sum(), 1e-30))
        squared = (direction * (product @ direction)).sum() * (largest * largest)
        return (self.factor / 2) * squared

    def get_config(self):
        """Return the arguments that make this regularizer again."""
        return {"factor": self.factor, "iterations": self.iterations}


@hookimpl
def register_regularizers(register):
    """Give ``SpectralNorm`` its name."""
    register(SpectralNorm, name="spectral_norm")
