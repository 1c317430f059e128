"""Tools for testing what is built on the package: gradients, and the conformance kit for every kind of plugin."""

from tinygrad_dnn.testing import conformance
from tinygrad_dnn.testing.conformance.public import (
    check_activation,
    check_callback,
    check_constraint,
    check_initializer,
    check_layer,
    check_loss,
    check_metric,
    check_optimizer,
    check_regularizer,
    check_scheduler,
)
from tinygrad_dnn.testing.gradients import check_grads
from tinygrad_dnn.testing.parametrizing import parametrize_with_checks

__all__ = [
    "check_activation",
    "check_callback",
    "check_constraint",
    "check_grads",
    "check_initializer",
    "check_layer",
    "check_loss",
    "check_metric",
    "check_optimizer",
    "check_regularizer",
    "check_scheduler",
    "conformance",
    "parametrize_with_checks",
]
