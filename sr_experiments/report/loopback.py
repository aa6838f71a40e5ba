"""A page served to this machine alone.

Every user and every web page of a machine can reach a port of it, so the address has a token that can't be guessed.
"""

import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

from rich.console import Console

from sr_experiments.errors import SRError

HOST = "127.0.0.1"
HTML, JSON, TEXT = "text/html; charset=utf-8", "application/json", "text/plain; charset=utf-8"
HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"}
BLOCK = 2**20  # bytes that are read at once
MOST_DISCARDED = 2**28  # bytes of a refused request's content that are read, so that its sender reads the answer

Answer: TypeAlias = tuple[HTTPStatus, str, bytes | Path]  # status, media type, and content or the file that has it
Query: TypeAlias = Mapping[str, Sequence[str]]


class Content:
    """The content of a request.

    Attributes:
        length: in bytes, as announced.
        left: number of bytes that weren't read yet.
    """

    def __init__(self, file: BufferedIOBase, length: int) -> None:
        self.length = self.left = length
        self._file = file

    def blocks(self) -> Iterator[bytes]:
        """Yield what is left; less than announced if the sender stops."""
        while self.left and (block := self._file.read(min(self.left, BLOCK))):
            self.left -= len(block)
            yield block


class Site:
    """What is served: the page, whose name is empty, and whatever its script asks for."""

    def answer(self, name: str, query: Query) -> Answer:
        """Answer a request for something."""
        return HTTPStatus.NOT_FOUND, TEXT, b"there is no such page"

    def take(self, name: str, query: Query, content: Content) -> Answer:
        """Answer a request to do something."""
        return HTTPStatus.METHOD_NOT_ALLOWED, TEXT, b"nothing can be sent to this page"


class Server(ThreadingHTTPServer):
    """Serves a site to this machine.

    Args:
        site: what is served.
        port: 0 for any that is free.

    Raises:
        SRError: the port is taken or not allowed.
    """

    daemon_threads = True

    def __init__(self, site: Site, port: int) -> None:
        self.site, self.token = site, secrets.token_urlsafe(18)
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise SRError(f"can't serve on port {port} ({error.strerror}): choose another with --port") from error

    @property
    def address(self) -> str:
        """Address of the page, with its token."""
        return f"http://{HOST}:{self.server_port}/{self.token}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a browser closes connections as it likes, and other errors are answered by the handler."""


class _Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = 60  # seconds without a byte

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit() and len(length) < 16):
            self._send((HTTPStatus.LENGTH_REQUIRED, TEXT, b"the length of the content is missing"))
            return
        content = Content(self.rfile, int(length))
        self._answer(content)
        if content.left <= MOST_DISCARDED:
            for _ in content.blocks():
                pass

    def _answer(self, content: Content | None) -> None:
        path, hosts = urlsplit(self.path), {f"{name}:{self.server.server_port}" for name in (HOST, "localhost")}
        _, token, *name = path.path.split("/", 2)
        # Another web site may give its own name this address; its pages then ask with that name.
        if (
            self.headers.get("Host") not in hosts
            or not secrets.compare_digest(token.encode(), self.server.token.encode())
            or not name
        ):
            self._send((HTTPStatus.NOT_FOUND, TEXT, b"open the whole address that was printed"))
            return
        site, query = self.server.site, parse_qs(path.query)
        try:
            answer = site.answer(name[0], query) if content is None else site.take(name[0], query, content)
        except Exception as error:  # the reader should see it, and the others are served on
            answer = HTTPStatus.INTERNAL_SERVER_ERROR, TEXT, f"{type(error).__name__}: {error}".encode()
        self._send(answer)

    def _send(self, answer: Answer) -> None:
        status, kind, content = answer
        size = content.stat().st_size if isinstance(content, Path) else len(content)
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(size)}.items():
            self.send_header(name, value)
        self.end_headers()
        if isinstance(content, Path):
            with content.open("rb") as file:
                while block := file.read(BLOCK):
                    self.wfile.write(block)
        else:
            self.wfile.write(content)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


def serve(site: Site, port: int, what: str, end: str) -> None:
    """Serve a site until Ctrl-C, and print its address, after `what` it is and before what will be at the `end`."""
    with Server(site, port) as server:
        console = Console()
        console.print(f"{what}: open", highlight=False)
        console.print(f"  {server.address}", soft_wrap=True, markup=False, highlight=False)
        far = f"ssh -N -L {server.server_port}:{HOST}:{server.server_port} <this machine>"
        console.print(f"in a browser on this machine; from another one, first {far}", soft_wrap=True, markup=False)
        console.print(f"Ctrl-C ends it; {end}", highlight=False)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            while thread.is_alive():
                time.sleep(0.5)
        except KeyboardInterrupt:
            server.shutdown()
