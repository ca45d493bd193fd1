"""Convert a server's answers to the rows and events that verbs print."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec

from arcbook.client import ClientError
from arcbook.events.types import AnyEvent, Recorded
from arcbook.store.api import EventRow, ExecutionRow
from arcbook.wire.http.executions import EventView, Summary


def microseconds(moment: str | None) -> int:
    """Convert a time of the API to microseconds since the epoch; 0 for none."""
    if not moment:
        return 0
    since = dt.datetime.fromisoformat(moment) - dt.datetime.fromtimestamp(0, dt.UTC)
    return since // dt.timedelta(microseconds=1)


def execution_row(summary: Summary) -> ExecutionRow:
    """Return an execution's summary as a row."""
    return ExecutionRow(
        execution_id=int(summary.execution_id),
        path=summary.path,
        version=summary.version,
        catalog_id=int(summary.catalog_id or 0),
        status=summary.status,
        seq=summary.event_count,
        parent_execution_id=int(summary.parent_execution_id or 0),
        started_at=microseconds(summary.started_at),
        ended_at=microseconds(summary.completed_at),
        current=summary.current_step or "",
        error=summary.error or "",
        labels=summary.labels,
    )


def event_row(view: EventView) -> EventRow:
    """Return an event as a store row."""
    body = msgspec.json.encode(view.data)
    at = microseconds(view.created_at)
    return EventRow(view.seq, at, view.event_type, view.node_name, body)


def recorded(view: EventView) -> Recorded:
    """Return an event as the engine reads it.

    Raises:
        ClientError: the server has another version.
    """
    try:
        # Not strict, because the API sends ids as strings.
        event = msgspec.convert(view.data, AnyEvent, strict=False)
    except msgspec.ValidationError as error:
        raise ClientError(f"the server has another version than this client: {error}") from None
    return Recorded(view.seq, microseconds(view.created_at), event)


async def all_recorded(client: Any, execution_id: str) -> list[Recorded]:
    """Return all events of an execution."""
    events: list[Recorded] = []
    after: int | None = 0
    while after is not None:
        page = await client.events(execution_id, after=after, limit=1000)
        events += map(recorded, page.events)
        after = page.next_after
    return events
