"""A server does not start on a bus of the network that asks nobody who they are."""

from __future__ import annotations

import contextlib
import logging
import socket
import tempfile
from pathlib import Path

import pytest

from arcbook.bus.memory import MemoryBus
from arcbook.bus.nats import NatsAccess, NatsBus
from arcbook.bus.nats.bus import NatsBus as OpenedNats
from arcbook.compose.cluster import UnsafeBusError, check_bus
from arcbook.settings import Settings
from arcbook.testing.processes import Process
from arcbook.testing.services import bare_environment, nats_program

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

    assert "asks nobody who they are" in caplog.text
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
