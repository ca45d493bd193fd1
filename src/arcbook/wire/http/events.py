"""Requests and answers about externally reported events."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from arcbook.wire.http.common import Id


class EventRequest(msgspec.Struct, frozen=True, kw_only=True):
    """An externally reported event."""

    execution_id: Id | None = None
    step: str | None = None
    event_type: str | None = None
    name: Annotated[str | None, Meta(description="The same as event_type.")] = None
    node_name: Annotated[str | None, Meta(description="The same as step.")] = None
    payload: Any = None
    context: Annotated[Any, Meta(description="The same as payload.")] = None
    result: Any = None
    error: Any = None
    event_id: Id | None = None
    status: str | None = None
    worker_id: str | None = None
    meta: Any = None


class EventsRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Externally reported events, in one request."""

    events: Annotated[list[EventRequest], Meta(min_length=1, max_length=256)]
    execution_id: Id | None = None
    worker_id: str | None = None


class EventTaken(msgspec.Struct, frozen=True, kw_only=True):
    """An event that was accepted, or that existed already."""

    status: str
    event_id: str
    #: Whether it changed nothing: it is a repetition, or nothing waits for it.
    duplicate: bool
    commands_generated: int = 0


class EventsTaken(msgspec.Struct, frozen=True, kw_only=True):
    """Events that were accepted."""

    status: str
    event_ids: list[str]
    duplicates: int
    commands_generated: int = 0
