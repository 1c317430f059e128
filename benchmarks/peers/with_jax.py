"""JAX: one function for the whole step, compiled by jax.jit, which may overwrite the old parameters and state."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import work
from work import DROPOUT, LEARNING_RATE, Case

from peers import Round

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7
MOMENTUM, VARIANCE_EPSILON = 0.99, 1e-3
SELU_LIMIT = -1.0507009873554805 * 1.6732632423543772  # what SELU tends to, which alpha dropout sets values to


def network(case: Case) -> tuple[Any, Any]:
    """Return the parameters, and the moving means and variances of batch normalisation."""
    rng = np.random.default_rng(1)
    gain = 1 if case.variant in ("selu", "alpha") else 2
    layers = [
        {
            "kernel": jnp.asarray(rng.normal(0, (gain / fan_in) ** 0.5, (fan_in, fan_out)), jnp.float32),
            "bias": jnp.zeros(fan_out),
        }
        for fan_in, fan_out in itertools.pairwise(case.sizes)
    ]
    normalized = case.sizes[:-1] if case.variant == "bn" else ()
    scales = [{"gamma": jnp.ones(size), "beta": jnp.zeros(size)} for size in normalized]
    moving = [{"mean": jnp.zeros(size), "variance": jnp.ones(size)} for size in normalized]
    return {"layers": layers, "scales": scales}, moving


def forward(variant: str, params: Any, moving: Any, x: Any, key: Any, training: bool) -> tuple[Any, Any]:
    """Return the logits and the new moving means and variances."""
    activation = jax.nn.selu if variant in ("selu", "alpha") else jax.nn.elu
    moved = []

    def normalized(x: Any, place: int) -> Any:
        used = {"mean": x.mean(0), "variance": x.var(0)} if training else moving[place]
        moved.append(jax.tree.map(lambda old, new: MOMENTUM * old + (1 - MOMENTUM) * new, moving[place], used))
        scale = params["scales"][place]
        return (x - used["mean"]) * jax.lax.rsqrt(used["variance"] + VARIANCE_EPSILON) * scale["gamma"] + scale["beta"]

    if variant == "bn":
        x = normalized(x, 0)
    for number, layer in enumerate(params["layers"][:-1], 1):
        x = x @ layer["kernel"] + layer["bias"]
        x = activation(normalized(x, number) if variant == "bn" else x)
    if variant == "alpha" and training:
        kept = jax.random.bernoulli(key, 1 - DROPOUT, x.shape)
        scale = ((1 - DROPOUT) * (1 + DROPOUT * SELU_LIMIT**2)) ** -0.5
        x = jnp.where(kept, x, SELU_LIMIT) * scale - scale * SELU_LIMIT * DROPOUT
    return x @ params["layers"][-1]["kernel"] + params["layers"][-1]["bias"], moved


def start(params: Any) -> dict[str, Any]:
    """Return an optimizer's state for parameters."""
    return {
        "step": jnp.zeros(()),
        "product": jnp.ones(()),
        "m": jax.tree.map(jnp.zeros_like, params),
        "v": jax.tree.map(jnp.zeros_like, params),
    }


def updated(name: str, params: Any, grads: Any, state: Any) -> tuple[Any, Any]:
    """Return the new parameters and state; Nadam is Keras's, with a momentum that grows."""
    if name == "sgd":
        return jax.tree.map(lambda p, g: p - LEARNING_RATE * g, params, grads), state
    step = state["step"] + 1
    m = jax.tree.map(lambda m, g: BETA_1 * m + (1 - BETA_1) * g, state["m"], grads)
    v = jax.tree.map(lambda v, g: BETA_2 * v + (1 - BETA_2) * g * g, state["v"], grads)
    product = state["product"]
    if name == "nadam":
        now, coming = (BETA_1 * (1 - 0.5 * 0.96**t) for t in (step, step + 1))
        product = product * now
        of_m, of_grad = coming / (1 - product * coming), (1 - now) / (1 - product)
    else:
        of_m, of_grad = 1 / (1 - BETA_1**step), 0.0
    of_v = 1 / (1 - BETA_2**step)

    def moved(p: Any, m: Any, v: Any, g: Any) -> Any:
        direction = of_m * m + of_grad * g if name == "nadam" else of_m * m
        return p - LEARNING_RATE * direction / (jnp.sqrt(v * of_v) + EPSILON)

    return jax.tree.map(moved, params, m, v, grads), {"step": step, "product": product, "m": m, "v": v}


def stepping(case: Case) -> tuple[Any, Any]:
    """Return the compiled step, which takes and gives what it holds, and what it holds at first."""
    params, moving = network(case)

    def loss_on(params: Any, moving: Any, x: Any, y: Any, key: Any) -> Any:
        logits, moved = forward(case.variant, params, moving, x, key, training=True)
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1).mean(), moved

    @partial(jax.jit, donate_argnums=0)
    def step(held: Any, x: Any, y: Any) -> Any:
        params, moving, state, key = held
        key, mine = jax.random.split(key)
        (loss, moved), grads = jax.value_and_grad(loss_on, has_aux=True)(params, moving, x, y, mine)
        params, state = updated(case.optimizer, params, grads, state)
        return (params, moved, state, key), loss

    return step, (params, moving, start(params), jax.random.key(0))


def train(case: Case, how: str) -> Round:
    step, first = stepping(case)
    held = [first]
    batches = batches_of(case)

    def run() -> None:
        for x, y in batches:
            held[0], loss = step(held[0], x, y)
            loss.block_until_ready()

    return run


def batches_of(case: Case) -> list[tuple[Any, Any]]:
    """Return a round's batches: slicing an array of JAX's would cost each step a call."""
    x, y = work.data(case)
    starts = range(0, len(x), case.batch)
    return [tuple(jnp.asarray(a[start : start + case.batch]) for a in (x, y)) for start in starts]


def predict(case: Case, how: str) -> Round:
    params, moving = network(case)
    step: Callable[..., Any] = jax.jit(lambda x: forward(case.variant, params, moving, x, None, training=False)[0])
    batches = batches_of(case)

    def run() -> None:
        for x, _ in batches:
            np.asarray(step(x))

    return run


def optimizer(case: Case, how: str) -> Round:
    params, grads = ([jnp.asarray(array) for array in arrays] for arrays in work.arrays())
    held = [(params, start(params))]
    step = jax.jit(lambda held, grads: updated(case.optimizer, held[0], grads, held[1]), donate_argnums=0)

    def run() -> None:
        for _ in range(case.steps):
            held[0] = step(held[0], grads)
            jax.block_until_ready(held[0])

    return run
