"""What a tool call costs beside the bare library: ``python -m benchmarks.tools``.

Tools and libraries run the same requests in turn, against servers of this machine. The last line is
one JSON object. A ratio is the median of paired rounds: time of the tool by time of the
library. ``transfer_rows_s`` stands beside ``psql_copy_rows_s``, two ``psql`` with a pipe
between them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import inspect
import json
import multiprocessing
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final, Self

import aiohttp
import duckdb
import psycopg
from aiohttp import web
from psycopg.rows import dict_row

from arcbook.outcome import Outcome
from arcbook.testing.services import PostgresServer
from arcbook.testing.tools import FakeContext
from arcbook.tools.api import Credential, Tool, ToolCall
from arcbook.tools.duckdb import Duckdb
from arcbook.tools.duckdb.tool import SHARED_FILE
from arcbook.tools.http import Http
from arcbook.tools.postgres import Postgres
from arcbook.tools.python import Python
from arcbook.tools.transfer import Transfer
from benchmarks.machine import facts

ROUNDS: Final = 25
CALLS: Final = 40
"""Calls of one round."""

ROWS: Final = 1_000_000
SMALL_ROWS: Final = 100_000
"""Rows of a transfer whose memory is compared with that of a large one."""

START_SECONDS: Final = 20.0
"""How long the HTTP server may take to start."""

COPIES: Final = 3
"""Transfers, and copies by psql, of which the median counts."""

GOALS: Final = {
    "http_ratio": 1.3,
    "postgres_ratio": 1.3,
    "python_warm_ms": 1.0,
    "duckdb_ratio": 1.1,
}

ITEMS: Final = [{"id": n, "name": f"item {n}", "price": n * 1.5} for n in range(20)]

AGGREGATION: Final = (
    "SELECT grp, count(*) AS n, sum(value) AS total, avg(value) AS mean "
    "FROM facts GROUP BY grp ORDER BY grp"
)

SOURCE: Final = f"""
CREATE TABLE source AS
SELECT n AS id, 'name ' || n AS name, n * 1.5::float8 AS price, n % 7 = 0 AS active,
       timestamptz '2026-01-01 00:00Z' + n * interval '1 second' AS at
