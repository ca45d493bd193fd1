"""Choosing the worker pool of a command."""

from __future__ import annotations

from typing import Final

import msgspec

from arcbook.engine.plan import PlanStep
from arcbook.engine.state import Run, State

SHARED: Final = "shared"
SYSTEM: Final = "system"
SYSTEM_PREFIX: Final = "system/"
"""Path prefix of playbooks that run on the pool ``system``."""


def is_system(path: str) -> bool:
    """Return whether a playbook is one of the server's own."""
    return path.strip("/").startswith(SYSTEM_PREFIX)


class PoolRules(msgspec.Struct, frozen=True, kw_only=True):
    """Rules that choose a pool.

    In order: the step's own pool; ``system`` for playbooks below ``system/``, even if the
    caller asked for another pool; the execution's pool; a pool by tool kind; ``shared``.
    """

    #: Pools by tool kind.
    kinds: dict[str, str] = msgspec.field(default_factory=lambda: {"agent": "python"})
    #: Without routing, every command goes to ``shared``.
    routing: bool = True

    def pool(self, state: State, step: PlanStep, run: Run) -> str:
        """Return the pool for a visit of a step."""
        if not self.routing:
            return SHARED
        if step.pool:
            return step.pool
        if is_system(state.path):
            return SYSTEM
        if run.pool:
            return run.pool
        for task in step.tasks:
            pool = self.kinds.get(task.kind)
            if pool is not None:
                return pool
        return SHARED
