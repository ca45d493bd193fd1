"""The audit log of secrets."""

from __future__ import annotations

from arcbook.store.postgres.statements import Statements, plain
from arcbook.store.secret_audit import AUDIT_PAGE_MAX, SecretNote, SecretNotes


class PostgresSecretAudit(Statements):
    """The audit log of secrets."""

    async def note_secret(self, note: SecretNote) -> None:
        texts = (plain(note.who), plain(note.action), plain(note.alias))
        facts = (note.at, *texts, note.execution_id, note.outcome)
        await self._value("note_secret", *facts, plain(note.tenant), plain(note.organization))

    async def secret_notes(self, filters: SecretNotes) -> list[SecretNote]:
        rows = await self._all(
            "get_secret_notes",
            filters.before,
            plain(filters.alias),
            filters.execution_id,
            plain(filters.who),
            plain(filters.outcome),
            plain(filters.tenant),
            plain(filters.organization),
            min(filters.limit, AUDIT_PAGE_MAX),
        )
        return [SecretNote(**row) for row in rows]

    async def replace_sealed(self, name: str, before: bytes, after: bytes) -> bool:
        return await self._value("replace_sealed", name, before, after) is not None
