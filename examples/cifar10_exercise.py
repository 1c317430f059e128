"""The CIFAR-10 exercise as a script; ``--help`` tells what is trained, and how."""

from __future__ import annotations

import argparse
import sys

from tinygrad_dnn.datasets import DatasetError
from tinygrad_dnn.exercise import running

_USES = """\
  python examples/cifar10_exercise.py                       the small sample inside the package, nothing downloaded
  python examples/cifar10_exercise.py --dataset cifar10     the real exercise; downloads 170 MB once
  python examples/cifar10_exercise.py --resume backups      goes on where an interrupted run was

`tinygrad-dnn exercise` does the same where the package is installed. The four networks stand in
tinygrad_dnn/exercise/networks.py, how each is trained in tinygrad_dnn/exercise/running.py.
"""


def main(arguments: list[str] | None = None) -> int:
    """Train the variants asked for; return the exit status, 130 after Ctrl-C."""
    description = f"{running.DESCRIPTION}\n{_USES}"
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    running.add_options(parser)
    return running.run(parser.parse_args(arguments))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (DatasetError, RuntimeError, ValueError) as problem:
        sys.exit(f"error: {problem}")
