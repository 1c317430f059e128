"""A published file is found, or downloaded; what is not the published content is never used."""

from __future__ import annotations

import contextlib
import gzip
import logging
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pooch
import pytest

from tests.datasets.server import Answer, Server, published, sends, sends_then_waits
from tinygrad_dnn.datasets import _fetch
from tinygrad_dnn.datasets._files import DataFile, DatasetError

CONTENT = random.Random(0).randbytes(200_000)
SIZE = len(CONTENT)


def fetch(file: DataFile, *folders: Path) -> bytes:
    """Return what `open_file` opens."""
    with _fetch.open_file(file, folders) as opened:
        return opened.read()


def test_first_folder_that_has_the_file_is_used(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    second.mkdir()
    (second / "images.gz").write_bytes(CONTENT)
    assert fetch(published(CONTENT), first, second) == CONTENT
    assert not first.exists()
    first.mkdir()
    (first / "images.gz").write_bytes(b"tampered")
    with pytest.raises(DatasetError, match=r"8 bytes, expected 200,000: put the published images\.gz in its place"):
        fetch(published(CONTENT), first, second)


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: os.mkfifo(path)], ids=["folder", "pipe"])
def test_what_is_no_regular_file_is_refused(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "images.gz")
    with pytest.raises(DatasetError, match=r"images\.gz is not a regular file"):
        fetch(published(CONTENT), tmp_path)


