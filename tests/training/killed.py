"""A training that is meant to be killed: run it again in the same folder until it says what it ends with.

python -m tests.training.killed FOLDER; without a folder, nothing is kept.
"""

from __future__ import annotations

import hashlib
import sys
import warnings
from typing import Any

import tinygrad_dnn as td
from tests.training import resuming
from tinygrad_dnn import layers

EPOCHS = 30


class Saying(td.callbacks.Callback):
    """Says when the first step is done, after which a kill may come, and when all are, after which backups go."""

    said = False

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if not self.said:
            self.said = True
            print("going", flush=True)

    def on_train_end(self, logs: Any = None) -> None:
        print("over", flush=True)


def build() -> td.Model:
    """Return a model that is written longer than it takes for a step."""
    hidden = [layers.Dense(160, "elu"), layers.BatchNormalization(), layers.Dropout(0.3)]
    model = td.Sequential([td.Input((6,)), *hidden, layers.Dense(400, "selu"), layers.Dense(3, "softmax")])
    model.compile("nadam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def main(folder: str | None) -> None:
    """Train, and print a checksum of all that the training ends with."""
    warnings.filterwarnings("error", message="BackupAndRestore")  # a backup that cannot be read would be one
    backups = [] if folder is None else [td.callbacks.BackupAndRestore(folder, 1)]
    ended = resuming.fit(
        build, 1, [Saying(), *backups], resuming.callbacks, epochs=EPOCHS,
        validation_data=(resuming.X[:9], resuming.Y[:9]),
    )  # fmt: skip
    print("ended", hashlib.sha256(repr(resuming.outcome(*ended)).encode()).hexdigest(), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:] or [None])
