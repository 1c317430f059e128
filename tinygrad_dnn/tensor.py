"""Tensor, the primitives' one way in (``apply``), and the graph that records what was applied."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np

# Tensor's methods are operations and operations make Tensors: the modules define each other, and the package's
# __init__ imports ops first, so that each finds the other in time.
from tinygrad_dnn import autograd, ops
from tinygrad_dnn import backend as backends
from tinygrad_dnn.backend import Array, Backend
from tinygrad_dnn.backend.base import memory_of
from tinygrad_dnn.backend.element_types import FLOATING, bfloat16
from tinygrad_dnn.graph import Primitive
from tinygrad_dnn.graph import state as graph_state
from tinygrad_dnn.operators import Operators

TensorLike: TypeAlias = "Tensor | float | int | bool | np.ndarray | Sequence[Any]"
DTypeLike: TypeAlias = "str | np.dtype[Any] | type"


# NumPy's functions that are operations on Tensors, beside the elementwise ones.
_REDUCTIONS: dict[Any, str] = {
    **{getattr(np, name): name for name in ("sum", "mean", "var", "std", "max", "min", "any", "all")},
    np.amax: "max",
    np.amin: "min",
}
_NO_ARRAY = np.empty(0)

# One clock orders applications and assignments: a node's serial sorts the graph, and a value assigned later than the
# node that saved it is thereby known to be stale. next() on it is atomic.
_clock = itertools.count(1)


def apply(primitive: Primitive, inputs: tuple[Any, ...], attributes: dict[str, Any] | None = None) -> Tensor:
    """Run ``primitive`` on ``inputs`` and record it where a gradient may be asked for.

    Everything that computes goes through here: layers, optimizers, gradients themselves.

    Args:
        primitive: What to run.
        inputs: Tensors and Python numbers, at least one Tensor.
        attributes: The primitive's attributes.

    Raises:
        ValueError, TypeError, IndexError: What the array library refused, with the operation, shapes and dtypes named.
    """
    arrays = []
    records = False
    xp: Backend | None = None
    for x in inputs:
        if isinstance(x, Tensor):
            array = x.data
            arrays.append(array)
            if x._requires_grad:
                records = True
            if xp is None:
                xp = backends.of(array)
        else:
            arrays.append(x)
    try:
        data = primitive.forward(xp, *arrays, **attributes) if attributes else primitive.forward(xp, *arrays)
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise _refusal(primitive, inputs, attributes or {}, error) from error
    if type(data) is not xp.array_type:  # type: ignore[union-attr]
        data = xp.asarray(data)  # type: ignore[union-attr]  # NumPy gives scalars for 0-d results
    out = Tensor.__new__(Tensor)
    out.data = data
    if records and graph_state.grad_enabled and primitive.vjps and data.dtype.kind in FLOATING:
        out._requires_grad = True
        out._primitive = primitive
        out._inputs = inputs
        out._attributes = attributes
        out._serial = next(_clock)
    if graph_state.recorder is not None:
        graph_state.recorder.applied(primitive, inputs, attributes or {}, out)
    return out


def assigned_now(tensor: Tensor, data: Array) -> None:
    """Let a Tensor hold an array that was computed outside of ``apply``, and mark it as assigned to."""
    tensor.data = data
    tensor._assigned = next(_clock)


def written_now(tensors: Sequence[Tensor]) -> None:
    """Mark Tensors as assigned to whose arrays were written over, which nobody else holds."""
    now = next(_clock)  # one moment for all: whatever was computed from them came before
    for tensor in tensors:
        tensor._assigned = now


def _refusal(primitive: Primitive, inputs: tuple[Any, ...], attributes: dict[str, Any], error: Exception) -> Exception:
    """Build the error that names the operation and what it was given."""
    operands = ", ".join(
        f"{x.dtype.name}{list(x.shape)} on {x.backend.name}" if isinstance(x, Tensor) else repr(x) for x in inputs
    )
    extra = "".join(f", {key}={value!r}" for key, value in attributes.items())
    if isinstance(error, IndexError):
        kind: type[Exception] = IndexError
    else:
        kind = ValueError if isinstance(error, ValueError) else TypeError
    reason = str(error).strip().rstrip(".")
    places = sorted({x.backend.name for x in inputs if isinstance(x, Tensor)})
    if len(places) > 1:
        reason = f"its Tensors are on {len(places)} backends; bring them to one, as by x.to({places[0]!r})"
    return kind(f"{primitive.name}({operands}{extra}) is not possible: {reason}.")


def as_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """Return ``dtype`` as a NumPy dtype: floats of 16, 32, 64 bits, bfloat16, integers and bool.

    Raises:
        TypeError: It is no numeric type.
        ImportError: It is bfloat16, and the package ml_dtypes is not installed.
    """
    try:
        result = np.dtype(dtype)
    except (TypeError, ValueError) as error:
        if isinstance(dtype, str) and dtype == "bfloat16":
            return bfloat16()
        raise TypeError(f"dtype must be a type of numbers, such as 'float32', not {dtype!r}.") from error
    if (result.kind not in "fiub" or result.itemsize > 8) and result.name != "bfloat16":
        raise TypeError(
            f"a Tensor holds floats, integers or booleans of at most 64 bits, not {result.name}: give such a dtype."
        )
    return result


def as_tensor(value: TensorLike, like: Tensor | None = None) -> Tensor:
    """Return ``value`` as a Tensor: itself if it is one, else a new one on the backend of ``like`` or the thread's.

    Python floats take the default floating-point type, integers int64, both the type of ``like`` if that is a float;
    arrays, of NumPy or another library, keep their dtype.

    Raises:
        TypeError: It is no number, array or nested list of numbers.
    """
    if isinstance(value, Tensor):
        return value
    if like is None:
        return tensor(value)
    adapts = like.dtype.kind in FLOATING and backends.of(value) is None and memory_of(value) is None
    return tensor(value, like.dtype if adapts else None, backend=like.backend)


def tensor(
    data: TensorLike, dtype: DTypeLike | None = None, requires_grad: bool = False, backend: Backend | None = None
) -> Tensor:
    """Make a Tensor that holds a copy of ``data``.

    Args:
        data: A number, a nested list of numbers or Tensors, a NumPy array, a Tensor, an array of a loaded backend, or
            another library's array that has ``__dlpack__`` or ``__cuda_array_interface__``, as PyTorch's and JAX's
            have; ``from_dlpack`` makes no copy of one.
        dtype: Its element type; by default Python floats become ``backend.floatx()``, Python integers int64, and
            arrays keep theirs.
        requires_grad: Whether ``backward`` shall accumulate a gradient for it.
        backend: Where it lives; by default the thread's current backend.

    Raises:
        TypeError: ``data`` holds something other than numbers, or lies in a GPU's memory and the backend is not CuPy's;
            or ``requires_grad`` on a dtype without gradients.
        ValueError: The nested lists are of unequal lengths, or values of a masked array are masked.

    Example:
        >>> td.tensor([[1.0, 2.0], [3.0, 4.0]])
        Tensor([[1., 2.],
                [3., 4.]], dtype=float32)
    """
    target = backend or backends.current()
    given: Any = data
    if isinstance(data, Tensor):
        if graph_state.recorder is not None:
            graph_state.recorder.copied(data)
        given = data.data
    if (source := backends.of(given)) is None and memory_of(given) == "cuda":
        given, source = target.from_device(given), target
    if source is target and type(given) is target.array_type:
        array: Array = given
        array = array.copy()  # where it is: nothing waits
        as_dtype(array.dtype)
        out = Tensor._wrap(array if dtype is None else array.astype(as_dtype(dtype), copy=False))
    else:
        refuse_masked(given, "td.tensor: data")
        host = source.to_host(given) if source is not None else _on_host(given, dtype is None)
        if dtype is not None:
            host = host.astype(as_dtype(dtype), copy=False)
        as_dtype(host.dtype)
        out = Tensor._wrap(target.from_host(host))
    if requires_grad:
        out.requires_grad_()
    return out


def refuse_masked(array: Any, what: str) -> None:
    """Raise ValueError for a masked array of NumPy's in which something is masked: its values would count all the same.

    Args:
        array: Anything.
        what: What the error calls it.

    Example:
        >>> refuse_masked(np.ma.masked_less([1.0, -9.0], 0.0), "fit: x")
        Traceback (most recent call last):
        ValueError: fit: x is a masked array, and 1 of its 2 values are masked: put other values in their place, as ...
    """
    # In this order, as numpy.ma is a module that is imported when it is first named.
    if type(array) is np.ndarray or not isinstance(array, np.ndarray) or not isinstance(array, np.ma.MaskedArray):
        return
    masked = int(np.ma.getmaskarray(array).sum())
    if masked:
        raise ValueError(
            f"{what} is a masked array, and {masked} of its {array.size} values are masked: put other values in their "
            "place, as by filled(0), or leave them out."
        )


def _on_host(data: Any, narrows: bool) -> np.ndarray:
    """Return a host array, which nobody else has, of numbers, nested lists of them, or another library's array."""
    try:
        if memory_of(data) == "host":
            return np.array(np.from_dlpack(data), order="C")
    except (BufferError, RuntimeError):
        pass  # what DLPack has no word for, the library may turn into an array of NumPy's itself
    try:
        host = np.array(data)
    except ValueError as error:
        raise ValueError(f"a Tensor is made of nested lists of equal lengths, not of {_describe(data)}.") from error
    if host.dtype.kind not in "fiub":
        raise TypeError(f"a Tensor is made of numbers; {_describe(data)} is none.")
    if host.dtype.kind == "f" and narrows and not isinstance(data, np.generic):
        host = host.astype(backends.floatx())
    return host


