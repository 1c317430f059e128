"""Formulas as two teaching texts have them, wrong, beside the right ones.

SELU with a digit of lambda lost; ELU without its parenthesis, and with an exponential that overflows; the sigmoid under
the name of its inverse; leaky ReLU as a maximum; a standard deviation called a variance, and weights that are said to
know the activation; a schedule whose formula is not its code. Each panel shows what the difference does; each printed
line has the number as said, and then the right one. docs/corrections.md tells more, under the same numbers.

  python examples/corrections_formulas.py
  python examples/corrections_formulas.py --layers 40 --out formulas.png
"""

from __future__ import annotations

from typing import Any

import lesson
import numpy as np

import tinygrad_dnn as td
from tinygrad_dnn import activations, initializers

ALPHA, RMS = 1.67326, "root mean square of the outputs"


def signal(activation: Any, initializer: Any, options: Any, depth: int) -> np.ndarray:
    """Return the root mean square of standard normal inputs and of what each of many layers makes of them."""
    td.utils.set_random_seed(options.seed)
    outputs = [td.random.normal((500, 500))]
    for _ in range(depth):
        outputs.append(td.layers.Dense(500, activation, kernel_initializer=initializer)(outputs[-1]))
    return np.array([float(td.sqrt(td.mean(x * x))) for x in outputs])


def selu_constant(panel: Any, options: Any) -> lesson.Pairs:
    """2. SELU's lambda is 1.0507, not 1.00507, with which the signal fades instead of coming back to 1."""
    said = signal(lambda x: 1.00507 * activations.elu(x, ALPHA), "lecun_normal", options, options.layers)
    right = signal("selu", "lecun_normal", options, options.layers)
    axes = {"title": "2. SELU's lambda", "xlabel": "layer", "ylabel": RMS, "ylim": (0.7, 1.1)}
    lesson.beside(panel, range(len(said)), said, right, ("lambda 1.00507", "lambda 1.0507"), **axes)
    return {"root mean square after the last layer": (said[-1], right[-1])}


def elu_formula(panel: Any, options: Any) -> lesson.Pairs:
    """5. ELU is alpha (exp(x) - 1) below 0; read without the parenthesis, it jumps there. Far above, exp overflows."""

    def naive(x: td.Tensor) -> td.Tensor:
        return td.where(x < 0, td.exp(x) - 1, x)  # both branches are computed, exp(100) too

    x = np.linspace(-4, 2, 601, dtype="float32")
    curves = np.where(x < 0, ALPHA * np.exp(x) - 1, x), activations.elu(x, ALPHA).numpy()
    labels, axes = ("alpha exp(x) - 1", "alpha (exp(x) - 1)"), {"xlabel": "x", "ylabel": "ELU(x)"}
    lesson.beside(panel, x, *curves, labels, title=f"5. ELU, alpha {ALPHA}", **axes)
    near, far = td.tensor(-1e-6), td.tensor(100.0)
    with np.errstate(over="ignore", invalid="ignore"):
        said, right = (float(td.grad(f)(far)) for f in (naive, activations.elu))
    return {
        f"value just below 0, alpha {ALPHA}": (float(ALPHA * td.exp(near) - 1), float(activations.elu(near, ALPHA))),
        "slope at 100, the unused exp differentiated too": (said, right),
        "ELU(x) / x at -1e-6 in float32: exp(x) - 1, expm1(x)": (
            float(naive(near) / near), float(activations.elu(near) / near)
        ),
    }  # fmt: skip


def sigmoid_name(panel: Any, options: Any) -> lesson.Pairs:
    """12. The logit is the sigmoid's inverse, log(p / (1 - p)), and not the sigmoid."""
    sigmoid, p, x = activations.sigmoid, td.linspace(0.01, 0.99, 99), td.linspace(-4.0, 4.0, 99)
    panel.plot(x.numpy(), sigmoid(x).numpy(), **lesson.SAID, label="sigmoid, said to be it")
    panel.plot(p.numpy(), td.log(p / (1 - p)).numpy(), **lesson.RIGHT, label="logit")
    panel.axline((0, 0), slope=1, linestyle=":", color="0.5")
    panel.set(title="12. Sigmoid and logit, mirror images", xlabel="x, or p", ylabel="value", ylim=(-4, 5))
    said, right = float(sigmoid(0.8)), float(np.log(0.8 / 0.2))
    return {"logit(0.8)": (said, right), "sigmoid(logit(0.8))": (float(sigmoid(said)), float(sigmoid(right)))}


def leaky_maximum(panel: Any, options: Any) -> lesson.Pairs:
    """12. Leaky ReLU is max(alpha x, x) only where alpha is at most 1."""
    x = np.linspace(-2, 2, 5)
    said, right = np.maximum(2 * x, x), activations.leaky_relu(x, negative_slope=2.0).numpy()
    axes = {"title": "12. Leaky ReLU, alpha 2", "xlabel": "x", "ylabel": "value"}
    lesson.beside(panel, x, said, right, ("max(alpha x, x)", "x, and alpha x below 0"), **axes)
    return {f"at {x[i]:g}, alpha 2": (said[i], right[i]) for i in (1, 3)}


def weights(panel: Any, options: Any) -> lesson.Pairs:
    """11. sqrt(2 / n) is the deviation of He's weights, not the variance. The 2 is for ReLU: LeCun's 1 / n has none."""
    named, he = np.sqrt(2 / 500), initializers.HeNormal()
    kinds = initializers.RandomNormal(stddev=np.sqrt(named)), initializers.LecunNormal(), he
    believed, lecun, right = (signal("relu", initializer, options, 10) for initializer in kinds)
    panel.plot(lecun, "C1:", label="LeCun: 1 / n")
    axes = {"title": "11. Weights of ReLU layers, n = 500", "xlabel": "layer", "ylabel": RMS, "yscale": "log"}
    lesson.beside(panel, range(11), believed, right, ("sqrt(2 / n) taken for the variance", "He: 2 / n"), **axes)
    return {
        "variance of He's weights, n = 500": (named, float(td.var(he((500, 500))))),
        "signal after 10 ReLU layers, if it were the variance": (believed[-1], right[-1]),
        "signal after 10 ReLU layers, LeCun's weights, He's": (lecun[-1], right[-1]),
    }


def piecewise_formula(panel: Any, options: Any) -> lesson.Pairs:
    """12. 0.1 · 10^-floor(t / t1) knows one length and one factor; the code beside it takes any steps and rates."""
    steps, schedule = np.arange(1000), td.schedulers.PiecewiseConstantDecay([300, 700], [0.1, 0.03, 0.001])
    said, right = 0.1 * 10.0 ** -(steps // 300), schedule(steps).numpy()
    labels = "0.1 · 10^-floor(t / 300)", "0.1, 0.03 after 300, 0.001 after 700"
    axes = {"title": "12. Piecewise constant rates", "xlabel": "step", "ylabel": "learning rate", "yscale": "log"}
    lesson.beside(panel, steps, said, right, labels, **axes)
    return {f"rate at step {step}": (said[step], right[step]) for step in (300, 650)}


def main(arguments: list[str] | None = None) -> dict[str, lesson.Pairs]:
    """Measure and draw; return by correction the numbers as said and right."""
    options = lesson.parser(__doc__, "corrections_formulas", layers=(20, "of SELU")).parse_args(arguments)
    corrections = selu_constant, elu_formula, sigmoid_name, leaky_maximum, weights, piecewise_formula
    return lesson.compare(options, *corrections)


if __name__ == "__main__":
    lesson.run(main)
