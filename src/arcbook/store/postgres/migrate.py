"""Create and upgrade the tables: numbered scripts, each applied once."""

from __future__ import annotations

from importlib import resources
from typing import Any, Final, NamedTuple

from arcbook.store.api import StoreError
from arcbook.store.postgres.connect import SCHEMA, Address

MONTHS_AHEAD: Final = 3
"""Number of months ahead for which event partitions are created."""

SERVER_VERSION_MIN: Final = 15
"""The oldest supported version of PostgreSQL."""

_LOCK: Final = 4702111234474983744
"""Number of the advisory lock that an upgrade holds."""


class SchemaState(NamedTuple):
    """The version of the database's schema (0 if it has none), and the required one."""

    current: int
    needed: int


def migrations() -> list[tuple[int, str]]:
    """Return the migrations, each with its number and script."""
    folder = resources.files("arcbook.store.postgres").joinpath("migrations")
    files = sorted((f.name, f) for f in folder.iterdir() if f.name.endswith(".sql"))
    return [(int(name.partition("_")[0]), file.read_text("utf-8")) for name, file in files]


async def upgrade(dsn: str) -> SchemaState:
    """Apply the missing migrations; return the state before.

    Raises:
        StoreError: the database cannot be reached, or a newer Arcbook upgraded it.
    """
    address = Address(dsn)
    connection = await address.connect()
    try:
        with address.translated():
            await connection.execute("set statement_timeout = 0; set lock_timeout = 0")
            # A concurrent upgrade waits here, and then has nothing left to apply.
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
        if number > state.current:
            async with connection.transaction():
                await connection.execute(script, timeout=None)
                await connection.execute("insert into schema_version values ($1)", number)
    await connection.execute("select ensure_partitions(clock_timestamp(), $1)", MONTHS_AHEAD)
    return state


async def check(dsn: str) -> SchemaState:
    """Return the schema version of a database, and the required one.

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
    """Return the schema versions, using an open connection.

    Raises:
        StoreError: PostgreSQL is too old.
    """
    server = connection.get_server_version()
    if server.major < SERVER_VERSION_MIN:
        raise StoreError(f"PostgreSQL {server.major} is too old: use {SERVER_VERSION_MIN} or newer")
    needed = migrations()[-1][0]
    if await connection.fetchval("select to_regclass($1)", f"{SCHEMA}.schema_version") is None:
        return SchemaState(0, needed)
    current = await connection.fetchval("select coalesce(max(version), 0) from schema_version")
    return SchemaState(current, needed)


def refuse_newer(state: SchemaState) -> None:
    """Refuse a schema that is newer than this version of Arcbook.

    Raises:
        StoreError: the schema is newer.
    """
    if state.current > state.needed:
        raise StoreError(
            f"the database was upgraded by a newer Arcbook (schema {state.current}, this one knows "
            f"{state.needed}): use that version"
        )


def refuse_unfit(state: SchemaState) -> None:
    """Refuse any schema other than the required one.

    Raises:
        StoreError: the schema is older or newer; the message says what to do.
    """
    refuse_newer(state)
    if state.current < state.needed:
        raise StoreError(
            f"the database has schema {state.current}, but this version needs {state.needed}; "
            "run: arcbook db upgrade"
        )
