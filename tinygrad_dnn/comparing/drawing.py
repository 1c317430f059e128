"""The picture of a comparison: curves while learning, what each scored, and what each learning rate gave."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from tinygrad_dnn.comparing.comparison import Comparison
from tinygrad_dnn.comparing.contest import Contest
from tinygrad_dnn.comparing.statistics import Standing

# Okabe and Ito's colours, which colour-blind readers tell apart too, without their pale yellow. More candidates than
# colours cannot be told apart by any: the best have them, the others are grey.
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#000000")
_GREY = "0.75"


def draw(comparison: Comparison, path: Path) -> None:
    """Draw a comparison's curves, scores and learning rates; the candidates that could not be ranked are left out.

    Args:
        comparison: One that is finished.
        path: The picture's file, a .png, .svg or .pdf.

    Raises:
        ImportError: matplotlib is not installed.
        OSError: The file cannot be written.

    Example:
        >>> from tinygrad_dnn import comparing
        >>> found = comparing.compare("optimizers", ["nadam"], budget="2steps", seeds=2, samples=64, rates=[1e-3],
        ...                           trials=1, workers=0)
        >>> comparing.draw(found, getfixture("tmp_path") / "curves.png")
    """
    from matplotlib.figure import Figure  # not pyplot, which would draw in the program's own figures, too

    order = comparison.standings
    contests = {each.candidate.label: each for each in comparison.contests}
    height = max(4.8, 1.6 + 0.24 * len(order))
    # After a single epoch there is no curve.
    points = max((len(contests[each.name].points) for each in order), default=0)
    widths = (1.25, 1, 1) if points > 1 else (1, 1)
    figure = Figure(figsize=(5 * len(widths) + 1, height), layout="constrained")
    panels = figure.subplots(1, len(widths), width_ratios=widths)
    *curves, scores, rates = panels
    # The best are drawn last, above the others.
    for place, standing in reversed([*enumerate(order)]):
        contest = contests[standing.name]
        style: dict[str, Any] = {"color": _COLOURS[place] if place < len(_COLOURS) else _GREY,
                 "label": standing.name if place < len(_COLOURS) else None}  # fmt: skip
        for panel in curves:
            _draw_curves(panel, contest, style)
        _draw_scores(scores, len(order) - 1 - place, standing, contest, style["color"])
        _draw_rates(rates, contest, style)
    for panel in curves:
        _describe_curves(comparison, panel)
    _describe_scores(comparison, scores, order)
    _describe_rates(comparison, rates)
    for panel in panels:
        panel.grid(alpha=0.3)
    if order:
        handles, labels = rates.get_legend_handles_labels()
        panels[0 if curves else -1].legend(handles[::-1], labels[::-1], loc="best", fontsize=9)
    figure.suptitle(_title(comparison), fontsize=12)
    figure.savefig(path, dpi=100)


def _draw_curves(panel: Any, contest: Contest, style: dict[str, Any]) -> None:
    """Draw the mean of the runs' validation, and the band from the worst to the best run."""
    import numpy as np

    key = f"val_{contest.plan.network.metric}"
    runs = [run for _, run in sorted(contest.runs.items())]
    values = np.array([run["history"][key] for run in runs])
    epochs = np.array(contest.points) / contest.plan.steps_an_epoch
    panel.plot(epochs, values.mean(0), marker="." if len(epochs) < 5 else None, **style)
    panel.fill_between(epochs, values.min(0), values.max(0), color=style["color"], alpha=0.15, linewidth=0)


def _draw_scores(panel: Any, row: int, standing: Standing, contest: Contest, colour: str) -> None:
    panel.plot(contest.scores, [row] * len(contest.scores), ".", color=colour, alpha=0.6)
    panel.errorbar(standing.score.mean, row, xerr=standing.score.half, fmt="|", color=colour, capsize=4, markersize=14)


def _draw_rates(panel: Any, contest: Contest, style: dict[str, Any]) -> None:
    losses = contest.losses
    tried = [rate for rate in sorted(losses) if math.isfinite(losses[rate])]
    panel.plot(tried, [losses[rate] for rate in tried], marker=".", **style)
    panel.plot(contest.rate, losses[contest.rate], "o", color=style["color"], markersize=9, fillstyle="none")


def _describe_curves(comparison: Comparison, panel: Any) -> None:
    plan = comparison.plan
    panel.set_title("while learning: mean, from the worst to the best seed", fontsize=11)
    panel.set(xlabel="epoch", ylabel=f"validation {plan.network.metric}")
    panel.xaxis.get_major_locator().set_params(integer=True)


def _describe_scores(comparison: Comparison, panel: Any, order: list[Standing]) -> None:
    panel.set_title("rank after the last step: seeds, mean, 95 % interval", fontsize=11)
    panel.set(xlabel=f"test {comparison.plan.network.metric}", ylim=(-0.6, len(order) - 0.4))
    names = [f"{each.rank}{'=' if each.tied else ''}  {each.name}" for each in reversed(order)]
    panel.set_yticks(range(len(order)), names)
    # A wide interval, as two or three seeds give, runs out of the panel, and does not press the seeds together.
    values = [score for each in comparison.contests if each.ranked for score in each.scores]
    if values:
        margin = 0.3 * (max(values) - min(values)) or 0.01
        panel.set_xlim(min(values) - margin, max(values) + margin)


def _describe_rates(comparison: Comparison, panel: Any) -> None:
    panel.set_title(f"tuning, {comparison.plan.tuning_budget} a trial: chosen in a circle", fontsize=11)
    panel.set(xlabel="learning rate", xscale="log", ylabel="validation loss")
    # One rate that was far too large would press all curves into the lower edge.
    losses = sorted(loss for each in comparison.contests if each.ranked for loss in each.losses.values())
    finite = [loss for loss in losses if math.isfinite(loss)]
    if finite and finite[-1] > 3 * finite[len(finite) // 2]:
        span = finite[len(finite) // 2] - finite[0]
        panel.set_ylim(finite[0] - 0.1 * span, finite[0] + 3 * span)


def _title(comparison: Comparison) -> str:
    plan = comparison.plan
    return (f"{plan.kind} in the network {plan.network.name}, on {Path(plan.dataset).name}, {plan.budget}, "
            f"{plan.seeds} seed{'s' if plan.seeds > 1 else ''}")  # fmt: skip
