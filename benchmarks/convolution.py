"""Time Conv2D forward and backward beside PyTorch's: 32 x 32 x 32 -> 64 channels, 3 x 3, batch 32, float32.

Backward takes the gradients of the images, the kernel and the bias. Each contestant lives in a process of its own, with
as many threads, and they take turns step by step, so that all see the same drifts of the machine's speed: what to read
is the median of the ratios of neighbouring steps. Nearly all of the time is matrix products: the kernels that the BLAS
chose for this processor are shown, and where OPENBLAS_CORETYPE names others, ONEDNN_MAX_CPU_ISA (as AVX2 for Haswell)
binds PyTorch to the same.

  python benchmarks/convolution.py --peer-python /path/to/venv/bin/python     an environment that has PyTorch
"""

from __future__ import annotations

import argparse
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


PASSES = ("forward", "both")
CONTESTANTS = {"ours": ours, "torch": torch, "torch_last": torch_last}


def serve(name: str) -> None:
    """Run the pass that each line of the input names, and write its milliseconds."""
    passes = dict(zip(PASSES, CONTESTANTS[name](), strict=True))
    for line in sys.stdin:
        started = time.perf_counter()
        passes[line.strip()]()
        print((time.perf_counter() - started) * 1e3, flush=True)


def ask(worker: subprocess.Popen[str], key: str) -> float:
    """Let a contestant run one pass and return its milliseconds."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(f"{key}\n")
    worker.stdin.flush()
    return float(worker.stdout.readline() or "nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100, help="steps of each contestant (default 100)")
    parser.add_argument("--threads", type=int, default=1, help="threads of each contestant (default 1)")
    parser.add_argument("--peer-python", default=sys.executable, help="the Python for PyTorch (default: this one)")
    parser.add_argument("--contestant", choices=CONTESTANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contestant:
        serve(options.contestant)
        return
    threads = {key: str(options.threads) for key in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    workers = {
        name: subprocess.Popen(
            [sys.executable if name == "ours" else options.peer_python, __file__, "--contestant", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **threads},
        )
        for name in CONTESTANTS
    }
    try:
        present = {name: worker for name, worker in workers.items() if ask(worker, "both") >= 0}
        for name in workers.keys() - present.keys():
            print(f"{name}: not measured; its error stands above")
        times: dict[tuple[str, str], list[float]] = {(name, key): [] for name in present for key in PASSES}
        for _ in range(options.steps):
            for key in PASSES:
                for name, worker in present.items():
                    times[name, key].append(ask(worker, key))
    finally:
        for worker in workers.values():
            worker.kill()
            worker.wait()
    report(times)


def report(times: dict[tuple[str, str], list[float]]) -> None:
    """Print times and ratios."""
    import threadpoolctl

    libraries = threadpoolctl.threadpool_info()
    print("BLAS:", ", ".join(f"{i['internal_api']} {i['version']} {i.get('architecture', '')}" for i in libraries))
    for (name, key), found in times.items():
        print(f"{name:10} {key:8} {statistics.median(found):7.2f} ms (at best {min(found):.2f})")
    for (name, key), found in times.items():
        if name != "ours" and ("ours", key) in times:
            ratios = sorted(a / b for a, b in zip(times["ours", key], found, strict=True))
            low, high = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
            best = min(times["ours", key]) / min(found)
            print(
                f"ours / {name}, {key}: {statistics.median(ratios):.2f} "
                f"(half of them from {low:.2f} to {high:.2f}; best to best {best:.2f})"
            )


if __name__ == "__main__":
    main()