def from_dlpack(array: Any) -> Tensor:
    """Return another library's array as a Tensor on the thread's backend, over the same memory: nothing is copied.

    On CuPy that is an array in the GPU's memory, on NumPy one in the host's; one in the host's memory is copied to
    the GPU. The two take turns on one stream, so neither has to wait. Tensors are never written on, but whoever
    writes on the array changes the Tensor: ``td.tensor(array)`` is safe from that, by a copy.

    Args:
        array: What has ``__dlpack__`` and ``__dlpack_device__``, as the arrays of PyTorch, JAX, CuPy and NumPy, or
            ``__cuda_array_interface__``, as Numba's.

    Raises:
        TypeError: It is no such array, its elements are no numbers that a Tensor can hold, or it lies in memory that
            the backend does not reach.
        BufferError: Its library does not give it away, as PyTorch a tensor that requires a gradient.

    Example:
        >>> x = np.arange(3.0)
        >>> with td.backend.use("numpy"):
        ...     shared = td.from_dlpack(x)
        >>> x[0] = 7.0
        >>> shared
        Tensor([7., 1., 2.], dtype=float64)
    """
    here = backends.current()
    where = memory_of(array)
    if where not in ("host", "cuda"):
        reason = "has no __dlpack__" if where is None else "lies neither in the host's memory nor in a CUDA device's"
        raise TypeError(f"from_dlpack: {_describe(array)} {reason}: bring it to the host, and take td.tensor.")
    if where == "cuda":
        taken = here.from_device(array)
    else:
        try:
            taken = here.from_host(np.from_dlpack(array))
        except RuntimeError as error:  # of an element type that NumPy does not have
            raise TypeError(f"from_dlpack: {_describe(array)} cannot be taken: {str(error).rstrip('.')}.") from error
    as_dtype(taken.dtype)
    return Tensor._wrap(taken)


