"""The command `tinygrad-dnn`: models' files, what this installation can do, plugins, comparisons, and the exercise."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import tinygrad_dnn

DESCRIPTION = """\
Dense neural networks with Keras's names, built of plugins on a small reverse-mode autograd.

  tinygrad-dnn inspect FILE     what is inside a model's or any other safetensors file; nothing in it is run
  tinygrad-dnn doctor           what this installation can do: NumPy's BLAS, machine code, a GPU, plugins
  tinygrad-dnn exercise         train the 20-layer network of the CIFAR-10 exercise four ways
  tinygrad-dnn compare          train with each of several optimizers, activations ... alike, and rank them
  tinygrad-dnn plugins          tell which plugins are installed, check one, or write the package of a new one

Each explains itself: tinygrad-dnn exercise --help
"""
INSPECT = """\
Show what is inside a safetensors file: layers, weights, what the model learns by, and which plugins it needs.

The model is not made, and no plugin is looked for or imported, so this is safe for a file from anywhere.

  tinygrad-dnn inspect model.safetensors
  tinygrad-dnn inspect model.safetensors --json | jq .parameters
"""
DOCTOR = """\
Show what this installation can do, and why it cannot do what it cannot.

Told are the versions, the BLAS behind NumPy and how many threads it may use, whether training can become machine code
(llvmlite) or run on a GPU (CuPy), which plugins were found and which failed and why, the environment's variables that
this package reads, and the folders it keeps files in with their sizes.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 0, 2 after an error in one sentence, 130 after Ctrl-C.

    Args:
        arguments: Its arguments; by default those of the process.

    Example:
        >>> from tinygrad_dnn import cli
        >>> cli.main(["inspect", "nowhere.safetensors"])
        2
    """
    options = _parser().parse_args(arguments)
    run = options.run
    del options.run
    try:
        return int(run(options))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # what reads our output has enough, as head has
        sys.stderr.close()
        return 0
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        print(f"tinygrad-dnn: {_sentence(error)}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    # The exercise's own options are asked for with it: matplotlib and the rest come only when it runs.
    from tinygrad_dnn.commands import compare, plugins
    from tinygrad_dnn.exercise import running

    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="tinygrad-dnn", description=DESCRIPTION, formatter_class=raw)
    parser.add_argument("--version", action="version", version=f"tinygrad-dnn {tinygrad_dnn.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    inspect = commands.add_parser("inspect", help="show what a file holds", description=INSPECT, formatter_class=raw)
    inspect.add_argument("file", metavar="FILE", help="a safetensors file")
    inspect.add_argument("--json", action="store_true", help="print it as JSON, for a program to read")
    inspect.set_defaults(run=_inspect)
    doctor = commands.add_parser("doctor", help="show what works here", description=DOCTOR, formatter_class=raw)
    doctor.add_argument("--json", action="store_true", help="print it as JSON, for a program to read")
    doctor.set_defaults(run=_doctor)
    exercise = commands.add_parser(
        "exercise", help="run the exercise", description=running.DESCRIPTION, formatter_class=raw
    )
    running.add_options(exercise)
    exercise.set_defaults(run=running.run)
    compare.add(commands)
    plugins.add(commands)
    return parser


def _inspect(options: argparse.Namespace) -> int:
    from tinygrad_dnn.models import inspect

    contents = inspect(options.file)
    if options.json:
        _print_json(contents.as_dict())
    else:
        print(contents)
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from tinygrad_dnn.diagnostics import installation

    found = installation.examine()
    if options.json:
        _print_json(found)
    else:
        installation.show(found)
    return 0


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=1))


def _sentence(error: BaseException) -> str:
    """Return what an error says in one line, the system's own with the file that it is about."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}."
    return " ".join(str(error).split()) or type(error).__name__


def run() -> NoReturn:
    """Run the command and leave the process with its status."""
    sys.exit(main())
