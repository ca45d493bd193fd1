"""Connections: their number, idle time, and minimum read speed."""

from __future__ import annotations

import asyncio
import resource
from typing import Any, Final

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES_MAX: Final = 64 * 1024
"""Maximum size of a request's head beyond its first part."""

WRITE_BYTES_MIN: Final = 64 * 1024
"""Bytes that a client must read between two checks."""

OTHER_FILES: Final = 128
"""Open files of the process other than connections to the API."""

CROWDED: Final = "arcbook.is_crowded"
"""Scope key that marks requests on spare connections."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of connections."""

    connections_max: int = 1000
    spare_connections: int = 64
    head_seconds: float = 10.0
    write_seconds: float = 30.0
    idle_seconds: float = 5.0


def with_files(limits: Limits) -> Limits:
    """Return limits that fit the process's open-file limit, which is raised if possible."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = limits.connections_max + limits.spare_connections + OTHER_FILES
    if soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    available = max(1, soft - OTHER_FILES - limits.spare_connections)
    return msgspec.structs.replace(limits, connections_max=min(limits.connections_max, available))


class Crowded:
    """Marks requests that arrived on a spare connection."""

    def __init__(self, app: Any) -> None:
        self._app: ASGIApp = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[CROWDED] = True
        await self._app(scope, receive, send)


class Connection(HttpToolsProtocol):
    """A connection that closes when its client is too slow."""

    limits = Limits()

    _head_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None
    _is_in_head = False
    _head_bytes = 0
    _written_off = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        limits, count = self.limits, len(self.connections)
        if count > limits.connections_max + limits.spare_connections:
            self._refuse(503, "too many connections are open; try again")
            return
        if count > limits.connections_max:
            self.app = Crowded(self.app)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop(self._head_timer)
        self._stop(self._write_timer)
        super().connection_lost(exc)

    # -- receiving --------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        was_in_head = self._is_in_head
        super().data_received(data)
        if was_in_head and self._is_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self._refuse(431, "the head of the request is too long")

    def on_message_begin(self) -> None:
        self._is_in_head = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        self._stop(self._head_timer)
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.pipeline and not self.transport.is_closing():
            self._await_head()

    def _await_head(self) -> None:
        self._stop(self._head_timer)
        self._head_timer = self.loop.call_later(self.limits.head_seconds, self._head_is_late)

    def _head_is_late(self) -> None:
        if self._is_in_head:
            self._refuse(408, "the request did not arrive in time")
        else:
            self.transport.close()

    # -- sending ----------------------------------------------------------------------

    def pause_writing(self) -> None:
        super().pause_writing()
        self._await_reader()

    def resume_writing(self) -> None:
        self._stop(self._write_timer)
        super().resume_writing()

    def _await_reader(self) -> None:
        self._stop(self._write_timer)
        self._written_off = self.transport.get_write_buffer_size()
        self._write_timer = self.loop.call_later(self.limits.write_seconds, self._look_at_reader)

    def _look_at_reader(self) -> None:
        sent = self._written_off - self.transport.get_write_buffer_size()
        if sent < WRITE_BYTES_MIN:
            self.transport.abort()
        else:
            self._await_reader()

    # -- closing ----------------------------------------------------------------------

    def _refuse(self, status: int, message: str) -> None:
        """Send an error without a request, and close the connection."""
        body = msgspec.json.encode({"error": message, "status": status, "detail": message})
        head = (
            f"HTTP/1.1 {status} {_REASONS[status]}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nretry-after: 1\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    @staticmethod
    def _stop(timer: asyncio.TimerHandle | None) -> None:
        if timer is not None:
            timer.cancel()


_REASONS: Final = {
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}


def limited(limits: Limits) -> type[Connection]:
    """Return the protocol of connections with some limits."""
    return type("LimitedConnection", (Connection,), {"limits": with_files(limits)})
