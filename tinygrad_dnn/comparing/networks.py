"""The network that candidates are compared in: one of the exercise's, or one described in TOML."""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tinygrad_dnn import layers, registry
from tinygrad_dnn.exercise.networks import VARIANTS, build
from tinygrad_dnn.losses import Loss
from tinygrad_dnn.metrics import MeanMetricWrapper
from tinygrad_dnn.models import Sequential

# What a penalized network's loss is called without the penalties, while it learns.
UNPENALIZED = "unpenalized_loss"
METRICS = ("accuracy", "loss")
# Where a layer's configuration has what is compared.
SETTINGS = {
    "activations": "activation",
    "initializers": "kernel_initializer",
    "regularizers": "kernel_regularizer",
    "constraints": "kernel_constraint",
}
_KEYS: dict[str, Any] = {
    "layers": list, "optimizer": (str, dict), "loss": (str, dict), "metric": str, "standardized": bool,
}  # fmt: skip


@dataclass(frozen=True)
class Network:
    """Layers in a row, and how they learn.

    Args:
        name: What it is called.
        layers: The layers' configurations, without the input.
        optimizer: The configuration of the optimizer, where optimizers are not what is compared.
        loss: The loss, by name or configuration.
        metric: What a trained network is judged by: "accuracy", or "loss", of which less is better.
        standardized: Whether each input is brought to mean 0 and standard deviation 1.

    Example:
        >>> from tinygrad_dnn.comparing import Network
        >>> network = Network.find("selu")
        >>> [each["class_name"] for each in network.layers[:2]], network.optimizer["class_name"]
        (['flatten', 'dense'], 'nadam')
    """

    name: str
    layers: tuple[dict[str, Any], ...]
    optimizer: dict[str, Any]
    loss: Any = "sparse_categorical_crossentropy"
    metric: str = "accuracy"
    standardized: bool = False

    @classmethod
    def find(cls, name: str | Path) -> Network:
        """Return the exercise's network of a name, or the one that a TOML file describes.

        Raises:
            ValueError: There is no such network, or the file describes none.
            OSError: The file cannot be read.
        """
        if str(name) in VARIANTS:
            return cls._of_exercise(str(name))
        path = Path(name)
        if path.is_file():
            return cls.read(path)
        near = difflib.get_close_matches(str(name), VARIANTS, n=1)
        others = f"give one of {', '.join(VARIANTS)}, or a TOML file that is there."
        hint = f"did you mean {near[0]!r}?" if near else others
        raise ValueError(f"network: {str(name)!r} is neither a network of the exercise nor a file: {hint}")

    @classmethod
    def _of_exercise(cls, name: str) -> Network:
        model = build(VARIANTS[name], (1,))
        described = [_described(layer) for layer in model.layers if not isinstance(layer, layers.InputLayer)]
        for each in described:
            del each["config"]["name"]  # numbered by what this process has made before
        return cls(name, tuple(described), {"class_name": "nadam", "config": {}},
                   standardized=VARIANTS[name].standardized)  # fmt: skip

    @classmethod
    def read(cls, path: Path) -> Network:
        """Return the network that a TOML file describes.

        Raises:
            ValueError: It describes none; the error names the file and the layer.
            OSError: It cannot be read.

        Example:
            >>> from tinygrad_dnn.comparing import Network
            >>> file = getfixture("tmp_path") / "small.toml"
            >>> _ = file.write_text('''
            ... [[layers]]
            ... class_name = "Dense"
            ... config = { units = 8, activation = "relu" }
            ... repeat = 2
            ... [[layers]]
            ... class_name = "Dense"
            ... config = { units = 3, activation = "softmax" }
            ... ''')
            >>> [each["config"]["units"] for each in Network.read(file).layers]
            [8, 8, 3]
        """
        try:
            said = tomllib.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is no TOML: {error}.") from None
        for key, value in said.items():
            if key not in _KEYS:
                known = ", ".join(_KEYS)
                raise ValueError(f"{path}: there is no key {key!r}{_near(key, _KEYS)}; the keys are {known}.")
            if not isinstance(value, _KEYS[key]):
                raise ValueError(f"{path}: {key} cannot be {value!r:.60}.")
        if said.get("metric", "accuracy") not in METRICS:
            raise ValueError(f"{path}: metric must be {' or '.join(map(repr, METRICS))}, not {said['metric']!r}.")
        rows = said.get("layers") or ()
        if not rows:
            raise ValueError(f"{path} has no layers: describe each in a table [[layers]].")
        found = tuple(each for place, row in enumerate(rows) for each in _repeated(path, place, row))
        optimizer = said.get("optimizer", "nadam")
        made = optimizer if isinstance(optimizer, dict) else {"class_name": optimizer}
        return cls(path.stem, found, _checked_optimizer(path, made), **{k: said[k] for k in ("loss", "metric",
                   "standardized") if k in said})  # fmt: skip

    def described(self) -> dict[str, Any]:
        """Return it in lists and dicts as JSON has them."""
        return {**asdict(self), "layers": list(self.layers)}

    @classmethod
    def from_description(cls, said: dict[str, Any]) -> Network:
        """Return the network that ``described`` tells of."""
        return cls(**{**said, "layers": tuple(said["layers"])})

    def with_setting(self, kind: str, identifier: Any) -> Network:
        """Return this network with something else in its hidden layers: all but the last.

        An activation takes the place of each one but ``linear``; an initializer, regularizer or constraint is that of
        each kernel.

        Raises:
            ValueError: No hidden layer has such a setting.

        Example:
            >>> from tinygrad_dnn.comparing import Network
            >>> relu = Network.find("elu").with_setting("activations", "relu")
            >>> {each["config"].get("activation") for each in relu.layers[:-1]} == {None, "relu"}
            True
        """
        setting = SETTINGS[kind]

        def takes(config: dict[str, Any]) -> bool:
            return setting in config and (kind != "activations" or config[setting] not in (None, "linear"))

        *hidden, last = self.layers
        if not any(takes(each["config"]) for each in hidden):
            raise ValueError(f"network {self.name}: no layer but the last has the setting {setting}, to be replaced.")
        replaced = (
            {**each, "config": {**each["config"], setting: identifier}} if takes(each["config"]) else each
            for each in hidden
        )
        return Network(**{**vars(self), "layers": (*replaced, last)})

    def model(self, input_shape: tuple[int, ...], optimizer: Any) -> Sequential:
        """Return the network for inputs of a shape, compiled with an optimizer."""
        made = Sequential([layers.InputLayer(shape=input_shape), *map(registry.layers.get, self.layers)])
        metrics: list[Any] = ["accuracy"] if self.metric == "accuracy" else []
        if self.penalized:
            loss = registry.losses.get(self.loss)
            metrics.append(MeanMetricWrapper(loss.call if isinstance(loss, Loss) else loss, name=UNPENALIZED))
        made.compile(optimizer, self.loss, metrics=metrics or None)
        return made

    @property
    def penalized(self) -> bool:
        """Whether a regularizer adds to the loss, which then does not tell how well the network does."""
        return any(
            key.endswith("_regularizer") and value is not None
            for each in self.layers
            for key, value in each["config"].items()
        )


