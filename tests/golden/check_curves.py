"""Checks the golden learning curves against plain PyTorch code, written from the formulas without Keras."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import recipe
import storage
import torch
from make_curves import SAMPLE


class Network:
    """The recipe's network as lists of weights: ``weights`` are those that Nadam moves."""

    def __init__(self, variant: str, dtype: torch.dtype) -> None:
        self.part = recipe.VARIANTS[variant]
        stored = iter(torch.tensor(array).to(dtype) for array in recipe.initial_weights(variant))
        self.weights: list[torch.Tensor] = []
        self.normalizations: list[list[torch.Tensor]] = []
        self.kernels: list[list[torch.Tensor]] = []
        for layer in range(recipe.DEPTH + 1):
            if layer == 0:
                self.take_normalization(stored)
            self.kernels.append([next(stored).requires_grad_() for _ in ("kernel", "bias")])
            self.weights += self.kernels[-1]
            if layer < recipe.DEPTH:
                self.take_normalization(stored)

    def take_normalization(self, stored: Iterator[torch.Tensor]) -> None:
        """Take gamma and beta, and leave the moving statistics, which training does not read."""
        if self.part.batch_normalization:
            gamma, beta, _, _ = (next(stored) for _ in range(4))
            self.normalizations.append([gamma.requires_grad_(), beta.requires_grad_()])
            self.weights += self.normalizations[-1]

    def normalize(self, x: torch.Tensor, index: int) -> torch.Tensor:
        """Batch normalisation number ``index``, in training."""
        if not self.part.batch_normalization:
            return x
        gamma, beta = self.normalizations[index]
        centred = x - x.mean(0)
        return centred / torch.sqrt((centred**2).mean(0) + 1e-3) * gamma + beta

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """The output for a batch of flat images."""
        activation = getattr(torch.nn.functional, self.part.activation)
        x = self.normalize(x, 0)
        for index, (kernel, bias) in enumerate(self.kernels[:-1]):
            x = activation(self.normalize(x @ kernel + bias, index + 1))
        kernel, bias = self.kernels[-1]
        return x @ kernel + bias


class Nadam:
    """Nadam as Keras defines it, with beta_1 .9, beta_2 .999 and epsilon 1e-7."""

    def __init__(self, weights: list[torch.Tensor], learning_rate: float) -> None:
        self.weights, self.learning_rate = weights, learning_rate
        self.m = [torch.zeros_like(weight) for weight in weights]
        self.v = [torch.zeros_like(weight) for weight in weights]
        self.step, self.product = 0, 1.0

    @torch.no_grad()
    def update(self, gradients: tuple[torch.Tensor, ...]) -> None:
        """Move every weight by one step."""
        self.step += 1
        now, following = (0.9 * (1 - 0.5 * 0.96**t) for t in (self.step, self.step + 1))
        self.product *= now
        for weight, m, v, gradient in zip(self.weights, self.m, self.v, gradients, strict=True):
            m.mul_(0.9).add_(0.1 * gradient)
            v.mul_(0.999).add_(0.001 * gradient**2)
            m_hat = following * m / (1 - self.product * following) + (1 - now) * gradient / (1 - self.product)
            v_hat = v / (1 - 0.999**self.step)
            weight -= self.learning_rate * m_hat / (torch.sqrt(v_hat) + 1e-7)


def curve(variant: str, dtype: torch.dtype, x_train: np.ndarray, y_train: np.ndarray) -> np.ndarray:
    """The losses of the recipe's steps."""
    x = torch.tensor(recipe.inputs(variant, x_train)[0]).to(dtype).reshape(len(x_train), -1)
    y = torch.tensor(y_train.astype(np.int64))
    network = Network(variant, dtype)
    optimizer = Nadam(network.weights, recipe.VARIANTS[variant].learning_rate)
    losses = []
    for step in range(recipe.STEPS):
        rows = recipe.batch_indices(step, len(x))
        loss = torch.nn.functional.cross_entropy(network.logits(x[rows]), y[rows])
        losses.append(loss.item())
        optimizer.update(torch.autograd.grad(loss, network.weights))
    return np.array(losses)


def main() -> None:
    """Print the largest difference from each golden curve."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    golden = storage.load("curves")
    with np.load(SAMPLE, allow_pickle=False) as sample:
        x_train, y_train = sample["x_train"], sample["y_train"]
    for name, case in golden.cases.items():
        losses = curve(case["variant"], getattr(torch, case["dtype"]), x_train, y_train)
        print(f"{name:15} largest difference {np.abs(losses - case['losses']).max():.1e}")


if __name__ == "__main__":
    main()
