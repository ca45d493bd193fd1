"""The store in PostgreSQL, for servers that share it."""

from arcbook.store.postgres.migrate import SchemaState, check, upgrade
from arcbook.store.postgres.store import PostgresStore

__all__ = ["PostgresStore", "SchemaState", "check", "upgrade"]
