"""Where the time of taking one input goes: ``python -m benchmarks.hot_path``.

The production drive loop takes inputs that issue no, one and many commands, on SQLite and
on PostgreSQL, with fsync on. Each phase is timed by itself. The last line is one JSON
object: milliseconds, and phases in microseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from arcbook.blobs.memory import MemoryBlobs
from arcbook.clock import SystemClock
from arcbook.dsl.load import load_playbook
from arcbook.engine import fold as folding
from arcbook.engine.inputs import Report, Settle, Start
from arcbook.engine.pipeline import IterationResult
from arcbook.engine.state import State
from arcbook.engine.turn import LIMITS, Turn
from arcbook.events.codec import decode, encode
from arcbook.events.types import Recorded, StepResult, Value
from arcbook.ids import IdGenerator
from arcbook.owner import drive as driving
from arcbook.owner.commands import CommandBook
from arcbook.owner.drive import Drive
from arcbook.owner.plans import Plans
from arcbook.owner.pools import PoolRules
from arcbook.owner.ports import FullOwnership
from arcbook.owner.slots import rebuild
from arcbook.results.store import ResultStore
from arcbook.store.api import ClusterStore, ServerRow
from arcbook.store.postgres import PostgresStore, upgrade
from arcbook.store.sqlite import SqliteStore
from arcbook.testing.services import PostgresServer
from arcbook.tools.registry import Registry
from arcbook.wire.payload import CommandPayload, payload_of
from benchmarks import documents
from benchmarks.machine import facts

CHAIN_STEPS: Final = 200
FAN: Final = 20
BATCHES: Final = (1, 16, 100)
ROUNDS: Final = 40

GUARDED: Final = documents.HEAD.format(name="guarded") + "".join(
    [
        "workload: {limit: 5, name: hot}\nworkflow:\n",
        *(
            f"- step: s{i}\n"
            f'  tool: {{kind: noop, input: {{n: "{{{{ workload.limit }}}}", t: "run {{{{ workload.name }}}} {i}"}}}}\n'
            f'  set: {{ctx.n: "{{{{ workload.limit + {i} }}}}"}}\n'
            + (
                f"  next: {{arcs: [{{step: s{i + 1}, when: \"{{{{ output.status == 'ok' and ctx.n >= 0 }}}}\"}}]}}\n"
                if i + 1 < CHAIN_STEPS
                else ""
            )
            for i in range(CHAIN_STEPS)
        ),
    ]
)


LEASE_SECONDS: Final = 3600.0


class Phases:
    """Times of the phases of one input, in microseconds."""

    def __init__(self) -> None:
        self.found: dict[str, list[float]] = {}

    def add(self, name: str, began: float) -> None:
        """Note that a phase ends now."""
        self.found.setdefault(name, []).append((time.perf_counter() - began) * 1e6)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Time a phase."""
        began = time.perf_counter()
        yield
        self.add(name, began)

    def table(self) -> dict[str, list[float]]:
        """Return p50, p90 and p99 of each phase."""
        return {name: _quantiles(values) for name, values in self.found.items()}


class _Silent:
    """A relay that nobody hears."""

    def publish(self, rows: Any) -> None:
        """Say nothing."""

    def stop(self, worker: str, rows: Any) -> None:
        """Say nothing."""


class _Shards(FullOwnership):
    """Every shard, by a lease that outlasts the measurement."""

    owner = "bench"


