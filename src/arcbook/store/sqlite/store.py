"""The store in one SQLite file: WAL, ``synchronous=FULL``, one transaction a commit.

Commits run on the caller's thread: one takes a fraction of a millisecond, less than
handing it to another thread. The connection belongs to the event loop that opened it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, Final, Self

import msgspec

from arcbook.events.types import TERMINAL
from arcbook.shards import shard_of
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
from arcbook.store.sql import load_queries

SCHEMA_VERSION: Final = 1
BUSY_TIMEOUT_MS: Final = 15_000
"""How long a commit waits for another process to finish its own."""

CHECKPOINT_PAGES: Final = 4000
"""Length of the write-ahead log after which it is written back, in pages of 4 KiB."""

_ID_MAX: Final = 2**63 - 1
_ROW_ENCODER: Final = msgspec.json.Encoder()
_ROW_DECODER: Final = msgspec.json.Decoder(ExecutionRow)


class SqliteStore:
    """A store in a file that several processes may open."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sql = load_queries("arcbook.store.sqlite")
        self._open: sqlite3.Connection | None = None

    @property
    def _db(self) -> sqlite3.Connection:
        if self._open is None:
            raise StoreError("the store is not open")
        return self._open

    async def __aenter__(self) -> Self:
        self.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()

    def open(self) -> None:
        """Open the file, and make the tables of a new one.

        Raises:
            StoreError: the file cannot be used; the message says why.
        """
        with _translated(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            db = sqlite3.connect(self._path, isolation_level=None, timeout=BUSY_TIMEOUT_MS / 1000)
            self._open = db
            db.execute("pragma journal_mode = wal")
            db.execute("pragma synchronous = full")
            db.execute(f"pragma wal_autocheckpoint = {CHECKPOINT_PAGES}")
            self._make_tables(db)

    def _make_tables(self, db: sqlite3.Connection) -> None:
        (version,) = db.execute("pragma user_version").fetchone()
        if version == SCHEMA_VERSION:
            return
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"{self._path} was written by a newer Arcbook (schema {version}, this one knows "
                f"{SCHEMA_VERSION}): use that version, or another --home"
            )
        schema = resources.files("arcbook.store.sqlite").joinpath("schema.sql").read_text("utf-8")
        db.execute("begin immediate")
        (version,) = db.execute("pragma user_version").fetchone()
        if version == 0:
            for statement in _statements(schema):
                db.execute(statement)
            db.execute(f"pragma user_version = {SCHEMA_VERSION}")
        db.execute("commit")

    def close(self) -> None:
        """Close the file; closing twice is well."""
        if self._open is not None:
            self._open.close()
            self._open = None

    # -- events -----------------------------------------------------------------------

    async def commit(self, changes: Sequence[Change]) -> None:
        db, sql = self._db, self._sql
        events = [
            (change.execution_id, *event, event.type in TERMINAL)
            for change in changes
            for event in change.events
        ]
        with _translated(self._path), self._transaction(db):
            try:
                db.executemany(sql["insert_event"], events)
            except sqlite3.IntegrityError:
                fenced = [c.execution_id for c in changes if self._is_fenced(db, c)]
                if fenced:
                    raise FencedError(fenced) from None
                raise
            rows = [_row_values(c.row) for c in changes if c.row is not None]
            if rows:
                db.executemany(sql["put_execution"], rows)
            for change in changes:
                self._put_extras(db, change)

    def _is_fenced(self, db: sqlite3.Connection, change: Change) -> bool:
        (last,) = db.execute(self._sql["last_seq"], (change.execution_id,)).fetchone()
        return bool(last != change.after_seq)

    def _put_extras(self, db: sqlite3.Connection, change: Change) -> None:
        sql, identity = self._sql, change.execution_id
        if change.snapshot is not None:
            last = change.events[-1].seq
            db.execute(sql["put_snapshot"], (identity, last, change.snapshot))
        if change.timers is not None:
            db.execute(sql["clear_timers"], (identity,))
            timers = [(identity, timer, due_at) for timer, due_at in change.timers.items()]
            db.executemany(sql["put_timer"], timers)
        if change.results:
            db.executemany(sql["put_result"], [(identity, *result) for result in change.results])

    @contextmanager
    def _transaction(self, db: sqlite3.Connection) -> Iterator[None]:
        db.execute("begin immediate")
        try:
            yield
            db.execute("commit")
        except BaseException:
            if db.in_transaction:
                db.execute("rollback")
            raise

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
    ) -> list[EventRow]:
        limit = min(limit, PAGE_MAX)
        if types or step:
            listed = msgspec.json.encode(list(types)).decode()
            rows = self._all(
                "get_events_of_step", execution_id, after, step, step, listed, listed, limit
            )
        else:
            rows = self._all("get_events", execution_id, after, limit)
        return [EventRow(*row) for row in rows]

    async def execution(self, execution_id: int) -> ExecutionRow | None:
        row = self._one("get_execution", execution_id)
        return None if row is None else _ROW_DECODER.decode(row[0])

    async def executions(self, wanted: ExecutionFilter) -> list[ExecutionRow]:
        parent = wanted.parent_execution_id
        rows = self._all(
            "get_executions",
            wanted.before or _ID_MAX,
            wanted.status,
            wanted.status,
            wanted.path,
            wanted.path,
            parent,
            parent,
            min(wanted.limit, PAGE_MAX),
        )
        return [_ROW_DECODER.decode(body) for (body,) in rows]

    async def unfinished(self, shards: Collection[int] | None = None) -> list[int]:
        found = (identity for (identity,) in self._all("get_unfinished"))
        return [i for i in found if shards is None or shard_of(i) in shards]

    async def results(self, execution_id: int) -> list[ResultRow]:
        return [ResultRow(*row) for row in self._all("get_results", execution_id)]

    async def delete_execution(self, execution_id: int) -> None:
        db = self._db
        with _translated(self._path), self._transaction(db):
            for table in ("event", "execution", "snapshot", "timer", "result", "inbox"):
                db.execute(f"delete from {table} where execution_id = ?", (execution_id,))  # noqa: S608  # our own names

    # -- inbox ------------------------------------------------------------------------

    async def post(self, execution_id: int, body: bytes) -> None:
        self._write("post", execution_id, body)

    async def take(self, execution_ids: Sequence[int]) -> list[tuple[int, int, bytes]]:
        listed = msgspec.json.encode(list(execution_ids)).decode()
        return [(n, i, body) for n, i, body in self._all("take", listed)]

    async def drop(self, numbers: Sequence[int]) -> None:
        db = self._db
        with _translated(self._path), self._transaction(db):
            db.executemany(self._sql["drop"], [(number,) for number in numbers])

    # -- catalog ----------------------------------------------------------------------

    async def register(self, entry: CatalogEntry) -> CatalogEntry:
        db = self._db
        with _translated(self._path), self._transaction(db):
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

    # -- credentials ------------------------------------------------------------------

    async def put_credential(self, row: CredentialRow) -> None:
        tags = msgspec.json.encode(row.tags).decode()
        facts = (row.description, tags, row.created_at, row.updated_at)
        self._write("put_credential", row.name, row.type, row.sealed, *facts)

    async def credential(self, name: str) -> CredentialRow | None:
        row = self._one("get_credential", name)
        return None if row is None else _credential(row)

    async def credentials(self) -> list[CredentialRow]:
        return [_credential(row) for row in self._all("get_credentials")]

    async def delete_credential(self, name: str) -> bool:
        return self._write("delete_credential", name) > 0

    # -- statements -------------------------------------------------------------------

    def _one(self, query: str, *values: Any) -> Any:
        with _translated(self._path):
            return self._db.execute(self._sql[query], values).fetchone()

    def _all(self, query: str, *values: Any) -> list[Any]:
        with _translated(self._path):
            return self._db.execute(self._sql[query], values).fetchall()

    def _write(self, query: str, *values: Any) -> int:
        db = self._db
        with _translated(self._path), self._transaction(db):
            return db.execute(self._sql[query], values).rowcount


