"""Suspects: executions whose decision may have crashed their owner.

A decision that crashes or hangs its process would do the same to the next owner, and to the
one after that. So an owner that has just taken over executions records which of them it is
about to decide. If it dies, the record it leaves behind makes the execution a suspect. A
suspect is decided alone, and rehearsed first in a fork; if the fork dies, the execution
fails and its owner survives.
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
"""Time for which executions are watched after a takeover; a fatal decision recurs at once."""

ALONE: Final = 1
"""Batch size when the next input is that of a suspect."""

MICROSECONDS: Final = 1_000_000

log = logging.getLogger(__name__)

Rehearsal = Callable[[Callable[[], object]], Awaitable[str]]
"""Runs an action in isolation and returns how it crashed; empty if it did not."""


class Suspects:
    """The executions that an owner watches after a takeover.

    Args:
        trials: Stores which executions are being decided.
        owner: Name of the owner, unique among processes.
        clock: Source of time.
        rehearse: Runs a decision in isolation; by default, nothing is rehearsed.
    """

    def __init__(
        self, trials: Trials, owner: str, clock: Clock, rehearse: Rehearsal | None = None
    ) -> None:
        self._trials = trials
        self._owner = owner
        self._clock = clock
        self._rehearse = rehearse
        #: Number of owners that died while deciding, by watched execution.
        self._watched: dict[int, int] = {}
        self._until = 0
        self._recorded: frozenset[int] = frozenset()

    async def watch(self, execution_ids: Collection[int], alive: Collection[str] = ()) -> None:
        """Watch executions that were taken over.

        Args:
            execution_ids: The executions.
            alive: Names of live owners, whose records are not evidence of a crash.
        """
        if not execution_ids:
            return
        await self._trials.forget_ended_trials()  # these are never watched again
        deaths = _count_deaths(t for t in await self._trials.trials() if t.owner not in alive)
        for execution_id in execution_ids:
            self._watched[execution_id] = deaths.get(execution_id, 0)
        for execution_id in deaths.keys() & set(execution_ids):
            log.warning(logged.EXECUTION_SUSPECT, {"execution": execution_id})
        self._until = self._clock.monotonic_us() + int(WATCHED_SECONDS * MICROSECONDS)

    async def admit(self, waiting: Iterable[QueuedInput], limit: int) -> int:
        """Record the watched executions of the next batch; return the batch's maximum size."""
        if not self._watched:
            return limit
        if self._clock.monotonic_us() > self._until:
            await self._stop_watching()
            return limit
        watched_ids: set[int] = set()
        for position, item in enumerate(waiting):
            deaths = self._watched.get(item.execution_id)
            if position == limit or (deaths and position):
                limit = position
                break
            if deaths is not None:
                watched_ids.add(item.execution_id)
            if deaths:
                limit = ALONE
                break
        await self._record(watched_ids)
        return limit

    async def finish(self) -> None:
        """Clear the record: the batch was decided and committed."""
        if self._recorded:
            await self._record(())

    def is_suspect(self, execution_id: int) -> bool:
        """Return whether an owner died while deciding the execution."""
        return bool(self._watched) and self._watched.get(execution_id, 0) > 0

    async def rehearse(self, execution_id: int, decision: Callable[[], object]) -> ErrorInfo | None:
        """Rehearse a suspect's decision; return the error to fail it with, if it crashes."""
        deaths = self._watched[execution_id]
        crash = "" if self._rehearse is None else await self._rehearse(decision)
        if not crash:
            return None
        log.error(logged.EXECUTION_CONDEMNED, {"execution": execution_id, "reason": crash})
        return fault(
            f"deciding crashed its owner {deaths} time{'s' if deaths > 1 else ''}, and a "
            f"rehearsal: {crash}"
        )

    async def _record(self, execution_ids: Collection[int]) -> None:
        watched_ids = frozenset(execution_ids)
        if watched_ids != self._recorded:
            await self._trials.put_trials(self._owner, watched_ids)
            self._recorded = watched_ids

    async def _stop_watching(self) -> None:
        """Clear all suspects: none has crashed this owner."""
        suspects = [i for i, deaths in self._watched.items() if deaths]
        if suspects:
            await self._trials.forget_trials(suspects)
        self._watched.clear()


def _count_deaths(trials: Iterable[Trial]) -> dict[int, int]:
    deaths: dict[int, int] = {}
    for trial in trials:
        deaths[trial.execution_id] = deaths.get(trial.execution_id, 0) + 1
    return deaths
