"""The optimizer AdEMAMix, as a plugin for tinygrad_dnn."""

import math

import tinygrad_dnn as td
from tinygrad_dnn import hookimpl
from tinygrad_dnn.checks import as_integer, as_number


class AdEMAMix(td.optimizers.Optimizer):
    """Adam with a second, much slower mean of the gradients (Pagliardini, Ablin and Grangier, 2024).

    m1 = beta_1 m1 + (1 - beta_1) g; m2 = beta_3 m2 + (1 - beta_3) g; v = beta_2 v + (1 - beta_2) g^2;
    p -= lr (m1 / (1 - beta_1^t) + alpha m2) / (sqrt(v / (1 - beta_2^t)) + epsilon). The slow mean is not corrected for
    its start at zero. While they warm up, alpha is alpha t / T, and beta_3 goes from beta_1 up to its own value so that
    the half-life of the mean grows linearly:
    exp(ln(beta_1) ln(beta_3) / ((1 - t/T) ln(beta_3) + t/T ln(beta_1))).

    Args:
        learning_rate: As for ``td.optimizers.Optimizer``.
        beta_1: Decay of the fast mean, in [0, 1), and above 0 where beta_3 warms up.
        beta_2: Decay of the squared mean, in [0, 1).
        beta_3: Decay of the slow mean, in (0, 1).
        alpha: How much the slow mean counts, at least 0; at 0 this is Adam with epsilon outside of the corrected root.
        alpha_warmup: The updates until alpha has its value, at least 1; None for no warm-up. The paper takes the whole
            training.
        beta_3_warmup: The updates until beta_3 has its value, likewise.
        epsilon: What keeps the division finite.
        **kwargs: Those of ``td.optimizers.Optimizer``; the paper's weight decay is ``weight_decay``.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> optimizer = td.optimizers.get("ademamix", learning_rate=1e-3, alpha_warmup=1000, beta_3_warmup=1000)
    """

    def __init__(
        self,
        learning_rate=0.001,
        beta_1=0.9,
        beta_2=0.999,
        beta_3=0.9999,
        alpha=5.0,
        alpha_warmup=None,
        beta_3_warmup=None,
        epsilon=1e-8,
        **kwargs,
    ):
        super().__init__(learning_rate, **kwargs)
        self.beta_1 = as_number(beta_1, "AdEMAMix: beta_1", "[0, 1)" if beta_3_warmup is None else "(0, 1)")
        self.beta_2 = as_number(beta_2, "AdEMAMix: beta_2", "[0, 1)")
        self.beta_3 = as_number(beta_3, "AdEMAMix: beta_3", "(0, 1)")
        self.alpha = as_number(alpha, "AdEMAMix: alpha", "[0, inf)")
        self.epsilon = as_number(epsilon, "AdEMAMix: epsilon", "[0, inf)")
        self.alpha_warmup = alpha_warmup
        self.beta_3_warmup = beta_3_warmup
        for name in ("alpha_warmup", "beta_3_warmup"):
            if getattr(self, name) is not None:
                as_integer(getattr(self, name), f"AdEMAMix: {name}", "[1, inf)")

    def init(self, param):
        """Return the three running means, zero at first."""
        return {name: td.zeros_like(param) for name in ("m1", "m2", "v")}

    def begin_step(self):
        """Compute what all weights share in this update: the corrections, alpha and beta_3."""
        # In float64: in float32, 1 - beta_3 would be off by a part in 3000.
        t = td.cast(self.step, "float64")
        self._start_of_m1 = 1 - self.beta_1**t
        self._start_of_v = 1 - self.beta_2**t
        self._alpha = self.alpha if self.alpha_warmup is None else self.alpha * td.minimum(t / self.alpha_warmup, 1.0)
        self._beta_3 = self.beta_3
        if self.beta_3_warmup is not None:
            gone = td.minimum(t / self.beta_3_warmup, 1.0)
            fast, slow = math.log(self.beta_1), math.log(self.beta_3)
            self._beta_3 = td.minimum(td.exp(fast * slow / ((1 - gone) * slow + gone * fast)), self.beta_3)

    def update(self, param, grad, state, learning_rate):
        """Return the weight after one step, and the new means."""
        keep, take, alpha, start_of_m1, start_of_v = (
            td.cast(number, param.dtype)
            for number in (self._beta_3, 1 - self._beta_3, self._alpha, self._start_of_m1, self._start_of_v)
        )
        m1 = self.beta_1 * state["m1"] + (1 - self.beta_1) * grad
        m2 = keep * state["m2"] + take * grad
        v = self.beta_2 * state["v"] + (1 - self.beta_2) * (grad * grad)
        move = (m1 / start_of_m1 + alpha * m2) / (td.sqrt(v / start_of_v) + self.epsilon)
        return param - learning_rate * move, {"m1": m1, "m2": m2, "v": v}

    def get_config(self):
        """Return the arguments that make an optimizer like this one."""
        own = ("beta_1", "beta_2", "beta_3", "alpha", "alpha_warmup", "beta_3_warmup", "epsilon")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


@hookimpl
def register_optimizers(register):
    """Give ``AdEMAMix`` its name."""
    register(AdEMAMix)
