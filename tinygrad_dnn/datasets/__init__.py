"""Data sets: loaders that check every file they use, on NumPy alone.

`cifar10` and `fashion_mnist` find their files on this machine or download them; `sample` comes with the
package.
"""

from tinygrad_dnn.datasets import cifar10, fashion_mnist, sample
from tinygrad_dnn.datasets._files import DatasetError

__all__ = ["DatasetError", "cifar10", "fashion_mnist", "sample"]
