"""When schedules tick: cron in a time zone, or a fixed interval."""

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
"""What becomes of ticks that were missed: one for all of them, each of them, none."""

SHORTHANDS: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
"""Words for the commonest cron expressions."""

LATE_US_MAX: Final = 60_000_000
"""How late a tick may be and still count as in time, where missed ones are skipped."""

INTERVAL_SECONDS_MIN: Final = 1.0
"""Shortest interval."""

MICROSECONDS: Final = 1_000_000


class ScheduleError(InvalidError):
    """A schedule that cannot be; the message says what to write."""

    code = "invalid_schedule"


def validated(row: ScheduleRow) -> ScheduleRow:
    """Return a schedule that can tick.

    Raises:
        ScheduleError: it cannot.
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

    With cron, a time that a change of the clock leaves out comes when the clock has gone
    on, and one that comes twice counts once, as Debian's cron has it.

    Raises:
        ScheduleError: its expression, or its time zone, is wrong.
    """
    if row.every_seconds:
        yield from _intervals(row, after)
        return
    from cronsim import CronSim, CronSimError  # of the cluster alone

    start = dt.datetime.fromtimestamp(after / MICROSECONDS, _zone(row.timezone))
    expression = SHORTHANDS.get(row.cron.strip(), row.cron)
    # A sixth field, of seconds, would change what the first one means.
    fields = expression if len(expression.split()) == 5 else ""
    try:
        found = CronSim(fields, start)
    except CronSimError as error:
        raise ScheduleError(
            f"cron expression {row.cron!r} is wrong: {error}; write minute, hour, day of "
            "month, month, day of week, such as '30 6 * * 1-5', or one of "
            f"{', '.join(SHORTHANDS)}"
        ) from None
    for moment in found:
        yield int(moment.timestamp()) * MICROSECONDS


def _intervals(row: ScheduleRow, after: int) -> Iterator[int]:
    """Yield times that lie a whole number of intervals after the schedule's beginning."""
    each = int(row.every_seconds * MICROSECONDS)
    number = max(0, (after - row.created_at) // each) + 1
    while True:
        yield row.created_at + number * each
        number += 1


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _zone(name: str) -> ZoneInfo:
    # Looked up first: of a name that it does not know, ZoneInfo makes files and modules to open.
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
    """Return the time for which a due schedule is to start its playbook, and the next.

    The time is 0 if nothing is to be started: the ticks that were missed are skipped.
    """
    if row.catch_up == "all":
        return row.next_at, next_after(row, row.next_at)
    following = next_after(row, now)
    if row.catch_up == "skip" and now - row.next_at > LATE_US_MAX:
        return 0, following
    return row.next_at, following
