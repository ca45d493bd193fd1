"""How a server is reached: HTTP with events or without, or a program's streams."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx2
import msgspec
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from arcbook.egress import Egress
from arcbook.tools.confinement import Confinement

ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
"""Size of all that a server sends in one call."""

ERRORS_CHARS_MAX: Final = 2000
"""What of a program's stderr is told when it fails."""


class TooMuchError(OSError):
    """A server sends more than is taken."""


class Where(msgspec.Struct, frozen=True, kw_only=True):
    """A server, and what proves to it who asks."""

    endpoint: str = ""
    command: str = ""
    args: list[str] = []
    env: dict[str, str] = {}
    cwd: str | None = None
    headers: dict[str, str] = {}
    query: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"Where({self.address!r})"

    @property
    def address(self) -> str:
        """Where it is, without what may be secret in it."""
        return self.command or self.endpoint.partition("?")[0]


class Seen:
    """What came over a connection, as far as it explains failures."""

    def __init__(self) -> None:
        self.status = 0
        self.errors = ""
        self.bytes = 0


class _Transport(httpx2.AsyncHTTPTransport):
    """Connects to addresses that were looked at, and counts what comes."""

    def __init__(self, egress: Egress, exchange: Seen) -> None:
        super().__init__(trust_env=False)
        self._egress = egress
        self._seen = exchange

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        host = request.url.host
        port = request.url.port or (443 if request.url.scheme == "https" else 80)
        address = (await self._egress.resolve(host, port))[0]
        request.extensions = {**request.extensions, "sni_hostname": host}
        request.url = request.url.copy_with(host=address)
        response = await super().handle_async_request(request)
        self._seen.status = response.status_code
        response.stream = _Counted(response.stream, self._seen)
        return response


class _Counted(httpx2.AsyncByteStream):
    def __init__(self, stream: Any, exchange: Seen) -> None:
        self._stream = stream
        self._seen = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            self._seen.bytes += len(part)
            if self._seen.bytes > ANSWER_BYTES_MAX:
                raise TooMuchError(f"the server sent more than {ANSWER_BYTES_MAX:,} bytes")
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


def client(where: Where, exchange: Seen, egress: Egress, seconds: float) -> httpx2.AsyncClient:
    """Return what sends the requests of one call."""
    return httpx2.AsyncClient(
        headers=where.headers,
        params=where.query,
        timeout=httpx2.Timeout(seconds),
        transport=_Transport(egress, exchange),
        trust_env=False,
    )


@contextlib.asynccontextmanager
async def over_http(
    where: Where, exchange: Seen, egress: Egress, seconds: float
) -> AsyncIterator[Any]:
    """Yield the streams of a server that speaks streamable HTTP."""
    async with (
        client(where, exchange, egress, seconds) as http,
        streamable_http_client(where.endpoint, http_client=http) as streams,
    ):
        yield streams


@contextlib.asynccontextmanager
async def over_events(
    where: Where, exchange: Seen, egress: Egress, seconds: float
) -> AsyncIterator[Any]:
    """Yield the streams of a server that speaks by events, as older ones do."""

    def new_client(
        headers: Any = None, timeout: Any = None, auth: Any = None
    ) -> httpx2.AsyncClient:
        return client(where, exchange, egress, seconds)

    async with sse_client(where.endpoint, httpx_client_factory=new_client) as streams:
        yield streams


@contextlib.asynccontextmanager
async def over_program(
    where: Where, exchange: Seen, confinement: Confinement
) -> AsyncIterator[Any]:
    """Yield the streams of a program."""
    env = confinement.environment("", where.env)
    parameters = StdioServerParameters(
        command=where.command, args=where.args, env=env, cwd=where.cwd
    )
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        try:
            async with stdio_client(parameters, errlog=errors) as streams:
                yield streams
        finally:
            errors.seek(0)
            exchange.errors = errors.read()[-ERRORS_CHARS_MAX:].strip()
