"""When a schedule ticks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from arcbook.store.api import ScheduleRow

EVERY_SECONDS_MIN: Final = 0.1
"""The shortest time between two ticks."""

CATCH_UPS: Final = frozenset({"latest", "all", "skip"})
"""What becomes of ticks that were missed."""


class ScheduleError(ValueError):
    """A schedule says nothing that could tick."""


def next_tick(row: ScheduleRow, after_us: int) -> int:
    """Return when a schedule ticks next after a time, in microseconds since the epoch.

    Returns:
        The time; 0 if it never ticks again.

    Raises:
        ScheduleError: its cron expression, time zone or interval is none.
    """
    if bool(row.cron) == bool(row.every_seconds):
        raise ScheduleError("a schedule has either cron or every_seconds")
    if not row.cron:
        if row.every_seconds < EVERY_SECONDS_MIN:
            raise ScheduleError(f"every_seconds is at least {EVERY_SECONDS_MIN}")
        step = int(row.every_seconds * 1_000_000)
        began = row.next_at or after_us
        return began + step * max(1, (after_us - began) // step + 1)
    return _cron_tick(row, after_us)


def _cron_tick(row: ScheduleRow, after_us: int) -> int:
    from cronsim import CronSim, CronSimError  # it comes with servers only

    try:
        zone = ZoneInfo(row.timezone)
    except (OSError, ValueError, LookupError):
        raise ScheduleError(f"the time zone {row.timezone[:100]!r} is not known") from None
    after = datetime.fromtimestamp(after_us / 1_000_000, UTC).astimezone(zone)
    try:
        found = next(CronSim(row.cron, after), None)
    except CronSimError as error:
        raise ScheduleError(f"{row.cron[:100]!r} is no cron expression: {error}") from None
    return int(found.timestamp()) * 1_000_000 if found is not None else 0
