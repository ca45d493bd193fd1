"""Routes for the platform itself; they need the internal token."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from arcbook.owner.drive import ExecutionMissingError
from arcbook.server.cleanup import Cleanup
from arcbook.server.http.access import INTERNAL
from arcbook.server.http.callbacks import JobEnd, call_back, is_good, outcome_of
from arcbook.server.http.errors import invalid
from arcbook.server.http.route import Call, Route
from arcbook.wire.http.access import CallbackRequest, CallbackTaken, PendingCount
from arcbook.wire.http.common import moment
from arcbook.wire.http.internal import PurgeAnswer, PurgeRequest

JOB_FACTS: Final = (
    "state",
    "reason",
    "job_name",
    "job_uid",
    "exit_code",
    "stdout_uri",
    "stderr_uri",
    "completed_at",
)
"""Fields of a job watcher's callback other than the result."""

DAY_US: Final = 86_400_000_000


async def pending_count(call: Call) -> PendingCount:
    """Count the commands that wait for a worker, for autoscalers."""
    backlog = await call.context.store.backlog()
    pools = {pool: pending for pool, (pending, _) in sorted(backlog.items())}
    return PendingCount(pending=sum(pools.values()), pools=pools)


async def container_callback(call: Call) -> CallbackTaken:
    """Pass a callback to the step that waits for it; whoever is late is told so, not refused."""
    request: CallbackRequest = call.body
    execution_id, step = call.id(), call.param("step")
    status = request.state or request.status
    reason = request.error or (None if is_good(status) else request.reason)
    facts = _facts(request)
    outcome = outcome_of(status, facts if request.result is None else request.result, reason)
    job = JobEnd(
        name=request.job_name or "",
        uid=request.job_uid or "",
        outcome=outcome_of(status, {**(facts or {}), "result": request.result}, reason),
    )
    try:
        accepted = await call_back(call, execution_id, step, outcome, job.uid, job)
    except ExecutionMissingError:
        accepted = False
    call.context.metrics.called_back(status, accepted=accepted)
    return CallbackTaken(
        status="accepted_in_flight" if accepted else "accepted_stale",
        execution_id=str(execution_id),
        step=step,
        accepted=accepted,
    )


def _facts(request: CallbackRequest) -> dict[str, Any] | None:
    """Return the facts about the job."""
    fields = msgspec.structs.asdict(request)
    facts = {name: fields[name] for name in JOB_FACTS if fields[name] is not None}
    return facts or None


async def purge(call: Call) -> PurgeAnswer:
    """Delete executions that ended long ago."""
    request: PurgeRequest = call.body
    kept_days = call.context.settings.retention_days
    days = kept_days if request.older_than_days is None else request.older_than_days
    if days < kept_days:
        raise invalid(f"older_than_days must be at least {kept_days:g}, the server's retention")
    server = call.context.server
    before_us = max(0, server.clock.now_us() - int(days * DAY_US))
    cleanup = Cleanup(server.store, server.blobs)
    purged = await cleanup.purge(before_us, request.limit, dry_run=request.dry_run)
    return PurgeAnswer(dry_run=request.dry_run, before=moment(before_us), **purged._asdict())


ROUTES: Final = [
    Route(
        method="GET",
        path="/api/internal/outbox/pending-count",
        handler=pending_count,
        tag="internal",
        summary="Commands that wait for a worker",
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
        description="A watcher of jobs reports ends here: see `arcbook watch-jobs`. The answer is "
        "202 also if no step waits for it any more, or if it was reported before; `accepted` "
        "tells. Requires the internal token as bearer token.",
        status=202,
        body=CallbackRequest,
        body_example={"status": "completed", "result": {"rows": 3}},
        answer=CallbackTaken,
        answer_example={
            "status": "accepted_in_flight",
            "execution_id": "383401759197892608",
            "step": "train",
            "accepted": True,
        },
        scope=INTERNAL,
        refusals=(400, 413, 422),
    ),
    Route(
        method="POST",
        path="/api/internal/cleanup/purge",
        handler=purge,
        change="cleanup.purge",
        tag="internal",
        summary="Delete old executions",
        description="Those that ended before the retention period; by default a dry run. Requires "
        "the internal token as bearer token; `system/scheduled_cleanup` calls it.",
        body=PurgeRequest,
        body_example={"dry_run": True, "limit": 10000},
        answer=PurgeAnswer,
        answer_example={
            "dry_run": True,
            "before": "2026-01-05T10:00:00Z",
            "executions": 12,
            "workers": 0,
            "more": False,
        },
        scope=INTERNAL,
        refusals=(400, 413, 422),
    ),
]
