"""What a comparison is asked to do, checked, and the trainings that follow from it."""

from __future__ import annotations

import math
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import tinygrad_dnn
from tinygrad_dnn import backend as backends
from tinygrad_dnn import models, registry
from tinygrad_dnn.checks import as_integer, as_list, as_number
from tinygrad_dnn.comparing import samples, tuning
from tinygrad_dnn.comparing.budgets import Budget
from tinygrad_dnn.comparing.candidates import Candidate, registry_of
from tinygrad_dnn.comparing.networks import SETTINGS, Network
from tinygrad_dnn.comparing.running import Job

SEEDS = 2**31


@dataclass(frozen=True)
class Plan:
    """The options of ``compare`` that decide what numbers come of it, checked."""

    kind: str
    network: Network
    dataset: str
    samples: int | None
    batch_size: int
    budget: Budget
    tuning_budget: Budget
    trials: int
    rates: tuple[float, ...]
    tuning_seeds: int
    seeds: int
    seed: int
    backend: str
    floatx: str
    steps_an_epoch: int
    tests: int
    plugins: tuple[dict[str, str], ...]

    @classmethod
    def make(
        cls,
        kind: str,
        network: str | os.PathLike[str] | Network,
        dataset: str | os.PathLike[str],
        count: int | None,
        batch_size: int,
        budget: str,
        tuning_budget: str | None,
        trials: int,
        rates: Sequence[float],
        tuning_seeds: int,
        seeds: int,
        seed: int,
        backend: str | None,
    ) -> Plan:
        """Check all of it, and that the network learns from the data.

        Raises:
            ValueError: Something is out of its range or not there; the error names it.
        """
        registry_of(kind)
        whole = Budget.read(budget)
        first = checked_rates(rates)
        as_integer(trials, "compare: trials", f"[{len(first)}, {len(first) + tuning.MOST_FURTHER}]")
        as_integer(batch_size, "compare: batch_size", "[1, inf)")
        as_integer(tuning_seeds, "compare: tuning_seeds", "[1, 1000]")
        as_integer(seeds, "compare: seeds", "[1, 1000]")
        as_integer(seed, "compare: seed", f"[0, {SEEDS})")
        found = network if isinstance(network, Network) else Network.find(os.fspath(network))
        data = samples.checked(os.fspath(dataset))
        if count is not None:
            as_integer(count, "compare: samples", "[1, inf)")
        given = samples.find(data, count, found.standardized)
        chosen = backends.current() if backend is None else backends.get(backend)
        return cls(
            kind=kind, network=found, dataset=data, samples=count, batch_size=batch_size, budget=whole,
            tuning_budget=whole.third() if tuning_budget is None else Budget.read(tuning_budget, "tuning budget"),
            trials=trials, rates=first, tuning_seeds=tuning_seeds, seeds=seeds, seed=seed,
            backend=chosen.name, floatx=backends.floatx(),
            steps_an_epoch=math.ceil(len(given.x_train) / batch_size), tests=len(given.x_test),
            plugins=_tried(kind, found, given, batch_size),
        )  # fmt: skip

    @property
    def resolution(self) -> float:
        """The step in which scores are counted: of accuracies one sample, of losses none."""
        return 1 / self.tests if self.network.metric == "accuracy" else 0.0

    @property
    def steps(self) -> int:
        """How many steps a run makes."""
        return self.budget.steps(self.steps_an_epoch)

    @property
    def tuning_steps(self) -> int:
        """How many steps a trial makes."""
        return self.tuning_budget.steps(self.steps_an_epoch)

    @property
    def trial_seeds(self) -> range:
        """The seeds of each trial."""
        return range(self.seed, self.seed + self.tuning_seeds)

    @property
    def run_seeds(self) -> range:
        """The seeds of the runs, which are none of the trials'."""
        return range(self.trial_seeds.stop, self.trial_seeds.stop + self.seeds)

    def job(self, candidate: Candidate, rate: float, seed: int) -> Job:
        """Return a candidate's training at a rate under a seed, which says whether it is part of a trial or a run.

        Raises:
            ValueError: The candidate needs an argument that was not given.
        """
        tested = seed not in self.trial_seeds
        steps = self.steps if tested else self.tuning_steps
        made = candidate.identifier(rate, steps)
        network, optimizer = self.network, self.network.optimizer
        if self.kind == "optimizers":
            optimizer = made
        else:
            given = made if self.kind == "schedulers" else rate
            optimizer = {**optimizer, "config": {**optimizer["config"], "learning_rate": given}}
        if self.kind in SETTINGS:
            network = network.with_setting(self.kind, made)
        return Job(
            label=candidate.label, network=network.described(), optimizer=optimizer, dataset=self.dataset,
            samples=self.samples, batch_size=self.batch_size, steps=steps, rate=rate,
            seed=seed, tested=tested, backend=self.backend, floatx=self.floatx,
        )  # fmt: skip

    def asked(self) -> dict[str, Any]:
        """Return what each training depends on, by option: what makes two comparisons two."""
        return {
            "kind": self.kind, "network": self.network.described(), "dataset": samples.identity(self.dataset),
            "samples": self.samples, "batch size": self.batch_size, "budget": str(self.budget),
            "tuning budget": str(self.tuning_budget), "trials": self.trials, "rates": list(self.rates),
            "tuning seeds": self.tuning_seeds, "seed": self.seed, "backend": self.backend, "floatx": self.floatx,
            **{f"version of {name}": version for name, version in versions(self.backend).items() if name != "python"},
            "machine": f"{platform.system()} {platform.machine()}",
            "network's plugins": [
                " ".join([row["name"], "from", row["distribution"], row["version"]]).strip() for row in self.plugins
            ],
        }  # fmt: skip


