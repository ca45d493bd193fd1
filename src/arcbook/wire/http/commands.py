"""Requests and answers about commands."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta


class ClaimCommand(msgspec.Struct, frozen=True, kw_only=True):
    """The worker that claims a command."""

    worker_id: Annotated[str, Meta(min_length=1, max_length=200)]


class CommandView(msgspec.Struct, frozen=True, kw_only=True):
    """An outstanding command, with the names that its templates read."""

    status: str = "ok"
    event_id: str
    execution_id: str
    node_id: str
    node_name: str
    #: Kind of the first task's tool.
    action: str
    #: The names that the step's templates read.
    context: dict[str, Any]
    meta: dict[str, Any]
