"""Rows for PostgreSQL, by COPY and in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

from psycopg.sql import SQL, Composed, Identifier

from arcbook.tools.transfer.ends import (
    Choice,
    CopiedRows,
    Rows,
    TargetParams,
    Written,
    choose,
    fault,
)
from arcbook.tools.transfer.marks import claimed, finished
from arcbook.tools.transfer.pg import PgLink, Table, faults, table_of

_KEY: Final = """
SELECT a.attname FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)
WHERE i.indisprimary AND i.indrelid = to_regclass(%s)
"""


class PgTarget:
    """A table of PostgreSQL."""

    def __init__(self, place: PgLink, params: TargetParams, key: str = "") -> None:
        self._place = place
        self._params = params
        #: Names the append, so that it is done once; nothing if it may be done again.
        self._key = key

    async def write(self, rows: Rows, mode: str) -> Written:
        place = self._place
        with faults("target"):
            async with place.pool.session(
                place.opening, wait_seconds=place.wait_seconds
            ) as session:
                connection = session.connection
                table = await table_of(connection, self._params.table)
                choice = choose(self._params.mapping, rows.columns, table.columns)
                is_marked = mode == "append" and self._key
                before = await claimed(connection, table.name[0], self._key) if is_marked else None
                if before is not None:
                    return _written(before, table, choice, was_done=True)
                if mode == "replace":
                    await _execute(connection, "DELETE FROM {table}", table=Identifier(*table.name))
                if mode == "upsert":
                    count = await self._merge(connection, table, choice, rows)
                else:
                    count = await _copy(connection, Identifier(*table.name), table, choice, rows)
                if is_marked:
                    await finished(connection, table.name[0], self._key, count)
                await connection.commit()
        return _written(count, table, choice)

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


def _written(count: int, table: Table, choice: Choice, *, was_done: bool = False) -> Written:
    name = ".".join(table.name)
    return Written(rows=count, table=name, columns=choice.columns, was_done=was_done)


def _names(names: Sequence[str]) -> Composed:
    return SQL(", ").join(Identifier(name) for name in names)


def _assignments(names: Sequence[str]) -> Composed:
    return SQL(", ").join(SQL("{0} = excluded.{0}").format(Identifier(name)) for name in names)


async def _execute(connection: Any, text: Any, **parts: Any) -> None:
    await connection.execute(SQL(text).format(**parts))


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
