"""The events of an execution: by pages, or as they come."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

from starlette.responses import StreamingResponse

from arcbook.events.types import TERMINAL
from arcbook.server.http import views
from arcbook.server.http.context import Context
from arcbook.server.http.errors import ApiError
from arcbook.server.http.route import ENCODER, Call, Route
from arcbook.server.http.routes.executions import EVENT
from arcbook.server.http.wire.executions import EventsPage, EventsQuery
from arcbook.store.api import StoreError

POLL_SECONDS: Final = 0.5
"""Time between two looks for what another server wrote."""

KEEP_ALIVE_SECONDS: Final = 15.0
"""Silence after which a stream says that it is still there."""

STREAM_TYPE: Final = "text/event-stream"


async def events(call: Call) -> EventsPage | StreamingResponse:
    """Return a page of events, or a stream of them."""
    execution_id = call.id()
    asked: EventsQuery = call.query
    context = call.context
    row = await context.reading.row(execution_id)
    if asked.stream or STREAM_TYPE in call.header("accept"):
        after = _last_seen(call.header("last-event-id"), asked.after)
        if context.feed.open >= context.settings.streams_max:
            raise ApiError(429, f"{context.feed.open:,} event streams are open already")
        return StreamingResponse(
            _stream(context, execution_id, after, asked),
            media_type=STREAM_TYPE,
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )
    rows = await context.store.events(
        execution_id,
        after=asked.after,
        limit=asked.limit,
        types=_types(asked),
        step=asked.step,
    )
    return EventsPage(
        execution_id=str(execution_id),
        events=[views.event(execution_id, one) for one in rows],
        next_after=rows[-1].seq if len(rows) == asked.limit else None,
        status=row.status,
    )


def _types(asked: EventsQuery) -> list[str]:
    return [t.strip() for t in asked.event_type.split(",") if t.strip()]


def _last_seen(header: str, after: int) -> int:
    """Return the number after which a stream begins: where the client was cut off."""
    if not header:
        return after
    if not (header.isascii() and header.isdigit() and len(header) < 19):
        raise ApiError(400, f"Last-Event-ID is the number of an event, not {header[:40]!r}")
    return int(header)


async def _stream(
    context: Context, execution_id: int, after: int, asked: EventsQuery
) -> AsyncIterator[bytes]:
    """Yield events as they are committed, and end with the execution."""
    types = _types(asked)
    silent = 0.0
    with context.feed.following(execution_id) as news:
        yield b"retry: 1000\n\n"
        while not context.is_closing:
            news.clear()
            try:
                rows = await context.store.events(execution_id, after=after)
            except StoreError:
                rows = []
            for row in rows:
                after = row.seq
                if (not types or row.type in types) and asked.step in ("", row.step):
                    yield _frame(execution_id, row)
                if row.type in TERMINAL:
                    yield b"event: end\ndata: {}\n\n"
                    return
            if rows:
                silent = 0.0
                continue
            if await _is_over(context, execution_id, after):
                yield b"event: end\ndata: {}\n\n"
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await news.wait()
                continue
            silent += POLL_SECONDS
            if silent >= KEEP_ALIVE_SECONDS:
                silent = 0.0
                yield b": still there\n\n"


async def _is_over(context: Context, execution_id: int, after: int) -> bool:
    """Return whether nothing can come any more: the client had the last event already."""
    with contextlib.suppress(StoreError):
        row = await context.store.execution(execution_id)
        return row is None or (bool(row.ended_at) and row.seq <= after)
    return False


def _frame(execution_id: int, row: Any) -> bytes:
    data = ENCODER.encode(views.event(execution_id, row))
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (row.seq, row.type.encode(), data)


STREAM_SCHEMA: Final = {
    "type": "object",
    "description": "A frame of the stream; the last one is named `end`.",
    "properties": {
        "id": {"type": "string", "description": "The event's number."},
        "event": {"type": "string", "description": "The event's type."},
        "data": {"type": "string", "description": "The event as JSON."},
    },
    "required": ["event", "data"],
}

ROUTES: Final = [
    Route(
        method="GET",
        path="/api/executions/{execution_id}/events",
        handler=events,
        tag="executions",
        summary="The events of an execution, in order",
        description=(
            "By pages with `after`; or, with `Accept: text/event-stream` or `stream=true`, as "
            "server-sent events until the execution ends. A stream that was cut off goes on "
            "after `Last-Event-ID`."
        ),
        query=EventsQuery,
        other_types={STREAM_TYPE: STREAM_SCHEMA},
        answer=EventsPage,
        answer_example={
            "execution_id": "383401759197892608",
            "events": [EVENT],
            "next_after": None,
            "status": "RUNNING",
        },
        refusals=(400, 404, 422, 429),
        headers={"Last-Event-ID": "The number of the last event that the client has."},
    ),
]
