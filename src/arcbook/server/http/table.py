"""The whole route table."""

from __future__ import annotations

from typing import Final

from arcbook.server.http.route import Route
from arcbook.server.http.routes import (
    analyze,
    archive,
    audit,
    bus_gateway,
    catalog,
    catalog_batch,
    changes,
    commands,
    compatibility,
    control,
    credentials,
    dashboard,
    events,
    execute,
    executions,
    health,
    internal,
    keychain,
    read_model,
    replay,
    reports,
    results,
    schedules,
    tokens,
    workers,
)
from arcbook.server.http.routes.noetl_gui import analysis as gui_analysis
from arcbook.server.http.routes.noetl_gui import assistants as gui_assistants
from arcbook.server.http.routes.noetl_gui import executions as gui_executions
from arcbook.server.http.routes.noetl_gui import playbooks as gui_playbooks
from arcbook.server.http.routes.noetl_gui import sessions as gui_sessions
from arcbook.server.http.routes.noetl_gui import suites as gui_suites

MODULES: Final = (
    health,
    catalog,
    catalog_batch,
    archive,
    execute,
    executions,
    events,
    replay,
    reports,
    control,
    analyze,
    results,
    credentials,
    keychain,
    audit,
    schedules,
    workers,
    dashboard,
    tokens,
    changes,
    read_model,
    compatibility,
    internal,
    commands,
    bus_gateway,
    gui_sessions,
    gui_executions,
    gui_analysis,
    gui_playbooks,
    gui_suites,
    gui_assistants,
)

ROUTES: Final[tuple[Route, ...]] = tuple(route for m in MODULES for route in m.ROUTES)
"""Every route; fixed paths are matched first."""
