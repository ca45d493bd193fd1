"""What the API costs: ``python -m benchmarks.api``; the last line is JSON.

A server of its own process on PostgreSQL that writes durably, asked by this process. First
starts, then lists and details among many executions, then what the server's process holds
before and after many more of all, and of event streams that are read, or left.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp

from arcbook.client import Client
from arcbook.clock import SystemClock
from arcbook.events.codec import encode
from arcbook.events.types import PlaybookCompleted, PlaybookStarted, StepEnter, StepExit
from arcbook.ids import IdGenerator
from arcbook.store.api import Change, EventRow, ExecutionRow
from arcbook.store.postgres import PostgresStore, upgrade
from arcbook.testing.cluster_processes import ClusterProcesses
from arcbook.testing.services import NatsServer, PostgresServer
from benchmarks.machine import facts

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
LIST_EVERY = 10
STREAM_EVERY = 20
"""One start in so many is followed by lists, or by an event stream."""

STEPS = 24
"""Steps of a seeded execution; with its start and end it has twice as many events and two."""


async def starts(url: str) -> dict[str, float]:
    """Return how many executions are started a second."""
    left = iter(range(STARTS))
    took: list[float] = []

    async def one(session: aiohttp.ClientSession) -> None:
        for _ in left:
            began = time.perf_counter()
            await start(session, url)
            took.append(time.perf_counter() - began)

    pid = (await used(url))["pid"]
    async with aiohttp.ClientSession() as session:
        began, cpu = time.perf_counter(), cpu_seconds(pid)
        await asyncio.gather(*(one(session) for _ in range(CONCURRENCY)))
        rate = STARTS / (time.perf_counter() - began)
        cpu = cpu_seconds(pid) - cpu
    took.sort()
    return {
        "starts_per_s": rate,
        "start_server_cpu_ms": cpu / STARTS * 1e3,
        "start_p50_ms": took[STARTS // 2] * 1e3,
        "start_p99_ms": took[int(STARTS * 0.99)] * 1e3,
    }


async def start(session: aiohttp.ClientSession, url: str) -> str:
    """Start an execution and return it."""
    body = {"path": "bench/api", "payload": {"n": 1}}
    async with session.post(f"{url}/api/execute", json=body) as response:
        found = await response.json()
        assert response.status == 200, found
        return str(found["execution_id"])


def seeded(execution_id: int, at: int) -> Change:
    """Return an execution that ended well, as one commit."""
    events: list[Any] = [PlaybookStarted(path="bench/api", entry="start")]
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


async def timed(name: str, work: Callable[[], Awaitable[object]]) -> dict[str, float]:
    """Return how long a request takes."""
    took: list[float] = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await work()
        took.append(time.perf_counter() - began)
    took.sort()
    return {f"{name}_p50_ms": took[ROUNDS // 2] * 1e3, f"{name}_p99_ms": took[-1] * 1e3}


async def reads(url: str, execution_id: str) -> dict[str, float]:
    """Return how long the reading requests take."""
    async with Client(url) as client:
        page = await client.executions(limit=50)
        before = page[-1].execution_id
        catalog_id = (await client.resource("bench/api")).catalog_id
        asked: dict[str, Callable[[], Awaitable[object]]] = {
            "list_50": lambda: client.executions(limit=50),
            "list_next_page": lambda: client.executions(limit=50, before=before),
            "list_by_path": lambda: client.executions(path="BENCH/a", limit=50),
            "list_nothing_of_path": lambda: client.executions(path="elsewhere", limit=50),
            "list_by_catalog_id": lambda: client.executions(catalog_id=catalog_id, limit=50),
            "list_by_status": lambda: client.executions(status="COMPLETED", limit=50),
            "detail": lambda: client.execution(execution_id),
            "status": lambda: client.status(execution_id),
            "events_200": lambda: client.events(execution_id),
            "dashboard": client.stats,
        }
        found: dict[str, float] = {}
        for name, work in asked.items():
            found |= await timed(name, work)
        return found


# -- memory -----------------------------------------------------------------------------


async def memory(url: str, count: int) -> dict[str, float]:
    """Return what the server's process holds before and after many requests of all kinds.

    What fills up to a limit and stays there is full after the first round.
    """
    await everything(url, count // 4)
    before = await resident_mb(url)
    found: dict[str, float] = {"rss_before_mb": before}
    for part in (1, 2, 3, 4):
        await everything(url, count // 4)
        found[f"rss_after_{part * count // 4}_starts_mb"] = after = await resident_mb(url)
    return {**found, "rss_growth_mb": after - before}


async def everything(url: str, count: int) -> None:
    """Start executions, list them, follow some and leave others; return when all have ended."""
    left = iter(range(count))

    async def one(session: aiohttp.ClientSession, client: Client) -> None:
        for number in left:
            execution_id = await start(session, url)
            if number % LIST_EVERY == 0:
                await client.executions(limit=50)
                await client.execution(execution_id)
            if number % STREAM_EVERY == 0:
                async for _ in client.follow(execution_id):
                    pass
            elif number % STREAM_EVERY == 1:
                await left_alone(session, url, execution_id)

    async with aiohttp.ClientSession() as session, Client(url) as client:
        await asyncio.gather(*(one(session, client) for _ in range(CONCURRENCY)))
        while (await client.stats()).running_executions:
            await asyncio.sleep(0.2)


async def left_alone(session: aiohttp.ClientSession, url: str, execution_id: str) -> None:
    """Begin to read a stream of events, and go away."""
    address = f"{url}/api/executions/{execution_id}/events?stream=true"
    async with session.get(address) as response:
        await response.content.readany()
        response.close()


async def resident_mb(url: str) -> float:
    """Return the resident memory of the server's process."""
    return float((await used(url))["memory_rss_mb"])