FROM generate_series(1, {ROWS}) AS n
"""

Action = Callable[[], Awaitable[object]]


class Bench:
    """Calls one tool."""

    def __init__(self, tool: Tool, kind: str, context: FakeContext | None = None) -> None:
        self._tool = tool
        self._kind = kind
        self._context = context or FakeContext()

    async def call(self, config: dict[str, Any], auth: Credential | None = None) -> Outcome:
        """Call the tool, and check that it succeeds."""
        call = ToolCall(kind=self._kind, config=config, auth=auth, step="s", label="t")
        answer = self._tool.run(call, self._context)
        outcome = await answer if inspect.isawaitable(answer) else answer
        assert isinstance(outcome, Outcome)
        assert outcome.is_ok, outcome.error
        return outcome


async def seconds(action: Action, count: int) -> float:
    """Return how long an action takes on average."""
    began = time.perf_counter()
    for _ in range(count):
        await action()
    return (time.perf_counter() - began) / count


async def compare(tool: Action, library: Action, calls: int, rounds: int) -> dict[str, float]:
    """Time a tool and a library in turn."""
    for _ in range(5):
        await tool()
        await library()
    times = [(await seconds(tool, calls), await seconds(library, calls)) for _ in range(rounds)]
    return {
        "ms": round(statistics.median(ours for ours, _ in times) * 1000, 4),
        "bare_ms": round(statistics.median(bare for _, bare in times) * 1000, 4),
        "ratio": round(statistics.median(ours / bare for ours, bare in times), 3),
    }


# -- http -------------------------------------------------------------------------------


def serve(pipe: Any) -> None:
    """Serve JSON until the parent ends this process."""

    async def items(_: web.Request) -> web.Response:
        return web.json_response(ITEMS)

    async def main() -> None:
        app = web.Application()
        app.router.add_get("/items", items)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        pipe.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(main())


@contextlib.contextmanager
def http_server() -> Iterator[str]:
    """Yield the address of a server in a process of its own."""
    mine, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,))
    process.start()
    try:
        if not mine.poll(START_SECONDS):
            raise RuntimeError("the server did not start")
        yield f"http://127.0.0.1:{mine.recv()}/items"
    finally:
        process.terminate()
        process.join()


async def measure_http() -> dict[str, float]:
    """Compare GET requests with those of aiohttp."""
    with http_server() as url:
        tool = Http()
        bench = Bench(tool, "http")
        async with aiohttp.ClientSession() as session:

            async def library() -> None:
                async with session.get(url) as response:
                    assert await response.json() == ITEMS

            async def ours() -> None:
                outcome = await bench.call({"url": url, "method": "GET"})
                assert outcome.data["data"] == ITEMS

            result = await compare(ours, library, CALLS, ROUNDS)
        await tool.close()
    return result


# -- postgres ---------------------------------------------------------------------------


async def measure_postgres(server: PostgresServer, rows: int) -> dict[str, float]:
    """Compare queries with those of psycopg, each in a transaction of its own."""
    query = (
        "SELECT id, name, price, active, at FROM source "
        f"WHERE id BETWEEN %(low)s AND %(low)s + {rows - 1}"
    )
    auth = Credential(name="pg", type="postgres", data=server.fields())
    tool = Postgres()
    bench = Bench(tool, "postgres")
    connection = await psycopg.AsyncConnection.connect(server.dsn(), row_factory=dict_row)

    async def library() -> None:
        cursor = await connection.execute(query, {"low": 1000})
        assert len(await cursor.fetchall()) == rows
        await connection.commit()

    async def ours() -> None:
        outcome = await bench.call({"query": query, "params": {"low": 1000}}, auth)
        assert outcome.data["row_count"] == rows

    result = await compare(ours, library, CALLS, ROUNDS)
    await connection.close()
    await tool.close()
    return result


# -- python -----------------------------------------------------------------------------


async def measure_python() -> dict[str, float]:
    """Time warm calls of code that computes something."""
    tool = Python()
    bench = Bench(tool, "python")
    config = {"code": "result = sum(range(10))"}
    for _ in range(20):
        await bench.call(config)
    times = [await seconds(lambda: bench.call(config), 1) for _ in range(CALLS * ROUNDS)]
    await tool.close()
    return {
        "ms": round(statistics.median(times) * 1000, 4),
        "p95_ms": round(statistics.quantiles(times, n=20)[-1] * 1000, 4),
    }


# -- duckdb -----------------------------------------------------------------------------


async def measure_duckdb(folder: Path) -> dict[str, float]:
    """Compare an aggregation of a million rows with DuckDB's own."""
    path = folder / SHARED_FILE
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            f"CREATE TABLE facts AS SELECT n % 100 AS grp, hash(n) % 10007 AS value FROM range({ROWS}) AS t(n)"
        )
    copy = folder / "same.duckdb"
    copy.write_bytes(path.read_bytes())
    tool = Duckdb()
    bench = Bench(tool, "duckdb", FakeContext(workspace=str(folder)))
    with duckdb.connect(str(copy)) as connection:

        async def library() -> None:
            cursor = await asyncio.to_thread(connection.execute, AGGREGATION)
            assert len(await asyncio.to_thread(cursor.fetchall)) == 100

        async def ours() -> None:
            outcome = await bench.call({"query": AGGREGATION})
            assert len(outcome.data["rows"]) == 100

        result = await compare(ours, library, 4, ROUNDS)
    await tool.close()
    return result


# -- transfer ---------------------------------------------------------------------------


class Memory:
    """Watches how much memory this process has, while something runs."""

    def __init__(self) -> None:
        self.most = self.before = self.now()
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    @staticmethod
    def now() -> int:
        """Return the memory in use, in bytes."""
        pages = int(Path("/proc/self/statm").read_text("utf-8").split()[1])
        return pages * resource.getpagesize()

    def _watch(self) -> None:
        while not self._ends.wait(0.005):
            self.most = max(self.most, self.now())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()

    @property
    def growth_mib(self) -> float:
        """By how much it grew at most."""
        return (self.most - self.before) / 2**20


