"""The settings of the HTTP API: limits, tokens, origins."""

from __future__ import annotations

import msgspec


class HttpSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How one server's API behaves. The defaults are for a server on loopback."""

    #: Bytes of a request's body ...
    body_bytes_max: int = 4 * 1024 * 1024
    #: ... and of one that puts a result.
    result_bytes_max: int = 64 * 1024 * 1024
    #: API tokens: SHA-256 of the token as hex, and the scope that it gives.
    tokens: dict[str, str] = {}
    #: Token of ``/api/internal``; without one nothing there answers.
    internal_token: str = ""
    #: Days for which executions that ended are kept at least.
    retention_days: float = 30.0
    #: Origins of web pages that may call the API; none by default.
    origins: tuple[str, ...] = ()
    #: Whether ``/metrics`` is there.
    metrics: bool = True
    #: Event streams that may be open at once.
    streams_max: int = 1000
    #: Seconds within which a repeated idempotency key means the same execution.
    dedup_seconds: float = 300.0
