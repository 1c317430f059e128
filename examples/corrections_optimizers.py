"""Optimizers as two teaching texts have them, wrong, beside the right ones.

Adam without the correction that its text explains; epsilon in two places; a start that one descent moves for the next;
a bowl called Rosenbrock's function; a clipping that is said to keep the direction; AdaGrad's rate divided again at each
step. Each line has the number as said, then the right one. More: docs/corrections.md, by the same numbers.

  python examples/corrections_optimizers.py
  python examples/corrections_optimizers.py --steps 500 --out optimizers.png
"""

from __future__ import annotations

from typing import Any

import lesson
import numpy as np

import tinygrad_dnn as td

RATE = "step length / learning rate"


def bowl(p: Any) -> Any:
    """Return 20 a^2 + b^2, least at (0, 0)."""
    return 20 * p[0] ** 2 + p[1] ** 2


def rosenbrock(p: Any) -> Any:
    """Return (1 - a)^2 + 100 (b - a^2)^2, least at (1, 1)."""
    return (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2


def lengths(optimizer: Any, steps: int, slopes: Any = (1.0,)) -> np.ndarray:
    """Return how far each step goes down constant slopes: (steps, slopes)."""
    path = td.minimize(lambda p: (np.array(slopes) * p).sum(), np.zeros(len(slopes)), optimizer, steps=steps).path
    return -np.diff(path, axis=0)


def adam_correction(panel: Any, options: Any) -> lesson.Pairs:
    """3. Without the correction of its means, which start at 0, Adam's first step is 3.2 times too long."""
    t = np.arange(1, options.steps + 1)
    said = (1 - 0.9**t) / np.sqrt(1 - 0.999**t)  # m / sqrt(v)
    right = lengths(td.optimizers.Adam(1.0, beta_1=0.9, beta_2=0.999), options.steps)[:, 0]
    axes = {"title": "3. Adam on a constant slope", "xlabel": "step", "ylabel": RATE, "ylim": (0, 7)}
    lesson.beside(panel, t, said, right, ("not corrected", "corrected"), **axes)
    return {"first step / learning rate": (said[0], right[0]), "longest step": (said.max(), right.max())}


def epsilon_place(panel: Any, options: Any) -> lesson.Pairs:
    """3. Epsilon outside the root, as in the code, or inside, as in the text (and in Keras): two different rules."""
    slopes = np.logspace(-8, -1, 50)
    said = slopes / (slopes + 1e-7)  # after many steps on one slope, sqrt(v) is the slope
    right = lengths(td.optimizers.RMSprop(1.0, epsilon=1e-7), 200, slopes)[-1]
    axes = {"title": "3. RMSprop, epsilon 1e-7", "xlabel": "size of the gradient", "ylabel": RATE, "xscale": "log"}
    lesson.beside(panel, slopes, said, right, ("outside the root", "inside the root"), **axes)
    return {f"step / learning rate at a gradient of {slopes[i]:.0e}": (said[i], right[i]) for i in (21, 28)}


def start_point(panel: Any, options: Any) -> lesson.Pairs:
    """4. An optimizer that moves the array it is given moves the next one's start; td.minimize works on a copy."""
    start, momentum = np.array([-3.0, -3.0]), td.optimizers.SGD(1e-3, momentum=0.95)
    td.minimize(bowl, start, td.optimizers.SGD(1e-3), steps=options.steps)
    right = td.minimize(bowl, start, momentum, steps=options.steps).values
    point = start
    for _ in range(options.steps):
        point -= 1e-3 * np.array([40.0, 2.0]) * point  # plain descent as said, in place: start moves with it
    said = td.minimize(bowl, start, momentum, steps=options.steps).values
    axes = {"title": "4. Momentum, run after plain descent", "xlabel": "step", "ylabel": "value", "yscale": "log"}
    lesson.beside(panel, range(len(said)), said, right, ("the start was moved", "the start is as given"), **axes)
    return {"value where the second optimizer starts": (said[0], right[0])}


def rosenbrock_name(panel: Any, options: Any) -> lesson.Pairs:
    """4. 20 a² + b² is a bowl; Rosenbrock's function is a bent valley, least at (1, 1), and much harder to go down."""
    grid, conditions = np.meshgrid(np.linspace(-1.6, 1.6, 200), np.linspace(-1, 2.3, 200)), []
    for f, least, style in ((bowl, (0.0, 0.0), lesson.SAID), (rosenbrock, (1.0, 1.0), lesson.RIGHT)):
        panel.contour(*grid, f(grid), levels=(1, 5, 20), colors=style["color"], linestyles=style.get("linestyle", "-"))
        panel.plot(*least, "*", color=style["color"], markersize=14, label=f"{f.__name__}, least at the star")
        hessian = [td.grad(lambda p, f=f, i=i: td.grad(f)(p)[i])(td.tensor(least)).numpy() for i in (0, 1)]
        conditions.append(np.linalg.cond(hessian))
    panel.set(title="4. Where both are 1, 5 and 20", xlabel="a", ylabel="b", ylim=(-1, 3.2))
    return {
        "value at (1, 1)": (float(bowl(np.ones(2))), float(rosenbrock(np.ones(2)))),
        "steepest / flattest curvature where it is least": (conditions[0], conditions[1]),
    }


def clipping(panel: Any, options: Any) -> lesson.Pairs:
    """8. clipnorm clips each weight's gradient by itself, which turns the whole; global_clipnorm clips the whole."""
    gradient, found = np.array([0.9, 4.0]), []
    panel.arrow(0, 0, *gradient, color="0.6", width=0.03, length_includes_head=True, label="gradient")
    for kind, style in (("clipnorm", lesson.SAID), ("global_clipnorm", lesson.RIGHT)):
        weights = [td.Variable(0.0, trainable=True) for _ in gradient]
        td.optimizers.SGD(1.0, **{kind: 1.0}).apply([td.tensor(part) for part in gradient], weights)
        clipped = -np.array([weight.numpy() for weight in weights])
        panel.arrow(0, 0, *clipped, color=style["color"], width=0.03, length_includes_head=True, label=f"{kind}=1")
        turned = np.degrees(np.arctan2(*clipped) - np.arctan2(*gradient))
        found.append((round(float(turned), 4), float(np.linalg.norm(clipped))))
    panel.set(title="8. A gradient of two weights", xlabel="first", ylabel="second", xlim=(-1, 4), aspect="equal")
    return dict(zip(("turned by, degrees", "norm of what is left"), zip(*found, strict=True), strict=True))


def adagrad_rate(panel: Any, options: Any) -> lesson.Pairs:
    """12. AdaGrad divides its one learning rate by the root; divided anew at each step, it would be gone after ten."""
    t, rule = np.arange(1, 21), td.optimizers.Adagrad(1.0, initial_accumulator_value=0.0)
    said, right = 1 / np.cumprod(np.sqrt(t)), lengths(rule, 20)[:, 0]
    axes = {"title": "12. AdaGrad on a constant slope", "xlabel": "step", "ylabel": RATE, "yscale": "log"}
    lesson.beside(panel, t, said, right, ("rate divided again and again", "rate divided once"), **axes)
    return {f"step {step} / learning rate": (said[step - 1], right[step - 1]) for step in (5, 10)}


def main(arguments: list[str] | None = None) -> dict[str, lesson.Pairs]:
    """Measure and draw; return by correction the numbers as said and right."""
    options = lesson.parser(__doc__, "corrections_optimizers", steps=(200, "of the descents")).parse_args(arguments)
    corrections = adam_correction, epsilon_place, start_point, rosenbrock_name, clipping, adagrad_rate
    return lesson.compare(options, *corrections)


if __name__ == "__main__":
    lesson.run(main)
