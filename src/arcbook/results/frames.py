"""A loop's results, read from the events of its frames."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

from arcbook.engine.views import NeedsData, step_data
from arcbook.events.codec import decode
from arcbook.events.types import CommandCompleted, Recorded, ResultRef, StepResult
from arcbook.results.refs import parse_ref
from arcbook.store.api import EventLog

PAGE_EVENTS: Final = 200

Frame = tuple[int, list[Any], ResultRef | None]
"""A frame's first index, with its iterations' data or the reference to them."""


async def loop_frames(
    log: EventLog, execution_id: int, step: str, visit: int
) -> AsyncIterator[Frame]:
    """Yield the frames of a loop from the event log."""
    after = 0
    types = ("command.completed",)
    while page := await log.events(
        execution_id, after=after, limit=PAGE_EVENTS, types=types, step=step
    ):
        for row in page:
            after = row.seq
            event = decode(row.body)
            if isinstance(event, CommandCompleted) and event.visit == visit:
                yield _frame(event)


def frames_of(ref: ResultRef, events: Iterable[Recorded]) -> list[Frame]:
    """Return the frames of a loop in events that are not stored yet."""
    parts = parse_ref(ref.ref)
    completed = [event for _, _, event in events if isinstance(event, CommandCompleted)]
    return [_frame(e) for e in completed if (e.step, str(e.visit)) == (parts.step, parts.name)]


def _frame(event: CommandCompleted) -> Frame:
    return event.first, [_data(result) for result in event.results], event.ref


def _data(result: StepResult) -> Any:
    """Return an iteration's data, or its result if part of the data is stored by reference."""
    try:
        return step_data(result, {})
    except NeedsData:
        return result
