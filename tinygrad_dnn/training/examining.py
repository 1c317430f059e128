"""What comes before the first step: the model is built, and its loss tried, on one batch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from tinygrad_dnn import nested
from tinygrad_dnn.data import resident
from tinygrad_dnn.graph import no_grad
from tinygrad_dnn.steps import Learner, samples_of
from tinygrad_dnn.tensor import Tensor


class Examiner(Learner):
    """A learner that is tried on data before it learns from them; ``Trainer`` adds going over many batches."""

    # For which compilation, and which lengths of a sample's inputs and targets, a step was tried; and the outputs'.
    _examined: tuple[Any, ...] = (None,)
    _output_lengths: Sequence[tuple[int, ...]] = ()
    _unwatched = Learner._unwatched | {"_examined", "_output_lengths"}

    def _examiner(self, step: str, caller: str) -> Callable[[Tensor, Any, bool], None] | None:
        """Return ``_examine``; or None where a subclass has a step of its own, which may want any kind of data."""
        return functools.partial(self._examine, caller) if self._inherits(step) else None

    def _inherits(self, *methods: str) -> bool:
        return all(getattr(type(self), method) is getattr(Learner, method) for method in methods)

    def _examine(self, caller: str, x: Tensor, y: Any, look: bool) -> None:
        """Build the model and try its loss on one batch, and let the loss look at all targets, before any step.

        A step that fails half way would leave moving averages and random streams changed.

        Args:
            caller: What errors call the function that was given the data.
            x: The inputs of one batch.
            y: The targets of that batch, and of others, or None.
            look: Whether the values of the targets may be looked at.
        """
        given = x if y is None else (x, y)
        lengths = nested.map_leaves(lambda array: None if array is None else array.shape[1:], given)
        examined = self._loss_tracker, y is None, lengths
        fresh = self._examined != examined
        with no_grad():
            if fresh:
                outputs = self(x, training=False)
                for output in nested.leaves(outputs):
                    if not isinstance(output, Tensor):
                        raise TypeError(
                            f"model {self.name!r} returned {type(output).__name__} from call(); training needs a "
                            "Tensor, or several in a list, tuple or dict: return those, or write a train_step and a "
                            "test_step."
                        )
                self._output_lengths = [output.shape[1:] for output in self._objectives.meet(outputs)]
            if look and y is not None:
                self._check_targets(caller, y)
            if fresh and self._inherits("compute_loss", "compute_metrics"):
                count = samples_of(x)
                targets = nested.map_leaves(lambda array: None if array is None else resident(array[:count]), y)
                self.compute_loss(x, targets, outputs, training=False)
                if self._examined[0] is not self._loss_tracker:  # the metrics have no values yet that would be lost
                    self.compute_metrics(x, targets, outputs)
                    self.reset_metrics()
        self._examined = examined

    def _check_targets(self, caller: str, y: Any) -> None:
        """Let the losses look at the values of all targets."""
        each = zip(self._objectives.each, self._objectives.targets(y), self._output_lengths, strict=True)
        for objective, targets, lengths in each:
            check = objective.check_targets()
            if check is not None and targets is not None:
                try:
                    check(targets, (len(targets), *lengths))
                except ValueError as error:
                    where = "" if objective.name is None else f" output {objective.name!r}:"
                    raise ValueError(f"{caller}:{where} {error}") from None
