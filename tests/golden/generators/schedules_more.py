"""PyTorch's one-cycle, cyclic, warm-up, composed and stepped learning rates at steps 0 to 79, in float64.

A case's ``by_torch`` first rates are PyTorch's. What follows is the formula, where PyTorch raises (a one-cycle past its
end), extrapolates (at its ``total_steps``) or begins again (a cosine): the rate then stays as it is at the end.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.optim import lr_scheduler as torch_schedulers

COUNT = 80
RATE = 0.1
LINEAR, STEP, EXPONENTIAL = torch_schedulers.LinearLR, torch_schedulers.StepLR, torch_schedulers.ExponentialLR
COSINE, POLYNOMIAL = torch_schedulers.CosineAnnealingLR, torch_schedulers.PolynomialLR
Build = Callable[[torch.optim.Optimizer], Any]


def exponential(rate: float, factor: float, steps: int = 1, staircase: bool = False) -> dict[str, Any]:
    config = {"initial_learning_rate": rate, "decay_steps": steps, "decay_rate": factor, "staircase": staircase}
    return {"class_name": "ExponentialDecay", "config": config}


def warmup(target: float, steps: int, start: float) -> dict[str, Any]:
    config = {"warmup_target": target, "warmup_steps": steps, "start_factor": start}
    return {"class_name": "LinearWarmup", "config": config}


def cosine(rate: float, steps: int) -> dict[str, Any]:
    return {"class_name": "CosineDecay", "config": {"initial_learning_rate": rate, "decay_steps": steps}}


def polynomial(rate: float, steps: int, power: float) -> dict[str, Any]:
    config = {"initial_learning_rate": rate, "decay_steps": steps, "end_learning_rate": 0.0, "power": power}
    return {"class_name": "PolynomialDecay", "config": config}


ONE_CYCLE: dict[str, dict[str, Any]] = {
    "one_cycle": {"max_lr": 0.1, "total_steps": 60},
    "one_cycle_linear": {"max_lr": 0.1, "total_steps": 60, "anneal_strategy": "linear"},
    "one_cycle_early": {"max_lr": 0.5, "total_steps": 47, "pct_start": 0.1, "div_factor": 10.0},
    "one_cycle_first_phase_of_no_step": {"max_lr": 0.1, "total_steps": 7, "pct_start": 0.1, "final_div_factor": 2.0},
    "one_cycle_rising_only": {"max_lr": 0.1, "total_steps": 40, "pct_start": 1.0},
    "one_cycle_of_one_step": {"max_lr": 0.1, "total_steps": 1},
    "one_cycle_ending_above_its_start": {"max_lr": 0.1, "total_steps": 30, "final_div_factor": 0.5},
    "one_cycle_three_phases": {"max_lr": 0.1, "total_steps": 60, "three_phase": True, "final_div_factor": 100.0},
    "one_cycle_three_phases_linear": {
        "max_lr": 0.1, "total_steps": 53, "pct_start": 0.4, "anneal_strategy": "linear", "three_phase": True,
        "div_factor": 4.0, "final_div_factor": 8.0,
    },
    "one_cycle_three_phases_half": {"max_lr": 0.1, "total_steps": 20, "pct_start": 0.5, "three_phase": True},
    "one_cycle_three_phases_short": {"max_lr": 0.1, "total_steps": 3, "three_phase": True},
}  # fmt: skip
CYCLIC: dict[str, dict[str, Any]] = {
    "cyclic": {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 10},
    "cyclic_from_0": {"base_lr": 0.0, "max_lr": 0.1, "step_size_up": 7},
    "cyclic_lopsided": {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 4, "step_size_down": 13},
    "cyclic_of_fractions": {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 2.5, "step_size_down": 3.3},
    "cyclic_halved": {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 6, "mode": "triangular2"},
    "cyclic_halved_lopsided": {
        "base_lr": 0.01, "max_lr": 0.1, "step_size_up": 9, "step_size_down": 3, "mode": "triangular2",
    },
    "cyclic_exponential": {
        "base_lr": 0.01, "max_lr": 0.1, "step_size_up": 8, "step_size_down": 5, "mode": "exp_range", "gamma": 0.95,
    },
}  # fmt: skip


def product(*parts: Any) -> dict[str, Any]:
    return {"class": "ProductSchedule", "config": {"schedules": list(parts)}}


def sequence(parts: list[Any], milestones: list[int]) -> dict[str, Any]:
    return {"class": "SequentialSchedule", "config": {"schedules": parts, "milestones": milestones}}


# What this project makes, what PyTorch makes of an optimizer with the rate 0.1, and for how many steps the two agree.
OTHERS: dict[str, tuple[dict[str, Any], Build, int]] = {
    "warmup": (
        {"class": "LinearWarmup", "config": {"warmup_target": 0.1, "warmup_steps": 12, "start_factor": 0.25}},
        lambda o: LINEAR(o, start_factor=0.25, total_iters=12),
        COUNT,
    ),
    "warmup_of_full_height": (
        {"class": "LinearWarmup", "config": {"warmup_target": 0.1, "warmup_steps": 5, "start_factor": 1.0}},
        lambda o: LINEAR(o, start_factor=1.0, total_iters=5),
        COUNT,
    ),
    # A new value starts one step after its boundary here, at the milestone there.
    "piecewise_at_milestones": (
        {"class": "PiecewiseConstantDecay", "config": {"boundaries": [9, 29], "values": [0.1, 0.05, 0.025]}},
        lambda o: torch_schedulers.MultiStepLR(o, milestones=[10, 30], gamma=0.5),
        COUNT,
    ),
    "staircase": (
        {"class": "ExponentialDecay", "config": exponential(0.1, 0.1, 20, staircase=True)["config"]},
        lambda o: STEP(o, step_size=20, gamma=0.1),
        COUNT,
    ),
    "sequence": (
        sequence([warmup(0.1, 10, 0.1), exponential(0.1, 0.9)], [10]),
        lambda o: torch_schedulers.SequentialLR(
            o, [LINEAR(o, start_factor=0.1, total_iters=10), EXPONENTIAL(o, gamma=0.9)], milestones=[10]
        ),
        COUNT,
    ),
    "sequence_cutting_short": (
        sequence([warmup(0.1, 10, 0.1), polynomial(0.1, 30, 2.0), exponential(0.1, 0.5, 4, staircase=True)], [6, 21]),
        lambda o: torch_schedulers.SequentialLR(
            o,
            [
                LINEAR(o, start_factor=0.1, total_iters=10),
                POLYNOMIAL(o, total_iters=30, power=2.0),
                STEP(o, step_size=4, gamma=0.5),
            ],
            milestones=[6, 21],
        ),
        COUNT,
    ),
    "sequence_with_a_number": (
        sequence([warmup(0.1, 8, 0.25), 0.1, cosine(0.1, 40)], [8, 20]),
        lambda o: torch_schedulers.SequentialLR(
            o,
            [
                LINEAR(o, start_factor=0.25, total_iters=8),
                torch_schedulers.ConstantLR(o, factor=1.0, total_iters=1),
                COSINE(o, T_max=40),
            ],
            milestones=[8, 20],
        ),
        61,
    ),
    "product": (
        product(warmup(1.0, 10, 0.1), exponential(0.1, 0.9)),
        lambda o: torch_schedulers.ChainedScheduler(
            [LINEAR(o, start_factor=0.1, total_iters=10), EXPONENTIAL(o, gamma=0.9)]
        ),
        COUNT,
    ),
    "product_of_three": (
        product(warmup(1.0, 12, 0.25), exponential(1.0, 0.5, 15, staircase=True), cosine(0.1, 50)),
        lambda o: torch_schedulers.ChainedScheduler(
            [LINEAR(o, start_factor=0.25, total_iters=12), STEP(o, step_size=15, gamma=0.5), COSINE(o, T_max=50)]
        ),
        50,
    ),
}


def rates(build: Build, count: int) -> list[float]:
    """The optimizer's rate at each of the first ``count`` steps."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SequentialLR calls its own schedulers as it tells others not to
        scheduler = build(optimizer)
        found = []
        for step in range(count):
            if step:
                optimizer.step()
                scheduler.step()
            found.append(float(optimizer.param_groups[0]["lr"]))
    return found


