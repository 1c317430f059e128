"""Writing a model as an ONNX file: its inputs and outputs by name, and the refusal of what cannot be written."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_dnn import nested
from tinygrad_dnn.checks import as_integer, as_path
from tinygrad_dnn.export.lengths import BATCH, Length, Size
from tinygrad_dnn.export.nodes import Node, Nodes
from tinygrad_dnn.export.tracing import Array, Trace, trace
from tinygrad_dnn.export.translation import UntranslatableError, translate
from tinygrad_dnn.jit import CannotRecordError
from tinygrad_dnn.layers import Layer
from tinygrad_dnn.layers.arguments import is_shape
from tinygrad_dnn.models import Model
from tinygrad_dnn.saving.files import replace

# Where reductions and padding take their axes as inputs.
_OLDEST_OPSET = 18
# A file is one message of protobuf, of less than 2 GiB; some of that is the graph.
_LARGEST = 2**31 - 2**24


def onnx(model: Model, path: str | os.PathLike[str], input_shape: Any = None, *, opset: int = _OLDEST_OPSET) -> None:
    """Write a model as an ONNX file, as it predicts: dropout left out, batch normalisation by its moving averages.

    The first axis of each input is the batch, of any length, named "batch". The inputs and outputs have the names of
    the model's, ``model.input_names`` and ``model.output_names``; weights those of their paths, as "dense/kernel". What
    the file computes is recorded while the model runs, operation by operation: whatever the layers are, plugins' and
    one's own among them, they need no translation of their own.

    Needs onnx: ``pip install 'tinygrad-dnn[onnx]'``. An old file of that name is replaced only by a whole new one.

    Args:
        model: A ``Sequential``, a ``Model(inputs, outputs)``, or a model of one's own class.
        path: The file.
        input_shape: The shape of a sample, without the batch; of several inputs a list or dict of such, as the model
            takes them. By default the model's own, which it must be where an axis is of unknown length.
        opset: Which version of ONNX's operations the file is written in: at least 18.

    Raises:
        ImportError: onnx is not installed.
        TypeError: It is no model.
        ValueError: A shape is not known, or a layer does what ONNX cannot: draws random numbers at inference, looks at
            values in Python, or computes something else for each length of the batch; or ``opset`` is out of its range.

    Example:
        >>> import os, tempfile
        >>> model = td.Sequential([td.Input(shape=(4,), name="x"), td.layers.Dense(3, activation="elu", name="y")])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     td.export.onnx(model, os.path.join(folder, "model.onnx"))
        ...     os.listdir(folder)
        ['model.onnx']

    Reference:
        ONNX, Open Neural Network Exchange, operator schemas of the chosen opset.
    """
    if not isinstance(model, Model):
        raise TypeError(f"export.onnx: it takes a model, not {type(model).__name__}.")
    as_path(path, "export.onnx: path")
    library = _library()
    latest = library.defs.onnx_opset_version()
    as_integer(opset, "export.onnx: opset", f"[{_OLDEST_OPSET}, {latest}]")
    structure, inputs = _inputs(model, input_shape)
    try:
        traced = trace(model, structure, inputs)
        names = _names(model, traced)
        nodes, constants = _translated(traced, *names)
    except (CannotRecordError, UntranslatableError) as error:
        layer, reason = _culprit(model, error)
        raise ValueError(
            f"export.onnx: {type(layer).__name__} {layer.name!r} of model {model.name!r} cannot be written, since "
            f"{reason}."
        ) from error
    size = sum(array.nbytes for array in constants.values())
    if size > _LARGEST:
        raise ValueError(
            f"export.onnx: model {model.name!r} holds {size / 2**30:.1f} GiB, and one ONNX file less than 2: export it "
            "in parts, as Model(model.input, layer.output) and what follows."
        )
    proto = _proto(library, model.name, traced, names, (nodes, constants), opset)
    replace(path, [proto.SerializeToString()])


def _library() -> Any:
    try:
        return importlib.import_module("onnx")
    except ImportError as error:
        raise ImportError("export.onnx needs onnx: pip install 'tinygrad-dnn[onnx]'.") from error


# -- inputs and outputs -----------------------------------------------------------------------------------------------


def _inputs(model: Model, input_shape: Any) -> tuple[Any, list[tuple[tuple[int, ...], str]]]:
    """Return what the model is called with, numbers in the place of inputs, and each one's shape and type."""
    known = list(model.inputs) if "input" in vars(model) else []
    structure = model.input if known else None
    if input_shape is None:
        if known:
            shapes = [x.shape[1:] for x in known]
        elif model._build_shape is not None:
            given = model._build_shape
            structure = list(given) if isinstance(given, tuple) and not is_shape(given) else given
            shapes = [shape[1:] for shape in nested.leaves(structure, is_shape)]
        else:
            raise ValueError(
                f"export.onnx: model {model.name!r} is not built: call it on data first, or give input_shape, that of "
                "a sample."
            )
    else:
        shapes = [tuple(shape) for shape in nested.leaves(input_shape, is_shape)]
        structure = structure if known else input_shape
        if known and len(shapes) != len(known):
            raise ValueError(
                f"export.onnx: input_shape gives {len(shapes)} shapes and model {model.name!r} has {len(known)} inputs."
            )
    for number, shape in enumerate(shapes):
        if None in shape:
            raise ValueError(
                f"export.onnx: input {number} of model {model.name!r} has shape {(None, *shape)}, and of a file the "
                "batch alone may be of any length: give input_shape, all its lengths known."
            )
    types = [x.dtype for x in known] or [model.dtype] * len(shapes)
    numbers = iter(range(len(shapes)))
    structure = nested.map_leaves(lambda x: next(numbers), structure, **({} if known else {"leaf": is_shape}))
    return structure, list(zip(shapes, types, strict=True))


