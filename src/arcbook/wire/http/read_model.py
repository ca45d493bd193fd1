"""What the older server's read model of executions and events looks like on the wire."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class ModelQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which executions a page holds, newest first."""

    status: Annotated[str, Meta(description="RUNNING, COMPLETED, FAILED or CANCELLED.")] = ""
    path: Annotated[str, Meta(description="Part of the playbook's path.")] = ""
    limit: Annotated[int, Meta(ge=1, le=1000, description="Rows of a page.")] = 50
    offset: Annotated[int, Meta(ge=0, le=5000, description="Rows before the page.")] = 0


class ModelEventsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which events a page holds, in order."""

    after: Annotated[
        int, Meta(ge=0, le=2**31, description="The last number of the page before.")
    ] = 0
    limit: Annotated[int, Meta(ge=1, le=1000, description="Events of a page.")] = 100


class ModelExecution(msgspec.Struct, frozen=True, kw_only=True):
    """An execution, without what it works on."""

    execution_id: str
    parent_execution_id: str | None
    catalog_id: str | None
    path: str
    status: str
    terminal: bool
    current_node: str | None
    event_count: int
    started_at: str | None
    completed_at: str | None


class ModelExecutions(msgspec.Struct, frozen=True, kw_only=True):
    """A page of executions."""

    action: str
    tier: str
    limit: int
    offset: int
    returned: int
    executions: list[ModelExecution]


class ModelState(msgspec.Struct, frozen=True, kw_only=True):
    """An execution, if there is one."""

    action: str
    tier: str
    execution_id: str
    exists: bool
    state: ModelExecution | None


class ModelEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event, without what is in it."""

    event_id: str
    execution_id: str
    event_type: str
    node_name: str | None
    status: str
    created_at: str | None


class ModelEvents(msgspec.Struct, frozen=True, kw_only=True):
    """A page of events."""

    action: str
    tier: str
    execution_id: str
    exists: bool
    limit: int
    returned: int
    #: What to ask with as ``after`` for the next page.
    next_cursor: str | None
    events: list[ModelEvent]
