"""Fixtures of the stores."""

from __future__ import annotations

import asyncio

import pytest

from arcbook.store.postgres import PostgresStore, upgrade

TABLES = (
    "event, head, execution, snapshot, timer, result, command, inbox, catalog, credential, server, "
    "worker, schedule, blob, start_key, token, change_audit, secret_audit"
)


@pytest.fixture(scope="session")
def _ready(postgres_server):
    dsn = postgres_server.create_database("store")
    asyncio.run(upgrade(dsn))
    return dsn


@pytest.fixture
def dsn(postgres_server, _ready):
    """The URL of a database with our tables, empty."""
    postgres_server.execute(
        f"set search_path = arcbook; truncate {TABLES} restart identity; "
        "update shard set server_id = '' where server_id <> ''",
        "store",
    )
    return _ready


@pytest.fixture
async def opened(dsn):
    """Open the store in PostgreSQL again, as another process would."""
    stores = []

    async def again():
        store = PostgresStore(dsn)
        stores.append(store)
        return await store.__aenter__()

    yield again
    for store in stores:
        await store.__aexit__()


@pytest.fixture
async def store(opened):
    """The store in PostgreSQL, opened once."""
    return await opened()
