"""Draw the paths of the optimizers down a long, narrow valley and along the Rosenbrock function's bend.

Plain gradient descent crosses the valley slowly, momentum overshoots it, the adaptive optimizers scale both directions
alike. Every optimizer starts at the same point, which none of them changes.

  python examples/optimizer_paths.py
  python examples/optimizer_paths.py --optimizers sgd,adam,lion --steps 400 --out paths.png
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

import tinygrad_dnn as td

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # after the backend is chosen

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


def draw(names: list[str], steps: int, path: Path) -> None:
    """Draw each function's contours with the paths on them, and below them how the values fall."""
    figure, axes = plt.subplots(2, 2, figsize=(12, 10), gridspec_kw={"height_ratios": (2, 1)})
    for column, (title, f, start, a_range, b_range, least) in enumerate(FUNCTIONS):
        upper, lower = axes[:, column]
        a, b = np.meshgrid(np.linspace(*a_range, 200), np.linspace(*b_range, 200))
        upper.contourf(a, b, np.log1p(f((a, b))), levels=30, cmap="Greys", alpha=0.6)
        for name in names:
            descent = td.minimize(f, np.array(start), OPTIMIZERS[name](), steps=steps)
            upper.plot(*descent.path.T, linewidth=1.5, label=name)
            lower.semilogy(np.maximum(descent.values, 1e-12), linewidth=1.5)
            print(f"{title}: {name} ends at ({descent.path[-1, 0]:.3f}, {descent.path[-1, 1]:.3f})")
        upper.plot(*least, "k*", markersize=12)
        upper.set(title=title, xlabel="a", ylabel="b", xlim=a_range, ylim=b_range)
        lower.set(xlabel="step", ylabel="value")
        lower.grid(alpha=0.3)
    axes[0, 0].legend(loc="upper left")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> int:
    """Draw what the options ask for."""

    def chosen(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",")]
        for name in names:
            if name not in OPTIMIZERS:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(OPTIMIZERS)}")
        return names

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--optimizers", type=chosen, default=list(OPTIMIZERS), help="which, as sgd,adam (default: all)")
    parser.add_argument("--steps", type=int, default=300, help="steps of each (default 300)")
    parser.add_argument("--out", type=Path, default=Path("optimizer_paths.png"), help="the picture's file")
    options = parser.parse_args(arguments)
    if options.steps < 1:
        parser.error("--steps must be at least 1")
    draw(options.optimizers, options.steps, options.out)
    print(f"see {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
