"""Models and weights in files: saving them, and loading them with every name checked and no code from the file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygrad_dnn import backend, registry
from tinygrad_dnn.checks import as_flag, as_path
from tinygrad_dnn.layers.restoring import Restoring, while_restoring
from tinygrad_dnn.models import compiled, origins
from tinygrad_dnn.models.base import Model
from tinygrad_dnn.models.describing import Description
from tinygrad_dnn.models.rebuilding import Rebuilding
from tinygrad_dnn.saving import files, state, text
from tinygrad_dnn.saving.errors import FileError
from tinygrad_dnn.saving.files import Path, TensorInfo
from tinygrad_dnn.saving.values import CONSTANTS
from tinygrad_dnn.tensor import Variable

FORMAT = 1
KEY = "tinygrad_dnn"
_SHOWN = 5
_ROOM = 16 << 20


class _OnHost(Mapping[str, np.ndarray[Any, Any]]):
    """Variables and arrays as host arrays, each copied only while it is written."""

    def __init__(self, variables: Mapping[str, Variable], arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        self._variables, self._arrays = variables, arrays

    def __getitem__(self, name: str) -> np.ndarray[Any, Any]:
        return state.on_host(self._variables[name]) if name in self._variables else self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        yield from self._variables
        yield from self._arrays

    def __len__(self) -> int:
        return len(self._variables) + len(self._arrays)


def save_model(model: Model, path: Path, overwrite: bool = True) -> None:
    """Write a model to a file; ``Model.save`` says more."""
    _check_overwrite("save", path, overwrite)
    description = Description()
    weights = state.weights(model)
    node, training, plugins = _describe(model, description, weights)
    variables = {**weights, **state.streams(model)}
    if training is not None:
        variables.update(state.optimizer_state(model.optimizer, weights))
    _write(path, {"model": node, "compile": training, "plugins": plugins}, variables, description.encoder.arrays)


def provenance(model: Model) -> list[dict[str, str]]:
    """Return where everything came from that a model and its training take and that is not built in.

    It is what a saved model holds under ``plugins``; write it beside results, so that they can be had again.

    Args:
        model: The model, compiled or not.

    Returns:
        Dicts of name, kind, distribution, version and entry_point; "local" for the distribution means the program.

    Raises:
        ValueError: Something has no name: what could not be saved either.

    Example:
        >>> model = td.Sequential([td.layers.Dense(1, activation="elu", input_shape=(3,))])
        >>> td.models.provenance(model)
        []
    """
    return _describe(model, Description(), state.weights(model))[2]


def _describe(
    model: Model, description: Description, weights: Mapping[str, Variable]
) -> tuple[dict[str, Any], dict[str, Any] | None, list[dict[str, str]]]:
    """Return the description of a model, of what it was compiled with, and of what both take from plugins."""
    with registry.scope() as scope:
        node = description.model(model)
        training = compiled.describe(model, description.encoder, weights)
        return node, training, origins.written(scope.written, description.encoder.custom)


def save_weights(model: Model, path: Path, overwrite: bool = True) -> None:
    """Write a model's weights to a file; ``Model.save_weights`` says more."""
    _check_overwrite("save_weights", path, overwrite)
    weights = state.weights(model)
    if not weights and not model.built:
        raise ValueError(
            f"model {model.name!r} is not built and has no weights yet: call it on data, or its build(input_shape), "
            "before save_weights."
        )
    _write(path, {"model": None, "compile": None, "plugins": []}, weights, {})


def _check_overwrite(caller: str, path: Path, overwrite: bool) -> None:
    as_path(path, f"{caller}: path")
    if not as_flag(overwrite, f"{caller}: overwrite") and os.path.exists(path):
        raise FileExistsError(f"{os.fspath(path)} is there already: say overwrite=True, or give another name.")


def _write(
    path: Path, said: dict[str, Any], variables: Mapping[str, Variable], arrays: Mapping[str, np.ndarray[Any, Any]]
) -> None:
    version = registry.layers.origin("inputlayer").version  # of what is built in, the package's own
    said = {"format": FORMAT, "version": version, "floatx": backend.floatx(), **said}
    try:
        metadata = {KEY: text.write(said)}
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)} cannot be written: of the model's description, {error}.") from error
    files.write_tensors(path, _OnHost(variables, arrays), metadata)


