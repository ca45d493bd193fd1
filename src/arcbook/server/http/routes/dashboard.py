"""Numbers for the dashboard."""

from __future__ import annotations

from typing import Any, Final

from arcbook.engine.state import Status
from arcbook.server.http.metrics import WORKER_SEEN_SECONDS
from arcbook.server.http.route import Call, Route
from arcbook.wire.http.system import Dashboard, Stats

RUNNING: Final = (Status.PENDING, Status.RUNNING)


async def stats(call: Call) -> Dashboard:
    """Count executions and documents."""
    store = call.context.store
    counts = await store.counts()
    return Dashboard(
        status="ok",
        stats=Stats(
            total=sum(counts.values()),
            successful=counts.get(Status.COMPLETED, 0),
            failed=counts.get(Status.FAILED, 0),
            cancelled=counts.get(Status.CANCELLED, 0),
            running_executions=sum(counts.get(status, 0) for status in RUNNING),
            total_playbooks=await store.count_entries("playbook"),
            total_workers=len(await store.workers(WORKER_SEEN_SECONDS)),
        ),
    )


STATS: Final[dict[str, Any]] = {
    "total": 12,
    "successful": 9,
    "failed": 1,
    "cancelled": 1,
    "running_executions": 1,
    "total_playbooks": 4,
    "total_workers": 2,
}

ROUTES: Final = [
    Route(
        method="GET",
        path="/api/dashboard/stats",
        handler=stats,
        tag="dashboard",
        summary="Numbers for the dashboard",
        description="Each number is counted on request; none is estimated.",
        answer=Dashboard,
        answer_example={"status": "ok", "stats": STATS},
    ),
]
