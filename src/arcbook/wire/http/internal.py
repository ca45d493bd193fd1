"""What the server's own playbooks ask for."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class PurgeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Old executions are to be forgotten: those beyond the server's retention."""

    older_than_days: Annotated[
        Annotated[float, Meta(ge=0, le=36_500)] | None,
        Meta(description="More than the server's retention, to keep more."),
    ] = None
    limit: Annotated[int, Meta(ge=1, le=100_000, description="Executions of one call.")] = 10_000
    dry_run: Annotated[bool, Meta(description="Only count what would go.")] = True


class PurgeAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What went, or would go."""

    dry_run: bool
    #: What ended before this goes.
    before: str | None
    executions: int
    workers: int
    #: Whether there may be more than the limit let go.
    more: bool
