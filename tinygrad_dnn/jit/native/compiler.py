"""Compiling: kernels' text turned into machine code by LLVM, once for equal texts in a process."""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Iterable
from typing import Any

from tinygrad_dnn.jit.native import parallel
from tinygrad_dnn.jit.native.kernel import LONG_SUM, LOOP, NAME, Kernel

# What runs a list of (function, arguments, low, high), and the loop over a stack of matrix products. A function for
# products takes CBLAS's arguments, whose sizes are 64 bits wide in NumPy's library.
_RUNTIME = """
define void @run_list(ptr %table, ptr %records, i64 %count) {
entry:
  %some = icmp slt i64 0, %count
  br i1 %some, label %next, label %done
next:
  %i = phi i64 [ 0, %entry ], [ %following, %next ]
  %at = mul i64 %i, 4
  %a0 = getelementptr i64, ptr %records, i64 %at
  %a1 = getelementptr i64, ptr %a0, i64 1
  %a2 = getelementptr i64, ptr %a0, i64 2
  %a3 = getelementptr i64, ptr %a0, i64 3
  %function = load ptr, ptr %a0
  %arguments = load ptr, ptr %a1
  %lo = load i64, ptr %a2
  %hi = load i64, ptr %a3
  call void %function(ptr %table, ptr %arguments, i64 %lo, i64 %hi)
  %following = add i64 %i, 1
  %more = icmp slt i64 %following, %count
  br i1 %more, label %next, label %done
done:
  ret void
}
"""

# The loop's range are the products of a stack (0), or of one product the rows (1) or the columns (2) of the result.
_PRODUCTS = """
define void @products_<kind>(ptr %table, ptr %arguments, i64 %lo, i64 %hi) {
entry:
<loads>
  %xe = getelementptr ptr, ptr %table, i64 %a6
  %ye = getelementptr ptr, ptr %table, i64 %a7
  %ze = getelementptr ptr, ptr %table, i64 %a8
  %xb = load ptr, ptr %xe
  %yb = load ptr, ptr %ye
  %zb = load ptr, ptr %ze
  %xf = getelementptr i8, ptr %xb, i64 %a9
  %yf = getelementptr i8, ptr %yb, i64 %a10
  %zf = getelementptr i8, ptr %zb, i64 %a11
  %function = inttoptr i64 %a0 to ptr
  %tx = trunc i64 %a1 to i32
  %ty = trunc i64 %a2 to i32
  %some = icmp slt i64 %lo, %hi
  br i1 %some, label %which, label %done
which:
  %stack = icmp eq i64 %a18, 0
  %by.rows = icmp eq i64 %a18, 1
  %by.columns = icmp eq i64 %a18, 2
  %range = sub i64 %hi, %lo
  %rows = select i1 %by.rows, i64 %range, i64 %a3
  %columns = select i1 %by.columns, i64 %range, i64 %a4
  %end = add i64 %lo, 1
  %limit = select i1 %stack, i64 %hi, i64 %end
  br label %next
next:
  %i = phi i64 [ %lo, %which ], [ %following, %next ]
  %xo = mul i64 %i, %a15
  %yo = mul i64 %i, %a16
  %zo = mul i64 %i, %a17
  %x = getelementptr i8, ptr %xf, i64 %xo
  %y = getelementptr i8, ptr %yf, i64 %yo
  %z = getelementptr i8, ptr %zf, i64 %zo
  call void %function(i32 101, i32 %tx, i32 %ty, i64 %rows, i64 %columns, i64 %a5, <kind> 1.0, ptr %x, i64 %a12,
    ptr %y, i64 %a13, <kind> 0.0, ptr %z, i64 %a14)
  %following = add i64 %i, 1
  %more = icmp slt i64 %following, %limit
  br i1 %more, label %next, label %done
done:
  ret void
}
"""


