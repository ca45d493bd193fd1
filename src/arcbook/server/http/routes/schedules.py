"""Schedules: when playbooks are started, again and again."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from arcbook.schedules import ScheduleError, next_after, upcoming, validated
from arcbook.server.http.errors import invalid, not_found
from arcbook.server.http.route import Call, Route
from arcbook.server.http.routes.execute import known_values
from arcbook.store.api import ScheduleRow
from arcbook.wire.http.common import moment, told
from arcbook.wire.http.credentials import Deleted
from arcbook.wire.http.schedules import PutSchedule, Schedules, SchedulesQuery, ScheduleView

UPCOMING: Final = 5
"""Times that are told of each schedule."""


async def put(call: Call) -> ScheduleView:
    """Keep a schedule."""
    wanted: PutSchedule = call.body
    known = await _find(call)
    now = call.context.server.clock.now_us()
    planned = await call.context.server.plans.find(wanted.path, wanted.version)
    known_values(planned, wanted.payload, allow=wanted.allow)
    row = ScheduleRow(
        name=call.param("name"),
        path=planned.entry.path,
        version=wanted.version,
        payload=wanted.payload,
        pool=wanted.pool or None,
        cron=wanted.cron,
        timezone=wanted.timezone,
        every_seconds=wanted.every_seconds,
        catch_up=wanted.catch_up,
        paused=wanted.paused,
        last_at=known.last_at if known else 0,
        last_execution_id=known.last_execution_id if known else 0,
        created_at=known.created_at if known else now,
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
    asked: SchedulesQuery = call.query
    rows = await call.context.store.schedules(
        after=asked.after,
        limit=asked.limit,
        tenant=asked.tenant,
        organization=asked.organization,
    )
    following = rows[-1].name if len(rows) == asked.limit else None
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
    """Have a schedule not tick."""
    row = msgspec.structs.replace(await _known(call), paused=True)
    await call.context.store.put_schedule(row)
    return _view(row)


async def resume(call: Call) -> ScheduleView:
    """Have a schedule tick again, from now on."""
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
        last_execution_id=told(row.last_execution_id),
        created_at=moment(row.created_at),
        tenant=row.tenant or None,
        organization=row.organization or None,
        upcoming=[] if row.paused else _upcoming(row),
    )


def _upcoming(row: ScheduleRow) -> list[str]:
    """Return the next times of a schedule, the one that it waits for first."""
    if not row.next_at:
        return []
    times = [row.next_at, *upcoming(row, row.next_at, UPCOMING - 1)]
    return [told for at in times if (told := moment(at)) is not None]


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
        summary="Keep a schedule",
        description="In place of one of the same name, whose past it keeps.",
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
        summary="Have a schedule not tick",
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
        summary="Have a schedule tick again",
        answer=ScheduleView,
        answer_example=SCHEDULE,
        scope="operator",
        refusals=(404,),
    ),
]
