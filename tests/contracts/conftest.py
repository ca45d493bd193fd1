"""Fixtures of the stores."""

from __future__ import annotations

import asyncio
import contextlib
import itertools

import pytest

from api_cluster import Stores
from arcbook.store.postgres import PostgresStore, upgrade
from arcbook.store.sqlite import SqliteStore

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


# -- the API, on every store that servers run on -----------------------------------------------

API_STORES = ("sqlite", "postgres")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what puts a server together for the API on each store."""
    is_of_api = metafunc.module.__name__.rpartition(".")[2].startswith("test_api")
    if is_of_api and {"tmp_path", "tmp_path_factory"} & set(metafunc.fixturenames):
        metafunc.fixturenames.insert(0, "api_store")
        metafunc.parametrize("api_store", API_STORES, indirect=True, scope="module")


@pytest.fixture(scope="session")
def api_template(postgres_server):
    """A database with our tables, of which others are copies."""
    asyncio.run(upgrade(postgres_server.create_database("api_template")))
    return "api_template"


@pytest.fixture(scope="module")
def api_store(request, tmp_path_factory):
    """The kind of store that clusters of the module stand on; each cluster has one of its own."""
    is_postgres = request.param == "postgres"
    opens = _in_postgres(request) if is_postgres else _in_file(tmp_path_factory)
    before, Stores.opens = Stores.opens, opens
    yield request.param
    Stores.opens = before


def _in_file(tmp_path_factory):
    return lambda: SqliteStore(tmp_path_factory.mktemp("store") / "store.db")


def _in_postgres(request):
    server = request.getfixturevalue("postgres_server")
    template = request.getfixturevalue("api_template")
    numbers = itertools.count()

    @contextlib.asynccontextmanager
    async def opens():
        name = f"api_{request.module.__name__.rpartition('.')[2]}_{next(numbers)}"
        server.execute(f'create database "{name}" template "{template}"')
        try:
            async with PostgresStore(server.dsn(name)) as store:
                yield store
        finally:
            server.drop_database(name)

    return opens
