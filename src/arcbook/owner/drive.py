"""The drive loop: take inputs, decide, commit in groups, then publish the effects.

The loop is the only writer of the executions it owns. It decides the inputs of many
executions together and commits them in one transaction. Callers are answered and commands
are sent only after the commit. A decision that fails ends its own execution, never the
batch.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from arcbook.clock import Clock
from arcbook.dsl.load import InvalidPlaybookError
from arcbook.engine.fold import fold
from arcbook.engine.inputs import (
    AnyInput,
    Decision,
    Report,
    Settle,
    Start,
    Stopped,
    TimerFired,
)
from arcbook.engine.state import State
from arcbook.engine.turn import LIMITS, LoopLimits
from arcbook.errors import ConflictError
from arcbook.logs import events as logged
from arcbook.owner.boundary import (
    DecisionHungError,
    UnrecordableError,
    event_rows,
    fault_of,
    slot_without_plan,
    stored_state,
)
from arcbook.owner.children import Children, ExecutionMissingError
from arcbook.owner.commit import CommitWriter
from arcbook.owner.decider import SLOW_US, Decider
from arcbook.owner.fetching import fetch
from arcbook.owner.listeners import Listeners
from arcbook.owner.plans import Planned, PlanPendingError, Plans, PlaybookMissingError
from arcbook.owner.ports import (
    CommandLedger,
    CommandSink,
    CommitEntry,
    Ownership,
    TurnTimes,
    WorkerCapacity,
)
from arcbook.owner.queue import QueuedInput, is_from_other_worker, refuse
from arcbook.owner.rows import REFRESH_ROW, RefreshRow, StaleRows
from arcbook.owner.slots import Slot
from arcbook.owner.timers import Timers, may_set_timers
from arcbook.owner.trials import Suspects
from arcbook.results.store import ResultStore
from arcbook.store.api import (
    Claim,
    FencedError,
    StartKey,
    Store,
    Tick,
)

BATCH_MAX: Final = 512
"""Maximum number of inputs in one commit."""

TURN_US_MAX: Final = 20_000
"""Time one commit spends deciding inputs before it yields to the event loop."""

SLOTS_MAX: Final = 5000
"""Executions held in memory; idle ones beyond that are evicted and reloaded on demand."""

TRIES_MAX: Final = 5
"""Attempts at an input whose commit conflicts with another writer's."""

OWNERSHIP_RECHECK_SECONDS: Final = 0.25
"""Delay before an input is retried that arrived while ownership was uncertain."""

EVICTIONS_MAX: Final = 64
"""Executions that one commit considers for eviction."""


log = logging.getLogger(__name__)


class LostOwnershipError(ConflictError):
    """Another process drives the execution now."""

    code = "lost_ownership"


FindPlaybook = Callable[[str, int | None, int | None], Awaitable[Planned]]
"""Looks up a playbook by path and version, or by catalog id."""


