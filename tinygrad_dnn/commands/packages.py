"""Writing a new plugin's package: a module with its entry point, tests, a README and a workflow that runs the tests."""

from __future__ import annotations

import difflib
import keyword
import re
from importlib import resources
from pathlib import Path
from string import Template
from typing import NamedTuple

import tinygrad_dnn
from tinygrad_dnn import registry
from tinygrad_dnn.registration import KINDS, Kind, snake_case

# What may call itself a function in a template would be hidden by one of these names.
_TAKEN = frozenset({"hookimpl", "np", "td", "test", "x"})
_FUNCTIONS = frozenset({"activations", "losses"})
_USE = {
    "activations": 'layer = td.layers.Dense(100, activation="{name}")',
    "initializers": 'layer = td.layers.Dense(100, kernel_initializer="{name}")',
    "optimizers": 'model.compile(optimizer="{name}", loss="mse")',
    "schedulers": 'optimizer = td.optimizers.SGD(td.schedulers.get("{name}"))',
    "regularizers": 'layer = td.layers.Dense(100, kernel_regularizer="{name}")',
    "constraints": 'layer = td.layers.Dense(100, kernel_constraint="{name}")',
    "losses": 'model.compile(optimizer="adam", loss="{name}")',
    "metrics": 'model.compile(optimizer="adam", loss="mse", metrics=["{name}"])',
    "layers": 'layer = td.layers.get("{name}")',
    "callbacks": 'model.fit(x, y, callbacks=[td.callbacks.get("{name}")])',
}


class Names(NamedTuple):
    """What a new plugin is called in each of its places.

    Args:
        name: Its registered name, in snake case.
        class_name: The class's name, where it is one.
        distribution: The name that pip installs it by.
        module: The module's name.

    Example:
        >>> from tinygrad_dnn.commands import packages
        >>> packages.names_of("SignSGD").distribution
        'tinygrad-dnn-sign-sgd'
    """

    name: str
    class_name: str
    distribution: str
    module: str


def kind_of(text: str) -> Kind:
    """Return the kind that is called so, in the singular or the plural.

    Raises:
        ValueError: None is.

    Example:
        >>> from tinygrad_dnn.commands import packages
        >>> packages.kind_of("optimizer").plural
        'optimizers'
    """
    for kind in KINDS:
        if text.lower() in (kind.singular, kind.plural):
            return kind
    singulars = [kind.singular for kind in KINDS]
    near = difflib.get_close_matches(text.lower(), singulars, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(singulars)}."
    raise ValueError(f"{text!r} is no kind of plugin: {hint}")


def names_of(text: str) -> Names:
    """Return a new plugin's names; it may be given in snake case, with hyphens, or as a class's name.

    Raises:
        ValueError: It cannot be a name.

    Example:
        >>> from tinygrad_dnn.commands import packages
        >>> packages.names_of("bent-identity")
        Names(name='bent_identity', class_name='BentIdentity', ..., module='tinygrad_dnn_bent_identity')
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*([_-][A-Za-z0-9]+)*", text) or len(text) > 60:
        raise ValueError(
            f"{text!r} cannot be a plugin's name: take at most 60 letters and digits, a letter first, and '_' or '-' "
            "between words, as in bent_identity or BentIdentity."
        )
    name = snake_case(text.replace("-", "_"))
    if keyword.iskeyword(name) or name in _TAKEN:
        raise ValueError(f"{text!r} cannot be a plugin's name: {name!r} has a meaning in Python or in its module.")
    words = re.split(r"[_-]", text)
    class_name = text if len(words) == 1 and text != text.lower() else "".join(word.title() for word in words)
    hyphenated = name.replace("_", "-")
    return Names(name, class_name, f"tinygrad-dnn-{hyphenated}", f"tinygrad_dnn_{name}")


def files_of(kind: Kind, names: Names) -> dict[str, str]:
    """Return the files of a new plugin's package, by their paths in its folder.

    Example:
        >>> from tinygrad_dnn.commands import packages
        >>> list(packages.files_of(packages.kind_of("loss"), packages.names_of("huge")))[0]
        'pyproject.toml'
    """
    if kind.plural in _FUNCTIONS or snake_case(names.class_name) == names.name:
        registered = names.name if kind.plural in _FUNCTIONS else names.class_name
    else:  # the name cannot be told from the class's: two_2 from Two2
        registered = f'{names.class_name}, name="{names.name}"'
    values = {
        **names._asdict(),
        "an": kind.one.split()[0],
        "singular": kind.singular,
        "plural": kind.plural,
        "registered": registered,
        "use": _USE[kind.plural].format(name=names.name),
        "version": tinygrad_dnn.__version__,
    }
    templates = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"{names.module}.py": f"{kind.singular}.py",
        f"tests/test_{names.name}.py": f"{kind.singular}_test.py",
        "tests/test_conformance.py": "conformance_test.py",
        ".github/workflows/tests.yml": "workflow.yml",
        ".gitignore": "gitignore",
    }
    folder = resources.files("tinygrad_dnn.commands") / "templates"
    return {
        path: Template((folder / f"{template}.txt").read_text(encoding="utf-8")).substitute(values)
        for path, template in templates.items()
    }


def write(kind: Kind, text: str, folder: Path | None = None) -> Path:
    """Write a new plugin's package, and return its folder.

    Args:
        kind: What it registers.
        text: Its name, as ``names_of`` takes it.
        folder: Where to write; by default a folder named like the distribution, here. It must be new or empty.

    Raises:
        ValueError: It cannot be a name, or is a built-in's.
        FileExistsError: There is something in the folder.

    Example:
        >>> from tinygrad_dnn.commands import packages
        >>> packages.write(packages.kind_of("loss"), "relative_error", getfixture("tmp_path") / "new").name
        'new'
    """
    names = names_of(text)
    known = {each.kind: each for each in registry.REGISTRIES}[kind.plural]
    spellings = dict.fromkeys((names.name, names.class_name.lower()))
    if taken := [each for each in spellings if each in known.builtins()]:
        raise ValueError(f"{taken[0]!r} is a built-in {kind.singular}'s name, which no plugin can take: use another.")
    target = Path(names.distribution) if folder is None else folder
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(f"{target} is there already and is not empty: name another folder by --folder.")
    for path, content in files_of(kind, names).items():
        file = target / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
    return target
