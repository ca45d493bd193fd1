"""What the API costs: ``python benchmarks/api.py [EXECUTIONS]`` prints a table.

A server of its own process on PostgreSQL that writes durably, asked by this process. First
starts, then lists and details among many executions.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp

from arcbook.client import Client
from arcbook.clock import SystemClock
from arcbook.events.codec import encode
from arcbook.events.types import PlaybookCompleted, PlaybookStarted, StepEnter, StepExit
from arcbook.ids import IdGenerator
from arcbook.store.api import Change, EventRow, ExecutionRow
from arcbook.store.postgres import PostgresStore, upgrade
from arcbook.testing.cluster_processes import ClusterProcesses
from arcbook.testing.services import PostgresServer

PLAYBOOK = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: bench, path: bench/api}
workflow:
  - step: start
    tool: {kind: noop}
"""
STARTS = 3000
CONCURRENCY = 32
ROUNDS = 100
BATCH = 500
STEPS = 24
"""Steps of a seeded execution; with its start and end it has twice as many events and two."""


async def starts(url: str) -> None:
    """Print how many executions are started a second."""
    left = iter(range(STARTS))
    took: list[float] = []

    async def one(session: aiohttp.ClientSession) -> None:
        for _ in left:
            began = time.perf_counter()
            body = {"path": "bench/api", "payload": {"n": 1}}
            async with session.post(f"{url}/api/execute", json=body) as response:
                assert response.status == 200, await response.text()
                await response.read()
            took.append(time.perf_counter() - began)

    async with aiohttp.ClientSession() as session:
        began = time.perf_counter()
        await asyncio.gather(*(one(session) for _ in range(CONCURRENCY)))
        rate = STARTS / (time.perf_counter() - began)
    took.sort()
    print(f"POST /api/execute, {CONCURRENCY} at once: {rate:.0f}/s", end="")
    print(f" (median {took[STARTS // 2] * 1e3:.1f} ms, p99 {took[int(STARTS * 0.99)] * 1e3:.1f})")


def seeded(execution_id: int, at: int) -> Change:
    """Return an execution that ended well, as one commit."""
    events = [PlaybookStarted(path="bench/api", entry="start")]
    for visit in range(1, STEPS + 1):
        events += [StepEnter(step="start", visit=visit), StepExit(step="start", visit=visit)]
    events.append(PlaybookCompleted(result={"n": 1}))
    return Change(
        execution_id=execution_id,
        after_seq=0,
        events=[
            EventRow(n, at, e.type, getattr(e, "step", ""), encode(e))
            for n, e in enumerate(events, 1)
        ],
        row=ExecutionRow(
            execution_id=execution_id,
            path="bench/api",
            status="COMPLETED",
            seq=len(events),
            started_at=at,
            ended_at=at,
        ),
    )


async def seed(dsn: str, count: int) -> int:
    """Store executions that ended; return one of them."""
    clock = SystemClock()
    ids = IdGenerator(clock, 1023)
    execution_id = 0
    async with PostgresStore(dsn) as store:
        for _ in range(0, count, BATCH):
            identities = [ids() for _ in range(BATCH)]
            await store.commit([seeded(i, clock.now_us()) for i in identities])
            execution_id = identities[0]
    return execution_id


async def timed(name: str, work: Callable[[], Awaitable[object]]) -> None:
    """Print how long a request takes."""
    took: list[float] = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await work()
        took.append(time.perf_counter() - began)
    took.sort()
    print(f"{name}: median {took[ROUNDS // 2] * 1e3:.1f} ms, p99 {took[-1] * 1e3:.1f}")


async def reads(url: str, execution_id: str) -> None:
    """Print how long the reading requests take."""
    async with Client(url) as client:
        page = await client.executions(limit=50)
        before = page[-1].execution_id
        await timed("list, 50 rows", lambda: client.executions(limit=50))
        await timed("list, next page", lambda: client.executions(limit=50, before=before))
        await timed("list by status", lambda: client.executions(status="COMPLETED", limit=50))
        await timed("detail", lambda: client.execution(execution_id))
        await timed("status", lambda: client.status(execution_id))
        await timed("events, 200", lambda: client.events(execution_id))
        await timed("dashboard", client.stats)


def main(count: int) -> None:
    """Measure."""
    with PostgresServer(fsync=True) as server, tempfile.TemporaryDirectory() as folder:
        dsn = server.create_database("bench")
        asyncio.run(upgrade(dsn))
        environment = {"ARCBOOK_DSN": dsn, "ARCBOOK_HOME": folder}
        with ClusterProcesses(environment, Path(folder)) as processes:
            url = processes.start_server()
            asyncio.run(_measure(url, dsn, count))


async def _measure(url: str, dsn: str, count: int) -> None:
    async with Client(url) as client:
        await client.register(PLAYBOOK)
    await starts(url)
    execution_id = await seed(dsn, count)
    print(f"{count:,} executions, {count * (2 * STEPS + 2):,} events beside them")
    await reads(url, str(execution_id))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