class Bench:
    """A drive loop on a store, with an owner's shards and bookkeeping, and no workers."""

    def __init__(self, store: ClusterStore) -> None:
        self.clock = SystemClock()
        self.ids = IdGenerator(self.clock, 1)
        self.store = store
        self.registry = Registry()
        self.plans = Plans(store, self.registry, self.ids, self.clock)
        self.owner = CommandBook(PoolRules(), self.clock, _Silent(), store)
        kept = ResultStore(MemoryBlobs())
        self.drive = Drive(
            store,
            self.plans,
            kept,
            self.clock,
            self.owner,
            ledger=self.owner,
            ownership=_Shards(self.ids),
        )

    async def own(self) -> None:
        """Take all shards: a commit is refused without."""
        owner = _Shards.owner
        await self.store.join(ServerRow(server_id=owner, machine=0), LEASE_SECONDS)
        await self.store.renew_lease(owner, LEASE_SECONDS)

    async def begin(self, text: str, count: int) -> list[int]:
        """Start executions."""
        loaded = load_playbook(text, self.registry)
        assert loaded.playbook is not None, loaded.errors
        entry = await self.plans.register(text, loaded)
        planned = await self.plans.find(catalog_id=entry.catalog_id)
        execution_ids = [self.ids() for _ in range(count)]
        for execution_id in execution_ids:
            start = Start(path=entry.path, catalog_id=entry.catalog_id)
            self.drive.begin(planned, start, execution_id)
        await self.drive.turn()
        return execution_ids

    def report(self, execution_id: int, index: int = 0) -> Report:
        """Return the report of a command that is out."""
        state = self.drive.slots[execution_id].state
        commands = [c for run in state.runs.values() for c in run.commands.values()]
        command = commands[index]
        result = StepResult(
            tasks={f"{command.step}_task": Value(data={"n": 1})}, last=f"{command.step}_task"
        )
        done = IterationResult(result=result, status="ok")
        return Report(command_id=command.command_id, done=[done], worker="bench")


# -- what is measured ------------------------------------------------------------------


async def inputs(bench: Bench, text: str, batch: int) -> list[float]:
    """Return the milliseconds of a turn for each input of batches."""
    executions = await bench.begin(text, batch)
    times: list[float] = []
    for _ in range(ROUNDS):
        for execution_id in executions:
            bench.drive.submit(execution_id, bench.report(execution_id))
        began = time.perf_counter()
        await bench.drive.turn()
        times.append((time.perf_counter() - began) * 1000 / batch)
    return times


async def fan_out(bench: Bench) -> list[float]:
    """Return the milliseconds of inputs that issue many commands."""
    arcs = ", ".join(f"{{step: b{i}}}" for i in range(FAN))
    text = documents.HEAD.format(name="fan") + (
        "workflow:\n- step: start\n  tool: {kind: noop}\n"
        f"  next: {{spec: {{mode: inclusive}}, arcs: [{arcs}]}}\n"
        + "".join(f"- step: b{i}\n  tool: {{kind: noop}}\n" for i in range(FAN))
    )
    times: list[float] = []
    for execution_id in await bench.begin(text, ROUNDS):
        bench.drive.submit(execution_id, bench.report(execution_id))
        began = time.perf_counter()
        await bench.drive.turn()
        times.append((time.perf_counter() - began) * 1000)
    return times


async def none_issued(bench: Bench) -> list[float]:
    """Return the milliseconds of inputs that change nothing: stale reports."""
    (execution_id,) = await bench.begin(GUARDED, 1)
    stale = msgspec.structs.replace(bench.report(execution_id), generation=9)
    times: list[float] = []
    for _ in range(ROUNDS):
        bench.drive.submit(execution_id, stale)
        began = time.perf_counter()
        await bench.drive.turn()
        times.append((time.perf_counter() - began) * 1000)
    return times


async def _warm(bench: Bench) -> None:
    """Run an execution to its end: templates are compiled when they are first used."""
    (execution_id,) = await bench.begin(GUARDED, 1)
    while execution_id in bench.drive.slots:
        bench.drive.submit(execution_id, bench.report(execution_id))
        await bench.drive.turn()


async def phases(bench: Bench) -> Phases:
    """Time each phase of inputs that issue one command, by itself."""
    found = Phases()
    await _warm(bench)
    (execution_id,) = await bench.begin(GUARDED, 1)
    slot = bench.drive.slots[execution_id]
    times = _watched(bench)
    for _ in range(CHAIN_STEPS - 2):
        wire = msgspec.json.encode(bench.report(execution_id))
        with found.timed("decode"):
            given = msgspec.json.decode(wire, type=Report)
        seq = slot.state.seq
        bench.drive.submit(execution_id, given)
        await bench.drive.turn()
        for name, value in times.pop().items():
            found.found.setdefault(name, []).append(value)
        events = await bench.store.events(execution_id, after=seq)
        recorded = [Recorded(e.seq, e.at, decode(e.body)) for e in events]
        with found.timed("encode of events"):
            for each in recorded:
                encode(each.event)
        command = next(c for run in slot.state.runs.values() for c in run.commands.values())
        with found.timed("slice and encode of the work"):
            body = msgspec.json.encode(payload_of(slot.state, slot.plan, command))
        msgspec.json.decode(body, type=CommandPayload)
    _render(bench, execution_id, found)
    await _loaded(bench, execution_id, found)
    return found


