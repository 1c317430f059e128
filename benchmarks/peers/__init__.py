"""Who is measured: each contestant's library, and the module here that sets the work up in it.

Such a module has a function for each kind of work, ``train``, ``predict`` and ``optimizer``. It takes a ``Case`` and
the contestant's ``how``, and returns what runs a round of the case's steps and waits for the last; what is returned by
that, if not None, are milliseconds a step to take instead of the clock's. It returns None for work it does not know.
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
