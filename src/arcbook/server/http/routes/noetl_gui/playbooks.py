"""NoETL's web page: edit playbooks, check them, and list agents."""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import StreamingResponse

from arcbook.dsl.diagnostics import Severity
from arcbook.dsl.paths import catalog_path
from arcbook.secrets.taint import shown
from arcbook.server.http import listing
from arcbook.server.http.documents import text_of
from arcbook.server.http.errors import ApiError
from arcbook.server.http.route import Call, Route
from arcbook.server.http.routes.catalog import (
    DOCUMENT,
    LISTED,
    LISTED_META,
    loaded_from,
    placed,
    stored,
)
from arcbook.store.api import CatalogEntry, CatalogFilter
from arcbook.wire.http.catalog import Entries, Entry, Registered
from arcbook.wire.http.common import identity
from arcbook.wire.http.noetl_gui.playbooks import (
    AgentsRequest,
    ContentRequest,
    PlaybookContent,
    PlaybookQuery,
    Validity,
)
from arcbook.wire.http.problems import diagnostics_of


async def content(call: Call) -> PlaybookContent:
    """Return the text of a version, or of the latest version of a path."""
    entry = await _entry(call)
    if entry is None:
        raise ApiError(404, "Catalog entry not found")
    return PlaybookContent(
        content=entry.content,
        path=entry.path,
        version=entry.version,
        catalog_id=str(entry.catalog_id),
        kind=entry.kind,
    )


async def save(call: Call) -> Registered:
    """Check a text and store it as the next version of its path."""
    entry = await _entry(call)
    query: PlaybookQuery = call.query
    path = entry.path if entry is not None else catalog_path(query.playbook_id)
    call.subject = path
    return await stored(call, text_of(call.body.content), path)


async def _entry(call: Call) -> CatalogEntry | None:
    query: PlaybookQuery = call.query
    store, number = call.context.store, identity(query.playbook_id)
    by_id = await store.entry("", catalog_id=number) if number is not None else None
    return by_id or await store.entry(catalog_path(query.playbook_id))


async def validate(call: Call) -> Validity:
    """Return the problems of a text, without storing it."""
    request: ContentRequest = call.body
    loaded = await loaded_from(call, text_of(request.content))
    errors = [d for d in loaded.diagnostics if d.severity is Severity.ERROR]
    problems = [placed(d) for d in errors]
    if not problems and not loaded.path:
        problems = ["the document has no metadata.path"]
    warnings = [placed(d) for d in loaded.diagnostics if d.severity is not Severity.ERROR]
    return Validity(
        valid=not problems,
        errors=shown(problems),
        warnings=shown(warnings),
        diagnostics=shown(diagnostics_of(loaded)),
        left_out=loaded.left_out,
    )


async def agents(call: Call) -> StreamingResponse:
    """List documents whose metadata says `agent: true`."""
    request: AgentsRequest = call.body
    capabilities = frozenset(request.capabilities or ())

    def matches(entry: Entry) -> bool:
        meta = entry.meta if isinstance(entry.meta, dict) else {}
        return meta.get("agent") is True and capabilities <= _texts(meta.get("capabilities"))

    return await listing.everything(
        call.context, CatalogFilter(), has_content=request.include_content, matches=matches
    )


def _texts(value: Any) -> frozenset[str]:
    values = value if isinstance(value, list) else [value]
    return frozenset(value for value in values if isinstance(value, str))


REGISTERED: Final = {
    "status": "success",
    "message": "Resource 'examples/hello' version '2' registered.",
    "path": "examples/hello",
    "version": 2,
    "catalog_id": "383401759197892608",
    "kind": "playbook",
    "warnings": [],
}

AGENT_META: Final = {"agent": True, "capabilities": ["summarize"]}

ROUTES: Final = [
    Route(
        method="GET",
        path="/api/catalog/playbook/content",
        handler=content,
        tag="gui",
        summary="The text of a playbook",
        query=PlaybookQuery,
        answer=PlaybookContent,
        answer_example={
            "content": DOCUMENT,
            "path": "examples/hello",
            "version": 1,
            "catalog_id": "383401759197892608",
            "kind": "playbook",
        },
        refusals=(404, 422),
    ),
    Route(
        method="PUT",
        path="/api/catalog/playbook/content",
        handler=save,
        change="catalog.register",
        tag="gui",
        summary="Save a playbook",
        description=(
            "Registers the text as the next version. Its path must match the saved one. "
            "A text with errors is refused as in a registration."
        ),
        query=PlaybookQuery,
        body=ContentRequest,
        body_example={"content": DOCUMENT},
        answer=Registered,
        answer_example=REGISTERED,
        scope="editor",
        refusals=(400, 413, 422),
    ),
    Route(
        method="POST",
        path="/api/catalog/playbooks/validate",
        handler=validate,
        tag="gui",
        summary="Whether a playbook can be registered",
        body=ContentRequest,
        body_example={"content": DOCUMENT},
        answer=Validity,
        answer_example={
            "valid": True,
            "errors": [],
            "warnings": [],
            "diagnostics": [],
            "left_out": 0,
        },
        refusals=(400, 413, 422),
    ),
    Route(
        method="POST",
        path="/api/catalog/agents/list",
        handler=agents,
        tag="gui",
        summary="List agents",
        description="The documents whose metadata says `agent: true`, as the catalog lists them.",
        body=AgentsRequest,
        body_example={"capabilities": ["summarize"]},
        body_optional=True,
        answer=Entries,
        answer_example={
            "entries": [{**LISTED, "meta": {**LISTED_META, **AGENT_META}}],
            "next_after": None,
        },
        refusals=(400, 413, 422),
    ),
]
