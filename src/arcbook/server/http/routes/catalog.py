"""The catalog: documents by path and version."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

import msgspec
from starlette.responses import StreamingResponse

from arcbook.dsl.diagnostics import Diagnostic, Severity
from arcbook.dsl.load import Loaded, load_document
from arcbook.dsl.paths import catalog_path
from arcbook.logs import events as logged
from arcbook.owner.pools import SYSTEM_PREFIX
from arcbook.secrets.taint import shown
from arcbook.server.http import listing
from arcbook.server.http.documents import part_of, root_of, text_of
from arcbook.server.http.errors import ApiError, invalid, not_found
from arcbook.server.http.route import Call, Route
from arcbook.server.http.ui_schema import ui_fields
from arcbook.store.api import PAGE_MAX, CatalogEntry, CatalogFilter
from arcbook.wire.http.catalog import (
    Entries,
    Entry,
    ListRequest,
    Registered,
    RegisterRequest,
    ResourceRequest,
    UiSchema,
    VersionQuery,
)
from arcbook.wire.http.common import identity, moment
from arcbook.wire.http.problems import Problem, diagnostics_of

log = logging.getLogger(__name__)

YAML_TYPES: Final = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")

THREAD_BYTES: Final = 16 * 1024
"""Size from which a document is checked outside the event loop."""

UI_TAIL: Final = "/ui_schema"


async def register(call: Call) -> Registered:
    """Check a document and store it as the next version of its path."""
    return await stored(call, await _content(call))


async def loaded_from(call: Call, content: str) -> Loaded:
    """Return a document with all its diagnostics."""
    kinds = call.context.server.registry
    if len(content) > THREAD_BYTES:
        return await asyncio.to_thread(load_document, content, kinds)
    return load_document(content, kinds)


async def stored(call: Call, content: str, path: str = "") -> Registered:
    """Check a document and store it; if ``path`` is set, the document must have that path.

    Raises:
        ApiError: the document has errors, another path, or none.
    """
    loaded = await loaded_from(call, content)
    call.subject = loaded.path or call.subject
    _check(loaded)
    if path and catalog_path(loaded.path) != path:
        raise invalid(
            f"the document's path is {loaded.path[:200]!r}, but this request saves {path[:200]!r}; "
            "register it to store it under another path"
        )
    if loaded.path.strip("/").startswith(SYSTEM_PREFIX):
        # The internal token is available to such a playbook.
        call.context.access.require(call.caller, "admin")
    caller = call.caller
    entry = await call.context.server.plans.register(
        content, loaded, tenant=caller.tenant, organization=caller.organization
    )
    warnings = msgspec.convert(diagnostics_of(loaded), list[Problem])
    _log_warnings(entry.path, loaded)
    return Registered(
        status="success",
        message=f"Resource '{entry.path}' version '{entry.version}' registered.",
        path=entry.path,
        version=entry.version,
        catalog_id=str(entry.catalog_id),
        kind=entry.kind,
        warnings=warnings,
    )


CODES_LOGGED_MAX: Final = 20
"""Codes of warnings that are logged once for each document."""


def _log_warnings(path: str, loaded: Loaded) -> None:
    """Log the warnings of a document: the first place of each code."""
    by_code: dict[str, list[Diagnostic]] = {}
    for diagnostic in loaded.diagnostics:
        by_code.setdefault(diagnostic.code, []).append(diagnostic)
    for code, places in list(by_code.items())[:CODES_LOGGED_MAX]:
        first = places[0]
        more = f" (and {len(places) - 1} more places)" if places[1:] else ""
        text = f"{path}:{first.line}:{first.column}: {code}{more}: {first.message}"
        log.warning(logged.PLAYBOOK_WARNED, {"reason": shown(text), "hint": shown(first.hint)})


async def _content(call: Call) -> str:
    if isinstance(call.body, RegisterRequest):
        return text_of(call.body.content)
    try:
        return str(call.body.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise invalid("the document is not UTF-8") from None


def _check(loaded: Loaded) -> None:
    """Refuse a document that has errors or no path.

    Raises:
        ApiError: with all diagnostics.
    """
    if any(d.severity is Severity.ERROR for d in loaded.diagnostics):
        more = len(loaded.errors) + loaded.left_out - 1
        first = placed(loaded.errors[0])
        raise invalid(
            f"the document has errors: {first}" + (f"; and {more} more" if more else ""),
            code="invalid_document",
            diagnostics=shown(diagnostics_of(loaded)),
            left_out=loaded.left_out,
        )
    if not loaded.path:
        raise invalid("the document has no metadata.path", code="invalid_document", diagnostics=[])


def placed(diagnostic: Diagnostic) -> str:
    """Return a diagnostic as text, with its place."""
    return f"line {diagnostic.line}, column {diagnostic.column}: {diagnostic.message}"


async def list_entries(call: Call) -> Entries | StreamingResponse:
    """List the latest version of each document, by path."""
    request: ListRequest = call.body
    filters = CatalogFilter(
        kind=(request.resource_type or "").lower(),
        tenant=request.tenant,
        organization=request.organization,
        after=request.after or "",
        limit=request.limit or PAGE_MAX,
    )
    if request.limit is None:
        return await listing.everything(call.context, filters, has_content=request.include_content)
    return await listing.page(call.context, filters, has_content=request.include_content)


async def resource(call: Call) -> Entry:
    """Return one version of a document."""
    request: ResourceRequest = call.body
    return call.context.entries.of(
        await find(call, request.path, request.version, request.catalog_id)
    )


async def find(call: Call, path: str | None, version: Any, catalog_id: Any) -> CatalogEntry:
    """Return the version of a document that a request names.

    Raises:
        ApiError: the request is invalid, or the document does not exist.
    """
    store = call.context.store
    if catalog_id is not None:
        number = identity(catalog_id)
        if number is None:
            raise invalid(f"catalog_id must be a number, not {str(catalog_id)[:40]!r}")
        entry = await store.entry("", catalog_id=number)
    elif path:
        entry = await store.entry(catalog_path(path), a_version(version))
    else:
        raise invalid("set 'path' or 'catalog_id' to choose the document")
    if entry is None:
        raise ApiError(404, "Catalog entry not found")
    return entry


def a_version(version: Any) -> int | None:
    """Return the requested version; None for the latest.

    Raises:
        ApiError: it is neither a number nor ``latest``.
    """
    if version is None or version in ("", "latest"):
        return None
    number = identity(version)
    if number is None:
        raise invalid(f"version must be a number or 'latest', not {str(version)[:40]!r}")
    return number


async def ui_schema(call: Call) -> UiSchema:
    """Return the fields of a form that starts a playbook."""
    tail = "/" + call.param("path")
    if not tail.endswith(UI_TAIL):
        raise not_found(f"route /api/catalog{tail[:200]}")
    path = catalog_path(tail.removesuffix(UI_TAIL))
    if not path:
        raise invalid("name the document: /api/catalog/<path>/ui_schema")
    row = await find(call, path, call.query.version, None)
    meta = part_of(root_of(row.content), "metadata")
    meta = meta if isinstance(meta, dict) else {}
    description = meta.get("description")
    return UiSchema(
        path=row.path,
        version=row.version,
        kind=row.kind,
        title=str(meta.get("title") or meta.get("name") or row.path),
        description_markdown=str(description) if description is not None else None,
        exposed_in_ui=meta.get("exposed_in_ui", True) is not False,
        fields=ui_fields(row.content),
        generated_at=moment(call.context.server.clock.now_us()),
    )


DOCUMENT: Final = """apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: hello, path: examples/hello}
workflow:
  - step: start
    tool: {kind: noop}
