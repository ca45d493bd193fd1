"""What a server answers, as the rows and events that verbs print."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec

from arcbook.client import ClientError
from arcbook.events.types import AnyEvent, Recorded
from arcbook.store.api import EventRow, ExecutionRow
from arcbook.wire.http.executions import EventView, Summary


def microseconds(moment: str | None) -> int:
    """Return a time that a server tells, in microseconds since the epoch; 0 for none."""
    if not moment:
        return 0
    since = dt.datetime.fromisoformat(moment) - dt.datetime.fromtimestamp(0, dt.UTC)
    return since // dt.timedelta(microseconds=1)


def execution_row(found: Summary) -> ExecutionRow:
    """Return an execution at a glance."""
    return ExecutionRow(
        execution_id=int(found.execution_id),
        path=found.path,
        version=found.version,
        catalog_id=int(found.catalog_id or 0),
        status=found.status,
        seq=found.event_count,
        parent_execution_id=int(found.parent_execution_id or 0),
        started_at=microseconds(found.started_at),
        ended_at=microseconds(found.completed_at),
        current=found.current_step or "",
        error=found.error or "",
        labels=found.labels,
    )


def event_row(found: EventView) -> EventRow:
    """Return an event as a store has it."""
    body = msgspec.json.encode(found.data)
    at = microseconds(found.created_at)
    return EventRow(found.seq, at, found.event_type, found.node_name, body)


def recorded(found: EventView) -> Recorded:
    """Return an event as the engine reads it.

    Raises:
        ClientError: it is of another version.
    """
    try:
        # Not strictly: the API tells identities as texts.
        event = msgspec.convert(found.data, AnyEvent, strict=False)
    except msgspec.ValidationError as error:
        raise ClientError(f"the server is of another version: {error}") from None
    return Recorded(found.seq, microseconds(found.created_at), event)


async def all_recorded(client: Any, execution_id: str) -> list[Recorded]:
    """Return all events of an execution."""
    found: list[Recorded] = []
    after: int | None = 0
    while after is not None:
        page = await client.events(execution_id, after=after, limit=1000)
        found += map(recorded, page.events)
        after = page.next_after
    return found
