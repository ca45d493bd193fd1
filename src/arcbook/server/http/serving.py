"""Listening: uvicorn around the application, in the loop that the server runs in."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator

import msgspec
import uvicorn
from starlette.types import ASGIApp

from arcbook.server.http.access import check_binding
from arcbook.server.http.connections import Limits, limited
from arcbook.server.http.settings import HttpSettings
from arcbook.settings import SettingsError
from arcbook.supervision import LoopEndedError, Service

STOP_SECONDS = 5
"""Time that requests have to be answered when a server stops."""


class ListenError(SettingsError):
    """The server cannot listen where it was told to."""

    code = "cannot_listen"


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
    # By its protocol the loop knows that small writes must not wait for each other: 40 ms each.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen(1024)
    except OSError as error:
        made.close()
        raise ListenError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    return made


class Tls(msgspec.Struct, frozen=True, kw_only=True):
    """How a server shows itself, and which clients it takes."""

    cert: str
    key: str
    #: Who must have signed the certificates of clients; an empty text asks for none.
    client_ca: str = ""

    def check(self) -> None:
        """Load the files, so that a bad one is told at start.

        Raises:
            ListenError: one cannot be used.
        """
        if not (self.cert and self.key):
            raise ListenError("TLS needs both a certificate and its key, also for clients' own")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self.cert, self.key)
            if self.client_ca:
                context.load_verify_locations(self.client_ca)
        except (OSError, ssl.SSLError) as error:
            raise ListenError(f"the certificate or its key cannot be used: {error}") from None


@contextlib.asynccontextmanager
async def served(
    app: ASGIApp,
    on: socket.socket,
    tls: Tls | None = None,
    before_stop: Callable[[], None] = lambda: None,
    limits: Limits | None = None,
) -> AsyncIterator[Service]:
    """Serve an application on a socket that listens; yield the service that does.

    Args:
        app: the application.
        on: the socket.
        tls: how the server shows itself; plain HTTP by default.
        before_stop: has requests end that would stand open.
        limits: what connections may.
    """
    limits = limits or Limits()
    is_mutual = tls is not None and bool(tls.client_ca)
    config = uvicorn.Config(
        app,
        lifespan="off",
        http=limited(limits),
        ws="none",
        # The application knows whom to believe where a request came from.
        proxy_headers=False,
        timeout_keep_alive=limits.idle_seconds,  # type: ignore[arg-type]  # any number will do
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_SECONDS,
        ssl_certfile=tls.cert if tls else None,
        ssl_keyfile=tls.key if tls else None,
        ssl_ca_certs=tls.client_ca if tls and is_mutual else None,
        ssl_cert_reqs=ssl.CERT_REQUIRED if is_mutual else ssl.CERT_NONE,
    )
    server = _Served(config)

    is_stopping = False

    async def serve() -> None:
        await server.serve([on])
        if not is_stopping:
            raise LoopEndedError("the API is served no more")

    # A service of its own: it tells that the server is ill when all else has ended.
    service = Service("API")
    await service.start()
    running = service.task("serving", serve())
    try:
        yield service
    finally:
        before_stop()
        is_stopping = server.should_exit = True
        await asyncio.wait([running])
        await service.stop()
