"""The command `tinygrad-dnn plugins`: its parts, their help, and what each runs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from tinygrad_dnn.registration import KINDS, normalized

DESCRIPTION = """\
Tell which plugins are installed, check one, or write the package of a new one.

  tinygrad-dnn plugins list               all names by kind, and which distribution and version each came from
  tinygrad-dnn plugins show NAME          all that is known of a name, or of a distribution
  tinygrad-dnn plugins doctor             what is wrong with installed plugins, and what helps; status 1 if anything is
  tinygrad-dnn plugins new KIND NAME      write the package of a new plugin, with tests that pass
  tinygrad-dnn plugins check DIST         run the conformance kit on what a distribution registers

Plugins are switched off by TINYGRAD_DNN_PLUGINS: empty for all; a list of distributions, parted by commas, for all but
those; with a minus before each, as -tinygrad-dnn-mish, for just those.
"""
LIST = """\
Show the names of each kind with the distribution and version that each came from, the plugins that failed or are
switched off, and the names that several plugins claim.

  tinygrad-dnn plugins list
  tinygrad-dnn plugins list optimizers
  tinygrad-dnn plugins list --json | jq '.names[] | select(.distribution != "tinygrad-dnn")'
"""
SHOW = """\
Show what a name stands for, in every kind that has it: its aliases, where it came from, how it is called. NAME may be
qualified, as tinygrad-dnn-mish:mish, or be a distribution's.

  tinygrad-dnn plugins show nadam
  tinygrad-dnn plugins show tinygrad-dnn-bent-identity
"""
DOCTOR = """\
Look for problems: plugins that failed, with the line and what helps; plugins that are switched off and by what; names
that two plugins claim, and how to ask for each. The exit status is 1 where there is a problem.

  tinygrad-dnn plugins doctor
"""
NEW = """\
Write the package of a new plugin: pyproject.toml with the entry point, the module, tests, a README, and a workflow
that runs the tests. They pass as written; then put your own formula in the place of the one that is there.

  tinygrad-dnn plugins new optimizer sign_sgd
  pip install --editable ./tinygrad-dnn-sign-sgd
  python -m pytest ./tinygrad-dnn-sign-sgd

and from then on, anywhere: model.compile(optimizer="sign_sgd")
"""
CHECK = """\
Run the conformance kit on what an installed distribution registers: gradients, dtypes, extremes, saving, threads and
more, as each kind has to do. The exit status is 1 where a check failed.

  tinygrad-dnn plugins check tinygrad-dnn-bent-identity
  tinygrad-dnn plugins check tinygrad-dnn-torch --names torch.nadam,torch.rmsprop
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to those of `tinygrad-dnn`.

    Example:
        >>> import argparse
        >>> from tinygrad_dnn.commands import plugins
        >>> parser = argparse.ArgumentParser()
        >>> plugins.add(parser.add_subparsers())
        >>> parser.parse_args(["plugins", "show", "relu"]).name
        'relu'
    """
    raw = argparse.RawDescriptionHelpFormatter
    parser = commands.add_parser("plugins", help="tell of plugins, check or write one", description=DESCRIPTION,
                                 formatter_class=raw)  # fmt: skip
    parts = parser.add_subparsers(required=True, metavar="COMMAND")

    def part(name: str, help: str, description: str, run: Any, as_json: bool = True) -> argparse.ArgumentParser:
        made = parts.add_parser(name, help=help, description=description, formatter_class=raw)
        if as_json:
            made.add_argument("--json", action="store_true", help="print it as JSON, for a program to read")
        made.set_defaults(run=run)
        return made

    kinds = ", ".join(kind.singular for kind in KINDS)
    listed = part("list", "show all names and where they came from", LIST, _list)
    listed.add_argument("kind", nargs="?", metavar="KIND", help=f"only this one: {kinds}")
    shown = part("show", "show all that is known of a name", SHOW, _show)
    shown.add_argument("name", metavar="NAME", help="a registered name or a distribution's")
    part("doctor", "look for problems", DOCTOR, _doctor)
    new = part("new", "write the package of a new plugin", NEW, _new, as_json=False)
    new.add_argument("kind", metavar="KIND", help=kinds)
    new.add_argument("name", metavar="NAME", help="its name, as sign_sgd or SignSGD")
    new.add_argument("--folder", type=Path, help="where to write; by default a folder named like the distribution")
    check = part("check", "run the conformance kit on a distribution", CHECK, _check)
    check.add_argument("distribution", metavar="DIST", help="an installed distribution")
    check.add_argument("--names", metavar="NAME,...", help="only these of its names")


def _list(options: argparse.Namespace) -> int:
    from tinygrad_dnn.commands import finding, packages, tables

    found = finding.listing(None if options.kind is None else packages.kind_of(options.kind))
    return _say(found, options.json, tables.show_listing)


def _show(options: argparse.Namespace) -> int:
    from tinygrad_dnn.commands import finding, tables

    return _say(finding.showing(options.name), options.json, tables.show_one)


def _doctor(options: argparse.Namespace) -> int:
    from tinygrad_dnn.commands import finding, tables

    found = finding.diagnosing()
    _say(found, options.json, tables.show_diagnosis)
    return 1 if found["problems"] else 0


def _new(options: argparse.Namespace) -> int:
    from tinygrad_dnn.commands import packages

    folder = packages.write(packages.kind_of(options.kind), options.name, options.folder)
    names = packages.names_of(options.name)
    place = folder if folder.is_absolute() else f"./{folder}"  # what has no slash pip looks for in its index
    print(f"{folder} holds {names.distribution}. Next:\n\n  pip install --editable {place}\n  python -m pytest {place}")
    return 0


def _check(options: argparse.Namespace) -> int:
    from tinygrad_dnn.commands import finding, tables
    from tinygrad_dnn.testing import conformance

    (plugin, *_) = finding.showing(options.distribution)["plugins"] or [None]
    if plugin is None or plugin["state"] != "used":
        why = "no distribution of plugins" if plugin is None else f"{plugin['state']}: {plugin.get('reason')}"
        raise ValueError(f"{options.distribution} cannot be checked, it is {why}")
    names = None if options.names is None else options.names.split(",")
    report = conformance.run(normalized(options.distribution), names)
    _say(report.as_dicts(), options.json, lambda outcomes: tables.show_checks(options.distribution, outcomes))
    return 0 if report.ok and report.outcomes else 1


def _say(found: Any, as_json: bool, show: Any) -> int:
    if as_json:
        print(json.dumps(found, indent=1))
    else:
        show(found)
    return 0
