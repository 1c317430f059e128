"""PyTorch: the step that its users write, and the same compiled: loss and gradients in one piece, the optimizer too."""

from __future__ import annotations

import itertools
from typing import Any

import torch
import work
from torch import nn
from work import DROPOUT, LEARNING_RATE, Case

from peers import Round

OPTIMIZERS = {"nadam": torch.optim.NAdam, "adam": torch.optim.Adam, "sgd": torch.optim.SGD}


def network(case: Case) -> nn.Sequential:
    """Return the network of a case."""
    selu = case.variant in ("selu", "alpha")
    stack: list[nn.Module] = [nn.BatchNorm1d(case.sizes[0])] if case.variant == "bn" else []
    for fan_in, fan_out in itertools.pairwise(case.sizes[:-1]):
        linear = nn.Linear(fan_in, fan_out)
        nn.init.kaiming_normal_(linear.weight, nonlinearity="linear" if selu else "relu")
        nn.init.zeros_(linear.bias)
        stack += [linear, *([nn.BatchNorm1d(fan_out)] if case.variant == "bn" else []), nn.SELU() if selu else nn.ELU()]
    if case.variant == "alpha":
        stack.append(nn.AlphaDropout(DROPOUT))
    return nn.Sequential(*stack, nn.Linear(*case.sizes[-2:]))


def train(case: Case, how: str) -> Round:
    x, y = (torch.from_numpy(array) for array in work.data(case))
    model = network(case)
    rule = OPTIMIZERS[case.optimizer](model.parameters(), lr=LEARNING_RATE, foreach=True)
    loss_of = nn.CrossEntropyLoss()

    def loss_on(x: torch.Tensor, y: torch.Tensor) -> Any:
        return loss_of(model(x), y)

    forward, update = (torch.compile(loss_on), torch.compile(rule.step)) if how == "compiled" else (loss_on, rule.step)

    def run() -> None:
        for start in range(0, len(x), case.batch):
            rule.zero_grad(set_to_none=True)
            loss = forward(x[start : start + case.batch], y[start : start + case.batch])
            loss.backward()
            update()
            loss.item()

    return run


def predict(case: Case, how: str) -> Round:
    x, _ = (torch.from_numpy(array) for array in work.data(case))
    model = network(case).eval()
    forward = torch.compile(model) if how == "compiled" else model

    def run() -> None:
        with torch.inference_mode():
            for start in range(0, len(x), case.batch):
                forward(x[start : start + case.batch]).numpy()

    return run


def optimizer(case: Case, how: str) -> Round:
    values, slopes = work.arrays()
    weights = [nn.Parameter(torch.from_numpy(value)) for value in values]
    for weight, slope in zip(weights, slopes, strict=True):
        weight.grad = torch.from_numpy(slope)
    rule = OPTIMIZERS[case.optimizer](weights, lr=LEARNING_RATE, foreach=True)
    update = torch.compile(rule.step) if how == "compiled" else rule.step

    def run() -> None:
        for _ in range(case.steps):
            update()

    return run
