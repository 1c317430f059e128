"""The work that is measured on a GPU, and what a rehearsal on the processor makes of it."""

from __future__ import annotations

from typing import Any

from work import CLASSES, Case, exercise

VARIANTS = ("elu", "bn", "selu", "alpha")
BATCHES = (32, 256, 1024, 4096)
WIDTHS = (32, 64, 128, 256, 512, 1024, 2048, 4096)
OPERATIONS = {"exp": "exp, 1,000 numbers", "sum": "sum, 1,000 numbers", "product": "product, 100 x 100"}
STEP = "training step, batch 32"


def _train(key: str, batch: int, sizes: tuple[int, ...] = exercise(), variant: str = "elu", **more: Any) -> Case:
    """Return a training on about 4,096 samples, more where batches are larger, gone through several times a round."""
    steps = max(4096, 4 * batch) // batch
    return Case(key, "train", sizes, batch, steps, variant, epochs=max(1, 512 // steps), **more)


_EXERCISE = [_train(f"{name}, batch {batch}", batch, variant=name) for batch in BATCHES for name in VARIANTS]
_WIDE = _train("4 x 4096 wide, batch 256", 256, (3072, *[4096] * 4, CLASSES))._replace(epochs=4)
# By section: a title, and cases. The section "memory" measures nothing of its own: it is told beside the others.
SECTIONS: dict[str, tuple[str, list[Case]]] = {
    "exercise": ("The exercise: 3072 -> 20 x 100 -> 10, Nadam, a training step", _EXERCISE),
    "wide": ("A wide network: 3072 -> 4 x 4096 -> 10, ELU, Nadam, a training step", [_WIDE]),
    "kernels": (
        "The kernels of a step by the profiler, each one's own time added up",
        [
            case._replace(key=f"{case.key}: kernels", kind="kernels", epochs=1)
            for case in (_EXERCISE[0], _EXERCISE[8], _WIDE)
        ],
    ),
    "launch": (
        "What the processor spends until a call returns; the step: of the exercise, ELU",
        [
            *(Case(key, "launch", steps=500, variant=name) for name, key in OPERATIONS.items()),
            Case(STEP, "launch", exercise(), 32, 100, "step"),
        ],
    ),
    "crossover": (
        "Processor or GPU: 4 layers as wide as their input, batch 128, ELU, Nadam, a training step",
        [
            _train(f"width {width}", 128, (*[width] * 5, CLASSES))._replace(
                kind="crossover", epochs=8 if width < 1024 else 1, steps=32 if width < 1024 else 8
            )
            for width in WIDTHS
        ],
    ),
}
MEMORY = "Peak memory of the device that the library took, data included"
# What --quick leaves of them.
QUICK = frozenset({
    "elu, batch 32", "bn, batch 32", "elu, batch 1024", "alpha, batch 4096", _WIDE.key, "elu, batch 32: kernels",
    *OPERATIONS.values(), STEP, "width 64", "width 512", "width 4096",
})  # fmt: skip
# In a rehearsal no layer is wider, and no network deeper, no batch larger.
WIDEST, DEEPEST, LARGEST = 24, 3, 8


def chosen(only: list[str], quick: bool, device: str) -> dict[str, list[Case]]:
    """Return the cases of each section that is asked for, on a device."""
    return {
        section: [
            _rehearsed(case) if device == "cpu" else case._replace(device=device)
            for case in SECTIONS[section][1]
            if not quick or case.key in QUICK
        ]
        for section in only
    }


def _rehearsed(case: Case) -> Case:
    """Return a case that takes the same way through the programs in a moment, and whose figures mean nothing."""
    sizes = tuple(min(size, WIDEST) for size in case.sizes)
    if len(sizes) > DEEPEST + 2:
        sizes = (*sizes[: DEEPEST + 1], sizes[-1])
    return case._replace(
        sizes=sizes, batch=min(case.batch, LARGEST), steps=min(case.steps, 4), epochs=min(case.epochs, 2), device="cpu"
    )
