"""A web service that playbooks call: it takes note of requests, and holds some of them."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

PATIENCE_SECONDS = 30.0


class Request(NamedTuple):
    """What was asked."""

    path: str
    headers: dict[str, str]
    body: str

    @property
    def key(self) -> str:
        """The idempotency key."""
        return self.headers.get("Idempotency-Key", "")


class Service:
    """Answers every request with what it was asked.

    A request for a path in ``held`` is not answered until it is released. One for a path
    in ``broken`` is answered with status 503, as often as the number there says.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.held: set[str] = set()
        self.broken: dict[str, int] = {}
        self._changed = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def paths(self) -> list[str]:
        return [request.path for request in self.requests]

    def wait_for(self, path: str, times: int = 1) -> None:
        """Wait until a path was asked for, some times."""
        with self._changed:
            came = self._changed.wait_for(
                lambda: self.paths().count(path) >= times, PATIENCE_SECONDS
            )

        assert came, f"{path} was never asked for, only {self.paths()}"

    def release(self, path: str) -> None:
        """Answer requests for a path from now on, and those that wait."""
        with self._changed:
            self.held.discard(path)
            self._changed.notify_all()

    def take(self, request: Request) -> int:
        """Take note of a request, wait as long as it is held, return the status."""
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()
            self._changed.wait_for(lambda: request.path not in self.held)
            left = self.broken.get(request.path, 0)
            self.broken[request.path] = max(0, left - 1)
        return 503 if left else 200

    def close(self) -> None:
        with self._changed:
            self.held.clear()
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()

    @contextlib.contextmanager
    def serving(self) -> Iterator[Service]:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield self
        finally:
            self.close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                headers = {k: v.encode("latin-1").decode() for k, v in self.headers.items()}
                request = Request(self.path, headers, body)
                status = service.take(request)
                answer: dict[str, Any] = {"path": request.path, "headers": request.headers}
                with contextlib.suppress(ValueError):
                    answer["body"] = json.loads(body or "null")
                with contextlib.suppress(OSError):  # who asked may be gone
                    self._answer(status, json.dumps(answer).encode())

            do_GET = do_POST  # noqa: N815  # as the base class calls it

            def _answer(self, status: int, data: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler
