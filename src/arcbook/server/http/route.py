"""The route table: what a route is, and how a request becomes a call of its handler."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from arcbook import jsons
from arcbook.nesting import NESTING_MAX
from arcbook.server.http.access import Caller
from arcbook.server.http.context import RequestContext
from arcbook.server.http.errors import REFUSALS, ApiError, error_response, refusal_of
from arcbook.server.http.fitness import BAD, Texts, nests_too_deeply
from arcbook.wire.http.common import identity

BODY_PART_BYTES: Final = 16 * 1024
"""Part of a body that must arrive in each interval, so that slow senders are cut off."""

_UNUSUAL: Final = re.compile(rb"\\u[dD][89a-fA-F]|[eE]\+?\d{3}|\d{309}")
"""Half surrogates and numbers that no float is as large as, which the fast decoder rejects."""

BODY: Final = "arcbook.body"
"""Where the scope of a request keeps its JSON body."""

_FIELDS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])

ENCODER: Final = msgspec.json.Encoder()

Struct = TypeVar("Struct")


class Call:
    """One request, as its handler sees it."""

    __slots__ = ("body", "context", "query", "request", "subject")

    def __init__(self, request: Request, context: RequestContext, body: Any, query: Any) -> None:
        self.request = request
        self.context = context
        #: The decoded body, of the route's type.
        self.body = body
        #: The decoded query, of the route's type.
        self.query = query
        #: What was changed, for the audit.
        self.subject = " ".join(map(str, request.path_params.values()))

    @property
    def caller(self) -> Caller:
        """The caller of the request."""
        caller: Caller = self.request.scope["arcbook.caller"]
        return caller

    def unknown_fields(self) -> list[str]:
        """Return the fields of the body, a mapping, that its type does not have."""
        try:
            fields = _FIELDS.decode(self.request.scope[BODY])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return []
        return [name for name in fields if name not in self.body.__struct_fields__]

    def param(self, name: str) -> str:
        """Return a path parameter."""
        return str(self.request.path_params[name])

    def id(self, name: str = "execution_id") -> int:
        """Return a path parameter that is an id.

        Raises:
            ApiError: it is not a valid id.
        """
        return an_id(self.param(name), name)

    def header(self, name: str) -> str:
        """Return a header, or an empty string."""
        return self.request.headers.get(name, "")


Handler = Callable[[Call], Awaitable[Any]]


@dataclass(frozen=True, kw_only=True)
class Route:
    """A route, with everything its documentation needs."""

    method: str
    path: str
    handler: Handler
    tag: str
    summary: str
    description: str = ""
    #: The type of the answer.
    answer: Any = None
    answer_example: Any = None
    status: int = 200
    media_type: str = "application/json"
    #: Other media types of the answer, for clients that accept them, with their schemas.
    other_types: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    body_example: Any = None
    #: Whether the body may be absent; the defaults apply then.
    body_optional: bool = False
    query: type | None = None
    #: The scope that a caller needs: ``open``, ``viewer``, ``operator``, ``editor``, ``admin``
    #: or, separate from these, ``internal``.
    scope: str = "viewer"
    #: Whether a worker token is accepted too.
    for_workers: bool = False
    #: The action recorded in the audit; empty for a route that changes nothing.
    change: str = ""
    #: Status codes of errors specific to this route.
    refusals: tuple[int, ...] = ()
    #: The name of the setting that limits the body.
    limit: str = "body_bytes_max"
    #: Media types whose bodies reach the handler as text.
    raw_types: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The handler's name, used in the operation id."""
        return self.handler.__name__.strip("_")

    @property
    def full_description(self) -> str:
        """The description; by default the docstring of the handler."""
        return self.description or inspect.cleandoc(self.handler.__doc__ or self.summary)

    @property
    def template(self) -> str:
        """The path as OpenAPI writes it, without converters."""
        return self.path.replace(":path}", "}")


