"""Stopping executions, and running them again."""

from __future__ import annotations

from typing import Any, Final

from arcbook.engine.inputs import Abort
from arcbook.engine.state import State, Status
from arcbook.outcome import ErrorInfo, ErrorKind
from arcbook.owner.plans import Planned
from arcbook.owner.queue import INHERITED
from arcbook.server.http.errors import invalid
from arcbook.server.http.route import Call, Route
from arcbook.server.http.routes.execute import known_values
from arcbook.store.api import PAGE_MAX, ExecutionFilter, ExecutionRow
from arcbook.wire.http.executions import (
    Cancelled,
    CancelRequest,
    CleanedUp,
    CleanupRequest,
    Finalized,
    FinalizeRequest,
    RerunRequest,
    Retried,
    RetryRequest,
)

DESCENDANTS_MAX: Final = 10_000
"""Executions below one that a cascade reaches."""

CLEANUP_MAX: Final = 1000
"""Executions that one clean-up cancels."""


async def cancel(call: Call) -> Cancelled:
    """Cancel an execution, and what it started."""
    return await cancelled(call, call.body)


async def cancelled(call: Call, wanted: CancelRequest) -> Cancelled:
    """Cancel an execution, as a request says."""
    execution_id = call.id()
    await call.context.reading.row(execution_id)
    below = await _descendants(call, execution_id) if wanted.cascade else []
    server = call.context.server
    stopped = [execution_id] if await server.cancel(execution_id, wanted.reason) else []
    for row in below:
        state = await call.context.reading.state(row.execution_id)
        was_running = not state.status.is_terminal or state.status is Status.CANCELLED
        if was_running:
            await server.cancel(row.execution_id, wanted.reason)
            stopped.append(row.execution_id)
    told = f"execution {execution_id} is being cancelled"
    if not stopped:
        told = f"execution {execution_id} has ended, or is being cancelled already"
    return Cancelled(
        execution_id=str(execution_id),
        status="cancelled" if stopped else "already_completed",
        cancelled_executions=[str(i) for i in stopped],
        message=told,
    )


async def _descendants(call: Call, execution_id: int) -> list[ExecutionRow]:
    """Return what an execution started, and what that started, as far as it runs."""
    found: list[ExecutionRow] = []
    parents = [execution_id]
    while parents and len(found) < DESCENDANTS_MAX:
        parent, before = parents.pop(), 0
        while True:
            wanted = ExecutionFilter(parent_execution_id=parent, before=before, limit=PAGE_MAX)
            page = await call.context.store.executions(wanted)
            found += [row for row in page if not row.ended_at]
            parents += [row.execution_id for row in page]
            if len(page) < PAGE_MAX:
                break
            before = page[-1].execution_id
    return found


async def finalize(call: Call) -> Finalized:
    """End an execution that cannot end by itself."""
    execution_id = call.id()
    wanted: FinalizeRequest = call.body
    status = wanted.status.upper()
    if status == "COMPLETED":
        raise invalid(
            "an execution that has not ended cannot be declared completed: its result would be "
            "missing; finalize it as FAILED, or cancel it"
        )
    if status != "FAILED":
        raise invalid(f"status is FAILED, not {wanted.status[:40]!r}")
    message = wanted.error or wanted.reason or "finalized through the API"
    error = ErrorInfo(kind=ErrorKind.CANCELLED, message=message, code="FINALIZED")
    taken = await call.context.server.give(execution_id, Abort(error=error))
    return Finalized(
        execution_id=str(execution_id),
        status="finalized" if taken else "already_completed",
        message=f"execution {execution_id} " + ("has failed" if taken else "had ended already"),
    )


async def rerun(call: Call) -> Retried:
    """Start an execution once more, with its own input."""
    wanted: RerunRequest = call.body
    state = await call.context.reading.state(call.id())
    given = {**(wanted.workload or {}), **(wanted.payload or {})}
    planned = await _planned(call, state, latest=wanted.latest)
    known_values(planned, given, allow=wanted.allow)
    return await _again(call, state, planned, {**state.payload, **given})


async def retry_from(call: Call) -> Retried:
    """Start an execution that goes on from a step of another."""
    wanted: RetryRequest = call.body
    execution_id = call.id()
    await call.context.reading.row(execution_id)
    before = await call.context.reading.state_before(execution_id, wanted.step)
    if before is None:
        raise invalid(f"execution {execution_id} never entered step {wanted.step[:100]!r}")
    planned = await _planned(call, before, latest=wanted.latest)
    if wanted.step not in planned.plan.by_name:
        raise invalid(f"the playbook has no step {wanted.step!r} any more")
    return await _again(
        call,
        before,
        planned,
        before.workload,
        entry=wanted.step,
        ctx=before.ctx,
        results=before.results,
    )


