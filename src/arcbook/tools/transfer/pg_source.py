"""Rows of PostgreSQL: in batches, or by COPY as they are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import psycopg
from psycopg.abc import PQGen
from psycopg.adapt import Loader
from psycopg.generators import fetch_many
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn
from psycopg.sql import SQL, Composed
from psycopg.waiting import Wait

from arcbook.tools.postgres.cursor import StatementCursor
from arcbook.tools.postgres.types import bound, bytea
from arcbook.tools.transfer.ends import Batch, CopiedRows, Rows, SourceParams, one_query
from arcbook.tools.transfer.pg import PgLink, faults, table_of

BLOCK_BYTES: Final = 128 * 1024
"""Size of the rows that are handed on at once."""

_READS: Final = SQL("; SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")

_DUCKDB_TYPES: Final = {
    "bool": "BOOLEAN",
    "bytea": "BLOB",
    "date": "DATE",
    "float4": "REAL",
    "float8": "DOUBLE",
    "int2": "SMALLINT",
    "int4": "INTEGER",
    "int8": "BIGINT",
    "interval": "INTERVAL",
    "json": "JSON",
    "jsonb": "JSON",
    "oid": "UINTEGER",
    "time": "TIME",
    "timestamp": "TIMESTAMP",
    "timestamptz": "TIMESTAMPTZ",
    "uuid": "UUID",
}


class _RawBytes(Loader):
    def load(self, data: Any) -> bytes:
        return bytea(bytes(data))


class _Text(Loader):
    def load(self, data: Any) -> str:
        return bytes(data).decode()


class PgRows(CopiedRows):
    """What a query yields."""

    def __init__(self, connection: Any, query: bytes, cursor: Any, batch_rows: int) -> None:
        self._connection = connection
        self._query = query
        self._batch_rows = batch_rows
        described = cursor.description or ()
        self.columns = [column.name for column in described]
        self.kinds = [_duckdb_type(connection, column) for column in described]

    async def copied(self, indexes: Sequence[int]) -> AsyncIterator[bytes | memoryview]:
        names = [f"c{number}" for number in range(len(self.columns))]
        shown = ", ".join(names[index] for index in indexes)
        inner = f") AS q({', '.join(names)})) TO STDOUT".encode()
        text = b"COPY (SELECT " + shown.encode() + b" FROM (\n" + self._query + b"\n" + inner
        connection = self._connection
        with faults("source"):
            async with connection.cursor().copy(text):
                has_more = True
                while has_more:
                    block, has_more = await connection.wait(_copied_block(connection.pgconn))
                    yield block

    async def batches(self) -> AsyncIterator[Batch]:
        cursor = StatementCursor(self._connection)
        cursor.adapters.register_loader("bytea", _RawBytes)
        cursor.adapters.register_loader("interval", _Text)
        batch: list[Sequence[Any]] = []
        with faults("source"):
            async for row in cursor.stream(self._query, size=100):
                batch.append(row)
                if len(batch) >= self._batch_rows:
                    yield batch
                    batch = []
        if batch:
            yield batch


def _copied_block(pgconn: PGconn) -> PQGen[tuple[bytes, bool]]:
    """Read rows of a COPY as far as they have come; return whether there may be more.

    The server sends a message for each row, and psycopg would go through the event loop for
    each of them.
    """
    parts: list[memoryview] = []
    size = 0
    while size < BLOCK_BYTES:
        count, data = pgconn.get_copy_data(1)
        if count > 0:
            parts.append(data)
            size += count
        elif count < 0:
            yield from _copy_ended(pgconn)
            return b"".join(parts), False
        elif parts:
            break
        else:
            while not (yield Wait.R):
                continue
            pgconn.consume_input()
    return b"".join(parts), True


def _copy_ended(pgconn: PGconn) -> PQGen[None]:
    """Read how a COPY has ended, so that the connection is ready again."""
    for result in (yield from fetch_many(pgconn)):
        if result.status != ExecStatus.COMMAND_OK:
            raise psycopg.errors.error_from_result(result)


def _duckdb_type(connection: Any, column: Any) -> str:
    """Return DuckDB's type for a column: one that takes all that it may hold."""
    info = connection.adapters.types.get(column.type_code)
    if info is None:
        return "VARCHAR"
    if info.name == "numeric" and column.precision and column.precision <= 38:
        return f"DECIMAL({column.precision},{max(column.scale or 0, 0)})"
    kind = _DUCKDB_TYPES.get(info.name, "VARCHAR")
    if info.array_oid != column.type_code:
        return kind
    return "VARCHAR[]" if kind == "BLOB" else f"{kind}[]"


class PgSource:
    """A query in PostgreSQL, which cannot change anything there."""

    def __init__(self, place: PgLink, params: SourceParams, batch_rows: int) -> None:
        self._place = place
        self._params = params
        self._batch_rows = batch_rows

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Rows]:
        params = self._params
        opened = Composed([self._place.opening, _READS])
        with faults("source"):
            async with self._place.pool.session(
                opened, wait_seconds=self._place.wait_seconds
            ) as session:
                is_whole = params.table and params.query is None
                table = await table_of(session.connection, params.table) if is_whole else None
                query = one_query(params, f"TABLE {table.shown}" if table else None)
                text = _filled(session.connection, query, params.params)
                cursor = session.connection.cursor()
                await cursor.execute(b"SELECT * FROM (\n" + text + b"\n) AS q LIMIT 0")
                yield PgRows(session.connection, text, cursor, self._batch_rows)


def _filled(connection: Any, query: str, params: Any) -> bytes:
    """Return a query with its parameters in it, for COPY takes none."""
    if not params:
        return query.encode()
    values = (
        {name: bound(value) for name, value in params.items()}
        if isinstance(params, dict)
        else [bound(value) for value in params]
    )
    return psycopg.AsyncClientCursor(connection).mogrify(query.encode(), values).encode()
