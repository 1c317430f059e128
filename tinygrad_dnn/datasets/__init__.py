"""Data sets: loaders that check every file they use, on NumPy alone; and SMOTE for classes that have few samples.

`cifar10` and `fashion_mnist` find their files on this machine or download them; `sample` comes with the
package. `smote` adds samples.
"""

from tinygrad_dnn.datasets import cifar10, fashion_mnist, sample
from tinygrad_dnn.datasets._files import DatasetError
from tinygrad_dnn.datasets.oversampling import smote

__all__ = ["DatasetError", "cifar10", "fashion_mnist", "sample", "smote"]
