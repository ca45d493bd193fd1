"""Register many documents in one request."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from arcbook.server.http.documents import text_of
from arcbook.server.http.errors import REFUSALS, ApiError, refusal_of
from arcbook.server.http.route import Call, Route
from arcbook.server.http.routes.catalog import DOCUMENT, stored
from arcbook.wire.http.catalog import BatchEntry, BatchRegistered, RegisterBatch
from arcbook.wire.http.problems import Problem


async def register_batch(call: Call) -> BatchRegistered:
    """Register documents one after another, each with its own outcome."""
    request: RegisterBatch = call.body
    results = [await _entry(call, n, text_of(i.content)) for n, i in enumerate(request.items)]
    call.subject = ", ".join(entry.path for entry in results if entry.path)
    failed = sum(entry.status == "error" for entry in results)
    return BatchRegistered(
        status="partial" if failed else "success",
        count=len(results),
        registered=len(results) - failed,
        failed=failed,
        skipped=0,
        results=results,
    )


async def _entry(call: Call, index: int, content: str) -> BatchEntry:
    try:
        done = await stored(call, content)
    except ApiError as error:
        return _refused(index, error)
    except REFUSALS as error:
        return _refused(index, refusal_of(error))
    return BatchEntry(
        index=index,
        status="registered",
        path=done.path,
        version=done.version,
        catalog_id=done.catalog_id,
        kind=done.kind,
        diagnostics=done.warnings,
    )


def _refused(index: int, error: ApiError) -> BatchEntry:
    problems = msgspec.convert(error.facts.get("diagnostics", []), list[Problem])
    return BatchEntry(index=index, status="error", error=error.message, diagnostics=problems)


REGISTERED: Final[dict[str, Any]] = {
    "index": 0,
    "status": "registered",
    "path": "examples/hello",
    "version": 1,
    "catalog_id": "383401759197892608",
    "kind": "playbook",
    "error": None,
    "diagnostics": [],
}

ROUTES: Final = [
    Route(
        method="POST",
        path="/api/catalog/register/batch",
        handler=register_batch,
        change="catalog.register",
        tag="catalog",
        summary="Register up to 1,000 documents",
        description="An invalid document does not stop the others.",
        body=RegisterBatch,
        body_example={"items": [{"content": DOCUMENT, "resource_type": "Playbook"}]},
        answer=BatchRegistered,
        answer_example={
            "status": "success",
            "count": 1,
            "registered": 1,
            "failed": 0,
            "skipped": 0,
            "results": [REGISTERED],
        },
        scope="editor",
        refusals=(400, 413, 422),
    ),
]
