"""Requests and answers about schedules."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from arcbook.store.api import PAGE_MAX
from arcbook.wire.http.common import PoolName, VersionNumber
from arcbook.wire.http.execute import Allowed


class PutSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule that starts a playbook, by ``cron`` or ``every_seconds``."""

    path: Annotated[str, Meta(min_length=1)]
    version: VersionNumber | None = None
    payload: dict[str, Any] = msgspec.field(default_factory=dict)
    allow: Allowed = []
    pool: PoolName | None = None
    cron: Annotated[
        str, Meta(description="Five fields: minute, hour, day, month, day of week; or @daily.")
    ] = ""
    timezone: str = "UTC"
    every_seconds: Annotated[float, Meta(ge=0, le=366 * 86400)] = 0
    catch_up: Annotated[str, Meta(description="latest, all or skip.")] = "latest"
    paused: bool = False


class ScheduleView(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule."""

    name: str
    path: str
    version: int | None
    payload: dict[str, Any]
    pool: str | None
    cron: str
    timezone: str
    every_seconds: float
    catch_up: str
    paused: bool
    next_at: str | None
    last_at: str | None
    last_execution_id: str | None
    created_at: str | None
    tenant: str | None = None
    organization: str | None = None
    #: The next ticks, unless it is paused.
    upcoming: list[str] = []


class SchedulesQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Filters of a list of schedules."""

    tenant: Annotated[str, Meta(description="Only schedules of this tenant.")] = ""
    organization: Annotated[str, Meta(description="The organization within the tenant.")] = ""
    limit: Annotated[
        int, Meta(ge=1, le=PAGE_MAX, description="Rows per page; continue with `next_after`.")
    ] = PAGE_MAX
    after: Annotated[str, Meta(description="`next_after` of the previous page.")] = ""


class Schedules(msgspec.Struct, frozen=True, kw_only=True):
    """A page of schedules, ordered by name."""

    schedules: list[ScheduleView]
    #: The value of ``after`` for the next page; absent on the last one.
    next_after: str | None = None
