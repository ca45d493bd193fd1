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


class PoolRules(msgspec.Struct, frozen=True, kw_only=True):
    """How pools are chosen.

    First an explicit pool, of the step or of the execution; then ``system`` by the
    playbook's path; then by the kinds of the step's tools; then ``shared``.
    """

    #: Pools by kind of tool.
    kinds: dict[str, str] = msgspec.field(default_factory=lambda: {"agent": "python"})
    #: Without routing everything goes to ``shared``.
    routing: bool = True

    def pool(self, state: State, step: PlanStep, run: Run) -> str:
        """Return the pool for a visit of a step."""
        if not self.routing:
            return SHARED
        if run.pool:
            return run.pool
        if state.path.removeprefix("/").startswith(SYSTEM_PREFIX):
            return SYSTEM
        for task in step.tasks:
            found = self.kinds.get(task.kind)
            if found is not None:
                return found
        return SHARED
