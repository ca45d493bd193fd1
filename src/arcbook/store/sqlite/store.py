"""The store in one SQLite file: WAL, ``synchronous=FULL``, one transaction per commit.

Commits run on the caller's thread, because a commit takes less time than a switch to
another thread. The connection belongs to the event loop that opened it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final, Self

import msgspec

from arcbook.events.types import TERMINAL
from arcbook.shards import shard_of
from arcbook.store.api import (
    PAGE_MAX,
    CatalogEntry,
    CatalogFilter,
    Change,
    CredentialRow,
    EventRow,
    ExecutionFilter,
    ExecutionRow,
    FencedError,
    Partitions,
    ResultRow,
    Stored,
    StoreError,
    repeated_keys,
)
from arcbook.store.sqlite.access import SqliteAccess
from arcbook.store.sqlite.cluster import SqliteCluster
from arcbook.store.sqlite.secret_audit import SqliteSecretAudit
from arcbook.store.sqlite.statements import translated
from arcbook.store.trials import Trial

_ID_MAX: Final = 2**63 - 1
_ROW_ENCODER: Final = msgspec.json.Encoder()
_ROW_DECODER: Final = msgspec.json.Decoder(ExecutionRow)


WRITTEN_MAX: Final = 10_000
"""Most executions whose last event number is cached."""


class SqliteStore(SqliteCluster, SqliteAccess, SqliteSecretAudit):
    """A store in one file, which several processes may open."""

    partitions: Partitions | None = None

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        #: Number of the last event that this connection wrote, by execution.
        self._written: dict[int, int] = {}

    async def __aenter__(self) -> Self:
        self.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()

    # -- events -----------------------------------------------------------------------

    async def commit(self, changes: Sequence[Change]) -> None:
        db, sql = self._db, self._sql
        if repeated := repeated_keys(changes):
            raise FencedError(repeated)
        events = [
            (change.execution_id, *event, event.type in TERMINAL)
            for change in changes
            for event in change.events
        ]
        with translated(self._path), self._transaction(db):
            if not all(self._may_follow(db, change) for change in changes):
                raise FencedError(self._fenced(db, changes))
            try:
                db.executemany(sql["insert_event"], events)
            except sqlite3.IntegrityError:
                # Check again without the events that this transaction has written.
                db.execute("rollback")
                db.execute("begin immediate")
                fenced = self._fenced(db, changes)
                if fenced:
                    raise FencedError(fenced) from None
                raise
            rows = [_row_values(c.row) for c in changes if c.row is not None]
            if rows:
                db.executemany(sql["put_execution"], rows)
            for change in changes:
                self._put_extras(db, change)
        self._remember(changes)

    def _remember(self, changes: Sequence[Change]) -> None:
        """Cache the number of the last event written, so that it need not be queried."""
        for change in changes:
            if change.events:
                self._written[change.execution_id] = change.events[-1].seq
        while len(self._written) > WRITTEN_MAX:
            del self._written[next(iter(self._written))]

    def _may_follow(self, db: sqlite3.Connection, change: Change) -> bool:
        """Return whether a change follows the stored events; the primary key prevents overlap.

        Raises:
            StoreError: event numbers have a gap.
        """
        events, after = change.events, change.after_seq
        if events:
            if events[0].seq != after + 1 or events[-1].seq != after + len(events):
                raise StoreError(f"execution {change.execution_id}: event numbers have a gap")
            before = (change.execution_id, after)
            is_known = not after or self._written.get(change.execution_id) == after
            if not is_known and db.execute(self._sql["has_event"], before).fetchone() is None:
                return False
        elif change.looks_at_head and self._last_seq(db, change) != after:
            return False
        is_bound = change.claims or change.tick or change.key or change.owner
        return not is_bound or self._is_still_so(db, change)

    def _fenced(self, db: sqlite3.Connection, changes: Sequence[Change]) -> list[int]:
        return [c.execution_id for c in changes if self._is_fenced(db, c)]

    def _is_fenced(self, db: sqlite3.Connection, change: Change) -> bool:
        if (change.events or change.looks_at_head) and self._last_seq(
            db, change
        ) != change.after_seq:
            return True
        return not self._is_still_so(db, change)

    def _last_seq(self, db: sqlite3.Connection, change: Change) -> int:
        last: int
        (last,) = db.execute(self._sql["last_seq"], (change.execution_id,)).fetchone()
        return last

    def _put_extras(self, db: sqlite3.Connection, change: Change) -> None:
        sql, identity = self._sql, change.execution_id
        if change.snapshot is not None:
            last = change.after_seq + len(change.events)
            db.execute(sql["put_snapshot"], (identity, last, change.snapshot))
        if change.timers is not None:
            db.execute(sql["clear_timers"], (identity,))
            timers = [(identity, timer, due_at) for timer, due_at in change.timers.items()]
            db.executemany(sql["put_timer"], timers)
        if change.results:
            db.executemany(sql["put_result"], [(identity, *result) for result in change.results])
        if change.done or change.issued or change.claims or change.tick or change.key:
            self._put_commands(db, change)

    async def load(self, execution_id: int) -> Stored | None:
        row = await self.execution(execution_id)
        if row is None:
            return None
        saved = self._one("get_snapshot", execution_id)
        seq, snapshot = saved or (0, None)
        tail = self._all("get_events", execution_id, seq, -1)
        return Stored(row, snapshot, [EventRow(*event) for event in tail])

    async def events(
        self,
        execution_id: int,
        *,
        after: int = 0,
        limit: int = PAGE_MAX,
        types: Sequence[str] = (),
        step: str = "",
        holding: bytes = b"",
    ) -> list[EventRow]:
        limit = min(limit, PAGE_MAX)
        if types or step or holding:
            listed = msgspec.json.encode(list(types)).decode()
            values = (step, step, listed, listed, holding, holding)
            rows = self._all("get_chosen_events", execution_id, after, *values, limit)
        else:
            rows = self._all("get_events", execution_id, after, limit)
        return [EventRow(*row) for row in rows]

    async def execution(self, execution_id: int) -> ExecutionRow | None:
        row = self._one("get_execution", execution_id)
        return None if row is None else _ROW_DECODER.decode(row[0])

    async def executions(self, filters: ExecutionFilter) -> list[ExecutionRow]:
        parent = filters.parent_execution_id
        rows = self._all(
            "get_executions",
            filters.before or _ID_MAX,
            filters.status,
            filters.status,
            filters.path,
            filters.path,
            parent,
            parent,
            filters.tenant,
            filters.tenant,
            filters.organization,
            filters.organization,
            min(filters.limit, PAGE_MAX),
        )
        return [_ROW_DECODER.decode(body) for (body,) in rows]

    async def counts(self) -> dict[str, int]:
        return dict(self._all("count_executions"))

    async def unfinished(self, shards: Collection[int] | None = None) -> list[int]:
        identities = (identity for (identity,) in self._all("get_unfinished"))
        return [i for i in identities if shards is None or shard_of(i) in shards]

    async def results(self, execution_id: int) -> list[ResultRow]:
        return [ResultRow(*row) for row in self._all("get_results", execution_id)]

    async def delete_execution(self, execution_id: int) -> None:
        db = self._db
        self._written.pop(execution_id, None)
        with translated(self._path), self._transaction(db):
            for table in ("event", "execution", "snapshot", "timer", "result", "inbox", "command"):
                db.execute(f"delete from {table} where execution_id = ?", (execution_id,))  # noqa: S608  # our own names

    async def started_with(self, path: str, key: str, at: int) -> int | None:
        row = self._one("get_key", path, key, at)
        return None if row is None else int(row[0])

    async def forget_keys(self, before: int) -> int:
        return self._write("forget_keys", before)

    # -- trials -----------------------------------------------------------------------

    async def put_trials(self, owner: str, execution_ids: Collection[int]) -> None:
        db = self._db
        with translated(self._path), self._transaction(db):
            db.execute(self._sql["end_trials"], (owner,))
            db.executemany(self._sql["put_trial"], [(i, owner) for i in execution_ids])

    async def trials(self) -> list[Trial]:
        return [Trial(*row) for row in self._all("get_trials")]

    async def forget_trials(self, execution_ids: Collection[int]) -> None:
        db = self._db
        with translated(self._path), self._transaction(db):
            db.executemany(self._sql["forget_trial"], [(i,) for i in execution_ids])

    async def forget_ended_trials(self) -> None:
        if await self.trials():
            self._write("forget_ended_trials")

    # -- inbox ------------------------------------------------------------------------

    async def post(self, execution_id: int, body: bytes) -> None:
        self._write("post", execution_id, body)

    async def take(self, execution_ids: Sequence[int]) -> list[tuple[int, int, bytes]]:
        listed = msgspec.json.encode(list(execution_ids)).decode()
        return [(n, i, body) for n, i, body in self._all("take", listed)]

    async def drop(self, numbers: Sequence[int]) -> None:
        db = self._db
        with translated(self._path), self._transaction(db):
            db.executemany(self._sql["drop"], [(number,) for number in numbers])

    # -- catalog ----------------------------------------------------------------------

    async def register(self, entry: CatalogEntry) -> CatalogEntry:
        db = self._db
        with translated(self._path), self._transaction(db):
            latest = await self.entry(entry.path)
            same = latest and (latest.sha256, latest.folder) == (entry.sha256, entry.folder)
            if latest is not None and same:
                return latest
            db.execute(
                self._sql["put_entry"],
                (
                    entry.catalog_id,
                    entry.path,
                    entry.path,
                    entry.kind,
                    entry.sha256,
                    entry.folder,
                    entry.created_at,
                    entry.content,
                    entry.tenant,
                    entry.organization,
                ),
            )
        stored = await self.entry("", catalog_id=entry.catalog_id)
        assert stored is not None
        return stored

    async def entry(
        self, path: str, version: int | None = None, catalog_id: int | None = None
    ) -> CatalogEntry | None:
        if catalog_id is not None:
            row = self._one("get_entry_by_id", catalog_id)
        elif version is not None:
            row = self._one("get_entry_version", path, version)
        else:
            row = self._one("get_latest_entry", path)
        return None if row is None else _entry(row)

    async def entries(self, kind: str = "") -> list[CatalogEntry]:
        return [_entry(row) for row in self._all("get_entries", kind, kind)]

    async def entries_page(self, filters: CatalogFilter) -> list[CatalogEntry]:
        values = [v for v in (filters.kind, filters.tenant, filters.organization) for _ in range(2)]
        limit = min(filters.limit, PAGE_MAX)
        return [_entry(row) for row in self._all("get_entries_page", filters.after, *values, limit)]

    async def count_entries(self, kind: str = "") -> int:
        ((count,),) = self._all("count_entries", kind, kind)
        return int(count)

    async def archive(self, path: str, version: int | None, at: int) -> list[CatalogEntry]:
        db = self._db
        with translated(self._path), self._transaction(db):
            values = (at, path, version, version, at)
            rows = db.execute(self._sql["archive"], values).fetchall()
        return sorted(map(_entry, rows), key=lambda e: e.version)

    # -- credentials ------------------------------------------------------------------

    async def put_credential(self, row: CredentialRow) -> None:
        tags = msgspec.json.encode(row.tags).decode()
        facts = (row.description, tags, row.created_at, row.updated_at)
        labels = (row.tenant, row.organization)
        self._write("put_credential", row.name, row.type, row.sealed, *facts, *labels)

    async def credential(self, name: str) -> CredentialRow | None:
        row = self._one("get_credential", name)
        return None if row is None else _credential(row)

    async def credentials(self) -> list[CredentialRow]:
        return [_credential(row) for row in self._all("get_credentials")]

    async def delete_credential(self, name: str) -> bool:
        return self._write("delete_credential", name) > 0


def _row_values(row: ExecutionRow) -> tuple[Any, ...]:
    return (
        row.execution_id,
        row.path,
        row.status,
        row.seq,
        row.parent_execution_id,
        row.ended_at,
        _ROW_ENCODER.encode(row),
        row.tenant,
        row.organization,
    )


def _entry(row: Any) -> CatalogEntry:
    identity, path, version, kind, sha256, folder, created_at, archived_at, content, *labels = row
    tenant, organization = labels
    return CatalogEntry(
        catalog_id=identity,
        path=path,
        version=version,
        kind=kind,
        content=content,
        sha256=sha256,
        created_at=created_at,
        folder=folder,
        archived_at=archived_at,
        tenant=tenant,
        organization=organization,
    )


def _credential(row: Any) -> CredentialRow:
    name, kind, sealed, description, tags, created_at, updated_at, tenant, organization = row
    return CredentialRow(
        name=name,
        type=kind,
        sealed=sealed,
        description=description,
        tags=msgspec.json.decode(tags),
        created_at=created_at,
        updated_at=updated_at,
        tenant=tenant,
        organization=organization,
    )
