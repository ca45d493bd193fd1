"""The embedded runtime: ``python -m benchmarks.local``.

Each measurement runs in a process of its own, three times, in turn with the floor that
it is compared with. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from arcbook.compose.embedded import Embedded
from arcbook.engine.state import State
from arcbook.settings import Settings
from benchmarks import documents
from benchmarks.machine import CommitFloor, ProcessFloor, facts, p50

REPEATS: Final = 3
CHAIN_STEPS: Final = 100
EXECUTIONS: Final = 100
EXECUTION_STEPS: Final = 20
LOOP_ITEMS: Final = 10_000
MILLION: Final = 1_000_000
SHORT_EVENTS: Final = 10
LONG_EVENTS: Final = 100_000


class Bench:
    """A runtime on a fresh folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.embedded = Embedded(Settings(home=folder))

    async def run(self, text: str, payload: dict[str, Any] | None = None) -> State:
        """Run a playbook to its end."""
        runtime = await self.embedded.runtime()
        planned = await self.embedded.register(text, "bench")
        state = await runtime.run(planned, payload or {})
        assert str(state.status) == "COMPLETED", state.error
        return state

    async def exits_ms(self, text: str) -> list[float]:
        """Return the time between one step's durable end and the next one's."""
        times: list[float] = []
        runtime = await self.embedded.runtime()

        def listen(_execution_id: int, events: list[Any], _state: State) -> None:
            now = time.perf_counter()
            times.extend(now for e in events if e.event.type == "step.exit")

        with runtime.drive.listeners.added(listen):
            await self.run(text)
        return [(b - a) * 1000 for a, b in itertools.pairwise(times)]


# -- what is measured ------------------------------------------------------------------


async def chain_noop(bench: Bench) -> dict[str, float]:
    """A chain of durable noop steps, in turn with bare commits."""
    floor, text = CommitFloor(bench.folder), documents.chain("noop", CHAIN_STEPS)
    await bench.run(text)
    steps: list[float] = []
    commits: list[float] = []
    for _ in range(REPEATS):
        commits += floor.sample()
        steps += await bench.exits_ms(text)
    return {
        "floor_commit_ms": p50(commits),
        "chain_noop_ms_p50": p50(steps),
        "chain_noop_ratio": p50(steps) / p50(commits),
    }


async def chain_python(bench: Bench) -> dict[str, float]:
    """A chain of python steps on warm processes, in turn with both floors."""
    floor, process = CommitFloor(bench.folder), ProcessFloor()
    text = documents.chain("python", CHAIN_STEPS, documents.PYTHON)
    await bench.run(text)
    steps: list[float] = []
    commits: list[float] = []
    trips: list[float] = []
    for _ in range(REPEATS):
        commits += floor.sample()
        trips += process.sample()
        steps += await bench.exits_ms(text)
    process.close()
    return {
        "floor_process_ms": p50(trips),
        "chain_python_ms_p50": p50(steps),
        "chain_python_over_commit_ms": p50(steps) - p50(commits),
    }


async def throughput(bench: Bench) -> dict[str, float]:
    """Many executions at once."""
    runtime = await bench.embedded.runtime()
    text = documents.chain("short", EXECUTION_STEPS)
    planned = await bench.embedded.register(text, "bench")
    await runtime.run(planned, {})
    rates: list[float] = []
    cpu: list[float] = []
    steps = EXECUTIONS * EXECUTION_STEPS
    for _ in range(REPEATS):
        began, spent = time.perf_counter(), time.process_time()
        await asyncio.gather(*(runtime.run(planned, {}) for _ in range(EXECUTIONS)))
        rates.append(steps / (time.perf_counter() - began))
        cpu.append((time.process_time() - spent) / steps * 1000)
    return {"throughput_steps_s": p50(rates), "throughput_cpu_ms_per_step": p50(cpu)}


async def loop_items(bench: Bench) -> dict[str, float]:
    """A loop of items that do nothing."""
    text = documents.loop("items", LOOP_ITEMS)
    await bench.run(documents.loop("warm", 100))
    rates: list[float] = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        await bench.run(text)
        rates.append(LOOP_ITEMS / (time.perf_counter() - began))
    return {"loop_items_s": p50(rates)}


async def loop_million(bench: Bench) -> dict[str, float]:
    """Memory for a loop of a million items."""
    began = time.perf_counter()
    state = await bench.run(documents.loop("million", MILLION))
    rss_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "loop_1m_rss_mb": rss_mb,
        "loop_1m_items_s": MILLION / (time.perf_counter() - began),
        "loop_1m_events": state.seq,
    }


