"""Clip gradients that explode, in four ways, and see which of them keep the gradient's direction.

Left: the loss of a recurrent unit after 50 steps, by its weight and bias, which has a cliff (Pascanu and others, 2013).
Plain descent comes upon it, and its gradient there throws it out of the picture; clipped descent goes along it.

Middle: the gradient (0.9, 100). clipvalue=1 limits each element by itself, which turns it to (0.9, 1), almost half way
to the other axis; clipnorm=1 shortens it as it is. Right: a deep network whose gradient explodes towards the first
layers. clipnorm, often said to clip the whole gradient, clips each weight's by itself: each keeps its direction, but
the long ones become equally long, so the whole is turned. global_clipnorm and normalize_gradients only scale the whole.

  python examples/gradient_clipping.py
  python examples/gradient_clipping.py --steps 500 --out clipping.png
"""

from __future__ import annotations

from typing import Any, NamedTuple

import lesson
import numpy as np
from lesson import plt

import tinygrad_dnn as td
from tinygrad_dnn import layers

CLIPPINGS: dict[str, dict[str, Any]] = {
    "none": {},
    "clipvalue": {"clipvalue": 1.0},
    "clipnorm": {"clipnorm": 1.0},
    "global_clipnorm": {"global_clipnorm": 1.0},
    "normalize_gradients": {"normalize_gradients": True},
}


class Clipped(NamedTuple):
    """What a clipping does to the gradient of a network."""

    norms: np.ndarray  # of each kernel's gradient, the first layer's first
    turned: float  # the angle between the whole gradient before and after, in degrees
    weights_turned: float  # the largest such angle of a single weight


def recurrent(p: Any) -> Any:
    """Return the squared error of a unit that was fed its own output 50 times."""
    state = td.tensor(0.5)
    for _ in range(50):
        state = p[0] * td.activations.sigmoid(state) + p[1]
    return (td.activations.sigmoid(state) - 0.7) ** 2


def clip(gradients: list[Any], clipping: dict[str, Any]) -> list[np.ndarray]:
    """Return what an optimizer makes of gradients, as vectors: a step of rate 1 from zeros goes back along them."""
    weights = [td.Variable(td.zeros_like(gradient)) for gradient in gradients]
    td.optimizers.SGD(1.0, **clipping).apply(gradients, weights)
    return [-weight.numpy().astype(float).ravel() for weight in weights]


def angle(a: np.ndarray, b: np.ndarray) -> float:
    """Return the angle between two directions in degrees, exact for small ones too."""
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    return float(np.degrees(2 * np.arctan2(np.linalg.norm(a - b), np.linalg.norm(a + b))))


def explode(depth: int) -> list[td.Tensor]:
    """Return the gradients of a deep network whose weights are much too large."""
    images = lesson.images(500)
    wide = td.initializers.RandomNormal(stddev=1.0)
    hidden = [layers.Dense(100, "tanh", use_bias=False, kernel_initializer=wide) for _ in range(depth)]
    model = td.models.Sequential([layers.Flatten(), *hidden, layers.Dense(10, "softmax", use_bias=False)])
    loss = td.losses.sparse_categorical_crossentropy(images.y_train, model(images.x_train)).mean()
    return td.grad(loss, model.trainable_weights)


def draw(descents: dict[str, td.diagnostics.Descent], clipped: dict[str, Clipped]) -> Any:
    """Return the cliff with the paths, the two arrows, and the network's gradients."""
    figure, (cliff, arrows, norms) = plt.subplots(1, 3, figsize=(16, 5.8))
    a, b = np.meshgrid(np.linspace(4.4, 5.8, 300), np.linspace(-2.9, -2.0, 300))
    cliff.contourf(a, b, recurrent((td.tensor(a), td.tensor(b))).numpy(), levels=25, cmap="Greys", vmax=0.8)
    for name, (path, _) in descents.items():
        cliff.plot(*path.T, ".-", linewidth=1, label=name)
    cliff.set(title="A cliff (dark: great loss)", xlabel="weight", ylabel="bias", xlim=(4.4, 5.8), ylim=(-2.9, -2.0))
    for colour, name in (("C1", "clipvalue"), ("C2", "clipnorm")):
        (arrow,) = clip([td.tensor([0.9, 100.0])], CLIPPINGS[name])
        arrows.annotate("", arrow, (0, 0), arrowprops={"color": colour, "width": 2})
        arrows.text(arrow[0], 1.03, f"{name}\n({arrow[0]:.3f}, {arrow[1]:.3f})", color=colour, ha="center")
    arrows.set(title="The gradient (0.9, 100) clipped", xlabel="first element", ylabel="second element")
    arrows.set(xlim=(-0.3, 1.3), ylim=(-0.1, 1.2), aspect="equal")
    for (name, found), line in zip(clipped.items(), ("X-", "^-", "o-", "s-", "d:"), strict=True):
        norms.semilogy(np.arange(1, len(found.norms) + 1), found.norms, line, label=f"{name}: {found.turned:.0f}°")
    norms.set(title="The gradient of a deep network", xlabel="layer", ylabel="norm of the kernel's gradient")
    norms.xaxis.get_major_locator().set_params(integer=True)
    norms.legend(title="the whole is turned by", loc="lower left", fontsize=9)
    cliff.legend()
    return figure


def main(arguments: list[str] | None = None) -> tuple[dict[str, td.diagnostics.Descent], dict[str, Clipped]]:
    """Draw what the options ask for; return the descents, and what becomes of the network's gradient."""
    counts = {"steps": (150, "of each descent"), "layers": (20, "hidden layers of the network")}
    options = lesson.parser(__doc__, "gradient_clipping", **counts).parse_args(arguments)
    descents, clipped = {}, {}
    for name, clipping in {"none": {}, "clipvalue": {"clipvalue": 0.3}, "clipnorm": {"clipnorm": 0.3}}.items():
        optimizer = td.optimizers.SGD(0.1, **clipping)
        descents[name] = path, values = td.minimize(recurrent, np.array([5.5, -2.2]), optimizer, options.steps)
        longest = np.linalg.norm(np.diff(path, axis=0), axis=1).max()
        print(f"the cliff, {name:10} longest step {longest:6.2g}, loss at the end {values[-1]:.1e}")
    td.utils.set_random_seed(options.seed)
    raw = clip(gradients := explode(options.layers), {})
    for name, clipping in CLIPPINGS.items():
        found = clip(gradients, clipping)
        turned = [angle(one, other) for one, other in zip(raw, found, strict=True)]
        whole = angle(np.concatenate(raw), np.concatenate(found))
        clipped[name] = Clipped(np.array([np.linalg.norm(g) for g in found]), whole, max(turned))
        print(f"the network, {name:20} turns a weight by {max(turned):4.1f} degrees at most, the whole by {whole:4.1f}")
    lesson.save(draw(descents, clipped), options.out)
    return descents, clipped


if __name__ == "__main__":
    lesson.run(main)
