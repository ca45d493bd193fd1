"""The port to the audit log of secrets: who accessed which one, why, and the result."""

from __future__ import annotations

from typing import Final, Protocol

import msgspec

AUDIT_PAGE_MAX: Final = 1000
"""Maximum number of entries on one page of the audit log."""


class SecretNote(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the audit log. It never contains any part of a secret."""

    #: Assigned by the store, increasing.
    note_id: int = 0
    #: Microseconds since the epoch.
    at: int
    #: The worker or caller that requested it.
    who: str
    #: ``resolve``, ``read``, ``put`` or ``delete``.
    action: str
    alias: str
    execution_id: int = 0
    #: ``ok``, ``unknown``, ``unreadable`` or ``refused``.
    outcome: str = "ok"
    #: Those of the execution, if the store knows it, or else of the caller.
    tenant: str = ""
    organization: str = ""


class SecretNotes(msgspec.Struct, frozen=True, kw_only=True):
    """Filters of a page of the audit log, newest first."""

    alias: str = ""
    execution_id: int = 0
    who: str = ""
    outcome: str = ""
    tenant: str = ""
    organization: str = ""
    #: Only those before this id, the last one of the previous page.
    before: int = 0
    limit: int = 100


class SecretAudit(Protocol):
    """The audit log of secrets."""

    async def note_secret(self, note: SecretNote) -> None:
        """Append an entry durably."""

    async def secret_notes(self, filters: SecretNotes) -> list[SecretNote]:
        """Return entries, newest first."""

    async def replace_sealed(self, name: str, before: bytes, after: bytes) -> bool:
        """Replace a sealed record if it is still ``before``; return whether it was."""
