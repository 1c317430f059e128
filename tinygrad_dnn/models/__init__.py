"""Models: ``Sequential`` stacks layers, ``Model`` is a graph of them or a subclass, ``Ensemble`` averages several."""

from tinygrad_dnn.models.base import Model
from tinygrad_dnn.models.cloning import clone_model, remade
from tinygrad_dnn.models.ensemble import Ensemble
from tinygrad_dnn.models.graph import LayerGraph
from tinygrad_dnn.models.sequential import Sequential

__all__ = ["Ensemble", "LayerGraph", "Model", "Sequential", "clone_model", "remade"]
