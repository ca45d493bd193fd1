"""Read the audit of changes."""

from __future__ import annotations

from typing import Final

from arcbook.secrets.taint import shown
from arcbook.server.http.route import Call, Route, an_id
from arcbook.store.access import ChangeNote, NoteFilter
from arcbook.wire.http.access import Changes, ChangesQuery, ChangeView
from arcbook.wire.http.common import moment


async def change_audit(call: Call) -> Changes:
    """Return a page of changes, newest first."""
    query: ChangesQuery = call.query
    rows = await call.context.store.notes(
        NoteFilter(
            actor=query.actor,
            action=query.action,
            subject=query.subject,
            tenant=query.tenant,
            organization=query.organization,
            before=an_id(query.before, "before") if query.before else 0,
            limit=query.limit,
        )
    )
    following = str(rows[-1].note_id) if len(rows) == query.limit else None
    return Changes(changes=[_view(row) for row in rows], next_before=following)


def _view(row: ChangeNote) -> ChangeView:
    return ChangeView(
        id=str(row.note_id),
        at=moment(row.at),
        actor=row.actor,
        action=row.action,
        subject=str(shown(row.subject)),
        status=row.status or None,
        remote=row.remote,
        tenant=row.tenant or None,
        organization=row.organization or None,
    )


ROUTES: Final = [
    Route(
        method="GET",
        path="/api/audit/changes",
        handler=change_audit,
        tag="access",
        summary="Who changed what",
        description=(
            "Registrations, deletions, credentials, tokens, schedules and cancellations, newest "
            "first. A row is written before the change; if that fails, the change is not made."
        ),
        query=ChangesQuery,
        answer=Changes,
        answer_example={
            "changes": [
                {
                    "id": "383401759197892608",
                    "at": "2026-01-05T10:00:00Z",
                    "actor": "token:9f2c41d07ab3 ci",
                    "action": "catalog.register",
                    "subject": "examples/hello",
                    "status": 200,
                    "remote": "10.0.0.7",
                    "tenant": "sales",
                    "organization": None,
                }
            ],
            "next_before": None,
        },
        scope="admin",
        refusals=(400, 422),
    ),
]
