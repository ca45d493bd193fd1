"""Other ways to do parts of the hot path: ``python -m benchmarks.alternatives``.

What was tried for taking one input, timed side by side; microseconds, medians.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import asyncpg
import msgspec
import orjson
from jinja2.sandbox import ImmutableSandboxedEnvironment

from arcbook.engine.inputs import Report
from arcbook.engine.pipeline import IterationResult
from arcbook.events.types import StepResult, Value
from arcbook.testing.services import PostgresServer
from benchmarks.machine import facts

ROUNDS: Final = 60
ROWS: Final = 200
BODY: Final = os.urandom(150).hex().encode()
TABLE: Final = (
    "create table event (execution_id bigint, seq bigint, at bigint, type text, step text, "
    "body bytea, primary key (execution_id, seq))"
)
INSERT: Final = "insert into event values ($1, $2, $3, $4, $5, $6)"
UNNEST: Final = (
    "insert into event select * from unnest($1::bigint[], $2::bigint[], $3::bigint[], "
    "$4::text[], $5::text[], $6::bytea[])"
)

REPORT: Final = Report(
    command_id="383401759197892608:load:1",
    done=[
        IterationResult(
            result=StepResult(tasks={"load": Value(data={"rows": [{"id": 7}] * 20})}, last="load"),
            status="ok",
        )
    ],
)


def median_us(work: Callable[[], object], rounds: int = ROUNDS * 20) -> float:
    """Return how long some work takes."""
    times: list[float] = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append((time.perf_counter() - began) * 1e6)
    return round(statistics.median(times), 2)


async def awaited_us(work: Callable[[int], Awaitable[object]]) -> float:
    """Return how long some awaited work takes; it is told which round it is."""
    times: list[float] = []
    for number in range(ROUNDS):
        began = time.perf_counter()
        await work(number)
        times.append((time.perf_counter() - began) * 1e6)
    return round(statistics.median(times), 1)


def coding() -> dict[str, float]:
    """A report decoded into types, by two libraries; the free-form way; and encoded."""
    wire = msgspec.json.encode(REPORT)
    typed = msgspec.json.Decoder(Report)
    return {
        "decode typed, msgspec": median_us(lambda: typed.decode(wire)),
        "decode untyped, orjson": median_us(lambda: orjson.loads(wire)),
        "decode untyped, json": median_us(lambda: json.loads(wire)),
        "encode typed, msgspec": median_us(lambda: msgspec.json.encode(REPORT)),
        "encode by builtins and json": median_us(
            lambda: json.dumps(msgspec.to_builtins(REPORT)).encode()
        ),
    }


def templates() -> dict[str, float]:
    """An expression compiled once, and compiled each time."""
    made = ImmutableSandboxedEnvironment()
    source = "{{ output.status == 'ok' and n + 1 > limit }}"
    names = {"output": {"status": "ok"}, "n": 4, "limit": 3}
    compiled = made.from_string(source)
    return {
        "render, compiled once": median_us(lambda: compiled.render(names)),
        "render, compiled each time": median_us(lambda: made.from_string(source).render(names), 60),
    }


async def rows(connection: Any) -> dict[str, float]:
    """Events written in one transaction, in several ways."""

    def batch(number: int, kind: int, count: int = ROWS) -> list[tuple[Any, ...]]:
        first = (kind * ROUNDS + number) * 1000
        return [(first + i, 1, 0, "step.exit", "s", BODY) for i in range(count)]

    async def unnest(number: int, kind: int, count: int = ROWS) -> None:
        columns = [list(column) for column in zip(*batch(number, kind, count), strict=True)]
        await connection.execute(UNNEST, *columns)

    async def copied(number: int) -> None:
        await connection.copy_records_to_table("event", records=batch(number, 2))

    async def many(number: int) -> None:
        await connection.executemany(INSERT, batch(number, 3))

    return {
        f"unnest, {ROWS} rows": await awaited_us(lambda n: unnest(n, 1)),
        f"copy, {ROWS} rows": await awaited_us(copied),
        f"executemany, {ROWS} rows": await awaited_us(many),
        "unnest, 1 row": await awaited_us(lambda n: unnest(n, 4, 1)),
        "unnest, 2 rows": await awaited_us(lambda n: unnest(n, 5, 2)),
        "unnest, 4 rows": await awaited_us(lambda n: unnest(n, 6, 4)),
        "unnest, 16 rows": await awaited_us(lambda n: unnest(n, 7, 16)),
    }


async def main() -> None:
    """Measure and print."""
    found: dict[str, Any] = {**coding(), **templates()}
    with PostgresServer(fsync=True) as server:
        connection = await asyncpg.connect(server.create_database("alternatives"))
        await connection.execute(TABLE)
        found |= await rows(connection)
        await connection.close()
    for name, value in found.items():
        print(f"{name:32} {value:10.1f} us")
    print(json.dumps({**found, "machine": facts()}))


if __name__ == "__main__":
    asyncio.run(main())
