"""Draw every schedule of the learning rate over its range and past its end, and train with four of them.

A schedule is a function of the step, given to the optimizer in place of a number. What to look for: each is defined
past its end (grey), where most stay as they are and some begin again; a value of PiecewiseConstantDecay starts one step
after its boundary. Below, one network learns with four schedules of the same greatest rate: the constant one makes the
loss jump to the end, with the others it comes to rest; those that stay high for longer end best in so few epochs.

  python examples/learning_rate_schedules.py
  python examples/learning_rate_schedules.py --seeds 6 --epochs 30 --out schedules.png
"""

from __future__ import annotations

from typing import Any

import lesson
import numpy as np
from lesson import plt

import tinygrad_dnn as td

s = td.schedulers
END, RATE = 100, 0.1  # steps and rate of what is drawn
DRAWN = [
    ("decay_rate=0.5", s.ExponentialDecay(RATE, 20, 0.5)),
    ("staircase", s.ExponentialDecay(RATE, 20, 0.5, staircase=True)),
    ("decay_rate=1", s.InverseTimeDecay(RATE, 20, 1.0)),
    ("staircase", s.InverseTimeDecay(RATE, 20, 1.0, staircase=True)),
    *((f"power={c:g}", s.PowerDecay(RATE, 20, 1.0, power=c)) for c in (0.5, 1, 2)),
    ("boundaries=[30, 60, 90]", s.PiecewiseConstantDecay([30, 60, 90], [0.1, 0.05, 0.02, 0.01])),
    *((f"power={p}", s.PolynomialDecay(RATE, END, 0.01, power=p)) for p in (1, 2)),
    ("cycle", s.PolynomialDecay(RATE, 40, 0.01, cycle=True)),
    ("no warm-up", s.CosineDecay(RATE, END)),
    ("warm-up", s.CosineDecay(0.0, END - 20, warmup_target=RATE, warmup_steps=20)),
    ("t_mul=2", s.CosineDecayRestarts(RATE, 20)),
    ("t_mul=1, m_mul=0.7", s.CosineDecayRestarts(RATE, 25, t_mul=1.0, m_mul=0.7)),
    *((f"start_factor={f:g}", s.LinearWarmup(RATE, 40, start_factor=f)) for f in (0, 0.5)),
    ("two phases", s.OneCycle(RATE, END)),
    ("three_phase, linear", s.OneCycle(RATE, END, three_phase=True, anneal_strategy="linear")),
    *((mode, s.Cyclic(0.01, RATE, 15, mode=mode)) for mode in ("triangular", "triangular2")),
    ("warm-up, rest, decay", s.SequentialSchedule([s.LinearWarmup(RATE, 20), RATE, s.CosineDecay(RATE, 40)], [20, 60])),
    ("warm-up * decay", s.LinearWarmup(1.0, 20) * s.ExponentialDecay(RATE, 20, 0.5)),
]
Measured = dict[str, dict[str, np.ndarray]]


def trained_with(steps: int, rate: float) -> dict[str, Any]:
    """Return the learning rates that networks are trained with for so many steps: a constant and three schedules."""
    return {
        "constant": rate,
        "ExponentialDecay": s.ExponentialDecay(rate, steps, 0.01),
        "CosineDecay, warm-up": s.CosineDecay(0.0, 0.9 * steps, warmup_target=rate, warmup_steps=0.1 * steps),
        "OneCycle": s.OneCycle(rate, steps),
    }


