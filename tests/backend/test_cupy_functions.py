"""What the package asks of CuPy exists there, with these arguments, and gives these types; no GPU is needed for it.

Every test of the package also runs on the strict double, which has no function and no argument beyond its table: what
the table has and CuPy has not would be found here.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import re
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_dnn
from tinygrad_dnn.backend import base, strict_functions
from tinygrad_dnn.backend.strict_array import StrictArray
from tinygrad_dnn.backend.strict_memory import DTYPES
from tinygrad_dnn.backend.strict_table import CONSTANTS, SIGNATURES, UFUNCS

cupy = pytest.importorskip("cupy", reason="CuPy is not installed", exc_type=ImportError)
if int(cupy.__version__.partition(".")[0]) < 14:
    pytest.skip(f"CuPy {cupy.__version__} is installed and 14 or later is needed", allow_module_level=True)

PACKAGE = Path(tinygrad_dnn.__file__).parent
# What is written for one library alone.
OF_ONE = ("backend/numpy.py", "backend/special.py", "backend/strict", "jit/native/")


def sources() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith(OF_ONE):
            yield name, ast.parse(path.read_text())


def chain(node: ast.expr) -> list[str]:
    """Return the names of ``a.b.c``, [] for anything else."""
    if isinstance(node, ast.Attribute):
        before = chain(node.value)
        return [*before, node.attr] if before else []
    return [node.id] if isinstance(node, ast.Name) else []


def asked_of(folder: str, *holders: tuple[str, ...]) -> dict[str, list[tuple[str, ast.Call | None]]]:
    """Return what is asked of these names in the sources of a folder: dotted names, where, and the calls."""
    found: dict[str, list[tuple[str, ast.Call | None]]] = {}
    for name, module in sources():
        if not name.startswith(folder):
            continue
        inner: set[int] = set()
        calls = {id(node.func): node for node in ast.walk(module) if isinstance(node, ast.Call)}
        for node in ast.walk(module):
            if not isinstance(node, ast.Attribute) or id(node) in inner:
                continue
            names = chain(node)
            for holder in holders:
                if tuple(names[: len(holder)]) == holder and len(names) > len(holder):
                    inner |= {id(part) for part in ast.walk(node)}
                    place = f"{name}:{node.lineno}"
                    found.setdefault(".".join(names[len(holder) :]), []).append((place, calls.get(id(node))))
    return found


XP = asked_of("", ("xp",))
CUPY = asked_of("backend/cu", ("self", "_cupy"), ("cupy",))
OWN = {name for name in dir(base.Backend) if not name.startswith("_")} | {"name", "array_type"}


def found(dotted: str) -> Any:
    return reduce(getattr, dotted.split("."), cupy)


def signature_of(function: Any) -> inspect.Signature | None:
    """Return the signature, from the text that begins the docstring of what is compiled; None if there is none."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        pass
    match = re.match(r"[\w.]+\((.*?)\)(?: ->.*)?$", (function.__doc__ or "").strip(), re.MULTILINE)
    if match is None:
        return None
    # "tuple max_version=None" has a type of Cython's, "\\*" is a star within a text.
    parts = [re.sub(r"^\w+ (?=\w)", "", part.strip().replace("\\", "")) for part in match[1].split(",")]
    text = ", ".join(re.sub(r"=.*", "=None", part) for part in parts if part not in ("", "self"))
    (definition,) = ast.parse(f"def function({text}): pass").body
    assert isinstance(definition, ast.FunctionDef)
    given = definition.args
    places = [*given.posonlyargs, *given.args]
    optional = len(places) - len(given.defaults)
    kind, empty = inspect.Parameter, inspect.Parameter.empty
    return inspect.Signature([
        *(
            kind(x.arg, kind.POSITIONAL_ONLY if x in given.posonlyargs else kind.POSITIONAL_OR_KEYWORD,
                 default=None if i >= optional else empty)
            for i, x in enumerate(places)
        ),
        *([kind(given.vararg.arg, kind.VAR_POSITIONAL)] if given.vararg else []),
        *(
            kind(x.arg, kind.KEYWORD_ONLY, default=empty if default is None else None)
            for x, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)
        ),
        *([kind(given.kwarg.arg, kind.VAR_KEYWORD)] if given.kwarg else []),
    ])  # fmt: skip


def test_the_sources_are_read() -> None:
    assert {"add", "matmul", "take", "where", "lib.stride_tricks.sliding_window_view"} <= XP.keys()
    assert {"cuda.runtime.getDevice", "RawKernel", "from_dlpack"} <= CUPY.keys()
    assert len(XP) > 50
    of_exp = signature_of(cupy.exp)
    assert of_exp is not None
    assert list(of_exp.parameters) == ["x", "out", "casting", "dtype"]


