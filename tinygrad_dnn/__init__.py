"""tinygrad_dnn: a small autograd framework whose parts are plugins, on NumPy or CuPy arrays.

Below the layers the names are PyTorch's and NumPy's (``Tensor``, ``backward``, ``no_grad``, ``exp``, ``where``);
from the layers up they are Keras 3's (``models.Sequential``, ``layers.Dense``, ``compile``, ``fit``).
"""

import importlib
from typing import TYPE_CHECKING, Any

from tinygrad_dnn import autograd, backend, debugging, ops
from tinygrad_dnn.autograd import grad, value_and_grad
from tinygrad_dnn.debugging import debug_nans
from tinygrad_dnn.graph import enable_grad, is_grad_enabled, no_grad
from tinygrad_dnn.ops import *  # noqa: F403  # NumPy's names: exp, where, sum, zeros_like ...
from tinygrad_dnn.ops import random
from tinygrad_dnn.tensor import Tensor, Variable, from_dlpack, tensor

__version__ = "0.1.0"

if TYPE_CHECKING:
    from tinygrad_dnn import activations as activations
    from tinygrad_dnn import callbacks as callbacks
    from tinygrad_dnn import constraints as constraints
    from tinygrad_dnn import datasets as datasets
    from tinygrad_dnn import diagnostics as diagnostics
    from tinygrad_dnn import export as export
    from tinygrad_dnn import initializers as initializers
    from tinygrad_dnn import interchange as interchange
    from tinygrad_dnn import layers as layers
    from tinygrad_dnn import losses as losses
    from tinygrad_dnn import metrics as metrics
    from tinygrad_dnn import models as models
    from tinygrad_dnn import optimizers as optimizers
    from tinygrad_dnn import plugins as plugins
    from tinygrad_dnn import precision as precision
    from tinygrad_dnn import registry as registry
    from tinygrad_dnn import regularizers as regularizers
    from tinygrad_dnn import saving as saving
    from tinygrad_dnn import schedulers as schedulers
    from tinygrad_dnn import testing as testing
    from tinygrad_dnn import utils as utils
    from tinygrad_dnn.diagnostics import lr_finder as lr_finder
    from tinygrad_dnn.diagnostics import mc_dropout as mc_dropout
    from tinygrad_dnn.diagnostics import minimize as minimize
    from tinygrad_dnn.fusing import fuse as fuse
    from tinygrad_dnn.hookspecs import hookimpl as hookimpl
    from tinygrad_dnn.interchange import from_keras as from_keras
    from tinygrad_dnn.interchange import to_keras as to_keras
    from tinygrad_dnn.jit import jit as jit
    from tinygrad_dnn.layers import Input as Input
    from tinygrad_dnn.models import Model as Model
    from tinygrad_dnn.models import Sequential as Sequential
    from tinygrad_dnn.precision import mixed_precision as mixed_precision

# Loaded when first asked for, so that importing the package stays cheap and discovers no plugin.
_SUBMODULES = frozenset(
    "activations callbacks checks comparing constraints data datasets diagnostics export fusing hookspecs initializers "
    "interchange interruption jit layers losses metrics models nested objectives optimizers plugins precision "
    "registration registry regularizers saving schedulers testing utils".split()
)
_ELSEWHERE = {
    "from_keras": "tinygrad_dnn.interchange",
    "fuse": "tinygrad_dnn.fusing",
    "hookimpl": "tinygrad_dnn.hookspecs",
    "Input": "tinygrad_dnn.layers",
    "Layer": "tinygrad_dnn.layers",
    "Loss": "tinygrad_dnn.losses",
    "Metric": "tinygrad_dnn.metrics",
    "Optimizer": "tinygrad_dnn.optimizers",
    "lr_finder": "tinygrad_dnn.diagnostics",
    "mc_dropout": "tinygrad_dnn.diagnostics",
    "minimize": "tinygrad_dnn.diagnostics",
    "mixed_precision": "tinygrad_dnn.precision",
    "Model": "tinygrad_dnn.models",
    "Sequential": "tinygrad_dnn.models",
    "to_keras": "tinygrad_dnn.interchange",
}

__all__ = [
    "Tensor",
    "Variable",
    "autograd",
    "backend",
    "debug_nans",
    "debugging",
    "enable_grad",
    "from_dlpack",
    "grad",
    "is_grad_enabled",
    "no_grad",
    "ops",
    "random",
    "tensor",
    "value_and_grad",
    *ops.__all__,
    *_SUBMODULES,
    *_ELSEWHERE,
]


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"tinygrad_dnn.{name}")
    if name in _ELSEWHERE:
        value = globals()[name] = getattr(importlib.import_module(_ELSEWHERE[name]), name)
        return value
    raise AttributeError(f"module 'tinygrad_dnn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
