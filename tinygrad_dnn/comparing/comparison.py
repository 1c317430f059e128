"""Comparing candidates: all their trainings, in whatever order they can be run, and what comes of them."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinygrad_dnn import registry
from tinygrad_dnn.checks import as_integer
from tinygrad_dnn.comparing import pool, tuning
from tinygrad_dnn.comparing.candidates import NONE, Candidate, checked
from tinygrad_dnn.comparing.contest import Contest
from tinygrad_dnn.comparing.keeping import Folder, write
from tinygrad_dnn.comparing.networks import Network
from tinygrad_dnn.comparing.plan import Plan, versions
from tinygrad_dnn.comparing.running import FAILED, Job
from tinygrad_dnn.comparing.statistics import Difference, Standing, standings
from tinygrad_dnn.registration import LOCAL

MANIFEST = "manifest.json"
_SCORES = {"accuracy": "accuracy", "loss": "loss without penalties"}


@dataclass(frozen=True)
class Comparison:
    """What is compared, and what came of it so far.

    Args:
        plan: What each candidate is asked to do.
        contests: What each one did.
        left_out: Of "all", the names that cannot be made, each with the reason.

    Example:
        >>> from tinygrad_dnn import comparing
        >>> found = comparing.compare("optimizers", ["nadam"], budget="2steps", seeds=2, samples=64, rates=[1e-3],
        ...                           trials=1, workers=0)
        >>> found.standings[0].rank, found.manifest()["results"][0]["learning_rate"]
        (1, 0.001)
    """

    plan: Plan
    contests: list[Contest]
    left_out: list[dict[str, str]]

    @property
    def higher_is_better(self) -> bool:
        """Whether a higher score is a better one."""
        return self.plan.network.metric == "accuracy"

    @property
    def total(self) -> int:
        """How many trainings there are in all; fewer once a candidate has failed."""
        return sum(contest.total for contest in self.contests)

    @property
    def done(self) -> int:
        """How many trainings are done."""
        return sum(contest.done for contest in self.contests)

    @property
    def standings(self) -> list[Standing]:
        """The candidates all of whose runs succeeded, best first."""
        return self._compared()[0]

    @property
    def differences(self) -> list[Difference]:
        """How each two of them differ."""
        return self._compared()[1]

    def _compared(self) -> tuple[list[Standing], list[Difference]]:
        scores = {each.candidate.label: each.scores for each in self.contests if each.ranked}
        return standings(scores, self.higher_is_better, self.plan.resolution)

    def manifest(self) -> dict[str, Any]:
        """Return everything in lists and dicts as JSON has them: options, versions, origins, all raw results."""
        plan, (order, differences) = self.plan, self._compared()
        by_label = {each.candidate.label: each for each in self.contests}
        unranked = [each for each in self.contests if not each.ranked]
        origins = (row for each in self.contests for row in each.candidate.origin())
        return {
            "compared": plan.kind,
            "score": f"{_SCORES[plan.network.metric]} on the samples to test on, after the last step",
            "options": {**plan.asked(), "seeds": plan.seeds, "candidates": [*by_label]},
            "steps": {"an epoch": plan.steps_an_epoch, "a trial": plan.tuning_steps, "a run": plan.steps},
            "versions": versions(plan.backend),
            "machine": platform.platform(),
            "plugins": [dict(each) for each in dict.fromkeys(tuple(row.items()) for row in (*plan.plugins, *origins))],
            "intervals": "95 %, Student's t over the seeds; of the differences at once, by Bonferroni over all pairs",
            "results": [
                *(by_label[each.name].described(each) for each in order),
                *(each.described(None) for each in unranked),
            ],
            "differences": [
                {"first": each.first, "second": each.second, **each.interval._asdict(), "tied": each.tied}
                for each in differences
            ],
            "left_out": self.left_out,
        }


Progress = Callable[[Comparison, Job | None, dict[str, Any], bool], object]


def compare(
    kind: str,
    candidates: Sequence[str | Candidate],
    *,
    network: str | os.PathLike[str] | Network = "elu",
    dataset: str | os.PathLike[str] = "sample",
    samples: int | None = None,
    batch_size: int = 32,
    budget: str = "10epochs",
    tuning_budget: str | None = None,
    trials: int = 8,
    rates: Sequence[float] = tuning.RATES,
    tuning_seeds: int = 2,
    seeds: int = 5,
    seed: int = 42,
    backend: str | None = None,
    workers: int | None = None,
    folder: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Compare candidates of one kind: tune each one's learning rate, train it under several seeds, test it.

    A candidate that raises, or whose loss becomes no number, is part of what is returned, with its reason, and stops no
    other. The numbers depend neither on how many processes work nor on the order in which trainings end. In a program,
    call it below ``if __name__ == "__main__":``, since the processes import the program's main module.

    Args:
        kind: "optimizers", "activations", "initializers", "schedulers", "regularizers" or "constraints".
        candidates: Names, or names with arguments, as "sgd(momentum=0.9)"; of the last three kinds "none" too. "all" is
            everything registered that can be made as it is.
        network: "elu", "bn", "selu" or "alpha", as the exercise has them, a TOML file, or a ``Network``.
        dataset: "sample", "fashion_mnist", "cifar10", or an .npz file with x_train, y_train, x_valid, y_valid, x_test
            and y_test.
        samples: How many of the samples to train on are taken; all by default.
        batch_size: Samples a step.
        budget: How long each run trains, as "10epochs" or "500steps".
        tuning_budget: How long each trial trains; by default a third of the budget.
        trials: How many learning rates are tried for each candidate, as many as ``rates`` or up to 12 more.
        rates: Those that are tried first; each further one lies beside the best so far, or beyond the edge.
        tuning_seeds: How many trainings there are at each rate, whose mean loss counts: at a rate that is a little too
            large some seeds are lucky.
        seeds: How many runs each candidate has; fewer than 2 show no difference.
        seed: The first seed of the trials; the runs have those that follow the trials'.
        backend: Which arrays; by default those in use.
        workers: How many processes train, by default one a core; with 0 this process does, and then what it registered
            itself can be compared too.
        folder: Where each finished training is kept, and the manifest is written; a comparison goes on from what is
            there. More candidates or seeds may be asked for; a change of anything else is refused.
        progress: Called as ``progress(comparison, job, result, recalled)`` after each training, and once before the
            first, with None for the job.

    Raises:
        ValueError: An argument is out of its range, nothing has a name, or the folder is of another comparison.
        RuntimeError: Another process compares in the folder, or no process that trains can be started.
        KeyboardInterrupt: There was a Ctrl-C; finished trainings are in the folder.

    Example:
        >>> from tinygrad_dnn import comparing
        >>> found = comparing.compare("activations", ["relu", "elu"], budget="2steps", seeds=2, samples=64,
        ...                           rates=[1e-3], trials=1, workers=0)
        >>> sorted(each.name for each in found.standings)
        ['elu', 'relu']
    """
    chosen, left_out = checked(kind, candidates)
    plan = Plan.make(
        kind, network, dataset, samples, batch_size, budget, tuning_budget, trials, rates, tuning_seeds, seeds,
        seed, backend,
    )  # fmt: skip
    processes = pool.cores() if workers is None else as_integer(workers, "compare: workers", "[0, 256]")
    if processes:
        _refuse_own(kind, chosen)
    comparison = Comparison(plan, [Contest(candidate, plan) for candidate in chosen], left_out)
    with contextlib.ExitStack() as closing:
        kept = None
        if folder is not None:
            kept = Folder(Path(folder), plan.asked(), {each.label: each.origin() for each in chosen})
            closing.callback(kept.close)
        if progress is not None:
            progress(comparison, None, {}, False)
        _Round(comparison, kept, progress).run(processes)
        if kept is not None:
            write(kept.path / MANIFEST, comparison.manifest())
    return comparison


