"""Stores what was decided, many executions in one transaction."""

from __future__ import annotations

import logging
from collections.abc import Callable, MutableMapping

from arcbook.clock import Clock
from arcbook.engine.inputs import AnyInput, Settle
from arcbook.engine.state import State
from arcbook.logs import events as logged
from arcbook.owner.boundary import event_rows, fault_of, stored_state
from arcbook.owner.decider import Decider
from arcbook.owner.ports import CommandLedger, CommitEntry, Ownership, TurnTimes
from arcbook.owner.queue import apart, together
from arcbook.owner.slots import Slot, encode_state, is_time_to_save, result_rows, row_of
from arcbook.store.api import ROW_AGE_US_MAX, Change, FencedError, Store, UnstorableError

log = logging.getLogger(__name__)


class CommitWriter:
    """Stores the entries of a commit.

    Args:
        store: where they go.
        clock: the time.
        decider: fails an execution whose change the store cannot hold.
        ownership: names the owner in each change.
        slots: the executions in memory; those that another process wrote to leave it.
        ledger: adds the rows of commands; none for a process that performs them itself.
        submit: takes the input that has an execution loaded again.
    """

    def __init__(  # what a commit is made of
        self,
        store: Store,
        clock: Clock,
        decider: Decider,
        ownership: Ownership,
        slots: MutableMapping[int, Slot],
        ledger: CommandLedger | None,
        submit: Callable[[int, AnyInput], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._decider = decider
        self._ownership = ownership
        self._slots = slots
        self._ledger = ledger
        self._submit = submit

    async def store(
        self, changed: dict[int, CommitEntry], lost: dict[int, Exception], times: TurnTimes
    ) -> dict[int, CommitEntry]:
        """Store what was decided, and return what of it is stored.

        What another process was quicker with is lost. What the store cannot hold fails its
        own execution: the others are stored without it.
        """
        now = self._clock.monotonic_us
        while changed:
            began = now()
            changes = [self._change(entry) for entry in changed.values()]
            times.encode += now() - began
            try:
                await self._store.commit(changes)
                break
            except FencedError as error:
                for execution_id in together(changed, error.execution_ids):
                    lost[execution_id] = error
                    del changed[execution_id]
                    self._begin_anew(execution_id)
            except UnstorableError as error:
                groups = apart(changed)
                if len(groups) == 1:
                    return await self._give_up(changed, lost, error)
                stored: dict[int, CommitEntry] = {}
                for group in groups:
                    stored |= await self.store(group, lost, times)
                return stored
        return changed

    async def _give_up(
        self, changed: dict[int, CommitEntry], lost: dict[int, Exception], error: UnstorableError
    ) -> dict[int, CommitEntry]:
        """Fail executions that one input changed, as what changed cannot be stored."""
        for execution_id, entry in list(changed.items()):
            log.error(logged.CHANGE_UNSTORABLE, {"execution": execution_id, "reason": error})
            found = await stored_state(self._store, execution_id)
            entry.begin_anew(State(execution_id=execution_id) if found is None else found.state)
            decision = self._decider.give_up(entry.slot, fault_of(error))
            entry.events, entry.stop = decision.events, decision.stop
            entry.rows = event_rows(entry.events)
            if not entry.events:
                lost[execution_id] = error
                self._slots.pop(execution_id, None)
                del changed[execution_id]
        if changed:
            await self._store.commit([self._change(entry) for entry in changed.values()])
        return changed

    def _begin_anew(self, execution_id: int) -> None:
        """Load an execution again that another process wrote to, its commands included."""
        self._slots.pop(execution_id, None)
        if self._ledger is not None:
            self._ledger.fenced(execution_id)
        self._submit(execution_id, Settle())

    def _change(self, entry: CommitEntry) -> Change:
        """Return what is to be written; made anew if the commit is tried again."""
        slot = entry.slot
        state = slot.state
        entry.change = change = Change(
            execution_id=state.execution_id,
            after_seq=entry.after_seq,
            events=entry.rows,
            results=result_rows(entry.kept),
            tick=entry.tick,
            key=entry.key,
            owner=self._ownership.owner,
        )
        if entry.events:
            slot.event_at = at = entry.events[-1].at
            is_old = at - slot.row_at > ROW_AGE_US_MAX
            entry.refresh = entry.refresh or is_old or state.status.is_terminal
        if entry.refresh:
            change.row = row_of(state, slot.event_at)
        if entry.events:
            if is_time_to_save(slot):
                change.snapshot = encode_state(state)
            if entry.timers_changed:
                timers = state.timers()
                change.timers = None if timers == slot.timers else timers
        if self._ledger is not None:
            self._ledger.project(entry, change)
        return change
