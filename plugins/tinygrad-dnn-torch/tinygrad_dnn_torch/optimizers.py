"""The rules of ``torch.optim``: epsilon beside the corrected root, weight decay that joins the gradient.

One step is counted for all weights, where PyTorch counts for each; they differ for a weight that was frozen at first.
"""

from typing import ClassVar

import tinygrad_dnn as td
from tinygrad_dnn.checks import as_flag, as_number


class CoupledDecay:
    """What adds ``weight_decay`` times the weight to its gradient, before the rule sees it, as PyTorch does.

    Keras, and AdamW in both, take it off the weight instead; ``decoupled_weight_decay`` says so where PyTorch has it.
    """

    conformance: ClassVar = {"claims": {"decays_weights": True}}  # in a way of its own
    decoupled_weight_decay = False

    def decay_of(self, weight):
        """Return what is taken off the weight beside the rule: nothing, where the decay joins the gradient."""
        return super().decay_of(weight) if self.decoupled_weight_decay else None

    def update(self, param, grad, state, learning_rate):
        """Return what the rule returns for the gradient with the decay."""
        if self.weight_decay and not self.decoupled_weight_decay and param not in self._undecayed:
            grad = grad + self.weight_decay * param
        return super().update(param, grad, state, learning_rate)


class SGDRule(td.optimizers.Optimizer):
    """What ``SGD`` computes from the gradient with the decay."""

    def __init__(self, learning_rate=0.001, momentum=0.0, dampening=0.0, nesterov=False, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self.momentum = as_number(momentum, "torch.sgd: momentum", "[0, inf)")
        self.dampening = as_number(dampening, "torch.sgd: dampening")
        self.nesterov = as_flag(nesterov, "torch.sgd: nesterov")
        if self.nesterov and (not self.momentum or self.dampening):
            raise ValueError("torch.sgd: nesterov needs a momentum above 0 and a dampening of 0.")

    def init(self, param):
        """Return the buffer, and whether there was a gradient before."""
        state = {"buffer": td.zeros_like(param)} if self.momentum else {}
        return {**state, "begun": td.zeros((), dtype=param.dtype)} if self.momentum and self.dampening else state

    def update(self, param, grad, state, learning_rate):
        """Return the weight after one step, and the buffer."""
        if not self.momentum:
            return param - learning_rate * grad, state
        new = {}
        fresh = grad
        if self.dampening:  # the first gradient is taken whole
            fresh = (1 - self.dampening * state["begun"]) * grad
            new["begun"] = td.ones_like(state["begun"])
        buffer = new["buffer"] = self.momentum * state["buffer"] + fresh
        return param - learning_rate * (grad + self.momentum * buffer if self.nesterov else buffer), new

    def get_config(self):
        """Return the arguments that make an optimizer like this one."""
        own = {"momentum": self.momentum, "dampening": self.dampening, "nesterov": self.nesterov}
        return {**super().get_config(), **own}


class SGD(CoupledDecay, SGDRule):
    """buf = momentum buf + (1 - dampening) g; p -= lr buf, or lr (g + momentum buf) with ``nesterov``.

    Keras remembers lr g instead of g: the two part when the learning rate changes.

    Args:
        learning_rate: As for ``td.optimizers.Optimizer``; Keras's default is ten times this one.
        momentum: How much of the buffer is kept, at least 0.
        dampening: What part of the gradient is left out of the buffer, but of the first one.
        nesterov: Look ahead.
        **kwargs: Those of ``td.optimizers.Optimizer``.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> optimizer = td.optimizers.get("torch.sgd", momentum=0.9, weight_decay=5e-4)
    """


class AdamRule(td.optimizers.Adam):
    """What ``Adam`` and ``AdamW`` compute from the gradient."""

    def begin_step(self):
        """Compute the corrections of both means' start at zero."""
        t = td.cast(self.step, "float64")
        self._start_of_m = 1 - self.beta_1**t
        self._root_of_start_of_v = td.sqrt(1 - self.beta_2**t)

    def update(self, param, grad, state, learning_rate):
        """Return the weight after one step and the new means."""
        m = self.beta_1 * state["m"] + (1 - self.beta_1) * grad
        v = self.beta_2 * state["v"] + (1 - self.beta_2) * (grad * grad)
        new = {"m": m, "v": v}
        if self.amsgrad:
            v = new["v_max"] = td.maximum(state["v_max"], v)
        root = td.sqrt(v) / td.cast(self._root_of_start_of_v, param.dtype) + self.epsilon
        return param - (learning_rate / td.cast(self._start_of_m, param.dtype)) * m / root, new


class Adam(CoupledDecay, AdamRule):
    """p -= lr m_hat / (sqrt(v_hat) + epsilon): epsilon joins the corrected root, in Keras the uncorrected one.

    Args:
        learning_rate: As for ``td.optimizers.Optimizer``.
        beta_1: Decay of the mean, in [0, 1).
        beta_2: Decay of the squared mean, in [0, 1).
        epsilon: What keeps the division finite.
        amsgrad: Divide by the largest squared mean so far.
        **kwargs: Those of ``td.optimizers.Optimizer``.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> optimizer = td.optimizers.get("torch.adam", learning_rate=3e-4)
    """

    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-8, amsgrad=False, **kwargs):
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, **kwargs)


