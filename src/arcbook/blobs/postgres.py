"""Blobs in the database of the cluster, in pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

from arcbook.blobs.api import BlobMissingError, BlobStoreError
from arcbook.store.api import StoreError
from arcbook.store.sql import load_queries

PIECE_BYTES: Final = 512 * 1024
"""Size of one piece: a row that PostgreSQL moves about with ease."""

PUT_SECONDS: Final = 300.0
"""How long one piece may take to be written."""

_KEY_BEYOND: Final = "\U0010ffff"
"""No key has a character beyond this one."""

_ID_MAX: Final = 2**63 - 1


class PostgresBlobs:
    """A blob store in PostgreSQL.

    Args:
        connection: lends a connection; that of the store, so that both share its pool.
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
            # One writer of a key at a time: another's pieces must not come between.
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
    """Return a key as PostgreSQL can keep it: its text has no character zero."""
    return key.replace("%", "%25").replace("\x00", "%00")


def _owner(key: str) -> int:
    """Return the execution that a key begins with, or 0."""
    first, slash, _ = key.partition("/")
    is_id = slash and first.isascii() and first.isdigit() and len(first) < 20
    return int(first) if is_id and int(first) <= _ID_MAX else 0
