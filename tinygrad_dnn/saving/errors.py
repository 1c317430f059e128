"""FileError: what is wrong with a file that is read, or cannot be put into one."""

from __future__ import annotations


class FileError(ValueError):
    """A file is not what it should be; the message names the file, what is wrong and what to do.

    Example:
        >>> issubclass(td.saving.FileError, ValueError)
        True
    """
