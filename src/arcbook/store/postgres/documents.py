"""The catalog and the stored credentials."""

from __future__ import annotations

from typing import Any

from arcbook.store.api import PAGE_MAX, CatalogEntry, CatalogFilter, CredentialRow
from arcbook.store.postgres.statements import Statements, plain


class PostgresDocuments(Statements):
    """Documents by path and version; credentials by name."""

    async def register(self, entry: CatalogEntry) -> CatalogEntry:
        identity = await self._value(
            "register",
            entry.catalog_id,
            entry.path,
            entry.kind,
            entry.sha256,
            entry.folder,
            entry.created_at,
            entry.content,
            entry.tenant,
            entry.organization,
        )
        stored = await self.entry("", catalog_id=identity)
        assert stored is not None
        return stored

    async def entry(
        self, path: str, version: int | None = None, catalog_id: int | None = None
    ) -> CatalogEntry | None:
        if catalog_id is not None:
            row = await self._one("get_entry_by_id", catalog_id)
        elif version is not None:
            row = await self._one("get_entry_version", path, version)
        else:
            row = await self._one("get_latest_entry", path)
        return None if row is None else CatalogEntry(**row)

    async def entries(self, kind: str = "") -> list[CatalogEntry]:
        rows = await self._by_name("get_entries", "path", kind)
        return [CatalogEntry(**row) for row in rows]

    async def entries_page(self, filters: CatalogFilter) -> list[CatalogEntry]:
        owner = (filters.tenant, filters.organization)
        limit = min(filters.limit, PAGE_MAX)
        rows = await self._all("get_entries_page", filters.kind, filters.after, *owner, limit)
        return [CatalogEntry(**row) for row in rows]

    async def count_entries(self, kind: str = "") -> int:
        return int(await self._value("count_entries", kind))

    async def archive(self, path: str, version: int | None, at: int) -> list[CatalogEntry]:
        rows = await self._all("archive", path, version, at)
        return sorted((CatalogEntry(**row) for row in rows), key=lambda e: e.version)

    async def put_credential(self, row: CredentialRow) -> None:
        tags = [plain(tag) for tag in row.tags]
        facts = (plain(row.description), tags, row.created_at, row.updated_at)
        labels = (row.tenant, row.organization)
        await self._value("put_credential", row.name, row.type, row.sealed, *facts, *labels)

    async def credential(self, name: str) -> CredentialRow | None:
        row = None if "\x00" in name else await self._one("get_credential", name)
        return None if row is None else CredentialRow(**row)

    async def credentials(self) -> list[CredentialRow]:
        return [CredentialRow(**row) for row in await self._by_name("get_credentials", "name")]

    async def delete_credential(self, name: str) -> bool:
        if "\x00" in name:
            return False
        return await self._value("delete_credential", name) is not None

    async def _by_name(self, query: str, key: str, *filters: Any) -> list[Any]:
        """Fetch all rows of a query, page by page."""
        rows: list[Any] = []
        after = ""
        while True:
            page = await self._all(query, *filters, after, PAGE_MAX)
            rows += page
            if len(page) < PAGE_MAX:
                return rows
            after = page[-1][key]