async def measure_transfer(server: PostgresServer) -> dict[str, float]:
    """Compare a transfer between two tables with COPY through two ``psql``."""
    auth = Credential(name="pg", type="postgres", data=server.fields())
    tool = Transfer()
    bench = Bench(tool, "transfer", FakeContext(credentials={"pg": auth}))

    async def move(rows: int) -> tuple[float, float]:
        server.execute("TRUNCATE target")
        end = {"type": "postgres", "auth": "pg"}
        config = {
            "source": {**end, "query": f"SELECT * FROM source WHERE id <= {rows}"},
            "target": {**end, "table": "target"},
            "mode": "append",
        }
        began = time.perf_counter()
        with Memory() as memory:
            await bench.call(config)
        took = time.perf_counter() - began
        assert server.execute("SELECT count(*) FROM target") == [(rows,)]
        return rows / took, memory.growth_mib

    server.execute("CREATE TABLE target (LIKE source)")
    await move(SMALL_ROWS)
    small = [await move(SMALL_ROWS) for _ in range(COPIES)]
    ours, theirs = [], []
    for _ in range(COPIES):
        ours.append(await move(ROWS))
        theirs.append(psql_copy(server))
    await tool.close()
    return {
        "rows_s": round(statistics.median(rate for rate, _ in ours)),
        "psql_rows_s": round(statistics.median(theirs)),
        "memory_mib": round(max(growth for _, growth in ours), 1),
        "memory_small_mib": round(max(growth for _, growth in small), 1),
    }


def psql_copy(server: PostgresServer) -> float:
    """Copy all rows by two ``psql`` and a pipe; return rows per second."""
    server.execute("TRUNCATE target")
    base = ["psql", "-X", "-q", "-d", server.dsn(), "-c"]
    began = time.perf_counter()
    with subprocess.Popen(
        [*base, f"COPY (SELECT * FROM source WHERE id <= {ROWS}) TO STDOUT"], stdout=subprocess.PIPE
    ) as reading:
        subprocess.run([*base, "COPY target FROM STDIN"], stdin=reading.stdout, check=True)
    took = time.perf_counter() - began
    assert server.execute("SELECT count(*) FROM target") == [(ROWS,)]
    return ROWS / took


# -- all --------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def database() -> AsyncIterator[PostgresServer]:
    """Yield a PostgreSQL with the rows of the measures."""
    server = PostgresServer()
    await asyncio.to_thread(server.start)
    try:
        server.execute(SOURCE)
        server.execute("ALTER TABLE source ADD PRIMARY KEY (id)")
        server.execute("ANALYZE source")
        yield server
    finally:
        server.stop()


async def measure(parts: list[str]) -> dict[str, Any]:
    """Measure the parts that are asked for."""
    result: dict[str, Any] = {"machine": facts()}
    if "http" in parts:
        http = await measure_http()
        result |= {
            "http_ratio": http["ratio"],
            "http_ms": http["ms"],
            "http_bare_ms": http["bare_ms"],
        }
    if "python" in parts:
        python = await measure_python()
        result |= {"python_warm_ms": python["ms"], "python_warm_p95_ms": python["p95_ms"]}
    if "duckdb" in parts:
        with tempfile.TemporaryDirectory() as folder:
            duck = await measure_duckdb(Path(folder))
        result |= {
            "duckdb_ratio": duck["ratio"],
            "duckdb_ms": duck["ms"],
            "duckdb_bare_ms": duck["bare_ms"],
        }
    if {"postgres", "transfer"} & set(parts):
        async with database() as server:
            if "postgres" in parts:
                pg = await measure_postgres(server, 20)
                large = await measure_postgres(server, 1000)
                result |= {
                    "postgres_1000_rows_ratio": large["ratio"],
                    "postgres_ratio": pg["ratio"],
                    "postgres_ms": pg["ms"],
                    "postgres_bare_ms": pg["bare_ms"],
                }
            if "transfer" in parts:
                moved = await measure_transfer(server)
                result |= {
                    "transfer_rows_s": moved["rows_s"],
                    "psql_copy_rows_s": moved["psql_rows_s"],
                    "transfer_ratio": round(moved["rows_s"] / moved["psql_rows_s"], 3),
                    "transfer_memory_mib": moved["memory_mib"],
                    "transfer_memory_small_mib": moved["memory_small_mib"],
                }
    return result


def main() -> int:
    """Measure, print the goals and the JSON line."""
    parts = ["http", "python", "duckdb", "postgres", "transfer"]
    parser = argparse.ArgumentParser(description="Measure tool calls beside bare libraries.")
    parser.add_argument("parts", nargs="*", default=parts, help=f"some of: {', '.join(parts)}")
    result = asyncio.run(measure(parser.parse_args().parts))
    for name, most in GOALS.items():
        if name in result:
            print(f"{name:16} {result[name]:8.3f}  at most {most}")
    if "transfer_ratio" in result:
        print(f"{'transfer_ratio':16} {result['transfer_ratio']:8.3f}  at least 0.6")
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
