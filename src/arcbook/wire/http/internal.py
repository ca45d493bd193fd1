"""Requests and answers for the server's own maintenance playbooks."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class PurgeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Delete executions that are older than the server's retention."""

    older_than_days: Annotated[
        Annotated[float, Meta(ge=0, le=36_500)] | None,
        Meta(description="A longer retention than the server's, to keep more."),
    ] = None
    limit: Annotated[
        int, Meta(ge=1, le=100_000, description="Maximum number of executions per call.")
    ] = 10_000
    dry_run: Annotated[bool, Meta(description="Only count the executions.")] = True


class PurgeAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The executions that were deleted, or would be."""

    dry_run: bool
    #: Executions that ended before this time are deleted.
    before: str | None
    executions: int
    workers: int
    #: Whether the limit may have left further ones.
    more: bool
