"""Tokens and the audit of changes on the wire."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

Seconds = Annotated[float, Meta(ge=0, le=10 * 365 * 86_400)]


class NewToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token to be made."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    scope: Annotated[str, Meta(description="viewer, operator, editor or admin; or worker.")]
    expires_in_seconds: Annotated[Seconds, Meta(description="0 means never.")] = 0
    tenant: Annotated[str, Meta(max_length=200)] = ""
    organization: Annotated[str, Meta(max_length=200)] = ""


class Rotation(msgspec.Struct, frozen=True, kw_only=True):
    """How a token gets a new text."""

    grace_seconds: Annotated[Seconds, Meta(description="How long the old one is good yet.")] = 0


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
    """A token with its text, which is told this once."""

    token: str


class TokenList(msgspec.Struct, frozen=True, kw_only=True):
    """The tokens of the store."""

    tokens: list[TokenView]


class ChangesQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which changes a page holds, newest first."""

    actor: Annotated[str, Meta(description="Who asked for it.")] = ""
    action: Annotated[str, Meta(description="What was asked: `catalog.register`, ...")] = ""
    subject: Annotated[str, Meta(description="What was to be changed.")] = ""
    tenant: Annotated[str, Meta(description="By whose token.")] = ""
    organization: Annotated[str, Meta(description="The organization within it.")] = ""
    before: Annotated[str, Meta(description="The last id of the page before.")] = ""
    limit: Annotated[int, Meta(ge=1, le=1000, description="Rows of a page.")] = 50


class ChangeView(msgspec.Struct, frozen=True, kw_only=True):
    """Who asked for what, and what came of it."""

    id: str
    at: str | None
    actor: str
    action: str
    subject: str
    #: The status of the answer; nothing where the server went away before it.
    status: int | None
    remote: str
    tenant: str | None
    organization: str | None


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the audit of changes."""

    changes: list[ChangeView]
    #: What to ask with as ``before`` for the next page.
    next_before: str | None


class PendingCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many commands wait for a worker."""

    pending: int
    pools: dict[str, int]


class CallbackRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a step waits for."""

    status: Annotated[
        str, Meta(description="`completed` or `failed`, in any of their spellings.")
    ] = "completed"
    state: Annotated[str | None, Meta(description="The same, before `status`.")] = None
    result: Any = None
    error: str | None = None
    reason: Annotated[str | None, Meta(description="The same as error, after it.")] = None
    job_name: str | None = None
    job_uid: Annotated[
        str | None, Meta(description="Names the callback: one that comes again changes nothing.")
    ] = None
    exit_code: Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)] | None = None
    stdout_uri: str | None = None
    stderr_uri: str | None = None
    completed_at: str | None = None


class CallbackTaken(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a step waited for it."""

    #: ``accepted_in_flight``, or ``accepted_stale`` where no step waits for it any more.
    status: str
    execution_id: str
    step: str
    accepted: bool
