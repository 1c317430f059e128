"""What every metric shares, and the running mean that most of them are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tinygrad_dnn import backend, ops, registry
from tinygrad_dnn.checks import as_name
from tinygrad_dnn.graph import no_grad
from tinygrad_dnn.losses.inputs import fitting_weights
from tinygrad_dnn.registration import snake_case
from tinygrad_dnn.tensor import DTypeLike, Tensor, TensorLike, Variable, as_dtype, as_tensor


class Metric:
    """Base of all metrics: a value that is updated batch by batch and reset when an epoch begins.

    A subclass makes its state with ``add_variable`` and writes ``update_state`` and ``result`` in Tensor operations,
    changing the state only by ``assign``; where it has arguments, it writes ``get_config`` too.

    Args:
        dtype: The floating-point type of its state and result; by default ``td.backend.floatx()``.
        name: What logs and errors call it; by default its class name in snake case.

    Attributes:
        variables: Its state, in the order it was added.

    Example:
        >>> class Samples(td.metrics.Metric):
        ...     def __init__(self, dtype=None, name=None):
        ...         super().__init__(dtype, name)
        ...         self.count = self.add_variable(name="count")
        ...     def update_state(self, y_true, y_pred, sample_weight=None):
        ...         self.count.assign(self.count + len(y_true))
        ...     def result(self):
        ...         return self.count + 0
        >>> metric = Samples()
        >>> metric.update_state(td.zeros((4, 1)), td.zeros((4, 1)))
        >>> metric.name, metric.result()
        ('samples', Tensor(4., dtype=float32))
    """

    def __init__(self, dtype: DTypeLike | None = None, name: str | None = None) -> None:
        kind = type(self).__name__
        self.name = as_name(name, f"{kind}: name") or snake_case(kind)
        self.dtype = as_dtype(backend.floatx() if dtype is None else dtype).name
        self.variables: list[Variable] = []

    def add_variable(
        self,
        shape: Sequence[int] = (),
        initializer: Any = "zeros",
        dtype: DTypeLike | None = None,
        name: str = "variable",
    ) -> Variable:
        """Add a state Tensor.

        Args:
            shape: Its shape.
            initializer: What it holds before anything is reset: a registered name, or a callable ``(shape, dtype)``.
            dtype: Its element type, by default the metric's.
            name: What errors call it.
        """
        values = registry.initializers.get(initializer)(tuple(shape), as_dtype(dtype or self.dtype))
        variable = Variable(values, name=f"{self.name}/{name}")
        self.variables.append(variable)
        return variable

    add_weight = add_variable  # Keras has both names

    def update_state(self, y_true: TensorLike, y_pred: TensorLike, sample_weight: TensorLike | None = None) -> None:
        """Take in a batch.

        Args:
            y_true: Targets.
            y_pred: Predictions.
            sample_weight: What each sample counts, of shape (n,); 1 by default.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define update_state(y_true, y_pred, sample_weight).")

    def result(self) -> Tensor:
        """Return the value over all batches since the last reset, as a rule a Tensor of shape ()."""
        raise NotImplementedError(f"{type(self).__name__} does not define result().")

    def reset_state(self) -> None:
        """Set the whole state to 0."""
        for variable in self.variables:
            variable.assign(ops.zeros_like(variable))

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        """Update the state, as ``update_state`` does, and return the result."""
        self.update_state(*args, **kwargs)
        return self.result()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r})"

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this metric again, without its state."""
        return {"name": self.name, "dtype": self.dtype}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Metric:
        """Return the metric that ``get_config`` described."""
        return cls(**config)


class Mean(Metric):
    """The running mean of values, weighted where weights are given.

    Args:
        name: As for ``Metric``.
        dtype: As for ``Metric``.

    Example:
        >>> mean = td.metrics.Mean()
        >>> mean.update_state([1.0, 3.0])
        >>> mean.update_state([6.0], sample_weight=[2.0])
        >>> mean.result()
        Tensor(4., dtype=float32)
    """

    def __init__(self, name: str | None = "mean", dtype: DTypeLike | None = None) -> None:
        super().__init__(dtype, name)
        self.total = self.add_variable(name="total")
        self.count = self.add_variable(name="count")

    def update_state(self, values: TensorLike, sample_weight: TensorLike | None = None) -> None:  # type: ignore[override]
        """Take in values.

        Args:
            values: One value a sample, of shape (n,), or one number; further axes are averaged.
            sample_weight: What each sample counts, of shape (n,) or (n, 1), or one number for all of them.

        Raises:
            ValueError: There is not one weight a sample.
        """
        self._update(values, sample_weight)

    def _update(self, values: TensorLike, sample_weight: TensorLike | None) -> None:
        with no_grad():
            values = ops.cast(as_tensor(values), self.dtype)
            count: Tensor | float
            if sample_weight is None:
                values = _mean_after(values, min(values.ndim, 1))
                count = values.shape[0] if values.ndim else 1
            elif isinstance(sample_weight, (int, float)):
                values = _mean_after(values, 0) * sample_weight
                count = sample_weight
            else:
                weights = fitting_weights(self.name, sample_weight, values)
                values = _mean_after(values, weights.ndim) * weights
                count = ops.sum(weights)
            self.total.assign(self.total + (ops.sum(values) if values.ndim else values))
            self.count.assign(self.count + count)

    def result(self) -> Tensor:
        """Return the mean of all values since the last reset; 0 if there were none."""
        return self.total / ops.where(self.count == 0, 1.0, self.count)


def _mean_after(values: Tensor, axes: int) -> Tensor:
    """Average ``values`` over all but its first ``axes`` axes."""
    return ops.mean(values, axis=tuple(range(axes, values.ndim))) if values.ndim > axes else values


class MeanMetricWrapper(Mean):
    """The running mean of a function ``(y_true, y_pred)`` that gives one value a sample.

    Args:
        fn: The function.
        name: As for ``Metric``; by default the function's.
        dtype: As for ``Metric``.
        **kwargs: Further arguments of the function.

    Example:
        >>> metric = td.metrics.MeanMetricWrapper(td.losses.mean_squared_error, name="error")
        >>> metric.update_state([[0.0], [0.0]], [[1.0], [3.0]])
        >>> metric.result()
        Tensor(5., dtype=float32)
    """

    def __init__(
        self, fn: Callable[..., Tensor], name: str | None = None, dtype: DTypeLike | None = None, **kwargs: Any
    ) -> None:
        super().__init__(getattr(fn, "__name__", None) if name is None else name, dtype)
        self._function = fn
        self._arguments = kwargs

    def update_state(  # type: ignore[override]
        self, y_true: TensorLike, y_pred: TensorLike, sample_weight: TensorLike | None = None
    ) -> None:
        """Take in a batch.

        Args:
            y_true: Targets.
            y_pred: Predictions.
            sample_weight: What each sample counts, of shape (n,) or (n, 1); 1 by default.

        Raises:
            ValueError: The shapes do not fit.
        """
        with no_grad():
            values = self._function(y_true, y_pred, **self._arguments)
        self._update(values, sample_weight)

    def get_config(self) -> dict[str, Any]:
        return {**self._arguments, **super().get_config()}
