"""What a commit in PostgreSQL costs: ``python -m benchmarks.stores`` prints a table.

Beside each figure stands its floor: one row inserted by one statement, on the same server
and in turn with what is measured.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import chain, count

import asyncpg

from arcbook.clock import SystemClock
from arcbook.ids import IdGenerator
from arcbook.store.api import Change, CommandRow, EventRow, ExecutionRow
from arcbook.store.postgres import PostgresStore, upgrade
from arcbook.testing.services import PostgresServer

ROUNDS = 1200
TURNS = 4
BATCH = 100
CONNECTIONS = 8
MONTHS = 36
BODY = b'{"type":"command.completed","step":"load","data":{"text":"' + b"x" * 200 + b'"}}'
IDS = IdGenerator(SystemClock(), 0)


def steps(identity: int) -> Iterator[Change]:
    """Yield what the steps of an execution commit: two events, one command done, one given out."""
    for step in count():
        row = ExecutionRow(execution_id=identity, path="a/b", status="RUNNING")
        yield Change(
            execution_id=identity,
            after_seq=2 * step,
            events=[EventRow(2 * step + n, 1, "step.enter", "load", BODY) for n in (1, 2)],
            row=None if step else row,
            done=[f"{identity}/{step - 1}"],
            issued=[CommandRow(f"{identity}/{step}", identity, "load", "main", 0, 0, 1)],
        )


async def took(work: Callable[[], Awaitable[object]]) -> float:
    """Return how long some work takes, in milliseconds."""
    start = time.perf_counter()
    await work()
    return (time.perf_counter() - start) * 1000


async def together(works: list[Callable[[], Awaitable[object]]], rounds: int) -> list[float]:
    """Return how long each of some works takes while the others go on beside it."""

    async def lane(work: Callable[[], Awaitable[object]]) -> list[float]:
        return [await took(work) for _ in range(rounds)]

    return [*chain.from_iterable(await asyncio.gather(*map(lane, works)))]


async def measure(
    name: str, store: PostgresStore, pool: asyncpg.Pool, size: int, at_once: int
) -> None:
    """Measure commits of some executions, so many at once, in turn with bare inserts."""
    run, numbers = IDS(), count()

    async def bare() -> None:
        await pool.execute("insert into floor values ($1, $2, $3)", run, next(numbers), BODY)

    def committer() -> Callable[[], Awaitable[object]]:
        running = [steps(IDS()) for _ in range(size)]
        return lambda: store.commit([next(each) for each in running])

    ours = [committer() for _ in range(at_once)]
    rounds = ROUNDS // (at_once * min(size, 4) * TURNS)
    floors: list[float] = []
    commits: list[float] = []
    for _ in range(TURNS):
        floors += await together([bare] * at_once, rounds)
        commits += await together(ours, rounds)
    floor, commit = statistics.median(floors), statistics.median(commits)
    rate = 1000 * at_once * size / statistics.mean(commits)
    print(
        f"{name:26} {at_once} at once: floor {floor:6.2f} ms, commit {commit:6.2f} ms "
        f"({commit / floor:4.1f}x), {rate:6.0f} executions/s, {2 * rate:6.0f} events/s; "
        f"floor {1000 * at_once / statistics.mean(floors):5.0f} rows/s"
    )


async def leave_as_is(_connection: object) -> None:
    """Give a connection back without another round trip, as the store does."""


async def main(dsn: str) -> None:
    """Measure all."""
    await upgrade(dsn)
    pool = await asyncpg.create_pool(
        dsn, min_size=CONNECTIONS, max_size=CONNECTIONS, reset=leave_as_is
    )
    await pool.execute("create table floor (id bigint, n integer, body bytea, primary key (id, n))")
    async with PostgresStore(dsn, pool_size=CONNECTIONS) as store:
        for at_once in (1, CONNECTIONS):
            await measure("one execution", store, pool, 1, at_once)
            await measure(f"a batch of {BATCH}", store, pool, BATCH, at_once)
        for month in range(MONTHS):
            await store.ensure_partitions(int(time.time() - month * 30 * 86_400) * 1_000_000)
        await measure(f"one execution, {MONTHS} months", store, pool, 1, 1)
        await measure(f"a batch of {BATCH}, {MONTHS} months", store, pool, BATCH, 1)
    await pool.close()


if __name__ == "__main__":
    with PostgresServer(fsync=True) as server:
        asyncio.run(main(server.dsn()))
