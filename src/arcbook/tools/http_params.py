"""Parameters of ``http``."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from arcbook.tools.api import Params

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
