"""The whole route table."""

from __future__ import annotations

from typing import Final

from arcbook.server.http.route import Route
from arcbook.server.http.routes import catalog, control, events, execute, executions, health

MODULES: Final = (health, catalog, execute, executions, events, control)

ROUTES: Final[tuple[Route, ...]] = tuple(route for m in MODULES for route in m.ROUTES)
"""Every route, those with fixed paths before those with parameters in their place."""
