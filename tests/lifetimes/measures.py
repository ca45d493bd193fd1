"""What a process, its folder and its database hold."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from pathlib import Path
from typing import Final, NamedTuple

from arcbook.testing.services import PostgresServer

HISTORY: Final = frozenset(
    {"blob", "catalog", "change_audit", "execution", "head", "result", "snapshot"}
)
"""Tables that keep what was: they grow with the executions, and are cleaned up by age."""

_TABLES: Final = "select schemaname, relname from pg_stat_user_tables"


class Measures(NamedTuple):
    """What is there at one moment, between executions."""

    memory_kb: float
    #: Python objects that the garbage collector knows.
    objects: float
    tasks: float
    threads: float
    processes: float
    descriptors: float
    files: float
    #: Rows of what goes on, as opposed to history.
    rows: float

    def growth(self, before: Measures, executions: int) -> Measures:
        """Return how much came in addition for 1,000 executions."""
        pairs = zip(self, before, strict=True)
        return Measures(*((now - then) * 1000 / executions for now, then in pairs))


LIMITS: Final = Measures(
    memory_kb=100,
    objects=10,
    tasks=0.1,
    threads=0.1,
    processes=0.1,
    descriptors=0.1,
    files=0.1,
    rows=0.1,
)
"""How much of each may come in addition for 1,000 executions ..."""

NOISE: Final = Measures(
    memory_kb=6000, objects=600, tasks=4, threads=1, processes=24, descriptors=72, files=0, rows=4
)
"""... beside what comes and goes: processes kept ready for code, and what a pool has open."""


def measured(folder: Path, postgres: PostgresServer, database: str) -> Measures:
    """Look at this process and at what it keeps elsewhere."""
    gc.collect()
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return Measures(
        memory_kb=int(status["VmRSS"].split()[0]),
        objects=len(gc.get_objects()),
        tasks=len(asyncio.all_tasks()),
        threads=threading.active_count(),
        processes=_processes(os.getpid()),
        descriptors=sum(1 for _ in Path("/proc/self/fd").iterdir()),
        files=sum(len(files) for _, _, files in os.walk(folder)),
        rows=_rows(postgres, database),
    )


def _processes(pid: int) -> int:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return len(children) + sum(_processes(int(child)) for child in children)


def _rows(postgres: PostgresServer, database: str) -> int:
    counts = " + ".join(
        f'(select count(*) from "{schema}"."{name}")'
        for schema, name in postgres.execute(_TABLES, database)
        if name not in HISTORY and not name.startswith("event")
    )
    assert counts, "there are no tables"
    return int(postgres.execute(f"select {counts}", database)[0][0])
