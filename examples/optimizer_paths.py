"""Draw the paths of the optimizers down a long, narrow valley and along the Rosenbrock function's bend.

Plain gradient descent soon reaches the valley's floor and creeps along it; momentum overshoots, and is fast; the
adaptive optimizers (Adagrad to Nadam) scale both directions alike and make for the minimum at once. Along the bend
momentum comes closest, and Lion, whose steps all have one length, jumps about the minimum.

  python examples/optimizer_paths.py
  python examples/optimizer_paths.py --optimizers sgd,adam,lion --steps 400 --out paths.png
  python examples/optimizer_paths.py --animate paths.gif --every 5
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import lesson
import numpy as np
from lesson import plt
from matplotlib.animation import PillowWriter

import tinygrad_dnn as td

# Learning rates that suit these functions; the defaults suit networks.
OPTIMIZERS = {
    "sgd": lambda: td.optimizers.SGD(1e-3),
    "momentum": lambda: td.optimizers.SGD(1e-3, momentum=0.95),
    "nesterov": lambda: td.optimizers.SGD(1e-3, momentum=0.95, nesterov=True),
    "adagrad": lambda: td.optimizers.Adagrad(0.3),
    "rmsprop": lambda: td.optimizers.RMSprop(0.02),
    "adam": lambda: td.optimizers.Adam(0.05),
    "nadam": lambda: td.optimizers.Nadam(0.05),
    "lion": lambda: td.optimizers.Lion(0.01),
}
Descents = dict[str, dict[str, td.diagnostics.Descent]]


def valley(p: Any) -> Any:
    """Return 20 a^2 + b^2, least at (0, 0)."""
    return 20 * p[0] ** 2 + p[1] ** 2


def rosenbrock(p: Any) -> Any:
    """Return (1 - a)^2 + 100 (b - a^2)^2, least at (1, 1)."""
    return (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2


FUNCTIONS = (
    ("20 a² + b²", valley, (-3.0, -2.0), (-3.5, 3.5), (-3.5, 3.5), (0.0, 0.0)),
    ("Rosenbrock", rosenbrock, (-1.2, 1.0), (-1.8, 1.8), (-0.8, 2.2), (1.0, 1.0)),
)


def descend(names: list[str], steps: int) -> Descents:
    """Let each optimizer descend each function."""
    found: Descents = {}
    for title, f, start, *_ in FUNCTIONS:
        found[title] = {name: td.minimize(f, np.array(start), OPTIMIZERS[name](), steps=steps) for name in names}
    return found


def draw(descents: Descents) -> Any:
    """Return each function's contours with the paths on them, and below them how the values fall."""
    figure, axes = plt.subplots(2, 2, figsize=(12, 10), gridspec_kw={"height_ratios": (2, 1)})
    for (upper, lower), (title, f, _, a_range, b_range, least) in zip(axes.T, FUNCTIONS, strict=True):
        a, b = np.meshgrid(np.linspace(*a_range, 200), np.linspace(*b_range, 200))
        upper.contour(a, b, np.log1p(f((a, b))), levels=20, colors="0.8", linewidths=1)
        for name, descent in descents[title].items():
            upper.plot(*descent.path.T, linewidth=1.5, label=name)
            lower.semilogy(np.maximum(descent.values, 1e-12), linewidth=1.5)
        upper.plot(*least, "k*", markersize=12)
        upper.set(title=title, xlabel="a", ylabel="b", xlim=a_range, ylim=b_range)
        lower.set(xlabel="step", ylabel="value")
        lower.grid(alpha=0.3)
    axes[0, 0].legend(loc="upper left")
    return figure


def animate(descents: Descents, path: Path, steps: int, every: int) -> None:
    """Write the picture as a GIF that grows by so many steps a frame, and rests at the end."""
    figure = draw(descents)
    figure.tight_layout()
    drawn = [(line, *line.get_data()) for ax in figure.axes for line in ax.lines if len(line.get_xdata()) == steps + 1]
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = PillowWriter(fps=8)
    with writer.saving(figure, path, dpi=60):
        for step in (*range(0, steps, every), *[steps] * 10):
            for line, x, y in drawn:
                line.set_data(x[: step + 1], y[: step + 1])
            writer.grab_frame()
    plt.close(figure)
    print(f"see {path}")


def main(arguments: list[str] | None = None) -> Descents:
    """Draw what the options ask for; return the descents by function and optimizer."""

    def chosen(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",")]
        if unknown := [name for name in names if name not in OPTIMIZERS]:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(OPTIMIZERS)}")
        return names

    parser = lesson.parser(__doc__, "optimizer_paths", steps=(300, "steps of each"), every=(10, "steps a frame"))
    parser.add_argument("--optimizers", type=chosen, default=list(OPTIMIZERS), help="which, as sgd,adam (default: all)")
    parser.add_argument("--animate", type=lesson.picture("gif"), metavar="FILE.gif", help="write a moving picture too")
    options = parser.parse_args(arguments)
    descents = descend(options.optimizers, options.steps)
    for title, by_name in descents.items():
        for name, descent in by_name.items():
            print(f"{title}: {name} ends at ({descent.path[-1, 0]:.3f}, {descent.path[-1, 1]:.3f})")
    lesson.save(draw(descents), options.out)
    if options.animate:
        animate(descents, options.animate, options.steps, options.every)
    return descents


if __name__ == "__main__":
    lesson.run(main)
