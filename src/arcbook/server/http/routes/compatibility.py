"""Small routes for NoETL's clients: the contract, the database, resource usage."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from arcbook.server.http.route import Call, Route
from arcbook.server.http.routes.health import VERSION
from arcbook.wire.http.common import moment
from arcbook.wire.http.system import (
    Contract,
    MachineView,
    ProcessView,
    SchemaReport,
    SystemStatus,
)

KIB_PER_MIB: Final = 1024


async def contract(call: Call) -> Contract:
    """Return what a client needs to know before other calls."""
    return Contract(
        service="arcbook",
        version=VERSION,
        runtime="distributed",
        authentication="none" if call.context.access.is_open else "bearer",
    )


async def database_init(call: Call) -> SchemaReport:
    """Report that the tables exist; the server does not start without them."""
    await call.context.store.servers()
    return SchemaReport(
        status="ok",
        message="the tables exist; 'arcbook db upgrade' creates and upgrades them",
        valid=True,
    )


async def database_validate(call: Call) -> SchemaReport:
    """Report that the tables fit this version; the server does not start with others."""
    await call.context.store.servers()
    return SchemaReport(status="ok", message="the tables fit this version", valid=True)


async def system_status(call: Call) -> SystemStatus:
    """Return the resource usage of the server and its machine."""
    memory = _numbers(Path("/proc/meminfo"))
    own = _numbers(Path("/proc/self/status"))
    total, free = memory.get("MemTotal", 0.0), memory.get("MemAvailable", 0.0)
    uptime = call.context.uptime_seconds()
    now = call.context.server.clock.now_us()
    return SystemStatus(
        system=MachineView(
            cpu_percent=round(100 * os.getloadavg()[0] / (os.cpu_count() or 1), 1),
            memory_percent=round(100 * (total - free) / total, 1) if total else 0.0,
            total_memory_mb=total,
            used_memory_mb=round(total - free, 1),
            available_memory_mb=free,
        ),
        process=ProcessView(
            pid=os.getpid(),
            cpu_percent=round(100 * time.process_time() / max(uptime, 1.0), 1),
            memory_rss_mb=own.get("VmRSS", 0.0),
            memory_vms_mb=own.get("VmSize", 0.0),
            num_threads=int(own.get("Threads", 0) * KIB_PER_MIB),
            start_time=moment(now - int(uptime * 1_000_000)),
            uptime_seconds=round(uptime, 3),
        ),
    )


def _numbers(file: Path) -> dict[str, float]:
    """Return sizes from a kernel file, converted from KiB to MiB; empty on other systems."""
    sizes: dict[str, float] = {}
    if not file.exists():
        return sizes
    for line in file.read_text().splitlines():
        name, _, rest = line.partition(":")
        number = rest.split()[:1]
        if number and number[0].isdigit():
            sizes[name] = int(number[0]) / KIB_PER_MIB
    return sizes


REPORT: Final = {"status": "ok", "message": "the tables fit this version", "valid": True}

ROUTES: Final = [
    Route(
        method="GET",
        path="/api/runtime/contract",
        handler=contract,
        tag="system",
        summary="What a client needs to know first",
        answer=Contract,
        answer_example={
            "service": "arcbook",
            "version": "0.1.0",
            "runtime": "distributed",
            "authentication": "bearer",
            "api_base": "/api",
        },
        scope="open",
    ),
    Route(
        method="POST",
        path="/api/db/init",
        handler=database_init,
        tag="system",
        summary="Whether the tables exist",
        description="Creates nothing: `arcbook db upgrade` does that before a server starts.",
        answer=SchemaReport,
        answer_example=REPORT,
        scope="admin",
    ),
    Route(
        method="GET",
        path="/api/db/validate",
        handler=database_validate,
        tag="system",
        summary="Whether the tables fit this version",
        answer=SchemaReport,
        answer_example=REPORT,
        scope="admin",
    ),
    Route(
        method="GET",
        path="/api/status",
        handler=system_status,
        tag="system",
        summary="Resource usage of the server and its machine",
        answer=SystemStatus,
        answer_example={
            "system": {
                "cpu_percent": 12.5,
                "memory_percent": 40.0,
                "total_memory_mb": 8000.0,
                "used_memory_mb": 3200.0,
                "available_memory_mb": 4800.0,
            },
            "process": {
                "pid": 4711,
                "cpu_percent": 3.0,
                "memory_rss_mb": 120.0,
                "memory_vms_mb": 700.0,
                "num_threads": 9,
                "start_time": "2026-01-05T10:00:00Z",
                "uptime_seconds": 12.5,
            },
        },
    ),
]
