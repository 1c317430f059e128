"""The GPU lowering: a program as CUDA C kernels, matrix products and what is left to primitives, for any device."""

from tinygrad_dnn.jit.cuda import lowering

__all__ = ["lowering"]
