"""What shows how a model or an optimizer behaves: paths of optimizers, a learning rate to begin with, uncertainty."""

from tinygrad_dnn.diagnostics.descent import Descent, minimize
from tinygrad_dnn.diagnostics.learning_rate import LearningRateCurve, lr_finder
from tinygrad_dnn.diagnostics.uncertainty import Uncertainty, mc_dropout

__all__ = ["Descent", "LearningRateCurve", "Uncertainty", "lr_finder", "mc_dropout", "minimize"]
