"""The settings of the HTTP API: limits, tokens, origins."""

from __future__ import annotations

import msgspec

from arcbook.server.http.connections import Limits
from arcbook.server.http.oidc import OidcSettings


class HttpSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How one server's API behaves. The defaults are for a server on loopback."""

    #: Bytes of a request's body ...
    body_bytes_max: int = 4 * 1024 * 1024
    #: ... and of one that puts a result.
    result_bytes_max: int = 64 * 1024 * 1024
    #: API tokens: SHA-256 of the token as hex, and the scope that it gives.
    tokens: dict[str, str] = {}
    #: Whether the store had tokens when the server began to listen.
    has_stored_tokens: bool = False
    #: Whose JWTs are taken; none by default.
    oidc: OidcSettings | None = None
    #: Token of ``/api/internal``; without one nothing there answers.
    internal_token: str = ""
    #: The token of workers that comes of the servers' own.
    worker_token: str = ""
    #: Days for which executions that ended are kept at least.
    retention_days: float = 30.0
    #: Whether the server listens on loopback only: then it may be open.
    is_local: bool = True
    #: Requests of one caller in a second, on average; 0 sets no limit.
    requests_per_second: float = 0.0
    #: Addresses and networks of proxies, whose ``X-Forwarded-For`` is believed; none by default.
    proxies: tuple[str, ...] = ()
    #: Origins of web pages that may call the API; none by default.
    origins: tuple[str, ...] = ()
    #: Whether ``/metrics`` is there.
    metrics: bool = True
    #: Event streams that may be open at once.
    streams_max: int = 1000
    #: Connections that may be open at once ...
    connections_max: int = 1000
    #: ... and those beyond, on which health and callers with full rights are answered alone.
    spare_connections: int = 64
    #: Seconds within which the whole head of a request has to be there ...
    head_seconds: float = 10.0
    #: ... within which its body has to go on, ...
    body_seconds: float = 20.0
    #: ... and within which a caller has to take what is sent to it.
    write_seconds: float = 30.0
    #: Seconds that a connection may stay open without a request.
    idle_seconds: float = 5.0
    #: Seconds within which a repeated idempotency key means the same execution.
    dedup_seconds: float = 86_400.0

    @property
    def limits(self) -> Limits:
        """What connections may."""
        return Limits(
            connections_max=self.connections_max,
            spare_connections=self.spare_connections,
            head_seconds=self.head_seconds,
            write_seconds=self.write_seconds,
            idle_seconds=self.idle_seconds,
        )
