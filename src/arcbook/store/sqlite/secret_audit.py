"""The audit of secrets."""

from __future__ import annotations

from arcbook.store.secret_audit import AUDIT_PAGE_MAX, SecretNote, SecretNotes
from arcbook.store.sqlite.statements import Statements


class SqliteSecretAudit(Statements):
    """Who got which secret."""

    async def note_secret(self, note: SecretNote) -> None:
        of = note.execution_id
        facts = (note.at, note.who, note.action, note.alias, of, note.outcome)
        self._write("note_secret", *facts, of, note.tenant, of, note.organization)

    async def secret_notes(self, wanted: SecretNotes) -> list[SecretNote]:
        rows = self._all(
            "get_secret_notes",
            wanted.before,
            wanted.before,
            wanted.alias,
            wanted.alias,
            wanted.execution_id,
            wanted.execution_id,
            wanted.who,
            wanted.who,
            wanted.outcome,
            wanted.outcome,
            wanted.tenant,
            wanted.tenant,
            wanted.organization,
            wanted.organization,
            min(wanted.limit, AUDIT_PAGE_MAX),
        )
        fields = SecretNote.__struct_fields__
        return [SecretNote(**dict(zip(fields, row, strict=True))) for row in rows]

    async def replace_sealed(self, name: str, before: bytes, after: bytes) -> bool:
        return self._write("replace_sealed", after, name, before) > 0
