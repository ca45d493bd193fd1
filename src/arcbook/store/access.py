"""The ports to API tokens and to the audit log of changes."""

from __future__ import annotations

from typing import Protocol

import msgspec


class TokenRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An API token, stored as a digest."""

    token_id: str
    name: str
    #: ``viewer``, ``operator``, ``editor`` or ``admin``; or ``worker``.
    scope: str
    #: SHA-256 of the token's text in hex; the text itself is not stored.
    digest: str
    #: The digest before the last rotation, valid until ``old_until``.
    old_digest: str = ""
    #: Microseconds since the epoch; 0 means never.
    old_until: int = 0
    expires_at: int = 0
    created_at: int = 0
    rotated_at: int = 0
    #: Labels of its executions.
    tenant: str = ""
    organization: str = ""


class Tokens(Protocol):
    """API tokens by id."""

    async def put_token(self, row: TokenRow) -> None:
        """Store a token, replacing one of the same id."""

    async def token(self, token_id: str) -> TokenRow | None:
        """Return a token."""

    async def tokens(self) -> list[TokenRow]:
        """Return all tokens, ordered by id."""

    async def delete_token(self, token_id: str) -> bool:
        """Delete a token; return whether it existed."""


class ChangeNote(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An entry of the audit log of changes: who requested what, and the result."""

    note_id: int
    #: Microseconds since the epoch.
    at: int
    #: A token's id and name, or the subject of a JWT.
    actor: str
    #: ``catalog.register``, ``token.rm``, ...
    action: str
    #: The object of the action: a path, a name or an execution.
    subject: str = ""
    #: HTTP status of the response; 0 until there is one.
    status: int = 0
    #: Address of the client.
    remote: str = ""
    tenant: str = ""
    organization: str = ""


class NoteFilter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Filters of a list of changes, newest first."""

    actor: str = ""
    action: str = ""
    subject: str = ""
    tenant: str = ""
    organization: str = ""
    #: Only those before this id, the last one of the previous page.
    before: int = 0
    limit: int = 50


class ChangeAudit(Protocol):
    """The audit log of changes."""

    async def put_note(self, row: ChangeNote) -> None:
        """Store an entry, replacing one of the same id."""

    async def notes(self, filters: NoteFilter) -> list[ChangeNote]:
        """Return entries, newest first."""
