"""Read executions: lists, details, status, results."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from starlette.responses import Response

from arcbook.dsl.load import InvalidPlaybookError
from arcbook.engine.state import State, Status
from arcbook.owner.plans import PlaybookMissingError
from arcbook.secrets.taint import shown
from arcbook.server.http import event_pages, views
from arcbook.server.http.errors import invalid, not_found
from arcbook.server.http.route import ENCODER, Call, Route, an_id
from arcbook.store.api import PAGE_MAX, ExecutionFilter, ExecutionRow
from arcbook.wire.http.common import id_text
from arcbook.wire.http.executions import (
    CancellationCheck,
    Detail,
    DetailQuery,
    ExecutionsQuery,
    ResultQuery,
    ResultView,
    StatusView,
    Summary,
)

UNFINISHED: Final = (Status.PENDING, Status.RUNNING)

PAGES_LOOKED_AT_MAX: Final = 5
"""Pages of the store that one list reads (about 25 ms); the next call continues from there."""

RESULT_INLINE_BYTES_MAX: Final = 1024 * 1024
"""Size up to which the detail of an execution includes a result kept by reference."""


async def list_executions(call: Call) -> Response:
    """List executions, newest first."""
    query: ExecutionsQuery = call.query
    size = query.page_size or query.limit
    skip = query.offset + ((query.page or 1) - 1) * size
    if skip > 5000:
        raise invalid("a page starts at most 5,000 rows in; continue with before=<last id>")
    rows, looked_to = await _rows(call, query, skip + size + 1)
    page = rows[skip : skip + size]
    headers = {}
    older = await _unfinished(call, page) if not call.request.query_params else []
    if len(rows) > skip + size:
        looked_to = page[-1].execution_id
    if looked_to:
        last = str(looked_to)
        following = call.request.url.remove_query_params(("offset", "page"))
        following = following.include_query_params(before=last)
        headers = {"X-Next-Before": last, "Link": f'<{following}>; rel="next"'}
    content = ENCODER.encode([_summary(call, row) for row in [*page, *older]])
    return Response(content, headers=headers, media_type="application/json")


async def _unfinished(call: Call, page: list[ExecutionRow]) -> list[ExecutionRow]:
    """Return the unfinished executions older than a page, newest first."""
    if not page:
        return []
    rows: list[ExecutionRow] = []
    for status in UNFINISHED:
        unfinished = ExecutionFilter(status=status, before=page[-1].execution_id, limit=PAGE_MAX)
        rows += await call.context.store.executions(unfinished)
    return sorted(rows, key=lambda row: -row.execution_id)


def _summary(call: Call, row: ExecutionRow) -> Summary:
    """Return the summary of an execution, with its progress if this server owns it."""
    summary = views.summary(row)
    slot = None if row.ended_at else call.context.server.drive.slots.get(row.execution_id)
    if slot is None:
        return summary
    return msgspec.structs.replace(
        summary, progress=views.percent(slot.state, len(slot.plan.steps))
    )


async def _rows(call: Call, query: ExecutionsQuery, count: int) -> tuple[list[ExecutionRow], int]:
    """Return matching rows, newest first, or from after the previous page.

    The second value is the last row examined, or 0 if all of them were.
    """
    catalog_id = an_id(query.catalog_id, "catalog_id") if query.catalog_id else 0
    before = an_id(query.before, "before") if query.before else 0
    parent, path = query.parent_execution_id, query.path.lstrip("/")
    if catalog_id:
        # Rows are indexed by path, so other versions of the playbook are read and skipped.
        entry = await call.context.store.entry("", catalog_id=catalog_id)
        if entry is None or path.lower() not in entry.path.lower():
            return [], 0
        path = entry.path
    matches: list[ExecutionRow] = []
    for _ in range(PAGES_LOOKED_AT_MAX):
        limit = PAGE_MAX if catalog_id else min(PAGE_MAX, count - len(matches))
        rows = await call.context.store.executions(
            ExecutionFilter(
                status=query.status.upper(),
                path=path,
                tenant=query.tenant,
                organization=query.organization,
                parent_execution_id=an_id(parent, "parent_execution_id") if parent else 0,
                before=before,
                limit=limit,
            )
        )
        matches += [row for row in rows if catalog_id in (0, row.catalog_id)]
        if len(rows) < limit or len(matches) >= count:
            return matches[:count], 0
        before = rows[-1].execution_id
    return matches, before


async def detail(call: Call) -> Detail:
    """Return an execution with its input, its result, and its newest events or one page of them."""
    execution_id = call.id()
    state = await call.context.reader.state(execution_id)
    row = await call.context.reader.row(execution_id)
    query: DetailQuery = call.query
    pagination = None
    if query.is_page:
        events, pagination = await event_pages.page(call.context.store, state, query)
    else:
        events = await event_pages.newest(call.context.store, state, query)
    result, ref = state.result, state.result_ref
    if ref is not None and ref.bytes <= RESULT_INLINE_BYTES_MAX:
        result = await call.context.reader.result(state)
    fields = views.summary_fields(row) | {
        "event_count": state.seq,
        "status": str(state.status),
        "progress": views.percent(state, await _steps(call, state)),
    }
    return Detail(
        **fields,
        workload=shown(state.workload),
        result=shown(result),
        result_ref=ref.ref if ref is not None else None,
        events=events,
        pagination=pagination,
    )


async def _steps(call: Call, state: State) -> int:
    """Return the number of steps in an execution's playbook; 0 if it was deleted."""
    if state.status.is_terminal:
        return 0
    try:
        planned = await call.context.server.plans.find(
            state.path, state.version or None, state.catalog_id or None
        )
    except (InvalidPlaybookError, PlaybookMissingError):
        return 0
    return len(planned.plan.steps)


