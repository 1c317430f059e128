"""The base class of optimizers: it clips, decays, schedules, accumulates, averages and constrains around a rule."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, NamedTuple, TypeAlias

from tinygrad_dnn import backend, ops, registry
from tinygrad_dnn.checks import Checked, as_integer, as_name
from tinygrad_dnn.graph import no_grad
from tinygrad_dnn.optimizers import clipping
from tinygrad_dnn.optimizers.exclusion import Exclusion, as_patterns
from tinygrad_dnn.tensor import Tensor, Variable, as_tensor

State: TypeAlias = dict[str, Tensor]
Schedule: TypeAlias = Callable[[Tensor], Any]


class _Slots(NamedTuple):
    """What is kept for one weight: the rule's state apart from the base class's, so that no name can be taken twice."""

    weight: Tensor
    state: dict[str, Variable]
    own: dict[str, Variable]


class Optimizer(Checked):
    """Base of all optimizers; a rule is two methods, ``init`` and ``update``, in Tensor operations.

    ``update`` always sees one weight in its own shape. The base class clips the gradients, decays the weights, calls
    the rule, averages, and applies the weights' constraints, in this order. State shared by all weights is a
    ``Variable`` set as an attribute in ``__init__`` and advanced in ``begin_step``.

    Args:
        learning_rate: A number of at least 0, or a schedule: a callable of the step (counted from 0), its name or its
            configuration.
        weight_decay: Decoupled decay: each update first takes ``weight * weight_decay * learning_rate`` away.
        clipnorm: Scale each weight's gradient, by itself, to at most this Euclidean norm.
        clipvalue: Limit each gradient element to [-clipvalue, clipvalue].
        global_clipnorm: Scale all gradients together to at most this Euclidean norm.
        use_ema: Keep an exponential moving average of each weight, beginning with its value after the first update.
        ema_momentum: How much of the average stays at each update, in [0, 1].
        ema_overwrite_frequency: Replace the weights by their averages every so many updates; never if None.
        loss_scale_factor: What ``scale_loss`` multiplies the loss by and ``apply`` divides the gradients by, a positive
            number: it keeps small gradients of float16 from vanishing on their way.
        gradient_accumulation_steps: Average the gradients of so many calls into one update, at least 2. Weights,
            averages and constraints change at updates only.
        normalize_gradients: Scale all gradients together to the Euclidean norm 1, short ones too; one of the kinds of
            clipping.
        name: What errors call it; by default its class name in lower case.

    Attributes:
        step: The number of updates made, an int64 Variable: 1 while ``update`` runs for the first time.

    Raises:
        ValueError: An argument is out of its range, or two kinds of clipping are asked for at once.

    Example:
        >>> class SignSGD(td.optimizers.Optimizer):
        ...     def init(self, param):
        ...         return {}
        ...     def update(self, param, grad, state, learning_rate):
        ...         return param - learning_rate * td.sign(grad), state
        >>> w = td.Variable([1.0, -1.0], trainable=True)
        >>> SignSGD(learning_rate=0.5).apply([td.tensor([3.0, -4.0])], [w])
        >>> w
        Variable([ 0.5, -0.5], dtype=float32, requires_grad=True)
    """

    _hyperparameters: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        normalize_gradients: bool = False,
        name: str | None = None,
    ) -> None:
        kind = type(self).__name__
        self.name = as_name(name, f"{kind}: name") or kind.lower()
        clippings = {"clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm}
        clipping.check_one_kind(self.name, **clippings, normalize_gradients=normalize_gradients)
        positive = {
            key: self._optional(key, value, "(0, inf)")
            for key, value in {**clippings, "loss_scale_factor": loss_scale_factor}.items()
        }
        self.clipnorm, self.clipvalue, self.global_clipnorm, self.loss_scale_factor = positive.values()
        self.normalize_gradients = self._flag("normalize_gradients", normalize_gradients)
        self.weight_decay = self._optional("weight_decay", weight_decay, "[0, inf)")
        self.use_ema = self._flag("use_ema", use_ema)
        self.ema_momentum = self._number("ema_momentum", ema_momentum, "[0, 1]")
        self.ema_overwrite_frequency = self._optional(
            "ema_overwrite_frequency", ema_overwrite_frequency, "[1, inf)", as_integer
        )
        self.gradient_accumulation_steps = self._optional(
            "gradient_accumulation_steps", gradient_accumulation_steps, "[2, inf)", as_integer
        )
        self.iterations = Variable(0, name=f"{self.name}/iterations")
        accumulates = self.gradient_accumulation_steps is not None
        self.step = Variable(0, name=f"{self.name}/step") if accumulates else self.iterations
        self._schedule: Schedule | None = None
        self._learning_rate = Variable(0.0, backend.floatx(), name=f"{self.name}/learning_rate")
        self.learning_rate = learning_rate
        self._slots: dict[int, _Slots] = {}
        self._undecayed = Exclusion(self.name)

    def __getstate__(self) -> dict[str, Any]:
        # What is found by a weight's identity has to be found by the copy's.
        return {**self.__dict__, "_slots": [*self._slots.values()]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._slots = {id(slots.weight): slots for slots in state["_slots"]}

    def __getattr__(self, name: str) -> Any:
        if "_slots" not in self.__dict__ and not name.startswith("__"):
            raise AttributeError(
                f"optimizer class {type(self).__name__} has no {name!r}: its __init__ must call super().__init__()."
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def _title(self) -> str:
        return self.name

    # -- the rule -----------------------------------------------------------------------------------------------

    def init(self, param: Tensor) -> State:
        """Return the state that the rule keeps for a weight, by name: usually zeros like it."""
        raise NotImplementedError(f"optimizer {type(self).__name__} must define init(param) -> dict of state.")

    def update(self, param: Tensor, grad: Tensor, state: State, learning_rate: Tensor) -> tuple[Tensor, State]:
        """Return the weight's new value and its new state, given its gradient and the 0-d learning rate."""
        raise NotImplementedError(
            f"optimizer {type(self).__name__} must define update(param, grad, state, learning_rate) "
            "-> (new_param, new_state)."
        )

    def begin_step(self) -> None:
        """Advance state shared by all weights; called once an update, after ``step`` was counted up."""

    def decay_of(self, weight: Tensor) -> float | None:
        """Return the decay of a weight, if not excluded; a rule that decays its weights unequally overrides it."""
        return self.weight_decay

    # -- the learning rate ----------------------------------------------------------------------------------------

    @property
    def learning_rate(self) -> Tensor:
        """The learning rate of the next update, a 0-d Tensor; set it to a number or a schedule at any time."""
        if self._schedule is None:
            return self._learning_rate
        with no_grad():
            return ops.cast(self._schedule(self.iterations), self._learning_rate.dtype)

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        if isinstance(value, (str, dict)):
            value = registry.schedulers.given(value, f"{self.name}: learning_rate")
        if callable(value) and not isinstance(value, type):
            self._schedule = value
            return
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (OverflowError, TypeError, ValueError):
            number = math.nan
        if not number >= 0 or math.isinf(number):
            raise ValueError(f"{self.name}: learning_rate must be a number of at least 0 or a schedule, not {value!r}.")
        self._schedule = None
        self._learning_rate.assign(number)

    # -- applying -------------------------------------------------------------------------------------------------

    @property
    def variables(self) -> list[Variable]:
        """All state: counters, learning rate, what the rule shares, and what it keeps for each weight."""
        shared = {id(v): v for v in self.__dict__.values() if isinstance(v, Variable)}
        kept = (v for slots in self._slots.values() for part in (slots.state, slots.own) for v in part.values())
        return [*shared.values(), *kept]

    def build(self, weights: Sequence[Tensor]) -> None:
        """Make the state of ``weights`` that have none yet; ``apply`` does it when it first sees them."""
        for weight in weights:
            if id(weight) in self._slots:
                continue
            label = getattr(weight, "path", None) or f"weight_{len(self._slots)}"
            own = {}
            with no_grad():
                state = self.init(weight)
                if self.use_ema:
                    own["average"] = weight.detach()
                if self.gradient_accumulation_steps is not None:
                    own["accumulated"] = ops.zeros_like(weight)
            if not isinstance(state, dict):
                raise TypeError(f"{self.name}: init must return a dict of state, not {type(state).__name__}.")
            self._slots[id(weight)] = _Slots(weight, *(
                {key: Variable(value, name=f"{self.name}/{label}/{key}") for key, value in part.items()}
                for part in (state, own)
            ))  # fmt: skip

    def apply(self, grads: Sequence[Tensor | None], weights: Sequence[Tensor]) -> None:
        """Change ``weights`` by one step along their gradients.

        Args:
            grads: A gradient a weight, of its shape; None leaves that weight, and what it has accumulated, as it is.
            weights: Variables or other leaf Tensors.

        Raises:
            ValueError: The numbers of gradients and weights differ, a gradient has another shape than its weight, or
                there is no gradient at all; no weight is changed then.
            TypeError: A weight is no Tensor, or the rule returns something other than it should.

        Example:
            >>> w = td.Variable([1.0, 2.0], trainable=True)
            >>> td.optimizers.SGD(learning_rate=0.1).apply([td.tensor([1.0, 1.0])], [w])
            >>> w
            Variable([0.9, 1.9], dtype=float32, requires_grad=True)
        """
        pairs = self._paired(grads, weights)
        chosen = [w for _, w in pairs]
        with no_grad():
            self.build(chosen)
            scale = self.loss_scale_factor
            unscaled = [g if scale is None else g / scale for g, _ in pairs]
            if self.gradient_accumulation_steps is None:
                self._step(unscaled, chosen, self.learning_rate)
            else:
                self._accumulate(unscaled, chosen, self.gradient_accumulation_steps)

    @property
    def scales_loss(self) -> bool:
        """Whether ``scale_loss`` does anything."""
        return self.loss_scale_factor is not None

    def scale_loss(self, loss: Tensor) -> Tensor:
        """Return the loss times ``loss_scale_factor``, whose gradients ``apply`` expects; ``fit`` does this itself.

        Example:
            >>> td.optimizers.SGD(loss_scale_factor=1024.0).scale_loss(td.tensor(0.5))
            Tensor(512., dtype=float32)
        """
        return loss if self.loss_scale_factor is None else loss * self.loss_scale_factor

    def _paired(self, grads: Sequence[Tensor | None], weights: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Return the gradients that there are with their weights, after checking them."""
        if len(grads) != len(weights):
            raise ValueError(f"{self.name}: {len(grads)} gradients were given for {len(weights)} weights.")
        pairs = []
        for grad, weight in zip(grads, weights, strict=True):
            if not isinstance(weight, Tensor):
                raise TypeError(f"{self.name}: weights are Variables or other leaf Tensors, not {weight!r}.")
            if grad is None:
                continue
            grad = as_tensor(grad, like=weight)
            if grad.shape != weight.shape:
                label = getattr(weight, "path", None) or "a weight"
                raise ValueError(
                    f"{self.name}: {label} of shape {weight.shape} was given a gradient of shape {grad.shape}."
                )
            pairs.append((grad, weight))
        if not pairs:
            raise ValueError(f"{self.name}: no weight has a gradient; was the loss computed from these weights?")
        return pairs

    def _accumulate(self, grads: list[Tensor], weights: list[Tensor], n: float) -> None:
        """Add the gradients up, and let every n-th call be an update.

        The update is computed in every call and kept in every n-th, since a Python branch could not be recorded.
        """
        learning_rate = self.learning_rate
        self.iterations.assign(self.iterations + 1)
        due = ops.equal(ops.remainder(self.iterations, n), 0)
        sums = [self._slots[id(w)].own["accumulated"] for w in weights]
        totals = [held + g for held, g in zip(sums, grads, strict=True)]
        untouched = {id(self.iterations), id(self._learning_rate), *map(id, sums)}
        changing = [v for v in (*weights, *self.variables) if id(v) not in untouched]
        before = [v.detach() for v in changing]
        self._step([total / n for total in totals], weights, learning_rate)
        for variable, old in zip(changing, before, strict=True):
            variable.assign(ops.where(due, variable, old))
        for held, total in zip(sums, totals, strict=True):
            held.assign(ops.where(due, 0.0, total))

    def _step(self, grads: list[Tensor], weights: list[Tensor], learning_rate: Tensor) -> None:
        grads = self._clip(grads)
        self.step.assign(self.step + 1)
        self.begin_step()
        rates = {learning_rate.dtype: learning_rate}
        for grad, weight in zip(grads, weights, strict=True):
            dtype = weight.dtype
            rate = rates.get(dtype)
            if rate is None:
                rate = rates[dtype] = ops.cast(learning_rate, dtype)
            param: Tensor = weight
            decay = self.decay_of(weight)
            if decay is not None and weight not in self._undecayed:
                param = param - param * decay * rate
            slots = self._slots[id(weight)]
            new = self._update(param, grad, slots.state, rate)
            if self.use_ema:
                new = self._average(new, slots.own["average"])
            constraint = getattr(weight, "constraint", None)
            weight.assign(new if constraint is None else constraint(new))

    def _update(self, param: Tensor, grad: Tensor, slots: dict[str, Variable], learning_rate: Tensor) -> Tensor:
        """Call the rule, keep the state that it returns, and return the weight's new value."""
        # A copy: a rule may set its new state into the dict that it was given, where the Variables must stay.
        result: Any = self.update(param, grad, dict(slots), learning_rate)
        if not isinstance(result, tuple) or len(result) != 2 or not isinstance(result[1], dict):
            raise TypeError(f"{self.name}: update must return (new_param, new_state), not {type(result).__name__}.")
        new, state = result
        if unknown := state.keys() - slots.keys():
            raise TypeError(
                f"{self.name}: update returned the state {sorted(unknown)}, which init did not make: init made "
                f"{sorted(slots)}."
            )
        for key, value in state.items():
            if value is not slots[key]:
                slots[key].assign(value)
        return new  # type: ignore[no-any-return]

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Tensor | None, Tensor]]) -> None:
        """Do ``apply`` with pairs of a gradient and its weight, as Keras's users write it."""
        grads, weights = zip(*grads_and_vars, strict=True)
        self.apply(grads, weights)

    def _clip(self, grads: list[Tensor]) -> list[Tensor]:
        if self.clipvalue is not None:
            return clipping.by_value(grads, self.clipvalue)
        if self.clipnorm is not None:
            return clipping.by_norm(grads, self.clipnorm)
        if self.global_clipnorm is not None:
            return clipping.by_global_norm(grads, self.global_clipnorm)
        return clipping.normalized(grads) if self.normalize_gradients else grads

    def _average(self, new: Tensor, average: Variable) -> Tensor:
        """Move the average towards the new weight; return what the weight becomes."""
        # At the first update the average is the new weight itself, not a mix with the one before training.
        momentum = ops.where(self.step > 1, self.ema_momentum, 0.0)
        average.assign(average * momentum + new * (1.0 - momentum))
        if self.ema_overwrite_frequency is None:
            return new
        due = ops.equal(ops.remainder(self.step, self.ema_overwrite_frequency), 0)
        return ops.where(due, average, new)

    def averages(self, weights: Sequence[Tensor]) -> list[Tensor]:
        """Return the moving averages of ``weights`` under ``use_ema``.

        Raises:
            ValueError: The optimizer keeps none, or not of one of these weights.
        """
        if not self.use_ema:
            raise ValueError(f"{self.name}: it keeps no averages; construct it with use_ema=True.")
        kept = [self._slots.get(id(w)) for w in weights]
        if None in kept:
            raise ValueError(f"{self.name}: a weight that it has not updated yet has no average.")
        return [slots.own["average"] for slots in kept if slots is not None]

    def finalize_variable_values(self, var_list: Sequence[Tensor]) -> None:
        """Under ``use_ema``, set the weights that were updated to their averages: what training ends with in Keras."""
        if self.use_ema:
            for weight in var_list:
                if id(weight) in self._slots:
                    weight.assign(self._slots[id(weight)].own["average"])

    def exclude_from_weight_decay(
        self, var_list: Sequence[Tensor] | None = None, var_names: str | Sequence[str] | None = None
    ) -> None:
        """Leave some weights out of ``weight_decay``, and no others.

        The last call counts, and it may come at any time; in Keras it must come before the first update. A saved model
        holds what was left out.

        Args:
            var_list: The weights themselves.
            var_names: Regular expressions, searched in the weights' names: "bias" means all biases.

        Raises:
            TypeError: ``var_list`` has something other than Tensors.
            ValueError: ``var_names`` has something other than regular expressions.
        """
        names = as_patterns([var_names] if isinstance(var_names, str) else var_names, f"{self.name}: var_names")
        self._undecayed = Exclusion(self.name, var_list or (), names)

    # -- configuration ----------------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make an optimizer like this one, without its state."""
        keys = (
            "name", "weight_decay", "clipnorm", "clipvalue", "global_clipnorm", "use_ema", "ema_momentum",
            "ema_overwrite_frequency", "loss_scale_factor", "gradient_accumulation_steps", "normalize_gradients",
            *self._hyperparameters,
        )  # fmt: skip
        rate: Any = (
            float(self._learning_rate) if self._schedule is None else registry.schedulers.serialize(self._schedule)
        )
        return {"learning_rate": rate, **{key: getattr(self, key) for key in keys}}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Optimizer:
        """Return an optimizer made with the arguments that ``get_config`` gave."""
        return cls(**config)
