"""What a model's file holds, told without making the model, and without looking for or importing any plugin."""

from __future__ import annotations

import io
import math
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from tinygrad_dnn.checks import as_path
from tinygrad_dnn.models.origins import as_version
from tinygrad_dnn.models.saving import FORMAT, KEY, description_of
from tinygrad_dnn.saving import files, state
from tinygrad_dnn.saving.errors import FileError
from tinygrad_dnn.saving.files import Path, TensorInfo
from tinygrad_dnn.saving.values import CONSTANTS, TAG

_LONGEST = 60
_MOST_TENSORS = 40
_DEEPEST = 40


@dataclass(frozen=True)
class LayerRow:
    """What a file says of one layer.

    Attributes:
        name: Its name.
        class_name: What its class is registered as, or the kind of a model.
        depth: In how many models it lies.
        output_shape: The shape that it gives, as text; empty where it is not said.
        parameters: How many numbers its weights are, those of layers inside included.
        trainable: Whether an optimizer may change its weights.
    """

    name: str
    class_name: str
    depth: int
    output_shape: str
    parameters: int
    trainable: bool


@dataclass(frozen=True)
class FileContents:
    """What a safetensors file holds, a model's or any; printing it shows it.

    Attributes:
        path: The file.
        size: Its bytes.
        format: The number of the format that its description has; None for a file without one.
        version: The version of tinygrad-dnn that wrote it; empty for a file without a description.
        layers: The model's layers; none where the file holds weights alone.
        weights: What it says of each weight, by name.
        others: What it says of all other tensors, by name: the optimizer's state, random streams, constants.
        training: What the model was compiled with, None where it was not.
        plugins: The names that come from plugins or from the program that wrote it: name, kind, distribution, version,
            entry_point.

    Example:
        >>> file = getfixture("tmp_path") / "model.safetensors"
        >>> td.Sequential([td.layers.Dense(1, input_shape=(3,), name="last")]).save(file)
        >>> contents = td.models.inspect(file)
        >>> contents.parameters, contents.layers[0].output_shape
        (4, '(None, 1)')
    """

    path: str
    size: int
    format: int | None
    version: str
    layers: tuple[LayerRow, ...]
    weights: dict[str, TensorInfo]
    others: dict[str, TensorInfo]
    training: dict[str, Any] | None
    plugins: tuple[dict[str, str], ...]

    @property
    def parameters(self) -> int:
        """How many numbers its weights are."""
        return sum(math.prod(info.shape) for info in self.weights.values())

    @property
    def dtypes(self) -> dict[str, int]:
        """How many numbers its weights have of each type."""
        counts: Counter[str] = Counter()
        for info in self.weights.values():
            counts[info.dtype] += math.prod(info.shape)
        return dict(counts)

    def as_dict(self) -> dict[str, Any]:
        """Return all of it in lists and dicts, as JSON has them."""
        return {**asdict(self), "parameters": self.parameters, "dtypes": self.dtypes}

    def __str__(self) -> str:
        from rich.console import Console

        written = io.StringIO()
        console = Console(file=written, width=110)
        for part in self._parts():
            if isinstance(part, str):
                console.print(part, markup=False, highlight=False)
            else:
                console.print(part)
        return "\n".join(line.rstrip() for line in written.getvalue().splitlines())

    def _parts(self) -> Iterator[Any]:
        """Yield what is printed: sentences and tables."""
        what = (
            "a safetensors file of another program"
            if self.format is None
            else f"{'a model' if self.layers else 'the weights of a model'}, format {self.format}, written by "
            f"tinygrad-dnn {self.version}"
        )
        yield f"{_clean(self.path)}: {what}, {_bytes(self.size)}"
        if self.layers:
            rows = [
                (
                    f"{'  ' * row.depth}{row.name}", row.class_name, row.output_shape, f"{row.parameters:,}",
                    "" if row.trainable else "frozen",
                )
                for row in self.layers
            ]
            yield _table("Layers", ("layer", "class", "output shape", "parameters", ""), rows)
        shown = [(name, str(info.shape), info.dtype, _bytes(info.nbytes)) for name, info in self.weights.items()]
        hidden = len(shown) - _MOST_TENSORS
        more = [(f"and {hidden} more", "", "", "")] if hidden > 0 else []
        yield _table("Weights", ("weight", "shape", "type", "size"), shown[:_MOST_TENSORS] + more)
        types = ", ".join(f"{count:,} {dtype}" for dtype, count in self.dtypes.items())
        yield f"{self.parameters:,} parameters{f' ({types})' if types else ''}"
        if self.training is not None:
            yield _table("Training", ("", ""), [(key, _short(value)) for key, value in self.training.items()])
        if self.others:
            size = sum(info.nbytes for info in self.others.values())
            yield f"{len(self.others)} other tensors, {_bytes(size)}: the optimizer's state, random streams, constants"
        if self.plugins:
            columns = ("name", "kind", "distribution", "version")
            yield _table("Not built in", columns, [tuple(row[c] for c in columns) for row in self.plugins])


