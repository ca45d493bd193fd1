"""API tokens and the audit log of changes."""

from __future__ import annotations

from typing import Final

import msgspec

from arcbook.store.access import ChangeNote, NoteFilter, TokenRow
from arcbook.store.api import PAGE_MAX
from arcbook.store.sqlite.statements import Statements

_ID_MAX: Final = 2**63 - 1
_ENCODER: Final = msgspec.json.Encoder()
_TOKEN: Final = msgspec.json.Decoder(TokenRow)
_NOTE: Final = msgspec.json.Decoder(ChangeNote)


class SqliteAccess(Statements):
    """API tokens and the audit log of changes."""

    async def put_token(self, row: TokenRow) -> None:
        self._write("put_token", row.token_id, _ENCODER.encode(row))

    async def token(self, token_id: str) -> TokenRow | None:
        row = self._one("get_token", token_id)
        return None if row is None else _TOKEN.decode(row[0])

    async def tokens(self) -> list[TokenRow]:
        return [_TOKEN.decode(body) for (body,) in self._all("get_tokens")]

    async def delete_token(self, token_id: str) -> bool:
        return self._write("delete_token", token_id) > 0

    async def put_note(self, row: ChangeNote) -> None:
        facts = (row.actor, row.action, row.subject, _ENCODER.encode(row))
        self._write("put_note", row.note_id, *facts, row.tenant, row.organization)

    async def notes(self, filters: NoteFilter) -> list[ChangeNote]:
        values = (
            filters.actor,
            filters.action,
            filters.subject,
            filters.tenant,
            filters.organization,
        )
        doubled = (w for w in values for _ in range(2))
        limit = min(filters.limit, PAGE_MAX)
        rows = self._all("get_notes", filters.before or _ID_MAX, *doubled, limit)
        return [_NOTE.decode(body) for (body,) in rows]
