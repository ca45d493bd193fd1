"""The audit of secrets: who got which, for what, when."""

from __future__ import annotations

from typing import Any, Final

from arcbook.server.http.route import Call, Route, an_id
from arcbook.store.secret_audit import SecretNote, SecretNotes
from arcbook.wire.http.audit import AuditNote, AuditPage, AuditQuery
from arcbook.wire.http.common import moment, told


async def list_audit(call: Call) -> AuditPage:
    """List who asked for which secret."""
    asked: AuditQuery = call.query
    wanted = SecretNotes(
        alias=asked.alias,
        execution_id=an_id(asked.execution_id, "execution_id") if asked.execution_id else 0,
        who=asked.who,
        outcome=asked.outcome,
        tenant=asked.tenant,
        organization=asked.organization,
        before=asked.before,
        limit=asked.limit,
    )
    rows = await call.context.store.secret_notes(wanted)
    more = len(rows) == asked.limit
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
        execution_id=told(row.execution_id),
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
        summary="Who asked for which secret, newest first",
        description="Each time that a credential is resolved, read, put or deleted. Never "
        "anything of what is in it.",
        query=AuditQuery,
        answer=AuditPage,
        answer_example={"items": [NOTE], "next_before": None},
        scope="admin",
        refusals=(400, 422),
    ),
]
