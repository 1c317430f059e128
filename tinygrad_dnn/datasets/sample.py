"""Loads the embedded sample: 6,000 training and 1,000 test images of Fashion-MNIST, evenly by class.

The images are real, come with the package, and need neither a download nor another library, so that examples
and tests run anywhere. ``make_sample.py`` drew them; they are under Zalando's MIT licence,
``LICENSE.fashion-mnist``.
"""

from pathlib import Path

import numpy as np

from tinygrad_dnn.datasets._files import DataFile, Dataset, check_content
from tinygrad_dnn.datasets.fashion_mnist import class_names

__all__ = ["class_names", "load_data"]

SAMPLE_PATH = Path(__file__).with_name("sample.npz")
SAMPLE = DataFile("sample.npz", 3_083_463, "80e237beff422a3231456f0f1a922ae17a24d4d2074677c01c0150091db5d7be")


def load_data() -> Dataset:
    """Load the embedded sample of Fashion-MNIST, as ``((x_train, y_train), (x_test, y_test))``.

    Shapes and dtypes are those of `fashion_mnist.load_data`, with 600 training and 100 test images of each
    class, in a random order that is always the same. The test images come from the data set's test images.

    Returns:
        ``x_train`` of shape (6000, 28, 28) and ``x_test`` of shape (1000, 28, 28), uint8, 0 to 255, 0 being
        the background; ``y_train`` of shape (6000,) and ``y_test`` of shape (1000,), uint8, 0 to 9, the
        places of the classes in `class_names`.

    Raises:
        DatasetError: the file that came with the package was changed.

    >>> from tinygrad_dnn.datasets import sample
    >>> (x_train, y_train), (x_test, y_test) = sample.load_data()
    >>> x_train.shape, y_test.shape
    ((6000, 28, 28), (1000,))
    """
    with SAMPLE_PATH.open("rb") as opened:
        check_content(opened, SAMPLE_PATH, SAMPLE, "reinstall tinygrad-dnn")
        with np.load(opened, allow_pickle=False) as arrays:
            return (arrays["x_train"], arrays["y_train"]), (arrays["x_test"], arrays["y_test"])
