"""Rows of and for PostgreSQL, by COPY."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, NamedTuple, cast

import msgspec
import psycopg
from psycopg.adapt import Loader
from psycopg.sql import SQL, Composed, Identifier

from arcbook.outcome import ErrorKind, failed
from arcbook.tools.postgres import errors
from arcbook.tools.postgres.cursor import StatementCursor
from arcbook.tools.postgres.pool import ConnectError, Pool, PoolBusyError
from arcbook.tools.postgres.run import application_name, opening
from arcbook.tools.postgres.types import bound, bytea
from arcbook.tools.sql.text import Mode, quoted
from arcbook.tools.transfer.ends import (
    Batch,
    Choice,
    CopiedRows,
    EndError,
    Rows,
    SourceParams,
    TargetParams,
    Written,
    choose,
    fault,
    one_query,
    table_parts,
)
from arcbook.tools.transfer.forms import Form, copied_form

_FORMS: Final = SQL("; SET LOCAL datestyle TO 'ISO'; SET LOCAL intervalstyle TO 'postgres'")
_READS: Final = SQL("; SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")

_COLUMNS: Final = """
SELECT n.nspname, c.relname, a.attname, t.typcategory, format_type(coalesce(e.oid, t.oid), NULL)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
WHERE c.oid = coalesce(to_regclass(%s), to_regclass(%s)) AND a.attgenerated = ''
ORDER BY a.attnum
"""

_KEY: Final = """
SELECT a.attname FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)
WHERE i.indisprimary AND i.indrelid = to_regclass(%s)
"""

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


class Link(NamedTuple):
    """A database and what a session in it is told."""

    pool: Pool
    opening: Composed
    wait_seconds: float


def link(pool: Pool, call: Any, schema: str, seconds: float) -> Link:
    """Return how a call works in a database."""
    name = application_name(call.execution_id, call.step)
    settings = opening(Mode.TOGETHER, name, schema, seconds)
    return Link(pool, Composed([settings, _FORMS]), seconds)


@contextmanager
def faults(side: str) -> Iterator[None]:
    """Make what the database says the failure of the call."""
    try:
        yield
    except ConnectError as error:
        raise EndError(errors.connect_failure(error.cause)) from None
    except psycopg.Error as error:
        raise EndError(errors.statement_failure(error, side, {"side": side})) from None
    except PoolBusyError as error:
        outcome = failed(ErrorKind.DB_CONNECTION, str(error), code="PG_POOL_BUSY", retryable=True)
        raise EndError(outcome) from None


# -- source -----------------------------------------------------------------------------


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
        with faults("source"):
            async with self._connection.cursor().copy(text) as copy:
                async for block in copy:
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

    def __init__(self, place: Link, params: SourceParams, batch_rows: int) -> None:
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
                table = await _table(session.connection, params.table) if is_whole else None
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


# -- target -----------------------------------------------------------------------------


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table and its columns that may be written."""

    name: tuple[str, str]
    columns: list[str]
    forms: dict[str, Form]

    @property
    def shown(self) -> str:
        """Its name, quoted where it must be."""
        return quoted(*self.name)


class PgTarget:
    """A table of PostgreSQL."""

    def __init__(self, place: Link, params: TargetParams) -> None:
        self._place = place
        self._params = params

    async def write(self, rows: Rows, mode: str) -> Written:
        place = self._place
        with faults("target"):
            async with place.pool.session(
                place.opening, wait_seconds=place.wait_seconds
            ) as session:
                connection = session.connection
                table = await _table(connection, self._params.table)
                choice = choose(self._params.mapping, rows.columns, table.columns)
                if mode == "replace":
                    await _execute(connection, "DELETE FROM {table}", table=Identifier(*table.name))
                if mode == "upsert":
                    count = await self._merge(connection, table, choice, rows)
                else:
                    count = await _copy(connection, Identifier(*table.name), table, choice, rows)
                await connection.commit()
        return Written(rows=count, table=".".join(table.name), columns=choice.columns)

    async def _merge(self, connection: Any, table: Table, choice: Choice, rows: Rows) -> int:
        """Put rows beside the table, and then into it at once."""
        keys = self._params.keys or await _primary_key(connection, table)
        missing = [key for key in keys if key not in choice.columns]
        if missing or not keys:
            raise fault(f"'upsert' needs the columns of its key: {', '.join(missing) or 'key'}")
        stage = Identifier("arcbook_stage")
        names = {
            "table": Identifier(*table.name),
            "stage": stage,
            "columns": _names(choice.columns),
        }
        await _execute(
            connection,
            "CREATE TEMPORARY TABLE {stage} ON COMMIT DROP AS "
            "SELECT {columns} FROM {table} WITH NO DATA",
            **names,
        )
        count = await _copy(connection, stage, table, choice, rows)
        rest = [name for name in choice.columns if name not in keys]
        action = SQL("UPDATE SET ") + _assignments(rest) if rest else SQL("NOTHING")
        await _execute(
            connection,
            "INSERT INTO {table} ({columns}) SELECT {columns} FROM {stage} "
            "ON CONFLICT ({keys}) DO {action}",
            **names,
            keys=_names(keys),
            action=action,
        )
        return count


def _names(names: Sequence[str]) -> Composed:
    return SQL(", ").join(Identifier(name) for name in names)


def _assignments(names: Sequence[str]) -> Composed:
    return SQL(", ").join(SQL("{0} = excluded.{0}").format(Identifier(name)) for name in names)


async def _execute(connection: Any, text: Any, **parts: Any) -> None:
    await connection.execute(SQL(text).format(**parts))


async def _table(connection: Any, written: str | None) -> Table:
    """Return a table by its name, read as SQL reads names, or else exactly as it is written."""
    exact = quoted(*table_parts(written or ""))
    cursor = await connection.execute(_COLUMNS, (written, exact))
    found = await cursor.fetchall()
    if not found:
        message = f"the target has no table {written!r} whose columns can be written"
        raise fault(message, ErrorKind.SCHEMA, "TABLE")
    forms = {column: copied_form(category, kind) for _, _, column, category, kind in found}
    return Table(name=(found[0][0], found[0][1]), columns=list(forms), forms=forms)


async def _primary_key(connection: Any, table: Table) -> list[str]:
    cursor = await connection.execute(_KEY, (table.shown,))
    return [name for (name,) in await cursor.fetchall()]


async def _copy(connection: Any, into: Identifier, table: Table, choice: Choice, rows: Rows) -> int:
    """Copy rows into a table; return how many."""
    cursor = connection.cursor()
    text = SQL("COPY {} ({}) FROM STDIN").format(into, _names(choice.columns))
    async with cursor.copy(text) as copy:
        if isinstance(rows, CopiedRows):
            async for block in rows.copied(choice.indexes):
                await copy.write(block)
        else:
            forms = [table.forms[name] for name in choice.columns]
            pairs = list(zip(choice.indexes, forms, strict=True))
            async for batch in rows.batches():
                for row in batch:
                    await copy.write_row([form(row[index]) for index, form in pairs])
    return cast("int", cursor.rowcount)
