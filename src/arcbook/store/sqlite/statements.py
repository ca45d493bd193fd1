"""The database file and its named statements."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

from arcbook.store.api import StoreError, UnstorableError
from arcbook.store.sql import load_queries

BUSY_TIMEOUT_MS: Final = 15_000
"""Time a commit waits for another process's commit."""

CHECKPOINT_PAGES: Final = 4000
"""Length of the write-ahead log that triggers a checkpoint, in pages of 4 KiB."""


class Statements:
    """Base of the store's parts: the connection and its statements."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sql = load_queries("arcbook.store.sqlite")
        self._open: sqlite3.Connection | None = None

    @property
    def _db(self) -> sqlite3.Connection:
        if self._open is None:
            raise StoreError("the store is not open")
        return self._open

    def open(self) -> None:
        """Open the file and create the tables of a new one.

        Raises:
            StoreError: the file cannot be used; the message says why.
        """
        with translated(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # Results are in it: nobody else's, nor those of code that runs as another user.
            self._path.touch(mode=0o600, exist_ok=True)
            db = sqlite3.connect(self._path, isolation_level=None, timeout=BUSY_TIMEOUT_MS / 1000)
            self._open = db
            db.execute("pragma journal_mode = wal")
            db.execute("pragma synchronous = full")
            db.execute(f"pragma wal_autocheckpoint = {CHECKPOINT_PAGES}")
            self._make_tables(db)

    def _make_tables(self, db: sqlite3.Connection) -> None:
        scripts = _migrations()
        (version,) = db.execute("pragma user_version").fetchone()
        if version == len(scripts):
            return
        if version > len(scripts):
            raise StoreError(
                f"{self._path} was written by a newer Arcbook (schema {version}, this one knows "
                f"{len(scripts)}): use that version, or another --home"
            )
        with self._transaction(db):
            (version,) = db.execute("pragma user_version").fetchone()
            for script in scripts[version:]:
                for statement in _statements(script):
                    db.execute(statement)
            db.execute(f"pragma user_version = {len(scripts)}")

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._open is not None:
            self._open.close()
            self._open = None

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

    def _one(self, query: str, *values: Any) -> Any:
        with translated(self._path):
            return self._db.execute(self._sql[query], values).fetchone()

    def _all(self, query: str, *values: Any) -> list[Any]:
        with translated(self._path):
            return self._db.execute(self._sql[query], values).fetchall()

    def _write(self, query: str, *values: Any) -> int:
        db = self._db
        with translated(self._path), self._transaction(db):
            return db.execute(self._sql[query], values).rowcount


@cache
def _migrations() -> tuple[str, ...]:
    """Return the scripts that create the tables, in order."""
    folder = resources.files("arcbook.store.sqlite").joinpath("migrations")
    files = sorted((f.name, f) for f in folder.iterdir() if f.name.endswith(".sql"))
    return tuple(file.read_text("utf-8") for _, file in files)


def _statements(script: str) -> Iterator[str]:
    lines = [line for line in script.splitlines() if not line.lstrip().startswith("--")]
    for statement in "\n".join(lines).split(";"):
        if statement.strip():
            yield statement


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Convert SQLite's errors into StoreErrors with advice."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise StoreError(f"{path}: the store rejects the change: {error}") from error
    except (sqlite3.DataError, sqlite3.InterfaceError, UnicodeEncodeError, OverflowError) as error:
        raise UnstorableError(f"{path}: a value cannot be stored: {error}") from error
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"{path}: {_advice(str(error))}") from error


def _advice(reason: str) -> str:
    known = {
        "readonly": "the store cannot be written: check the permissions, or use another --home",
        "full": "the disk is full: free some space, then run: arcbook resume",
        "unable to open": "the store cannot be opened: check the folder, or use another --home",
        "not a database": "this file is not a store of Arcbook: use another --home",
        "malformed": "the store is damaged: restore it from a backup, or use another --home",
        "locked": "another process has locked the store for too long: try again",
        "Permission denied": "permission denied: use another --home",
        "Read-only": "the folder cannot be written: use another --home",
        "disk I/O error": "the disk fails or is full: free some space, then run: arcbook resume",
    }
    for sign, advice in known.items():
        if sign.lower() in reason.lower():
            return f"{advice} ({reason})"
    return reason
