"""What PyTorch itself computes where tinygrad-dnn-torch takes its word: python plugins_torch.py, in its environment.

It writes plugins/tinygrad-dnn-torch/tests/golden.json and .npz, which travel with that package.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
TESTS = HERE.parents[2] / "plugins" / "tinygrad-dnn-torch" / "tests"
SHAPES = ((4, 3), (3,))
STEPS, CHANGE = 12, 8
COUNT = 1_000_000

# Name here, PyTorch's class, arguments by PyTorch's names, arguments by this project's.
OPTIMIZERS: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "sgd": ("torch.sgd", "SGD", {}, {}),
    "sgd_momentum": ("torch.sgd", "SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}, {}),
    "sgd_nesterov": ("torch.sgd", "SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}, {}),
    "adam": ("torch.adam", "Adam", {}, {}),
    "adam_options": (
        "torch.adam", "Adam", {"lr": 0.1, "betas": (0.8, 0.9), "eps": 0.01, "weight_decay": 0.1, "amsgrad": True}, {},
    ),
    "adamw": ("torch.adamw", "AdamW", {}, {}),
    "adamw_options": ("torch.adamw", "AdamW", {"lr": 0.1, "eps": 0.01, "weight_decay": 0.2, "amsgrad": True}, {}),
    "nadam": ("torch.nadam", "NAdam", {}, {}),
    "nadam_options": (
        "torch.nadam", "NAdam", {"lr": 0.1, "eps": 0.01, "weight_decay": 0.1, "momentum_decay": 0.1}, {},
    ),
    "nadam_decoupled": (
        "torch.nadam", "NAdam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}, {},
    ),
    "radam": ("torch.radam", "RAdam", {}, {}),
    "radam_options": ("torch.radam", "RAdam", {"lr": 0.1, "betas": (0.8, 0.9), "eps": 0.01, "weight_decay": 0.1}, {}),
    "adamax": ("torch.adamax", "Adamax", {}, {}),
    "adamax_options": ("torch.adamax", "Adamax", {"lr": 0.1, "eps": 0.1, "weight_decay": 0.1}, {}),
    "rmsprop": ("torch.rmsprop", "RMSprop", {}, {}),
    "rmsprop_options": (
        "torch.rmsprop", "RMSprop",
        {"lr": 0.1, "eps": 0.1, "momentum": 0.9, "weight_decay": 0.1, "centered": True}, {"rho": 0.8},
    ),
    "adagrad": ("torch.adagrad", "Adagrad", {}, {}),
    "adagrad_options": (
        "torch.adagrad", "Adagrad", {"lr": 0.1, "lr_decay": 0.3, "weight_decay": 0.1, "eps": 0.1},
        {"initial_accumulator_value": 0.2},
    ),
    "adadelta": ("torch.adadelta", "Adadelta", {}, {}),
    "adadelta_options": ("torch.adadelta", "Adadelta", {"rho": 0.8, "eps": 0.01, "weight_decay": 0.1}, {"lr": 2.0}),
}  # fmt: skip
RENAMED = {"lr": "learning_rate", "eps": "epsilon"}

SCHEDULES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "step": ("torch.step", "StepLR", {"step_size": 3}),
    "multi_step": ("torch.multi_step", "MultiStepLR", {"milestones": [2, 5, 5], "gamma": 0.5}),
    "exponential": ("torch.exponential", "ExponentialLR", {"gamma": 0.9}),
    "cosine_annealing": ("torch.cosine_annealing", "CosineAnnealingLR", {"T_max": 7, "eta_min": 0.01}),
    "restarts": ("torch.cosine_annealing_warm_restarts", "CosineAnnealingWarmRestarts", {"T_0": 4}),
    "restarts_twice": (
        "torch.cosine_annealing_warm_restarts", "CosineAnnealingWarmRestarts", {"T_0": 3, "T_mult": 2, "eta_min": 0.1},
    ),
    # The logarithm that tells the wave is rounded down at step 121.
    "restarts_thrice": ("torch.cosine_annealing_warm_restarts", "CosineAnnealingWarmRestarts", {"T_0": 1, "T_mult": 3}),
    "linear": ("torch.linear", "LinearLR", {}),
    "linear_down": ("torch.linear", "LinearLR", {"start_factor": 1.0, "end_factor": 0.1, "total_iters": 7}),
    "constant": ("torch.constant", "ConstantLR", {}),
    "polynomial": ("torch.polynomial", "PolynomialLR", {"total_iters": 6, "power": 2.0}),
    "polynomial_default": ("torch.polynomial", "PolynomialLR", {}),
}  # fmt: skip

INITIALIZERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "kaiming_uniform": ("torch.kaiming_uniform", "kaiming_uniform_", {"a": 0.2}),
    "kaiming_uniform_relu": ("torch.kaiming_uniform", "kaiming_uniform_", {"mode": "fan_out"}),
    "kaiming_normal": ("torch.kaiming_normal", "kaiming_normal_", {}),
    "xavier_uniform": ("torch.xavier_uniform", "xavier_uniform_", {"gain": 5 / 3}),
    "xavier_normal": ("torch.xavier_normal", "xavier_normal_", {}),
    "normal": ("torch.normal", "normal_", {}),
    "uniform": ("torch.uniform", "uniform_", {}),
    "trunc_normal": ("torch.trunc_normal", "trunc_normal_", {"mean": 0.5, "std": 2.0}),
}


def make() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return what the cases share, and the cases of optimizers, schedules, initializers, layers and the callback."""
    torch.set_default_dtype(torch.float64)  # NAdam keeps its product of momenta in the default type
    rng = np.random.default_rng(0)
    inputs: dict[str, Any] = {"steps": STEPS, "change": CHANGE, "count": COUNT}
    for i, shape in enumerate(SHAPES):
        inputs[f"weight_{i}"] = rng.standard_normal(shape)
        # One element's gradients are small: epsilon counts there.
        scale = np.where(np.arange(math.prod(shape)).reshape(shape) == 1, 1e-6, 1.0)
        inputs[f"grads_{i}"] = rng.standard_normal((STEPS, *shape)) * scale
    cases = {}
    for name, (ours, theirs, arguments, more) in OPTIMIZERS.items():
        cases[f"optimizer_{name}"] = optimizer(ours, theirs, arguments, more, inputs)
    for name, (ours, theirs, arguments) in SCHEDULES.items():
        cases[f"schedule_{name}"] = schedule(ours, theirs, arguments)
    for name, (ours, theirs, arguments) in INITIALIZERS.items():
        cases[f"initializer_{name}"] = initializer(ours, theirs, arguments)
    return inputs, {**cases, **layers(rng), **plateaus(rng)}