def _names(model: Model, traced: Trace) -> tuple[list[str], list[str]]:
    """Return the names of the inputs and of the outputs, no two alike."""
    known = "input" in vars(model)
    inputs = model.input_names if known else ["input"] * len(traced.inputs)
    outputs = list(model.output_names) if known else ["output"] * len(traced.outputs)
    taken: set[str] = set()

    def unique(base: str) -> str:
        name, number = base, 0
        while name in taken:
            number += 1
            name = f"{base}_{number}"
        taken.add(name)
        return name

    return [unique(name) for name in inputs], [unique(name) for name in outputs]


# -- refusals ---------------------------------------------------------------------------------------------------------


def _culprit(layer: Layer, error: Exception) -> tuple[Layer, str]:
    """Return the innermost layer that cannot be written by itself, and why."""
    for inside in layer._parts().layers.values():
        shape = inside._build_shape
        if shape is None:
            continue
        structure = list(shape) if isinstance(shape, tuple) and not is_shape(shape) else shape
        shapes = [tuple(2 if n is None else n for n in each[1:]) for each in nested.leaves(structure, is_shape)]
        numbers = iter(range(len(shapes)))
        structure = nested.map_leaves(lambda x, numbers=numbers: next(numbers), structure, leaf=is_shape)
        try:
            traced = trace(inside, structure, [(each, layer.dtype) for each in shapes])
            _translated(traced, [str(i) for i in range(len(shapes))], [f"y{i}" for i in range(len(traced.outputs))])
        except (CannotRecordError, UntranslatableError) as own:
            return _culprit(inside, own)
        except Exception:  # by itself it may fail of other things, as of an input that another layer prepares
            continue
    return layer, str(error)


# -- the file ---------------------------------------------------------------------------------------------------------


def _translated(traced: Trace, inputs: list[str], outputs: list[str]) -> tuple[list[Node], dict[str, np.ndarray]]:
    nodes = Nodes([*inputs, *outputs])
    for array, name in zip(traced.inputs, inputs, strict=True):
        nodes.given(array, name)
    for step in traced.steps:
        translate(nodes, step)
    return nodes.finished([(nodes.name(array), name) for array, name in zip(traced.outputs, outputs, strict=True)])


def _proto(
    library: Any,
    name: str,
    traced: Trace,
    names: tuple[list[str], list[str]],
    made: tuple[list[Node], dict[str, np.ndarray]],
    opset: int,
) -> Any:
    """Return the model as ONNX's library has it, checked."""
    helper = library.helper

    def typed(array: Array, name: str) -> Any:
        element = helper.np_dtype_to_tensor_dtype(array.dtype)
        return helper.make_tensor_value_info(name, element, _dimensions(array.shape))

    def attribute(value: Any) -> Any:
        return helper.np_dtype_to_tensor_dtype(value) if isinstance(value, np.dtype) else value

    nodes, constants = made
    graph = helper.make_graph(
        [
            helper.make_node(
                node.operation, node.inputs, [node.output], name=node.output,
                **{key: attribute(value) for key, value in node.attributes.items()},
            )
            for node in nodes
        ],
        name,
        [typed(array, given) for array, given in zip(traced.inputs, names[0], strict=True)],
        [typed(array, given) for array, given in zip(traced.outputs, names[1], strict=True)],
        [library.numpy_helper.from_array(array, given) for given, array in constants.items()],
    )  # fmt: skip
    operations = [helper.make_opsetid("", opset)]
    proto = helper.make_model(
        graph,
        producer_name="tinygrad_dnn",
        producer_version=importlib.import_module("tinygrad_dnn").__version__,
        opset_imports=operations,
        ir_version=helper.find_min_ir_version_for(operations),
    )
    library.checker.check_model(proto, full_check=True)
    return proto


def _dimensions(sizes: Sequence[Size]) -> list[int | str | None]:
    return [("batch" if n == BATCH else None) if isinstance(n, Length) else n for n in sizes]