class AdamW(AdamRule):
    """``Adam`` with decoupled weight decay, p -= lr weight_decay p; Keras's default is 0.004.

    Args:
        learning_rate: As for ``td.optimizers.Optimizer``.
        beta_1: Decay of the mean, in [0, 1).
        beta_2: Decay of the squared mean, in [0, 1).
        epsilon: What keeps the division finite.
        weight_decay: The decay, at least 0.
        amsgrad: Divide by the largest squared mean so far.
        **kwargs: Those of ``td.optimizers.Optimizer``.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> optimizer = td.optimizers.get("torch.adamw", learning_rate=3e-4, weight_decay=0.1)
    """

    def __init__(
        self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-8, weight_decay=0.01, amsgrad=False, **kwargs
    ):
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay=weight_decay, **kwargs)


class _Decoupling(CoupledDecay):
    """What may decouple the decay by an argument."""

    def __init__(self, *args, decoupled_weight_decay=False, **kwargs):
        super().__init__(*args, **kwargs)
        self.decoupled_weight_decay = as_flag(decoupled_weight_decay, f"{self.name}: decoupled_weight_decay")

    def get_config(self):
        """Return the arguments that make an optimizer like this one."""
        return {**super().get_config(), "decoupled_weight_decay": self.decoupled_weight_decay}


class NAdam(_Decoupling, td.optimizers.Nadam):
    """Keras's Nadam with a momentum that warms up 250 times more slowly: ``momentum_decay`` is 0.004 for 1.

    Args:
        learning_rate: As for ``td.optimizers.Optimizer``; twice Keras's default.
        beta_1: Decay of the mean, in [0, 1).
        beta_2: Decay of the squared mean, in [0, 1).
        epsilon: What keeps the division finite.
        momentum_decay: How fast the momentum warms up.
        decoupled_weight_decay: Take the decay off the weight, as AdamW does.
        **kwargs: Those of ``td.optimizers.Optimizer``.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> optimizer = td.optimizers.get("torch.nadam", learning_rate=5e-5)
    """

    def __init__(
        self, learning_rate=0.002, beta_1=0.9, beta_2=0.999, epsilon=1e-8, momentum_decay=0.004, **kwargs
    ):
        super().__init__(learning_rate, beta_1, beta_2, epsilon, momentum_decay, **kwargs)


class RAdam(_Decoupling, td.optimizers.RAdam):
    """The built-in rule, which is PyTorch's, with PyTorch's epsilon and weight decay.

    Args:
        learning_rate: As for ``td.optimizers.Optimizer``.
        beta_1: Decay of the mean, in [0, 1).
        beta_2: Decay of the squared mean, in [0, 1).
        epsilon: What keeps the division finite.
        decoupled_weight_decay: Take the decay off the weight, as AdamW does.
        **kwargs: Those of ``td.optimizers.Optimizer``.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> optimizer = td.optimizers.get("torch.radam", weight_decay=0.01, decoupled_weight_decay=True)
    """

    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-8, **kwargs):
        super().__init__(learning_rate, beta_1, beta_2, epsilon, **kwargs)


class AdamaxRule(td.optimizers.Adamax):
    """What ``Adamax`` computes from the gradient with the decay."""

    def update(self, param, grad, state, learning_rate):
        """Return the weight after one step, the new mean and the new largest gradient."""
        m = self.beta_1 * state["m"] + (1 - self.beta_1) * grad
        u = td.maximum(self.beta_2 * state["u"], td.abs(grad) + self.epsilon)
        return param - (learning_rate * td.cast(self._correction, param.dtype)) * m / u, {"m": m, "u": u}


