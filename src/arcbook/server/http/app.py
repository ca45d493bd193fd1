"""The application: the route table behind access control, with its errors and its numbers."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route as Mounted
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from arcbook.secrets.credentials import CredentialBook
from arcbook.server.core import Server
from arcbook.server.http.access import AccessMiddleware
from arcbook.server.http.context import RequestContext
from arcbook.server.http.errors import on_fault, on_http_error
from arcbook.server.http.openapi import document
from arcbook.server.http.pages import DOCS_PATH, docs_page, start_page
from arcbook.server.http.route import Route, endpoint
from arcbook.server.http.settings import HttpSettings
from arcbook.server.http.table import ROUTES

DOCUMENT_PATH: Final = "/api/openapi.json"

PAGE_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
"""Pages hold no scripts, and fetch nothing."""

METHODS: Final = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE")

HEADERS: Final = (
    "Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "X-Session-Token",
)  # fmt: skip
"""Headers that pages of other origins may send; the last one says nothing here."""

Endpoint = Callable[[Request], Awaitable[Response]]


def create_app(
    server: Server, credentials: CredentialBook, settings: HttpSettings | None = None
) -> Starlette:
    """Return the API of a server.

    Args:
        server: the server, whose lifetime is its owner's affair.
        credentials: the credentials that the API keeps.
        settings: limits, tokens, origins.
    """
    settings = settings or HttpSettings()
    context = RequestContext(server, credentials, settings)
    routes = [r for r in ROUTES if settings.metrics or r.path != "/metrics"]
    by_path = _described(document(routes))
    for route in sorted(routes, key=_fixed_first):
        by_path.setdefault(route.path, {})[route.method] = _measured(route, context)
    mounted = [Mounted(path, _by_method(found), methods=METHODS) for path, found in by_path.items()]
    middleware = [Middleware(AccessMiddleware, access=context.access)]
    if settings.origins:
        cors = Middleware(
            CORSMiddleware,
            allow_origins=list(settings.origins),
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=list(HEADERS),
            expose_headers=["X-Next-Before", "Link"],
        )
        middleware.insert(0, cors)
    if settings.proxies:
        proxies = list(settings.proxies)
        middleware.insert(0, Middleware(ProxyHeadersMiddleware, trusted_hosts=proxies))
    app = Starlette(
        routes=mounted,
        middleware=middleware,
        exception_handlers={HTTPException: on_http_error, Exception: on_fault},
    )
    app.state.context = context
    return app


def _described(found: dict[str, Any]) -> dict[str, dict[str, Endpoint]]:
    """Return the paths that say what the API is: for tools, and as pages for people."""
    encoded = msgspec.json.encode(found)

    async def openapi(_: Request) -> Response:
        return Response(encoded, media_type="application/json")

    def page(made: Callable[[Mapping[str, Any], str], str]) -> dict[str, Endpoint]:
        kept = cache(lambda: made(found, DOCUMENT_PATH))

        async def shown(_: Request) -> Response:
            return HTMLResponse(kept(), headers={"Content-Security-Policy": PAGE_POLICY})

        return {"GET": shown}

    return {
        DOCUMENT_PATH: {"GET": openapi},
        "/": page(start_page),
        DOCS_PATH: page(docs_page),
    }


def _by_method(endpoints: dict[str, Endpoint]) -> Endpoint:
    """Return the endpoint of a path, which refuses methods that the path has not.

    The router itself would go on to paths with parameters in the place of this one.
    """
    if "GET" in endpoints:
        endpoints = endpoints | {"HEAD": endpoints["GET"]}
    allowed = ", ".join(sorted(endpoints))

    async def called(request: Request) -> Response:
        found = endpoints.get(request.method)
        if found is None:
            raise HTTPException(405, headers={"Allow": allowed})
        return await found(request)

    return called


def _fixed_first(route: Route) -> tuple[bool, int]:
    """Sort paths so that one with fewer parameters is tried first, and a rest of path last."""
    return ":path}" in route.path, route.path.count("{")


def _measured(route: Route, context: RequestContext) -> Endpoint:
    """Return a route's endpoint with its numbers counted."""
    inner = endpoint(route, context)
    metrics = context.metrics
    seconds = metrics.request_seconds.labels(route.template, route.method)
    by_status = {
        route.status: metrics.requests.labels(route.template, route.method, str(route.status))
    }

    async def called(request: Request) -> Response:
        began = time.perf_counter()
        response = await inner(request)
        seconds.observe(time.perf_counter() - began)
        counter = by_status.get(response.status_code)
        if counter is None:
            status = str(response.status_code)
            counter = metrics.requests.labels(route.template, route.method, status)
            by_status[response.status_code] = counter
        counter.inc()
        return response

    return called
