"""An execution as it was: its state after any of its events."""

from __future__ import annotations

from typing import Final

from arcbook.secrets.taint import shown
from arcbook.server.http import views
from arcbook.server.http.errors import invalid
from arcbook.server.http.route import Call, Route, an_id
from arcbook.server.http.routes.executions import STATUS
from arcbook.wire.http.executions import ReplayedState, ReplayQuery, StateQuery


async def state(call: Call) -> ReplayedState:
    """Return an execution's state after an event."""
    asked: StateQuery = call.query
    return await _replayed(call, call.id(), asked.seq)


async def replay_state(call: Call) -> ReplayedState:
    """Return an execution's state, as the older server's clients ask for it."""
    asked: ReplayQuery = call.query
    if asked.as_of_event_id and asked.as_of_position:
        raise invalid("say as_of_event_id or as_of_position, not both")
    cutoff = asked.as_of_event_id or asked.as_of_position
    execution_id = an_id(asked.execution_id, "execution_id")
    return await _replayed(call, execution_id, an_id(cutoff, "the cutoff") if cutoff else None)


async def _replayed(call: Call, execution_id: int, seq: int | None) -> ReplayedState:
    found = await call.context.reading.state_at(execution_id, seq)
    return ReplayedState(
        execution_id=str(execution_id),
        seq=found.seq,
        state=views.status(found),
        workload=shown(found.workload),
        ctx=shown(found.ctx),
        visits=dict(found.visits),
        result=shown(found.result),
    )


REPLAYED: Final = {
    "execution_id": "383401759197892608",
    "seq": 3,
    "state": STATUS,
    "workload": {"name": "world"},
    "ctx": {"page": 3},
    "visits": {"start": 1},
    "result": None,
}

ROUTES: Final = [
    Route(
        method="GET",
        path="/api/executions/{execution_id}/state",
        handler=state,
        tag="executions",
        summary="An execution as it was after an event",
        description="Made by folding its events up to that one; its present state by default.",
        query=StateQuery,
        answer=ReplayedState,
        answer_example=REPLAYED,
        refusals=(400, 404, 422),
    ),
    Route(
        method="GET",
        path="/api/replay/state",
        handler=replay_state,
        tag="executions",
        summary="The same, as the older server has it",
        query=ReplayQuery,
        answer=ReplayedState,
        answer_example=REPLAYED,
        refusals=(400, 404, 422),
    ),
]
