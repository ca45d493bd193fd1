"""Stop executions, and run them again."""

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
"""Maximum number of descendants that a cascade cancels."""

CLEANUP_MAX: Final = 1000
"""Maximum number of executions that one clean-up cancels."""


async def cancel(call: Call) -> Cancelled:
    """Cancel an execution and the children it waits for."""
    return await cancelled(call, call.body)


async def cancelled(call: Call, request: CancelRequest) -> Cancelled:
    """Cancel an execution as a request specifies."""
    execution_id = call.id()
    await call.context.reader.row(execution_id)
    below = await _descendants(call, execution_id) if request.cascade else []
    server = call.context.server
    stopped = [execution_id] if await server.cancel(execution_id, request.reason) else []
    for row in below:
        state = await call.context.reader.state(row.execution_id)
        was_running = not state.status.is_terminal or state.status is Status.CANCELLED
        if was_running:
            await server.cancel(row.execution_id, request.reason)
            stopped.append(row.execution_id)
    message = f"execution {execution_id} is being cancelled"
    if not stopped:
        message = f"execution {execution_id} has already ended or is being cancelled"
    return Cancelled(
        execution_id=str(execution_id),
        status="cancelled" if stopped else "already_completed",
        cancelled_executions=[str(i) for i in stopped],
        message=message,
    )


async def _descendants(call: Call, execution_id: int) -> list[ExecutionRow]:
    """Return the running descendants of an execution."""
    descendants: list[ExecutionRow] = []
    parents = [execution_id]
    while parents and len(descendants) < DESCENDANTS_MAX:
        parent, before = parents.pop(), 0
        while True:
            children = ExecutionFilter(parent_execution_id=parent, before=before, limit=PAGE_MAX)
            page = await call.context.store.executions(children)
            descendants += [row for row in page if not row.ended_at]
            parents += [row.execution_id for row in page]
            if len(page) < PAGE_MAX:
                break
            before = page[-1].execution_id
    return descendants


async def finalize(call: Call) -> Finalized:
    """Fail an execution that cannot end by itself."""
    execution_id = call.id()
    request: FinalizeRequest = call.body
    status = request.status.upper()
    if status == "COMPLETED":
        raise invalid(
            "an unfinished execution cannot be finalized as COMPLETED, because it has no result; "
            "finalize it as FAILED, or cancel it"
        )
    if status != "FAILED":
        raise invalid(f"status must be FAILED, not {request.status[:40]!r}")
    message = request.error or request.reason or "finalized through the API"
    error = ErrorInfo(kind=ErrorKind.CANCELLED, message=message, code="FINALIZED")
    accepted = await call.context.server.give(execution_id, Abort(error=error))
    return Finalized(
        execution_id=str(execution_id),
        status="finalized" if accepted else "already_completed",
        message=f"execution {execution_id} " + ("has failed" if accepted else "had already ended"),
    )


async def rerun(call: Call) -> Retried:
    """Start an execution again with its own input."""
    request: RerunRequest = call.body
    state = await call.context.reader.state(call.id())
    values = {**(request.workload or {}), **(request.payload or {})}
    planned = await _planned(call, state, latest=request.latest)
    known_values(planned, values, allow=request.allow)
    return await _again(call, state, planned, {**state.payload, **values})


async def retry_from(call: Call) -> Retried:
    """Start an execution that continues from a step of another."""
    request: RetryRequest = call.body
    execution_id = call.id()
    await call.context.reader.row(execution_id)
    before = await call.context.reader.state_before(execution_id, request.step)
    if before is None:
        raise invalid(f"execution {execution_id} never entered step {request.step[:100]!r}")
    planned = await _planned(call, before, latest=request.latest)
    if request.step not in planned.plan.by_name:
        raise invalid(f"the playbook no longer has step {request.step!r}")
    return await _again(
        call,
        before,
        planned,
        before.workload,
        entry=request.step,
        ctx=before.ctx,
        results=before.results,
    )


async def _planned(call: Call, state: State, *, latest: bool) -> Planned:
    """Return the playbook of an execution: the version it ran, or the latest."""
    catalog_id = None if latest else state.catalog_id or None
    return await call.context.server.plans.find(state.path, catalog_id=catalog_id)


async def _again(
    call: Call, state: State, planned: Planned, payload: dict[str, Any], **facts: Any
) -> Retried:
    server = call.context.server
    inherited = {name: state.labels[name] for name in INHERITED if name in state.labels}
    labels = inherited | call.caller.labels
    execution_id = await server.start(planned, payload, pool=state.pool, labels=labels, **facts)
    return Retried(
        execution_id=str(execution_id),
        status="started",
        retry_of=str(state.execution_id),
        step=facts.get("entry"),
    )


async def cleanup(call: Call) -> CleanedUp:
    """Cancel executions that have run for too long."""
    request: CleanupRequest = call.body
    until = call.context.server.clock.now_us() - int(request.older_than_minutes * 60_000_000)
    expired: list[int] = []
    before = 0
    while len(expired) < CLEANUP_MAX:
        running = ExecutionFilter(status="RUNNING", before=before, limit=PAGE_MAX)
        page = await call.context.store.executions(running)
        expired += [row.execution_id for row in page if row.started_at <= until]
        if len(page) < PAGE_MAX:
            break
        before = page[-1].execution_id
    expired = expired[:CLEANUP_MAX]
    done = expired
    if not request.dry_run:
        reason = f"it ran for more than {request.older_than_minutes:g} minutes"
        done = [i for i in expired if await call.context.server.cancel(i, reason)]
        call.subject = " ".join(map(str, done))
    verb = "would be" if request.dry_run else "were"
    return CleanedUp(
        cancelled_count=0 if request.dry_run else len(done),
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
            "Also cancels the children it waits for; with `cascade`, all its running descendants. "
            "Any server takes the request and passes it to the owner."
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
        summary="Start an execution again",
        description="With the input of the original start, overridden by the values of the "
        "request.",
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
            "A new execution begins at the step, with the workload, variables and results that the "
            "original had when it last entered the step."
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
        summary="Cancel executions that have run for too long",
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