@pytest.mark.parametrize("name", sorted(XP.keys() - OWN))
def test_what_primitives_ask_for_is_there(name: str) -> None:
    function = found(name)
    for place, call in XP[name]:
        if call is None:
            continue
        assert not any(isinstance(argument, ast.Starred) for argument in call.args), place
        keywords = [keyword.arg for keyword in call.keywords]
        assert None not in keywords, place
        if isinstance(function, cupy.ufunc):
            assert function.nin <= len(call.args) <= function.nargs, place
            assert {*keywords} <= {"out", "dtype", "casting"}, place
        else:
            signature = signature_of(function)
            assert signature is not None, place
            signature.bind(*call.args, **{str(keyword): None for keyword in keywords})


@pytest.mark.parametrize("name", sorted(XP.keys() - OWN))
def test_the_double_knows_it(name: str) -> None:
    known = UFUNCS | SIGNATURES.keys() | CONSTANTS | strict_functions.SPECIAL.keys()
    assert name.partition(".")[0] in known, XP[name]


@pytest.mark.parametrize("name", sorted(CUPY))
def test_what_the_backend_asks_for_is_there(name: str) -> None:
    thing = found(name)
    signature = signature_of(thing) if callable(thing) else None
    for place, call in CUPY[name]:
        if call is not None and signature is not None and not isinstance(thing, (type, cupy.ufunc)):
            try:
                signature.bind(*call.args, **{str(keyword.arg): None for keyword in call.keywords})
            except TypeError as error:
                raise AssertionError(f"{place}: {name}{signature}: {error}") from error


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        ("ndarray", "get copy astype device dtype shape size __dlpack__ __dlpack_device__ __cuda_array_interface__"),
        ("cuda.Device", "use id mem_info synchronize"),
        ("cuda.MemoryPool", "used_bytes total_bytes free_all_blocks"),
        ("cuda.PinnedMemoryPool", "free_all_blocks"),
    ],
)
def test_what_the_backend_asks_of_cupys_objects_is_there(owner: str, names: str) -> None:
    assert not [name for name in names.split() if not hasattr(found(owner), name)]


def test_what_stands_beside_cupy_is_there() -> None:
    cupyx = pytest.importorskip("cupyx")
    assert list(inspect.signature(cupyx.scatter_add).parameters) == ["a", "slices", "value"]
    erf = pytest.importorskip("cupyx.scipy.special").erf
    assert {"f->f", "d->d"} <= {*erf.types}


# -- the double's table ------------------------------------------------------------------------------------------------


def test_ufuncs_and_constants_are_cupys() -> None:
    assert not [name for name in UFUNCS if not isinstance(getattr(cupy, name, None), cupy.ufunc)]
    assert not [name for name in CONSTANTS if not hasattr(cupy, name)]
    for name in UFUNCS:
        signature = signature_of(getattr(cupy, name))
        assert signature is not None, name
        assert {"out", "dtype", "casting"} <= signature.parameters.keys(), name
        assert "where" not in signature.parameters, name


@pytest.mark.parametrize("name", sorted(SIGNATURES))
def test_the_tables_arguments_are_cupys(name: str) -> None:
    """Each argument is found in CuPy's signature by its name, and at its place where it may be given by place."""
    signature = signature_of(getattr(cupy, name))
    assert signature is not None
    parameters = list(signature.parameters.values())
    arguments = SIGNATURES[name].split()
    for place, argument in enumerate(arguments[: arguments.index("*")] if "*" in arguments else arguments):
        if argument == "/":
            parameters.insert(place, inspect.Parameter("slash", inspect.Parameter.POSITIONAL_ONLY))
            continue
        assert parameters[place].kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        assert argument in ("A", "S", parameters[place].name) or "/" in arguments[place:]
    for argument in arguments[arguments.index("*") + 1 :] if "*" in arguments else ():
        assert signature.parameters[argument].kind is not inspect.Parameter.POSITIONAL_ONLY


@pytest.mark.parametrize("name", sorted(strict_functions.SPECIAL.keys() - {"lib", "matmul", "result_type"}))
def test_the_doubles_own_functions_have_cupys_arguments(name: str) -> None:
    theirs = signature_of(getattr(cupy, name))
    assert theirs is not None
    own = inspect.signature(strict_functions.SPECIAL[name]).parameters
    names = list(theirs.parameters)
    # What is the array is called otherwise in places, and is given by place.
    assert list(own)[1:] == names[1 : len(own)]
    for key, parameter in own.items():
        other = theirs.parameters[names[list(own).index(key)]]
        assert parameter.default is inspect.Parameter.empty or other.default is not inspect.Parameter.empty


