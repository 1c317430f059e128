"""Where those names in a model's file come from that are not built in, and whether a reader has them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from tinygrad_dnn import registry
from tinygrad_dnn.registration import LOCAL, Origin
from tinygrad_dnn.saving.errors import FileError

# What is printed as a command must be nothing but a name and a version.
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+!_-]{0,98}")
_OBJECT = re.compile(r"\w[\w.-]{0,98}")


class FileWarning(UserWarning):
    """A file was written with another version of a plugin.

    Example:
        >>> issubclass(td.models.FileWarning, UserWarning)
        True
    """


def written(origins: Iterable[Origin], functions: Iterable[str]) -> list[dict[str, str]]:
    """Return a row for each name that a file takes from a plugin or from the program that writes it.

    Example:
        >>> td.models.origins.written([], ["my_loss"])[0]["name"]
        'my_loss'
    """
    own = (Origin("functions", name, LOCAL, "", "", "") for name in functions)
    return [origin.row for origin in dict.fromkeys((*origins, *own))]


def check(rows: list[Any], custom_objects: Mapping[str, Any]) -> None:
    """Raise FileError for the first name that nothing here stands for; warn of a plugin of another version.

    Example:
        >>> td.models.origins.check([], {})
    """
    given = {name.lower() for name in custom_objects}
    known = {names.kind: names for names in registry.REGISTRIES}
    told: set[str] = set()
    for row in rows:
        origin = _as_origin(row)
        if origin.name.lower() in given or origin.name in custom_objects:
            continue
        if origin.distribution == LOCAL:
            if origin.kind not in known or origin.name not in known[origin.kind]:
                raise FileError(_lacks_own(origin))
            continue
        if origin.kind not in known:
            raise FileError(f"it needs the plugin of a kind, {origin.kind!r}, which there is not")
        try:
            found = known[origin.kind].origin(f"{origin.distribution}:{origin.name}")
        except registry.UnknownNameError:
            raise FileError(_lacks_plugin(origin, known[origin.kind])) from None
        if found.version != origin.version and origin.distribution not in told:
            told.add(origin.distribution)
            warnings.warn(
                f"the file was written with {origin.distribution} {origin.version}, and {found.version} is installed: "
                f"if it acts otherwise, pip install {origin.distribution}=={origin.version}.",
                FileWarning,
                stacklevel=3,
            )


def as_version(value: Any) -> str:
    """Return a version from a file, empty where it is none.

    Example:
        >>> td.models.origins.as_version("1.0"), td.models.origins.as_version("1; rm")
        ('1.0', '')
    """
    return value if isinstance(value, str) and _VERSION.fullmatch(value) else ""


def _as_origin(row: Any) -> Origin:
    fields = ("name", "kind", "distribution", "version", "entry_point")
    values = (str(row.get(field, "\n")) if isinstance(row, dict) else "\n" for field in fields)
    name, kind, distribution, version, entry_point = values
    fits = (
        _OBJECT.fullmatch(name)
        and _OBJECT.fullmatch(kind)
        and _NAME.fullmatch(distribution)
        and (distribution == LOCAL or _VERSION.fullmatch(version))
    )
    if not fits:
        raise FileError("what it says of a plugin that it needs is damaged")
    return Origin(kind, name, distribution, version, entry_point, "")


def _lacks_own(origin: Origin) -> str:
    what = origin.kind.removesuffix("s")
    return (
        f"it needs the {what} {origin.name!r} of the program that saved it: load it with "
        f"custom_objects={{{origin.name!r}: ...}}"
        + ("" if origin.kind == "functions" else f", or register it by td.registry.{origin.kind}.register")
    )


def _lacks_plugin(origin: Origin, names: registry.Registry) -> str:
    there = [line for line in names.host.load_plugins() if line.startswith(f"{origin.distribution} ")]
    needs = f"it needs {names.row.one} {origin.name!r} of the plugin {origin.distribution} {origin.version}"
    if there:
        return f"{needs}, which is installed and not used ({there[0]})"
    return f"{needs}: pip install {origin.distribution}=={origin.version}"
