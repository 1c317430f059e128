"""Who is measured: each contestant's library, and the module here that sets the work up in it.

Such a module has a function for each kind of work: ``train``, ``predict`` and ``optimizer``, and on a GPU ``train``,
``launch``, ``kernels`` and ``crossover``. It takes a ``Case`` and the contestant's ``how``, and returns what runs a
round of the case's steps and waits for the last; what is returned by that, if not None, are milliseconds a step to take
instead of the clock's. It returns None for work it does not know. ``device_mib``, where there is one, tells the most
memory of the device that was taken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

Round = Callable[[], float | None]


class Contestant(NamedTuple):
    """One way to do the work.

    Attributes:
        title: What the tables call it.
        module: The module here.
        how: Which of the module's ways.
        library: What must be installed for it.
    """

    title: str
    module: str
    how: str
    library: str

    @property
    def is_ours(self) -> bool:
        return self.library == "tinygrad_dnn"


# On the processor: what bench.py measures.
CONTESTANTS = {
    "ours": Contestant("ours, fit, native", "ours", "fit", "tinygrad_dnn"),
    "ours_numpy": Contestant("ours, fit, NumPy", "ours", "numpy", "tinygrad_dnn"),
    "ours_eager": Contestant("ours, fit, eager", "ours", "eager", "tinygrad_dnn"),
    "ours_step": Contestant("ours, step, native", "ours", "step", "tinygrad_dnn"),
    "torch": Contestant("PyTorch eager", "pytorch", "eager", "torch"),
    "torch_compile": Contestant("torch.compile", "pytorch", "compiled", "torch"),
    "jax": Contestant("jax.jit step", "with_jax", "jit", "jax"),
    "keras_jax": Contestant("Keras on JAX, fit", "with_keras", "jax", "keras"),
    "thinc": Contestant("Thinc (ReLU, Adam)", "with_thinc", "eager", "thinc"),
    "roofline": Contestant("roofline", "roofline", "", "numpy"),
}
# On a GPU, and ours also beside it on the processor: what gpu.py measures.
ON_DEVICE = {
    "ours": Contestant("ours, fit, graph", "ours_on_device", "graph", "tinygrad_dnn"),
    "ours_replay": Contestant("ours, fit, replay", "ours_on_device", "replay", "tinygrad_dnn"),
    "ours_eager": Contestant("ours, fit, eager", "ours_on_device", "eager", "tinygrad_dnn"),
    "ours_step": Contestant("ours, step, graph", "ours_on_device", "step", "tinygrad_dnn"),
    "ours_cpu": Contestant("ours, fit, processor", "ours_on_device", "cpu", "tinygrad_dnn"),
    "torch": Contestant("PyTorch eager", "torch_on_device", "eager", "torch"),
    "torch_compile": Contestant("torch.compile", "torch_on_device", "compiled", "torch"),
    "torch_graph": Contestant("PyTorch, CUDA graph", "torch_on_device", "graph", "torch"),
    "jax": Contestant("jax.jit step", "jax_on_device", "jit", "jax"),
}


def taking_part(device: str) -> dict[str, Contestant]:
    """Return the contestants of a case, by its device."""
    return ON_DEVICE if device else CONTESTANTS