def _repeated(path: Path, place: int, row: Any) -> list[dict[str, Any]]:
    """Return a layer as often as its table says."""
    where = f"{path}: layer {place + 1}"
    if not isinstance(row, dict) or not isinstance(row.get("class_name"), str):
        raise ValueError(f"{where} needs its class_name, as class_name = \"Dense\".")
    keys = ("class_name", "config", "repeat")
    for key in row:
        if key not in keys:
            raise ValueError(f"{where} ({row['class_name']}): there is no key {key!r}{_near(key, keys)}; the keys are "
                             f"{', '.join(keys)}, and a layer's arguments stand in its config.")  # fmt: skip
    count = row.get("repeat", 1)
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"{where} ({row['class_name']}): repeat must be an integer of at least 1, not {count!r}.")
    try:
        layer = registry.layers.get({"class_name": row["class_name"], "config": row.get("config", {})})
        described = _described(layer)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where} ({row['class_name']}): {error}") from error
    if count > 1 or "name" not in row.get("config", {}):
        described["config"].pop("name", None)
    return [described] * count


def _described(layer: Any) -> dict[str, Any]:
    """Return a layer's whole configuration, its defaults included."""
    found: Any = registry.layers.serialize(layer)
    return {"class_name": found["class_name"], "config": dict(found["config"])}


def _checked_optimizer(path: Path, said: dict[str, Any]) -> dict[str, Any]:
    config = said.get("config", {})
    if not isinstance(config, dict):
        raise ValueError(f"{path}: optimizer: config must be a table of arguments, not {config!r}.")
    if unknown := [key for key in said if key not in ("class_name", "config")]:
        raise ValueError(f"{path}: optimizer: there is no key {unknown[0]!r}; the keys are class_name and config.")
    if not isinstance(said.get("class_name"), str):
        raise ValueError(f'{path}: the optimizer needs its class_name, as {{ class_name = "sgd" }}.')
    if "learning_rate" in config:
        raise ValueError(f"{path}: the optimizer's learning_rate is what is tuned: leave it out.")
    try:
        registry.optimizers.get({"class_name": said["class_name"], "config": config})
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: optimizer: {error}") from error
    return {"class_name": said["class_name"], "config": config}


def _near(key: str, known: Any) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
