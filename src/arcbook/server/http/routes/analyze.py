"""Analysis of an execution: where its time went, and what failed."""

from __future__ import annotations

from typing import Any, Final

from arcbook.events.codec import decode
from arcbook.events.types import Recorded
from arcbook.executions import Progress, StepView
from arcbook.secrets.taint import shown
from arcbook.server.http.route import Call, Route
from arcbook.store.api import ExecutionRow, all_events
from arcbook.wire.http.common import seconds_between
from arcbook.wire.http.executions import Analysis, StepReport

EVENTS_MAX: Final = 50_000
"""Events that an analysis reads."""

SLOWEST: Final = 5
"""Slowest steps listed."""


async def analyze(call: Call) -> Analysis:
    """Summarize an execution, step by step."""
    row = await call.context.reader.row(call.id())
    return analysis(row, *await looked_at(call, row.execution_id, EVENTS_MAX), EVENTS_MAX)


async def looked_at(call: Call, execution_id: int, events_max: int) -> tuple[Progress, int]:
    """Summarize the first events of an execution; return their number too."""
    progress = Progress()
    count = 0
    async for event in all_events(call.context.store, execution_id):
        if count == events_max:
            break
        count += 1
        progress.add([Recorded(event.seq, event.at, decode(event.body))])
    return progress, count


def analysis(row: ExecutionRow, progress: Progress, count: int, events_max: int) -> Analysis:
    """Summarize an execution from its events."""
    steps = list(progress.steps.values())
    slowest = sorted(steps, key=lambda s: -s.duration_us)[:SLOWEST]
    return Analysis(
        execution_id=str(row.execution_id),
        path=row.path,
        status=row.status,
        duration_seconds=seconds_between(row.started_at, row.ended_at),
        event_count=count,
        is_partial=count == events_max,
        steps=[_report(step) for step in steps],
        slowest=[step.name for step in slowest if step.duration_us],
        failed=[step.name for step in steps if step.status == "failed"],
        error=str(shown(progress.error.message)) if progress.error else None,
        warnings=shown(progress.all_warnings()),
    )


def _report(step: StepView) -> StepReport:
    return StepReport(
        step=step.name,
        status=step.status,
        visits=step.visits,
        retries=step.retries,
        duration_seconds=seconds_between(step.entered_at, step.ended_at),
        error=str(shown(step.error.message)) if step.error else None,
        warnings=shown(step.warnings),
    )


EXAMPLE: Final[dict[str, Any]] = {
    "execution_id": "383401759197892608",
    "path": "examples/hello",
    "status": "COMPLETED",
    "duration_seconds": 2.0,
    "event_count": 4,
    "is_partial": False,
    "steps": [
        {
            "step": "start",
            "status": "done",
            "visits": 1,
            "retries": 0,
            "duration_seconds": 1.9,
            "error": None,
            "warnings": [],
        }
    ],
    "slowest": ["start"],
    "failed": [],
    "error": None,
    "warnings": [],
}

ROUTES: Final = [
    Route(
        method="GET",
        path="/api/executions/{execution_id}/analyze",
        handler=analyze,
        tag="executions",
        summary="Where an execution's time went, and what failed",
        description=f"Reads the first {EVENTS_MAX:,} events.",
        answer=Analysis,
        answer_example=EXAMPLE,
        refusals=(400, 404),
    ),
]
