"""Going over data, many batches at a time: ``Trainer`` has fit, evaluate and predict."""

from tinygrad_dnn.training.trainer import Trainer as Trainer