def test_download_is_kept_for_the_next_time(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server.add(sends(CONTENT))
    file = published(CONTENT, server.url())
    folder = tmp_path / "to" / "be made"
    assert fetch(file, folder) == CONTENT
    assert fetch(file, folder) == CONTENT
    assert server.asked == ["/file"]
    assert list(folder.iterdir()) == [folder / "images.gz"]
    # One line, and no bar since stderr is no terminal here.
    assert capsys.readouterr().err == f"Downloading {server.url()} (200,000 bytes) to {folder}\n"


def test_download_is_announced_once(server: Server, tmp_path: Path) -> None:
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append
    logger = pooch.get_logger()
    filters = list(logger.filters)
    logger.addHandler(handler)
    server.add(sends(CONTENT))
    try:
        fetch(published(CONTENT, server.url()), tmp_path)
    finally:
        logger.removeHandler(handler)
    assert not records
    assert logger.filters == filters


def test_download_is_readable_by_whom_the_umask_lets(server: Server, tmp_path: Path) -> None:
    server.add(sends(CONTENT))
    fetch(published(CONTENT, server.url()), tmp_path)
    (tmp_path / "other").touch()
    assert (tmp_path / "images.gz").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("announced", [-1, None])
def test_file_declared_compressed_in_transit_stays_packed(
    server: Server, tmp_path: Path, announced: int | None
) -> None:
    packed = gzip.compress(CONTENT)
    server.add(sends(packed, announced, Content_Encoding="gzip"))
    assert fetch(published(packed, server.url()), tmp_path) == packed


def test_redirect_is_followed(server: Server, tmp_path: Path) -> None:
    server.add(sends(b"", status=302, Location="/elsewhere"))
    server.add(sends(CONTENT), "/elsewhere")
    assert fetch(published(CONTENT, server.url()), tmp_path) == CONTENT


def test_second_address_serves_where_the_first_fails(server: Server, tmp_path: Path) -> None:
    server.add(sends(b"gone", status=404), "/first")
    server.add(sends(CONTENT), "/second")
    assert fetch(published(CONTENT, server.url("/first"), server.url("/second")), tmp_path) == CONTENT
    assert server.asked == ["/first", "/second"]


def sends_without_end(handler: BaseHTTPRequestHandler) -> None:
    """Answer with more and more, until the client goes away."""
    sends(CONTENT, None)(handler)
    while not handler.server.ending.is_set():
        handler.wfile.write(CONTENT)


def hangs(handler: BaseHTTPRequestHandler) -> None:
    """Answer nothing at all."""
    handler.server.ending.wait(30)


BAD_ANSWERS: dict[str, tuple[Answer, str]] = {
    "truncated": (sends(CONTENT[:70_000], SIZE), "IncompleteRead(70000 bytes read, 130000 more expected)"),
    "truncated unannounced": (sends(CONTENT[:70_000], None), "it ended after 70000 of 200000 bytes"),
    "empty": (sends(b""), "it announces 0 bytes, expected 200000"),
    "empty unannounced": (sends(b"", None), "it ended after 0 of 200000 bytes"),
    "other bytes": (sends(bytes(SIZE)), f"what it sends has the SHA-256 {published(bytes(SIZE)).sha256}"),
    "oversize": (sends(CONTENT + b"\0"), "it announces 200001 bytes, expected 200000"),
    "oversize unannounced": (sends(CONTENT + b"\0", None), "it sends more than the expected 200000 bytes"),
    "endless": (sends_without_end, "it sends more than the expected 200000 bytes"),
    "senseless length": (sends(CONTENT[:10], 10**30), f"it announces {10**30} bytes, expected 200000"),
    "not found": (sends(b"no such file", status=404), "HTTP status 404 Not Found"),
    "server error": (sends(CONTENT, status=500), "HTTP status 500 Internal Server Error"),
    "page instead": (sends(b"<html>please log in</html>"), "it announces 26 bytes, expected 200000"),
    "redirect loop": (sends(b"", status=302, Location="/file"), "more than 5 redirects"),
    "silent": (hangs, "silent for 0.3 s"),
    "silent midway": (sends_then_waits(CONTENT[:70_000], SIZE), "silent for 0.3 s"),
}


@pytest.mark.parametrize("case", BAD_ANSWERS)
def test_bad_download_leaves_nothing_and_says_why(case: str, server: Server, tmp_path: Path) -> None:
    answer, reason = BAD_ANSWERS[case]
    server.add(answer)
    file = published(CONTENT, server.url())
    with pytest.raises(DatasetError) as caught:
        fetch(file, tmp_path)
    by_hand = f"put images.gz (SHA-256 {file.sha256}) into {tmp_path} yourself"
    message = str(caught.value)
    assert message.startswith(f"images.gz could not be downloaded from {server.url()} (")
    assert reason in message
    assert message.endswith(f"): check the network, or {by_hand}.")
    assert not list(tmp_path.iterdir())


def test_redirects_are_few(server: Server, tmp_path: Path) -> None:
    server.add(sends(b"", status=302, Location="/file"))
    with pytest.raises(DatasetError):
        fetch(published(CONTENT, server.url()), tmp_path)
    assert len(server.asked) == 1 + 5


def test_redirect_to_a_local_file_is_refused(server: Server, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(CONTENT)
    server.add(sends(b"", status=302, Location=(tmp_path / "secret").as_uri()))
    with pytest.raises(DatasetError, match="No connection adapters were found for 'file:///"):
        fetch(published(CONTENT, server.url()), tmp_path / "data")


def test_no_server_is_said(server: Server, tmp_path: Path) -> None:
    with Server() as gone:
        urls = (gone.url("/first"), gone.url("/second"))
    with pytest.raises(DatasetError) as caught:
        fetch(published(CONTENT, *urls), tmp_path)
    assert all(f"{url} (" in str(caught.value) for url in urls)
    assert str(caught.value).count("Connection refused") == 2


def test_no_network_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def knows_no_name(*arguments: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(socket, "getaddrinfo", knows_no_name)
    url = "https://host.invalid/images.gz"
    file = published(CONTENT, url)
    try:
        raise FileNotFoundError("an error that the caller handles")
    except FileNotFoundError:
        with pytest.raises(DatasetError) as caught:
            fetch(file, tmp_path)
    assert str(caught.value) == (
        f"images.gz could not be downloaded from {url} ([Errno -2] Name or service not known): check the network, "
        f"or put images.gz (SHA-256 {file.sha256}) into {tmp_path} yourself."
    )


def test_folder_that_cannot_be_written_is_said(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match=r"cannot be stored in .*/file \(.*Not a directory.* TINYGRAD_DNN_DATA"):
        fetch(published(CONTENT, server.url()), tmp_path / "file")


def test_full_disk_is_said_and_leaves_nothing(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(chunks: object, output: Path, file: DataFile) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_fetch, "_write", full)
    server.add(sends(CONTENT))
    with pytest.raises(DatasetError, match=r"No space left on device.*200,000 bytes free"):
        fetch(published(CONTENT, server.url()), tmp_path)
    assert not list(tmp_path.iterdir())


def test_missing_pooch_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    file = published(CONTENT, "http://127.0.0.1:9/")
    with pytest.raises(ModuleNotFoundError) as caught:
        fetch(file, tmp_path)
    assert 'needs pooch, which is not installed: run pip install "tinygrad-dnn[data]"' in str(caught.value)
    assert file.sha256 in str(caught.value)
    (tmp_path / "images.gz").write_bytes(CONTENT)
    assert fetch(file, tmp_path) == CONTENT


def test_interrupt_leaves_nothing(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_disk: list[int] = []

    def interrupts(count: int) -> None:
        on_disk.extend(path.stat().st_size for path in tmp_path.iterdir())
        raise KeyboardInterrupt

    monkeypatch.setattr(_fetch, "_progress", lambda file: contextlib.nullcontext(interrupts))
    server.add(sends(CONTENT))
    with pytest.raises(KeyboardInterrupt):
        fetch(published(CONTENT, server.url()), tmp_path)
    assert len(on_disk) == 1
    assert 0 < on_disk[0] < SIZE
    assert not list(tmp_path.iterdir())


def test_killed_download_is_begun_anew(server: Server, tmp_path: Path) -> None:
    half_sent = threading.Event()

    def sends_half(handler: BaseHTTPRequestHandler) -> None:
        sends(CONTENT[: SIZE // 2], SIZE)(handler)
        half_sent.set()
        handler.server.ending.wait(30)

    server.add(sends_half)
    file = published(CONTENT, server.url())
    code = (
        "from pathlib import PosixPath; from tinygrad_dnn.datasets._fetch import open_file;"
        f"from tinygrad_dnn.datasets._files import DataFile; open_file({file!r}, [{tmp_path!r}])"
    )
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as child:
        assert half_sent.wait(30)
        while not any(path.stat().st_size for path in tmp_path.iterdir()):
            assert child.poll() is None
            time.sleep(0.01)
        child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    assert not (tmp_path / "images.gz").exists()
    server.add(sends(CONTENT))
    assert fetch(file, tmp_path) == CONTENT


def test_two_downloads_at_once_do_not_meet(server: Server, tmp_path: Path) -> None:
    both_ask = threading.Barrier(2)

    def waits_for_the_other(handler: BaseHTTPRequestHandler) -> None:
        both_ask.wait(30)
        sends(CONTENT)(handler)

    server.add(waits_for_the_other)
    got: list[bytes] = []
    file = published(CONTENT, server.url())
    threads = [threading.Thread(target=lambda: got.append(fetch(file, tmp_path))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [CONTENT, CONTENT]
    assert list(tmp_path.iterdir()) == [tmp_path / "images.gz"]


def test_bar_is_shown_on_a_terminal(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    server.add(sends(CONTENT))
    assert fetch(published(CONTENT, server.url()), tmp_path) == CONTENT
    captured = capsys.readouterr()
    assert "200.0/200.0 kB" in captured.err
    assert captured.out == ""