def endpoint(route: Route, context: RequestContext) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint that the router calls for a route."""
    limit, seconds = getattr(context.settings, route.limit), context.settings.body_seconds
    decoder = msgspec.json.Decoder(route.body) if route.body is not None else None
    in_query = Texts(route.query) if route.query is not None else None
    in_body = Texts(route.body) if route.body is not None else None

    async def called(request: Request) -> Response:
        try:
            caller = request.scope["arcbook.caller"]
            context.access.require(caller, route.scope, for_workers=route.for_workers)
            _refuse_path(request, route)
            query = _query(request, route.query) if route.query is not None else None
            _refuse_texts(in_query, query, "query")
            body = await _body(request, route, decoder, limit, seconds)
            _refuse_texts(in_body, body, "body")
            call = Call(request, context, body, query)
            if route.change:
                async with context.audit.noted(route.change, call) as note:
                    answer = await route.handler(call)
                    note.status = route.status
            else:
                answer = await route.handler(call)
        except ApiError as error:
            return error_response(error)
        except REFUSALS as error:
            return error_response(refusal_of(error))
        if isinstance(answer, Response):
            return answer
        return Response(ENCODER.encode(answer), route.status, media_type=route.media_type)

    return called


def _refuse_path(request: Request, route: Route) -> None:
    """Refuse a path with characters that no name can have.

    Raises:
        ApiError: the path contains such a character.
    """
    if any(BAD in str(part) for part in request.path_params.values()):
        status = 404 if 404 in route.refusals else 422
        raise ApiError(status, "the path contains the character NUL, which no name can have")


def _refuse_texts(texts: Texts | None, value: Any, place: str) -> None:
    """Refuse texts that the store cannot hold.

    Raises:
        ApiError: a text contains the character NUL.
    """
    name = texts.bad(value) if texts is not None else None
    if name is not None:
        raise ApiError(422, f"{name} in the {place} contains the character NUL; remove it")


def _query(request: Request, kind: type[Struct]) -> Struct:
    try:
        return msgspec.convert(dict(request.query_params), kind, strict=False)
    except msgspec.ValidationError as error:
        raise ApiError(422, f"invalid query: {_plainly(error)}") from None


async def _body(
    request: Request,
    route: Route,
    decoder: msgspec.json.Decoder[Any] | None,
    limit: int,
    seconds: float,
) -> Any:
    if decoder is None:
        return None
    data = await read(request, limit, seconds)
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type in route.raw_types:
        return data
    if not data.strip() and route.body_optional:
        data = b"{}"
    request.scope[BODY] = data
    body = decoded(data, decoder)
    if nests_too_deeply(data):
        raise ApiError(422, f"the body nests deeper than {NESTING_MAX} levels", "too_deep")
    return body


async def read(request: Request, limit: int, seconds: float) -> bytes:
    """Return a request's body.

    Args:
        request: the request.
        limit: the maximum size in bytes.
        seconds: the time limit for each :data:`BODY_PART_BYTES` of the body.

    Raises:
        ApiError: the body is too large or arrives too slowly.
    """
    length = request.headers.get("content-length", "")
    if length.isdigit() and len(length) < 19 and int(length) > limit:
        raise _too_large(limit)
    parts: list[bytes] = []
    size = 0
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds) as waiting:
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    raise _too_large(limit)
                if size // BODY_PART_BYTES > (size - len(part)) // BODY_PART_BYTES:
                    waiting.reschedule(loop.time() + seconds)
                parts.append(part)
    except TimeoutError:
        raise ApiError(408, "the body did not arrive in time") from None
    except ClientDisconnect:
        raise ApiError(408, "the body ended too early") from None
    return b"".join(parts)


def _too_large(limit: int) -> ApiError:
    return ApiError(413, f"the body is longer than {limit:,} bytes", limit_bytes=limit)


def decoded(data: bytes, decoder: msgspec.json.Decoder[Any]) -> Any:
    """Decode a JSON body.

    Raises:
        ApiError: 400 if it is not JSON, 422 if it does not match the type of the route.
    """
    try:
        try:
            return decoder.decode(data)
        except msgspec.DecodeError:
            plain = _plain(data)
            if plain is None:
                raise
            return decoder.decode(plain)
    except msgspec.ValidationError as error:
        raise ApiError(422, f"invalid body: {_plainly(error)}") from None
    except msgspec.DecodeError as error:
        raise ApiError(400, f"the body is not JSON: {error}") from None
    except UnicodeDecodeError:
        raise ApiError(400, "the body is not JSON: it is not UTF-8") from None
    except RecursionError:
        raise ApiError(400, "the body is nested too deeply") from None


def _plain(data: bytes) -> bytes | None:
    """Return a body with half surrogates and numbers beyond any float replaced, as elsewhere.

    Returns ``None`` if it is not JSON, or has neither.

    Raises:
        UnicodeDecodeError: it is not UTF-8.
    """
    data.decode("utf-8")
    if not _UNUSUAL.search(data):
        return None
    try:
        return jsons.write(jsons.read(data))
    except jsons.JsonError:
        return None


def _plainly(error: msgspec.ValidationError) -> str:
    return str(error).replace("`$.", "`").replace(" - at `$`", "")


def an_id(value: Any, name: str) -> int:
    """Return a value as an id.

    Raises:
        ApiError: it is not a valid id.
    """
    number = identity(value)
    if number is None:
        raise ApiError(
            400, f"{name} must be a positive number of at most 63 bits, not {str(value)[:40]!r}"
        )
    return number
