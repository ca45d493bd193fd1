"""The events in an execution's detail: the newest, or one page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from arcbook.engine.state import State
from arcbook.events.types import TERMINAL
from arcbook.server.http import views
from arcbook.server.http.errors import invalid
from arcbook.store.api import PAGE_MAX, EventLog, EventRow
from arcbook.wire.http.common import id_text
from arcbook.wire.http.executions import DetailEvent, DetailQuery, Pagination

EVENTS_BYTES_MAX: Final = 1024 * 1024
"""Total size of the events in one detail; the list of events has them all."""

EVENTS_PAGE: Final = 100
"""Events read at a time, newest first."""

PAGE_SIZE: Final = 100
"""Default size of a page."""

COUNTED_MAX: Final = 50_000
"""Matching events counted at most for a page."""

LOOKUPS_MAX: Final = 20
"""Steps whose start is looked up if it is not among the events of the answer."""

VISITS_MAX: Final = 100
"""Visits of a step searched for its start."""


ENDING: Final = frozenset({*TERMINAL, "command.completed", "step.exit"})
"""Types of events that end something with a duration."""

ENCODER: Final = msgspec.json.Encoder()


class Window(NamedTuple):
    """The matching events, by their numbers in order."""

    numbers: Sequence[int]
    types: list[str]


def types_of(text: str) -> list[str]:
    """Return the types of events that a query names."""
    return [t.strip() for t in text.split(",") if t.strip()]


async def newest(log: EventLog, state: State, query: DetailQuery) -> list[DetailEvent]:
    """Return the newest events in order, up to the limits."""
    window = await _matching(log, state, query)
    window = window._replace(numbers=window.numbers[-query.events :] if query.events else [])
    rows = await _rows(log, state.execution_id, window, shorten=False)
    return await _details(log, state, rows[::-1])


async def page(
    log: EventLog, state: State, query: DetailQuery
) -> tuple[list[DetailEvent], Pagination]:
    """Return a page of events, newest first, and its pagination.

    Raises:
        ApiError: too many events match to count them.
    """
    size, number = query.page_size or PAGE_SIZE, query.page or 1
    window = await _matching(log, state, query)
    total = len(window.numbers)
    end = max(0, total - (number - 1) * size)
    window = window._replace(numbers=window.numbers[max(0, end - size) : end])
    rows = await _rows(log, state.execution_id, window, shorten=True)
    return await _details(log, state, rows), Pagination(
        page=number,
        page_size=size,
        total_events=total,
        total_pages=-(-total // size),
        has_next=end > size,
        has_prev=number > 1 and total > 0,
    )


async def _matching(log: EventLog, state: State, query: DetailQuery) -> Window:
    """Return the matching events; without types, their numbers have no gaps."""
    after, types = query.since_event_id or 0, types_of(query.event_type)
    if not types:
        return Window(range(after + 1, max(after, state.seq) + 1), [])
    numbers: list[int] = []
    while True:
        rows = await log.events(state.execution_id, after=after, limit=PAGE_MAX, types=types)
        numbers += [row.seq for row in rows]
        if len(rows) < PAGE_MAX:
            return Window(numbers, types)
        if len(numbers) >= COUNTED_MAX:
            raise invalid(
                f"more than {COUNTED_MAX:,} events have these types; "
                "set since_event_id to read those after an event"
            )
        after = numbers[-1]


async def _rows(
    log: EventLog, execution_id: int, window: Window, *, shorten: bool
) -> list[EventRow]:
    """Return events, newest first.

    Beyond :data:`EVENTS_BYTES_MAX`, events are omitted or truncated.
    """
    events: list[EventRow] = []
    size = 0
    for end in range(len(window.numbers), 0, -EVENTS_PAGE):
        part = window.numbers[max(0, end - EVENTS_PAGE) : end]
        rows = await log.events(
            execution_id, after=part[0] - 1, limit=len(part), types=window.types
        )
        for row in reversed(rows):
            size += len(row.body)
            is_beyond = size > EVENTS_BYTES_MAX and bool(events)
            if is_beyond and not shorten:
                return events
            events.append(_shortened(row) if is_beyond else row)
    return events


def _shortened(row: EventRow) -> EventRow:
    """Return an event reduced to its subject and its original size."""
    event = msgspec.json.decode(row.body)
    reduced = {name: event[name] for name in ("type", "step", "visit", "status") if name in event}
    reduced |= {"truncated": True, "bytes": len(row.body)}
    return row._replace(body=msgspec.json.encode(reduced))


async def _details(log: EventLog, state: State, rows: Sequence[EventRow]) -> list[DetailEvent]:
    """Return events in the format of the API, with durations."""
    fields = [views.event_fields(state.execution_id, row) for row in rows]
    began = _Beginnings(log, state)
    for row, event in zip(rows, fields, strict=True):
        began.note(row, event["data"])
    catalog_id = id_text(state.catalog_id)
    parent = id_text(state.parent.execution_id if state.parent else None)
    details: list[DetailEvent] = []
    for row, event in zip(rows, fields, strict=True):
        event["error"] = _words(event["error"])
        duration = await began.milliseconds(row, event["data"]) if row.type in ENDING else None
        # The data occurs twice in the answer but is encoded once.
        event["data"] = packed = msgspec.Raw(ENCODER.encode(event["data"]))
        details.append(
            DetailEvent(
                **event,
                node_id=row.step,
                catalog_id=catalog_id,
                parent_execution_id=parent,
                timestamp=event["created_at"],
                duration=duration,
                context=packed,
            )
        )
    return details


def _words(error: Any) -> str | None:
    """Return an error as text."""
    if isinstance(error, dict):
        message, code = str(error.get("message") or error.get("kind") or ""), error.get("code")
        return f"{message} ({code})" if code else message
    return str(error) if error else None


class _Beginnings:
    """Start times, for the durations of events."""

    def __init__(self, log: EventLog, state: State) -> None:
        self._log = log
        self._state = state
        self._entered: dict[tuple[str, int], int] = {}
        self._looked_up: set[str] = set()

    def note(self, row: EventRow, body: dict[str, Any]) -> None:
        """Record when a step was entered."""
        if row.type == "step.enter":
            self._entered[row.step, body.get("visit", 0)] = row.at

    async def milliseconds(self, row: EventRow, body: dict[str, Any]) -> float | None:
        """Return how long the ended part took, if known."""
        if row.type in TERMINAL:
            return _between(self._state.started_at, row.at)
        if row.type == "command.completed":
            return float(body["duration_us"]) / 1000 if "duration_us" in body else None
        visit = body.get("visit", 0)
        if (row.step, visit) not in self._entered:
            await self._look_up(row.step)
        return _between(self._entered.get((row.step, visit), body.get("started_at", 0)), row.at)

    async def _look_up(self, step: str) -> None:
        """Look up when a step was entered, once, for a limited number of steps."""
        if step in self._looked_up or len(self._looked_up) >= LOOKUPS_MAX:
            return
        self._looked_up.add(step)
        entered = await self._log.events(
            self._state.execution_id, types=["step.enter"], step=step, limit=VISITS_MAX
        )
        for number, row in enumerate(entered, 1):
            self._entered.setdefault((step, number), row.at)


def _between(start_us: int, end_us: int) -> float | None:
    return max(0, end_us - start_us) / 1000 if start_us else None
