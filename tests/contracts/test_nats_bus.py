"""What the bus on NATS promises beyond the port: it comes back whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from itertools import count

import nats
import pytest
from nats.js.api import RetentionPolicy, StreamConfig

from arcbook.bus.api import DELIVERIES_MAX, BusError, Message, RequestTimeoutError
from arcbook.bus.nats import NatsAccess, NatsBus
from arcbook.bus.nats.access import printable, servers
from arcbook.testing.contracts.bus import ACK_SECONDS, bodies, echo, messages, pulled
from arcbook.testing.processes import Process
from arcbook.testing.services import NatsServer, free_port

pytestmark = pytest.mark.services

BASES = count(1)


@pytest.fixture
def base():
    return f"n{next(BASES)}"


@pytest.fixture
def own_server():
    """A server that a test may break."""
    with NatsServer() as server:
        yield server


def opened(server, base, **options):
    return NatsBus(server.url, base, ack_seconds=ACK_SECONDS, **options)


@contextlib.asynccontextmanager
async def bare(server):
    """A connection of the library itself."""
    client = await nats.connect(server.url)
    try:
        yield client
    finally:
        await client.close()


async def came_back(bus, seconds=10.0):
    """Publish and pull as soon as that works again."""
    until = time.monotonic() + seconds
    for number in count():
        try:
            await bus.publish([Message("shared", 1, f"again-{number}", b"again")])
            return await pulled(bus, 1)
        except BusError:
            assert time.monotonic() < until
            await asyncio.sleep(0.1)
    return []


async def test_a_stream_that_is_deleted_is_made_again(nats_server, base):
    async with opened(nats_server, base) as bus, opened(nats_server, base) as other:
        waiting = asyncio.create_task(other.pull(["shared"], 10, 15))
        await asyncio.sleep(0.1)
        async with bare(nats_server) as client:
            await client.jetstream().delete_stream(f"{base.upper()}_COMMANDS")
        await bus.publish(messages(1))

        assert bodies(await waiting) == ["0"]


async def test_a_stream_that_is_deleted_between_two_pulls_is_noticed_soon(nats_server, base):
    async with opened(nats_server, base) as bus, bare(nats_server) as client:
        await bus.publish(messages(1))
        await bus.acknowledge(await pulled(bus, 1))
        await client.jetstream().delete_stream(f"{base.upper()}_COMMANDS")
        await bus.publish(messages(2)[1:])
        started = time.monotonic()

        assert bodies(await pulled(bus, 1)) == ["1"]
        assert time.monotonic() - started < 2


async def test_a_consumer_that_is_deleted_is_made_again(nats_server, base):
    async with opened(nats_server, base) as bus, bare(nats_server) as client:
        waiting = asyncio.create_task(bus.pull(["shared"], 10, 15))
        await asyncio.sleep(0.1)
        await client.jetstream().delete_consumer(
            f"{base.upper()}_COMMANDS", f"{base}_worker_pool_shared"
        )
        await asyncio.sleep(0.1)
        await bus.publish(messages(1))

        assert bodies(await waiting) == ["0"]


async def test_a_server_that_was_killed_is_found_again(own_server, base):
    async with opened(own_server, base) as bus, opened(own_server, base) as other:
        await other.serve("claims", echo)
        heard = []
        await other.listen("cancel", heard.append)
        waiting = asyncio.create_task(other.pull(["shared"], 1, 30))
        await asyncio.sleep(0.1)
        os.kill(own_server.pid, signal.SIGKILL)
        with pytest.raises(BusError):
            await waiting
        with pytest.raises(BusError):
            await bus.publish(messages(1))
        own_server.restart()

        assert bodies(await came_back(bus)) == ["again"]
        assert bodies(await came_back(other)) == ["again"]
        assert await bus.request("claims", b"x", 5) == b"x"
        await bus.tell("cancel", b"now")
        await asyncio.sleep(0.1)
        assert heard == [b"now"]


async def test_a_request_that_was_cut_off_is_a_time_out(own_server, base):
    async def sleep(body):
        await asyncio.sleep(10)
        return body

    async with opened(own_server, base) as bus:
        served = await bus.serve("claims", sleep)
        asked = asyncio.create_task(bus.request("claims", b"x", 30))
        await asyncio.sleep(0.1)
        os.kill(own_server.pid, signal.SIGKILL)

        with pytest.raises(RequestTimeoutError, match="lost"):
            await asked
        await served.leave(0)


async def test_who_starts_second_changes_nothing(nats_server, base):
    async with bare(nats_server) as client, opened(nats_server, base) as bus:
        await bus.pull(["shared"], 1, 0)
        calls = []

        async def heard(msg):
            calls.append(msg.subject)

        for kind in ("STREAM.CREATE", "STREAM.UPDATE", "CONSUMER.CREATE", "CONSUMER.DURABLE"):
            await client.subscribe(f"$JS.API.{kind}.>", cb=heard)
        async with opened(nats_server, base) as second:
            await second.pull(["shared"], 1, 0)
        await client.flush()

        assert [call for call in calls if base.upper() in call] == []


async def test_many_may_start_at_once(nats_server, base):
    buses = [opened(nats_server, base) for _ in range(10)]
    await asyncio.gather(*(bus.__aenter__() for bus in buses))
    await asyncio.gather(*(bus.pull(["shared"], 1, 0) for bus in buses))
    await buses[0].publish(messages(1))

    assert bodies(await pulled(buses[1], 1)) == ["0"]
    for bus in buses:
        await bus.__aexit__()


async def test_a_narrow_stream_is_widened_once(nats_server, base):
    name = f"{base.upper()}_COMMANDS"
    narrow = StreamConfig(
        name=name,
        subjects=[f"{base}.commands", f"{base}.commands.shared.>"],
        retention=RetentionPolicy.LIMITS,
        max_age=60,
        max_msg_size=1000,
    )
    async with bare(nats_server) as client:
        js = client.jetstream()
        await js.add_stream(narrow)
        updates = []

        async def heard(msg):
            updates.append(msg.subject)

        await client.subscribe(f"$JS.API.STREAM.UPDATE.{name}", cb=heard)
        for _ in range(2):
            async with opened(nats_server, base) as bus:
                await bus.publish([Message("python", 1, "x", bytes(2000))])
        await client.flush()
        config = (await js.stream_info(name)).config

        assert sorted(config.subjects) == [f"{base}.commands", f"{base}.commands.>"]
        assert (config.max_age, config.retention) == (60, RetentionPolicy.LIMITS)
        assert len(updates) == 1


async def test_dead_letters_are_kept(nats_server, base):
    async with opened(nats_server, base) as bus, bare(nats_server) as client:
        await bus.publish(messages(1))
        for _ in range(DELIVERIES_MAX):
            await bus.give_back(await pulled(bus, 1))
        assert await bus.pull(["shared"], 1, 0.5) == []

        js = client.jetstream()
        letter = await js.get_last_msg(f"{base.upper()}_DEAD", f"{base}.dead.shared.7")
        assert letter.data == b"0"
        assert (await js.stream_info(f"{base.upper()}_COMMANDS")).state.messages == 0


async def test_pulling_leaves_no_subscriptions_behind(nats_server, base):
    async with opened(nats_server, base) as bus:
        await bus.pull(["a", "b"], 10, 0.05)
        before = len(bus._link.client._subs)
        for _ in range(20):
            await bus.pull(["a", "b", "c"], 10, 0.02)
            await bus.publish(messages(1))

        assert len(bus._link.client._subs) == before


async def test_what_arrived_and_was_not_pulled_is_given_back_at_the_end(nats_server, base):
    async with opened(nats_server, base) as bus:
        await bus.publish(messages(5))
        async with opened(nats_server, base) as other:
            first = await other.pull(["shared"], 5, 5)
            await other.acknowledge(first)
        rest = 5 - len(first)
        found = await pulled(bus, rest, seconds=ACK_SECONDS / 2) if rest else []

        assert len(found) == rest


@pytest.mark.parametrize("pool", ["", "a.b", "a b", "*", ">", "x" * 65])
async def test_a_pool_that_cannot_be_part_of_a_subject_is_refused(nats_server, base, pool):
    async with opened(nats_server, base) as bus:
        with pytest.raises(BusError, match="the pool name"):
            await bus.publish([Message(pool, 1, "x", b"")])


async def test_nobody_at_the_address_is_said_in_time():
    started = time.monotonic()

    url = f"nats://me:s3cret@127.0.0.1:{free_port()}"
    with pytest.raises(BusError, match="cannot be reached") as raised:
        await NatsBus(url, start_seconds=1).__aenter__()
    assert time.monotonic() - started < 3
    assert "s3cret" not in str(raised.value)


async def test_refused_credentials_are_said_at_once(base):
    with NatsServer(user="me", password="right") as server:
        for access in (NatsAccess(), NatsAccess(user="me", password="s3cret")):
            started = time.monotonic()
            with pytest.raises(BusError, match="Authorization") as raised:
                await NatsBus(server.url, base, access).__aenter__()
            assert time.monotonic() - started < 2
            assert "s3cret" not in str(raised.value)
        access = NatsAccess(user="me", password="right")
        async with NatsBus(server.url, base, access) as bus:
            await bus.publish(messages(1))


async def test_malformed_credentials_are_said_at_once(nats_server, base, tmp_path):
    (tmp_path / "creds").write_text("nonsense")
    for access in (
        NatsAccess(nkey_seed="SUs3cret"),
        NatsAccess(creds=str(tmp_path / "creds")),
        NatsAccess(creds=str(tmp_path / "none")),
        NatsAccess(tls_ca=str(tmp_path / "none")),
    ):
        started = time.monotonic()
        with pytest.raises(BusError) as raised:
            await NatsBus(nats_server.url, base, access).__aenter__()
        assert time.monotonic() - started < 2
        assert "s3cret" not in str(raised.value)


async def test_a_server_without_jetstream_is_refused(base):
    port = free_port()
    process = Process(["/usr/sbin/nats-server", "-a", "127.0.0.1", "-p", str(port)], "is ready")
    try:
        process.wait_ready()
        with pytest.raises(BusError, match="JetStream disabled"):
            await NatsBus(f"nats://127.0.0.1:{port}", base).__aenter__()
    finally:
        process.stop()


async def test_a_server_without_tls_is_refused_if_tls_is_asked_for(nats_server, base):
    url = nats_server.url.replace("nats:", "tls:")

    with pytest.raises(BusError, match="offers no TLS"):
        await NatsBus(url, base).__aenter__()


def test_addresses_are_shown_without_their_secrets():
    urls = servers("tls://me:s3cret@a:1, b:2")

    assert printable(urls) == "tls://a:1,nats://b:2"
    with pytest.raises(BusError) as raised:
        servers("nats://me:s3/cret@host")
    assert "cret" not in str(raised.value)
    assert "x" not in repr(NatsAccess(password="x", user="x")).replace("NatsAccess", "")