def optimizer(
    ours: str, theirs: str, arguments: dict[str, Any], more: dict[str, Any], inputs: dict[str, Any]
) -> dict[str, Any]:
    """Return the weights after each step; the learning rate becomes a tenth on the way."""
    names = {"rho": "alpha"} if theirs == "RMSprop" else {}
    given = {**arguments, **{names.get(key, key): value for key, value in more.items()}}
    weights = [torch.nn.Parameter(torch.tensor(inputs[f"weight_{i}"])) for i in range(len(SHAPES))]
    rule = getattr(torch.optim, theirs)(weights, **given)
    path: list[list[np.ndarray]] = [[] for _ in SHAPES]
    for step in range(STEPS):
        if step == CHANGE:
            rule.param_groups[0]["lr"] *= 0.1
        for i, weight in enumerate(weights):
            weight.grad = torch.tensor(inputs[f"grads_{i}"][step])
        rule.step()
        for i, weight in enumerate(weights):
            path[i].append(weight.detach().numpy().copy())
    said = {RENAMED.get(key, key): value for key, value in {**arguments, **more}.items() if key != "betas"}
    if "betas" in arguments:
        said["beta_1"], said["beta_2"] = arguments["betas"]
    return {"name": ours, "arguments": said, **{f"path_{i}": np.stack(part) for i, part in enumerate(path)}}


