"""Marks of appends that were done, in the target itself, so that each is done once.

A mark is written in the transaction that appends the rows: either both are there or
neither. Whoever comes with the same idempotency key finds it, and appends nothing.
"""

from __future__ import annotations

from typing import Any, Final

import psycopg
from psycopg.sql import SQL, Identifier

from arcbook.outcome import ErrorKind
from arcbook.tools.transfer.ends import fault

TABLE: Final = "arcbook_transfer"
"""The table of marks, in the schema of the table that is written."""

DAYS: Final = 30
"""How long a mark is kept: longer than any execution waits before it goes on."""

_CREATE: Final = """
CREATE TABLE IF NOT EXISTS {table} (
  key text PRIMARY KEY, row_count bigint NOT NULL, done_at timestamptz NOT NULL DEFAULT now()
)
"""


async def claimed(connection: Any, schema: str, key: str) -> int | None:
    """Mark an append as begun; return how many rows it had if it was done before.

    A second call with the same key waits here until the first has committed or failed.
    """
    table = Identifier(schema, TABLE)
    await _create_table(connection, schema, table)
    insert = "INSERT INTO {table} (key, row_count) VALUES (%s, 0) ON CONFLICT DO NOTHING"
    cursor = await connection.execute(SQL(insert).format(table=table), (key,))
    if cursor.rowcount:
        return None
    cursor = await connection.execute(
        SQL("SELECT row_count FROM {table} WHERE key = %s").format(table=table), (key,)
    )
    return int((await cursor.fetchone())[0])


async def finished(connection: Any, schema: str, key: str, rows: int) -> None:
    """Write how many rows an append had, and remove old marks."""
    table = Identifier(schema, TABLE)
    update = SQL("UPDATE {table} SET row_count = %s WHERE key = %s").format(table=table)
    await connection.execute(update, (rows, key))
    remove = "DELETE FROM {table} WHERE done_at < now() - make_interval(days => %s)"
    await connection.execute(SQL(remove).format(table=table), (DAYS,))


async def _create_table(connection: Any, schema: str, table: Identifier) -> None:
    """Make the table of marks unless it is there; two at once take turns."""
    name = f'"{schema.replace(chr(34), chr(34) * 2)}".{TABLE}'
    cursor = await connection.execute("SELECT to_regclass(%s) IS NULL", (name,))
    if not (await cursor.fetchone())[0]:
        return
    try:
        await connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (name,))
        await connection.execute(SQL(_CREATE).format(table=table))
    except psycopg.errors.InsufficientPrivilege:
        message = (
            f"'append' keeps a mark of what it did in {name}, which is not there and cannot be "
            f"made by this user: make it as 'CREATE TABLE {name} (key text PRIMARY KEY, row_count "
            "bigint NOT NULL, done_at timestamptz NOT NULL DEFAULT now())', or write "
            "'exactly_once: false'"
        )
        raise fault(message, ErrorKind.AUTH, "MARKS") from None
