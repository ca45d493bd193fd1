"""Calls the engine, and exposes the decision in progress to the watchdog."""

from __future__ import annotations

from typing import Final

from arcbook.clock import Clock
from arcbook.engine.decide import decide, give_up
from arcbook.engine.inputs import AnyInput, Decision, Start
from arcbook.engine.turn import LoopLimits
from arcbook.outcome import ErrorInfo
from arcbook.owner.ports import Ownership
from arcbook.owner.slots import Slot
from arcbook.owner.watchdog import Deciding

SLOW_US: Final = 250_000
"""Time for one input, including loading, from which it is logged as slow; microseconds."""


class Decider:
    """Decides inputs of the executions of one owner.

    Args:
        clock: Source of time; decision times never go backwards.
        ownership: Creates the ids of child executions.
        limits: Limits of loops.
    """

    def __init__(self, clock: Clock, ownership: Ownership, limits: LoopLimits) -> None:
        self._clock = clock
        self._ownership = ownership
        self._limits = limits
        self._last_at = 0
        #: The decision in progress.
        self.deciding = Deciding()

    def decide(self, slot: Slot, received: AnyInput) -> Decision:
        """Decide one input."""
        deciding = self.deciding
        deciding.number += 1
        deciding.execution_id = execution_id = slot.state.execution_id
        try:
            return decide(
                slot.state,
                slot.plan,
                received,
                at=self._now(),
                new_id=self._ownership.child_ids(execution_id),
                loaded=slot.loaded,
                limits=self._limits,
            )
        finally:
            deciding.execution_id = 0

    def give_up(self, slot: Slot, error: ErrorInfo, start: Start | None = None) -> Decision:
        """Fail an execution without evaluating its playbook."""
        return give_up(slot.state, slot.plan, error, at=self._now(), start=start)

    def _now(self) -> int:
        self._last_at = at = max(self._clock.now_us(), self._last_at)
        return at
