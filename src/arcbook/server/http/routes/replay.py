"""The state of an execution after any of its events."""

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
    query: StateQuery = call.query
    return await _replayed(call, call.id(), query.seq)


async def replay_state(call: Call) -> ReplayedState:
    """Return an execution's state, in the format of the older server's clients."""
    query: ReplayQuery = call.query
    if query.as_of_event_id and query.as_of_position:
        raise invalid("set as_of_event_id or as_of_position, not both")
    cutoff = query.as_of_event_id or query.as_of_position
    execution_id = an_id(query.execution_id, "execution_id")
    return await _replayed(call, execution_id, an_id(cutoff, "the cutoff") if cutoff else None)


async def _replayed(call: Call, execution_id: int, seq: int | None) -> ReplayedState:
    state = await call.context.reader.state_at(execution_id, seq)
    return ReplayedState(
        execution_id=str(execution_id),
        seq=state.seq,
        state=views.status(state),
        workload=shown(state.workload),
        ctx=shown(state.ctx),
        visits=dict(state.visits),
        result=shown(state.result),
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
        summary="The state of an execution after an event",
        description="Computed by folding its events up to that one; the current state by default.",
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
        summary="The same, in the format of the older server",
        query=ReplayQuery,
        answer=ReplayedState,
        answer_example=REPLAYED,
        refusals=(400, 404, 422),
    ),
]
