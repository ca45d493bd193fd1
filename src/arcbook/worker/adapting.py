"""Adapt a worker's concurrency to its load: measure and apply."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final

from arcbook.logs import events as logged
from arcbook.worker.pressure import Pressure

if TYPE_CHECKING:
    from arcbook.worker.core import Worker

LOOK_SECONDS: Final = 0.5
"""Time between two samples."""

MEMORY_INFO: Final = Path("/proc/meminfo")
GROUP_LIMIT: Final = Path("/sys/fs/cgroup/memory.max")
GROUP_USED: Final = Path("/sys/fs/cgroup/memory.current")
GROUP_STATISTICS: Final = Path("/sys/fs/cgroup/memory.stat")

log = logging.getLogger(__name__)


async def adapt(worker: Worker) -> None:
    """Adapt a worker's concurrency until cancelled."""
    pressure = Pressure(worker.runner.concurrency)
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        await asyncio.sleep(LOOK_SECONDS)
        lag = loop.time() - began - LOOK_SECONDS
        before, limit = pressure.limit, pressure.look(lag, memory_used())
        if limit != before:
            log.info(logged.WORKER_ADAPTED, {"limit": limit, "before": before, "lag": lag})
            worker.allow(limit)


def memory_used() -> float:
    """Return the fraction of memory in use, of the control group or the machine if higher."""
    return max(_of_machine(), _of_group())


def _of_machine() -> float:
    facts: dict[str, int] = {}
    with contextlib.suppress(OSError, ValueError):
        for line in MEMORY_INFO.read_text("ascii").splitlines():
            name, _, rest = line.partition(":")
            facts[name] = int(rest.split()[0])
    total = facts.get("MemTotal", 0)
    return 1 - facts.get("MemAvailable", total) / total if total else 0.0


def _of_group() -> float:
    """Return the fraction of the group's limit in use, without memory that can be reclaimed."""
    with contextlib.suppress(OSError, ValueError):
        limit = int(GROUP_LIMIT.read_text("ascii"))  # "max" is not a number
        used = int(GROUP_USED.read_text("ascii"))
        for line in GROUP_STATISTICS.read_text("ascii").splitlines():
            if line.startswith("inactive_file "):
                used -= int(line.split()[1])
        return used / limit
    return 0.0