class _Round:
    """All trainings of a comparison, with what is kept of them."""

    def __init__(self, comparison: Comparison, kept: Folder | None, progress: Progress | None) -> None:
        self._comparison, self._kept, self._progress = comparison, kept, progress
        self._by_label = {each.candidate.label: each for each in comparison.contests}
        self._new: set[tuple[str, float, int]] = set()

    def run(self, workers: int) -> None:
        pool.run_all(self._ready, self._take, workers)

    def _ready(self) -> list[Job]:
        """Return what can be run now, after taking what is kept."""
        while True:
            jobs = [job for contest in self._comparison.contests for job in contest.ready()]
            if not sum(map(self._recalled, jobs)):  # each is to be asked for
                return jobs

    def _recalled(self, job: Job) -> bool:
        key = (job.label, job.rate, job.seed)
        if self._kept is None or key in self._new:
            return False
        result = self._kept.recall(job)
        if result is None:
            self._new.add(key)
            return False
        self._note(job, result, recalled=True)
        return True

    def _take(self, job: Job, result: dict[str, Any]) -> None:
        # What failed may not do so again: memory may be freed, a plugin mended.
        if self._kept is not None and result["status"] != FAILED:
            self._kept.keep(job, result)
        self._note(job, result, recalled=False)

    def _note(self, job: Job, result: dict[str, Any], recalled: bool) -> None:
        self._by_label[job.label].take(job, result)
        if self._progress is not None:
            self._progress(self._comparison, job, result, recalled)


def _refuse_own(kind: str, candidates: Sequence[Candidate]) -> None:
    """Refuse what only this process knows."""
    for each in candidates:
        if each.name != NONE and getattr(registry, kind).origin(each.name).distribution == LOCAL:
            raise ValueError(
                f"compare: this program registered {each.name!r} itself, and the processes that train know only what "
                "is installed: compare with workers=0, or make it a plugin (tinygrad-dnn plugins new)."
            )
