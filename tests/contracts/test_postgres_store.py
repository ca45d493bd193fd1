"""The store in PostgreSQL passes the suites, and keeps what only it promises."""

from __future__ import annotations

import asyncio

import pytest

from arcbook.store.postgres import PostgresStore, upgrade
from arcbook.testing.contracts.store_cluster import ClusterStoreContract

pytestmark = pytest.mark.services


@pytest.fixture(scope="session")
def _ready(postgres_server):
    """A database with our tables, to be emptied rather than made again."""
    dsn = postgres_server.create_database("store")
    asyncio.run(upgrade(dsn))
    return dsn


@pytest.fixture
def dsn(postgres_server, _ready):
    """The URL of a database with our tables, empty."""
    tables = (
        "event, execution, snapshot, timer, result, command, inbox, catalog, credential, server, "
        "worker, schedule, blob"
    )
    postgres_server.execute(
        f"set search_path = arcbook; truncate {tables} restart identity; "
        "update shard set server_id = '' where server_id <> ''",
        "store",
    )
    return _ready


@pytest.fixture
async def opened(dsn):
    """Open the store again, as another process would."""
    stores = []

    async def again():
        store = PostgresStore(dsn)
        stores.append(store)
        return await store.__aenter__()

    yield again
    for store in stores:
        await store.__aexit__()


class TestPostgresStore(ClusterStoreContract):
    pass
