"""Reading executions: lists, details, status, results."""

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
from arcbook.wire.http.common import told
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
"""Pages of the store that one list looks through: some 25 ms, then it says where to go on."""

RESULT_INLINE_BYTES_MAX: Final = 1024 * 1024
"""Size up to which a result kept by reference stands in an execution's detail."""


async def list_executions(call: Call) -> Response:
    """List executions, newest first."""
    asked: ExecutionsQuery = call.query
    size = asked.page_size or asked.limit
    skip = asked.offset + ((asked.page or 1) - 1) * size
    if skip > 5000:
        raise invalid("a page begins at most 5,000 rows in; go on with before=<last id>")
    rows, looked_to = await _rows(call, asked, skip + size + 1)
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
    """Return the executions that go on and are older than a page, newest first."""
    if not page:
        return []
    found: list[ExecutionRow] = []
    for status in UNFINISHED:
        wanted = ExecutionFilter(status=status, before=page[-1].execution_id, limit=PAGE_MAX)
        found += await call.context.store.executions(wanted)
    return sorted(found, key=lambda row: -row.execution_id)


def _summary(call: Call, row: ExecutionRow) -> Summary:
    """Return an execution at a glance; how far it is, where this server drives it."""
    found = views.summary(row)
    slot = None if row.ended_at else call.context.server.drive.slots.get(row.execution_id)
    if slot is None:
        return found
    return msgspec.structs.replace(found, progress=views.percent(slot.state, len(slot.plan.steps)))


async def _rows(call: Call, asked: ExecutionsQuery, wanted: int) -> tuple[list[ExecutionRow], int]:
    """Return rows that match, from the newest or from after the page before.

    And the last row that was looked at, where there was no time to look at all of them.
    """
    catalog_id = an_id(asked.catalog_id, "catalog_id") if asked.catalog_id else 0
    before = an_id(asked.before, "before") if asked.before else 0
    parent, path = asked.parent_execution_id, asked.path.lstrip("/")
    if catalog_id:
        # Executions are stored by path: those of its other versions are looked through.
        entry = await call.context.store.entry("", catalog_id=catalog_id)
        if entry is None or path.lower() not in entry.path.lower():
            return [], 0
        path = entry.path
    found: list[ExecutionRow] = []
    for _ in range(PAGES_LOOKED_AT_MAX):
        limit = PAGE_MAX if catalog_id else min(PAGE_MAX, wanted - len(found))
        rows = await call.context.store.executions(
            ExecutionFilter(
                status=asked.status.upper(),
                path=path,
                tenant=asked.tenant,
                organization=asked.organization,
                parent_execution_id=an_id(parent, "parent_execution_id") if parent else 0,
                before=before,
                limit=limit,
            )
        )
        found += [row for row in rows if catalog_id in (0, row.catalog_id)]
        if len(rows) < limit or len(found) >= wanted:
            return found[:wanted], 0
        before = rows[-1].execution_id
    return found, before


async def detail(call: Call) -> Detail:
    """Return an execution with its input, its result and its newest events, or a page of them."""
    execution_id = call.id()
    state = await call.context.reading.state(execution_id)
    row = await call.context.reading.row(execution_id)
    asked: DetailQuery = call.query
    pagination = None
    if asked.is_page:
        events, pagination = await event_pages.page(call.context.store, state, asked)
    else:
        events = await event_pages.newest(call.context.store, state, asked)
    result, ref = state.result, state.result_ref
    if ref is not None and ref.bytes <= RESULT_INLINE_BYTES_MAX:
        result = await call.context.reading.result(state)
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
    """Return how many steps an execution's playbook has; 0 where it is gone."""
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
    """Return how an execution stands."""
    return views.status(await call.context.reading.state(call.id()))


async def cancellation_check(call: Call) -> CancellationCheck:
    """Return whether an execution is to be stopped."""
    state = await call.context.reading.state(call.id())
    return CancellationCheck(
        execution_id=str(state.execution_id),
        is_cancelled=views.status(state).is_cancelled,
        status=str(state.status),
    )


async def result(call: Call) -> ResultView:
    """Return what an execution, or a step of it, yielded."""
    reading = call.context.reading
    state = await reading.state(call.id())
    step = call.query.step
    if step and step not in state.results:
        raise not_found(f"result of step {step[:100]!r} in execution {state.execution_id}")
    found = await (reading.step_data(state, step) if step else reading.result(state))
    return ResultView(
        execution_id=str(told(state.execution_id)),
        status=str(state.status),
        step=step or None,
        result=shown(found),
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
            "Where there are more, `X-Next-Before` holds what to ask with as `before`, and "
            "`Link` the address of the next page. With `catalog_id` a page may be short of its "
            "limit and have a next one: so many executions of other versions lie between. "
            "Without any parameter the older ones that go on stand below the first page, too."
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
            "With `page`, `page_size` or `since_event_id` the events are a page, the newest first, "
            "and `pagination` says which; else they are the newest ones, in order."
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
        summary="How an execution stands",
        answer=StatusView,
        answer_example=STATUS,
        refusals=(400, 404),
    ),
    Route(
        method="GET",
        path="/api/executions/{execution_id}/cancellation-check",
        handler=cancellation_check,
        tag="executions",
        summary="Whether an execution is to be stopped",
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
        summary="What an execution, or a step of it, yielded",
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
