"""Makes the golden values of tests/golden/data with Keras 3 on JAX: python make_keras.py [TOPIC ...]."""

from __future__ import annotations

import argparse
import importlib
import os
import platform

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
import storage

TOPICS = (
    "optimizers normalization losses activations initializers metrics training callbacks regularization schedules "
    "layers convolution optimizer_options schedules_more augmentation training_layers losses_more "
    "metrics_more functional interchange interchange_torch checkpoints mixed_precision"
).split()


def versions() -> dict[str, str]:
    """What made a file."""
    backend = keras.config.backend()
    return {
        "keras": keras.__version__,
        "backend": backend,
        backend: importlib.import_module(backend).__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }


def main() -> None:
    """Write the topics asked for, all without arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("topics", nargs="*", metavar="TOPIC", help=f"of {', '.join(TOPICS)}; default: all")
    chosen = parser.parse_args().topics or TOPICS
    unknown = sorted(set(chosen) - set(TOPICS))
    if unknown:
        parser.error(f"unknown topics {unknown}; there are {TOPICS}")
    for topic in chosen:
        keras.utils.set_random_seed(0)
        inputs, cases = importlib.import_module(f"generators.{topic}").make()
        size = storage.save(topic, versions(), inputs, cases)
        print(f"{topic}: {len(cases)} cases, {size} bytes")


if __name__ == "__main__":
    main()
