"""Run many short executions in one server and one worker, and compare what is there."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final, NamedTuple

from arcbook.blobs.postgres import PostgresBlobs
from arcbook.bus.nats.bus import NatsBus
from arcbook.engine.state import State
from arcbook.owner.drive import LostOwnershipError
from arcbook.owner.plans import Planned
from arcbook.server.core import Server
from arcbook.store.api import LostServerError
from arcbook.store.postgres import PostgresStore, upgrade
from arcbook.testing.cluster import Cluster
from arcbook.testing.services import NatsServer, PostgresServer
from lifetimes.measures import LIMITS, NOISE, Measures, measured
from lifetimes.playbooks import CANCELLED, PLAYBOOKS, STATUSES

AT_ONCE: Final = 24
"""Executions that go on side by side."""

SETTLE_SECONDS: Final = 60.0
"""Time in which nothing must be out any more once the last execution has ended."""

ENDS_SECONDS: Final = 120.0
"""Time in which each execution must end."""


class Report(NamedTuple):
    """What came of a run."""

    executions: int
    seconds: float
    first: Measures
    last: Measures
    growth: Measures

    @property
    def grown(self) -> list[str]:
        """What grew by more than it may."""
        thousands = self.executions / 1000
        facts = zip(Measures._fields, self.growth, LIMITS, NOISE, strict=True)
        return [
            f"{name}: {by:+.2f} for 1,000 executions"
            for name, by, most, noise in facts
            if by > most + noise / thousands
        ]


class Executions:
    """Starts executions of all kinds in turn, and waits for their ends."""

    def __init__(self, server: Server, planned: dict[str, Planned]) -> None:
        self._server = server
        self._planned = planned
        self._ends: dict[int, asyncio.Future[str]] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)
        server.on_events(self._told)

    def _told(self, execution_id: int, events: list[Any], state: State) -> None:
        ended = self._ends.get(execution_id)
        if ended is not None and state.status.is_terminal and not ended.done():
            ended.set_result(str(state.status))

    async def run(self, count: int) -> None:
        """Run so many, and wait for all of them."""
        async with asyncio.TaskGroup() as group:
            for name in islice(cycle(self._planned), count):
                await self._turns.acquire()
                group.create_task(self._one(name))

    async def _start(self, name: str) -> int:
        """Start an execution, again if the server was held up and has to take its shards anew."""
        async with asyncio.timeout(ENDS_SECONDS):
            while True:
                try:
                    return await self._server.start(self._planned[name], {})
                except (LostOwnershipError, LostServerError):
                    await asyncio.sleep(0.2)

    async def _one(self, name: str) -> None:
        server = self._server
        try:
            execution_id = await self._start(name)
            self._ends[execution_id] = ended = asyncio.get_running_loop().create_future()
            row = await server.store.execution(execution_id)
            if row is not None and row.ended_at:
                ended.cancel()
                status = row.status
            else:
                if name == CANCELLED:
                    await server.cancel(execution_id, "enough")
                async with asyncio.timeout(ENDS_SECONDS):
                    status = await ended
            del self._ends[execution_id]
        finally:
            self._turns.release()
        wanted = STATUSES.get(name, "COMPLETED")
        assert status == wanted, f"{name} {execution_id} is {status}, not {wanted}"


@asynccontextmanager
async def one_of_each(dsn: str, nats: NatsServer, folder: Path) -> AsyncIterator[Executions]:
    """Open one server and one worker, as a machine has them, on real services."""
    await upgrade(dsn)
    async with (
        PostgresStore(dsn) as store,
        Cluster(folder, open_bus=lambda: NatsBus(nats.url), lease_seconds=3.0) as cluster,
    ):
        real: Any = cluster  # what it takes for granted of its store is asked of it in memory only
        real.store, real.blobs = store, PostgresBlobs(store.connection)
        server = (await cluster.server()).server
        await cluster.worker(concurrency=AT_ONCE)
        for text in PLAYBOOKS.values():
            await cluster.register(text)
        planned = {name: await server.plans.find(f"flat/{name}") for name in PLAYBOOKS}
        yield Executions(server, planned)


async def flat(
    postgres: PostgresServer,
    nats: NatsServer,
    executions: int,
    warming: int,
    say: Callable[[str], None] = lambda _: None,
) -> Report:
    """Run executions after some that fill the caches, and say what grew."""
    database = f"flat_{time.monotonic_ns()}"
    dsn = postgres.create_database(database)
    with tempfile.TemporaryDirectory(prefix="arcbook-flat-") as name:
        folder = Path(name)

        async def look() -> Measures:
            async with asyncio.timeout(SETTLE_SECONDS):
                while postgres.execute("select 1 from command limit 1", database):
                    await asyncio.sleep(0.1)
            return measured(folder, postgres, database)

        async with one_of_each(dsn, nats, folder) as running:
            await running.run(warming)
            first = await look()
            say(f"after {warming:,} executions: {_told(first)}")
            began = time.monotonic()
            for part in range(10):
                await running.run(executions // 10)
                last = await look()
                say(f"after {(part + 1) * executions // 10:,} more: {_told(last)}")
            seconds = time.monotonic() - began
    return Report(executions, seconds, first, last, last.growth(first, executions))


def _told(measures: Measures) -> str:
    return ", ".join(f"{name} {value:,.0f}" for name, value in measures._asdict().items())


__all__ = ["Report", "flat"]
