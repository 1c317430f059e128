"""Networks of PyTorch's: their state dicts, inputs, and what they give at inference."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

SAMPLES = 5


def make() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return a case for each network."""
    torch.manual_seed(0)
    nn = torch.nn
    stack = nn.Sequential(nn.Linear(6, 8), nn.ELU(), nn.Linear(8, 7), nn.ELU(), nn.Linear(7, 3))
    normalized = nn.Sequential(nn.Linear(6, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    layers = nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.PReLU(), nn.Linear(8, 5), nn.PReLU(5))
    images = nn.Sequential(
        nn.Conv2d(3, 4, (3, 2), padding="valid"), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 5, 2, stride=2), nn.PReLU(5), nn.Flatten(), nn.Linear(30, 6), nn.ELU(), nn.Linear(6, 2),
    )  # fmt: skip
    cases = {
        "stack": case(stack, (6,)),
        "normalized": case(normalized, (6,)),
        "layers": case(layers, (6,)),
        "images": case(images, (3, 11, 14)),
    }
    return {"made_by": f"torch {torch.__version__}"}, cases


def case(network: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    """Return a network's state after some batches, inputs and outputs."""
    network.train()
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape)
    for _ in range(3):
        network(torch.randn(16, *shape) + 0.5)
    network.eval()
    x = torch.randn(SAMPLES, *shape)
    with torch.no_grad():
        y = network(x)
    state = {f"state/{name}": np.asarray(value) for name, value in network.state_dict().items()}
    return {"x": x.numpy(), "y": y.numpy(), **state}
