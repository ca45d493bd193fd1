"""Requests and answers about API tokens and the audit log of changes."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

Seconds = Annotated[float, Meta(ge=0, le=10 * 365 * 86_400)]


class NewToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token to create."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    scope: Annotated[str, Meta(description="viewer, operator, editor or admin; or worker.")]
    expires_in_seconds: Annotated[Seconds, Meta(description="0 means never.")] = 0
    tenant: Annotated[str, Meta(max_length=200)] = ""
    organization: Annotated[str, Meta(max_length=200)] = ""


class Rotation(msgspec.Struct, frozen=True, kw_only=True):
    """The rotation of a token."""

    grace_seconds: Annotated[Seconds, Meta(description="How long the old text stays valid.")] = 0


class TokenView(msgspec.Struct, frozen=True, kw_only=True):
    """A token, without its text."""

    id: str
    name: str
    scope: str
    tenant: str | None
    organization: str | None
    created_at: str | None
    rotated_at: str | None
    expires_at: str | None


class TokenTold(TokenView, frozen=True, kw_only=True):
    """A new token with its text, which is returned only once."""

    token: str


class TokenList(msgspec.Struct, frozen=True, kw_only=True):
    """All tokens."""

    tokens: list[TokenView]


class ChangesQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Filters of a page of changes, newest first."""

    actor: Annotated[str, Meta(description="Who requested it.")] = ""
    action: Annotated[str, Meta(description="The action, such as `catalog.register`.")] = ""
    subject: Annotated[str, Meta(description="The object of the action.")] = ""
    tenant: Annotated[str, Meta(description="The tenant of the token.")] = ""
    organization: Annotated[str, Meta(description="The organization within the tenant.")] = ""
    before: Annotated[str, Meta(description="The last id of the previous page.")] = ""
    limit: Annotated[int, Meta(ge=1, le=1000, description="Rows per page.")] = 50


class ChangeView(msgspec.Struct, frozen=True, kw_only=True):
    """A requested change, and its result."""

    id: str
    at: str | None
    actor: str
    action: str
    subject: str
    #: The HTTP status of the answer; absent if the server ended before it answered.
    status: int | None
    remote: str
    tenant: str | None
    organization: str | None


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the audit log of changes."""

    changes: list[ChangeView]
    #: The value of ``before`` for the next page.
    next_before: str | None


class PendingCount(msgspec.Struct, frozen=True, kw_only=True):
    """The number of commands that wait for a worker."""

    pending: int
    pools: dict[str, int]


class CallbackRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The callback that a step waits for."""

    status: Annotated[
        str, Meta(description="`completed` or `failed`, in any accepted spelling.")
    ] = "completed"
    state: Annotated[str | None, Meta(description="The same as `status`; takes precedence.")] = None
    result: Any = None
    error: str | None = None
    reason: Annotated[
        str | None, Meta(description="The same as `error`, which takes precedence.")
    ] = None
    job_name: str | None = None
    job_uid: Annotated[
        str | None, Meta(description="Identifies the callback: a repeated one changes nothing.")
    ] = None
    exit_code: Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)] | None = None
    stdout_uri: str | None = None
    stderr_uri: str | None = None
    completed_at: str | None = None


class CallbackTaken(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a step waited for the callback."""

    #: ``accepted_in_flight``, or ``accepted_stale`` where no step waits for it any more.
    status: str
    execution_id: str
    step: str
    accepted: bool
