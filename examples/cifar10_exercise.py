"""Train the 20-layer network of the CIFAR-10 exercise four ways and compare the learning curves.

The network is 20 dense layers of 100 units, which is too many; that is the point. The variants:

  elu    ELU, He initialisation, Nadam with learning rate 5e-5, raw pixels
  bn     the same with batch normalisation on the input and before each activation, learning rate 5e-4
  selu   SELU, LeCun initialisation, standardised pixels, learning rate 7e-4
  alpha  the same with alpha dropout (rate 0.1) before the output, learning rate 5e-4

Each stops when its validation loss has not improved for --patience epochs. The folder --out receives results.json and
learning_curves.png; Ctrl-C writes what is finished by then. With --resume DIR a run that was interrupted, or killed,
goes on where it was when it is started again in the same way.

  python examples/cifar10_exercise.py                       the small sample inside the package, nothing downloaded
  python examples/cifar10_exercise.py --dataset cifar10     the real exercise; downloads 170 MB once
  python examples/cifar10_exercise.py --resume backups      goes on where an interrupted run was

`tinygrad-dnn exercise` does the same where the package is installed. The four networks stand in
tinygrad_dnn/exercise/networks.py, how each is trained in tinygrad_dnn/exercise/running.py.
"""

from __future__ import annotations

import argparse
import sys

from tinygrad_dnn.datasets import DatasetError
from tinygrad_dnn.exercise import running


def main(arguments: list[str] | None = None) -> int:
    """Train the variants asked for; return the exit status, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    running.add_options(parser)
    return running.run(parser.parse_args(arguments))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (DatasetError, RuntimeError, ValueError) as problem:
        sys.exit(f"error: {problem}")
