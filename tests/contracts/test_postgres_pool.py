"""What the connections promise that calls of the postgres tool share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.sql import SQL

from arcbook.egress import Egress, EgressError
from arcbook.tools.postgres import pool as postgres_pool
from arcbook.tools.postgres.pool import Pool, Session, pinned

pytestmark = pytest.mark.services

OPENING = SQL("SELECT 1")


@pytest.fixture
async def pool(postgres_server, database) -> AsyncIterator[Pool]:
    fields = postgres_server.fields(database)
    made = Pool(make_conninfo(dbname=fields.pop("database"), **fields), Egress())
    yield made
    made.close()


def pid(session: Session) -> int:
    return session.connection.info.backend_pid


async def test_a_transaction_that_a_call_leaves_open_does_not_cost_its_connection(pool):
    async with pool.session(SQL("BEGIN")) as session:
        first = pid(session)
    async with pool.session(OPENING) as session:
        second = pid(session)

    assert first == second


async def test_a_pool_is_empty_when_nothing_uses_it_and_nothing_is_kept(pool):
    async with pool.session(OPENING):
        pool.close()
        assert not pool.is_empty
    assert not pool.is_empty
    pool.close()

    assert pool.is_empty


async def test_every_idle_connection_is_closed_whenever_it_was_laid_down(pool, monkeypatch):
    monkeypatch.setattr(postgres_pool, "IDLE_SECONDS", 0.1)
    async with pool.session(OPENING) as late:
        async with pool.session(OPENING):
            pass
        await late.connection.execute("SELECT pg_sleep(0.05)")

    async with asyncio.timeout(10):
        while not pool.is_empty:
            await asyncio.sleep(0.01)


async def test_each_host_is_reached_at_its_own_port():
    parts = conninfo_to_dict(await pinned("host=127.0.0.1,127.0.0.2 port=5001,5002", Egress()))

    assert parts["hostaddr"] == "127.0.0.1,127.0.0.2"
    assert parts["port"] == "5001,5002"


async def test_an_address_that_stands_beside_its_name_is_looked_at():
    with pytest.raises(EgressError):
        await pinned("host=some.example hostaddr=169.254.169.254", Egress())
