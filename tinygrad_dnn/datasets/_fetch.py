"""Finds a published file on this machine, or downloads it; nothing is used before its content is checked."""

import hashlib
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from tinygrad_dnn.datasets._files import FOLDER_VARIABLE, DataFile, DatasetError, check_content

CONNECT_TIMEOUT = 10.0
"""How many seconds a server has to accept a connection."""
READ_TIMEOUT = 30.0
"""How many seconds a server may stay silent."""
MOST_REDIRECTS = 5
_CHUNK = 1 << 16


def open_file(file: DataFile, folders: Sequence[Path]) -> BinaryIO:
    """Open ``file`` from the first of ``folders`` that has it; where none has, download it to the first.

    Args:
        file: the published file.
        folders: at least one folder; none need exist.

    Returns:
        The open file, checked, at its start; the caller closes it.

    Raises:
        DatasetError: the file cannot be downloaded, or is not the published one.
        ModuleNotFoundError: it must be downloaded, and pooch is not installed.
    """
    path = next((folder / file.name for folder in folders if (folder / file.name).exists()), None)
    if path is None:
        path = _download(file, folders[0])
    # A named pipe or a device would let `open` or `read` wait for ever.
    if not path.is_file():
        raise DatasetError(f"{path} is not a regular file, expected the published {file.name}: remove it.")
    opened = path.open("rb")
    try:
        remedy = f"put the published {file.name} in its place, or remove it so that it is downloaded"
        check_content(opened, path, file, remedy)
    except BaseException:
        opened.close()
        raise
    return opened


class _WrongContentError(Exception):
    """What a server sends cannot be the published file; the message says what came."""


def _download(file: DataFile, folder: Path) -> Path:
    """Download ``file`` to ``folder`` from the first address that has the published content."""
    by_hand = f"put {file.name} (SHA-256 {file.sha256}) into {folder} yourself"
    try:
        import pooch
        import requests
        import urllib3
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{file.name} is not in {folder}, and downloading it needs {error.name}, which is not installed: "
            f'run pip install "tinygrad-dnn[data]", or {by_hand}.',
            name=error.name,
        ) from error

    failures = []
    handled = sys.exception()
    for url in file.urls:
        print(f"Downloading {url} ({file.size:,} bytes) to {folder}", file=sys.stderr)
        try:
            with _without_info(pooch.get_logger()):
                # Pooch has a temporary name written to, checks the SHA-256 again, and then renames.
                pooch.retrieve(
                    url,
                    known_hash=f"sha256:{file.sha256}",
                    fname=file.name,
                    path=folder,
                    downloader=lambda url, output, _: _stream(url, Path(output), file),
                )
            return folder / file.name
        except (_WrongContentError, requests.RequestException, urllib3.exceptions.HTTPError) as error:
            failures.append(f"{url} ({_reason(error, handled)})")
        except OSError as error:
            raise DatasetError(
                f"{file.name} cannot be stored in {folder} ({_reason(error, handled)}): set {FOLDER_VARIABLE} to a "
                f"folder that can be written to and has {file.size:,} bytes free."
            ) from error
    raise DatasetError(
        f"{file.name} could not be downloaded from {' nor '.join(failures)}: check the network, or {by_hand}."
    )


def _stream(url: str, output: Path, file: DataFile) -> None:
    """Write what ``url`` sends to the existing path ``output``, and stop where it cannot be ``file``."""
    import requests

    with requests.Session() as session:
        session.max_redirects = MOST_REDIRECTS
        with session.get(
            url,
            stream=True,
            timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
            headers={"Accept-Encoding": "identity"},
        ) as response:
            response.raise_for_status()
            announced = response.headers.get("Content-Length", str(file.size))
            if announced != str(file.size):
                raise _WrongContentError(f"it announces {announced} bytes, expected {file.size}")
            # Undecoded: some servers declare a .gz file to be compressed in transit; it would come unpacked.
            _write(response.raw.stream(_CHUNK, decode_content=False), output, file)


def _write(chunks: Iterator[bytes], output: Path, file: DataFile) -> None:
    """Write ``chunks`` to ``output``; raise `_WrongContentError` unless together they are ``file``."""
    received = 0
    digest = hashlib.sha256()
    # Pooch made the temporary file readable by its owner alone, and the finished one would stay so, also in a
    # folder that several users share.
    output.unlink()
    with output.open("xb") as written, _progress(file) as advance:
        for chunk in chunks:
            received += len(chunk)
            if received > file.size:
                raise _WrongContentError(f"it sends more than the expected {file.size} bytes")
            digest.update(chunk)
            written.write(chunk)
            advance(len(chunk))
    if received < file.size:
        raise _WrongContentError(f"it ended after {received} of {file.size} bytes")
    if digest.hexdigest() != file.sha256:
        raise _WrongContentError(f"what it sends has the SHA-256 {digest.hexdigest()}")


@contextmanager
def _progress(file: DataFile) -> Iterator[Callable[[int], None]]:
    """Show a progress bar while the block runs, where stderr is a terminal; yield what advances it."""
    if not sys.stderr.isatty():
        yield lambda count: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress("{task.description}", *columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(file.name, total=file.size)
        yield lambda count: bar.advance(task, count)


@contextmanager
def _without_info(logger: logging.Logger) -> Iterator[None]:
    """Silence ``logger`` below warnings while the block runs: the download was announced already."""

    # A filter of its own rather than the level, which another thread might save and restore in between.
    def is_warning(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING

    logger.addFilter(is_warning)
    try:
        yield
    finally:
        logger.removeFilter(is_warning)


def _reason(error: BaseException, handled: BaseException | None) -> str:
    """Say in a few words why a download failed, whose caller was handling ``handled``."""
    import requests
    import urllib3

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"HTTP status {error.response.status_code} {error.response.reason}"
    if isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError)):
        return f"no answer within {CONNECT_TIMEOUT:g} s, or silent for {READ_TIMEOUT:g} s"
    if isinstance(error, requests.TooManyRedirects):
        return f"more than {MOST_REDIRECTS} redirects"
    # The outer errors of a failed connection say only that it failed; the innermost says why. What the caller was
    # handling hangs below that, and has nothing to do with it.
    while (inner := error.__cause__ or error.__context__) not in (None, handled):
        error = inner
    return str(error) or type(error).__name__
