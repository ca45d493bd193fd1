"""Listening: uvicorn around the application, in the loop that the server runs in."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn
from starlette.types import ASGIApp

from arcbook.server.http.access import check_binding
from arcbook.server.http.settings import HttpSettings
from arcbook.settings import SettingsError

STOP_SECONDS = 5
"""Time that requests have to be answered when a server stops."""


class ListenError(SettingsError):
    """The server cannot listen where it was told to."""


class _Served(uvicorn.Server):
    """A server that leaves signals to its process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listening(host: str, port: int, settings: HttpSettings) -> socket.socket:
    """Return a socket that listens.

    Raises:
        UnsafeBindingError: other machines could reach it without authentication.
        ListenError: the address cannot be had.
    """
    check_binding(host, settings)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen(1024)
    except OSError as error:
        made.close()
        raise ListenError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    return made


@contextlib.asynccontextmanager
async def served(app: ASGIApp, on: socket.socket) -> AsyncIterator[None]:
    """Serve an application on a socket that listens."""
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    server = _Served(config)
    running = asyncio.create_task(server.serve([on]))
    try:
        yield
    finally:
        server.should_exit = True
        await running
