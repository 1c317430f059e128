"""The table of a model's layers that ``Model.summary`` prints."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from tinygrad_dnn.checks import as_integer
from tinygrad_dnn.layers import Layer

if TYPE_CHECKING:
    from tinygrad_dnn.models.base import Model


class _Row(NamedTuple):
    """A layer with what the table says of it."""

    layer: Layer
    depth: int
    shape: Any
    sources: str


def print_summary(
    model: Model,
    line_length: int | None,
    print_fn: Callable[[str], object] | None,
    expand_nested: bool,
    show_trainable: bool,
) -> None:
    """Print the table; the arguments are those of ``Model.summary``."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if line_length is not None:
        line_length = as_integer(line_length, f"model {model.name!r}: line_length", "[20, inf)")
    rows = list(_rows(model, expand_nested))
    connected = any(row.sources for row in rows)
    table = Table(title=Text(f"Model: {model.name}"), box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("Layer (type)")
    table.add_column("Output shape")
    table.add_column("Parameters", justify="right")
    if show_trainable:
        table.add_column("Trainable")
    if connected:
        table.add_column("Connected to")
    for layer, depth, shape, sources in rows:
        cells = [
            f"{'  ' * depth}{layer.name} ({type(layer).__name__})",
            "?" if shape is None else str(shape),
            f"{layer.count_params():,}" if layer.built else "not built",
        ]
        if show_trainable:
            cells.append("yes" if layer.trainable else "no")
        if connected:
            cells.append(sources)
        table.add_row(*map(Text, cells))  # as they are, even where a name has brackets
    total = sum(w.size for w in model.weights)
    trainable = sum(w.size for w in model.trainable_weights)
    size = sum(w.size * w.dtype.itemsize for w in model.weights) / 1024
    written = None if print_fn is None else io.StringIO()
    console = Console(file=written, width=line_length)
    console.print(table)
    console.print(f"Parameters: {total:,} ({size:,.1f} KiB), trainable {trainable:,}", highlight=False)
    if written is not None and print_fn is not None:
        for line in written.getvalue().splitlines():
            print_fn(line.rstrip())


def _rows(model: Model, expand: bool, depth: int = 0) -> Iterator[_Row]:
    from tinygrad_dnn.models.base import Model

    sources = {} if model._graph is None else model._graph.connections()
    for layer, shape in zip(model.layers, model._output_shapes(), strict=True):
        yield _Row(layer, depth, shape, sources.get(layer.name, ""))
        if expand and isinstance(layer, Model):
            yield from _rows(layer, expand, depth + 1)
