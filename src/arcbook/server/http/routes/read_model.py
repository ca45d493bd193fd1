"""The read model of NoETL's command line: executions and events without their data."""

from __future__ import annotations

from typing import Any, Final

from arcbook.server.http import views
from arcbook.server.http.errors import invalid
from arcbook.server.http.route import Call, Route
from arcbook.store.api import PAGE_MAX, ExecutionFilter, ExecutionRow
from arcbook.wire.http.common import id_text, moment
from arcbook.wire.http.read_model import (
    ModelEvent,
    ModelEvents,
    ModelEventsQuery,
    ModelExecution,
    ModelExecutions,
    ModelQuery,
    ModelState,
)

TIER: Final = "projection"


async def model_executions(call: Call) -> ModelExecutions:
    """List executions, newest first."""
    query: ModelQuery = call.query
    if query.offset + query.limit > PAGE_MAX:
        raise invalid(f"a page ends at most {PAGE_MAX:,} rows in; use GET /api/executions")
    filters = ExecutionFilter(
        status=query.status.upper(), path=query.path.lstrip("/"), limit=query.offset + query.limit
    )
    rows = (await call.context.store.executions(filters))[query.offset :]
    return ModelExecutions(
        action="ehdb.executions.list",
        tier=TIER,
        limit=query.limit,
        offset=query.offset,
        returned=len(rows),
        executions=[_execution(row) for row in rows],
    )


async def model_execution(call: Call) -> ModelState:
    """Return an execution, or that it does not exist."""
    execution_id = call.id()
    row = await call.context.store.execution(execution_id)
    return ModelState(
        action="ehdb.execution.state",
        tier=TIER,
        execution_id=str(execution_id),
        exists=row is not None,
        state=_execution(row) if row is not None else None,
    )


async def model_events(call: Call) -> ModelEvents:
    """Return a page of an execution's events."""
    execution_id = call.id()
    query: ModelEventsQuery = call.query
    rows = await call.context.store.events(execution_id, after=query.after, limit=query.limit)
    events = [views.event(execution_id, row) for row in rows]
    return ModelEvents(
        action="ehdb.execution.events",
        tier=TIER,
        execution_id=str(execution_id),
        exists=bool(events),
        limit=query.limit,
        returned=len(events),
        next_cursor=events[-1].event_id if len(events) == query.limit else None,
        events=[
            ModelEvent(
                event_id=event.event_id,
                execution_id=event.execution_id,
                event_type=event.event_type,
                node_name=event.node_name or None,
                status=event.status,
                created_at=event.created_at,
            )
            for event in events
        ],
    )


def _execution(row: ExecutionRow) -> ModelExecution:
    return ModelExecution(
        execution_id=str(row.execution_id),
        parent_execution_id=id_text(row.parent_execution_id),
        catalog_id=id_text(row.catalog_id),
        path=row.path,
        status=row.status,
        terminal=bool(row.ended_at),
        current_node=row.current or None,
        event_count=row.seq,
        started_at=moment(row.started_at),
        completed_at=moment(row.ended_at),
    )


ID: Final = "383401759197892608"

EXECUTION: Final[dict[str, Any]] = {
    "execution_id": ID,
    "parent_execution_id": None,
    "catalog_id": "383401759197892600",
    "path": "examples/hello",
    "status": "COMPLETED",
    "terminal": True,
    "current_node": None,
    "event_count": 4,
    "started_at": "2026-01-05T10:00:00Z",
    "completed_at": "2026-01-05T10:00:02Z",
}

EVENT: Final[dict[str, Any]] = {
    "event_id": "2",
    "execution_id": ID,
    "event_type": "step.enter",
    "node_name": "start",
    "status": "RUNNING",
    "created_at": "2026-01-05T10:00:00Z",
}

ROUTES: Final = [
    Route(
        method="GET",
        path="/api/ehdb/executions",
        handler=model_executions,
        tag="read model",
        summary="Executions without their data",
        query=ModelQuery,
        answer=ModelExecutions,
        answer_example={
            "action": "ehdb.executions.list",
            "tier": TIER,
            "limit": 50,
            "offset": 0,
            "returned": 1,
            "executions": [EXECUTION],
        },
        refusals=(422,),
    ),
    Route(
        method="GET",
        path="/api/ehdb/executions/{execution_id}",
        handler=model_execution,
        tag="read model",
        summary="An execution without its data",
        description="If it does not exist, `exists` is false.",
        answer=ModelState,
        answer_example={
            "action": "ehdb.execution.state",
            "tier": TIER,
            "execution_id": ID,
            "exists": True,
            "state": EXECUTION,
        },
        refusals=(400,),
    ),
    Route(
        method="GET",
        path="/api/ehdb/executions/{execution_id}/events",
        handler=model_events,
        tag="read model",
        summary="Events of an execution without their data",
        query=ModelEventsQuery,
        answer=ModelEvents,
        answer_example={
            "action": "ehdb.execution.events",
            "tier": TIER,
            "execution_id": ID,
            "exists": True,
            "limit": 100,
            "returned": 1,
            "next_cursor": None,
            "events": [EVENT],
        },
        refusals=(400, 422),
    ),
]