def schedule(ours: str, theirs: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the rates of 130 steps."""
    weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    rule = torch.optim.SGD([weight], lr=0.5)
    following = getattr(torch.optim.lr_scheduler, theirs)(rule, **arguments)
    rates = []
    for _ in range(130):
        rates.append(rule.param_groups[0]["lr"])
        rule.step()
        following.step()
    return {"name": ours, "arguments": {"learning_rate": 0.5, **arguments}, "rates": np.array(rates)}


def initializer(ours: str, theirs: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the mean, the standard deviation and the extremes of a weight of 2000 inputs and 500 outputs."""
    torch.manual_seed(0)
    drawn = torch.empty(500, 2000, dtype=torch.float64)
    getattr(torch.nn.init, theirs)(drawn, **arguments)
    return {"name": ours, "arguments": arguments, **moments(drawn)}


def moments(drawn: Any) -> dict[str, float]:
    """Return the four numbers, and the mean fourth power, from which their errors follow."""
    values = drawn.detach().double().numpy().ravel()
    fourth = float(((values - values.mean()) ** 4).mean())
    return {
        "mean": float(values.mean()), "std": float(values.std()), "least": float(values.min()),
        "greatest": float(values.max()), "fourth": fourth, "of": values.size,
    }  # fmt: skip


def layers(rng: np.random.Generator) -> dict[str, dict[str, Any]]:
    """Return what layers give in training and at inference, and what Linear and Conv2d begin with."""
    torch.manual_seed(0)
    batches = rng.standard_normal((3, 6, 4)) * 2 + 1
    normal = torch.nn.BatchNorm1d(4).double()
    trained = [normal(torch.tensor(batch)).detach().numpy() for batch in batches]
    normal.eval()
    cases: dict[str, dict[str, Any]] = {
        "batch_normalization": {
            "batches": batches, "trained": np.stack(trained),
            "inference": normal(torch.tensor(batches[0])).detach().numpy(),
            "mean": normal.running_mean.numpy(), "variance": normal.running_var.numpy(),
        },
        "layer_normalization": {
            "x": batches[0] * 1e-3,
            "y": torch.nn.LayerNorm(4).double()(torch.tensor(batches[0] * 1e-3)).detach().numpy(),
        },
        "prelu": {"x": batches[0], "y": torch.nn.PReLU().double()(torch.tensor(batches[0])).detach().numpy()},
        "leaky_relu": {"x": batches[0], "y": torch.nn.functional.leaky_relu(torch.tensor(batches[0])).numpy()},
    }  # fmt: skip
    linear = torch.nn.Linear(100, 10_000)
    convolution = torch.nn.Conv2d(4, 10_000, 3)
    for name, layer in (("linear", linear), ("conv2d", convolution)):
        cases[f"{name}_weight"] = moments(layer.weight)
        cases[f"{name}_bias"] = moments(layer.bias)
    return cases


def plateaus(rng: np.random.Generator) -> dict[str, dict[str, Any]]:
    """Return the learning rates that follow from noisy values."""
    values = np.concatenate([np.linspace(1, 0.5, 8), 0.5 + 0.01 * rng.standard_normal(30)])
    options: dict[str, dict[str, Any]] = {
        "relative": {"patience": 3, "factor": 0.5, "threshold": 0.01},
        "absolute": {"patience": 2, "factor": 0.5, "threshold": 0.002, "threshold_mode": "abs", "cooldown": 2},
        "greatest": {"patience": 1, "factor": 0.5, "mode": "max", "min_lr": 0.01},
    }
    cases = {}
    for name, arguments in options.items():
        # Each is better than the one before by more than the threshold itself, and by less than that part of it.
        seen = 20 * 0.998 ** np.arange(38) if name == "relative" else values
        rule = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
        following = torch.optim.lr_scheduler.ReduceLROnPlateau(rule, **arguments)
        rates = []
        for value in seen:
            following.step(value)
            rates.append(rule.param_groups[0]["lr"])
        cases[f"plateau_{name}"] = {"arguments": arguments, "values": seen, "rates": np.array(rates)}
    return cases


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    import storage

    made_by = {"made_by": f"torch {torch.__version__}", "numpy": np.__version__}
    print(storage.save("golden", made_by, *make(), folder=TESTS), "bytes in", TESTS)
