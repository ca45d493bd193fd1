"""Tick times of schedules: cron in a time zone, or a fixed interval."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from functools import cache
from itertools import islice
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from arcbook.errors import InvalidError
from arcbook.store.api import ScheduleRow

CATCH_UP: Final = ("latest", "all", "skip")
"""What to start for missed ticks: one execution, one for each tick, or none."""

SHORTHANDS: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
"""Shorthands for common cron expressions."""

LATE_US_MAX: Final = 60_000_000
"""How late a tick may run with ``catch_up: skip`` before it counts as missed."""

INTERVAL_SECONDS_MIN: Final = 1.0
"""Shortest interval."""

MICROSECONDS: Final = 1_000_000


class ScheduleError(InvalidError):
    """A schedule is invalid; the message says what to write."""

    code = "invalid_schedule"


def validated(row: ScheduleRow) -> ScheduleRow:
    """Validate a schedule and return it.

    Raises:
        ScheduleError: It is invalid.
    """
    if bool(row.cron) == bool(row.every_seconds):
        raise ScheduleError("a schedule has either 'cron' or 'every_seconds'")
    if row.every_seconds and row.every_seconds < INTERVAL_SECONDS_MIN:
        raise ScheduleError(f"'every_seconds' is at least {INTERVAL_SECONDS_MIN:g}")
    if row.catch_up not in CATCH_UP:
        raise ScheduleError(f"'catch_up' is {', '.join(CATCH_UP)}; not {row.catch_up!r}")
    if not row.path:
        raise ScheduleError("a schedule names the path of a playbook")
    next(ticks(row, 0), 0)
    return row


def ticks(row: ScheduleRow, after: int) -> Iterator[int]:
    """Yield the times of a schedule after a time, in microseconds since the epoch.

    As in Debian's cron, a local time skipped by a DST change fires right after it, and one
    that occurs twice fires once.

    Raises:
        ScheduleError: Its cron expression or time zone is invalid.
    """
    if row.every_seconds:
        yield from _intervals(row, after)
        return
    from cronsim import CronSim, CronSimError  # a dependency of the cluster only

    start = dt.datetime.fromtimestamp(after / MICROSECONDS, _zone(row.timezone))
    expression = SHORTHANDS.get(row.cron.strip(), row.cron)
    # Reject a sixth field: it would be seconds and shift the meaning of the others.
    fields = expression if len(expression.split()) == 5 else ""
    try:
        moments = CronSim(fields, start)
    except CronSimError as error:
        raise ScheduleError(
            f"cron expression {row.cron!r} is invalid: {error}; write minute, hour, day of "
            "month, month, day of week, such as '30 6 * * 1-5', or one of "
            f"{', '.join(SHORTHANDS)}"
        ) from None
    for moment in moments:
        yield int(moment.timestamp()) * MICROSECONDS


def _intervals(row: ScheduleRow, after: int) -> Iterator[int]:
    """Yield times a whole number of intervals after the schedule's creation."""
    interval_us = int(row.every_seconds * MICROSECONDS)
    number = max(0, (after - row.created_at) // interval_us) + 1
    while True:
        yield row.created_at + number * interval_us
        number += 1


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _zone(name: str) -> ZoneInfo:
    # Check the name first: ZoneInfo would open files and modules named after an unknown one.
    if name not in _zones():
        raise ScheduleError(
            f"there is no time zone {name[:60]!r}; write one such as 'Europe/Berlin' or 'UTC'"
        )
    return ZoneInfo(name)


def next_after(row: ScheduleRow, after: int) -> int:
    """Return the next time of a schedule after a time; 0 if there is none."""
    return next(ticks(row, after), 0)


def upcoming(row: ScheduleRow, after: int, count: int = 5) -> list[int]:
    """Return the next times of a schedule."""
    return list(islice(ticks(row, after), count))


def due(row: ScheduleRow, now: int) -> tuple[int, int]:
    """Return the tick for which a due schedule starts its playbook, and the next tick.

    The first is 0 if nothing is to be started because missed ticks are skipped.
    """
    if row.catch_up == "all":
        return row.next_at, next_after(row, row.next_at)
    following = next_after(row, now)
    if row.catch_up == "skip" and now - row.next_at > LATE_US_MAX:
        return 0, following
    return row.next_at, following
