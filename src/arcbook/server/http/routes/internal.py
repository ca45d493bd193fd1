"""Routes for the platform's own machinery, behind the internal token."""

from __future__ import annotations

from typing import Final

from arcbook.server.http.access import INTERNAL
from arcbook.server.http.callbacks import call_back, outcome_of
from arcbook.server.http.route import Call, Route
from arcbook.server.http.wire.access import CallbackRequest, CallbackTaken, PendingCount


async def pending_count(call: Call) -> PendingCount:
    """Count the commands that wait for a worker, for what scales workers."""
    backlog = await call.context.store.backlog()
    pools = {pool: pending for pool, (pending, _) in sorted(backlog.items())}
    return PendingCount(pending=sum(pools.values()), pools=pools)


async def container_callback(call: Call) -> CallbackTaken:
    """Hand the end of something outside to the step that waits for it."""
    wanted: CallbackRequest = call.body
    execution_id, step = call.id(), call.param("step")
    outcome = outcome_of(wanted.status, wanted.result, wanted.error)
    accepted = await call_back(call, execution_id, step, outcome)
    return CallbackTaken(
        status="ok" if accepted else "ignored",
        execution_id=str(execution_id),
        step=step,
        accepted=accepted,
    )


ROUTES: Final = [
    Route(
        method="GET",
        path="/api/internal/outbox/pending-count",
        handler=pending_count,
        tag="internal",
        summary="How many commands wait for a worker",
        answer=PendingCount,
        answer_example={"pending": 3, "pools": {"gpu": 1, "shared": 2}},
        scope=INTERNAL,
    ),
    Route(
        method="POST",
        path="/api/internal/container-callback/{execution_id}/{step}",
        handler=container_callback,
        tag="internal",
        summary="Report the end of what a step waits for",
        body=CallbackRequest,
        body_example={"status": "completed", "result": {"rows": 3}},
        answer=CallbackTaken,
        answer_example={
            "status": "ok",
            "execution_id": "383401759197892608",
            "step": "train",
            "accepted": True,
        },
        scope=INTERNAL,
        refusals=(400, 404, 413, 422),
    ),
]
