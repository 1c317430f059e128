"""The native lowering: a program as machine code, which llvmlite makes of loops, with NumPy's own BLAS for products."""

from tinygrad_dnn.jit.native.lowering import lower
from tinygrad_dnn.jit.native.run import Run

__all__ = ["Run", "lower"]
