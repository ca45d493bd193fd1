"""Making and upgrading the tables: numbered files, each applied once."""

from __future__ import annotations

from importlib import resources
from typing import Any, Final, NamedTuple

from arcbook.store.api import StoreError
from arcbook.store.postgres.connect import SCHEMA, Address

MONTHS_AHEAD: Final = 3
"""Months beyond the present one for which tables of events are made."""

SERVER_VERSION_MIN: Final = 15
"""The oldest PostgreSQL that we are tested with."""

_LOCK: Final = 4702111234474983744
"""Number of the advisory lock that an upgrade holds."""


class SchemaState(NamedTuple):
    """Versions of the schema: the one that is there (0 if none) and the one that is needed."""

    found: int
    needed: int


def migrations() -> list[tuple[int, str]]:
    """Return the migrations: number and script."""
    folder = resources.files("arcbook.store.postgres").joinpath("migrations")
    files = sorted((f.name, f) for f in folder.iterdir() if f.name.endswith(".sql"))
    return [(int(name.partition("_")[0]), file.read_text("utf-8")) for name, file in files]


async def upgrade(dsn: str) -> SchemaState:
    """Apply what is missing, and return what was there before.

    Raises:
        StoreError: the database cannot be reached, or is of a newer Arcbook.
    """
    address = Address(dsn)
    connection = await address.connect()
    try:
        with address.translated():
            await connection.execute("set statement_timeout = 0; set lock_timeout = 0")
            # Whoever comes second waits, and then finds nothing to do.
            await connection.execute(f"select pg_advisory_lock({_LOCK})", timeout=None)
            return await _upgrade(connection)
    finally:
        connection.terminate()


async def _upgrade(connection: Any) -> SchemaState:
    await connection.execute(
        f"create schema if not exists {SCHEMA}; "
        "create table if not exists schema_version "
        "(version integer primary key, applied_at timestamptz not null default now())"
    )
    state = await state_of(connection)
    refuse_newer(state)
    for number, script in migrations():
        if number > state.found:
            async with connection.transaction():
                await connection.execute(script, timeout=None)
                await connection.execute("insert into schema_version values ($1)", number)
    await connection.execute("select ensure_partitions(clock_timestamp(), $1)", MONTHS_AHEAD)
    return state


async def check(dsn: str) -> SchemaState:
    """Return which version of the schema a database has, and which one is needed.

    Raises:
        StoreError: the database cannot be reached.
    """
    address = Address(dsn)
    connection = await address.connect()
    try:
        with address.translated():
            return await state_of(connection)
    finally:
        connection.terminate()


async def state_of(connection: Any) -> SchemaState:
    """Return the versions, by a connection that is open.

    Raises:
        StoreError: PostgreSQL itself is too old.
    """
    server = connection.get_server_version()
    if server.major < SERVER_VERSION_MIN:
        raise StoreError(f"PostgreSQL {server.major} is too old: {SERVER_VERSION_MIN} is needed")
    needed = migrations()[-1][0]
    if await connection.fetchval("select to_regclass($1)", f"{SCHEMA}.schema_version") is None:
        return SchemaState(0, needed)
    found = await connection.fetchval("select coalesce(max(version), 0) from schema_version")
    return SchemaState(found, needed)


def refuse_newer(state: SchemaState) -> None:
    """Refuse a schema that this version does not know.

    Raises:
        StoreError: it is of a newer Arcbook.
    """
    if state.found > state.needed:
        raise StoreError(
            f"the database was upgraded by a newer Arcbook (schema {state.found}, this one knows "
            f"{state.needed}): use that version"
        )


def refuse_unfit(state: SchemaState) -> None:
    """Refuse any schema but the one that is needed.

    Raises:
        StoreError: it is too old or too new; the message says what to do.
    """
    refuse_newer(state)
    if state.found < state.needed:
        raise StoreError(
            f"the database has schema {state.found}, and {state.needed} is needed; "
            "run: arcbook db upgrade"
        )