def _describe(value: object) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"


class Tensor(Operators):
    """An array that remembers how it was computed, so that gradients can be taken.

    Names and behaviour are PyTorch's (``requires_grad``, ``backward``, ``grad``, ``detach``, ``item``, ``numpy``),
    operations also carry NumPy's names. Values are never changed by an operation: ``assign`` (and the in-place
    operators, which use it) binds a Tensor to a new value, and a backward pass that would need the old one is an error.

    Attributes:
        data: The backend's array; read it, do not write on it: ``assign`` gives a Tensor another value. A program that
            has a copy of it lets NumPy refuse what is written there, where it can.
        requires_grad: Whether gradients flow to it.
        grad: What ``backward`` accumulated, a Tensor of the same shape, or None.

    Example:
        >>> x = td.tensor([1.0, 2.0, 3.0], requires_grad=True)
        >>> (x * x).sum().backward()
        >>> x.grad
        Tensor([2., 4., 6.], dtype=float32)
    """

    data: Array
    _requires_grad: bool = False
    _grad: Tensor | None = None
    # What softmax and sigmoid remember of their input, ("softmax" or "sigmoid", logits): cross-entropy is exact only
    # from logits, and a model that ends in a probability still has to train on them.
    _logits: tuple[str, Tensor] | None = None
    _primitive: Primitive | None = None
    _inputs: tuple[Any, ...] = ()
    _attributes: dict[str, Any] | None = None
    _serial: int = 0
    _assigned: int = 0
    # What a layer's weight is computed with in, where that is narrower than its own type: float16 or bfloat16.
    _autocast: np.dtype[Any] | None = None
    # Where it was computed, while ``debug_nans`` looks on.
    _place: Any = None

    # What changes from step to step, and what a program reads anew.
    _unwatched: ClassVar = frozenset(
        {"data", "_grad", "_logits", "_primitive", "_inputs", "_attributes", "_serial", "_assigned", "_place"}
    )

    __hash__ = object.__hash__

    def __init__(self, data: TensorLike, dtype: DTypeLike | None = None, requires_grad: bool = False) -> None:
        self.data = tensor(data, dtype).data
        if requires_grad:
            self.requires_grad_()

    @staticmethod
    def _wrap(data: Array) -> Tensor:
        out = Tensor.__new__(Tensor)
        out.data = data
        return out

    # -- what it is ---------------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of its axes."""
        return self.data.shape  # type: ignore[no-any-return]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of its elements, a NumPy dtype."""
        return self.data.dtype  # type: ignore[no-any-return]

    @property
    def ndim(self) -> int:
        """The number of its axes."""
        return self.data.ndim  # type: ignore[no-any-return]

    @property
    def size(self) -> int:
        """The number of its elements."""
        return int(self.data.size)

    @property
    def backend(self) -> Backend:
        """The backend whose array it holds."""
        found = backends.of(self.data)
        assert found is not None
        return found

    @property
    def is_leaf(self) -> bool:
        """Whether it was made by the user and not by a recorded operation."""
        return self._primitive is None

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a 0-d Tensor has no length.")
        return self.shape[0]

    def __repr__(self) -> str:
        body = np.array2string(self.numpy(), separator=", ", prefix="Tensor(", threshold=100, precision=6)
        flag = ", requires_grad=True" if self.requires_grad else ""
        return f"{type(self).__name__}({body}, dtype={self.dtype.name}{flag})"

    # -- out of the graph, off the device ------------------------------------------------------------------------

    def numpy(self) -> np.ndarray:
        """Return a copy on the host, a NumPy array; this waits for the device."""
        if graph_state.recorder is not None:
            graph_state.recorder.read(self)
        return self.backend.to_host(self.data)

    def item(self) -> Any:
        """Return its single element as a Python number; this waits for the device.

        Raises:
            ValueError: It has more or fewer than one element.
        """
        if self.size != 1:
            raise ValueError(f"item() takes a Tensor of one element, this one has shape {self.shape}.")
        return self.numpy().item()

    def tolist(self) -> Any:
        """Return its elements as nested lists of Python numbers."""
        return self.numpy().tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("a Tensor is always copied to the host; np.array(tensor) or tensor.numpy() says so.")
        return self.numpy() if dtype is None else self.numpy().astype(dtype, copy=False)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Tensor:
        """Let NumPy's elementwise functions, and so ``ndarray + Tensor``, be the operations of the same name."""
        name = {"absolute": "abs"}.get(ufunc.__name__, ufunc.__name__)
        if method == "__call__" and not kwargs:
            if name in ("bitwise_and", "bitwise_or"):
                first, second = (as_tensor(x, like=self) for x in inputs)
                return first & second if name == "bitwise_and" else first | second
            if name in ops.__all__:
                return getattr(ops, name)(*inputs)  # type: ignore[no-any-return]
        raise TypeError(
            f"np.{ufunc.__name__} does not take Tensors this way: use an operation of td, or np.array(tensor) for "
            "the values."
        )

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """Let NumPy's reductions be the operations of the same name; its other functions get the values."""
        if not all(issubclass(kind, (Tensor, np.ndarray)) for kind in types):
            return NotImplemented
        name = _REDUCTIONS.get(function)
        if name is None:
            # NumPy goes on as if Tensors had no say, and asks for the values where it needs them.
            return np.ndarray.__array_function__(_NO_ARRAY, function, (), args, kwargs)
        given = {key: value for key, value in kwargs.items() if value is not None}
        unknown = [key for key in given if key not in ("a", "axis", "keepdims", "ddof")]
        if unknown or len(args) > 2:
            raise TypeError(
                f"np.{name} does not take Tensors with {unknown[0] if unknown else 'more than an axis by position'}: "
                f"use td.ops.{name}, or np.array(tensor) for the values."
            )
        return getattr(ops, name)(*(() if args else (given.pop("a"),)), *args, **given)

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(
                f"the truth of a Tensor of shape {self.shape} is ambiguous: use .any(), .all() or td.where."
            )
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.dtype.kind not in "iu":
            raise TypeError(f"an index is an integer, this Tensor is {self.dtype.name}.")
        return int(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else repr(self)

    def to(self, backend: str) -> Tensor:
        """Return it on the named backend, without its history; itself if it is there already.

        Args:
            backend: "numpy", "cupy" or "strict"; "cupy:1" is the second GPU.

        Raises:
            ValueError: No backend has that name, or it has no such device.
            RuntimeError: Its library cannot be used here.
        """
        array = backends.moved(self.data, *backends.placed(backend))
        if array is self.data:
            return self
        if graph_state.recorder is not None:
            graph_state.recorder.read(self)
        return Tensor._wrap(array)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.data.__dlpack_device__()  # type: ignore[no-any-return]

    def __dlpack__(self, *, max_version: tuple[int, int] | None = None, **options: Any) -> Any:
        """Give another library its array, for reading: ``torch.from_dlpack(x)`` and the like call this.

        Args:
            max_version: The version of DLPack that the other library knows; from 1.0 on it is told not to write.
            **options: As the array's own library takes them: ``stream``, on which the other one will read; ``copy``;
                ``dl_device``.

        Raises:
            BufferError: It requires a gradient, which the other library would not know of.
        """
        if self.requires_grad:
            raise BufferError("a Tensor that requires a gradient is not given away: give x.detach().")
        if graph_state.recorder is not None:
            graph_state.recorder.read(self)
        array = self.data
        if max_version is not None:
            options["max_version"] = max_version
            if isinstance(array, np.ndarray) and max_version >= (1, 0) and not options.get("copy"):
                array = array.view()
                array.flags.writeable = False
        return array.__dlpack__(**options)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Where its array lies on a GPU; without it, as on the host, it is no such array.

        With a gradient it has none either: CuPy would compute with the array alone, and the gradient be lost.
        """
        if self.requires_grad:
            raise AttributeError("a Tensor that requires a gradient has no __cuda_array_interface__: take x.detach().")
        return self.data.__cuda_array_interface__  # type: ignore[no-any-return]

    def detach(self) -> Tensor:
        """Return a Tensor of the same value through which no gradient flows."""
        out = Tensor._wrap(self.data)
        if graph_state.recorder is not None:
            graph_state.recorder.shared(self, out)
        return out

    @property
    def grad(self) -> Tensor | None:
        """What ``backward`` accumulated, a Tensor of the same shape, or None; it may be set."""
        if graph_state.recorder is not None:
            graph_state.recorder.graded(self)
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if graph_state.recorder is not None:
            graph_state.recorder.graded(self)
        self._grad = value

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to it; set on a leaf as ``requires_grad_`` does."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Set whether ``backward`` accumulates a gradient for this leaf; return it.

        Raises:
            TypeError: Its dtype has no gradients.
            ValueError: It is not a leaf.
        """
        if requires_grad and self.dtype.kind not in FLOATING:
            raise TypeError(f"only floating-point Tensors have gradients, this one is {self.dtype.name}.")
        if not self.is_leaf:
            raise ValueError("requires_grad is set on leaves; this Tensor was computed: use .detach() first.")
        self._requires_grad = bool(requires_grad)
        return self

    # -- gradients ------------------------------------------------------------------------------------------------

    def backward(
        self, gradient: Tensor | None = None, retain_graph: bool | None = None, create_graph: bool = False
    ) -> None:
        """Accumulate the gradient of this Tensor into ``grad`` of every leaf that requires one.

        Args:
            gradient: The gradient of this Tensor itself; needed unless it has one element.
            retain_graph: Keep the graph for another backward pass; by default as ``create_graph``.
            create_graph: Record the backward pass too, so that the gradients have gradients.

        Raises:
            ValueError: It has more than one element and no ``gradient`` was given, or the shapes differ.
            RuntimeError: Nothing here requires a gradient, the graph was freed by an earlier pass, or a value that
                the pass needs was assigned to in between.
        """
        autograd.backward(self, gradient, retain_graph, create_graph)

    # -- state ----------------------------------------------------------------------------------------------------

    def assign(self, value: TensorLike) -> Tensor:
        """Bind this Tensor to a new value of its shape and dtype; return it.

        This is the one way in which state changes: weights, moments, running statistics, counters.

        Raises:
            ValueError: The shape differs.
            TypeError: The value's dtype cannot be cast to this one's without losing its kind (float to int, say).
        """
        self.data = apply(ops.ASSIGN, (self, ops.for_assign(value, self))).data
        self._assigned = next(_clock)
        return self

    def _operand(self, value: TensorLike) -> Tensor:
        return as_tensor(value, like=self)


class Variable(Tensor):
    """A named Tensor that holds state: a weight, a moment, a counter.

    Args:
        value: Its first value.
        dtype: Its element type.
        trainable: Whether an optimizer may change it; it then requires a gradient.
        name: What errors, summaries and files call it.

    Attributes:
        trainable: As given; a layer's ``trainable`` counts as well.
        name: As given.
        path: Its name behind that of its layer, such as "dense/kernel".
        regularizer: A function of the weight whose value joins the loss, or None.
        constraint: A function that the weight passes through after each update, or None.

    Example:
        >>> step = td.Variable(0, name="step")
        >>> step.assign(step + 1)
        Variable(1, dtype=int64)
    """

    def __init__(
        self, value: TensorLike, dtype: DTypeLike | None = None, trainable: bool = False, name: str = "variable"
    ) -> None:
        super().__init__(value, dtype, requires_grad=trainable)
        self.trainable = trainable
        self.name = name
        self.path = name
        self.regularizer: Callable[[Tensor], Tensor] | None = None
        self.constraint: Callable[[Tensor], Tensor] | None = None

    def assign_add(self, value: TensorLike) -> Tensor:
        """Bind this Variable to its value and another one added to it; return it.

        Example:
            >>> td.Variable(1.0).assign_add(2.0)
            Variable(3., dtype=float32)
        """
        return self.assign(self + value)

    def assign_sub(self, value: TensorLike) -> Tensor:
        """Bind this Variable to its value less another one; return it.

        Example:
            >>> td.Variable(1.0).assign_sub(2.0)
            Variable(-1., dtype=float32)
        """
        return self.assign(self - value)
