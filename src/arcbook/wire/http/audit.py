"""The audit of secrets on the wire."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class AuditQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows a page holds, newest first."""

    alias: Annotated[str, Meta(description="The credential's name.")] = ""
    execution_id: Annotated[str, Meta(description="The execution that it was for.")] = ""
    who: Annotated[str, Meta(description="The worker or caller who asked.")] = ""
    outcome: Annotated[str, Meta(description="ok, unknown, unreadable or refused.")] = ""
    tenant: Annotated[str, Meta(description="For whose execution, or by whose token.")] = ""
    organization: Annotated[str, Meta(description="The organization within it.")] = ""
    before: Annotated[
        int, Meta(ge=0, le=2**63 - 1, description="`next_before` of the page before.")
    ] = 0
    limit: Annotated[int, Meta(ge=1, le=1000, description="Rows of a page.")] = 100


class AuditNote(msgspec.Struct, frozen=True, kw_only=True):
    """Who asked for a secret, for what, when, and what came of it."""

    id: str
    at: str | None
    who: str
    action: str
    alias: str
    execution_id: str | None
    outcome: str
    tenant: str | None
    organization: str | None


class AuditPage(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of the audit, newest first."""

    items: list[AuditNote]
    #: Where the next page begins; nothing on the last one.
    next_before: str | None
