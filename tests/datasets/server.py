"""A web server on this machine that misbehaves as told."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tinygrad_dnn.datasets._files import DataFile

Answer = Callable[[BaseHTTPRequestHandler], None]


class Server(ThreadingHTTPServer):
    """Answers each path as the function in ``answers`` says, and keeps the paths that were asked for."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.ending = threading.Event()

    def url(self, path: str = "/file") -> str:
        """Return the address of ``path`` on this server."""
        return f"http://127.0.0.1:{self.server_port}{path}"

    def add(self, answer: Answer, path: str = "/file") -> None:
        """Have ``path`` answered by ``answer``."""
        self.answers[path] = answer

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that went away: many tests are of that."""


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.server.answers[self.path](self)

    def log_message(self, format: str, *args: object) -> None:
        """Keep the tests' output clean."""


def sends(body: bytes, announced: int | None = -1, status: int = 200, **headers: str) -> Answer:
    """Answer with ``body``; ``announced`` is the Content-Length: -1 for the right one, None for none."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        if announced is not None:
            handler.send_header("Content-Length", str(len(body) if announced < 0 else announced))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def sends_then_waits(body: bytes, announced: int) -> Answer:
    """Answer with ``body`` out of ``announced`` bytes, and keep the connection open without another byte."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        sends(body, announced)(handler)
        handler.server.ending.wait(30)

    return answer


def published(content: bytes, *urls: str, name: str = "images.gz") -> DataFile:
    """Return the description of a file that should hold ``content``."""
    return DataFile(name, len(content), hashlib.sha256(content).hexdigest(), urls)
