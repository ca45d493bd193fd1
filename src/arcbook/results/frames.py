"""A loop's results, read back from the events of its frames."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

from arcbook.engine.views import NeedsData, step_data
from arcbook.events.codec import decode
from arcbook.events.types import CommandCompleted, ResultRef
from arcbook.store.api import EventLog

PAGE_EVENTS: Final = 200


async def loop_frames(
    log: EventLog, execution_id: int, step: str, visit: int
) -> AsyncIterator[tuple[int, list[Any], ResultRef | None]]:
    """Yield each frame's first index, and its data or the reference to it."""
    after = 0
    types = ("command.completed",)
    while page := await log.events(
        execution_id, after=after, limit=PAGE_EVENTS, types=types, step=step
    ):
        for row in page:
            after = row.seq
            event = decode(row.body)
            if isinstance(event, CommandCompleted) and event.visit == visit:
                yield event.first, [_data(result) for result in event.results], event.ref


def _data(result: Any) -> Any:
    """Return an iteration's data, or the reference to it."""
    try:
        return step_data(result, {})
    except NeedsData as need:
        return need.ref
