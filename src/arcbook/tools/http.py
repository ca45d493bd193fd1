"""``http``: sends a request to a web service and yields what it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from msgspec import Meta

from arcbook.outcome import Outcome
from arcbook.tools.api import Params, ToolCall, ToolContext, declare, parse

if TYPE_CHECKING:
    from arcbook.tools.http_client import HttpClient

RESPONSE_BYTES_MAX: Final = 64 * 1024 * 1024
"""Size of a response's body, unpacked."""

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")


class HttpParams(Params, frozen=True, kw_only=True):
    """Parameters of ``http``."""

    url: Annotated[str, Meta(description="Address, http or https.")]
    method: Annotated[
        str | None,
        Meta(description="Method, in any case.", extra_json_schema={"enum": list(METHODS)}),
    ] = "GET"
    params: Annotated[
        dict[str, Any] | None,
        Meta(description="Query parameters, added to the URL's. A list repeats its name."),
    ] = None
    headers: Annotated[dict[str, Any] | None, Meta(description="Headers.")] = None
    json: Annotated[Any, Meta(description="Body, sent as JSON.")] = None
    form: Annotated[Any, Meta(description="Body, sent as a form. Unless 'json' is given.")] = None
    data: Annotated[
        Any,
        Meta(
            description="Body: text as it is, a mapping or list as JSON, or as a form if the "
            "Content-Type header says so. A mapping of `query` and `body` is both at once."
        ),
    ] = None
    body: Annotated[Any, Meta(description="The same as data, which comes first.")] = None
    response_type: Annotated[
        Literal["auto", "json", "text", "binary"],
        Meta(
            description="What the body is read as. By itself: by its content type.",
            extra_json_schema={"type": "string"},
        ),
    ] = "auto"
    follow_redirects: Annotated[
        bool | None, Meta(description="Whether to go where the answer redirects to.")
    ] = True
    verify_ssl: Annotated[
        bool | None, Meta(description="Whether the server's certificate must be a valid one.")
    ] = True
    idempotency: Annotated[
        bool | None,
        Meta(description="Whether POST and PATCH carry an Idempotency-Key header."),
    ] = True


KIND = declare(
    "http",
    HttpParams,
    "Sends an HTTP request; its result is the answer's body, status and headers.",
    aliases={"url": ["endpoint"], "json": ["payload"], "verify_ssl": ["verify"]},
    takes_auth=True,
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
