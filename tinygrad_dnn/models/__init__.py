"""Models: ``Sequential`` stacks layers, ``Model`` is a graph of them or a subclass, ``Ensemble`` averages several."""

from tinygrad_dnn.models.base import Model
from tinygrad_dnn.models.cloning import clone_model, remade
from tinygrad_dnn.models.ensemble import Ensemble
from tinygrad_dnn.models.graph import LayerGraph
from tinygrad_dnn.models.inspecting import FileContents, inspect
from tinygrad_dnn.models.origins import FileWarning
from tinygrad_dnn.models.saving import load_model, provenance
from tinygrad_dnn.models.sequential import Sequential
from tinygrad_dnn.saving.errors import FileError

__all__ = [
    "Ensemble", "FileContents", "FileError", "FileWarning", "LayerGraph", "Model", "Sequential", "clone_model",
    "inspect", "load_model", "provenance", "remade",
]