def inspect(path: Path) -> FileContents:
    """Return what a safetensors file holds; nothing is made of it, and no plugin is looked for.

    Raises:
        TypeError: ``path`` is no path.
        FileError: It is no such file, is damaged, or was written by a newer version.
        OSError: It cannot be read.

    Example:
        >>> file = getfixture("tmp_path") / "weights.safetensors"
        >>> td.Sequential([td.layers.Dense(1, input_shape=(3,), name="last")]).save_weights(file)
        >>> list(td.models.inspect(file).weights)
        ['last/kernel', 'last/bias']
    """
    shown = as_path(path, "inspect: path")
    infos, metadata = files.read_header(path)
    try:
        said = description_of(metadata) or {"model": None, "compile": None, "plugins": []}
        sizes = _sizes(infos)
        node = said["model"]
        layers = () if node is None else tuple(_rows([node] if node["kind"] == "layer" else node["layers"], sizes))
        plugins = tuple({str(key): _clean(str(value)) for key, value in row.items()} for row in said["plugins"])
        complete = all({"name", "kind", "distribution", "version"} <= set(row) for row in plugins)
        training = None if said["compile"] is None else _training(said["compile"])
    except FileError as error:
        raise FileError(f"{shown}: {error}.") from None
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        complete = False
    if not complete:
        raise FileError(f"{shown} is damaged: what it says of its model has not the right form.")
    beside = (CONSTANTS, state.OPTIMIZER, state.RANDOM)
    return FileContents(
        shown,
        os.stat(path).st_size,
        said.get("format", None if KEY not in metadata else FORMAT),
        as_version(said.get("version")),
        layers,
        {_clean(name): info for name, info in infos.items() if not name.startswith(beside)},
        {_clean(name): info for name, info in infos.items() if name.startswith(beside)},
        training,
        plugins,
    )


def _sizes(infos: dict[str, TensorInfo]) -> Counter[str]:
    """Return how many numbers the tensors are whose names begin alike, by that beginning with its "/"."""
    sizes: Counter[str] = Counter()
    for name, info in infos.items():
        begin = name.find("/")
        for _ in range(_DEEPEST):  # no model nests deeper, and a name may be nothing but "/"
            if begin < 0:
                break
            sizes[name[: begin + 1]] += math.prod(info.shape)
            begin = name.find("/", begin + 1)
    return sizes


def _rows(nodes: list[Any], sizes: Counter[str], path: str = "", depth: int = 0) -> Iterator[LayerRow]:
    """Yield what is said of layers, those of models inside after them."""
    # Where a layer is shared its weights have the name that it has first.
    own = [node for node in nodes if node["kind"] != "shared"]
    classes = [node.get("class_name", node["kind"].capitalize()) for node in own]
    names = state.of_siblings([(name, node["config"]["name"]) for name, node in zip(classes, own, strict=True)])
    for class_name, name, node in zip(classes, names, own, strict=True):
        shape = " / ".join(dict.fromkeys(_shape(made) for _, made in node.get("shapes", [])))
        begin = f"{path}{name}/"
        parameters = sizes[begin]
        config = node["config"]
        trainable = config.get("trainable", True) is True
        yield LayerRow(_clean(config["name"]), _clean(class_name), depth, shape, parameters, trainable)
        yield from _rows(node.get("layers", []), sizes, begin, depth + 1)


def _shape(value: Any) -> str:
    if isinstance(value, dict):
        ((_, parts),) = value.items()
        return ", ".join(_shape(part) for part in (parts.values() if isinstance(parts, dict) else parts))
    return _clean(str(tuple(value)))


def _training(said: dict[str, Any]) -> dict[str, Any]:
    """Return what a reader wants to know of the training."""
    optimizer = said["optimizer"]
    config = optimizer["config"]
    return {
        "optimizer": _clean(optimizer["class_name"]),
        "learning rate": _plain(config.get("learning_rate")),
        **{key.replace("_", " "): _plain(said[key]) for key in ("loss", "loss_weights", "metrics", "weighted_metrics")},
        "optimizer's state": f"of {len(said['state_of'])} weights",
    }


def _plain(value: Any) -> Any:
    """Return a description without what only a reader that makes the model needs: names in the place of objects."""
    if isinstance(value, dict) and "class_name" in value:
        name, config = value["class_name"], value.get("config")
        inner = config.get("name") if isinstance(config, dict) else None
        return _clean(inner if isinstance(inner, str) else name)
    if isinstance(value, dict) and TAG in value:
        return _plain(value[TAG][-1] if value[TAG][0] != "tuple" else value[TAG][1:])
    if isinstance(value, dict):
        return {_clean(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return float(f"{value:.6g}")  # without the digits of a float32 in float64
    return _clean(value) if isinstance(value, str) else value


def _clean(text: str) -> str:
    """Return a text from a file without what would steer a terminal, and no longer than a line."""
    if not isinstance(text, str):
        raise TypeError(type(text))
    safe = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return safe if len(safe) <= 2 * _LONGEST else f"{safe[: 2 * _LONGEST - 3]}..."


def _short(value: Any) -> str:
    return "-" if value is None else value if isinstance(value, str) else repr(value)


def _bytes(count: float) -> str:
    units = ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while count >= 1024 and len(units) > 1:
        count /= 1024
        del units[0]
    return f"{count:,.0f} bytes" if units[0] == "bytes" else f"{count:,.1f} {units[0]}"


def _table(title: str, columns: tuple[str, ...], rows: list[Any]) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_header=any(columns))
    for column in columns:
        table.add_column(column, justify="right" if column in ("size", "parameters") else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table
