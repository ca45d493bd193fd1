"""The settings of the HTTP API: limits, tokens, origins."""

from __future__ import annotations

import msgspec

from arcbook.server.http.connections import Limits
from arcbook.server.http.oidc import OidcSettings


class HttpSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one server's API. The defaults are for a server on loopback."""

    #: Maximum size of a request's body ...
    body_bytes_max: int = 4 * 1024 * 1024
    #: ... and of a body that stores a result.
    result_bytes_max: int = 64 * 1024 * 1024
    #: API tokens: the SHA-256 of a token as hex, and its scope.
    tokens: dict[str, str] = {}
    #: Whether the store had tokens when the server began to listen.
    has_stored_tokens: bool = False
    #: The identity provider whose JWTs are accepted; none by default.
    oidc: OidcSettings | None = None
    #: The token of ``/api/internal``; without one its routes are disabled.
    internal_token: str = ""
    #: The worker token derived from the servers' own.
    worker_token: str = ""
    #: Days for which ended executions are kept at least.
    retention_days: float = 30.0
    #: Whether the server listens on loopback only; if so, it may be open.
    is_local: bool = True
    #: Requests of one caller per second, on average; 0 sets no limit.
    requests_per_second: float = 0.0
    #: Addresses and networks of proxies whose ``X-Forwarded-For`` is trusted; none by default.
    proxies: tuple[str, ...] = ()
    #: Web origins that may call the API; none by default.
    origins: tuple[str, ...] = ()
    #: Whether ``/metrics`` is enabled.
    metrics: bool = True
    #: Maximum number of open event streams.
    streams_max: int = 1000
    #: Maximum number of open connections ...
    connections_max: int = 1000
    #: ... and of spare ones, for health checks and callers with full rights.
    spare_connections: int = 64
    #: Time limit in seconds for the complete head of a request ...
    head_seconds: float = 10.0
    #: ... for each next part of its body ...
    body_seconds: float = 20.0
    #: ... and for the client to read the answer.
    write_seconds: float = 30.0
    #: Seconds after which an idle connection is closed.
    idle_seconds: float = 5.0
    #: Seconds for which an idempotency key stays valid.
    dedup_seconds: float = 86_400.0

    @property
    def limits(self) -> Limits:
        """The limits of connections."""
        return Limits(
            connections_max=self.connections_max,
            spare_connections=self.spare_connections,
            head_seconds=self.head_seconds,
            write_seconds=self.write_seconds,
            idle_seconds=self.idle_seconds,
        )