def load_model(path: Path, custom_objects: Mapping[str, Any] | None = None, compile: bool = True) -> Model:
    """Make the model again that ``Model.save`` wrote: its layers, weights, random streams, and what it learns by.

    Training goes on where it was: the optimizer has its state. Nothing in the file is run, and no module named by it is
    imported: names are those of built-ins, of installed plugins, of what this process registered, and of
    ``custom_objects``.

    Args:
        path: The file.
        custom_objects: Classes and functions by the names that they have in the file; they go first.
        compile: Whether the model is compiled as it was.

    Raises:
        FileError: A ValueError: the file is damaged, or not a model's, or needs what is not there, and then says what
            to install or to give.
        OSError: The file cannot be read.

    Example:
        >>> file = getfixture("tmp_path") / "model.safetensors"
        >>> model = td.Sequential([td.layers.Dense(1, input_shape=(3,))])
        >>> model.save(file)
        >>> x = np.ones((2, 3))
        >>> bool((td.models.load_model(file).predict(x) == model.predict(x)).all())
        True
    """
    as_path(path, "load_model: path")
    compiling = as_flag(compile, "load_model: compile")
    if custom_objects is not None and not isinstance(custom_objects, Mapping):
        raise TypeError(
            f"load_model: custom_objects must be a dict of classes and functions, not {custom_objects!r:.80}."
        )
    custom = {} if custom_objects is None else dict(custom_objects)
    for name, meant in custom.items():
        if not isinstance(name, str) or not callable(meant):
            raise TypeError(
                f"load_model: custom_objects[{name!r:.60}] must be a class or function under its name, not "
                f"{meant!r:.60}."
            )
    with _errors_name(path):
        infos, metadata = files.read_header(path)
        said = description_of(metadata)
        if said is None or said["model"] is None:
            raise FileError("it holds weights and no model: make the model, and then load_weights(path)")
        origins.check(said["plugins"], custom)
        constants, _ = files.read_tensors(path, [name for name in infos if name.startswith(CONSTANTS)])
        held = sum(info.nbytes for name, info in infos.items() if not name.startswith("@"))
        # With room for a layer that is not as the file has it: then all that differs can be told.
        restoring = Restoring(2 * held + _ROOM)
        with registry.scope(custom), _floatx(said.get("floatx")):
            rebuilding = Rebuilding(constants, custom, restoring)
            with while_restoring(restoring):
                model = rebuilding.layer(said["model"])
            if not isinstance(model, Model):
                raise FileError("what it describes is a layer and no model")
            weights = state.weights(model)
            if compiling and said["compile"] is not None:
                compiled.restore(model, said["compile"], rebuilding.decoder, weights)
        _fill(path, model, weights, infos, said["compile"] if compiling else None)
    return model


def _fill(
    path: Path, model: Model, weights: dict[str, Variable], infos: dict[str, TensorInfo], training: Any
) -> None:
    """Read all state into a model that was made from the same file."""
    own = {**weights, **state.streams(model)}
    held = {
        name: info for name, info in infos.items() if not name.startswith((CONSTANTS, state.OPTIMIZER))
    }
    _check_same(own, held)
    wanted = [*own, *(name for name in infos if training is not None and name.startswith(state.OPTIMIZER))]
    arrays, _ = files.read_tensors(path, wanted)
    for name, variable in own.items():
        state.bind(variable, arrays.pop(name))
    if training is not None:
        compiled.restore_state(model.optimizer, training["state_of"], weights, arrays)


def load_weights(model: Model, path: Path, skip_mismatch: bool = False) -> None:
    """Read a model's weights from a file; ``Model.load_weights`` says more."""
    as_path(path, "load_weights: path")
    skip_mismatch = as_flag(skip_mismatch, "load_weights: skip_mismatch")
    with _errors_name(path):
        infos, _ = files.read_header(path)
        own = state.weights(model)
        if not own and not model.built:
            raise ValueError(
                f"model {model.name!r} is not built and has no weights to fill: call it on data, or its "
                "build(input_shape), first"
            )
        found = _by_name(own, [name for name in infos if not name.startswith("@")])
        named = {found.get(name, name): variable for name, variable in own.items()}
        held = {name: info for name, info in infos.items() if not name.startswith("@")}
        if skip_mismatch:
            named = {
                name: variable
                for name, variable in named.items()
                if name in held and held[name].shape == variable.shape and _fits(held[name], variable)
            }
        else:
            _check_same(named, held)
        arrays, _ = files.read_tensors(path, named)
        for name, variable in named.items():
            state.bind(variable, arrays.pop(name))


