"""Commit decisions, many executions in one transaction."""

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
from arcbook.owner.queue import linked_executions, linked_groups
from arcbook.owner.slots import Slot, encode_state, is_time_to_save, result_rows, row_of
from arcbook.store.api import ROW_AGE_US_MAX, Change, FencedError, Store, UnstorableError

log = logging.getLogger(__name__)


class CommitWriter:
    """Writes the entries of a commit to the store.

    Args:
        store: Receives the changes.
        clock: Source of time.
        decider: Fails an execution whose change the store cannot hold.
        ownership: Names the owner that fences each change.
        slots: Executions in memory; fenced ones are removed.
        ledger: Adds command rows; None in a process that performs commands itself.
        submit: Queues the input that reloads an execution.
    """

    def __init__(  # the ports of a commit
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
        """Store the changed executions and return those that were stored.

        Executions that another process wrote to first are added to ``lost``. A change that
        the store cannot hold fails its own execution; the others are stored without it.
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
                for execution_id in linked_executions(changed, error.execution_ids):
                    lost[execution_id] = error
                    del changed[execution_id]
                    self._reload(execution_id)
            except UnstorableError as error:
                groups = linked_groups(changed)
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
        """Fail the executions that one input changed: their changes cannot be stored."""
        for execution_id, entry in list(changed.items()):
            log.error(logged.CHANGE_UNSTORABLE, {"execution": execution_id, "reason": error})
            stored = await stored_state(self._store, execution_id)
            entry.reset(State(execution_id=execution_id) if stored is None else stored.state)
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

    def _reload(self, execution_id: int) -> None:
        """Reload an execution, including its commands, after another process wrote to it."""
        self._slots.pop(execution_id, None)
        if self._ledger is not None:
            self._ledger.fenced(execution_id)
        self._submit(execution_id, Settle())

    def _change(self, entry: CommitEntry) -> Change:
        """Build the change to write; called again when the commit is retried."""
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
