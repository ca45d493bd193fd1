"""Blobs in the cluster's database, split into pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

from arcbook.blobs.api import BlobMissingError, BlobStoreError
from arcbook.store.api import StoreError
from arcbook.store.sql import load_queries

PIECE_BYTES: Final = 512 * 1024
"""Size of one piece: a row size that PostgreSQL handles well."""

PUT_SECONDS: Final = 300.0
"""Time limit for writing one piece."""

_KEY_BEYOND: Final = "\U0010ffff"
"""Sorts after every character in a key."""

_ID_MAX: Final = 2**63 - 1


class PostgresBlobs:
    """A blob store in PostgreSQL.

    Args:
        connection: Lends a connection of the store's pool.
    """

    def __init__(self, connection: Callable[[], AbstractAsyncContextManager[Any]]) -> None:
        self._lend = connection
        self._sql = load_queries("arcbook.blobs", "postgres.sql")

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        try:
            async with self._lend() as connection:
                yield connection
        except StoreError as error:
            raise BlobStoreError(str(error)) from error

    async def put(self, key: str, data: bytes) -> None:
        starts = range(0, len(data) or 1, PIECE_BYTES)
        name, owner = _stored(key), _owner(key)
        async with self._connection() as connection, connection.transaction():
            # Serialize writers of one key, so that their pieces do not mix.
            await connection.execute(self._sql["lock"], name)
            await connection.execute(self._sql["clear"], name)
            for number, start in enumerate(starts):
                piece = data[start : start + PIECE_BYTES]
                values = (name, number, owner, piece)
                await connection.execute(self._sql["put"], *values, timeout=PUT_SECONDS)

    async def get(self, key: str) -> bytes:
        async with self._connection() as connection:
            pieces = await connection.fetch(self._sql["get"], _stored(key))
        if not pieces:
            raise BlobMissingError(key)
        return b"".join(piece for (piece,) in pieces)

    async def delete(self, prefix: str, *, before: str = "") -> int:
        name = _stored(prefix)
        end = _stored(before) or name + _KEY_BEYOND
        async with self._connection() as connection:
            return int(await connection.fetchval(self._sql["delete"], name, end))


def _stored(key: str) -> str:
    """Escape a key for PostgreSQL, whose text cannot contain NUL."""
    return key.replace("%", "%25").replace("\x00", "%00")


def _owner(key: str) -> int:
    """Return the execution id at the start of a key, or 0."""
    first, slash, _ = key.partition("/")
    is_id = slash and first.isascii() and first.isdigit() and len(first) < 20
    return int(first) if is_id and int(first) <= _ID_MAX else 0
