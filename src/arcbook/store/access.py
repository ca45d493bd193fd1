"""The ports to what the store holds of access: API tokens, and the audit of changes."""

from __future__ import annotations

from typing import Protocol

import msgspec


class TokenRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An API token: who has the text with this digest may call."""

    token_id: str
    name: str
    #: ``viewer``, ``operator``, ``editor`` or ``admin``; or ``worker``.
    scope: str
    #: SHA-256 of the text as hex; the text itself is nowhere.
    digest: str
    #: The digest before the last rotation, which is good until ``old_until``.
    old_digest: str = ""
    #: Microseconds since the epoch; 0 means never.
    old_until: int = 0
    expires_at: int = 0
    created_at: int = 0
    rotated_at: int = 0
    #: What its executions are labelled with.
    tenant: str = ""
    organization: str = ""


class Tokens(Protocol):
    """API tokens by id."""

    async def put_token(self, row: TokenRow) -> None:
        """Store a token, in place of one of the same id."""

    async def token(self, token_id: str) -> TokenRow | None:
        """Return a token."""

    async def tokens(self) -> list[TokenRow]:
        """Return all tokens, by id."""

    async def delete_token(self, token_id: str) -> bool:
        """Delete a token; return whether there was one."""


class ChangeNote(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A row of the audit of changes: who asked for what, and what came of it."""

    note_id: int
    #: Microseconds since the epoch.
    at: int
    #: Who: a token's id and name, or the subject of a JWT.
    actor: str
    #: What: ``catalog.register``, ``token.rm``, ...
    action: str
    #: Of what: a path, a name, an execution.
    subject: str = ""
    #: The status of the answer; 0 while there is none.
    status: int = 0
    #: Where the request came from.
    remote: str = ""
    tenant: str = ""
    organization: str = ""


class NoteFilter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which changes a list holds, newest first."""

    actor: str = ""
    action: str = ""
    subject: str = ""
    tenant: str = ""
    organization: str = ""
    #: Only those before this id: the last of the page before.
    before: int = 0
    limit: int = 50


class ChangeAudit(Protocol):
    """Who changed what."""

    async def put_note(self, row: ChangeNote) -> None:
        """Store a row, in place of one of the same id."""

    async def notes(self, wanted: NoteFilter) -> list[ChangeNote]:
        """Return rows, newest first."""
