"""The port to the audit of secrets: who got which, for what, and what came of it."""

from __future__ import annotations

from typing import Final, Protocol

import msgspec

AUDIT_PAGE_MAX: Final = 1000
"""Rows of one page of the audit."""


class SecretNote(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the audit. It never holds anything of a secret itself."""

    #: Given by the store; grows.
    note_id: int = 0
    #: Microseconds since the epoch.
    at: int
    #: The worker or the caller who asked.
    who: str
    #: ``resolve``, ``read``, ``put`` or ``delete``.
    action: str
    alias: str
    execution_id: int = 0
    #: ``ok``, ``unknown``, ``unreadable`` or ``refused``.
    outcome: str = "ok"
    #: Of the execution, where it is for one that the store knows; else of the caller.
    tenant: str = ""
    organization: str = ""


class SecretNotes(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows of the audit a page holds, newest first."""

    alias: str = ""
    execution_id: int = 0
    who: str = ""
    outcome: str = ""
    tenant: str = ""
    organization: str = ""
    #: Only those before this row: the last of the page before.
    before: int = 0
    limit: int = 100


class SecretAudit(Protocol):
    """The audit of secrets."""

    async def note_secret(self, note: SecretNote) -> None:
        """Append a row, durably."""

    async def secret_notes(self, wanted: SecretNotes) -> list[SecretNote]:
        """Return rows, newest first."""

    async def replace_sealed(self, name: str, before: bytes, after: bytes) -> bool:
        """Put a record in place of another, if it is still that one; return whether it was."""