async def status(call: Call) -> StatusView:
    """Return the status of an execution."""
    return views.status(await call.context.reader.state(call.id()))


async def cancellation_check(call: Call) -> CancellationCheck:
    """Return whether an execution is being cancelled."""
    state = await call.context.reader.state(call.id())
    return CancellationCheck(
        execution_id=str(state.execution_id),
        is_cancelled=views.status(state).is_cancelled,
        status=str(state.status),
    )


async def result(call: Call) -> ResultView:
    """Return the result of an execution or of one of its steps."""
    reader = call.context.reader
    state = await reader.state(call.id())
    step = call.query.step
    if step and step not in state.results:
        raise not_found(f"result of step {step[:100]!r} in execution {state.execution_id}")
    value = await (reader.step_data(state, step) if step else reader.result(state))
    return ResultView(
        execution_id=str(id_text(state.execution_id)),
        status=str(state.status),
        step=step or None,
        result=shown(value),
    )


SUMMARY: Final[dict[str, Any]] = {
    "execution_id": "383401759197892608",
    "catalog_id": "383401759197892600",
    "path": "examples/hello",
    "version": 1,
    "status": "COMPLETED",
    "started_at": "2026-01-05T10:00:00Z",
    "completed_at": "2026-01-05T10:00:02Z",
    "start_time": "2026-01-05T10:00:00Z",
    "end_time": "2026-01-05T10:00:02Z",
    "duration_seconds": 2.0,
    "duration_human": "2.0s",
    "progress": 100,
    "event_count": 4,
    "current_step": None,
    "parent_execution_id": None,
    "error": None,
    "tenant": None,
    "organization": None,
    "labels": {},
}

EVENT_DATA: Final = {"type": "step.enter", "step": "start", "visit": 1}

EVENT: Final[dict[str, Any]] = {
    "event_id": "2",
    "seq": 2,
    "execution_id": "383401759197892608",
    "event_type": "step.enter",
    "name": "step.enter",
    "node_name": "start",
    "status": "RUNNING",
    "created_at": "2026-01-05T10:00:00Z",
    "result": None,
    "error": None,
    "data": EVENT_DATA,
}

DETAIL_EVENT: Final[dict[str, Any]] = {
    **EVENT,
    "node_id": "start",
    "catalog_id": "383401759197892600",
    "parent_execution_id": None,
    "timestamp": "2026-01-05T10:00:00Z",
    "duration": None,
    "context": EVENT_DATA,
}

STATUS: Final[dict[str, Any]] = {
    "execution_id": "383401759197892608",
    "status": "RUNNING",
    "current_step": "load",
    "progress": {"total": 2, "completed": 1, "running": 1, "failed_steps": 0},
    "completed_steps": ["start"],
    "failed": False,
    "completed": False,
    "completion_inferred": False,
    "is_cancelled": False,
    "variables": {"page": 3},
    "error": None,
    "start_time": "2026-01-05T10:00:00Z",
    "end_time": None,
    "duration_seconds": None,
    "duration_human": None,
}

ROUTES: Final = [
    Route(
        method="GET",
        path="/api/executions",
        handler=list_executions,
        tag="executions",
        summary="List executions, newest first",
        description=(
            "If there are more, `X-Next-Before` holds the value of `before` for the next page, and "
            "`Link` its address. With `catalog_id`, a page may be shorter than its limit and still "
            "have a next one, because executions of other versions are skipped. Without "
            "parameters, the first page also includes older executions that are unfinished."
        ),
        query=ExecutionsQuery,
        answer=list[Summary],
        answer_example=[SUMMARY],
        refusals=(400, 422),
    ),
    Route(
        method="GET",
        path="/api/executions/{execution_id}",
        handler=detail,
        tag="executions",
        summary="An execution with its newest events",
        description=(
            "With `page`, `page_size` or `since_event_id`, `events` is one page, newest first, "
            "described by `pagination`; otherwise it holds the newest events in order."
        ),
        query=DetailQuery,
        answer=Detail,
        answer_example={
            **SUMMARY,
            "workload": {"name": "world"},
            "result": {"greeting": "hello world"},
            "result_ref": None,
            "events": [DETAIL_EVENT],
            "pagination": {
                "page": 1,
                "page_size": 100,
                "total_events": 1,
                "total_pages": 1,
                "has_next": False,
                "has_prev": False,
            },
        },
        refusals=(400, 404, 422),
    ),
    Route(
        method="GET",
        path="/api/executions/{execution_id}/status",
        handler=status,
        tag="executions",
        summary="The status of an execution",
        answer=StatusView,
        answer_example=STATUS,
        refusals=(400, 404),
    ),
    Route(
        method="GET",
        path="/api/executions/{execution_id}/cancellation-check",
        handler=cancellation_check,
        tag="executions",
        summary="Whether an execution is being cancelled",
        answer=CancellationCheck,
        answer_example={
            "execution_id": "383401759197892608",
            "is_cancelled": False,
            "status": "RUNNING",
        },
        refusals=(400, 404),
    ),
    Route(
        method="GET",
        path="/api/executions/{execution_id}/result",
        handler=result,
        tag="executions",
        summary="The result of an execution or of one of its steps",
        query=ResultQuery,
        answer=ResultView,
        answer_example={
            "execution_id": "383401759197892608",
            "status": "COMPLETED",
            "step": None,
            "result": {"greeting": "hello world"},
        },
        refusals=(400, 404, 422),
    ),
]