async def used(url: str) -> dict[str, Any]:
    """Return what the server says that its process uses."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/api/status") as response:
        found: dict[str, Any] = (await response.json())["process"]
        return found


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# -- all of it --------------------------------------------------------------------------


def measure(executions: int, count: int) -> dict[str, Any]:
    """Measure everything on a fresh cluster."""
    with (
        PostgresServer(fsync=True) as server,
        NatsServer() as bus,
        tempfile.TemporaryDirectory() as folder,
    ):
        dsn = server.create_database("bench")
        asyncio.run(upgrade(dsn))
        environment = {"ARCBOOK_DSN": dsn, "ARCBOOK_NATS_URL": bus.url, "ARCBOOK_HOME": folder}
        with ClusterProcesses(environment, Path(folder)) as processes:
            url = processes.start_server()
            found = asyncio.run(_starts_and_reads(url, dsn, executions))
            if count:
                processes.start_worker()
                found |= said(asyncio.run(memory(url, count)))
    return found


async def _starts_and_reads(url: str, dsn: str, executions: int) -> dict[str, Any]:
    async with Client(url) as client:
        await client.register(PLAYBOOK)
    found: dict[str, Any] = said(await starts(url))
    if executions:
        execution_id = await seed(dsn, executions)
        events = executions * (2 * STEPS + 2)
        found |= said({"seeded_executions": executions, "seeded_events": events})
        found |= said(await reads(url, str(execution_id)))
    return found


def said(found: dict[str, float]) -> dict[str, float]:
    """Print figures, and return them rounded."""
    rounded = {name: round(value, 2) for name, value in found.items()}
    for name, value in rounded.items():
        print(f"{name:<28} {value:>12,}", flush=True)
    return rounded


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.api", description=__doc__)
    parser.add_argument(
        "--executions", type=int, default=100_000, help="executions with 50 events to list among"
    )
    parser.add_argument(
        "--starts",
        type=int,
        default=20_000,
        help="starts between the first look at memory and the last",
    )
    given = parser.parse_args()
    machine = facts()
    found = measure(given.executions, given.starts)
    print(json.dumps({**found, "machine": machine}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
