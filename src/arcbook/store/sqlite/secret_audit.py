"""The audit log of secrets."""

from __future__ import annotations

from arcbook.store.secret_audit import AUDIT_PAGE_MAX, SecretNote, SecretNotes
from arcbook.store.sqlite.statements import Statements


class SqliteSecretAudit(Statements):
    """The audit log of secrets."""

    async def note_secret(self, note: SecretNote) -> None:
        of = note.execution_id
        facts = (note.at, note.who, note.action, note.alias, of, note.outcome)
        self._write("note_secret", *facts, of, note.tenant, of, note.organization)

    async def secret_notes(self, filters: SecretNotes) -> list[SecretNote]:
        rows = self._all(
            "get_secret_notes",
            filters.before,
            filters.before,
            filters.alias,
            filters.alias,
            filters.execution_id,
            filters.execution_id,
            filters.who,
            filters.who,
            filters.outcome,
            filters.outcome,
            filters.tenant,
            filters.tenant,
            filters.organization,
            filters.organization,
            min(filters.limit, AUDIT_PAGE_MAX),
        )
        fields = SecretNote.__struct_fields__
        return [SecretNote(**dict(zip(fields, row, strict=True))) for row in rows]

    async def replace_sealed(self, name: str, before: bytes, after: bytes) -> bool:
        return self._write("replace_sealed", after, name, before) > 0
