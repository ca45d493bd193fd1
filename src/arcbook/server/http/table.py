"""The whole route table."""

from __future__ import annotations

from typing import Final

from arcbook.server.http.route import Route
from arcbook.server.http.routes import (
    analyze,
    archive,
    audit,
    catalog,
    control,
    credentials,
    dashboard,
    events,
    execute,
    executions,
    health,
    internal,
    results,
    schedules,
    workers,
)

MODULES: Final = (
    health,
    catalog,
    archive,
    execute,
    executions,
    events,
    control,
    analyze,
    results,
    credentials,
    audit,
    schedules,
    workers,
    dashboard,
    internal,
)

ROUTES: Final[tuple[Route, ...]] = tuple(route for m in MODULES for route in m.ROUTES)
"""Every route; the router tries those with fixed paths first."""
