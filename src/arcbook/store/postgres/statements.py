"""Run named statements on a pool of connections."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from arcbook.store.api import StoreError
from arcbook.store.postgres.connect import Address
from arcbook.store.sql import load_queries


class Statements:
    """Base of the store's parts: the pool and its statements."""

    def __init__(self, dsn: str) -> None:
        self._address = Address(dsn)
        self._sql = load_queries("arcbook.store.postgres")
        self._pool: Any = None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """Acquire a connection from the pool, and translate its errors.

        Raises:
            StoreError: the store is not open, or a statement fails.
        """
        if self._pool is None:
            raise StoreError("the store is not open")
        with self._address.translated():
            async with self._pool.acquire() as connection:
                yield connection

    async def _all(self, query: str, *values: Any) -> list[Any]:
        async with self.connection() as connection:
            rows: list[Any] = await connection.fetch(self._sql[query], *values)
            return rows

    async def _one(self, query: str, *values: Any) -> Any:
        async with self.connection() as connection:
            return await connection.fetchrow(self._sql[query], *values)

    async def _value(self, query: str, *values: Any) -> Any:
        async with self.connection() as connection:
            return await connection.fetchval(self._sql[query], *values)


def plain(value: str) -> str:
    """Replace the NUL character, which PostgreSQL cannot store in a text."""
    return value.replace("\x00", "\ufffd")
