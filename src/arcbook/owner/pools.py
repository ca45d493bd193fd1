"""Which pool of workers a command is for."""

from __future__ import annotations

from typing import Final

import msgspec

from arcbook.engine.plan import PlanStep
from arcbook.engine.state import Run, State

SHARED: Final = "shared"
SYSTEM: Final = "system"
SYSTEM_PREFIX: Final = "system/"
"""Beginning of the paths of playbooks that run on the pool ``system``."""


def is_system(path: str) -> bool:
    """Return whether a playbook is one of the server's own."""
    return path.strip("/").startswith(SYSTEM_PREFIX)


class PoolRules(msgspec.Struct, frozen=True, kw_only=True):
    """How pools are chosen.

    First an explicit pool of the step; then ``system`` by the playbook's path, whatever who
    started it wants; then the pool of the execution; then by the kinds of the step's tools;
    then ``shared``.
    """

    #: Pools by kind of tool.
    kinds: dict[str, str] = msgspec.field(default_factory=lambda: {"agent": "python"})
    #: Without routing everything goes to ``shared``.
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
            found = self.kinds.get(task.kind)
            if found is not None:
                return found
        return SHARED