class Compiler:
    """Machine code for kernels, kept for the life of the process.

    Attributes:
        run_list: Calls, for (table, records, count), each record's function with its arguments.
        run_stages: Runs stages in two threads.
        help: The address of what the second thread runs.
        compiled: How many different kernels have been compiled.
    """

    def __init__(self) -> None:
        from llvmlite import binding

        self._llvm: Any = binding
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        target = binding.Target.from_default_triple()
        self._machine = target.create_target_machine(
            cpu=binding.get_host_cpu_name(), features=binding.get_host_cpu_features().flatten(), opt=2, jit=True
        )
        self._lock = threading.Lock()
        self._addresses: dict[str, int] = {}
        self._engines: list[Any] = []  # the code goes when its engine does
        self._resolve_mathematics()
        engine = self._engine(_RUNTIME + parallel.runtime() + _products("float") + _products("double"))
        kind: Any = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
        self.run_list = kind(engine.get_function_address("run_list"))
        kind = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64)
        self.run_stages = kind(engine.get_function_address("run_stages"))
        self.help: int = engine.get_function_address("help")
        self._products: dict[str, int] = {
            name: engine.get_function_address(f"products_{name}") for name in ("float", "double")
        }

    @property
    def compiled(self) -> int:
        """How many different kernels have been compiled."""
        return len(self._addresses)

    def products(self, kind: str) -> int:
        """Return the address of what does matrix products of "float" or "double"."""
        return self._products[kind]

    def addresses(self, kernels: Iterable[Kernel]) -> list[int]:
        """Return the address of each kernel's code, compiling what is new in one go."""
        wanted = list(kernels)
        with self._lock:
            new = {kernel.text: kernel for kernel in wanted if kernel.text not in self._addresses}
            if new:
                engine = self._engine(_module(list(new.values())))
                for number, text in enumerate(new):
                    self._addresses[text] = engine.get_function_address(f"kernel{number}")
            return [self._addresses[kernel.text] for kernel in wanted]

    def _engine(self, text: str) -> Any:
        llvm = self._llvm
        module = llvm.parse_assembly(text)
        module.triple = self._machine.triple
        module.data_layout = str(self._machine.target_data)
        options = llvm.create_pipeline_tuning_options(speed_level=2)
        options.loop_vectorization = True
        options.slp_vectorization = False
        options.loop_unrolling = False
        options.loop_interleaving = False
        builder = llvm.create_pass_builder(self._machine, options)
        builder.getModulePassManager().run(module, builder)
        engine = llvm.create_mcjit_compiler(module, self._machine)
        engine.finalize_object()
        self._engines.append(engine)
        return engine

    def _resolve_mathematics(self) -> None:
        """Tell LLVM where the C library's functions are, which it finds by itself on few systems."""
        library = ctypes.CDLL(None)
        for name in ("exp", "expm1", "log", "log1p", "tanh", "erf", "sin", "cos", "pow", "fmod"):
            for symbol in (name, f"{name}f"):
                address = ctypes.cast(getattr(library, symbol), ctypes.c_void_p).value
                self._llvm.add_symbol(symbol, address)


def _products(kind: str) -> str:
    loads = []
    for i in range(19):
        loads.append(f"  %at{i} = getelementptr i64, ptr %arguments, i64 {i}")
        loads.append(f"  %a{i} = load i64, ptr %at{i}")
    return _PRODUCTS.replace("<loads>", "\n".join(loads)).replace("<kind>", kind)


def _module(kernels: list[Kernel]) -> str:
    """Return one module of several kernels, named by their places."""
    parts = sorted({line for kernel in kernels for line in kernel.declarations})
    waiting = len(kernels)
    for number, kernel in enumerate(kernels):
        node = f"!{number}"
        parts.append(kernel.text.replace(NAME, f"kernel{number}").replace(LOOP, node).replace(LONG_SUM, node))
        parts.append(f"{node} = distinct !{{{node}{f', !{waiting}' if LONG_SUM in kernel.text else ''}}}")
    parts.append(f'!{waiting} = !{{!"llvm.loop.interleave.count", i32 4}}')
    return "\n".join(parts)


@functools.cache
def compiler() -> Compiler:
    """Return the process's compiler.

    Raises:
        ImportError: llvmlite is not installed.
    """
    return Compiler()
