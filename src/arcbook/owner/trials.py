"""Which executions may be what ended their owner, and how they are decided until that is known.

A decision that ends its process, or has it stand still, comes to the next owner, and to the
one after that. So an owner that has just taken executions over notes which of them it is
deciding before it decides: the note that it leaves behind when it dies is a suspicion. An
execution under suspicion is decided alone, and rehearsed first in a process that nobody
misses; when that one dies, the execution fails, and its owner lives.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Final

from arcbook.clock import Clock
from arcbook.logs import events as logged
from arcbook.outcome import ErrorInfo
from arcbook.owner.boundary import fault
from arcbook.owner.queue import QueuedInput
from arcbook.store.trials import Trial, Trials

WATCHED_SECONDS: Final = 10.0
"""How long what was taken over is watched; a decision that ends its owner comes at once."""

ALONE: Final = 1
"""Inputs that are decided together when one of them is under suspicion."""

MICROSECONDS: Final = 1_000_000

log = logging.getLogger(__name__)

Rehearsal = Callable[[Callable[[], object]], Awaitable[str]]
"""Does something where it can do no harm, and says how that ended badly; empty if well."""


class Suspects:
    """The executions that an owner watches.

    Args:
        trials: where it is noted what is being decided.
        owner: the owner; no other process has the same name.
        clock: the time.
        rehearse: tries a decision apart from the owner; nothing is rehearsed by default.
    """

    def __init__(
        self, trials: Trials, owner: str, clock: Clock, rehearse: Rehearsal | None = None
    ) -> None:
        self._trials = trials
        self._owner = owner
        self._clock = clock
        self._rehearse = rehearse
        #: For each execution that is watched, how many owners died while they decided it.
        self._watched: dict[int, int] = {}
        self._until = 0
        self._noted: frozenset[int] = frozenset()

    async def watch(self, execution_ids: Collection[int], alive: Collection[str] = ()) -> None:
        """Watch executions that were taken over.

        Args:
            execution_ids: the executions.
            alive: names of owners that live; what they decide ended nobody.
        """
        if not execution_ids:
            return
        await self._trials.forget_ended_trials()  # nobody comes to watch those again
        left = [t for t in await self._trials.trials() if t.owner not in alive]
        deaths = _count(left)
        for execution_id in execution_ids:
            self._watched[execution_id] = deaths.get(execution_id, 0)
        for execution_id in deaths.keys() & set(execution_ids):
            log.warning(logged.EXECUTION_SUSPECT, {"execution": execution_id})
        self._until = self._clock.monotonic_us() + int(WATCHED_SECONDS * MICROSECONDS)

    async def take_up(self, waiting: Iterable[QueuedInput], most: int) -> int:
        """Note what of the next inputs is watched; return how many may be decided together."""
        if not self._watched:
            return most
        if self._clock.monotonic_us() > self._until:
            await self._acquit()
            return most
        noted: set[int] = set()
        for number, item in enumerate(waiting):
            deaths = self._watched.get(item.execution_id)
            if number == most or (deaths and number):
                most = number
                break
            if deaths is not None:
                noted.add(item.execution_id)
            if deaths:
                most = ALONE
                break
        await self._note(noted)
        return most

    async def through(self) -> None:
        """Note that what was taken up went well."""
        if self._noted:
            await self._note(())

    def is_suspect(self, execution_id: int) -> bool:
        """Return whether an owner died while it decided an execution."""
        return bool(self._watched) and self._watched.get(execution_id, 0) > 0

    async def doubt(self, execution_id: int, decision: Callable[[], object]) -> ErrorInfo | None:
        """Rehearse a decision of an execution under suspicion; return why it must not be made."""
        deaths = self._watched[execution_id]
        ended = "" if self._rehearse is None else await self._rehearse(decision)
        if not ended:
            return None
        log.error(logged.EXECUTION_CONDEMNED, {"execution": execution_id, "reason": ended})
        return fault(
            f"deciding ended its owner {deaths} time{'s' if deaths > 1 else ''}, and a "
            f"rehearsal: {ended}"
        )

    async def _note(self, execution_ids: Collection[int]) -> None:
        noted = frozenset(execution_ids)
        if noted != self._noted:
            await self._trials.put_trials(self._owner, noted)
            self._noted = noted

    async def _acquit(self) -> None:
        """Watch nobody any more: whatever was to happen has not."""
        under_suspicion = [i for i, deaths in self._watched.items() if deaths]
        if under_suspicion:
            await self._trials.forget_trials(under_suspicion)
        self._watched.clear()


def _count(trials: Iterable[Trial]) -> dict[int, int]:
    found: dict[int, int] = {}
    for trial in trials:
        found[trial.execution_id] = found.get(trial.execution_id, 0) + 1
    return found
