"""Serve the application with uvicorn, in the server's event loop."""

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
"""Time limit for running requests when a server stops."""


class ListenError(SettingsError):
    """The server cannot listen on its address."""

    code = "cannot_listen"


class _Served(uvicorn.Server):
    """A uvicorn server that leaves signals to its process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listening(host: str, port: int, settings: HttpSettings) -> socket.socket:
    """Return a listening socket.

    Raises:
        UnsafeBindingError: the API would be open to other machines without authentication.
        ListenError: the address cannot be used.
    """
    check_binding(host, settings)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # By its protocol the loop knows that small writes must not wait for each other: 40 ms each.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise ListenError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    return listener


class Tls(msgspec.Struct, frozen=True, kw_only=True):
    """The server's certificate, and the authority for client certificates."""

    cert: str
    key: str
    #: The authority that must have signed client certificates; empty to require none.
    client_ca: str = ""

    def check(self) -> None:
        """Load the files, so that errors show at start.

        Raises:
            ListenError: a file cannot be used.
        """
        if not (self.cert and self.key):
            raise ListenError(
                "TLS needs both a certificate and its key, for client certificates too"
            )
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
    """Serve an application on a listening socket; yield the service.

    Args:
        app: the application.
        on: the socket, which is closed with the service.
        tls: the certificate; plain HTTP by default.
        before_stop: ends requests that would stay open.
        limits: the limits of connections.
    """
    limits = limits or Limits()
    is_mutual = tls is not None and bool(tls.client_ca)
    config = uvicorn.Config(
        app,
        lifespan="off",
        http=limited(limits),
        ws="none",
        # The application decides which proxies to trust.
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
            raise LoopEndedError("the API stopped serving")

    # A separate service, so that it still reports health after all others have ended.
    service = Service("API")
    with on:  # the server itself closes only what it began to serve
        await service.start()
        running = service.task("serving", serve())
        try:
            yield service
        finally:
            before_stop()
            is_stopping = server.should_exit = True
            await asyncio.wait([running])
            await service.stop()
