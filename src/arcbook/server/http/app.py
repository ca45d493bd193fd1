"""The application: the route table with access control, error handling and metrics."""

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
"""Pages contain no scripts and load nothing."""

METHODS: Final = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE")

HEADERS: Final = (
    "Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "X-Session-Token",
)  # fmt: skip
"""Headers that pages of other origins may send; the last one has no effect."""

Endpoint = Callable[[Request], Awaitable[Response]]


def create_app(
    server: Server, credentials: CredentialBook, settings: HttpSettings | None = None
) -> Starlette:
    """Return the API of a server.

    Args:
        server: the server; the caller starts and stops it.
        credentials: the stored credentials.
        settings: limits, tokens, origins.
    """
    settings = settings or HttpSettings()
    context = RequestContext(server, credentials, settings)
    routes = [r for r in ROUTES if settings.metrics or r.path != "/metrics"]
    by_path = _described(document(routes))
    for route in sorted(routes, key=_fixed_first):
        by_path.setdefault(route.path, {})[route.method] = _measured(route, context)
    mounted = [Mounted(path, _by_method(ends), methods=METHODS) for path, ends in by_path.items()]
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


def _described(described: dict[str, Any]) -> dict[str, dict[str, Endpoint]]:
    """Return the endpoints that describe the API: OpenAPI for tools, pages for people."""
    encoded = msgspec.json.encode(described)

    async def openapi(_: Request) -> Response:
        return Response(encoded, media_type="application/json")

    def page(render: Callable[[Mapping[str, Any], str], str]) -> dict[str, Endpoint]:
        rendered = cache(lambda: render(described, DOCUMENT_PATH))

        async def html(_: Request) -> Response:
            return HTMLResponse(rendered(), headers={"Content-Security-Policy": PAGE_POLICY})

        return {"GET": html}

    return {
        DOCUMENT_PATH: {"GET": openapi},
        "/": page(start_page),
        DOCS_PATH: page(docs_page),
    }


def _by_method(endpoints: dict[str, Endpoint]) -> Endpoint:
    """Return one endpoint for a path, which refuses other methods than the path has.

    The router alone would try parametrized paths next, and match them by mistake.
    """
    if "GET" in endpoints:
        endpoints = endpoints | {"HEAD": endpoints["GET"]}
    allowed = ", ".join(sorted(endpoints))

    async def dispatch(request: Request) -> Response:
        handler = endpoints.get(request.method)
        if handler is None:
            raise HTTPException(405, headers={"Allow": allowed})
        return await handler(request)

    return dispatch


def _fixed_first(route: Route) -> tuple[bool, int]:
    """Return the sort key that tries paths with fewer parameters first, ``:path`` ones last."""
    return ":path}" in route.path, route.path.count("{")


def _measured(route: Route, context: RequestContext) -> Endpoint:
    """Return a route's endpoint with metrics."""
    inner = endpoint(route, context)
    metrics = context.metrics
    seconds = metrics.request_seconds.labels(route.template, route.method)
    by_status = {
        route.status: metrics.requests.labels(route.template, route.method, str(route.status))
    }

    async def measured(request: Request) -> Response:
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

    return measured
