"""The folder of a comparison: what was asked for, and one file for each finished training."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinygrad_dnn.callbacks.locking import FolderLock
from tinygrad_dnn.comparing.running import Job
from tinygrad_dnn.exercise.running import read
from tinygrad_dnn.saving import replace


class Folder:
    """A folder kept for one comparison, until ``close``.

    Args:
        path: The folder, made where there is none.
        asked: What all trainings in it depend on, by option.
        origins: Where each candidate came from.

    Raises:
        ValueError: It is of a comparison that was asked for otherwise; the error names the option.
        RuntimeError: Another process compares in it.
        OSError: It cannot be made or written.

    Example:
        >>> from tinygrad_dnn.comparing.keeping import Folder
        >>> path = getfixture("tmp_path") / "kept"
        >>> Folder(path, {"budget": "3epochs"}, {}).close()
        >>> Folder(path, {"budget": "9epochs"}, {})
        Traceback (most recent call last):
        ValueError: ... holds a comparison with the budget '3epochs', and this one has '9epochs': ask for ...
    """

    def __init__(self, path: Path, asked: Mapping[str, Any], origins: Mapping[str, Any]) -> None:
        self.path = path
        self._lock = FolderLock(str(path))
        try:
            self._claim(dict(asked), dict(origins))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let others have it."""
        self._lock.release()

    def recall(self, job: Job) -> dict[str, Any] | None:
        """Return what is kept of a training, or None.

        Raises:
            ValueError: The file is damaged, or of another training.
        """
        file = self._file(job)
        if not file.exists():
            return None
        said = read(file)
        if not isinstance(said, dict) or not isinstance(said.get("result"), dict) or said.get("job") != _described(job):
            raise ValueError(f"{file} is of another training than it should be: delete it, and it is done again.")
        result: dict[str, Any] = said["result"]
        return result

    def keep(self, job: Job, result: dict[str, Any]) -> None:
        """Write what came of a training; a file is there whole or not at all."""
        file = self._file(job)
        file.parent.mkdir(parents=True, exist_ok=True)
        write(file, {"job": _described(job), "result": result})

    def _file(self, job: Job) -> Path:
        name = re.sub(r"[^\w.-]+", "_", job.label)
        if name != job.label:  # names that differ in what a file's name cannot have are to stay apart
            name = f"{name[:60]}-{hashlib.sha256(job.label.encode()).hexdigest()[:8]}"
        return self.path / "runs" / name / f"{'run' if job.tested else f'trial-{job.rate!r}'}-seed-{job.seed}.json"

    def _claim(self, asked: dict[str, Any], origins: dict[str, Any]) -> None:
        file = self.path / "options.json"
        said = read(file) if file.exists() else {"asked": asked, "origins": origins}
        asked, origins = json.loads(json.dumps([asked, origins]))
        if not isinstance(said, dict) or not all(isinstance(said.get(key), dict) for key in ("asked", "origins")):
            raise ValueError(f"{file} is damaged: give another folder, or delete this one.")
        for option, value in asked.items():
            if said["asked"].get(option) != value:
                raise ValueError(
                    f"{self.path} holds a comparison with the {option} {_shown(said['asked'].get(option))}, and this "
                    f"one has {_shown(value)}: ask for the same, or give this one a folder of its own."
                )
        for label, rows in origins.items():
            before = said["origins"].get(label, rows)
            if before != rows:
                raise ValueError(
                    f"{self.path} holds trainings of {label} from {_sources(before)}, and here it is from "
                    f"{_sources(rows)}: install that one again, or give this comparison a folder of its own."
                )
        write(file, {"asked": asked, "origins": said["origins"] | origins})


def _described(job: Job) -> Any:
    """Return a job as JSON has it, without the path of its data: a file may move, and options.json has its content."""
    return json.loads(json.dumps({key: value for key, value in job.described().items() if key != "dataset"}))


def write(file: Path, said: Any) -> None:
    """Write something as JSON to a file that takes the place of the one before when it is complete."""
    replace(file, [json.dumps(said, indent=1, allow_nan=False).encode("utf-8"), b"\n"])


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:60]}... (SHA-256 {hashlib.sha256(text.encode()).hexdigest()[:8]})"


def _sources(rows: Any) -> str:
    return ", ".join(f"{row['distribution']} {row['version']}".strip() for row in rows) or "tinygrad-dnn itself"
