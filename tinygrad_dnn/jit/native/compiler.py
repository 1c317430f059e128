"""Compiling: kernels' text turned into machine code by LLVM, once for equal texts in a process."""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Callable, Iterable
from typing import Any

from tinygrad_dnn.jit.native import cache, parallel
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


# Whatever of a machine code's making neither its text nor LLVM's version tells: the number of the way it is made.
_FORMAT = 1


class Compiler:
    """Machine code for kernels, kept for the life of the process, and on disk for the next one.

    Attributes:
        run_list: Calls, for (table, records, count), each record's function with its arguments.
        run_stages: Runs stages in two threads.
        help: The address of what the second thread runs.
        compiled: How many different kernels there is machine code for.
        optimised: How many times LLVM has made machine code; other code was found on disk.
    """

    def __init__(self) -> None:
        import llvmlite
        from llvmlite import binding

        self._llvm: Any = binding
        self._version = f"LLVM {'.'.join(map(str, binding.llvm_version_info))} in llvmlite {llvmlite.__version__}"
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        self._cpu = binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten()
        self._lock = threading.Lock()
        self._addresses: dict[str, int] = {}
        self._engines: list[Any] = []  # the code goes when its engine does
        self.optimised = 0
        self._resolve_mathematics()
        # It is but called and waits: what LLVM's optimisation takes longer it would not gain in thousands of steps.
        address_of = self._code(_RUNTIME + parallel.runtime() + _products("float") + _products("double"), level=0)
        kind: Any = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
        self.run_list = kind(address_of("run_list"))
        kind = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64)
        self.run_stages = kind(address_of("run_stages"))
        self.help: int = address_of("help")
        self._products: dict[str, int] = {name: address_of(f"products_{name}") for name in ("float", "double")}

    @property
    def compiled(self) -> int:
        """How many different kernels there is machine code for."""
        return len(self._addresses)

    def products(self, kind: str) -> int:
        """Return the address of what does matrix products of "float" or "double"."""
        return self._products[kind]

    def addresses(self, kernels: Iterable[Kernel]) -> list[int]:
        """Return the address of each kernel's code, making that of all new ones in one go."""
        wanted = list(kernels)
        with self._lock:
            new = {kernel.text: kernel for kernel in wanted if kernel.text not in self._addresses}
            if new:
                address_of = self._code(_module(list(new.values())), level=2)
                for number, text in enumerate(new):
                    self._addresses[text] = address_of(f"kernel{number}")
            return [self._addresses[kernel.text] for kernel in wanted]

    def _code(self, text: str, level: int) -> Callable[[str], int]:
        """Return what tells the addresses of a module's functions."""
        machine = self._machine(level)
        key = self._key(text, level, machine)
        code = cache.load(key)
        if code is None:
            code = self._optimised(text, level, machine)
            cache.store(key, code)
        engine = self._llvm.create_mcjit_compiler(self._llvm.parse_assembly(""), machine)
        engine.add_object_file(self._llvm.ObjectFileRef.from_data(code))
        engine.finalize_object()
        self._engines.append(engine)
        return engine.get_function_address  # type: ignore[no-any-return]

    def _machine(self, level: int) -> Any:
        cpu, features = self._cpu
        target = self._llvm.Target.from_default_triple()
        return target.create_target_machine(cpu=cpu, features=features, opt=level, jit=True)

    def _key(self, text: str, level: int, machine: Any) -> str:
        """Return everything that the machine code of a module depends on."""
        about = (_FORMAT, level, self._version, machine.triple, machine.target_data, *self._cpu)
        return "\n".join([*map(str, about), text])

    def _optimised(self, text: str, level: int, machine: Any) -> bytes:
        """Return the machine code of a module, as an object file."""
        llvm = self._llvm
        module = llvm.parse_assembly(text)
        module.triple = machine.triple
        module.data_layout = str(machine.target_data)
        # Of LLVM's levels 1 and 2 the second takes longer, and made the same of all loops that were compared.
        options = llvm.create_pipeline_tuning_options(speed_level=min(level, 1))
        options.loop_vectorization = True
        options.slp_vectorization = False
        options.loop_unrolling = False
        options.loop_interleaving = False
        builder = llvm.create_pass_builder(machine, options)
        builder.getModulePassManager().run(module, builder)
        self.optimised += 1
        code: bytes = machine.emit_object(module)
        return code

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
