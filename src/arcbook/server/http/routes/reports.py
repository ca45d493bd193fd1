"""Events from outside: callbacks of parked steps. The engine writes all other events itself."""

from __future__ import annotations

from typing import Any, Final

from arcbook.server.http.callbacks import call_back, outcome_of
from arcbook.server.http.errors import invalid
from arcbook.server.http.route import Call, Route, an_id
from arcbook.wire.http.events import EventRequest, EventsRequest, EventsTaken, EventTaken

ENDS: Final = {
    "call.done": "completed",
    "command.completed": "completed",
    "step.done": "completed",
    "step.exit": "completed",
    "call.error": "failed",
    "command.failed": "failed",
    "step.failed": "failed",
}
"""Event types that end a wait, and the outcome each stands for."""


async def post_event(call: Call) -> EventTaken:
    """Accept one event."""
    request: EventRequest = call.body
    accepted = await _take(call, request, None)
    return EventTaken(status="ok", event_id=_event_id(request), duplicate=not accepted)


async def post_events(call: Call) -> EventsTaken:
    """Accept events one after another."""
    request: EventsRequest = call.body
    for event in request.events:
        _checked(event, request.execution_id)
    accepted = [await _take(call, event, request.execution_id) for event in request.events]
    return EventsTaken(
        status="ok",
        event_ids=[_event_id(event) for event in request.events],
        duplicates=accepted.count(False),
    )


async def _take(call: Call, event: EventRequest, of_all: Any) -> bool:
    execution_id, step, ending = _checked(event, of_all)
    payload = event.payload if event.payload is not None else event.context
    status = event.status or ending
    # A type that says failure wins over the status.
    outcome = outcome_of(
        "failed" if ending == "failed" else status,
        event.result if event.result is not None else payload,
        event.error,
    )
    key = "" if event.event_id is None else _event_id(event)
    return await call_back(call, execution_id, step, outcome, key)


def _checked(event: EventRequest, of_all: Any) -> tuple[int, str, str]:
    """Return the execution, the step and the outcome of an event.

    Raises:
        ApiError: it is not an event that may come from outside.
    """
    kind, step = event.event_type or event.name or "", event.step or event.node_name or ""
    if kind not in ENDS:
        raise invalid(
            f"only the engine writes events of the type {kind[:60]!r}; the API accepts "
            f"{', '.join(sorted(ENDS))}, for a step that waits for a callback"
        )
    if not step:
        raise invalid("set 'step' to name the step")
    execution_id = event.execution_id if event.execution_id is not None else of_all
    return an_id(execution_id, "execution_id"), step, ENDS[kind]


def _event_id(event: EventRequest) -> str:
    return str(event.event_id)[:64] if event.event_id is not None else ""


ID: Final = "383401759197892608"
EVENT: Final = {
    "execution_id": ID,
    "step": "approve",
    "event_type": "call.done",
    "payload": {"approved": True},
    "event_id": "383401759197892700",
}

ROUTES: Final = [
    Route(
        method="POST",
        path="/api/events",
        handler=post_event,
        tag="events",
        summary="Report the end of what a step waits for",
        description=(
            "`call.done` or `call.error` for a step that waits for a callback. It takes effect "
            "once: the same event again changes nothing and returns `duplicate`."
        ),
        body=EventRequest,
        body_example=EVENT,
        answer=EventTaken,
        answer_example={
            "status": "ok",
            "event_id": "383401759197892700",
            "duplicate": False,
            "commands_generated": 0,
        },
        scope="operator",
        refusals=(400, 404, 413, 422),
    ),
    Route(
        method="POST",
        path="/api/events/batch",
        handler=post_events,
        tag="events",
        summary="Report up to 256 events",
        description="All are checked before the first takes effect.",
        body=EventsRequest,
        body_example={"execution_id": ID, "events": [EVENT]},
        answer=EventsTaken,
        answer_example={
            "status": "ok",
            "event_ids": ["383401759197892700"],
            "duplicates": 0,
            "commands_generated": 0,
        },
        scope="operator",
        refusals=(400, 404, 413, 422),
    ),
]
