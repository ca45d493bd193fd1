"""What the bus on PostgreSQL promises beyond the port: it comes back whatever happens."""

from __future__ import annotations

import asyncio
import time

import pytest

from arcbook.bus.api import BusError, Message, NobodyError
from arcbook.bus.postgres import PostgresBus
from arcbook.testing.contracts.bus import ACK_SECONDS, bodies, echo, messages, pulled
from arcbook.testing.services import free_port

pytestmark = pytest.mark.services


@pytest.fixture
def open_bus(postgres_server, database):
    return lambda: PostgresBus(postgres_server.dsn(database), ack_seconds=ACK_SECONDS)


@pytest.fixture
def query(postgres_server, database):
    return lambda text: postgres_server.execute(text, database)


def kill_all(query):
    query(
        "select pg_terminate_backend(pid, 2000) from pg_stat_activity "
        "where datname = current_database() and application_name = 'arcbook bus'"
    )


async def test_connections_that_are_killed_come_back(open_bus, query):
    async with open_bus() as bus, open_bus() as other:
        await other.serve("claims", echo)
        heard = []
        await other.listen("cancel.*", heard.append)
        waiting = asyncio.create_task(other.pull(["shared"], 10, 20))
        await asyncio.sleep(0.2)
        await asyncio.to_thread(kill_all, query)

        await bus.publish(messages(1))
        found = await waiting
        assert bodies(found) == ["0"]
        await bus.acknowledge(found)
        await asyncio.sleep(1)
        assert await bus.request("claims", b"x", 5) == b"x"
        await bus.tell("cancel.1", b"now")
        await asyncio.sleep(0.1)
        assert heard == [b"now"]
        waiting = asyncio.create_task(other.pull(["shared"], 10, 20))
        await asyncio.sleep(0.2)
        started = time.monotonic()
        await bus.publish(messages(2)[1:])
        assert bodies(await waiting) == ["1"]
        assert time.monotonic() - started < 0.5


async def test_who_was_killed_serves_no_more(open_bus, query):
    async with open_bus() as bus:
        other = await open_bus().__aenter__()
        await other.serve("claims", echo)
        await other.database.stop()

        with pytest.raises(NobodyError):
            await bus.request("claims", b"x", 5)
        await other.__aexit__()


async def test_tables_that_are_wiped_are_made_again(open_bus, query):
    async with open_bus() as bus:
        await bus.serve("claims", echo)
        await bus.publish(messages(2))
        await asyncio.to_thread(query, "drop schema arcbook_bus cascade")

        await bus.publish(messages(1))
        assert bodies(await pulled(bus, 1)) == ["0"]
        assert await bus.request("claims", b"x", 5) == b"x"


async def test_many_start_at_once_and_the_second_changes_nothing(open_bus, query):
    buses = [open_bus() for _ in range(5)]
    await asyncio.gather(*(bus.__aenter__() for bus in buses))
    before = query("select oid from pg_class where relname = 'message'")
    async with open_bus():
        assert query("select oid from pg_class where relname = 'message'") == before
    for bus in buses:
        await bus.__aexit__()


async def test_tables_of_a_newer_version_are_refused(open_bus, query):
    async with open_bus():
        await asyncio.to_thread(query, "update arcbook_bus.version set version = 99")

    with pytest.raises(BusError, match="newer Arcbook"):
        await open_bus().__aenter__()


async def test_dead_letters_are_kept(open_bus, query):
    async with open_bus() as bus:
        await bus.publish([Message("shared", 7, "x", b"dead")])
        for _ in range(10):
            await bus.give_back(await pulled(bus, 1))
        assert await bus.pull(["shared"], 1, 0.2) == []

        assert query("select pool, execution_id, body from arcbook_bus.dead") == [
            ("shared", 7, b"dead")
        ]


async def test_a_lost_notification_delays_and_loses_nothing(open_bus, query, monkeypatch):
    monkeypatch.setattr("arcbook.bus.postgres.bus.POLL_SECONDS", 0.3)
    async with open_bus() as bus:
        waiting = asyncio.create_task(bus.pull(["shared"], 1, 5))
        await asyncio.sleep(0.1)
        insert = (
            "insert into arcbook_bus.message (pool, execution_id, message_id, body, visible_at) "
            "values ('shared', 1, 'x', 'silent', clock_timestamp())"
        )
        await asyncio.to_thread(query, insert)

        assert bodies(await waiting) == ["silent"]


async def test_who_cannot_connect_is_told_in_time_and_without_the_password(postgres_server):
    for dsn in (
        f"postgresql://me:s3cret@127.0.0.1:{free_port()}/x",
        postgres_server.dsn().replace(postgres_server.password, "s3cret"),
        "postgresql://me:s3/cret@host",
        "s3cret",
    ):
        started = time.monotonic()
        with pytest.raises(BusError) as raised:
            await PostgresBus(dsn).__aenter__()
        assert "cret" not in str(raised.value)
        assert time.monotonic() - started < 12


async def test_a_letter_that_nobody_can_read_is_left_out_and_the_next_one_is_read(
    open_bus, query, caplog
):
    async with open_bus() as bus, open_bus() as other:
        await other.serve("claims", echo)
        query(f"notify arcbook_bus_{other._name}, 'nothing of ours'")
        query(f"notify arcbook_bus_{other._name}, 'ask claims x 1 = %%%%'")

        assert await bus.request("claims", b"x", 5) == b"x"
        assert other.service.is_running


async def test_a_bus_whose_reading_ends_says_so_to_whoever_uses_it(open_bus, monkeypatch):
    async def broken(_self, _payload):
        raise RuntimeError("nobody thought of this")

    async with open_bus() as bus, open_bus() as other:
        await other.serve("claims", echo)
        monkeypatch.setattr(PostgresBus, "_open", broken)
        with pytest.raises(BusError):
            await bus.request("claims", b"x", 0.5)
        async with asyncio.timeout(5):
            await other.service.failed.wait()

        assert "nobody thought of this" in str(other.service.cause)
        with pytest.raises(BusError):
            await other.request("claims", b"x", 0.5)
