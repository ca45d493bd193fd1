"""Schedules on the wire."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from arcbook.store.api import PAGE_MAX
from arcbook.wire.http.common import PoolName, VersionNumber
from arcbook.wire.http.execute import Allowed


class PutSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """When a playbook is to be started, again and again: by ``cron`` or ``every_seconds``."""

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
    #: The next times at which it ticks, as long as it is not paused.
    upcoming: list[str] = []


class SchedulesQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which schedules a list holds."""

    tenant: Annotated[str, Meta(description="Whose schedules.")] = ""
    organization: Annotated[str, Meta(description="The organization within it.")] = ""
    limit: Annotated[
        int, Meta(ge=1, le=PAGE_MAX, description="How many at most; `next_after` leads on.")
    ] = PAGE_MAX
    after: Annotated[
        str, Meta(description="Begin after this name: `next_after` of the page before.")
    ] = ""


class Schedules(msgspec.Struct, frozen=True, kw_only=True):
    """Schedules by name."""

    schedules: list[ScheduleView]
    #: Where the next page begins; nothing after the last one.
    next_after: str | None = None
