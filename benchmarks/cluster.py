"""A server and a worker on PostgreSQL and NATS: ``python -m benchmarks.cluster``.

All are processes on one machine, with fsync on. What is measured goes in turn with the
floors of the same machine. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import re
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import aiohttp
import nats
import psycopg

from arcbook.store.postgres import PostgresStore, upgrade
from arcbook.testing.cluster_processes import ClusterProcesses
from arcbook.testing.processes import Process
from arcbook.testing.services import NatsServer, PostgresServer
from benchmarks import documents
from benchmarks.machine import facts, p50, timed_ms

REPEATS: Final = 3
CHAIN_STEPS: Final = 100
EXECUTIONS: Final = 100
EXECUTION_STEPS: Final = 20
LOOP_ITEMS: Final = 50_000
IDLE: Final = 1000
IDLE_SECONDS: Final = 5.0
FLOOR_ROWS: Final = 100
CONCURRENCY: Final = 128

WAITING: Final = documents.HEAD.format(name="waiting") + (
    "workflow:\n- step: start\n  tool:\n    kind: python\n    code: \"raise ValueError('later')\"\n"
    "    spec: {policy: {rules: [{when: \"{{ output.status == 'error' }}\","
    " then: {do: retry, attempts: 9, delay: 3600, backoff: fixed}}]}}\n"
)

CLOCK: Final = documents.HEAD.format(name="clock") + (
    'workflow:\n- step: start\n  tool: {kind: python, code: "import time\\nresult = time.time()"}\n'
)


class Bench:
    """A running cluster, and its client."""

    def __init__(
        self, processes: ClusterProcesses, store: PostgresStore, http: aiohttp.ClientSession
    ) -> None:
        self.url = processes.urls[0]
        self.server = processes.servers[0]
        self.worker = processes.workers[0]
        self.store = store
        self.http = http

    async def register(self, text: str) -> None:
        """Register a playbook."""
        async with self.http.post(f"{self.url}/api/catalog/register", json={"content": text}) as a:
            assert a.status < 300, await a.text()

    async def start(self, name: str) -> int:
        """Start an execution."""
        body = {"path": f"bench/{name}"}
        async with self.http.post(f"{self.url}/api/execute", json=body) as answer:
            assert answer.status < 300, await answer.text()
            return int((await answer.json())["execution_id"])

    async def ended(self, execution_id: int, poll: float = 0.02) -> None:
        """Wait for an execution to end well."""
        while not (row := await self.store.execution(execution_id)) or not row.ended_at:
            await asyncio.sleep(poll)
        assert row.status == "COMPLETED", row.error

    async def all_ended(self) -> None:
        """Wait until nothing goes on."""
        while await self.store.unfinished():
            await asyncio.sleep(0.02)

    def cpu_seconds(self) -> float:
        """Return the processor time that server and worker have used."""
        return sum(_cpu_seconds(process) for process in (self.server, self.worker))


# -- what is measured ------------------------------------------------------------------


async def chain(bench: Bench) -> dict[str, float]:
    """Step to step, on an idle cluster: from one durable end to the next."""
    steps: list[float] = []
    for _ in range(REPEATS + 1):
        execution_id = await bench.start("chain")
        await bench.ended(execution_id)
        exits = await bench.store.events(execution_id, types=["step.exit"])
        steps += [(b.at - a.at) / 1000 for a, b in itertools.pairwise(exits)]
    steps = steps[CHAIN_STEPS - 1 :]  # the first run warms up
    return {"step_ms_p50": p50(steps), "step_ms_p99": statistics.quantiles(steps, n=100)[98]}


async def start(bench: Bench) -> dict[str, float]:
    """From the request to the first call of a tool."""
    times: list[float] = []
    for _ in range(20):
        began = time.time()
        execution_id = await bench.start("clock")
        await bench.ended(execution_id)
        (event,) = await bench.store.events(execution_id, types=["playbook.completed"])
        times.append((json.loads(event.body)["result"] - began) * 1000)
    return {"start_ms_p50": p50(times[3:])}


async def throughput(bench: Bench, name: str = "many") -> tuple[float, float]:
    """Return steps a second, and processor milliseconds for each step."""
    cpu, began = bench.cpu_seconds(), time.perf_counter()
    await asyncio.gather(*(bench.start(name) for _ in range(EXECUTIONS)))
    await bench.all_ended()
    steps = EXECUTIONS * EXECUTION_STEPS
    return steps / (time.perf_counter() - began), (bench.cpu_seconds() - cpu) * 1000 / steps


async def many(bench: Bench) -> dict[str, float]:
    """A hundred executions at once, of noop and of warm python steps."""
    noop = [await throughput(bench) for _ in range(REPEATS)]
    python = [await throughput(bench, "many-python") for _ in range(REPEATS)]
    best = max(noop)
    return {
        "steps_s": best[0],
        "cpu_ms_per_step": best[1],
        "python_steps_s": max(python)[0],
    }


async def loop(bench: Bench) -> dict[str, float]:
    """A parallel loop of many items, and the memory that it takes."""
    rates: list[float] = []
    for _ in range(2):
        began = time.perf_counter()
        await bench.ended(await bench.start("loop"), poll=0.05)
        rates.append(LOOP_ITEMS / (time.perf_counter() - began))
    return {
        "loop_items_s": max(rates),
        "loop_server_rss_mb": _rss_mb(bench.server),
        "loop_worker_rss_mb": _rss_mb(bench.worker),
    }


async def inputs(bench: Bench) -> dict[str, float]:
    """What taking one input costs the server, from its own metrics."""
    async with bench.http.get(f"{bench.url}/metrics") as answer:
        text = await answer.text()
    found = re.findall(r'^arcbook_input_seconds_bucket\{le="([^"]+)"\} (\S+)', text, re.MULTILINE)
    buckets = [(float(le), float(count)) for le, count in found]
    measured = {f"input_ms_p{n}": _quantile(buckets, n / 100) * 1000 for n in (50, 90, 99)}
    for phase in ("decide", "encode", "store", "tell"):
        series = rf'arcbook_turn_phase_seconds_%s\{{phase="{phase}"\}} (\S+)'
        total = float(re.findall(series % "sum", text)[0])
        count = float(re.findall(series % "count", text)[0])
        measured[f"turn_{phase}_ms_mean"] = total / count * 1000
    return measured


async def idle(bench: Bench) -> dict[str, float]:
    """What executions cost that wait for a timer."""
    for _ in range(IDLE // 50):
        await asyncio.gather(*(bench.start("waiting") for _ in range(50)))
    while any(await _out(bench)):
        await asyncio.sleep(0.1)
    waiting = (await bench.store.counts()).get("RUNNING", 0)
    assert waiting == IDLE, f"{waiting} executions wait, not {IDLE}"
    before = bench.cpu_seconds()
    await asyncio.sleep(IDLE_SECONDS)
    used = bench.cpu_seconds() - before
    return {"idle_cpu_percent": used / IDLE_SECONDS * 100}


async def _out(bench: Bench) -> tuple[int, int]:
    backlog = (await bench.store.backlog()).values()
    return sum(p for p, _ in backlog), sum(c for _, c in backlog)


MEASUREMENTS: Final = (chain, start, many, loop, inputs, idle)


# -- floors ----------------------------------------------------------------------------


async def floors(dsn: str, nats_url: str) -> dict[str, float]:
    """Return what one commit, and one acknowledged message, cost by themselves."""
    body = os.urandom(300)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("create table if not exists floor (id bigserial primary key, b bytea)")
        commits = [
            timed_ms(lambda: connection.execute("insert into floor (b) values (%s)", (body,)))
            for _ in range(FLOOR_ROWS)
        ]
    bus = await nats.connect(nats_url)
    js = bus.jetstream()
    await js.add_stream(name="FLOOR", subjects=["floor"])
    acks: list[float] = []
    for _ in range(FLOOR_ROWS):
        began = time.perf_counter()
        await js.publish("floor", body)
        acks.append((time.perf_counter() - began) * 1000)
    await js.delete_stream("FLOOR")
    await bus.close()
    return {"floor_pg_commit_ms": p50(commits), "floor_nats_ack_ms": p50(acks)}


# -- the run ---------------------------------------------------------------------------


async def run(names: set[str]) -> dict[str, float]:
    """Start a cluster, and measure."""
    with ExitStack() as stack:
        postgres = stack.enter_context(
            PostgresServer(fsync=True, settings={"shared_buffers": "256MB"})
        )
        bus = stack.enter_context(NatsServer())
        dsn = postgres.create_database("arcbook")
        await upgrade(dsn)
        home = stack.enter_context(tempfile.TemporaryDirectory())
        environment = {"ARCBOOK_DSN": dsn, "ARCBOOK_NATS_URL": bus.url, "ARCBOOK_HOME": home}
        processes = stack.enter_context(ClusterProcesses(environment, Path(home)))
        processes.start_server()
        processes.start_worker(concurrency=CONCURRENCY)
        measured = await floors(dsn, bus.url)
        async with PostgresStore(dsn) as store, aiohttp.ClientSession() as http:
            bench = Bench(processes, store, http)
            for text in _documents():
                await bench.register(text)
            for measure in MEASUREMENTS:
                if not names or measure.__name__ in names:
                    found = await measure(bench)
                    _say(json.dumps({measure.__name__: _rounded(found)}))
                    measured |= found
    return measured


def _documents() -> list[str]:
    return [
        documents.chain("chain", CHAIN_STEPS),
        documents.chain("many", EXECUTION_STEPS),
        documents.chain("many-python", EXECUTION_STEPS, documents.PYTHON),
        documents.loop("loop", LOOP_ITEMS),
        CLOCK,
        WAITING,
    ]


def _quantile(buckets: list[tuple[float, float]], wanted: float) -> float:
    """Return a quantile of a histogram, read off between the bounds of its bucket."""
    total = buckets[-1][1]
    low = below = 0.0
    for bound, count in buckets:
        if count >= wanted * total:
            share = (wanted * total - below) / max(count - below, 1)
            return low + (min(bound, low * 2 or bound) - low) * share
        low, below = bound, count
    return low


def _cpu_seconds(process: Process) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss_mb(process: Process) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text()
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(peak[1]) / 1024 if peak else 0.0


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.cluster", description=__doc__)
    parser.add_argument("names", nargs="*", help="measurements; all by default")
    given = parser.parse_args()
    machine = facts()
    _say(json.dumps({"machine": machine}))
    measured = asyncio.run(run(set(given.names)))
    _say(json.dumps({**_rounded(measured), "machine": machine}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
