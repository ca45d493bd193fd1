"""Requests and answers about the audit log of secrets."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class AuditQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Filters of a page of entries, newest first."""

    alias: Annotated[str, Meta(description="The credential's name.")] = ""
    execution_id: Annotated[str, Meta(description="The execution that needed it.")] = ""
    who: Annotated[str, Meta(description="The worker or caller that requested it.")] = ""
    outcome: Annotated[str, Meta(description="ok, unknown, unreadable or refused.")] = ""
    tenant: Annotated[str, Meta(description="The tenant of the execution or of the token.")] = ""
    organization: Annotated[str, Meta(description="The organization within the tenant.")] = ""
    before: Annotated[
        int, Meta(ge=0, le=2**63 - 1, description="`next_before` of the previous page.")
    ] = 0
    limit: Annotated[int, Meta(ge=1, le=1000, description="Rows per page.")] = 100


class AuditNote(msgspec.Struct, frozen=True, kw_only=True):
    """A request for a secret: by whom, for what, when, and the result."""

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
    """A page of the audit log of secrets, newest first."""

    items: list[AuditNote]
    #: The value of ``before`` for the next page; absent on the last one.
    next_before: str | None
