"""The events of an execution, in pages or as a stream."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from starlette.responses import StreamingResponse

from arcbook.events.types import TERMINAL
from arcbook.server.http import views
from arcbook.server.http.access import remote_of
from arcbook.server.http.context import RequestContext
from arcbook.server.http.errors import ApiError
from arcbook.server.http.feed import Frame
from arcbook.server.http.route import Call, Route
from arcbook.server.http.routes.executions import EVENT
from arcbook.wire.http.executions import EventsPage, EventsQuery

KEEP_ALIVE_SECONDS: Final = 15.0
"""Silence after which a stream sends a keep-alive."""

STREAM_TYPE: Final = "text/event-stream"

END: Final = b"event: end\ndata: {}\n\n"


async def events(call: Call) -> EventsPage | StreamingResponse:
    """Return a page of events, or a stream of them."""
    execution_id = call.id()
    query: EventsQuery = call.query
    context = call.context
    row = await context.reader.row(execution_id)
    if query.stream or STREAM_TYPE in call.header("accept"):
        after = _last_seen(call.header("last-event-id"), query.after)
        caller = _counted(call)
        context.feed.check(caller)
        return StreamingResponse(
            _stream(context, execution_id, after, query, caller),
            media_type=STREAM_TYPE,
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )
    rows = await context.store.events(
        execution_id,
        after=query.after,
        limit=query.limit,
        types=_types(query),
        step=query.step,
    )
    return EventsPage(
        execution_id=str(execution_id),
        events=[views.event(execution_id, row) for row in rows],
        next_after=rows[-1].seq if len(rows) == query.limit else None,
        status=row.status,
    )


def _types(query: EventsQuery) -> list[str]:
    return [t.strip() for t in query.event_type.split(",") if t.strip()]


def _last_seen(header: str, after: int) -> int:
    """Return the number after which a stream starts: the last event that the client received."""
    if not header:
        return after
    if not (header.isascii() and header.isdigit() and len(header) < 19):
        raise ApiError(400, f"Last-Event-ID must be the number of an event, not {header[:40]!r}")
    return int(header)


def _counted(call: Call) -> str:
    """Return the key under which a caller's streams are counted."""
    return call.caller.name if call.caller.is_known else remote_of(call.request.scope)


async def _stream(
    context: RequestContext, execution_id: int, after: int, query: EventsQuery, caller: str
) -> AsyncIterator[bytes]:
    """Yield events as they are committed, until the execution ends.

    A client that does not read is disconnected; it can resume after its last event.
    """
    types, feed = _types(query), context.feed
    silent = 0.0
    with feed.following(execution_id, caller) as news:
        yield b"retry: 1000\n\n"
        while not context.is_closing:
            news.clear()
            frames = await feed.frames(execution_id, after)
            sent = [f.data for f in frames if _is_asked(f, types, query.step)]
            if frames:
                after, silent = frames[-1].seq, 0.0
                if frames[-1].type in TERMINAL:
                    sent.append(END)
                if sent:
                    yield b"".join(sent)
                if frames[-1].type in TERMINAL:
                    return
                continue
            if await feed.is_over(execution_id, after):
                yield END
                return
            waited = feed.poll_seconds
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(waited):
                    await news.wait()
                await asyncio.sleep(feed.rest_seconds)
                continue
            silent += waited
            if silent >= KEEP_ALIVE_SECONDS:
                silent = 0.0
                yield b": still there\n\n"


def _is_asked(frame: Frame, types: list[str], step: str) -> bool:
    return (not types or frame.type in types) and step in ("", frame.step)


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
            "In pages with `after`; or, with `Accept: text/event-stream` or `stream=true`, as "
            "server-sent events until the execution ends. An interrupted stream resumes after "
            "`Last-Event-ID`."
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
        headers={"Last-Event-ID": "The number of the last event that the client received."},
    ),
]
