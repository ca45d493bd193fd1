"""LangGraph with its SQLite checkpointer: the fastest peer that runs in one process."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import venv
from pathlib import Path
from typing import Any, Final

PACKAGES: Final = ("langgraph>=0.6", "langgraph-checkpoint-sqlite>=2")

CACHE: Final = Path("tmp") / "peer"
"""Its environment, which is made once."""

PROGRAM: Final = textwrap.dedent("""
    import json, os, sqlite3, statistics, sys, time
    from concurrent.futures import ThreadPoolExecutor
    from typing import TypedDict
    from langgraph.checkpoint.sqlite import SqliteSaver
    from langgraph.graph import END, START, StateGraph

    saver = SqliteSaver(sqlite3.connect(sys.argv[1], check_same_thread=False))
    saver.setup()

    class Values(TypedDict, total=False):
        n: int

    def chain(length):
        graph = StateGraph(Values)
        for i in range(length):
            graph.add_node(f"s{i}", lambda values: {"n": values.get("n", 0) + 1})
        graph.add_edge(START, "s0")
        for i in range(length - 1):
            graph.add_edge(f"s{i}", f"s{i + 1}")
        graph.add_edge(f"s{length - 1}", END)
        return graph.compile(checkpointer=saver)

    def thread(name):
        return {"configurable": {"thread_id": name}, "recursion_limit": 5000}

    chain(3).invoke({"n": 0}, thread("warm"), durability="sync")
    long, times = chain(100), []
    for k in range(3):
        for _ in long.stream({"n": 0}, thread(f"w{k}"), stream_mode="updates", durability="sync"):
            times.append(time.perf_counter())
    steps = sorted(b - a for a, b in zip(times, times[1:]))
    short = chain(20)
    began = time.perf_counter()
    with ThreadPoolExecutor(100) as pool:
        list(pool.map(lambda k: short.invoke({"n": 0}, thread(f"p{k}"), durability="sync"), range(100)))
    rate = 2000 / (time.perf_counter() - began)
    print(json.dumps({"chain_ms": statistics.median(steps) * 1000, "steps_s": rate}))
    sys.stdout.flush()
    os._exit(0)
    """)


def langgraph(folder: Path) -> dict[str, Any]:
    """Return its time for a step of a chain, and its throughput, as ours are measured."""
    folder.mkdir(parents=True, exist_ok=True)
    python = _environment()
    command = [str(python), "-c", PROGRAM, str(folder / "checkpoints.db")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return {
        "langgraph_chain_ms_p50": found["chain_ms"],
        "langgraph_steps_s": found["steps_s"],
        "langgraph_version": _version(python),
    }


def _environment() -> Path:
    python = CACHE / "bin" / "python"
    done = CACHE / "done"
    if not done.exists():
        print("installing LangGraph into an environment of its own", file=sys.stderr, flush=True)
        venv.create(CACHE, with_pip=True)
        install = [str(python), "-m", "pip", "install", "--quiet", *PACKAGES]
        subprocess.run(install, check=True, capture_output=True)
        done.touch()
    return python


def _version(python: Path) -> str:
    code = "import importlib.metadata as m; print(m.version('langgraph'))"
    return subprocess.run(
        [str(python), "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()