def test_matmul_and_windows_have_the_doubles_arguments() -> None:
    assert "out" in inspect.signature(cupy.matmul).parameters
    windows = inspect.signature(cupy.lib.stride_tricks.sliding_window_view).parameters
    assert list(windows)[:3] == list(inspect.signature(strict_functions.sliding_window_view).parameters)


@pytest.mark.parametrize("name", sorted(name for name in vars(StrictArray) if not name.startswith("_")))
def test_the_doubles_arrays_have_nothing_that_cupys_lack(name: str) -> None:
    theirs, own = getattr(cupy.ndarray, name), getattr(StrictArray, name)
    if inspect.isfunction(own):
        signature = signature_of(theirs)
        assert signature is not None
        options = {p.name for p in inspect.signature(own).parameters.values() if p.default is not p.empty}
        assert options <= signature.parameters.keys()


# -- types of results --------------------------------------------------------------------------------------------------

KINDS = {"b": 0, "u": 1, "i": 1, "f": 2}
NUMBERS: dict[type, tuple[str, int]] = {bool: ("?", 0), int: ("l", 1), float: ("d", 2)}
COMPARISONS = frozenset({"greater", "greater_equal", "less", "less_equal", "equal", "not_equal"})
# CuPy says an element type here for which its kernel then raises TypeError, or which NumPy refuses and the double too.
REFUSED = {"negative": "?", "positive": "?", "sign": "?", "subtract": "?"}


def cupys_type(function: Any, operands: tuple[Any, ...]) -> str | None:
    """Return the type of the result by CuPy's rule, which stands in compiled code: the first types that fit.

    ``guess_routine`` of cupy/_core/_kernel.pyx, with ``_check_should_use_weak_scalar``; for comparisons with
    ``promote_weak_int`` of cupy/_core/_routines_logic.pyx (CuPy 14.2). An operand is an element type's code, or the
    type of a Python number.
    """
    fixed = [KINDS[np.dtype(NUMBERS[x][0] if x is bool else x).kind] for x in operands if x not in (int, float)]
    weak = [NUMBERS[x][1] for x in operands if x in (int, float)]
    adapts = bool(fixed and weak) and max(fixed) >= max(weak)
    if function.name.removeprefix("cupy_") in COMPARISONS and int in operands and 1 in fixed:
        adapts = False
    for loop in function.types:
        taken, given = loop.split("->")
        if "E" not in loop and all(fits(x, np.dtype(t), adapts) for x, t in zip(operands, taken, strict=True)):
            return np.dtype(given).str
    return None


def fits(operand: Any, taken: np.dtype[Any], adapts: bool) -> bool:
    of_number = operand in NUMBERS
    if np.can_cast(NUMBERS[operand][0] if of_number else operand, taken):
        return True
    if not adapts or operand not in (int, float):
        return False
    return bool(np.result_type(operand(0), taken) == taken)


def numpys_type(function: np.ufunc, operands: tuple[Any, ...]) -> str | None:
    try:
        with np.errstate(all="ignore"):
            result = function(*(x(1) if x in NUMBERS else np.ones(1, x) for x in operands))
    except TypeError:
        return None
    return result.dtype.str


@pytest.mark.parametrize("name", sorted(UFUNCS))
def test_results_have_the_types_that_the_double_gives(name: str) -> None:
    theirs, own = getattr(cupy, name), getattr(np, name)
    assert (theirs.nin, theirs.nout) == (own.nin, own.nout)
    types: list[Any] = sorted(DTYPES)
    cases = [(x,) for x in types]
    if theirs.nin == 2:
        cases = [case for case in itertools.product([*types, *NUMBERS], repeat=2) if not {*case} <= {*NUMBERS}]
    refused = REFUSED.get(name)
    for case in cases:
        if refused is None or not {*case} <= {refused, bool}:
            assert cupys_type(theirs, case) == numpys_type(own, case), case


def test_choices_have_the_types_that_the_double_gives() -> None:
    choose = cupy._sorting.search._where_ufunc
    types: list[Any] = [*sorted(DTYPES), *NUMBERS]
    for x, y in itertools.product(types, repeat=2):
        if x not in (int, float) or y not in (int, float):
            values = [z(1) if z in NUMBERS else np.ones(1, z) for z in (x, y)]
            assert cupys_type(choose, ("?", x, y)) == np.where(np.ones(1, bool), *values).dtype.str, (x, y)
