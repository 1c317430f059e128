"""JAX on a GPU: the compiled step of ``with_jax``, with the data on the device and products in float32."""

from __future__ import annotations

import os
import time
from typing import Any

from work import Case

from peers import Round

SIDE, NUMBERS = 100, 1000


def train(case: Case, how: str) -> Round:
    jax, with_jax = _libraries(case)
    step, first = with_jax.stepping(case)
    held = [first]
    batches = with_jax.batches_of(case)

    def run() -> None:
        for _ in range(case.epochs):
            for x, y in batches:
                held[0], loss = step(held[0], x, y)
        jax.block_until_ready((held[0], loss))

    return run


def launch(case: Case, how: str) -> Round:
    jax, with_jax = _libraries(case)
    if case.variant == "step":
        step, first = with_jax.stepping(case._replace(variant="elu"))
        held = [first]
        (x, y), *_ = with_jax.batches_of(case)

        def call() -> Any:
            held[0], loss = step(held[0], x, y)
            return loss

    else:
        numbers, square = jax.numpy.ones(NUMBERS), jax.numpy.ones((SIDE, SIDE))
        call = {
            "exp": lambda: jax.numpy.exp(numbers), "sum": numbers.sum, "product": lambda: square @ square
        }[case.variant]  # fmt: skip

    def run() -> float:
        jax.block_until_ready(call())
        started = time.perf_counter()
        for _ in range(case.steps):
            last = call()
        passed = time.perf_counter() - started
        jax.block_until_ready(last)
        return passed * 1e3 / case.steps

    return run


def kernels(case: Case, how: str) -> Round | None:
    return None


crossover = kernels


def device_mib() -> float | None:
    import jax

    told = jax.devices()[0].memory_stats()
    return told["peak_bytes_in_use"] / 2**20 if told else None


def _libraries(case: Case) -> tuple[Any, Any]:
    """Import JAX for a device, where it is to take memory as it needs it, and what the step is made with."""
    os.environ["JAX_PLATFORMS"] = case.device
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    import jax

    jax.config.update("jax_default_matmul_precision", "float32")
    from peers import with_jax

    return jax, with_jax