def _row_values(row: ExecutionRow) -> tuple[Any, ...]:
    return (
        row.execution_id,
        row.path,
        row.status,
        row.seq,
        row.parent_execution_id,
        row.ended_at,
        _ROW_ENCODER.encode(row),
    )


def _entry(row: Any) -> CatalogEntry:
    identity, path, version, kind, sha256, folder, created_at, archived_at, content = row
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
    )


def _credential(row: Any) -> CredentialRow:
    name, kind, sealed, description, tags, created_at, updated_at = row
    return CredentialRow(
        name=name,
        type=kind,
        sealed=sealed,
        description=description,
        tags=msgspec.json.decode(tags),
        created_at=created_at,
        updated_at=updated_at,
    )


def _statements(script: str) -> Iterator[str]:
    lines = [line for line in script.splitlines() if not line.lstrip().startswith("--")]
    for statement in "\n".join(lines).split(";"):
        if statement.strip():
            yield statement


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours, each with what to do."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise StoreError(f"{path}: the store refuses the change: {error}") from error
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"{path}: {_advice(str(error))}") from error


def _advice(reason: str) -> str:
    known = {
        "readonly": "the store cannot be written: check the permissions, or use another --home",
        "full": "the disk is full: make room, then 'arcbook resume' goes on",
        "unable to open": "the store cannot be opened: check the folder, or use another --home",
        "not a database": "this file is not a store of Arcbook: use another --home",
        "malformed": "the store is damaged: restore it from a backup, or use another --home",
        "locked": "another process holds the store for too long: try again",
        "Permission denied": "permission denied: use another --home",
        "Read-only": "the folder cannot be written: use another --home",
        "disk I/O error": "the disk fails or is full: make room, then 'arcbook resume' goes on",
    }
    for sign, advice in known.items():
        if sign.lower() in reason.lower():
            return f"{advice} ({reason})"
    return reason
