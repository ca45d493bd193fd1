"""``http``: sends a request to a web service and yields what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from arcbook.outcome import Outcome
from arcbook.tools import http_auth
from arcbook.tools.api import Effects, ToolCall, ToolContext, declare, parse
from arcbook.tools.http_params import HttpParams
from arcbook.tools.spec import ToolSpec

if TYPE_CHECKING:
    from arcbook.tools.http_client import HttpClient

RESPONSE_BYTES_MAX: Final = 64 * 1024 * 1024
"""Size of a response's body, unpacked."""

_EFFECTS: Final = {
    "GET": Effects.NONE,
    "HEAD": Effects.NONE,
    "OPTIONS": Effects.NONE,
    "PUT": Effects.IDEMPOTENT,
    "DELETE": Effects.IDEMPOTENT,
}


def effects_of(config: Mapping[str, Any]) -> Effects:
    """Return what repeating a request does, as HTTP defines it for its method."""
    keyed = Effects.KEYED if config.get("idempotency") is not False else Effects.ONCE
    return _EFFECTS.get(_method(config), keyed)


def summary(config: Mapping[str, Any]) -> str:
    """Say which request a call sends, without the query, which may hold secrets."""
    address = str(config.get("url") or "").partition("?")[0]
    return f"send {_method(config)} {address}"


def _method(config: Mapping[str, Any]) -> str:
    return str(config.get("method") or "GET").strip().upper()


KIND = declare(
    "http",
    HttpParams,
    "Sends an HTTP request; its result is the answer's body, status and headers.",
    aliases={"url": ["endpoint"], "json": ["payload"], "verify_ssl": ["verify"]},
    takes_auth=True,
    keys={"auth": http_auth.KEYS},
    choices={
        "auth.type": http_auth.TYPES,
        "auth.source": ("credential", "inline"),
        "auth.in": ("header", "query"),
    },
    result={
        "status_code": "Status code of the answer.",
        "headers": "Headers, each under its name in lower case and under the name that was sent.",
        "url": "Where the answer came from, after redirects.",
        "elapsed": "Time that it took, in seconds.",
        "data": "The body.",
        "body": "The body.",
    },
    effects=[Effects.NONE, Effects.IDEMPOTENT, Effects.KEYED, Effects.ONCE],
    effects_of=effects_of,
    summary=summary,
    example="""
    tool:
      kind: http
      url: https://api.example.com/users
      params: {limit: 10}
      auth: api
    """,
)


class Http:
    """Sends requests over connections that calls share."""

    def __init__(self, response_bytes_max: int = RESPONSE_BYTES_MAX) -> None:
        self._response_bytes_max = response_bytes_max
        self._client: HttpClient | None = None

    async def run(self, call: ToolCall, context: ToolContext) -> Outcome:
        params = parse(HttpParams, call)
        if isinstance(params, Outcome):
            return params
        if self._client is None:
            from arcbook.tools.http_client import HttpClient  # heavy; lint never gets here

            self._client = HttpClient(self._response_bytes_max, context.confinement.egress)
        return await self._client.call(params, call, context)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()


SPEC = ToolSpec(kind=KIND, factory=Http)
