"""The audit of secrets: who asked for which, for what, when."""

from __future__ import annotations

from typing import Any, Final

from arcbook.server.http.route import Call, Route, an_id
from arcbook.store.secret_audit import SecretNote, SecretNotes
from arcbook.wire.http.audit import AuditNote, AuditPage, AuditQuery
from arcbook.wire.http.common import id_text, moment


async def list_audit(call: Call) -> AuditPage:
    """List accesses to secrets."""
    query: AuditQuery = call.query
    filters = SecretNotes(
        alias=query.alias,
        execution_id=an_id(query.execution_id, "execution_id") if query.execution_id else 0,
        who=query.who,
        outcome=query.outcome,
        tenant=query.tenant,
        organization=query.organization,
        before=query.before,
        limit=query.limit,
    )
    rows = await call.context.store.secret_notes(filters)
    more = len(rows) == query.limit
    return AuditPage(
        items=[_view(row) for row in rows], next_before=str(rows[-1].note_id) if more else None
    )


def _view(row: SecretNote) -> AuditNote:
    return AuditNote(
        id=str(row.note_id),
        at=moment(row.at),
        who=row.who,
        action=row.action,
        alias=row.alias,
        execution_id=id_text(row.execution_id),
        outcome=row.outcome,
        tenant=row.tenant or None,
        organization=row.organization or None,
    )


NOTE: Final[dict[str, Any]] = {
    "id": "42",
    "at": "2026-01-05T10:00:00Z",
    "who": "worker-1",
    "action": "resolve",
    "alias": "warehouse",
    "execution_id": "517163519123456",
    "outcome": "ok",
    "tenant": "sales",
    "organization": None,
}

ROUTES: Final = [
    Route(
        method="GET",
        path="/api/audit",
        handler=list_audit,
        tag="credentials",
        summary="Accesses to secrets, newest first",
        description="Each time a credential is resolved, read, stored or deleted; never any of its "
        "data.",
        query=AuditQuery,
        answer=AuditPage,
        answer_example={"items": [NOTE], "next_before": None},
        scope="admin",
        refusals=(400, 422),
    ),
]
