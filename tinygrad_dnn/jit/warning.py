"""Warning: what a user is told of a program that runs otherwise than it was meant to."""

from __future__ import annotations

import sys
import warnings

from tinygrad_dnn.debugging import users_place


def warn(text: str) -> None:
    """Warn, pointing to the line outside of the package that led here."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and not users_place([(frame, frame.f_lineno)]):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, stacklevel=level)
