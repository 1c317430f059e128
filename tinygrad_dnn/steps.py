"""Compiling a model, and its single steps: learning from one batch, evaluating it, predicting it."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from tinygrad_dnn import autograd, backend, nested, registry
from tinygrad_dnn.data import unpack_x_y_sample_weight
from tinygrad_dnn.graph import no_grad
from tinygrad_dnn.jit import Jitted, has_llvmlite, plainly
from tinygrad_dnn.jit.warning import warn
from tinygrad_dnn.layers import Layer
from tinygrad_dnn.metrics import Mean, Metric
from tinygrad_dnn.objectives import Objective, Objectives
from tinygrad_dnn.optimizers import LossScaleOptimizer, Optimizer
from tinygrad_dnn.tensor import Tensor


class Learner(Layer):
    """A layer that can be compiled and can learn from one batch; ``Trainer`` adds going over many."""

    optimizer: Optimizer
    run_eagerly: bool = False
    _jit_compile: bool | str = "auto"
    _programs: dict[tuple[str, bool], Jitted] | None = None
    _not_copied = Layer._not_copied | {"_programs"}
    _compiled: bool = False
    _objectives: Objectives
    _loss_tracker: Mean
    # The symbolic tensors of a model that is a graph, and what its outputs are called.
    inputs: Sequence[Any] = ()
    outputs: Sequence[Any] = ()
    output_names: Sequence[str] = ()

    # -- compiling ---------------------------------------------------------------------------------------------------

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        jit_compile: bool | str = "auto",
        auto_scale_loss: bool = True,
    ) -> None:
        """Say how the model is to learn; compiling again starts with a new optimizer's state.

        Args:
            optimizer: A registered name or an ``Optimizer``.
            loss: A registered name, a ``Loss``, or a function ``(y_true, y_pred)`` that returns one value a sample. For
                several outputs a list of them, or a dict by the outputs' names (the keys of a dict of outputs, else
                the names of the layers that give them); None for an output that has no loss.
            loss_weights: What the losses of several outputs are multiplied by in their sum, in the same form.
            metrics: Registered names, ``Metric`` objects, or functions ``(y_true, y_pred)``; "accuracy" becomes the
                sparse, categorical or binary one by the shapes of targets and outputs. For several outputs a list or
                dict of such lists or single metrics.
            weighted_metrics: The same, but weighted by sample and class weights.
            run_eagerly: Run every step operation by operation, as when a step of one's own is to be looked into.
            jit_compile: Whether the steps are recorded and then run as programs, see ``td.jit``. With "auto" they
                become machine code from the first batch on where llvmlite is installed, or kernels on a GPU, if at
                least 100 batches are to come; else NumPy calls from the fourth batch of a kind on, which give the
                same bits as single operations do. Steps that a subclass defines are left alone, since they may do
                more than compute. With True all become machine code.
            auto_scale_loss: Whether the optimizer of a model whose policy is "mixed_float16" is wrapped in a
                ``LossScaleOptimizer``, unless it is one already or has a ``loss_scale_factor`` of its own.

        Raises:
            ValueError: A name is unknown; nothing has changed then.
            TypeError: Something is no optimizer, loss or metric, or ``metrics`` is no list.

        Example:
            >>> model = td.models.Sequential([td.layers.Dense(1)])
            >>> model.compile(optimizer="sgd", loss="mse")
        """
        if jit_compile not in (True, False, "auto"):
            raise ValueError(f"compile: jit_compile must be True, False or 'auto', not {jit_compile!r}.")
        if optimizer is None:
            raise TypeError("compile: the model needs an optimizer; give a name, as 'sgd', or an Optimizer.")
        found = registry.optimizers.get(optimizer)
        self._objectives = Objectives(loss, loss_weights, metrics, weighted_metrics, self.output_names)
        if auto_scale_loss and self.dtype_policy.name == "mixed_float16" and not found.scales_loss:
            found = LossScaleOptimizer(found, name="loss_scale_optimizer")
        self.optimizer = found
        self._loss_tracker = Mean(name="loss")
        self.run_eagerly = run_eagerly
        self._jit_compile = jit_compile
        self._programs = {}
        self._compiled = True

    def _require_compiled(self, caller: str) -> None:
        if not self._compiled:
            raise RuntimeError(
                f"{caller}: the model {self.name!r} is not compiled; call model.compile(optimizer=..., loss=...) first."
            )

    @property
    def metrics(self) -> list[Metric]:
        """The loss's running mean, the metrics of ``compile``, and those set as attributes."""
        compiled: list[Metric] = []
        if self._compiled:
            compiled = [self._loss_tracker, *self._objectives.named.values()]
        known = {id(metric) for metric in compiled}
        return compiled + [m for m in vars(self).values() if isinstance(m, Metric) and id(m) not in known]

    @property
    def metrics_names(self) -> list[str]:
        """What the history calls the running means, in the order in which ``evaluate`` returns them."""
        named = {id(metric): name for name, metric in self._objectives.named.items()} if self._compiled else {}
        return [named.get(id(metric), metric.name) for metric in self.metrics]

    def reset_metrics(self) -> None:
        """Begin all running means anew; ``fit`` does so at each epoch."""
        for metric in self.metrics:
            metric.reset_state()

    # -- one step ----------------------------------------------------------------------------------------------------

    def run_step(self, name: str, data: Any, moment: object | None = None, many: bool = False) -> Any:
        """Make one step: by the program that stands for it, unless the model is to run eagerly.

        Args:
            name: "train_step", "test_step" or "predict_step".
            data: x, (x, y) or (x, y, sample_weight), Tensors.
            moment: Stands for a moment since which nothing but steps has run, so that attributes of layers and the like
                have been looked at since; None if anything may have changed.
            many: Whether there are enough such steps to come for machine code to be worth its compilation.
        """
        own = name in vars(self) or getattr(type(self), name) is not getattr(Learner, name)
        if self.run_eagerly or not self._jit_compile or (own and self._jit_compile == "auto"):
            with self._overflowing():
                return plainly(getattr(self, name), data)
        if self._programs is None:
            self._programs = {}
        native = self._jit_compile is True or (many and _machine_code())
        if (name, native) not in self._programs:
            # A kind of batch that comes a few times only, as a last one that is shorter, is not worth a program.
            # Machine code rounds otherwise, so that a run which is resumed must have it for the same steps: for all.
            self._programs[name, native] = Jitted(_Step(self, name), native, after=0 if native else 3)
        with self._overflowing():
            return self._programs[name, native].since(moment, (data,), {})

    def _overflowing(self) -> AbstractContextManager[object]:
        """Return a context for a step; where the loss is scaled to see what overflows, NumPy need not warn of it."""
        scaled = self._compiled and isinstance(self.optimizer, LossScaleOptimizer)
        return np.errstate(over="ignore", invalid="ignore") if scaled else nullcontext()

    def train_step(self, data: Any) -> dict[str, Any]:
        """Learn from one batch; override it for another way of learning.

        Args:
            data: x, (x, y) or (x, y, sample_weight), Tensors.

        Returns:
            The running means to show, 0-d Tensors by name.

        Raises:
            ValueError: There is nothing to learn: no trainable weight, or a loss that depends on none.
        """
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        y_pred = self(x, training=True)
        loss = self.compute_loss(x, y, y_pred, sample_weight)
        weights = self.trainable_weights
        if not weights:
            raise ValueError(
                f"model {self.name!r} has no trainable weights: unfreeze a layer, or add one with weights."
            )
        if not loss.requires_grad:
            raise ValueError(
                f"the loss of model {self.name!r} does not depend on its trainable weights: compute it from y_pred by "
                "operations on Tensors, not on NumPy arrays."
            )
        grads = autograd.grad(self.optimizer.scale_loss(loss), weights, allow_unused=True)
        unused = [weight for grad, weight in zip(grads, weights, strict=True) if grad is None]
        if unused:
            self._tell_of_unused(unused)
        self.optimizer.apply(grads, weights)
        # Those that depend on no trainable weight still have the graph that made them.
        self._losses = [penalty.detach() for penalty in self._losses]
        return self._track(loss, x, y, y_pred, sample_weight)

    def _tell_of_unused(self, weights: Sequence[Tensor]) -> None:
        names = [getattr(weight, "path", None) or "a weight" for weight in weights]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        warn(
            f"model {self.name!r}: the loss does not depend on {', '.join(names[:3])}{more}, so that it learns nothing "
            "there. Where that is not meant, look for a layer that computes by NumPy instead of by operations on "
            "Tensors; else freeze these weights, by layer.trainable = False."
        )

    def test_step(self, data: Any) -> dict[str, Any]:
        """Evaluate one batch; returns as ``train_step`` does."""
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        with no_grad():
            y_pred = self(x, training=False)
            loss = self.compute_loss(x, y, y_pred, sample_weight)
            return self._track(loss, x, y, y_pred, sample_weight)

    def predict_step(self, data: Any) -> Tensor:
        """Return the outputs for one batch."""
        with no_grad():
            outputs: Tensor = self(unpack_x_y_sample_weight(data).x, training=False)
            return outputs

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Tensor:
        """Return the loss of a batch, a 0-d Tensor: the compiled loss's mean, and all penalties of ``losses``.

        Raises:
            ValueError: There is neither a loss nor a penalty, or the loss needs targets and there are none.
        """
        parts = []
        for objective, targets, outputs, weight in self._objectives.pairs(y, y_pred, sample_weight):
            if objective.loss is not None:
                if targets is None:
                    raise ValueError(f"the loss of {self._end(objective)} needs targets, and there are none: give y.")
                parts.append(objective(targets, outputs, weight))
        parts += self.losses
        if not parts:
            raise ValueError(f"model {self.name!r} was compiled without a loss and no layer adds one: name a loss.")
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        if total.ndim:
            raise ValueError(
                f"the loss of model {self.name!r} has shape {total.shape}, and training needs one number: leave a "
                "Loss's reduction as it is by default, and give add_loss single numbers."
            )
        return total

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Update the compiled metrics with a batch and return all running means.

        Raises:
            ValueError: There are metrics and no targets.
        """
        with no_grad():
            for objective, targets, outputs, weight in self._objectives.pairs(y, y_pred, sample_weight):
                if targets is None and objective.has_metrics:
                    raise ValueError(f"the metrics of {self._end(objective)} need targets, and there are none: give y.")
                objective.update(targets, outputs, weight)
        return self.get_metrics_result()

    def get_metrics_result(self) -> dict[str, Any]:
        """Return the running means, 0-d Tensors by name."""
        with no_grad():
            return {name: metric.result() for name, metric in zip(self.metrics_names, self.metrics, strict=True)}

    def _end(self, objective: Objective) -> str:
        """Return what an error calls one of its outputs, or the model that has only one."""
        return f"model {self.name!r}" + (f", output {objective.name!r}," if objective.name is not None else "")

    def _track(self, loss: Tensor, x: Any, y: Any, y_pred: Any, sample_weight: Any) -> dict[str, Any]:
        with no_grad():
            self._loss_tracker.update_state(loss.detach(), sample_weight=float(samples_of(x)))
        return self.compute_metrics(x, y, y_pred, sample_weight)


class _Step:
    """A model's step by its name, which does not keep the model alive."""

    def __init__(self, model: Learner, name: str) -> None:
        self._model = weakref.ref(model)
        self._name = name
        self.__qualname__ = f"{name} of model {model.name!r}"

    def __call__(self, data: Any) -> Any:
        return getattr(self._model(), self._name)(data)


def _machine_code() -> bool:
    """Tell whether programs on this thread's backend can become machine code."""
    current = backend.current()
    return current.device is not None or (current.name == "numpy" and has_llvmlite())


def samples_of(x: Any) -> int:
    """Return how many samples a batch of inputs has: one array, or several in a list, tuple or dict."""
    return len(nested.first(x))
