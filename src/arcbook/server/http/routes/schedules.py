"""Schedules: when playbooks are started."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from arcbook.schedules import ScheduleError, next_after, upcoming, validated
from arcbook.server.http.errors import invalid, not_found
from arcbook.server.http.route import Call, Route
from arcbook.server.http.routes.execute import known_values
from arcbook.store.api import ScheduleRow
from arcbook.wire.http.common import id_text, moment
from arcbook.wire.http.credentials import Deleted
from arcbook.wire.http.schedules import PutSchedule, Schedules, SchedulesQuery, ScheduleView

UPCOMING: Final = 5
"""Upcoming times that the view of a schedule lists."""


async def put(call: Call) -> ScheduleView:
    """Store a schedule."""
    request: PutSchedule = call.body
    previous = await _find(call)
    now = call.context.server.clock.now_us()
    planned = await call.context.server.plans.find(request.path, request.version)
    known_values(planned, request.payload, allow=request.allow)
    row = ScheduleRow(
        name=call.param("name"),
        path=planned.entry.path,
        version=request.version,
        payload=request.payload,
        pool=request.pool or None,
        cron=request.cron,
        timezone=request.timezone,
        every_seconds=request.every_seconds,
        catch_up=request.catch_up,
        paused=request.paused,
        last_at=previous.last_at if previous else 0,
        last_execution_id=previous.last_execution_id if previous else 0,
        created_at=previous.created_at if previous else now,
        tenant=call.caller.tenant,
        organization=call.caller.organization,
    )
    return await _put(call, row, now)


async def _put(call: Call, row: ScheduleRow, now: int) -> ScheduleView:
    try:
        row = msgspec.structs.replace(row, next_at=next_after(validated(row), now))
    except ScheduleError as error:
        raise invalid(str(error)) from None
    await call.context.store.put_schedule(row)
    return _view(row)


async def list_schedules(call: Call) -> Schedules:
    """List schedules."""
    query: SchedulesQuery = call.query
    rows = await call.context.store.schedules(
        after=query.after,
        limit=query.limit,
        tenant=query.tenant,
        organization=query.organization,
    )
    following = rows[-1].name if len(rows) == query.limit else None
    return Schedules(schedules=[_view(row) for row in rows], next_after=following)


async def get(call: Call) -> ScheduleView:
    """Return a schedule."""
    return _view(await _known(call))


async def delete(call: Call) -> Deleted:
    """Delete a schedule."""
    name = call.param("name")
    if not await call.context.store.delete_schedule(name):
        raise not_found(f"schedule {name[:100]!r}")
    return Deleted(message=f"schedule {name!r} is deleted", id=name)


async def pause(call: Call) -> ScheduleView:
    """Pause a schedule."""
    row = msgspec.structs.replace(await _known(call), paused=True)
    await call.context.store.put_schedule(row)
    return _view(row)


async def resume(call: Call) -> ScheduleView:
    """Resume a schedule; ticks missed while paused are skipped."""
    row = msgspec.structs.replace(await _known(call), paused=False)
    return await _put(call, row, call.context.server.clock.now_us())


async def _find(call: Call) -> ScheduleRow | None:
    return await call.context.store.schedule(call.param("name"))


async def _known(call: Call) -> ScheduleRow:
    row = await _find(call)
    if row is None:
        raise not_found(f"schedule {call.param('name')[:100]!r}")
    return row


def _view(row: ScheduleRow) -> ScheduleView:
    return ScheduleView(
        name=row.name,
        path=row.path,
        version=row.version,
        payload=row.payload,
        pool=row.pool,
        cron=row.cron,
        timezone=row.timezone,
        every_seconds=row.every_seconds,
        catch_up=row.catch_up,
        paused=row.paused,
        next_at=moment(row.next_at),
        last_at=moment(row.last_at),
        last_execution_id=id_text(row.last_execution_id),
        created_at=moment(row.created_at),
        tenant=row.tenant or None,
        organization=row.organization or None,
        upcoming=[] if row.paused else _upcoming(row),
    )


def _upcoming(row: ScheduleRow) -> list[str]:
    """Return the next times of a schedule, earliest first."""
    if not row.next_at:
        return []
    times = [row.next_at, *upcoming(row, row.next_at, UPCOMING - 1)]
    return [text for at in times if (text := moment(at)) is not None]


SCHEDULE: Final[dict[str, Any]] = {
    "name": "nightly",
    "path": "examples/hello",
    "version": None,
    "payload": {"name": "world"},
    "pool": None,
    "cron": "0 3 * * *",
    "timezone": "Europe/Vienna",
    "every_seconds": 0.0,
    "catch_up": "latest",
    "paused": False,
    "next_at": "2026-01-06T02:00:00Z",
    "last_at": None,
    "last_execution_id": None,
    "created_at": "2026-01-05T10:00:00Z",
    "tenant": "sales",
    "organization": None,
    "upcoming": ["2026-01-06T02:00:00Z"],
}

ROUTES: Final = [
    Route(
        method="GET",
        path="/api/schedules",
        handler=list_schedules,
        tag="schedules",
        summary="List schedules",
        query=SchedulesQuery,
        answer=Schedules,
        answer_example={"schedules": [SCHEDULE]},
        refusals=(422,),
    ),
    Route(
        method="PUT",
        path="/api/schedules/{name}",
        handler=put,
        change="schedule.put",
        tag="schedules",
        summary="Store a schedule",
        description="Replaces the schedule of the same name and keeps its history.",
        body=PutSchedule,
        body_example={
            "path": "examples/hello",
            "payload": {"name": "world"},
            "cron": "0 3 * * *",
            "timezone": "Europe/Vienna",
        },
        answer=ScheduleView,
        answer_example=SCHEDULE,
        scope="editor",
        refusals=(400, 404, 413, 422),
    ),
    Route(
        method="GET",
        path="/api/schedules/{name}",
        handler=get,
        tag="schedules",
        summary="A schedule",
        answer=ScheduleView,
        answer_example=SCHEDULE,
        refusals=(404,),
    ),
    Route(
        method="DELETE",
        path="/api/schedules/{name}",
        handler=delete,
        change="schedule.delete",
        tag="schedules",
        summary="Delete a schedule",
        answer=Deleted,
        answer_example={"message": "schedule 'nightly' is deleted", "id": "nightly"},
        scope="editor",
        refusals=(404,),
    ),
    Route(
        method="POST",
        path="/api/schedules/{name}/pause",
        handler=pause,
        change="schedule.pause",
        tag="schedules",
        summary="Pause a schedule",
        answer=ScheduleView,
        answer_example=SCHEDULE | {"paused": True},
        scope="operator",
        refusals=(404,),
    ),
    Route(
        method="POST",
        path="/api/schedules/{name}/resume",
        handler=resume,
        change="schedule.resume",
        tag="schedules",
        summary="Resume a schedule",
        answer=ScheduleView,
        answer_example=SCHEDULE,
        scope="operator",
        refusals=(404,),
    ),
]
