"""One contestant on one case, in a process of its own: it sets the work up, and runs a round for each line it reads.

Its answers are lines of JSON: at first what is installed, then the milliseconds a step of each round.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import platform
import sys
import time
import warnings
from typing import Any

from peers import taking_part
from work import Case

# A first round compiles, the next ones settle caches and buffers.
WARM_ROUNDS = 2


def main(contestant: str, described: str, threads: int) -> None:
    """Serve one contestant on one case, which is given as JSON."""
    # Libraries print: what is meant for the reader goes by a descriptor of its own.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if hasattr(os, "sched_setaffinity"):  # some libraries count the processors instead of reading a variable
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])

    def answer(content: Any) -> None:
        print(json.dumps(content), file=answers, flush=True)

    case = Case(**json.loads(described))
    case = case._replace(sizes=tuple(case.sizes))
    who = taking_part(case.device)[contestant]
    with warnings.catch_warnings(record=True) as caught:
        module = importlib.import_module(f"peers.{who.module}")
        one_round = getattr(module, "train" if case.kind == "start" else case.kind)(case, who.how)
        if one_round is None:
            answer({"absent": True})
            return
        for _ in range(1 if case.kind == "start" else WARM_ROUNDS):
            one_round()
    memory = {"peak_mib": peak_mib(), "device_mib": getattr(module, "device_mib", lambda: None)()}
    answer({**memory, "warnings": [str(each.message) for each in caught], **about(who.library)})
    for _ in sys.stdin:
        started = time.perf_counter()
        told = one_round()
        passed = (time.perf_counter() - started) * 1e3 / (case.steps * case.epochs)
        answer(passed if told is None else told)


def about(library: str) -> dict[str, Any]:
    """Return versions, the BLAS that NumPy uses, and whether native code was made."""
    versions = {"python": platform.python_version()}
    for name in ("numpy", library, *(("jax",) if library == "keras" else ())):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = getattr(sys.modules.get(name), "__version__", "unknown")
    native = sys.modules.get("llvmlite.binding") is not None
    if native:
        versions["llvmlite"] = importlib.metadata.version("llvmlite")
    found: dict[str, Any] = {"versions": versions, "native": native}
    try:
        import threadpoolctl
    except ImportError:
        return found
    found["blas"] = [
        f"{each['internal_api']} {each['version']} {each.get('architecture', '')}, {each['num_threads']} threads"
        for each in threadpoolctl.threadpool_info()
    ]
    return found


def peak_mib() -> float | None:
    """Return the most memory that this process has held, in MiB, where the system tells."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
