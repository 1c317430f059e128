"""Dynamic loss scaling: what keeps small gradients of float16 from vanishing, and too large ones from doing harm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygrad_dnn import ops, registry
from tinygrad_dnn.checks import as_integer, as_name
from tinygrad_dnn.graph import no_grad
from tinygrad_dnn.optimizers.base import Optimizer
from tinygrad_dnn.tensor import Tensor, Variable

# Beyond these a scale would become infinite or 0 in float32, and no gradient be finite any more.
_LARGEST, _SMALLEST = 2.0**126, 2.0**-126


class LossScaleOptimizer(Optimizer):
    """Another optimizer's steps, with the loss scaled up so far that its gradients are not lost in float16.

    The loss is multiplied by a scale, and the gradients are divided by it before the other optimizer, in float32, clips
    or accumulates them. Where one of them is infinite or NaN, that step changes nothing: no weight, moment, average or
    counter; and the scale is halved. After ``dynamic_growth_steps`` steps in a row that were made, it is doubled: it
    follows the gradients as closely as float16 allows. The decision is made in Tensor operations, so that a step can be
    recorded and no device is waited for.

    ``compile`` wraps the optimizer of a model under "mixed_float16" by itself.

    Args:
        inner_optimizer: The other one: an ``Optimizer``, a registered name or its configuration; "rmsprop" by default,
            as for ``compile``.
        initial_scale: The scale to begin with, a positive number; a power of 2 loses no digit. One too large is
            lowered within a few steps.
        dynamic_growth_steps: After how many steps in a row the scale is doubled, at least 1.
        name: What errors call it; by default its class name in lower case.
        **kwargs: Arguments of the other one where that is a name, as its ``learning_rate``.

    Attributes:
        inner_optimizer: The other one.
        dynamic_scale: The scale, a float32 Variable.
        step_counter: How many steps were made since the scale changed or one was skipped, an int64 Variable.

    Raises:
        ValueError: An argument is out of its range, or the other optimizer scales the loss itself.

    Example:
        >>> w = td.Variable([1.0], trainable=True)
        >>> optimizer = td.optimizers.LossScaleOptimizer("sgd", initial_scale=4.0)
        >>> optimizer.apply([td.tensor([float("inf")])], [w])
        >>> w, float(optimizer.dynamic_scale), int(optimizer.iterations)
        (Variable([1.], dtype=float32, requires_grad=True), 2.0, 0)

    Reference:
        Micikevicius et al., "Mixed precision training", 2018.
    """

    def __init__(
        self,
        inner_optimizer: Any = "rmsprop",
        initial_scale: float = 2.0**15,
        dynamic_growth_steps: int = 2000,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.name = as_name(name, f"{type(self).__name__}: name") or type(self).__name__.lower()
        given = {"class_name": inner_optimizer, "config": kwargs} if kwargs else inner_optimizer
        inner = registry.optimizers.given(given, f"{self.name}: inner_optimizer")
        if not isinstance(inner, Optimizer):
            raise ValueError(f"{self.name}: inner_optimizer must be an optimizer or a name, not {inner_optimizer!r}.")
        if inner.scales_loss:
            raise ValueError(
                f"{self.name}: the optimizer {inner.name!r} scales the loss itself: leave out its loss_scale_factor."
            )
        self.inner_optimizer = inner
        self.initial_scale = self._number("initial_scale", initial_scale, f"(0, {_LARGEST!r}]")
        self.dynamic_growth_steps = as_integer(
            dynamic_growth_steps, f"{self.name}: dynamic_growth_steps", "[1, inf)"
        )
        self.step_counter = Variable(0, name=f"{self.name}/step_counter")
        self.dynamic_scale = Variable(self.initial_scale, "float32", name=f"{self.name}/dynamic_scale")
        # What reads an optimizer's state from its attributes finds here what the other one's updates share.
        self.__dict__.update((key, value) for key, value in vars(inner).items() if isinstance(value, Variable))

    def __getstate__(self) -> dict[str, Any]:
        return dict(self.__dict__)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def __getattr__(self, name: str) -> Any:
        if "inner_optimizer" not in self.__dict__ or name.startswith("__"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self.inner_optimizer, name)

    # -- what is the other one's --------------------------------------------------------------------------------

    @property
    def _slots(self) -> Any:  # type: ignore[override]
        return self.inner_optimizer._slots

    @property
    def learning_rate(self) -> Tensor:
        """The other optimizer's learning rate, a 0-d Tensor; set it to a number or a schedule at any time."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self.inner_optimizer.learning_rate = value

    @property
    def variables(self) -> list[Variable]:
        """All state: the counter, the scale, and the other optimizer's."""
        return [self.step_counter, self.dynamic_scale, *self.inner_optimizer.variables]

    def build(self, weights: Sequence[Tensor]) -> None:
        """Make the other optimizer's state of ``weights`` that have none yet."""
        self.inner_optimizer.build(weights)

    def averages(self, weights: Sequence[Tensor]) -> list[Tensor]:
        """Return the moving averages of ``weights`` that the other optimizer keeps under ``use_ema``."""
        return self.inner_optimizer.averages(weights)

    def finalize_variable_values(self, var_list: Sequence[Tensor]) -> None:
        """Let the other optimizer set the weights to what training ends with."""
        self.inner_optimizer.finalize_variable_values(var_list)

    def exclude_from_weight_decay(
        self, var_list: Sequence[Tensor] | None = None, var_names: str | Sequence[str] | None = None
    ) -> None:
        """Leave some weights out of the other optimizer's ``weight_decay``."""
        self.inner_optimizer.exclude_from_weight_decay(var_list, var_names)

    # -- scaling ------------------------------------------------------------------------------------------------

    @property
    def scales_loss(self) -> bool:
        """Whether ``scale_loss`` does anything: always."""
        return True

    def scale_loss(self, loss: Tensor) -> Tensor:
        """Return the loss times the scale, whose gradients ``apply`` expects; ``fit`` does this itself.

        Example:
            >>> td.optimizers.LossScaleOptimizer("sgd", initial_scale=1024.0).scale_loss(td.tensor(0.5))
            Tensor(512., dtype=float32)
        """
        return loss * self.dynamic_scale

    def apply(self, grads: Sequence[Tensor | None], weights: Sequence[Tensor]) -> None:
        """Divide the gradients by the scale and let the other optimizer make its step, if all of them are finite.

        Args:
            grads: Of the scaled loss: a gradient a weight, of its shape; None leaves that weight as it is.
            weights: Variables or other leaf Tensors.

        Raises:
            ValueError, TypeError: As for ``Optimizer.apply``.
        """
        inner = self.inner_optimizer
        pairs = inner._paired(grads, weights)
        chosen = [weight for _, weight in pairs]
        with no_grad():
            finite = _finite([grad for grad, _ in pairs])
            inner.build(chosen)
            changing = [x for x in (*chosen, *inner.variables) if x is not inner._learning_rate]
            before = [x.detach() for x in changing]
            # Zeros in the place of what is not finite: the step is computed in any case, and undone.
            inner.apply([ops.where(finite, grad / self.dynamic_scale, 0.0) for grad, _ in pairs], chosen)
            for x, old in zip(changing, before, strict=True):
                x.assign(ops.where(finite, x, old))
            self._follow(finite)

    def _follow(self, finite: Tensor) -> None:
        """Count a step, or begin to count anew, and change the scale where it is time."""
        scale, count = self.dynamic_scale, self.step_counter + 1
        grows = ops.logical_and(finite, count >= self.dynamic_growth_steps)
        raised, lowered = ops.minimum(scale * 2.0, _LARGEST), ops.maximum(scale * 0.5, _SMALLEST)
        self.step_counter.assign(ops.where(ops.logical_or(grows, ops.logical_not(finite)), 0, count))
        self.dynamic_scale.assign(ops.where(finite, ops.where(grows, raised, scale), lowered))

    # -- configuration ------------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make an optimizer like this one, without its state."""
        return {
            "name": self.name,
            "inner_optimizer": registry.optimizers.serialize(self.inner_optimizer),
            "initial_scale": self.initial_scale,
            "dynamic_growth_steps": self.dynamic_growth_steps,
        }


def _finite(grads: Sequence[Tensor]) -> Tensor:
    """Tell whether all elements of all gradients are finite, a 0-d Tensor."""
    # The greatest magnitude is NaN where one is, and infinite where one is: two passes, and no array of booleans.
    greatest = [ops.max(ops.abs(grad)) for grad in grads if grad.size]
    return ops.isfinite(ops.max(ops.stack(greatest)) if greatest else ops.zeros_like(ops.sum(grads[0])))
