"""Archive versions of documents, and restore them."""

from __future__ import annotations

from typing import Any, Final

from arcbook.dsl.paths import catalog_path
from arcbook.server.http.route import Call, Route
from arcbook.server.http.routes.catalog import a_version
from arcbook.wire.http.catalog import Archived, ArchiveRequest, Restored, Version


async def delete(call: Call) -> Archived:
    """Archive versions of a document."""
    path, changed = await _archive(call, call.context.server.clock.now_us())
    return Archived(
        status="success",
        message=f"{len(changed)} versions of '{path}' archived",
        path=path,
        deleted=changed,
        count=len(changed),
    )


async def restore(call: Call) -> Restored:
    """Restore versions of a document."""
    path, changed = await _archive(call, 0)
    return Restored(
        status="success",
        message=f"{len(changed)} versions of '{path}' restored",
        path=path,
        restored=changed,
        count=len(changed),
    )


async def _archive(call: Call, at: int) -> tuple[str, list[Version]]:
    request: ArchiveRequest = call.body
    path = call.subject = catalog_path(request.path)
    rows = await call.context.store.archive(path, a_version(request.version), at)
    versions = [Version(catalog_id=str(row.catalog_id), version=row.version) for row in rows]
    return path, versions


VERSION: Final[dict[str, Any]] = {"catalog_id": "383401759197892608", "version": 2}

ROUTES: Final = [
    Route(
        method="POST",
        path="/api/catalog/delete",
        handler=delete,
        change="catalog.delete",
        tag="catalog",
        summary="Archive versions of a document",
        description=(
            "Lists, and starts by path, ignore archived versions. Executions keep them, and they "
            "can be restored. Archiving again changes nothing."
        ),
        body=ArchiveRequest,
        body_example={"path": "examples/hello", "version": 2},
        answer=Archived,
        answer_example={
            "status": "success",
            "message": "1 versions of 'examples/hello' archived",
            "path": "examples/hello",
            "deleted": [VERSION],
            "count": 1,
        },
        scope="editor",
        refusals=(400, 413, 422),
    ),
    Route(
        method="POST",
        path="/api/catalog/restore",
        handler=restore,
        change="catalog.restore",
        tag="catalog",
        summary="Restore archived versions of a document",
        body=ArchiveRequest,
        body_example={"path": "examples/hello"},
        answer=Restored,
        answer_example={
            "status": "success",
            "message": "1 versions of 'examples/hello' restored",
            "path": "examples/hello",
            "restored": [VERSION],
            "count": 1,
        },
        scope="editor",
        refusals=(400, 413, 422),
    ),
]