def _watched(bench: Bench) -> list[dict[str, float]]:
    told: list[dict[str, float]] = []

    def watch(times: Any) -> None:
        told.append(
            {
                "decide and fold": float(sum(times.decide)),
                "encode and project": float(times.encode),
                "store": float(times.store),
                "publish and tell": float(times.tell),
            }
        )

    bench.drive.on_turn(watch)
    return told


def _render(bench: Bench, execution_id: int, found: Phases) -> None:
    """Time what the templates of one step take: its inputs, a set, a guard."""
    slot = bench.drive.slots[execution_id]
    turn = Turn(slot.state, slot.plan, at=0, new_id=bench.ids, loaded={}, limits=LIMITS)
    for step in slot.plan.steps[:-1]:
        scope = turn.scope(top={"output": {"status": "ok"}})
        with found.timed("render of a step's templates"):
            step.tasks[0].input.render(scope)
            step.set[0].value.render(scope)
            if step.arcs[0].when is not None:
                step.arcs[0].when.render(scope)


async def _loaded(bench: Bench, execution_id: int, found: Phases) -> None:
    """Time loading an execution that is not in memory, and folding its events."""
    stored = await bench.store.load(execution_id)
    assert stored is not None
    events = [Recorded(e.seq, e.at, decode(e.body)) for e in stored.events]
    for _ in range(10):
        with found.timed("load, 400 events"):
            again = await bench.store.load(execution_id)
            assert again is not None
            rebuild(execution_id, again)
        state = State(execution_id=execution_id)
        began = time.perf_counter()
        folding.fold(state, events)
        found.found.setdefault("fold of one event", []).append(
            (time.perf_counter() - began) * 1e6 / max(1, len(events))
        )
    bench.drive.submit(execution_id, Settle())
    await bench.drive.turn()


# -- the run ---------------------------------------------------------------------------


async def on_store(store: ClusterStore) -> dict[str, Any]:
    """Measure on one store."""
    bench = Bench(store)
    await bench.own()
    await _warm(bench)
    found: dict[str, Any] = {"none_ms": _quantiles(await none_issued(bench))}
    for batch in BATCHES:
        found[f"one_batch_{batch}_ms"] = _quantiles(await inputs(bench, GUARDED, batch))
    found["many_ms"] = _quantiles(await fan_out(bench))
    found["phases_us"] = (await phases(bench)).table()
    return found


async def run() -> dict[str, Any]:
    """Measure on SQLite and on PostgreSQL."""
    measured: dict[str, Any] = {}
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir="."))
        sqlite = await stack.enter_async_context(SqliteStore(Path(folder) / "hot.db"))
        measured["sqlite"] = await on_store(sqlite)
        _say(json.dumps({"sqlite": measured["sqlite"]}))
        server = stack.enter_context(PostgresServer(fsync=True))
        dsn = server.create_database("hot")
        await upgrade(dsn)
        postgres = await stack.enter_async_context(PostgresStore(dsn))
        measured["postgres"] = await on_store(postgres)
        _say(json.dumps({"postgres": measured["postgres"]}))
    p50, p90, p99 = measured["postgres"]["one_batch_1_ms"]
    return {"input_ms_p50": p50, "input_ms_p90": p90, "input_ms_p99": p99, **measured}


def _quantiles(values: list[float]) -> list[float]:
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return [round(cuts[at - 1], 4) for at in (50, 90, 99)]


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.hot_path", description=__doc__)
    parser.add_argument("--uvloop", action="store_true", help="on uvloop's event loop")
    given = parser.parse_args()
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if given.uvloop:
        import uvloop

        factory = uvloop.new_event_loop
    assert max(BATCHES) <= driving.BATCH_MAX
    with asyncio.Runner(loop_factory=factory) as runner:
        measured = runner.run(run())
    _say(json.dumps({**measured, "uvloop": given.uvloop, "machine": facts()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
