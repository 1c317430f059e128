"""Tools for testing what is built on the package: gradients against finite differences."""

from tinygrad_dnn.testing.gradients import check_grads

__all__ = ["check_grads"]