class Drive:
    """The drive loop of one owner."""

    def __init__(  # the ports of an owner
        self,
        store: Store,
        plans: Plans,
        results: ResultStore,
        clock: Clock,
        sink: CommandSink,
        *,
        ledger: CommandLedger | None = None,
        limits: LoopLimits = LIMITS,
        ownership: Ownership,
        suspects: Suspects | None = None,
    ) -> None:
        self.store = store
        self.plans = plans
        self.results = results
        self.clock = clock
        self.sink = sink
        self.ledger = ledger
        self.ownership = ownership
        self.decider = Decider(clock, self.ownership, limits)
        self.suspects = suspects or Suspects(store, "", clock)
        self.listeners = Listeners()
        self._turn_listener: Callable[[TurnTimes], None] | None = None
        self.slots: OrderedDict[int, Slot] = OrderedDict()
        self._queue: deque[QueuedInput] = deque()
        self._ended: BaseException | None = None
        self._wake = asyncio.Event()
        self._turning = asyncio.Lock()
        self._writer = CommitWriter(
            store, clock, self.decider, self.ownership, self.slots, ledger, self.submit
        )
        self._timers = Timers(clock, self._fire)
        self._rows = StaleRows(clock, lambda i: self._put(QueuedInput(i, REFRESH_ROW)))
        self._fetch = partial(fetch, results)
        self._children = Children(plans, self._apply, self._fetch)

    # -- inputs -----------------------------------------------------------------------

    def submit(self, execution_id: int, received: AnyInput) -> None:
        """Queue an input to be decided and committed, without waiting for the result."""
        self._put(QueuedInput(execution_id, received))

    def ask(
        self, execution_id: int, received: AnyInput | Claim, capacity: WorkerCapacity | None = None
    ) -> asyncio.Future[bool]:
        """Queue an input or a claim; after the commit, the future says if it was accepted."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._put(QueuedInput(execution_id, received, future, capacity=capacity))
        return future

    def begin(
        self,
        planned: Planned,
        start: Start,
        execution_id: int,
        tick: Tick | None = None,
        key: StartKey | None = None,
    ) -> asyncio.Future[bool]:
        """Start an execution; the future resolves once the start is durable."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        item = QueuedInput(execution_id, start, future, planned)
        item.tick = tick
        item.key = key
        self._put(item)
        return future

    def _put(self, item: QueuedInput) -> None:
        if self._ended is not None:
            refuse(item, self._ended)
            return
        self._queue.append(item)
        self._wake.set()

    def _requeue(self, item: QueuedInput, _: object) -> None:
        self._put(item)

    def on_turn(self, listener: Callable[[TurnTimes], None]) -> None:
        """Call a function with the timings of each commit."""
        self._turn_listener = listener

    # -- the loop ---------------------------------------------------------------------

    async def run(self) -> None:
        """Process inputs until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                async with self._turning:
                    await self.turn()
                await asyncio.sleep(0)

    async def quiet(self) -> None:
        """Wait until the current batch is committed and its effects are published."""
        async with self._turning:
            pass

    async def turn(self) -> None:
        """Decide and commit one batch of the queued inputs."""
        batch: list[QueuedInput] = []
        pending: dict[int, CommitEntry] = {}
        queue = self._queue
        times = TurnTimes()
        now = self.clock.monotonic_us
        try:
            limit = await self.suspects.admit(queue, BATCH_MAX)
            began = now()
            until = began + TURN_US_MAX
            while queue and len(batch) < limit and (not batch or began < until):
                item = queue.popleft()
                batch.append(item)
                try:
                    item.accepted = await self._take(item, pending)
                except _REJECTED as error:
                    refuse(batch.pop(), error)
                except PlanPendingError as pending_plan:
                    # Requeue the input, so that the rest of the batch does not wait.
                    pending_plan.future.add_done_callback(partial(self._requeue, batch.pop()))
                ended = now()
                times.decide.append(elapsed := ended - began)
                began = ended
                if elapsed > SLOW_US:
                    log.warning(
                        logged.INPUT_SLOW,
                        {"execution": item.execution_id, "milliseconds": elapsed // 1000},
                    )
            if pending:
                await self._commit(batch, pending, times)
            await self.suspects.finish()
        except BaseException as error:
            # The commit failed or its result is unknown: reload these executions on demand.
            for execution_id in pending:
                self.slots.pop(execution_id, None)
            for item in batch:
                refuse(item, error)
            raise

    async def _take(self, item: QueuedInput, pending: dict[int, CommitEntry]) -> bool:
        if not self.ownership.owns(item.execution_id):
            if item.future is None and self.ownership.may_own(item.execution_id):
                # Nobody resends this input: retry once a heartbeat has settled the ownership.
                asyncio.get_running_loop().call_later(OWNERSHIP_RECHECK_SECONDS, self._put, item)
            raise LostOwnershipError(f"another server owns execution {item.execution_id}")
        # Nothing is decided yet, so an input whose plan is still compiling can be requeued.
        if item.execution_id not in self.slots:
            await self._slot(item, self.plans.ready)
        return await self._apply(item, pending)

    async def _apply(self, item: QueuedInput, pending: dict[int, CommitEntry]) -> bool:
        """Apply an input, or what follows from one for a parent or a child.

        Parent and child have the same owner, so ownership is not checked again: all changes
        of one input commit together and are fenced if another process committed first.
        """
        slot = await self._slot(item)
        entry = pending.get(item.execution_id)
        if entry is None:
            entry = pending[item.execution_id] = CommitEntry(slot)
        if isinstance(item.received, Claim):
            return self.ledger is not None and self.ledger.claim(
                entry, item.received, item.capacity
            )
        if isinstance(item.received, RefreshRow):
            entry.refresh = slot.row_seq < slot.state.seq
            return True
        if self.ledger is not None and is_from_other_worker(entry, item, self.ledger):
            return False
        if item.tick is not None:
            entry.tick = item.tick
        if item.key is not None:
            entry.key = item.key
        return await self._decide(entry, item, item.received, pending)

    async def _slot(self, item: QueuedInput, find: FindPlaybook | None = None) -> Slot:
        slot = self.slots.get(item.execution_id)
        if slot is not None:
            self.slots.move_to_end(item.execution_id)
            return slot
        if item.planned is not None:
            slot = Slot(State(execution_id=item.execution_id), item.planned)
        else:
            slot = await self.load(item.execution_id, find)
            if self.ledger is not None:
                await self.ledger.loaded(slot)
            self._timers.put(item.execution_id, slot.timers)
            if slot.row_seq < slot.state.seq:
                self._rows.behind(item.execution_id)
        self.slots[item.execution_id] = slot
        return slot

    async def load(self, execution_id: int, find: FindPlaybook | None = None) -> Slot:
        """Load an execution from the store.

        If its log is unreadable or its playbook is missing, the slot is marked as broken:
        such an execution can only be ended.

        Raises:
            ExecutionMissingError: The execution does not exist.
        """
        stored = await stored_state(self.store, execution_id)
        if stored is None:
            raise ExecutionMissingError(f"there is no execution {execution_id}")
        state = stored.state
        if stored.read_error:
            return stored.annotate(slot_without_plan(state, stored.read_error))
        try:
            planned = await (find or self.plans.find)(state.path, None, state.catalog_id)
        except (PlaybookMissingError, InvalidPlaybookError) as error:
            return stored.annotate(slot_without_plan(state, str(error)))
        return stored.annotate(Slot(state, planned))

    async def _decide(
        self,
        entry: CommitEntry,
        item: QueuedInput,
        received: AnyInput,
        pending: dict[int, CommitEntry],
    ) -> bool:
        """Decide one input, fetching the values its templates reference."""
        slot = entry.slot
        accepted = None
        while True:
            try:
                decision = await self._decision(slot, received)
                rows = event_rows(decision.events)
            except (Exception, DecisionHungError) as error:  # noqa: BLE001  # one, not the batch
                return await self._fail(entry, item, error, pending)
            entry.rows += rows
            if accepted is None and not decision.again:
                accepted = decision.accepted
            await self._collect(entry, item, decision, pending)
            if decision.more:
                self.submit(item.execution_id, Settle())  # let other executions go first
            if not decision.needs:
                return bool(accepted)
            await self._fetch(entry, decision.needs)
            if not decision.again:
                received = Settle()

    async def _decision(self, slot: Slot, received: AnyInput) -> Decision:
        """Return the engine's decision, or fail the execution if it cannot be decided."""
        decider = self.decider
        if slot.broken is None and self.suspects.is_suspect(slot.state.execution_id):
            slot.broken = await self.suspects.rehearse(
                slot.state.execution_id, lambda: decider.decide(slot, received)
            )
        if slot.broken is not None:
            start = received if isinstance(received, Start) else None
            return decider.give_up(slot, slot.broken, start)
        return decider.decide(slot, received)

    async def _fail(
        self,
        entry: CommitEntry,
        item: QueuedInput,
        error: BaseException,
        pending: dict[int, CommitEntry],
    ) -> bool:
        """Fail an execution whose decision raised, after restoring its state."""
        slot, start = entry.slot, item.received if isinstance(item.received, Start) else None
        log.error(logged.DECISION_FAILED, {"execution": item.execution_id}, exc_info=error)
        stored = await stored_state(self.store, item.execution_id)
        state = State(execution_id=item.execution_id) if stored is None else stored.state
        slot.state = fold(state, entry.events)
        decision = self.decider.give_up(slot, fault_of(error), start)
        try:
            entry.rows += event_rows(decision.events)
        except UnrecordableError:
            # Even the failure cannot be recorded, so the input is refused.
            self.slots.pop(item.execution_id, None)
            pending.pop(item.execution_id, None)
            raise
        await self._collect(entry, item, decision, pending)
        return decision.accepted

    async def _collect(
        self,
        entry: CommitEntry,
        item: QueuedInput,
        decision: Decision,
        pending: dict[int, CommitEntry],
    ) -> None:
        """Add a decision's events and effects to the commit."""
        slot, received = entry.slot, item.received
        entry.events += decision.events
        entry.commands += decision.commands
        if self.ledger is not None and item.capacity is not None and decision.commands:
            self.ledger.hand_over(entry, decision.commands, item.capacity)
        entry.stop += decision.stop
        for ref, items in decision.keep:
            await self.results.keep_items(ref, items)
            entry.kept.append(ref)
        if isinstance(received, Report) and decision.accepted:
            entry.kept += received.kept
        if slot.timed or may_set_timers(decision.events):
            entry.timers_changed = True
        for child in decision.children:
            await self._children.start(child, pending, item.capacity)
        for child_id in decision.cancel_children:
            await self._children.cancel(slot, child_id, pending)
        if decision.events and slot.state.status.is_terminal and slot.state.parent is not None:
            await self._children.tell_parent(entry, slot.state.parent, pending, item.capacity)

    # -- commit -----------------------------------------------------------------------

    async def _commit(
        self, batch: list[QueuedInput], pending: dict[int, CommitEntry], times: TurnTimes
    ) -> None:
        now = self.clock.monotonic_us
        changed = {i: entry for i, entry in pending.items() if entry.has_changed}
        unchanged = [entry for i, entry in pending.items() if i not in changed]
        lost: dict[int, Exception] = {}
        began = now()
        stored = await self._writer.store(changed, lost, times) if changed else {}
        times.store = now() - began - times.encode
        for entry in unchanged:
            if entry.stop:
                self._stop(entry.slot, entry.stop)
            if entry.slot.state.status.is_terminal:  # loaded for a late input
                self.slots.pop(entry.slot.state.execution_id, None)
        began = now()
        self._publish(batch, stored, lost)
        times.tell = now() - began
        if self._turn_listener is not None:
            self._turn_listener(times)

    def _publish(
        self, batch: list[QueuedInput], stored: dict[int, CommitEntry], lost: dict[int, Exception]
    ) -> None:
        """Answer callers, issue commands and set timers, now that the commit is durable."""
        for execution_id, entry in stored.items():
            self._publish_entry(execution_id, entry)
        for item in batch:
            error = lost.get(item.execution_id)
            if isinstance(error, FencedError):
                self._retry(item)
            elif error is not None:
                refuse(item, error)
            elif item.future is not None and not item.future.done():
                item.future.set_result(item.accepted)
        # Callers that were just answered may read these executions, so keep them in memory.
        self._evict(max(SLOTS_MAX, len(stored)))

    def _publish_entry(self, execution_id: int, entry: CommitEntry) -> None:
        slot, change = entry.slot, entry.change
        state = slot.state
        assert change is not None
        if change.row is not None:
            slot.row_at, slot.row_seq = change.row.updated_at, change.row.seq
            self._rows.written(execution_id)
        elif slot.row_seq < state.seq:
            self._rows.behind(execution_id)
        if change.snapshot is not None:
            slot.snapshot_seq = state.seq
        if change.timers is not None:
            slot.timers = change.timers
            slot.timed = bool(slot.timers)
            self._timers.put(execution_id, slot.timers)
        if self.ledger is not None:
            self.ledger.committed(entry)
        if entry.stop:
            self._stop(slot, entry.stop)
        self.listeners.tell(execution_id, entry.events, state)
        live = [command for command in entry.commands if state.command(command) is not None]
        if live:
            self.sink.issue(slot, live)
        if state.status.is_terminal:
            self.slots.pop(execution_id, None)
            self._timers.put(execution_id, {})

    def _stop(self, slot: Slot, command_ids: list[str]) -> None:
        for command_id in self.sink.stop(slot, command_ids):
            self.submit(slot.state.execution_id, Stopped(command_id=command_id))

    def _retry(self, item: QueuedInput) -> None:
        """Retry an input on the stored state after another process committed first.

        If a caller waits for the answer, refuse instead: it must ask the current owner.
        """
        if item.future is not None:
            reason = f"another process drives execution {item.execution_id}"
            refuse(item, LostOwnershipError(reason))
        elif item.tries < TRIES_MAX:
            item.tries += 1
            self._put(item)

    def forget(self, owned: Callable[[int], bool]) -> None:
        """Drop the executions that are no longer owned."""
        for execution_id in [i for i in self.slots if not owned(i)]:
            del self.slots[execution_id]
        self._timers.keep(owned)

    def _evict(self, limit: int) -> None:
        """Evict idle executions beyond a limit, least recently used first."""
        for _ in range(min(len(self.slots) - limit, EVICTIONS_MAX)):
            execution_id, slot = self.slots.popitem(last=False)
            if self.sink.needs(slot):
                self.slots[execution_id] = slot

    # -- timers -----------------------------------------------------------------------

    def _fire(self, execution_id: int, timer_id: str) -> None:
        self.submit(execution_id, TimerFired(timer_id=timer_id))

    def refuse(self, error: BaseException) -> None:
        """Refuse all queued inputs."""
        while self._queue:
            refuse(self._queue.popleft(), error)

    def end(self, error: BaseException) -> None:
        """Refuse all queued and future inputs: the loop has ended."""
        self._ended = error
        self.refuse(error)

    def close(self) -> None:
        """Stop the timers."""
        self._timers.close()
        self._rows.close()

    async def adopt(self, execution_id: int) -> Slot:
        """Load an execution and its timers from the store into memory."""
        slot = await self.load(execution_id)
        self.slots[execution_id] = slot
        self._timers.put(execution_id, slot.timers)
        return slot


_REJECTED: Final = (
    ExecutionMissingError,
    LostOwnershipError,
    InvalidPlaybookError,
    PlaybookMissingError,
    UnrecordableError,
)


__all__ = ["Drive", "ExecutionMissingError", "LostOwnershipError"]
