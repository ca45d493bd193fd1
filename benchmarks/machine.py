"""What the machine is, and what one durable write and one process round trip cost on it."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ECHO = "import sys\nfor line in sys.stdin.buffer: sys.stdout.buffer.write(line); sys.stdout.buffer.flush()"


def facts() -> dict[str, Any]:
    """Return the machine's facts."""
    return {
        "cpus": os.cpu_count(),
        "cpu": _cpu(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "system": platform.platform(terse=True),
        "load": [round(value, 2) for value in os.getloadavg()],
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


class CommitFloor:
    """One row, one commit: SQLite in WAL with synchronous=FULL, as the embedded store has it."""

    def __init__(self, folder: Path) -> None:
        self._db = sqlite3.connect(folder / "floor.db", isolation_level=None)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = full")
        self._db.execute("create table row (number integer primary key, body blob)")
        self._body = os.urandom(300)

    def sample(self, count: int = 40) -> list[float]:
        """Return how long some commits took, in milliseconds."""
        return [timed_ms(self._commit) for _ in range(count)]

    def _commit(self) -> None:
        self._db.execute("insert into row (body) values (?)", (self._body,))


class ProcessFloor:
    """One round trip to a warm process over a pipe."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", ECHO], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def sample(self, count: int = 200) -> list[float]:
        """Return how long some round trips took, in milliseconds."""
        return [timed_ms(self._ask) for _ in range(count)]

    def _ask(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"x" * 200 + b"\n")
        self._process.stdin.flush()
        self._process.stdout.readline()

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait()


def timed_ms(action: Callable[[], object]) -> float:
    """Return how long an action took, in milliseconds."""
    began = time.perf_counter()
    action()
    return (time.perf_counter() - began) * 1000


def p50(values: list[float]) -> float:
    """Return the median."""
    return statistics.median(values)
