"""A server does not start on a remote bus or database that accepts anyone."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import tempfile
from pathlib import Path

import asyncpg
import msgspec
import pytest

from arcbook.bus.memory import MemoryBus
from arcbook.bus.nats import NatsAccess, NatsBus
from arcbook.bus.nats.bus import NatsBus as OpenedNats
from arcbook.compose.admission import (
    UnsafeBusError,
    UnsafeDatabaseError,
    check_bus,
    check_database,
)
from arcbook.settings import Settings
from arcbook.store.api import StoreError
from arcbook.testing.processes import Process
from arcbook.testing.services import PostgresServer, bare_environment, nats_program

HOME = Path("/nowhere")


def own_address() -> str:
    """Return an address of this machine that others could reach."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no network")
        return str(probe.getsockname()[0])


@contextlib.contextmanager
def listening_everywhere(*arguments: str):
    """Yield the port of a NATS that listens for everybody."""
    folder = tempfile.mkdtemp(prefix="arcbook-nats-")
    command = [nats_program(), "-js", "-sd", folder, "-a", "0.0.0.0", "-p", "-1", *arguments]
    process = Process(command, "Server is ready", env=bare_environment())
    process.wait_ready()
    try:
        yield int(process.find(r"Listening for client connections on 0\.0\.0\.0:(\d+)"))
    finally:
        process.stop()


class Opened(OpenedNats):
    """A connection to a NATS that asks nobody."""

    is_open = True


def given(url: str, *, allowed: bool = False) -> Settings:
    return Settings(home=HOME, nats_url=url, nats_open=allowed)


@pytest.mark.parametrize(
    "url",
    [
        "nats://nats.internal:4222",
        "nats://10.0.0.7:4222",
        "10.0.0.7",
        "nats://0.0.0.0:4222",
        "nats://127.0.0.1:4222,nats://10.0.0.7:4222",
        "nats://localhost.evil.example:4222",
        "tls://nats.internal:4222",
        "nats://[2001:db8::1]:4222",
        "nats://me:secret@nats.internal:4222",
    ],
)
def test_one_elsewhere_is_refused_or_warned_of(url, caplog):
    bus = Opened("nats://127.0.0.1:1")

    with pytest.raises(UnsafeBusError, match="ARCBOOK_NATS_OPEN") as caught:
        check_bus(bus, given(url))
    with caplog.at_level(logging.WARNING):
        check_bus(bus, given(url, allowed=True))

    assert "accepts connections without credentials" in caplog.text
    assert "secret" not in caplog.text + str(caught.value)


@pytest.mark.parametrize(
    "url", ["nats://127.0.0.1:4222", "localhost", "nats://[::1]:4222", "nats://127.8.8.8"]
)
def test_one_on_loopback_is_taken(url, caplog):
    check_bus(Opened("nats://127.0.0.1:1"), given(url))
    check_bus(MemoryBus(), given("nats://10.0.0.7"))

    assert not caplog.text


@pytest.mark.services
async def test_a_real_one_is_known_by_what_it_says_not_by_what_we_would_show():
    address = own_address()
    with listening_everywhere() as port:
        url = f"nats://{address}:{port}"
        # Credentials of ours change nothing where nobody asks for them.
        async with NatsBus(url, "a", NatsAccess(user="me", password="word")) as bus:
            with pytest.raises(UnsafeBusError):
                check_bus(bus, given(url))
    with listening_everywhere("--user", "me", "--pass", "word") as port:
        url = f"nats://{address}:{port}"
        async with NatsBus(url, "a", NatsAccess(user="me", password="word")) as bus:
            check_bus(bus, given(url))


@pytest.fixture(scope="module")
def remote_postgres():
    """A PostgreSQL for everybody, and a function that sets how it identifies them."""
    with PostgresServer(settings={"listen_addresses": "*"}) as server:

        async def identify_by(method: str) -> Settings:
            rules = (
                f"local all all trust\nhost all all 127.0.0.1/32 trust\nhost all all all {method}\n"
            )
            (server.folder / "data" / "pg_hba.conf").write_text(rules)
            connection = await asyncpg.connect(server.dsn())
            await connection.execute("select pg_reload_conf()")
            await connection.close()
            return Settings(
                home=HOME, dsn=server.dsn().replace("127.0.0.1", own_address()), postgres_open=False
            )

        yield identify_by


async def comes_to(settings: Settings, words: str) -> None:
    """Wait until the server has read its rules again, and the check says what it should."""
    async with asyncio.timeout(10):
        verdict = None
        while verdict is None or words not in verdict or bool(verdict) != bool(words):
            try:
                await check_database(settings)
                verdict = ""
            except (UnsafeDatabaseError, StoreError) as error:
                verdict = str(error)


@pytest.mark.services
async def test_a_remote_database_that_accepts_any_password_is_refused_or_warned_of(
    remote_postgres, caplog
):
    settings = await remote_postgres("trust")
    await comes_to(settings, "ARCBOOK_POSTGRES_OPEN")

    with caplog.at_level(logging.WARNING):
        await check_database(msgspec.structs.replace(settings, postgres_open=True))

    assert "accepts any password" in caplog.text


@pytest.mark.services
@pytest.mark.parametrize("method", ["scram-sha-256", "md5", "password", "reject"])
async def test_a_database_that_identifies_its_callers_is_taken(remote_postgres, method, caplog):
    settings = await remote_postgres(method)
    await comes_to(settings, "")

    assert not caplog.text


@pytest.mark.parametrize("host", ["127.0.0.1:1", "localhost:1", "[::1]:1", "127.8.8.8:1"])
async def test_a_database_on_loopback_is_not_asked(host):
    await check_database(Settings(home=HOME, dsn=f"postgresql://me:secret@{host}/arcbook"))


async def test_a_database_that_does_not_answer_is_named_without_its_password():
    settings = Settings(home=HOME, dsn=f"postgresql://me:secret@{own_address()}:1/arcbook")
    with pytest.raises(StoreError, match="is it running") as caught:
        await check_database(settings)

    assert "secret" not in str(caught.value)