"""

ENTRY: Final = {
    "catalog_id": "383401759197892608",
    "path": "examples/hello",
    "kind": "playbook",
    "version": 1,
    "content": DOCUMENT,
    "layout": [{"step": "start", "tool": {"kind": "noop"}}],
    "payload": None,
    "meta": {"name": "hello", "path": "examples/hello"},
    "created_at": "2026-01-05T10:00:00Z",
    "tenant": "sales",
    "organization": None,
}

LISTED_META: Final = {
    "name": "hello",
    "path": "examples/hello",
    "registered_at": "2026-01-05T10:00:00Z",
}

LISTED: Final = {
    **ENTRY,
    "payload": {
        "apiVersion": "noetl.io/v2",
        "kind": "Playbook",
        "metadata": {"name": "hello", "path": "examples/hello"},
        "workflow": [{"step": "start", "tool": {"kind": "noop"}}],
    },
    "meta": LISTED_META,
}

ROUTES: Final = [
    Route(
        method="POST",
        path="/api/catalog/register",
        handler=register,
        change="catalog.register",
        tag="catalog",
        summary="Register a document",
        description=(
            "Checks the whole document. A document with errors is refused with all diagnostics. "
            "Registering the same content again creates no new version. The body is JSON with the "
            "content as text or Base64, or the YAML itself."
        ),
        body=RegisterRequest,
        body_example={"content": DOCUMENT, "resource_type": "Playbook"},
        raw_types=YAML_TYPES,
        answer=Registered,
        answer_example={
            "status": "success",
            "message": "Resource 'examples/hello' version '1' registered.",
            "path": "examples/hello",
            "version": 1,
            "catalog_id": "383401759197892608",
            "kind": "playbook",
            "warnings": [],
        },
        scope="editor",
        refusals=(400, 413, 422),
    ),
    Route(
        method="POST",
        path="/api/catalog/list",
        handler=list_entries,
        tag="catalog",
        summary="List documents",
        description=(
            "The latest version of each document by path: all of them, or one page with `limit`. "
            "`payload` is the whole document plus the names of its workload. "
            "`include_content: false` omits the texts."
        ),
        body=ListRequest,
        body_example={"resource_type": "Playbook"},
        body_optional=True,
        answer=Entries,
        answer_example={"entries": [LISTED], "next_after": None},
        refusals=(400, 413, 422),
    ),
    Route(
        method="POST",
        path="/api/catalog/resource",
        handler=resource,
        tag="catalog",
        summary="Get a version of a document",
        body=ResourceRequest,
        body_example={"path": "examples/hello", "version": "latest"},
        answer=Entry,
        answer_example=ENTRY,
        refusals=(400, 404, 413, 422),
    ),
    Route(
        method="GET",
        path="/api/catalog/{path:path}",
        handler=ui_schema,
        tag="catalog",
        summary="A form for starting a playbook",
        description=(
            "The document's path, followed by `/ui_schema`. The fields are derived from the "
            "workload and refined by comments such as `# ui:secret` or `# ui:enum=[a, b]`."
        ),
        query=VersionQuery,
        answer=UiSchema,
        answer_example={
            "path": "examples/hello",
            "version": 1,
            "kind": "playbook",
            "title": "hello",
            "description_markdown": None,
            "exposed_in_ui": True,
            "fields": [],
            "generated_at": "2026-01-05T10:00:00Z",
        },
        refusals=(404, 422),
    ),
]