def case(config: dict[str, Any], build: Build, by_torch: int) -> dict[str, Any]:
    """A schedule's rates: PyTorch's, and then what it ends with."""
    found = rates(build, by_torch)
    assert all(math.isfinite(rate) and rate >= 0 for rate in found)
    # The last rate of the product of a cosine with others is the cosine's last, 0.
    last = 0.0 if "CosineDecay" in str(config) else found[-1]
    found += [last] * (COUNT - by_torch)
    return {**config, "by_torch": by_torch, "learning_rates": np.array(found)}


def make() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The learning rate of each schedule at each step."""
    cases = {}
    for name, config in ONE_CYCLE.items():
        count = config["total_steps"]
        cases[name] = case(
            {"class": "OneCycle", "config": config},
            lambda o, config=config: torch_schedulers.OneCycleLR(o, **config, cycle_momentum=False),
            count,
        )
    for name, config in CYCLIC.items():
        cases[name] = case(
            {"class": "Cyclic", "config": config},
            lambda o, config=config: torch_schedulers.CyclicLR(o, **config, cycle_momentum=False),
            COUNT,
        )
    for name, row in OTHERS.items():
        cases[name] = case(*row)
    made_by = f"PyTorch {torch.__version__.split('+')[0]}"
    return {"steps": np.arange(COUNT), "made_by": made_by}, cases
