"""The store in one SQLite file, for the embedded runtime."""

from arcbook.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
