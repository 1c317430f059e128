"""Where a platform keeps what programs store for a user and can make again."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def user_cache() -> Path:
    """Return the package's folder among the user's caches; it need not exist.

    The caches are in ``$XDG_CACHE_HOME`` or ``~/.cache`` on Linux, in ``~/Library/Caches`` on macOS, and in
    ``%LOCALAPPDATA%`` on Windows.

    Raises:
        RuntimeError: The user has no home.

    Example:
        >>> from tinygrad_dnn.folders import user_cache
        >>> user_cache().name
        'tinygrad_dnn'
    """
    if sys.platform == "darwin":
        caches = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        caches = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        caches = Path(os.environ.get("XDG_CACHE_HOME", ""))
        # The XDG specification has a relative path ignored: it would mean another folder after each chdir.
        if not caches.is_absolute():
            caches = Path.home() / ".cache"
    return caches / "tinygrad_dnn"