def _by_name(own: dict[str, Variable], held: list[str]) -> dict[str, str]:
    """Return which tensor of a file is meant by each weight: of its name, or of its path; "." parts names as "/"."""
    spelt = {name.replace(".", "/"): name for name in held}
    paths = [variable.path for variable in own.values()]
    found = {}
    for name, variable in own.items():
        key = name.replace(".", "/")
        if key not in spelt and paths.count(variable.path) == 1:
            key = variable.path.replace(".", "/")
        if key in spelt:
            found[name] = spelt.pop(key)
    return found


def _fits(info: TensorInfo, variable: Variable) -> bool:
    dtype = np.dtype("float32" if info.dtype == "bfloat16" else info.dtype)
    return np.can_cast(dtype, variable.dtype, "same_kind")


def _check_same(own: Mapping[str, Variable], held: Mapping[str, TensorInfo]) -> None:
    """Raise FileError unless a file holds exactly what a model has, telling what differs."""
    kinds = {
        "missing": [repr(name) for name in own if name not in held],
        "unexpected": [repr(name) for name in held if name not in own],
        "of another shape": [
            f"{name!r}: {held[name].shape} in the file, {variable.shape} in the model"
            for name, variable in own.items()
            if name in held and held[name].shape != variable.shape
        ],
        "of another type": [
            f"{name!r}: {held[name].dtype} in the file, {variable.dtype} in the model"
            for name, variable in own.items()
            if name in held and not _fits(held[name], variable)
        ],
    }
    told = [
        f"{len(names)} {kind} ({', '.join(f'{name:.120}' for name in names[:_SHOWN])}{', ...' * (len(names) > _SHOWN)})"
        for kind, names in kinds.items()
        if names
    ]
    if told:
        raise FileError(
            f"its weights are not those of the model: {'; '.join(told)}. Load a model of the same layers, or those "
            "that fit by load_weights(path, skip_mismatch=True)"
        )


def description_of(metadata: Mapping[str, str]) -> dict[str, Any] | None:
    """Return what a file of ours says of its model, None for a file that is not ours; older formats are brought up.

    Raises:
        FileError: It is damaged, or of a newer version.
    """
    if KEY not in metadata:
        return None
    said = text.parse(metadata[KEY])
    number = said.get("format") if isinstance(said, dict) else None
    if type(number) is not int or number < 1:
        raise FileError("its description has no format's number")
    if number > FORMAT:
        version = origins.as_version(said.get("version"))
        raise FileError(
            f"it is of format {number}, and this version of tinygrad-dnn reads up to {FORMAT}: pip install --upgrade "
            f"tinygrad-dnn{f' (it was written by {version})' if version else ''}"
        )
    for key, kinds in {"model": dict | None, "compile": dict | None, "plugins": list}.items():
        if not isinstance(said.get(key, ...), kinds):
            raise FileError(f"its description has no {key!r} of the right form")
    made: dict[str, Any] = said
    return made


@contextmanager
def _floatx(name: Any) -> Iterator[None]:
    """Make a file's default floating-point type this thread's, for a while."""
    if name not in ("float32", "float64"):
        raise FileError("it does not say its default floating-point type")
    before = backend.floatx()
    backend.set_floatx(name)
    try:
        yield
    finally:
        backend.set_floatx(before)


@contextmanager
def _errors_name(path: Path) -> Iterator[None]:
    """Let whatever goes wrong be a FileError that names the file; the system's own errors do so already."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        # A damaged description may make a layer's own code raise anything.
        message = str(error).strip().rstrip(".") or type(error).__name__
        shown = os.fspath(path)
        if message.startswith(shown):
            raise FileError(f"{message}.") from error.__cause__
        raise FileError(f"{shown}: {message}.") from (error.__cause__ if isinstance(error, FileError) else error)
