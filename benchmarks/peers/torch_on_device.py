"""PyTorch on a GPU: eagerly, compiled so that CUDA graphs save launches, and a whole step captured as a CUDA graph."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
import work
from torch import nn
from work import LEARNING_RATE, Case

from peers import Round, pytorch

SIDE, NUMBERS = 100, 1000
# As ours: products in float32. Some versions would take TF32 otherwise, which is quicker and less exact.
torch.set_float32_matmul_precision("highest")
torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False


def train(case: Case, how: str) -> Round | None:
    step = _stepping(case, how)
    if step is None:
        return None
    x, y = (torch.from_numpy(array).to(case.device) for array in work.data(case))
    batches = list(zip(x.split(case.batch), y.split(case.batch), strict=True))

    def run() -> None:
        for _ in range(case.epochs):
            for x, y in batches:
                loss = step(x, y)
        loss.item()  # waits for the last step

    return run


def kernels(case: Case, how: str) -> Round | None:
    from peers import profiled

    run = train(case, how)
    return None if run is None else profiled.own_time(run, case.steps * case.epochs, case.device)


def crossover(case: Case, how: str) -> Round | None:
    return None


def launch(case: Case, how: str) -> Round | None:
    call: Callable[[], Any] | None
    if case.variant == "step":
        step = _stepping(case._replace(variant="elu"), how)
        x, y = (torch.from_numpy(array[: case.batch]).to(case.device) for array in work.data(case))
        call = None if step is None else lambda: step(x, y)
    else:
        numbers, square = torch.ones(NUMBERS, device=case.device), torch.ones(SIDE, SIDE, device=case.device)
        calls = {"exp": lambda: torch.exp(numbers), "sum": numbers.sum, "product": lambda: square @ square}
        call = calls[case.variant] if how == "eager" else None
    if call is None:
        return None
    wait = torch.cuda.synchronize if case.device == "cuda" else lambda: None

    def run() -> float:
        wait()
        started = time.perf_counter()
        for _ in range(case.steps):
            call()
        passed = time.perf_counter() - started
        wait()
        return passed * 1e3 / case.steps

    return run


def device_mib() -> float | None:
    return torch.cuda.max_memory_reserved() / 2**20 if torch.cuda.is_initialized() else None


def _stepping(case: Case, how: str) -> Callable[[Any, Any], Any] | None:
    """Return what does a training step on a batch and gives the loss, or None: the processor has no graphs."""
    on_gpu = case.device == "cuda"
    if how == "graph" and not on_gpu:
        return None
    model = pytorch.network(case).to(case.device)
    # What a graph is to do again must keep its counts on the device.
    capturable = on_gpu and how != "eager"
    rule = pytorch.OPTIMIZERS[case.optimizer](
        model.parameters(), lr=LEARNING_RATE, foreach=True, capturable=capturable
    )
    loss_of = nn.CrossEntropyLoss()

    def loss_on(x: torch.Tensor, y: torch.Tensor) -> Any:
        return loss_of(model(x), y)

    forward, update = loss_on, rule.step
    if how == "compiled":
        forward, update = (torch.compile(part, mode="reduce-overhead") for part in (loss_on, rule.step))

    def step(x: torch.Tensor, y: torch.Tensor) -> Any:
        if how == "compiled" and on_gpu:
            torch.compiler.cudagraph_mark_step_begin()
        rule.zero_grad(set_to_none=True)
        loss = forward(x, y)
        loss.backward()
        update()
        return loss.detach()

    return _captured(step, case) if how == "graph" else step


def _captured(step: Callable[[Any, Any], Any], case: Case) -> Callable[[Any, Any], Any]:
    """Return a step that copies its batch to where a graph of the whole step reads it, and launches that."""
    x = torch.zeros(case.batch, case.sizes[0], device=case.device)
    y = torch.zeros(case.batch, dtype=torch.int64, device=case.device)
    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):  # the optimizer's state comes about, and cuBLAS's workspace
        for _ in range(3):
            step(x, y)
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = step(x, y)

    # The graph does not keep the weights alive that it works on: what holds the step does.
    def replay(batch_x: torch.Tensor, batch_y: torch.Tensor, kept: object = step) -> Any:
        x.copy_(batch_x)
        y.copy_(batch_y)
        graph.replay()
        return loss

    return replay