def train(rate: Any, images: lesson.Images, epochs: int, seed: int) -> dict[str, Any]:
    """Train one network; return its validation loss by epoch, and its loss and accuracy on the test images."""
    td.utils.set_random_seed(seed)
    layers, he = td.layers, {"activation": "relu", "kernel_initializer": "he_normal"}
    model = td.Sequential(
        [layers.Flatten(), layers.Dense(100, **he), layers.Dense(50, **he), layers.Dense(10, activation="softmax")]
    )
    model.compile(td.optimizers.SGD(rate), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    validation = {"validation_data": (images.x_valid, images.y_valid), "validation_batch_size": 500}
    history = model.fit(images.x_train, images.y_train, epochs=epochs, verbose=0, **validation).history
    loss, accuracy = model.evaluate(images.x_test, images.y_test, verbose=0)
    return {"val_loss": history["val_loss"], "test_loss": loss, "test_accuracy": 100 * accuracy}


def draw(measured: Measured, rates: dict[str, Any], steps: int) -> Any:
    """Return a panel for each class of schedules, and below them what four of them do to the validation loss."""
    panels = list(dict.fromkeys(type(schedule).__name__ for _, schedule in DRAWN))
    rows = [panels[start : start + 4] for start in range(0, len(panels), 4)]
    wide = [["rates", "rates", "losses", "losses"]]
    figure, axes = plt.subplot_mosaic(rows + wide, figsize=(13, 12), height_ratios=[2] * len(rows) + [3])
    at = np.arange(1.3 * END)
    for label, schedule in DRAWN:
        axes[type(schedule).__name__].plot(at, schedule(at).numpy(), label=label, linewidth=1.8)
    for name in panels:
        axes[name].axvspan(END, at[-1], color="0.5", alpha=0.2)
        axes[name].set(title=name, xlabel="step", ylabel="learning rate", ylim=(-0.004, 0.145))
        axes[name].legend(fontsize=8, loc="upper right")
    for number, (name, rate) in enumerate(rates.items()):
        steps_at, losses = np.arange(steps), measured[name]["val_loss"]
        values = rate(steps_at).numpy() if callable(rate) else np.full(steps, rate)
        axes["rates"].plot(steps_at, values, color=f"C{number}", linewidth=2, label=name)
        epochs = np.arange(1, losses.shape[1] + 1)
        axes["losses"].plot(epochs, losses.T, color=f"C{number}", linewidth=0.8, alpha=0.4)
        axes["losses"].plot(epochs, losses.mean(0), color=f"C{number}", linewidth=2.5, label=name)
    axes["rates"].set(title="Four schedules of one training", xlabel="step", ylabel="learning rate", ylim=(-0.01, 0.29))
    axes["losses"].set(title="What comes of them (thin: each seed)", xlabel="epoch", ylim=(0.4, 1.5))
    axes["losses"].set_ylabel("validation loss [nats]")
    axes["rates"].legend(ncols=2)
    axes["losses"].legend()
    return figure


def main(arguments: list[str] | None = None) -> Measured:
    """Draw the schedules, train as the options ask for; return the losses and accuracies by schedule."""
    counts = {"seeds": (4, "networks with each"), "samples": (2000, "training images"), "epochs": (12, "of training")}
    options = lesson.parser(__doc__, "learning_rate_schedules", **counts).parse_args(arguments)
    for name in set(td.registry.schedulers.names()) - {type(schedule).__name__.lower() for _, schedule in DRAWN}:
        print(f"{name} is registered, and not drawn: add an example of it to DRAWN")
    images = lesson.images(options.samples)
    steps = options.epochs * -(-len(images.x_train) // 32)
    measured = {}
    for name, rate in trained_with(steps, 0.2).items():
        seeds = range(options.seed, options.seed + options.seeds)
        runs = [train(rate, images, options.epochs, seed) for seed in seeds]
        measured[name] = {value: np.array([run[value] for run in runs]) for value in runs[0]}
        loss, accuracy = measured[name]["test_loss"], measured[name]["test_accuracy"]
        print(f"{name:22} test loss {loss.mean():.3f} ± {loss.std():.3f},", end=" ")
        print(f"accuracy {accuracy.mean():.1f} ± {accuracy.std():.1f} %")
    lesson.save(draw(measured, trained_with(steps, 0.2), steps), options.out)
    return measured


if __name__ == "__main__":
    lesson.run(main)