def versions(backend: str = "numpy") -> dict[str, str]:
    """Return the versions that numbers depend on, with a backend that is in use.

    Example:
        >>> from tinygrad_dnn.comparing import plan
        >>> [*plan.versions()]
        ['python', 'numpy', 'tinygrad_dnn', 'llvmlite']
    """
    try:
        import llvmlite  # whether training becomes machine code, and which

        compiler = str(llvmlite.__version__)
    except ImportError:
        compiler = "none"
    arrays = {"cupy": str(sys.modules["cupy"].__version__)} if backend == "cupy" else {}
    return {"python": platform.python_version(), "numpy": np.__version__, "tinygrad_dnn": tinygrad_dnn.__version__,
            "llvmlite": compiler, **arrays}  # fmt: skip


def checked_rates(rates: Sequence[float]) -> tuple[float, ...]:
    """Return learning rates, sorted.

    Raises:
        ValueError: There is none, one is there twice, or is no positive number.

    Example:
        >>> from tinygrad_dnn.comparing import plan
        >>> plan.checked_rates([0.1, 1e-3])
        (0.001, 0.1)
    """
    found = sorted(as_number(rate, "compare: each rate", "(0, inf)") for rate in as_list(rates, "compare: rates"))
    if not found or len(set(found)) < len(found):
        raise ValueError(f"compare: rates must be one or more different numbers, not {list(rates)}.")
    return tuple(found)


def _tried(kind: str, network: Network, data: samples.Samples, batch_size: int) -> tuple[dict[str, str], ...]:
    """Make the network, test it on a batch, and return where it came from: what is wrong with it no candidate is."""
    if kind in SETTINGS:
        network.with_setting(kind, None)
    optimizer = {"class_name": "sgd", "config": {}} if kind == "optimizers" else network.optimizer
    try:
        model = network.model(data.x_train.shape[1:], registry.optimizers.get(optimizer))
        model.test_on_batch(data.x_train[:batch_size], data.y_train[:batch_size])
        return tuple(models.provenance(model))
    except (TypeError, ValueError) as error:
        raise ValueError(f"network {network.name} cannot learn from these data: {error}") from error
