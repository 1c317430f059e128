"""What the graph is made of: primitives with their gradients, and the mode that says whether to record them."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from tinygrad_dnn.backend import Array

if TYPE_CHECKING:
    from tinygrad_dnn.tensor import Tensor


class Recorder(Protocol):
    """What is told of everything that a thread computes while it is the thread's recorder."""

    def applied(self, primitive: Primitive, inputs: tuple[Any, ...], attributes: dict[str, Any], out: Tensor) -> None:
        """A primitive was applied; of an assignment ``out`` is what the first input is about to hold."""

    def shared(self, source: Tensor, new: Tensor) -> None:
        """Another Tensor holds the array of this one."""

    def copied(self, source: Tensor) -> None:
        """Another Tensor is about to be made of the values of this one."""

    def read(self, source: Tensor) -> None:
        """The values of a Tensor are about to leave for the host."""

    def graded(self, source: Tensor) -> None:
        """The gradient that a Tensor has accumulated is about to be read or replaced."""


class _ThreadState(threading.local):
    grad_enabled: bool = True
    recorder: Recorder | None = None


state = _ThreadState()

# What else decides, in this thread, what a function computes; modules above add theirs.
modes: list[Callable[[], Any]] = []


class Primitive:
    """An operation that is not composed of others: its forward on arrays and, beside it, its vjps on Tensors.

    Args:
        name: The operation's name, as errors show it.
        forward: ``forward(xp, *arrays, **attributes) -> array``; ``xp`` is the ``Backend``. Attributes are its
            keyword-only parameters and do not carry gradients. It never writes on its inputs.
        broadcasts: Its array inputs broadcast; a vjp may then return a gradient of the broadcast shape, and
            ``autograd`` sums it to the input's.
        **vjps: One function for each differentiable input, under that input's parameter name. It asks for what it
            needs by parameter names: ``g`` (the gradient of the output), ``out``, any input, ``<input>_shape``, any
            attribute. A value that no vjp asks for may be assigned to between forward and backward. The vjp of a
            ``*variadic`` input also may ask for ``i``, the position of the input meant.
    """

    __slots__ = ("broadcasts", "forward", "input_names", "name", "variadic", "vjps")

    def __init__(
        self, name: str, forward: Callable[..., Array], *, broadcasts: bool = False, **vjps: Callable[..., Tensor]
    ) -> None:
        self.name = name
        self.forward = forward
        self.broadcasts = broadcasts
        code = forward.__code__
        takes_many = code.co_flags & inspect.CO_VARARGS
        self.variadic = code.co_varnames[code.co_argcount + code.co_kwonlyargcount] if takes_many else ""
        self.input_names = code.co_varnames[1 : code.co_argcount]
        self.vjps = {key: (vjp, vjp.__code__.co_varnames[: vjp.__code__.co_argcount]) for key, vjp in vjps.items()}

    def __repr__(self) -> str:
        return f"Primitive({self.name!r})"


class GradMode:
    """Set the thread's recording mode inside a ``with`` block or a decorated function."""

    def __init__(self, enabled: bool) -> None:
        self._enabled = enabled
        self._previous: list[bool] = []

    def __enter__(self) -> None:
        self._previous.append(state.grad_enabled)
        state.grad_enabled = self._enabled

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        state.grad_enabled = self._previous.pop()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with GradMode(self._enabled):
                return function(*args, **kwargs)

        return wrapped


class no_grad(GradMode):
    """Record nothing for gradients inside a ``with`` block or a decorated function, in this thread.

    Example:
        >>> w = td.tensor(2.0, requires_grad=True)
        >>> with td.no_grad():
        ...     y = w * 3
        >>> y.requires_grad
        False
    """

    def __init__(self) -> None:
        super().__init__(False)


class enable_grad(GradMode):
    """Record for gradients again inside a ``no_grad`` block.

    Example:
        >>> w = td.tensor(2.0, requires_grad=True)
        >>> with td.no_grad(), td.enable_grad():
        ...     (w * 3).requires_grad
        True
    """

    def __init__(self) -> None:
        super().__init__(True)


def is_grad_enabled() -> bool:
    """Tell whether operations of this thread are recorded for gradients.

    Example:
        >>> td.is_grad_enabled()
        True
    """
    return state.grad_enabled
