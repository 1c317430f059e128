"""What the environment's variables say: each is read by one of these, and what none of them knows is refused."""

from __future__ import annotations

import os

DEBUG = "TINYGRAD_DNN_DEBUG"
DEBUGS = ("jit", "nans")

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})


def flag(name: str) -> bool:
    """Return whether a variable says yes: 1, true, yes or on; no is 0, false, no, off or nothing, or no such variable.

    Args:
        name: The variable.

    Raises:
        ValueError: It says something else.

    Example:
        >>> from tinygrad_dnn import environment
        >>> environment.flag("NO_SUCH_VARIABLE")
        False
    """
    said = os.environ.get(name, "").strip().lower()
    if said not in _TRUE | _FALSE:
        raise ValueError(
            f"the environment variable {name} must be 1, true, yes or on, or 0, false, no, off or empty, not "
            f"{os.environ[name]!r}."
        )
    return said in _TRUE


def words(name: str, known: tuple[str, ...]) -> frozenset[str]:
    """Return the words that a variable lists, with commas between them; none if there is no such variable.

    Args:
        name: The variable.
        known: What may be among them.

    Raises:
        ValueError: It has another word.

    Example:
        >>> from tinygrad_dnn import environment
        >>> environment.words("NO_SUCH_VARIABLE", ("jit", "nans"))
        frozenset()
    """
    said = frozenset(word.strip() for word in os.environ.get(name, "").lower().split(",")) - {""}
    if not said <= {*known}:
        raise ValueError(
            f"the environment variable {name} must be {' or '.join(known)}, or several with commas between, not "
            f"{os.environ[name]!r}."
        )
    return said
