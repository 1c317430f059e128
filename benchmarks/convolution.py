"""Time Conv2D forward and backward beside PyTorch's: 32 x 32 x 32 -> 64 channels, 3 x 3, batch 32, float32.

Backward takes the gradients of the images, the kernel and the bias. Each contestant runs in a process of its own, in
turn, round after round, with as many threads; ratios are taken round by round, so that they hold on a machine whose
speed drifts. Nearly all of the time is matrix products: the kernels that the BLAS chose for this processor are shown,
and where OPENBLAS_CORETYPE names others, ONEDNN_MAX_CPU_ISA (as AVX2 for Haswell) binds PyTorch to the same.

  python benchmarks/convolution.py --peer-python /path/to/venv/bin/python     an environment that has PyTorch
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

BATCH, SIDE, CHANNELS, FILTERS, KERNEL = 32, 32, 32, 64, 3


def data() -> tuple[np.ndarray, np.ndarray]:
    """Return images and the gradient of the output, channels last."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((BATCH, SIDE, SIDE, CHANNELS), dtype=np.float32)
    return x, rng.standard_normal((BATCH, SIDE, SIDE, FILTERS), dtype=np.float32)


def ours() -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return the forward pass alone, and forward and backward."""
    import tinygrad_dnn as td

    images, slope = (td.tensor(a) for a in data())
    images.requires_grad_()
    layer = td.layers.Conv2D(FILTERS, KERNEL, padding="same")
    layer(images)

    def forward() -> None:
        with td.no_grad():
            layer(images)

    def both() -> None:
        td.grad(layer(images), [images, *layer.weights], slope)

    return forward, both


def torch() -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return the same of PyTorch, in its own order of axes."""
    return _torch(channels_last=False)


def torch_last() -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return the same of PyTorch with the channels last in memory."""
    return _torch(channels_last=True)


def _torch(channels_last: bool) -> tuple[Callable[[], Any], Callable[[], Any]]:
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    order = torch.channels_last if channels_last else torch.contiguous_format
    images, slope = (torch.from_numpy(a).permute(0, 3, 1, 2).contiguous(memory_format=order) for a in data())
    images.requires_grad_()
    layer = torch.nn.Conv2d(CHANNELS, FILTERS, KERNEL, padding="same").to(memory_format=order)

    def forward() -> None:
        with torch.no_grad():
            layer(images)

    def both() -> None:
        torch.autograd.grad(layer(images), [images, *layer.parameters()], slope)

    return forward, both


CONTESTANTS = {"ours": ours, "torch": torch, "torch_last": torch_last}


def measure(name: str, steps: int) -> dict[str, Any]:
    """Return the medians of both passes in milliseconds, and what the BLAS is."""
    found: dict[str, Any] = {}
    for key, step in zip(("forward", "both"), CONTESTANTS[name](), strict=True):
        times = []
        for _ in range(3 + steps):
            started = time.perf_counter()
            step()
            times.append((time.perf_counter() - started) * 1e3)
        found[key] = statistics.median(times[3:])
    if name == "ours":
        import threadpoolctl

        libraries = threadpoolctl.threadpool_info()
        found["blas"] = [f"{i['internal_api']} {i['version']} {i.get('architecture', '')}" for i in libraries]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20, help="steps a round (default 20)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds (default 7)")
    parser.add_argument("--threads", type=int, default=1, help="threads of each contestant (default 1)")
    parser.add_argument("--peer-python", default=sys.executable, help="the Python for PyTorch (default: this one)")
    parser.add_argument("--contestant", choices=CONTESTANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contestant:
        print(json.dumps(measure(options.contestant, options.steps)))
        return
    threads = {key: str(options.threads) for key in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTESTANTS}
    for _ in range(options.rounds):
        for name in list(found):
            python = sys.executable if name == "ours" else options.peer_python
            command = [python, __file__, "--contestant", name, "--steps", str(options.steps)]
            run = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **threads})
            if run.returncode:
                print(f"{name}: not measured ({run.stderr.strip().splitlines()[-1]})")
                del found[name]
            else:
                found[name].append(json.loads(run.stdout))
    report(found)


def report(found: dict[str, list[dict[str, Any]]]) -> None:
    """Print times and ratios."""
    for name, rounds in found.items():
        if "blas" in rounds[0]:
            print(f"BLAS of {name}: {', '.join(rounds[0]['blas'])}")
        for key in ("forward", "both"):
            times = [each[key] for each in rounds]
            print(f"{name:10} {key:8} {statistics.median(times):7.2f} ms (from {min(times):.2f} to {max(times):.2f})")
    for peer in found:
        if peer != "ours" and "ours" in found:
            ratios = [a["both"] / b["both"] for a, b in zip(found["ours"], found[peer], strict=True)]
            low, high = min(ratios), max(ratios)
            print(f"ours / {peer}, both: {statistics.median(ratios):.2f} (from {low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
