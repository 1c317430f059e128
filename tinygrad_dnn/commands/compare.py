"""The command `tinygrad-dnn compare`: its options, its progress, and the table of what came of it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinygrad_dnn.comparing import Comparison
    from tinygrad_dnn.comparing.running import Job

DESCRIPTION = """\
Compare optimizers, activations, initializers, schedulers, regularizers or constraints, built in or from plugins.

  tinygrad-dnn compare --optimizers "nadam,sgd(momentum=0.9),torch.nadam" --budget 10epochs --seeds 5
  tinygrad-dnn compare --activations relu,elu,selu --network selu
  tinygrad-dnn compare --schedulers none,cosine_decay,one_cycle --network small.toml --out schedules
  tinygrad-dnn compare --optimizers all --budget 1epoch --seeds 2

All candidates are treated alike. First each has its learning rate tuned by --trials short trials, of which the first
are at --rates, and each further one lies beside the best so far, or beyond the edge. Then each trains for --budget
with each of --seeds, the same for all, and is tested on samples by which nothing was chosen. The table shows the mean
of the seeds with its 95 % interval (Student's t). Of two candidates one counts as better where the interval of their
differences, seed by seed, leaves zero out; so made that all pairs together hold at 95 %. The rank is one more than the
number of those that are better, with a = where the runs do not tell a candidate from another.

The folder --out receives manifest.json (options, versions, where plugins came from, all results), curves.png, and a
file for each finished training. After Ctrl-C, or a kill, the same command goes on from there; more candidates and more
seeds can be added, and anything else that is changed is refused. The numbers do not depend on --workers.

A network of your own is written in TOML; what is compared takes its place in all layers but the last:

  standardized = true                 # each input with mean 0 and standard deviation 1
  optimizer = "nadam"                 # where optimizers are not what is compared
  [[layers]]
  class_name = "Flatten"
  [[layers]]
  class_name = "Dense"
  config = { units = 100, activation = "elu", kernel_initializer = "he_normal" }
  repeat = 3
  [[layers]]
  class_name = "Dense"
  config = { units = 10, activation = "softmax" }

Names are those that `tinygrad-dnn plugins list optimizers` shows. docs/compare.md says more.
"""
_KINDS = {
    "optimizers": "nadam,lion,torch.nadam, or all",
    "activations": "relu,elu,mish",
    "initializers": "he_normal,glorot_uniform",
    "schedulers": "none,cosine_decay; their rate is what is tuned",
    "regularizers": 'none,"l2(l2=1e-4)"',
    "constraints": 'none,"max_norm(max_value=2)"',
}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to those of `tinygrad-dnn`.

    Example:
        >>> import argparse
        >>> from tinygrad_dnn.commands import compare
        >>> parser = argparse.ArgumentParser()
        >>> compare.add(parser.add_subparsers())
        >>> parser.parse_args(["compare", "--optimizers", "nadam,sgd"]).optimizers
        'nadam,sgd'
    """
    parser = commands.add_parser("compare", help="compare what is registered", description=DESCRIPTION,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    one = parser.add_argument_group("what to compare, one of").add_mutually_exclusive_group(required=True)
    for kind, example in _KINDS.items():
        one.add_argument(f"--{kind}", metavar="NAME,...", help=f"as {example}")
    add = parser.add_argument
    add("--network", default="elu", metavar="NAME",
        help="elu, bn, selu or alpha, as `tinygrad-dnn exercise` has them, or a TOML file (default elu)")
    add("--dataset", default="sample", metavar="NAME",
        help="sample (default), fashion_mnist, cifar10, or an .npz file with x_train, y_train, x_valid, ... y_test")
    add("--samples", type=_natural, metavar="N", help="train on the first N samples only (default: all)")
    add("--batch-size", type=_natural, default=32, metavar="N", help="samples a step (default 32)")
    add("--budget", default="10epochs", help="of each run, as 10epochs or 500steps (default 10epochs)")
    add("--seeds", type=_natural, default=5, metavar="N", help="runs of each candidate (default 5)")
    add("--seed", type=int, default=42,
        help="the trials' first seed; the runs have those that follow the trials' (default 42)")
    add("--trials", type=_natural, default=8, metavar="N", help="learning rates tried for each (default 8)")
    add("--rates", type=_rates, metavar="RATE,...", help="those tried first (default 1e-5,1e-4,1e-3,1e-2,1e-1)")
    add("--tuning-budget", metavar="BUDGET", help="of each trial (default: a third of --budget)")
    add("--tuning-seeds", type=_natural, default=2, metavar="N",
        help="trainings at each rate, whose mean loss counts (default 2)")
    add("--workers", type=_count, metavar="N",
        help="processes that train, each in one thread (default: one a core; 0: none, for a debugger)")
    add("--backend", choices=("numpy", "cupy", "strict"),
        help="which arrays (default: TINYGRAD_DNN_BACKEND, else numpy)")
    add("--out", type=Path, default=Path("compare-results"), metavar="DIR", help="the folder (default compare-results)")
    add("--json", action="store_true", help="print the manifest instead of the table")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Compare what is asked for; return the exit status: 1 where no candidate could be ranked, 130 after Ctrl-C."""
    from tinygrad_dnn import comparing
    from tinygrad_dnn.comparing import tuning

    kind = next(kind for kind in _KINDS if getattr(options, kind) is not None)
    with _Shown() as shown:
        try:
            comparison = comparing.compare(
                kind, comparing.split(getattr(options, kind)), network=options.network, dataset=options.dataset,
                samples=options.samples, batch_size=options.batch_size, budget=options.budget,
                tuning_budget=options.tuning_budget, trials=options.trials, rates=options.rates or tuning.RATES,
                tuning_seeds=options.tuning_seeds, seeds=options.seeds, seed=options.seed, backend=options.backend,
                workers=options.workers, folder=options.out, progress=shown,
            )  # fmt: skip
        except KeyboardInterrupt:
            shown.say(f"interrupted: {shown.done} of {shown.total} trainings are in {options.out}; the same command "
                      "goes on from there.")  # fmt: skip
            return 130
        picture = _picture(comparison, options.out)
    if options.json:
        print(json.dumps(comparison.manifest(), indent=1))
    else:
        show(comparison)
        print(f"\nsee {options.out / 'manifest.json'}{picture}")
    return 0 if comparison.standings else 1


def show(comparison: Comparison) -> None:
    """Print the table of a comparison, what is tied, and what could not be compared, with the reasons.

    Example:
        >>> from tinygrad_dnn import comparing
        >>> from tinygrad_dnn.commands import compare
        >>> compare.show(comparing.compare("optimizers", ["nadam"], budget="2steps", seeds=2, samples=64,
        ...                                rates=[1e-3], trials=1, workers=0))
        rank   optimizer   test accuracy ...
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    manifest = comparison.manifest()
    console = Console()
    ranked = [each for each in manifest["results"] if each["rank"] is not None]
    plan = comparison.plan
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("rank", no_wrap=True)
    table.add_column(plan.kind[:-1], overflow="fold")
    for heading in (f"test {plan.network.metric}", "learning rate", "s a run"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("from", overflow="fold")
    for each in ranked:
        rank = f"{each['rank']}{'=' if each['tied_with'] else ''}"
        rate = f"{each['learning_rate']:g}{' (edge)' if each['at_edge'] else ''}"
        sources = ", ".join(f"{row['distribution']} {row['version']}" for row in each["from"]) or "built in"
        table.add_row(*map(Text, (rank, each["candidate"], _score(comparison, each), rate,
                                  f"{each['seconds_a_run']:.1f}", sources)))  # fmt: skip
    if ranked:
        console.print(table)
    for line in _remarks(comparison, manifest, ranked):
        console.print(Text(line), soft_wrap=True)


def _remarks(comparison: Comparison, manifest: dict[str, Any], ranked: list[dict[str, Any]]) -> list[str]:
    plan = comparison.plan
    lines = [""] if ranked else []
    if len(ranked) > 1:
        spread = "its 95 % interval" if plan.seeds > 1 else "no interval: one seed tells none"
        lines.append(f"mean of {plan.seeds} seeds with {spread}; = marks what is tied with another")
        lines += [
            f"  {each['candidate']} is not shown to differ from {', '.join(each['tied_with'])}"
            for each in ranked
            if each["tied_with"] and len(ranked) < 8
        ]
    lines += _few_seeds(len(ranked), plan.seeds)
    lines += [
        f"{each['candidate']}: the best of the learning rates tried lies at their edge, a better one may lie beyond: "
        "ask for more --trials or other --rates"
        for each in ranked
        if each["at_edge"]
    ]
    lines += [line for each in ranked if (line := _failures(each))]
    lines += [f"not ranked: {each['candidate']}: {each['reason']}" for each in manifest["results"] if not each["rank"]]
    lines += [f"left out: {each['name']}: {each['reason']}" for each in manifest["left_out"]]
    return lines


def _failures(each: dict[str, Any]) -> str:
    """Say so where trials failed, which leaves a candidate fewer rates to choose from than others have."""
    trainings = [training for trial in each["trials"] for training in trial["trainings"]]
    reasons = [training["reason"] for training in trainings if training["status"] == "failed"]
    if not reasons:
        return ""
    told = f"{len(reasons)} of {len(trainings)} trainings of its trials failed, whose learning rates are out"
    return f"{each['candidate']}: {told}: {reasons[0]}"


def _few_seeds(candidates: int, seeds: int) -> list[str]:
    """Say so where the seeds are too few for so many candidates to be told apart."""
    from tinygrad_dnn.comparing.statistics import errors_needed

    pairs = candidates * (candidates - 1) // 2
    if not pairs or seeds < 2 or (needed := errors_needed(pairs, seeds)) < 2 * (fewer := errors_needed(pairs, 10)):
        return []
    return [
        f"with {pairs} pair{'s' if pairs > 1 else ''} and {seeds} seeds a difference counts from {needed:.2g} of its "
        f"standard errors on, with 10 seeds from {fewer:.2g} on: more --seeds tell more apart, and only those that are "
        "new are run"
    ]


def _score(comparison: Comparison, each: dict[str, Any]) -> str:
    percent = comparison.plan.network.metric == "accuracy"
    unit, digits, factor = (" %", 1, 100) if percent else ("", 4, 1)
    half = "" if each["half"] is None else f" ± {each['half'] * factor:.{digits}f}"
    return f"{each['mean'] * factor:.{digits}f}{half}{unit}"


def _picture(comparison: Comparison, folder: Path) -> str:
    """Draw the picture, where it can be; return what is said of it."""
    from tinygrad_dnn.comparing import draw

    if not comparison.standings:
        return ""
    try:
        draw(comparison, folder / "curves.png")
    except ImportError:
        return "; for a picture, too, pip install 'tinygrad-dnn[plot]'"
    except OSError as error:  # the table, which took longer, is shown all the same
        return f"; there is no picture: {error}"
    return " and curves.png"


class _Shown:
    """Shows how far a comparison is: a bar on a terminal, else a line a training, on standard error."""

    def __init__(self) -> None:
        from rich.console import Console

        self.done = self.total = 0
        self._recalled = 0
        self._console = Console(stderr=True)
        self._bar: Any = None

    def __enter__(self) -> _Shown:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        if self._console.is_terminal:
            said = TextColumn("{task.description}", markup=False)  # an error's text may have brackets
            columns = (MofNCompleteColumn(), BarColumn(), TimeElapsedColumn(), said)
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._bar.start()
            self._task = self._bar.add_task("", total=None)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, comparison: Comparison, job: Job | None, result: dict[str, Any], recalled: bool) -> None:
        self.done, self.total = comparison.done, comparison.total
        if job is None:
            return self.say(_announced(comparison))
        self._recalled += recalled
        said = f"{job.label}, {'run' if job.tested else 'trial'}, learning rate {job.rate:g}, seed {job.seed}: "
        said += _told(comparison, result)
        if self._bar is not None:
            self._bar.update(self._task, total=self.total, completed=self.done, description=said)
        elif not recalled:
            if self._recalled:
                self.say(f"{self._recalled} trainings were done before")
                self._recalled = 0
            self.say(f"[{self.done}/{self.total}] {said}, {result['seconds']:.1f} s")

    def say(self, line: str) -> None:
        from rich.text import Text

        self._console.print(Text(line), soft_wrap=True)


def _announced(comparison: Comparison) -> str:
    plan = comparison.plan
    return (
        f"{len(comparison.contests)} {plan.kind} in the network {plan.network.name} on {plan.dataset}: each "
        f"{plan.trials} trials of {plan.tuning_seeds} x {plan.tuning_steps} steps and {plan.seeds} runs of "
        f"{plan.steps} steps"
    )


def _told(comparison: Comparison, result: dict[str, Any]) -> str:
    if result["status"] != "ok":
        return f"{result['status']}: {result['reason']}"
    metric = comparison.plan.network.metric
    if "test" in result:
        return f"test {metric} {result['test'][metric]:.4g}"
    return f"validation loss {result['history']['val_loss'][-1]:.4g}"


def _integer(least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is no integer of at least {least}")
        return int(text)

    return read


_natural, _count = _integer(1), _integer(0)


def _rates(text: str) -> list[float]:
    try:
        return [float(each) for each in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers, as 1e-4,1e-3,1e-2") from None
