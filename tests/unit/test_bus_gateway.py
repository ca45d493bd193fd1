"""The gateway gives each message to one worker, and keeps nothing between two calls."""

from __future__ import annotations

import pytest

from arcbook.bus.api import ACK_SECONDS, Message
from arcbook.bus.memory import Exchange, MemoryBus
from arcbook.clock import SystemClock
from arcbook.secrets.sessions import Root
from arcbook.server import bus_gateway
from arcbook.server.bus_gateway import GatewayFullError, HttpBusGateway
from arcbook.server.guard import GuardedBus
from arcbook.store.memory import MemoryStore
from arcbook.testing.clock import run_virtually
from arcbook.wire.protocol import GatewayListen, GatewayPull

LONG = ACK_SECONDS * 3


class Telling:
    """A bus on which some notices come at once, and whose subscriptions are counted."""

    def __init__(self, *notices: bytes) -> None:
        self.notices = notices
        self.open = 0

    def __getattr__(self, name):
        return None

    async def listen(self, subject, listener):
        self.open += 1
        for notice in self.notices:
            listener(notice)
        return self

    async def stop(self):
        self.open -= 1


async def never(body, asker):
    raise AssertionError("nobody asks")


def gateway_of(bus) -> HttpBusGateway:
    guarded = GuardedBus(bus, Root("inner"), MemoryStore(), SystemClock())
    return HttpBusGateway(guarded, "server", never)


def pulled_twice(*, arrived: bool, seconds: float) -> list[list[bytes]]:
    """Return what two pulls yield, the second one after the first has ended."""

    async def run():
        async with MemoryBus(Exchange()) as bus:
            gateway = gateway_of(bus)
            await bus.publish([Message("shared", 1, "id", b"x")])
            request = GatewayPull(pools=["shared"], limit=5, seconds=seconds)
            first = await gateway.pull(request)
            await gateway.end(first, arrived=arrived)
            second = await gateway.pull(request)
            return [[delivery.body for delivery in found] for found in (first, second)]

    return run_virtually(run())


def test_what_does_not_reach_a_worker_goes_to_the_next_at_once():
    assert pulled_twice(arrived=False, seconds=1) == [[b"x"], [b"x"]]


def test_what_has_reached_a_worker_goes_to_no_other():
    assert pulled_twice(arrived=True, seconds=LONG) == [[b"x"], []]


async def test_notices_come_together_and_nobody_listens_afterwards():
    bus = Telling(b"one", b"two")

    notices = await gateway_of(bus).notices(GatewayListen(worker_id="w", seconds=5))

    assert notices == [b"one", b"two"]
    assert bus.open == 0


async def test_notices_have_a_limit_in_number_and_in_bytes(monkeypatch):
    monkeypatch.setattr(bus_gateway, "NOTICES_MAX", 3)
    monkeypatch.setattr(bus_gateway, "NOTICES_BYTES_MAX", 8)
    request = GatewayListen(worker_id="w", seconds=5)

    assert await gateway_of(Telling(b"1", b"2", b"3", b"4")).notices(request) == [b"1", b"2", b"3"]
    assert await gateway_of(Telling(b"12345678")).notices(request) == [b"12345678"]
    assert await gateway_of(Telling(b"12345", b"6789", b"0")).notices(request) == [b"12345", b"0"]


async def test_a_place_is_free_again_after_each_call(monkeypatch):
    monkeypatch.setattr(bus_gateway, "WAITING_MAX", 1)
    gateway = gateway_of(Telling(b"x"))
    request = GatewayListen(worker_id="w", seconds=5)

    for _ in range(3):
        assert await gateway.notices(request) == [b"x"]
    monkeypatch.setattr(bus_gateway, "WAITING_MAX", 0)
    with pytest.raises(GatewayFullError):
        await gateway.notices(request)
