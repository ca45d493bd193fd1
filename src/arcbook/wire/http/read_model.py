"""Executions and events in the form of the older server's read model."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class ModelQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Filters of a page of executions, newest first."""

    status: Annotated[str, Meta(description="RUNNING, COMPLETED, FAILED or CANCELLED.")] = ""
    path: Annotated[str, Meta(description="Text that the playbook's path must contain.")] = ""
    limit: Annotated[int, Meta(ge=1, le=1000, description="Rows per page.")] = 50
    offset: Annotated[int, Meta(ge=0, le=5000, description="Rows to skip.")] = 0


class ModelEventsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Filters of a page of events, in order."""

    after: Annotated[
        int, Meta(ge=0, le=2**31, description="The last number of the previous page.")
    ] = 0
    limit: Annotated[int, Meta(ge=1, le=1000, description="Events per page.")] = 100


class ModelExecution(msgspec.Struct, frozen=True, kw_only=True):
    """An execution, without its workload and result."""

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
    """An execution, if it exists."""

    action: str
    tier: str
    execution_id: str
    exists: bool
    state: ModelExecution | None


class ModelEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event, without its data."""

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
    #: The value of ``after`` for the next page.
    next_cursor: str | None
    events: list[ModelEvent]
