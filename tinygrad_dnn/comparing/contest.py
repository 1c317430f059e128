"""One candidate's part of a comparison: its trials, its runs, and what came of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_dnn.comparing import tuning
from tinygrad_dnn.comparing.candidates import Candidate
from tinygrad_dnn.comparing.plan import Plan
from tinygrad_dnn.comparing.running import DIVERGED, FAILED, OK, Job
from tinygrad_dnn.comparing.statistics import Standing


class Contest:
    """What a candidate still has to do, and what it did.

    Args:
        candidate: The candidate.
        plan: What each candidate is asked to do.

    Attributes:
        trials: What came of the trainings at each learning rate, by seed.
        runs: What came of the runs, by seed.
        reason: Why it cannot be ranked; empty where it can, or where that is not known yet.
    """

    def __init__(self, candidate: Candidate, plan: Plan) -> None:
        self.candidate = candidate
        self.plan = plan
        self.trials: dict[float, dict[int, dict[str, Any]]] = {}
        self.runs: dict[int, dict[str, Any]] = {}
        self.reason = ""
        try:
            plan.job(candidate, plan.rates[0], plan.seed)
        except ValueError as error:
            self.reason = str(error)

    @property
    def total(self) -> int:
        """How many trainings it has in all, once it failed only those that it had until then."""
        return self.done if self.reason else self.plan.trials * self.plan.tuning_seeds + self.plan.seeds

    @property
    def done(self) -> int:
        """How many trainings it has behind it."""
        return sum(map(len, self.trials.values())) + len(self.runs)

    @property
    def losses(self) -> dict[float, float]:
        """By learning rate whose trial is complete: the mean of the last validation losses, infinite if one is none."""
        complete = (rate for rate, each in self.trials.items() if len(each) == self.plan.tuning_seeds)
        return {rate: math.fsum(map(_loss, self.trials[rate].values())) / self.plan.tuning_seeds for rate in complete}

    @property
    def rate(self) -> float:
        """The chosen learning rate."""
        return tuning.best(self.losses)

    @property
    def scores(self) -> list[float]:
        """What each run scored on the samples to test on, in the order of seeds."""
        metric = self.plan.network.metric
        return [self.runs[run]["test"][metric] for run in sorted(self.runs) if self.runs[run]["status"] == OK]

    @property
    def points(self) -> list[int]:
        """How many steps were made at the points of the learning curves of the runs that went to the end."""
        return next((list(run["steps"]) for run in self.runs.values() if run["status"] == OK), [])

    @property
    def ranked(self) -> bool:
        """Whether all its runs are there and succeeded."""
        return not self.reason and len(self.runs) >= self.plan.seeds

    def ready(self) -> list[Job]:
        """Return the trainings that can be done now."""
        if self.reason:
            return []
        plan = self.plan
        if rates := tuning.proposed(plan.rates, plan.trials, self.losses):
            wanted = [(rate, seed) for rate in rates for seed in plan.trial_seeds if seed not in self._trial(rate)]
        else:
            wanted = [(self.rate, seed) for seed in plan.run_seeds if seed not in self.runs]
        return [plan.job(self.candidate, rate, seed) for rate, seed in wanted]

    def take(self, job: Job, result: dict[str, Any]) -> None:
        """Note what came of a training."""
        if job.tested:
            self.runs[job.seed] = result
        else:
            self.trials[job.rate] = {**self._trial(job.rate), job.seed: result}
        losses = self.losses
        if len(losses) == self.plan.trials and not any(map(math.isfinite, losses.values())):
            self.reason = self._of_no_rate()
        elif len(self.runs) == self.plan.seeds:
            self.reason = self._of_runs()

    def _trial(self, rate: float) -> dict[int, dict[str, Any]]:
        return self.trials.get(rate, {})

    def _of_no_rate(self) -> str:
        rates = sorted(self.trials)
        trainings = [training for rate in rates for _, training in sorted(self.trials[rate].items())]
        failures = [training["reason"] for training in trainings if training["status"] == FAILED]
        if failures:
            return str(failures[0])
        those = f"each of {len(rates)} learning rates, {rates[0]:g} to {rates[-1]:g}"
        return f"diverged at {those if len(rates) > 1 else f'the learning rate {rates[0]:g}'}"

    def _of_runs(self) -> str:
        for status, verb in ((FAILED, "failed"), (DIVERGED, "diverged")):
            those = [run for _, run in sorted(self.runs.items()) if run["status"] == status]
            if those:
                return f"{verb} in {len(those)} of {len(self.runs)} runs: {those[0]['reason']}"
        return ""

    def described(self, standing: Standing | None) -> dict[str, Any]:
        """Return all that is known of it, as the manifest says it."""
        losses = self.losses
        tuned = any(map(math.isfinite, losses.values()))
        seconds = [run["seconds"] for run in self.runs.values()]
        return {
            "candidate": self.candidate.label,
            "name": self.candidate.name,
            "arguments": self.candidate.arguments,
            "from": self.candidate.origin(),
            "reason": self.reason,
            "rank": None if standing is None else standing.rank,
            "tied_with": [] if standing is None else list(standing.tied),
            "mean": None if standing is None else standing.score.mean,
            "half": None if standing is None else standing.score.half,
            "learning_rate": self.rate if tuned else None,
            "at_edge": tuned and tuning.at_edge(losses),
            "seconds_a_run": float(np.median(seconds)) if seconds else None,
            "trials": [
                {
                    "learning_rate": rate,
                    "loss": losses[rate] if math.isfinite(losses.get(rate, math.inf)) else None,
                    "trainings": _by_seed(self.trials[rate]),
                }
                for rate in sorted(self.trials)
            ],
            "runs": _by_seed(self.runs),
        }


def _by_seed(trainings: dict[int, dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"seed": seed, **trainings[seed]} for seed in sorted(trainings)]


def _loss(training: dict[str, Any]) -> float:
    """Return the last validation loss, infinite where a training diverged or failed."""
    return float(training["history"]["val_loss"][-1]) if training["status"] == OK else math.inf
