"""The pytest plugin: ``pytest --tinygrad-dnn-plugins [DIST]`` runs the conformance kit on installed plugins.

It is a module of its own, outside the package, so that a pytest that does not ask for the kit imports nothing of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import MutableSequence

_ALL = "*"
_OPTION = "--tinygrad-dnn-plugins"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the option."""
    parser.getgroup("tinygrad_dnn").addoption(
        _OPTION, dest="tinygrad_dnn_plugins", nargs="?", const=_ALL, default=None, metavar="DIST",
        help="run tinygrad_dnn's conformance kit on what a distribution registers (default: every plugin)",
    )  # fmt: skip


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: MutableSequence[pytest.Item]
) -> None:
    """Add the kit's items to what was collected, before -k and -m choose among them."""
    dist = config.getoption("tinygrad_dnn_plugins")
    if dist is None:
        return
    from tinygrad_dnn.testing import collecting

    items.extend(collecting.items(session, None if dist == _ALL else dist))
