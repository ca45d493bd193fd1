"""Every bus passes its port's suite."""

from __future__ import annotations

from itertools import count

import pytest

from arcbook.bus.api import BusError
from arcbook.bus.memory import Exchange, MemoryBus
from arcbook.bus.nats import NatsBus
from arcbook.bus.postgres import PostgresBus
from arcbook.testing.contracts.bus import ACK_SECONDS, BusContract, bodies, messages

BASES = count(1)


class TestMemoryBus(BusContract):
    @pytest.fixture
    async def exchange(self):
        return Exchange(ACK_SECONDS)

    @pytest.fixture
    async def opened(self, exchange):
        buses = []

        async def again():
            bus = await MemoryBus(exchange).__aenter__()
            buses.append(bus)
            return bus

        yield again
        for bus in buses:
            await bus.__aexit__()

    async def test_an_exchange_that_is_cut_off_says_so(self, bus, exchange):
        exchange.reachable = False

        with pytest.raises(BusError, match="cannot be reached"):
            await bus.publish(messages(1))

    async def test_a_wiped_exchange_has_forgotten_even_the_ids(self, bus, exchange):
        await bus.publish(messages(2))
        exchange.wipe()
        await bus.publish(messages(1))

        assert bodies(await bus.pull(["shared"], 10, 0.1)) == ["0"]


class TestNatsBus(BusContract):
    @pytest.fixture
    def server(self, nats_server):
        return nats_server

    @pytest.fixture
    async def opened(self, server):
        buses = []
        base = f"t{next(BASES)}"

        async def again(**options):
            options = {"base": base, "ack_seconds": ACK_SECONDS, **options}
            bus = await NatsBus(server.url, **options).__aenter__()
            buses.append(bus)
            return bus

        yield again
        for bus in buses:
            await bus.__aexit__()


class TestPostgresBus(BusContract):
    @pytest.fixture
    async def opened(self, postgres_server, database):
        buses = []

        async def again():
            dsn = postgres_server.dsn(database)
            bus = await PostgresBus(dsn, ack_seconds=ACK_SECONDS).__aenter__()
            buses.append(bus)
            return bus

        yield again
        for bus in buses:
            await bus.__aexit__()
