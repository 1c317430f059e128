"""How long the kernels of a round take, by PyTorch's profiler, which sees those of all libraries in its process."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile

from peers import Round


def own_time(run: Callable[[], object], steps: int, device: str) -> Round:
    """Return what runs a round and gives the milliseconds a step that its kernels took, waiting between them left out.

    Args:
        run: A round, which waits for its last step.
        steps: How many steps it has.
        device: "cuda", or "cpu", where PyTorch's own operations count as kernels.
    """
    on_gpu = device == "cuda"

    def measured() -> float:
        # Later profiles of a process find the profiler at work; the first one, in the warm-up rounds, starts it.
        with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as found:
            run()
            if on_gpu:
                torch.cuda.synchronize()
        events = found.key_averages()
        microseconds = sum(each.self_device_time_total if on_gpu else each.self_cpu_time_total for each in events)
        return microseconds / 1e3 / steps

    return measured