async def _planned(call: Call, state: State, *, latest: bool) -> Planned:
    """Return the playbook of an execution: as it was, or its latest version."""
    catalog_id = None if latest else state.catalog_id or None
    return await call.context.server.plans.find(state.path, catalog_id=catalog_id)


async def _again(
    call: Call, state: State, planned: Planned, payload: dict[str, Any], **facts: Any
) -> Retried:
    server = call.context.server
    kept = {name: state.labels[name] for name in INHERITED if name in state.labels}
    labels = kept | call.caller.labels
    execution_id = await server.start(planned, payload, pool=state.pool, labels=labels, **facts)
    return Retried(
        execution_id=str(execution_id),
        status="started",
        retry_of=str(state.execution_id),
        step=facts.get("entry"),
    )


async def cleanup(call: Call) -> CleanedUp:
    """Cancel executions that run for too long."""
    wanted: CleanupRequest = call.body
    until = call.context.server.clock.now_us() - int(wanted.older_than_minutes * 60_000_000)
    found: list[int] = []
    before = 0
    while len(found) < CLEANUP_MAX:
        asked = ExecutionFilter(status="RUNNING", before=before, limit=PAGE_MAX)
        page = await call.context.store.executions(asked)
        found += [row.execution_id for row in page if row.started_at <= until]
        if len(page) < PAGE_MAX:
            break
        before = page[-1].execution_id
    found = found[:CLEANUP_MAX]
    done = found
    if not wanted.dry_run:
        reason = f"it ran for more than {wanted.older_than_minutes:g} minutes"
        done = [i for i in found if await call.context.server.cancel(i, reason)]
        call.subject = " ".join(map(str, done))
    verb = "would be" if wanted.dry_run else "were"
    return CleanedUp(
        cancelled_count=0 if wanted.dry_run else len(done),
        execution_ids=[str(i) for i in done],
        message=f"{len(done)} executions {verb} cancelled",
    )


ID: Final = "383401759197892608"
NEW: Final = "383401759197892999"

CANCELLED: Final = {
    "execution_id": ID,
    "status": "cancelled",
    "cancelled_executions": [ID],
    "message": f"execution {ID} is being cancelled",
}

ROUTES: Final = [
    Route(
        method="POST",
        path="/api/executions/{execution_id}/cancel",
        handler=cancel,
        change="execution.cancel",
        tag="executions",
        summary="Cancel an execution",
        description=(
            "What it waits for is cancelled, too; with `cascade` also what it started and does "
            "not wait for. Any server takes the request; the owner carries it out."
        ),
        body=CancelRequest,
        body_example={"reason": "wrong input", "cascade": True},
        body_optional=True,
        answer=Cancelled,
        answer_example=CANCELLED,
        scope="operator",
        refusals=(400, 404, 413, 422),
    ),
    Route(
        method="POST",
        path="/api/executions/{execution_id}/finalize",
        handler=finalize,
        change="execution.finalize",
        tag="executions",
        summary="Fail an execution that cannot end by itself",
        body=FinalizeRequest,
        body_example={"status": "FAILED", "error": "its source is gone"},
        body_optional=True,
        answer=Finalized,
        answer_example={
            "execution_id": ID,
            "status": "finalized",
            "message": f"execution {ID} has failed",
        },
        scope="operator",
        refusals=(400, 404, 413, 422),
    ),
    Route(
        method="POST",
        path="/api/executions/{execution_id}/rerun",
        handler=rerun,
        tag="executions",
        summary="Start an execution once more",
        description="With the values of its own start, and further ones laid over them.",
        body=RerunRequest,
        body_example={"workload": {"name": "again"}},
        body_optional=True,
        answer=Retried,
        answer_example={
            "execution_id": NEW,
            "status": "started",
            "retry_of": ID,
            "step": None,
            "commands_generated": 1,
        },
        scope="operator",
        refusals=(400, 404, 413, 422),
    ),
    Route(
        method="POST",
        path="/api/executions/{execution_id}/retry-from",
        handler=retry_from,
        tag="executions",
        summary="Run an execution again from a step",
        description=(
            "A new execution begins at the step, with the workload, variables and results that "
            "the old one had when it last entered it."
        ),
        body=RetryRequest,
        body_example={"step": "transform"},
        answer=Retried,
        answer_example={
            "execution_id": NEW,
            "status": "started",
            "retry_of": ID,
            "step": "transform",
            "commands_generated": 1,
        },
        scope="operator",
        refusals=(400, 404, 413, 422),
    ),
    Route(
        method="POST",
        path="/api/executions/cleanup",
        handler=cleanup,
        change="execution.cleanup",
        tag="executions",
        summary="Cancel executions that run for too long",
        body=CleanupRequest,
        body_example={"older_than_minutes": 60, "dry_run": True},
        body_optional=True,
        answer=CleanedUp,
        answer_example={
            "cancelled_count": 0,
            "execution_ids": [ID],
            "message": "1 executions would be cancelled",
        },
        scope="operator",
        refusals=(400, 413, 422),
    ),
]