class Adamax(CoupledDecay, AdamaxRule):
    """u = max(beta_2 u, abs(g) + epsilon); p -= lr / (1 - beta_1^t) m / u: Keras adds epsilon to u instead.

    Args:
        learning_rate: As for ``td.optimizers.Optimizer``; twice Keras's default.
        beta_1: Decay of the mean, in [0, 1).
        beta_2: Decay of the largest gradient, in [0, 1).
        epsilon: What keeps the division finite.
        **kwargs: Those of ``td.optimizers.Optimizer``.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> optimizer = td.optimizers.get("torch.adamax")
    """

    def __init__(self, learning_rate=0.002, beta_1=0.9, beta_2=0.999, epsilon=1e-8, **kwargs):
        super().__init__(learning_rate, beta_1, beta_2, epsilon, **kwargs)


class RMSpropRule(td.optimizers.RMSprop):
    """What ``RMSprop`` computes from the gradient with the decay."""

    def update(self, param, grad, state, learning_rate):
        """Return the weight after one step and the new means."""
        # The momentum is one of quotients: the learning rate, here 1, is no part of it.
        moved, new = super().update(td.zeros_like(param), grad, state, td.ones_like(learning_rate))
        return param + learning_rate * moved, new


class RMSprop(CoupledDecay, RMSpropRule):
    """v = rho v + (1 - rho) g^2; buf = momentum buf + g / (sqrt(v) + epsilon); p -= lr buf.

    Keras's epsilon is inside of the root, its momentum remembers lr times the quotient.

    Args:
        learning_rate: As for ``td.optimizers.Optimizer``; ten times Keras's default.
        rho: Decay of the squared mean, in [0, 1), which PyTorch calls alpha; 0.9 in Keras.
        momentum: How much of the buffer is kept, in [0, 1].
        epsilon: What keeps the division finite.
        centered: Divide by an estimate of the variance instead of the square.
        **kwargs: Those of ``td.optimizers.Optimizer``.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> optimizer = td.optimizers.get("torch.rmsprop")
    """

    def __init__(self, learning_rate=0.01, rho=0.99, momentum=0.0, epsilon=1e-8, centered=False, **kwargs):
        super().__init__(learning_rate, rho, momentum, epsilon, centered, epsilon_outside=True, **kwargs)

    def get_config(self):
        """Return the arguments that make an optimizer like this one."""
        return {key: value for key, value in super().get_config().items() if key != "epsilon_outside"}


class AdagradRule(td.optimizers.Adagrad):
    """What ``Adagrad`` computes from the gradient with the decay."""

    def update(self, param, grad, state, learning_rate):
        """Return the weight after one step and the new sum."""
        n = state["n"] + grad * grad
        rate = learning_rate / (1 + self.lr_decay * td.cast(self.step - 1, param.dtype))
        return param - rate * grad / (td.sqrt(n) + self.epsilon), {"n": n}


class Adagrad(CoupledDecay, AdagradRule):
    """n += g^2; p -= lr / (1 + (t - 1) lr_decay) g / (sqrt(n) + epsilon): Keras's epsilon is inside of the root.

    Args:
        learning_rate: As for ``td.optimizers.Optimizer``; ten times Keras's default.
        lr_decay: How fast the learning rate falls by itself, at least 0.
        initial_accumulator_value: What the sum begins with, at least 0; 0.1 in Keras.
        epsilon: What keeps the division finite.
        **kwargs: Those of ``td.optimizers.Optimizer``.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> optimizer = td.optimizers.get("torch.adagrad")
    """

    def __init__(
        self, learning_rate=0.01, lr_decay=0.0, initial_accumulator_value=0.0, epsilon=1e-10, **kwargs
    ):
        super().__init__(learning_rate, initial_accumulator_value, epsilon, **kwargs)
        self.lr_decay = as_number(lr_decay, "torch.adagrad: lr_decay", "[0, inf)")

    def get_config(self):
        """Return the arguments that make an optimizer like this one."""
        return {**super().get_config(), "lr_decay": self.lr_decay}


class Adadelta(CoupledDecay, td.optimizers.Adadelta):
    """Keras's rule with the paper's learning rate, a shorter memory and a larger epsilon.

    Args:
        learning_rate: As for ``td.optimizers.Optimizer``; a thousand times Keras's default.
        rho: Decay of both running means, in [0, 1); 0.95 in Keras.
        epsilon: What lets the first step be other than 0, a positive number.
        **kwargs: Those of ``td.optimizers.Optimizer``.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> optimizer = td.optimizers.get("torch.adadelta")
    """

    def __init__(self, learning_rate=1.0, rho=0.9, epsilon=1e-6, **kwargs):
        super().__init__(learning_rate, rho, epsilon, **kwargs)
