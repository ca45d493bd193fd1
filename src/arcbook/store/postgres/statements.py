"""Running named statements on a pool of connections."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from arcbook.store.api import StoreError
from arcbook.store.postgres.connect import Address
from arcbook.store.sql import load_queries


class Statements:
    """What the parts of the store share."""

    def __init__(self, dsn: str) -> None:
        self._address = Address(dsn)
        self._sql = load_queries("arcbook.store.postgres")
        self._pool: Any = None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """Lend a connection of the pool; its errors become ours.

        Raises:
            StoreError: what is done with it fails.
        """
        if self._pool is None:
            raise StoreError("the store is not open")
        with self._address.translated():
            async with self._pool.acquire() as connection:
                yield connection

    async def _all(self, query: str, *values: Any) -> list[Any]:
        async with self.connection() as connection:
            found: list[Any] = await connection.fetch(self._sql[query], *values)
            return found

    async def _one(self, query: str, *values: Any) -> Any:
        async with self.connection() as connection:
            return await connection.fetchrow(self._sql[query], *values)

    async def _value(self, query: str, *values: Any) -> Any:
        async with self.connection() as connection:
            return await connection.fetchval(self._sql[query], *values)


def plain(value: str) -> str:
    """Return a text as a column can hold it: all but the character that PostgreSQL refuses."""
    return value.replace("\x00", "\ufffd")
