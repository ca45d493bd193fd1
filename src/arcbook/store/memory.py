"""The store in memory, for tests and simulations. It keeps every promise but survival."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import msgspec

from arcbook.events.types import TERMINAL
from arcbook.store.api import (
    PAGE_MAX,
    CatalogEntry,
    Change,
    CredentialRow,
    EventRow,
    ExecutionFilter,
    ExecutionRow,
    FencedError,
    ResultRow,
    Stored,
    StoreError,
)


class MemoryStore:
    """A store that ends with its process, or is handed on to simulate one that does not."""

    def __init__(self) -> None:
        self.rows: dict[int, ExecutionRow] = {}
        self.log: dict[int, list[EventRow]] = {}
        self.snapshots: dict[int, tuple[int, bytes]] = {}
        self.kept: dict[int, dict[str, ResultRow]] = {}
        self.timers: dict[int, dict[str, int]] = {}
        self.inbox: dict[int, tuple[int, bytes]] = {}
        self.catalog: list[CatalogEntry] = []
        self.sealed: dict[str, CredentialRow] = {}
        self._posted = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None

    # -- events -----------------------------------------------------------------------

    async def commit(self, changes: Sequence[Change]) -> None:
        fenced = [c.execution_id for c in changes if self._is_fenced(c)]
        if fenced:
            raise FencedError(fenced)
        for change in changes:
            self._write(change)

    def _is_fenced(self, change: Change) -> bool:
        return change.after_seq != len(self.log.get(change.execution_id, ()))

    def _write(self, change: Change) -> None:
        log = self.log.setdefault(change.execution_id, [])
        numbers = [event.seq for event in change.events]
        if numbers != list(range(change.after_seq + 1, change.after_seq + 1 + len(numbers))):
            raise StoreError(f"execution {change.execution_id}: event numbers have a gap")
        ends = [e for e in (*log[-1:], *change.events) if e.type in TERMINAL]
        if len(ends) > 1:
            raise StoreError(f"execution {change.execution_id} would end twice")
        log += change.events
        if change.row is not None:
            self.rows[change.execution_id] = change.row
        if change.snapshot is not None:
            self.snapshots[change.execution_id] = (len(log), change.snapshot)
        if change.timers is not None:
            self.timers[change.execution_id] = dict(change.timers)
        kept = self.kept.setdefault(change.execution_id, {})
        kept.update({result.ref: result for result in change.results})

    async def load(self, execution_id: int) -> Stored | None:
        row = self.rows.get(execution_id)
        if row is None:
            return None
        seq, snapshot = self.snapshots.get(execution_id, (0, None))
        return Stored(row, snapshot, self.log[execution_id][seq:])

    async def events(
        self,
        execution_id: int,
        *,
        after: int = 0,
        limit: int = PAGE_MAX,
        types: Sequence[str] = (),
        step: str = "",
    ) -> list[EventRow]:
        found = [
            event
            for event in self.log.get(execution_id, [])[after:]
            if (not types or event.type in types) and (not step or event.step == step)
        ]
        return found[: min(limit, PAGE_MAX)]

    async def execution(self, execution_id: int) -> ExecutionRow | None:
        return self.rows.get(execution_id)

    async def executions(self, wanted: ExecutionFilter) -> list[ExecutionRow]:
        found = [
            row
            for row in sorted(self.rows.values(), key=lambda r: -r.execution_id)
            if (not wanted.status or row.status == wanted.status)
            and (not wanted.path or wanted.path.lower() in row.path.lower())
            and wanted.parent_execution_id in (0, row.parent_execution_id)
            and (not wanted.before or row.execution_id < wanted.before)
        ]
        return found[: min(wanted.limit, PAGE_MAX)]

    async def unfinished(self) -> list[int]:
        return sorted(i for i, row in self.rows.items() if not row.ended_at)

    async def results(self, execution_id: int) -> list[ResultRow]:
        return list(self.kept.get(execution_id, {}).values())

    async def delete_execution(self, execution_id: int) -> None:
        for table in (self.rows, self.log, self.snapshots, self.kept, self.timers):
            table.pop(execution_id, None)
        await self.drop([n for n, (i, _) in self.inbox.items() if i == execution_id])

    # -- inbox ------------------------------------------------------------------------

    async def post(self, execution_id: int, body: bytes) -> None:
        self._posted += 1
        self.inbox[self._posted] = (execution_id, body)

    async def take(self, execution_ids: Sequence[int]) -> list[tuple[int, int, bytes]]:
        wanted = set(execution_ids)
        return [(n, i, body) for n, (i, body) in sorted(self.inbox.items()) if i in wanted]

    async def drop(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self.inbox.pop(number, None)

    # -- catalog ----------------------------------------------------------------------

    async def register(self, entry: CatalogEntry) -> CatalogEntry:
        latest = await self.entry(entry.path)
        if latest is not None and (latest.sha256, latest.folder) == (entry.sha256, entry.folder):
            return latest
        version = latest.version + 1 if latest else 1
        stored = msgspec.structs.replace(entry, version=version)
        self.catalog.append(stored)
        return stored

    async def entry(
        self, path: str, version: int | None = None, catalog_id: int | None = None
    ) -> CatalogEntry | None:
        if catalog_id is not None:
            return next((e for e in self.catalog if e.catalog_id == catalog_id), None)
        found = [e for e in self.catalog if e.path == path and version in (None, e.version)]
        return max(found, key=lambda e: e.version, default=None)

    async def entries(self, kind: str = "") -> list[CatalogEntry]:
        latest = {e.path: e for e in sorted(self.catalog, key=lambda e: e.version)}
        return [latest[path] for path in sorted(latest) if kind in ("", latest[path].kind)]

    # -- credentials ------------------------------------------------------------------

    async def put_credential(self, row: CredentialRow) -> None:
        self.sealed[row.name] = row

    async def credential(self, name: str) -> CredentialRow | None:
        return self.sealed.get(name)

    async def credentials(self) -> list[CredentialRow]:
        return [self.sealed[name] for name in sorted(self.sealed)]

    async def delete_credential(self, name: str) -> bool:
        return self.sealed.pop(name, None) is not None
