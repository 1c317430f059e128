"""A pass over data: what its steps have in common, and what listens to each of them."""

from __future__ import annotations

from typing import Any

from tinygrad_dnn import backend
from tinygrad_dnn.callbacks import CallbackList, Logs
from tinygrad_dnn.data import ArrayBatches, Batch, IterableBatches
from tinygrad_dnn.steps import Learner, samples_of

Batches = ArrayBatches | IterableBatches

# Compiling takes some .3 s, and a batch of a small network gains 2 to 4 ms.
_WORTH_COMPILING = 100


class Pass:
    """One pass of a model over data; ``step`` is called with each batch.

    Args:
        model: The model.
        kind: "train", "test" or "predict".
        batches: The data; None where there is one batch alone.
        calls: Who listens to each step; None where nobody does.
        epochs: How many such passes are planned.

    Attributes:
        moment: Stands for this pass, if nothing but steps and the package's own callbacks runs until it ends; None if
            anything may change between two steps.
        many: Whether so many batches are planned that compiling a step takes less time than it saves; that counts all
            epochs, also those that an interrupted training has made: both are to run the same code.
    """

    def __init__(
        self,
        model: Learner,
        kind: str,
        batches: Batches | None = None,
        calls: CallbackList | None = None,
        epochs: int = 1,
    ) -> None:
        self.model = model
        self._step = f"{kind}_step"
        self._moments = begin, end = f"{kind}_batch_begin", f"{kind}_batch_end"
        self._predicts = kind == "predict"
        self._calls = CallbackList([], model, {}) if calls is None else calls
        between = [begin, end, *(["progress"] if kind == "train" else [])]
        quiet = isinstance(batches, ArrayBatches) and all(map(self._calls.changes_nothing, between))
        self.moment = object() if quiet else None
        self.many = batches is not None and (not len(batches) or epochs * len(batches) >= _WORTH_COMPILING)
        self._largest = max((weight.size for weight in model.weights if weight.ndim > 1), default=0)

    def step(self, number: int, batch: Batch) -> Any:
        """Make one step, between the calls that announce it.

        Returns:
            The values to show, as ``Logs``; of a prediction the outputs.

        Raises:
            TypeError: The model has a step of its own, which returns something else.
        """
        begin, end = self._moments
        self._calls(begin, number, Logs())
        with backend.current().products_of(samples_of(batch.x) * self._largest):
            result = self.model.run_step(self._step, batch.packed(), self.moment, self.many)
        if self._predicts:
            self._calls(end, number, Logs({"outputs": result}))
            return result
        if not isinstance(result, dict):
            raise TypeError(
                f"{self._step} of model {self.model.name!r} must return a dict of values by name, not "
                f"{type(result).__name__}."
            )
        logs = Logs(result)
        self._calls(end, number, logs)
        return logs
