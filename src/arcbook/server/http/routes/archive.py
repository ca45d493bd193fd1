"""Taking versions of documents out of use, and bringing them back."""

from __future__ import annotations

from typing import Any, Final

from arcbook.dsl.paths import catalog_path
from arcbook.server.http.route import Call, Route
from arcbook.server.http.routes.catalog import a_version
from arcbook.wire.http.catalog import Archived, ArchiveRequest, Restored, Version


async def delete(call: Call) -> Archived:
    """Take versions out of use."""
    path, changed = await _archive(call, call.context.server.clock.now_us())
    return Archived(
        status="success",
        message=f"{len(changed)} versions of '{path}' are out of use",
        path=path,
        deleted=changed,
        count=len(changed),
    )


async def restore(call: Call) -> Restored:
    """Bring versions back."""
    path, changed = await _archive(call, 0)
    return Restored(
        status="success",
        message=f"{len(changed)} versions of '{path}' are back",
        path=path,
        restored=changed,
        count=len(changed),
    )


async def _archive(call: Call, at: int) -> tuple[str, list[Version]]:
    wanted: ArchiveRequest = call.body
    path = call.subject = catalog_path(wanted.path)
    rows = await call.context.store.archive(path, a_version(wanted.version), at)
    found = [Version(catalog_id=str(row.catalog_id), version=row.version) for row in rows]
    return path, found


VERSION: Final[dict[str, Any]] = {"catalog_id": "383401759197892608", "version": 2}

ROUTES: Final = [
    Route(
        method="POST",
        path="/api/catalog/delete",
        handler=delete,
        change="catalog.delete",
        tag="catalog",
        summary="Take versions of a document out of use",
        description=(
            "Lists and starts by path pass them over. Executions keep them, and they can be "
            "brought back. Doing it again changes nothing."
        ),
        body=ArchiveRequest,
        body_example={"path": "examples/hello", "version": 2},
        answer=Archived,
        answer_example={
            "status": "success",
            "message": "1 versions of 'examples/hello' are out of use",
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
        summary="Bring versions of a document back",
        body=ArchiveRequest,
        body_example={"path": "examples/hello"},
        answer=Restored,
        answer_example={
            "status": "success",
            "message": "1 versions of 'examples/hello' are back",
            "path": "examples/hello",
            "restored": [VERSION],
            "count": 1,
        },
        scope="editor",
        refusals=(400, 413, 422),
    ),
]
