"""Debugging: the first NaN or Inf that is computed, named with its operation, layer, pass and line."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NamedTuple

import numpy as np

from tinygrad_dnn import backend as backends
from tinygrad_dnn import environment
from tinygrad_dnn.backend import Array
from tinygrad_dnn.backend.element_types import FLOATING
from tinygrad_dnn.graph import Primitive, Recorder, state
from tinygrad_dnn.ops.cast import ASSIGN
from tinygrad_dnn.ops.elementwise import LOG
from tinygrad_dnn.tensor import Tensor

_PACKAGE = str(Path(__file__).parent) + "/"

# Whose calls are looked for among the frames, by module and function. The rooms above are not imported: nothing is
# asked of them but the name that their object has.
_KINDS = {
    ("tinygrad_dnn.layers.base", "__call__"): "layer",
    ("tinygrad_dnn.optimizers.base", "_step"): "optimizer",
    ("tinygrad_dnn.optimizers.base", "apply"): "optimizer",
    ("tinygrad_dnn.losses.base", "__call__"): "loss",
    ("tinygrad_dnn.regularizers", "__call__"): "regularizer",
    ("tinygrad_dnn.constraints", "__call__"): "constraint",
    ("tinygrad_dnn.steps", "compute_loss"): "the loss of model",
    ("tinygrad_dnn.steps", "compute_metrics"): "model",
}
# In these modules a function that others may call is one by its own name.
_FUNCTIONS = {"tinygrad_dnn.activations": "activation", "tinygrad_dnn.losses": "loss"}
_BACKWARD = frozenset(
    ("tinygrad_dnn.autograd", function) for function in ("_vjp", "_of_inputs", "_accumulate", "backward")
)
# It runs a layer on zeros, which say nothing of the values to come.
_PROBE = ("tinygrad_dnn.layers.base", "compute_output_shape")


class debug_nans:
    """Look at every result of this thread, and raise an error at the first NaN or Inf that an operation makes.

    ``td.debug_nans(True)`` is on until ``td.debug_nans(False)``; in a ``with`` statement it is as before after the
    block. The environment variable ``TINYGRAD_DNN_DEBUG=nans`` lets every thread begin with it.

    The error names the operation, the layer, the pass (forward, backward or an optimizer's update), and the line. A NaN
    is always one too many, whether an operation made it or was given it. An Inf counts where it comes of finite
    numbers, by overflow or a division. One that is given, as the -inf of a mask, is let be, and so is log(0), which is
    -inf exactly and may be what ``td.where`` leaves out: either is reported as soon as a NaN comes of it, or a
    trainable weight is to hold it.

    Programs of ``td.jit`` and ``fit`` run at their own speed. After each run their results and what they changed are
    looked at; if anything is not finite, the state is put back to what it was before that step, and the step is run
    again operation by operation, which raises the error: what the model held before the step is what it holds then.
    That needs a copy of what a step changes, made before each. What vanishes inside of a program, as an Inf that
    ``td.where`` leaves out, is not noticed there.

    Args:
        enabled: Whether to look.

    Raises:
        FloatingPointError: An operation made a NaN or Inf.
        RuntimeError: It is switched inside a function that ``td.jit`` runs: do that around its calls.

    Example:
        >>> with td.debug_nans():
        ...     try:
        ...         td.sqrt(td.tensor([4.0, -1.0]))
        ...     except FloatingPointError as error:
        ...         print(str(error)[:87])
        td.debug_nans: sqrt(float32[2]) gave NaN in 1 of 2 elements, the first at [1], in the f
    """

    def __init__(self, enabled: bool = True) -> None:
        if state.recorder not in (None, CHECK):
            raise RuntimeError("td.debug_nans: switch it outside of the function that td.jit runs, around its calls.")
        self._before = state.recorder
        state.recorder = CHECK if enabled else None

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        state.recorder = self._before


class Check(Recorder):
    """Is told of everything that a thread computes, and raises where a result is not finite."""

    def applied(self, primitive: Primitive, inputs: tuple[Any, ...], attributes: dict[str, Any], out: Tensor) -> None:
        """Look at a result; remember of one that may have a gradient where it was computed."""
        if primitive is ASSIGN and not inputs[0]._requires_grad:
            return
        if not finite(out.data) and (error := _error(primitive, inputs, attributes, out.data)) is not None:
            raise error
        if out._primitive is not None:
            out._place = _Place.of(sys._getframe(2))

    def shared(self, source: Tensor, new: Tensor) -> None:
        """Let arrays be shared."""

    def copied(self, source: Tensor) -> None:
        """Let Tensors be copied."""

    def read(self, source: Tensor) -> None:
        """Let values be looked at."""

    def graded(self, source: Tensor) -> None:
        """Let gradients be read."""


CHECK = Check()


def finite(array: Array) -> bool:
    """Tell whether an array has neither NaN nor Inf.

    Example:
        >>> td.debugging.finite(np.zeros(2)), td.debugging.finite(np.array([0.0, np.inf]))
        (True, False)
    """
    if array.dtype.kind not in FLOATING:
        return True
    xp: Any = backends.of(array)
    with np.errstate(all="ignore"):
        # Neither can leave a sum, which is the cheapest way to look at everything; but finite numbers may overflow.
        if np.isfinite(xp.to_host(xp.sum(array))):
            return True
        return bool(xp.to_host(xp.all(xp.isfinite(array))))


class _Place(NamedTuple):
    """Where something was computed: the line outside of the package, and in which layers and the like."""

    file: str
    line: int
    names: dict[str, Any]
    inside: tuple[str, ...]

    @staticmethod
    def of(frame: FrameType | None) -> _Place:
        """Look for it from a frame outwards."""
        found: list[str] = []
        users: tuple[str, int, dict[str, Any]] | None = None
        while frame is not None:
            module, function = frame.f_globals.get("__name__", ""), frame.f_code.co_name
            kind = _KINDS.get((module, function))
            if function in ("update_state", "result") and hasattr(frame.f_locals.get("self"), "update_state"):
                kind = "metric"
            # An update is inside of the optimizer's apply: once is enough.
            if kind is not None and not (kind == "optimizer" and any(kind in part for part in found)):
                found.append(_described(kind.removeprefix("the loss of ") if found else kind, frame))
            elif function.isidentifier() and function[0] != "_" and function != "call":
                kind = _FUNCTIONS.get(module.rpartition(".")[0])
                found += [] if kind is None else [f"{kind} {function!r}"]
            if users is None and not frame.f_code.co_filename.startswith(_PACKAGE):
                users = frame.f_code.co_filename, frame.f_lineno, frame.f_globals
            frame = frame.f_back
        return _Place(*(users or ("", 0, {})), tuple(found))

    def __str__(self) -> str:
        where = f" of {' of '.join(self.inside)}" if self.inside else ""
        return where + _line(self.file, self.line, self.names)


def _described(kind: str, frame: FrameType) -> str:
    """Return what a frame's object is called, with the plugin that it comes from."""
    holder = frame.f_locals.get("self")
    name = repr(getattr(holder, "name", None) or type(holder).__name__)
    if kind == "layer" and hasattr(holder, "train_step"):
        kind = "model"
    if kind == "optimizer" and (weight := frame.f_locals.get("weight")) is not None:
        kind = f"weight {getattr(weight, 'path', None) or 'without a name'!r} by optimizer"
    origin = getattr(type(holder), "__tinygrad_dnn_origin__", None)
    known = origin is not None and origin.module == type(holder).__module__
    return f"{kind} {name}{_from(origin) if known else ''}"


def _error(
    primitive: Primitive, inputs: tuple[Any, ...], attributes: dict[str, Any], data: Array
) -> FloatingPointError | None:
    """Return the error for a result that is not finite, or None where that may be meant."""
    xp: Any = backends.of(data)
    values = xp.to_host(data)
    name = primitive.name
    if primitive is ASSIGN:  # what a Tensor held until now does not matter
        name, inputs = f"assign to {getattr(inputs[0], 'path', None) or 'a Tensor'!r}", inputs[1:]
    nan = bool(np.isnan(values).any())
    arrays = [x.backend.to_host(x.data) if isinstance(x, Tensor) else np.asarray(x) for x in inputs]
    numbers = [np.asarray(x) for x in attributes.values() if isinstance(x, float)]
    given = all(np.isfinite(x).all() for x in [*arrays, *numbers] if x.dtype.kind == "f")
    if not nan and (not given or primitive is LOG) and primitive is not ASSIGN:
        return None
    frames = [*_frames(sys._getframe(2))]
    if _PROBE in ((frame.f_globals.get("__name__"), frame.f_code.co_name) for frame in frames):
        return None
    bad = np.isnan(values) if nan else np.isinf(values)
    first = [int(i) for i in np.argwhere(bad)[0]]
    already = next((n for n, x in enumerate(arrays) if x.dtype.kind == "f" and np.isnan(x).any()), None)
    what, advice = _advice(primitive, frames, inputs, arrays, already)
    operands = ", ".join(f"{x.dtype.name}{list(x.shape)}" if isinstance(x, Tensor) else repr(x) for x in inputs)
    return FloatingPointError(
        f"td.debug_nans: {name}({operands}){_plugin(primitive.forward.__globals__)} gave "
        f"{'NaN' if nan else 'Inf'} in {int(bad.sum())} of {bad.size} elements, the first at {first}, in {what}: "
        f"{advice}."
    )


def _advice(
    primitive: Primitive, frames: list[FrameType], inputs: tuple[Any, ...], arrays: list[np.ndarray], nan: int | None
) -> tuple[str, str]:
    """Return in which pass it was, with its place, and what to do about it."""
    here = _Place.of(frames[0])
    places = [(frame.f_globals.get("__name__"), frame.f_code.co_name) for frame in frames]
    backward = next((f for f, place in zip(frames, places, strict=True) if place in _BACKWARD), None)
    if backward is not None:
        t = backward.f_locals.get("t")
        name = "the graph" if t is None else t._primitive.name
        what = f"the backward pass of {name}{here if t is None or t._place is None else t._place}"
        advice = (
            f"keep what goes into {name} away from where its slope is infinite, as by a small epsilon or td.where "
            "before it, or lower the learning rate if it has grown in training"
        )
    elif any(part.startswith(("optimizer ", "weight ")) for part in here.inside):
        what = f"the optimizer's update{here}"
        advice = "lower the learning rate, or clip the gradients as by clipnorm=1.0"
    else:
        what = f"the forward pass{here}"
        advice = (
            f"keep what goes into {primitive.name} small and inside of its domain; where it has grown in training, "
            "lower the learning rate or clip the gradients"
        )
    if nan is not None:
        name = getattr(inputs[nan], "path", None)
        index = [int(i) for i in np.argwhere(np.isnan(arrays[nan]))[0]]
        at = f", NaN at {index}" if index else ""
        advice = f"its input {nan}{f', {name!r},' if name else ''} is not finite already{at}: replace or drop that"
    elif any(np.isinf(x).any() for x in arrays if x.dtype.kind == "f"):
        advice = f"an input holds Inf already, which was given or is the log of 0; {advice}"
    return what, advice


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def users_place(frames: Iterable[tuple[FrameType, int]]) -> str:
    """Return the first of some frames that is outside of the package, as a message names it, or an empty text.

    Args:
        frames: Frames with their lines, the innermost first.

    Example:
        >>> import sys
        >>> td.jit.users_place([(sys._getframe(), 1)])[:2]
        ' ('
    """
    for frame, line in frames:
        if not frame.f_code.co_filename.startswith(_PACKAGE):
            return _line(frame.f_code.co_filename, line, frame.f_globals)
    return ""


def _line(file: str, line: int, names: dict[str, Any]) -> str:
    text = linecache.getline(file, line).strip()
    return f" ({file}, line {line}{': ' + text if text else ''}{_plugin(names)})" if file else ""


def _plugin(names: dict[str, Any]) -> str:
    """Return which plugin the module with these global names belongs to, as a message names it, or an empty text."""
    for registered in list(names.values()):
        origin = getattr(registered, "__tinygrad_dnn_origin__", None)
        if origin is not None and getattr(registered, "__module__", None) == names.get("__name__"):
            return _from(origin)
    return ""


def _from(origin: Any) -> str:
    return f"; plugin {origin.distribution}" if origin.distribution not in ("local", "tinygrad-dnn") else ""


if "nans" in environment.words(environment.DEBUG, environment.DEBUGS):
    type(state).recorder = CHECK  # what a thread begins with
