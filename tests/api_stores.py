"""The API's tests run on every store that servers run on."""

from __future__ import annotations

import asyncio
import contextlib
import itertools

import pytest

from api_cluster import Stores
from arcbook.store.postgres import PostgresStore, upgrade
from arcbook.store.sqlite import SqliteStore

API_STORES = ("sqlite", "postgres")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what puts a server together for the API on each store."""
    name = metafunc.module.__name__.rpartition(".")[2]
    is_of_api = name.startswith("test_api") or hasattr(metafunc.module, "ON_EACH_STORE")
    if is_of_api and {"tmp_path", "tmp_path_factory"} & set(metafunc.fixturenames):
        metafunc.parametrize("api_store", API_STORES, indirect=True, scope="module")


@pytest.fixture(scope="session")
def api_template(postgres_server):
    """A database with our tables, of which others are copies."""
    asyncio.run(upgrade(postgres_server.create_database("api_template")))
    return "api_template"


@pytest.fixture(scope="module", autouse=True)
def api_store(request, tmp_path_factory):
    """The kind of store that clusters of the module stand on; each cluster has one of its own."""
    if not hasattr(request, "param"):
        yield "memory"
        return
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
