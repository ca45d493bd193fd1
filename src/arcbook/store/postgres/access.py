"""API tokens and the audit log of changes."""

from __future__ import annotations

from typing import Final

import msgspec

from arcbook.store.access import ChangeNote, NoteFilter, TokenRow
from arcbook.store.api import PAGE_MAX
from arcbook.store.postgres.statements import Statements, plain

_ID_MAX: Final = 2**63 - 1
_ENCODER: Final = msgspec.json.Encoder()
_TOKEN: Final = msgspec.json.Decoder(TokenRow)
_NOTE: Final = msgspec.json.Decoder(ChangeNote)


class PostgresAccess(Statements):
    """API tokens and the audit log of changes."""

    async def put_token(self, row: TokenRow) -> None:
        await self._value("put_token", row.token_id, _ENCODER.encode(row))

    async def token(self, token_id: str) -> TokenRow | None:
        body = await self._value("get_token", token_id)
        return None if body is None else _TOKEN.decode(body)

    async def tokens(self) -> list[TokenRow]:
        rows: list[TokenRow] = []
        while True:
            after = rows[-1].token_id if rows else ""
            page = await self._all("get_tokens", after, PAGE_MAX)
            rows += [_TOKEN.decode(body) for _, body in page]
            if len(page) < PAGE_MAX:
                return rows

    async def delete_token(self, token_id: str) -> bool:
        return await self._value("delete_token", token_id) is not None

    async def put_note(self, row: ChangeNote) -> None:
        named = (plain(row.actor), plain(row.action), plain(row.subject))
        facts = (*named, _ENCODER.encode(row))
        labels = (plain(row.tenant), plain(row.organization))
        await self._value("put_note", row.note_id, *facts, *labels)

    async def notes(self, filters: NoteFilter) -> list[ChangeNote]:
        page = (filters.before or _ID_MAX, min(filters.limit, PAGE_MAX))
        named = (plain(filters.actor), plain(filters.action), plain(filters.subject))
        labels = (plain(filters.tenant), plain(filters.organization))
        rows = await self._all("get_notes", *page, *named, *labels)
        return [_NOTE.decode(body) for (body,) in rows]
