"""The compiler: a function of Tensors is recorded once as a program, which is then run instead of the function.

The module itself can be called: ``td.jit(function)`` is ``td.jit.jit(function)``.
"""

import sys
from types import ModuleType
from typing import Any

from tinygrad_dnn.debugging import users_place
from tinygrad_dnn.jit.agreeing import agree
from tinygrad_dnn.jit.checking import plainly
from tinygrad_dnn.jit.compiling import Jitted, has_llvmlite, jit
from tinygrad_dnn.jit.interpret import Interpreted
from tinygrad_dnn.jit.program import Instruction, Program, Value
from tinygrad_dnn.jit.recording import CannotRecordError, Given, Output, Recording, Settled, record
from tinygrad_dnn.jit.replay import Replay
from tinygrad_dnn.jit.simplifying import simplify
from tinygrad_dnn.jit.watch import Watch
from tinygrad_dnn.jit.whole import Whole

__all__ = [
    "CannotRecordError",
    "Given",
    "Instruction",
    "Interpreted",
    "Jitted",
    "Output",
    "Program",
    "Recording",
    "Replay",
    "Settled",
    "Value",
    "Watch",
    "Whole",
    "agree",
    "has_llvmlite",
    "jit",
    "plainly",
    "record",
    "simplify",
    "users_place",
]


class _CallableModule(ModuleType):
    """A module that is a decorator as well."""

    def __call__(self, function: Any, native: bool = False) -> Jitted:
        return jit(function, native)


sys.modules[__name__].__class__ = _CallableModule
