"""``http``: sends a request to a web service and yields what it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arcbook.outcome import Outcome
from arcbook.tools import http_auth
from arcbook.tools.api import ToolCall, ToolContext, declare, parse
from arcbook.tools.http_params import HttpParams

if TYPE_CHECKING:
    from arcbook.tools.http_client import HttpClient

RESPONSE_BYTES_MAX: Final = 64 * 1024 * 1024
"""Size of a response's body, unpacked."""

KIND = declare(
    "http",
    HttpParams,
    "Sends an HTTP request; its result is the answer's body, status and headers.",
    aliases={"url": ["endpoint"], "json": ["payload"], "verify_ssl": ["verify"]},
    takes_auth=True,
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

            self._client = HttpClient(self._response_bytes_max)
        return await self._client.call(params, call, context)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()


TOOL = Http