async def history_cost(bench: Bench) -> dict[str, float]:
    """CPU of a step early and late in one long execution: it must not grow with history."""
    spent: list[tuple[int, float]] = []
    runtime = await bench.embedded.runtime()

    def listen(_execution_id: int, events: list[Any], _state: State) -> None:
        spent.append((events[-1].seq, time.process_time()))

    runtime.drive.listeners.add(listen)
    await bench.run(documents.cycle("history"), {"turns": LONG_EVENTS // 2 + 2_000})
    early = _cpu_per_event_us(spent, SHORT_EVENTS, SHORT_EVENTS + 4_000)
    late = _cpu_per_event_us(spent, LONG_EVENTS, LONG_EVENTS + 4_000)
    return {
        "history_early_us_per_event": early,
        "history_late_us_per_event": late,
        "history_cost_ratio": late / early,
    }


def _cpu_per_event_us(spent: list[tuple[int, float]], first: int, last: int) -> float:
    """Return the median over short stretches, which a pause of the machine cannot move."""
    window = [(seq, cpu) for seq, cpu in spent if first <= seq <= last]
    parts = [
        (b[1] - a[1]) / (b[0] - a[0]) * 1e6
        for a, b in zip(window[::50], window[50::50], strict=False)
    ]
    return statistics.median(parts)


Measure = Callable[[Bench], Awaitable[dict[str, float]]]

MEASURES: Final[dict[str, Measure]] = {
    m.__name__: m
    for m in (chain_noop, chain_python, throughput, loop_items, loop_million, history_cost)
}


# -- whole processes -------------------------------------------------------------------


def start_up(folder: Path) -> dict[str, float]:
    """The command line, from process start to exit."""
    program = Path(sys.executable).with_name("arcbook")
    playbook = folder / "hello.yaml"
    playbook.write_text(documents.HELLO, "utf-8")
    run = [str(program), "--home", str(folder / "home"), "run", str(playbook), "--quiet"]
    _seconds(run)
    return {
        "hello_s": p50([_seconds(run) for _ in range(2 * REPEATS + 1)]),
        "help_s": p50([_seconds([str(program), "--help"]) for _ in range(2 * REPEATS + 1)]),
    }


def _seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


# -- running ---------------------------------------------------------------------------


def alone(name: str, folder: Path) -> dict[str, float]:
    """Run one measurement in a process of its own."""
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "benchmarks.local", "--measure", name, "--folder", str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


async def _measure(name: str, folder: Path) -> dict[str, float]:
    bench = Bench(folder)
    async with bench.embedded:
        return await MEASURES[name](bench)


def main() -> None:
    """Measure everything, or what is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", choices=MEASURES, help="only this, in this process")
    parser.add_argument("--folder", type=Path, help="where it keeps its state")
    parser.add_argument("--no-peer", action="store_true", help="without LangGraph")
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(asyncio.run(_measure(given.measure, given.folder))))
        return
    found: dict[str, Any] = {"machine": facts()}
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_FOLDER", ".")) as name:
        folder = Path(name)
        for measure in MEASURES:
            print(f"measuring {measure}", file=sys.stderr, flush=True)
            found |= alone(measure, folder / measure)
        found |= start_up(folder)
        if not given.no_peer:
            from benchmarks import peer

            print("measuring LangGraph", file=sys.stderr, flush=True)
            found |= peer.langgraph(folder / "peer")
    table(found)
    print(json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in found.items()}))


GOALS: Final[tuple[tuple[str, str, Callable[[dict[str, Any]], float], float, bool], ...]] = (
    ("chain of noop steps, over the commit floor", "x", lambda f: f["chain_noop_ratio"], 2.5, True),
    ("python step, over a commit", "ms", lambda f: f["chain_python_over_commit_ms"], 1.0, True),
    ("100 executions of 20 steps", "steps/s", lambda f: f["throughput_steps_s"], 5000, False),
    ("loop of 10,000 items", "items/s", lambda f: f["loop_items_s"], 6000, False),
    ("memory for 1,000,000 items", "MB", lambda f: f["loop_1m_rss_mb"], 300, True),
    ("step after 100,000 events, over after 10", "x", lambda f: f["history_cost_ratio"], 1.2, True),
    ("hello, from start to exit", "s", lambda f: f["hello_s"], 0.4, True),
    ("--help", "s", lambda f: f["help_s"], 0.15, True),
)
"""What is promised: words, unit, figure, limit, and whether less is better."""


def table(found: dict[str, Any]) -> None:
    """Print the figures beside what is promised, and the peer's."""
    for words, unit, figure, limit, less in GOALS:
        value = figure(found)
        mark = "ok" if (value <= limit) is less else "MISSED"
        sign = "<=" if less else ">="
        print(f"{words:45} {value:10.3f} {unit:8} {sign} {limit:<8g} {mark}")
    if "langgraph_chain_ms_p50" in found:
        print(
            f"LangGraph with SQLite in the same run: {found['langgraph_chain_ms_p50']:.2f} ms a step "
            f"({found['langgraph_chain_ms_p50'] / found['chain_noop_ms_p50']:.1f} times ours), "
            f"{found['langgraph_steps_s']:.0f} steps/s "
            f"({found['throughput_steps_s'] / found['langgraph_steps_s']:.1f} times slower)"
        )


if __name__ == "__main__":
    main()
