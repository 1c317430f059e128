"""Code for Keras with only its import line changed: the blocks of docs/keras.md, and of any notebook that is named.

A notebook is named by the environment variable TINYGRAD_DNN_NOTEBOOK: a text with blocks of Python after lines such as
``In [3]:``, or a Markdown file. It is run like the page, with fewer epochs; on real images, and on CIFAR-10 in files of
its own format that hold random ones.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest

import tinygrad_dnn as td
from tinygrad_dnn.datasets import cifar10, fashion_mnist, sample

PAGE = Path(__file__).parents[1] / "docs" / "keras.md"
NOTEBOOK = os.environ.get("TINYGRAD_DNN_NOTEBOOK")


def cells(text: str) -> Iterator[str]:
    """Yield the blocks of Python of a page or a notebook."""
    if "```python" in text:
        yield from re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
        return
    for block in re.split(r"^In \[[^]]*\]:\n", text, flags=re.M)[1:]:
        # Prose follows without a mark: the code is as many paragraphs as can be compiled.
        paragraphs = block.split("\n\n")
        for count in range(len(paragraphs), 0, -1):
            code = "\n\n".join(paragraphs[:count])
            try:
                compile(code, "cell", "exec")
            except SyntaxError:
                continue
            yield code
            break
        else:
            raise ValueError(f"no Python at the beginning of {block[:60]!r}")


def changed(code: str) -> str:
    """Return a block with the one line changed, and the epochs cut."""
    code = re.sub(r"^import keras$", "import tinygrad_dnn as keras", code, flags=re.M)
    return re.sub(r"\bepochs=\d+", "epochs=1", code)


@pytest.fixture(params=[60])
def _images(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the loaders find real images of Fashion-MNIST, and CIFAR-10's files with few images in each."""
    monkeypatch.setattr(fashion_mnist, "load_data", sample.load_data)
    monkeypatch.setenv("TINYGRAD_DNN_DATA", str(tmp_path))
    monkeypatch.setattr(cifar10, "IMAGES_PER_BATCH", request.param)
    folder = tmp_path / cifar10.SUBFOLDER
    folder.mkdir()
    rng = np.random.default_rng(5)
    for name in (*cifar10.TRAIN_BATCHES, cifar10.TEST_BATCH):
        rows = rng.integers(0, 256, (request.param, 1 + 3 * 32 * 32), np.uint8)
        rows[:, 0] %= 10
        rows.tofile(folder / name)


def run(text: str) -> dict[str, Any]:
    """Run all blocks in one namespace, as a notebook does, and return it."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    space: dict[str, Any] = {}
    for code in cells(text):
        exec(compile(changed(code), "cell", "exec"), space)  # noqa: S102  # the page's own code
        plt.close("all")
    return space


@pytest.mark.usefixtures("_images")
def test_the_page_runs(capsys: pytest.CaptureFixture) -> None:
    space = run(PAGE.read_text())
    assert space["keras"] is td
    told = capsys.readouterr().out
    assert len(re.findall(r"^validation accuracy: 0\.\d+", told, re.M)) == 3
    assert len(re.findall(r"^best validation accuracy: 0\.\d+", told, re.M)) == 4
    assert told.endswith("(None, 64)\n")
    assert space["answers"].shape == (100, 1, 10)
    assert space["answers"].std(axis=0).max() > 0.001


@pytest.mark.usefixtures("_images")
@pytest.mark.parametrize("_images", [1020], indirect=True)  # a notebook may put 5,000 of the 5,100 aside
@pytest.mark.skipif(NOTEBOOK is None, reason="TINYGRAD_DNN_NOTEBOOK names no notebook")
def test_a_named_notebook_runs() -> None:
    text = Path(str(NOTEBOOK)).read_text()
    assert run(text)["keras"] is td
    # The page shows each function and class that the notebook uses.
    assert names(text) <= names(PAGE.read_text())


def names(text: str) -> set[str]:
    """Return the dotted names of Keras in the blocks of a page or notebook."""
    return set(re.findall(r"\bkeras(?:\.\w+)+", "\n".join(cells(text))))


def test_prose_is_told_from_code() -> None:
    text = "Words.\n\nIn [1]:\nx = 1\n\ny = x + 1\n\nAs we see, it works.\n\nIn [None]:\nprint(y)\n\n## More\n\nIt ends"
    assert list(cells(text)) == ["x = 1\n\ny = x + 1", "print(y)\n\n## More"]
    assert list(cells("A\n```python\nx = 1\n```\nB\n```python\ny = 2\n```\n")) == ["x = 1\n", "y = 2\n"]


def test_only_the_import_and_the_epochs_are_changed() -> None:
    code = "import keras\nmodel.fit(x, y, epochs=250, verbose=0)\n"
    assert changed(code) == "import tinygrad_dnn as keras\nmodel.fit(x, y, epochs=1, verbose=0)\n"
