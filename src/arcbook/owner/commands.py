"""The owner's side of commands: issuing, claims, leases and lost commands.

Outstanding commands are rows in the store that change in the same commit as the events.
The owner holds the same rows in memory together with the leases, which are not stored:
when another server takes over, every claimed command gets a fresh lease there. A worker
that still performs it renews the lease in time; one that has died does not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final, Protocol

from arcbook.clock import Clock
from arcbook.engine.inputs import AnyInput, Lost, Stopped
from arcbook.engine.state import Command, CommandStatus, run_key, run_key_of
from arcbook.events.types import (
    CommandCancelled,
    CommandCompleted,
    CommandSuspended,
    Recorded,
    StepExit,
)
from arcbook.owner.pools import PoolRules
from arcbook.owner.ports import CommitEntry, WorkerCapacity
from arcbook.owner.slots import Slot
from arcbook.shards import shard_of
from arcbook.store.api import Change, Claim, CommandRow, Commands

LEASE_SECONDS: Final = 15.0
"""Time without a heartbeat after which a worker's commands go to another worker."""

HAND_OVER_US_MAX: Final = 1_000_000
"""Age of a pool's oldest pending command beyond which hand-overs must not overtake it."""

STOP_US: Final = 10_000_000
"""Time workers have to stop a tool after a cancellation, in microseconds."""

STANDSTILL_US: Final = 1_000_000
"""Time between two checks of leases above which this server itself has stood still."""

MICROSECONDS: Final = 1_000_000


class Relay(Protocol):
    """Sends the owner's messages to workers."""

    def publish(self, rows: Iterable[CommandRow]) -> None:
        """Announce commands to their pools."""

    def stop(self, worker: str, rows: list[CommandRow]) -> None:
        """Tell a worker to stop the tools of some commands."""


class OutstandingCommand:
    """A command that is issued and not done."""

    __slots__ = ("expires_at", "published_at", "publishes", "row", "stop_by")

    def __init__(self, row: CommandRow) -> None:
        self.row = row
        #: When the worker's lease ends, by the monotonic clock; 0 while the command is pending.
        self.expires_at = 0
        self.published_at = 0
        self.publishes = 0
        #: When a requested stop counts as unconfirmed; 0 if none was requested.
        self.stop_by = 0


class CommandBook:
    """The outstanding commands of the executions that a server owns."""

    def __init__(
        self,
        rules: PoolRules,
        clock: Clock,
        relay: Relay,
        commands: Commands,
        *,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self.rules = rules
        self._commands = commands
        self.clock = clock
        self.relay = relay
        self.lease_us = int(lease_seconds * MICROSECONDS)
        self.outstanding: dict[int, dict[str, OutstandingCommand]] = {}
        #: Their ids by execution and visit, since a visit may end before its commands do.
        self._by_visit: dict[tuple[int, str], dict[str, None]] = {}
        #: Pending commands by pool, oldest first.
        self.pending: dict[str, dict[str, OutstandingCommand]] = {}
        #: Commands that the last commit ended; their workers may have to stop.
        self._just_ended: dict[str, OutstandingCommand] = {}
        #: Executions whose rows may be out of date, after a commit by another server or
        #: one whose reply was lost.
        self._stale: set[int] = set()
        #: When leases were last checked.
        self._looked_at = 0

    # -- before the commit ------------------------------------------------------------

    def needs(self, slot: Slot) -> bool:
        """Return False: the store has all rows, so any execution may be evicted."""
        return False

    def claim(self, entry: CommitEntry, claim: Claim, capacity: WorkerCapacity | None) -> bool:
        """Record a worker's claim if the command is pending and open to this worker."""
        state = entry.slot.state
        command = state.command(claim.command_id)
        if not _is_issued_delivery(command, claim.generation, claim.attempt):
            return False
        if state.is_cancelling and not (command and command.stops):
            return False
        outstanding = self.outstanding.get(state.execution_id, {}).get(claim.command_id)
        if outstanding is None or outstanding.row.worker or claim.command_id in entry.claims:
            return False
        if capacity is not None and not capacity.accepts(outstanding.row.pool, state.labels):
            return False
        entry.claims[claim.command_id] = claim
        return True

    def is_holder(self, entry: CommitEntry, command_id: str, worker: str) -> bool:
        """Return whether a worker holds a command, counting claims of the current commit."""
        if entry.handed.get(command_id) == worker:
            return True
        claim = entry.claims.get(command_id)
        if claim is not None:
            return claim.worker == worker
        return self.holds(entry.slot.state.execution_id, command_id, worker) is not None

    def hand_over(
        self, entry: CommitEntry, command_ids: list[str], capacity: WorkerCapacity
    ) -> None:
        """Give commands directly to the worker whose report led to them.

        For fairness, nothing is handed over while the pool has older pending commands: the
        worker must pull those.
        """
        slot = entry.slot
        for command_id in command_ids:
            if capacity.room <= 0:
                return
            pool = self._pool(slot, command_id)
            if capacity.accepts(pool, slot.state.labels) and not self._has_older(pool):
                entry.handed[command_id] = capacity.worker
                capacity.handed_over.append((slot.state.execution_id, command_id))
                capacity.room -= 1

    def _has_older(self, pool: str) -> bool:
        waiting = self.pending.get(pool)
        if not waiting:
            return False
        oldest = next(iter(waiting.values()))
        return self.clock.now_us() - oldest.row.issued_at > HAND_OVER_US_MAX

    def _pool(self, slot: Slot, command_id: str) -> str:
        state = slot.state
        command = state.command(command_id)
        if command is None:
            return ""
        run = state.runs[f"{command.step}:{command.visit}"]
        return self.rules.pool(state, slot.plan.by_name[command.step], run)

    def project(self, entry: CommitEntry, change: Change) -> None:
        """Add ended, issued and claimed commands to the change."""
        change.claims = list(entry.claims.values())
        if not entry.events:
            return
        slot = entry.slot
        at = entry.events[-1].at
        for command_id in dict.fromkeys(entry.commands):
            command = slot.state.command(command_id)
            if command is not None and command.status is CommandStatus.ISSUED:
                change.issued.append(self._row(slot, command, at, entry.handed))
        issued = {row.command_id for row in change.issued}
        change.done = [i for i in self._ended(slot, entry.events) if i not in issued]
        if change.claims:
            ended = issued.union(change.done)
            change.claims = [claim for claim in change.claims if claim.command_id not in ended]

    def _row(self, slot: Slot, command: Command, at: int, handed: dict[str, str]) -> CommandRow:
        return CommandRow(
            command_id=command.command_id,
            execution_id=slot.state.execution_id,
            step=command.step,
            pool=self._pool(slot, command.command_id),
            generation=command.generation,
            attempt=command.lost + 1,
            issued_at=at,
            worker=handed.get(command.command_id, ""),
        )

    def _ended(self, slot: Slot, events: list[Recorded]) -> list[str]:
        """Return the commands ended by events that are already folded."""
        identity = slot.state.execution_id
        rows = self.outstanding.get(identity)
        if not rows:
            return []
        if slot.state.status.is_terminal:
            return list(rows)
        ended: list[str] = []
        for recorded in events:
            event = recorded.event
            if isinstance(event, (CommandCompleted, CommandSuspended, CommandCancelled)):
                ended.append(event.command_id)
            elif isinstance(event, StepExit):
                ended += self._by_visit.get((identity, run_key(event.step, event.visit)), ())
        return [i for i in dict.fromkeys(ended) if i in rows and not _is_issued(slot, i)]

    # -- after the commit -------------------------------------------------------------

    def committed(self, entry: CommitEntry) -> None:
        """Update the rows in memory after a commit."""
        change = entry.change
        assert change is not None
        self._just_ended = {}
        if not (change.done or change.issued or change.claims):
            return
        execution_id = change.execution_id
        rows = self.outstanding.setdefault(execution_id, {})
        for command_id in change.done:
            if command_id in rows:
                self._just_ended[command_id] = rows[command_id]
            self._forget(rows, command_id)
        for row in change.issued:
            self._forget(rows, row.command_id)
            self.add(row)
        for claim in change.claims:
            outstanding = rows[claim.command_id]
            self._remove_pending(outstanding.row)
            outstanding.row = outstanding.row._replace(worker=claim.worker)
            outstanding.expires_at = self.clock.monotonic_us() + self.lease_us
        if not rows and self.outstanding.get(execution_id) is rows:
            del self.outstanding[execution_id]

    def fenced(self, execution_id: int) -> None:
        """Mark an execution's rows as stale after another process wrote to it."""
        self._stale.add(execution_id)

    async def loaded(self, slot: Slot) -> None:
        """Reload an execution's rows if they are stale or contradict its state."""
        execution_id = slot.state.execution_id
        if execution_id not in self._stale and self._matches_state(slot):
            return
        rows = await self._rows_of(execution_id)
        self._stale.discard(execution_id)
        self._drop(execution_id)
        for row in rows:
            self.add(row)

    def _matches_state(self, slot: Slot) -> bool:
        """Return whether the rows in memory match the execution's state."""
        issued = {
            (c.command_id, c.generation, c.lost + 1)
            for run in slot.state.runs.values()
            for c in run.commands.values()
            if c.status is CommandStatus.ISSUED
        }
        rows = (known.row for known in self.outstanding.get(slot.state.execution_id, {}).values())
        return issued == {(row.command_id, row.generation, row.attempt) for row in rows}

    async def _rows_of(self, execution_id: int) -> list[CommandRow]:
        """Read an execution's outstanding commands from the store, page by page."""
        rows: list[CommandRow] = []
        while page := await self._commands.commands_of(execution_id, after=_last(rows)):
            rows += page
        return rows

    def _forget(self, rows: dict[str, OutstandingCommand], command_id: str) -> None:
        outstanding = rows.pop(command_id, None)
        if outstanding is None:
            return
        visit = _visit_of(outstanding.row)
        of_visit = self._by_visit.get(visit, {})
        of_visit.pop(command_id, None)
        if not of_visit:
            self._by_visit.pop(visit, None)
        if not outstanding.row.worker:
            self._remove_pending(outstanding.row)

    def _remove_pending(self, row: CommandRow) -> None:
        """Remove a pending command, and its pool if empty: pool names are unbounded."""
        waiting = self.pending.get(row.pool, {})
        if waiting.pop(row.command_id, None) is not None and not waiting:
            del self.pending[row.pool]

    def add(self, row: CommandRow) -> OutstandingCommand:
        """Add a stored row; a claimed command gets a fresh lease."""
        outstanding = OutstandingCommand(row)
        self.outstanding.setdefault(row.execution_id, {})[row.command_id] = outstanding
        self._by_visit.setdefault(_visit_of(row), {})[row.command_id] = None
        if row.worker:
            outstanding.expires_at = self.clock.monotonic_us() + self.lease_us
        else:
            self.pending.setdefault(row.pool, {})[row.command_id] = outstanding
        return outstanding

    def issue(self, slot: Slot, command_ids: list[str]) -> None:
        """Announce new commands to their pools, except those that were handed over."""
        rows = self.outstanding.get(slot.state.execution_id, {})
        known = (rows.get(command_id) for command_id in dict.fromkeys(command_ids))
        commands = [command for command in known if command is not None]
        if slot.state.is_cancelling:  # they stop jobs, which is confirmed in time or not at all
            for command in commands:
                command.stop_by = self.clock.monotonic_us() + STOP_US
        self.publish([command for command in commands if not command.row.worker])

    def publish(self, commands: list[OutstandingCommand]) -> None:
        """Announce commands to their pools, for the first time or again."""
        if not commands:
            return
        now = self.clock.monotonic_us()
        for outstanding in commands:
            outstanding.published_at = now
            outstanding.publishes += 1
        self.relay.publish([outstanding.row for outstanding in commands])

    def stop(self, slot: Slot, command_ids: list[str]) -> list[str]:
        """Tell the workers that hold commands to stop; return those that no worker holds."""
        execution_id = slot.state.execution_id
        rows = self.outstanding.get(execution_id, {})
        by_worker: dict[str, list[CommandRow]] = {}
        unheld: list[str] = []
        for command_id in command_ids:
            outstanding = rows.get(command_id) or self._just_ended.get(command_id)
            if outstanding is None or not outstanding.row.worker:
                unheld.append(command_id)
                continue
            outstanding.stop_by = self.clock.monotonic_us() + STOP_US
            by_worker.setdefault(outstanding.row.worker, []).append(outstanding.row)
        for worker, stopping in by_worker.items():
            self.relay.stop(worker, stopping)
        return unheld

    # -- leases -----------------------------------------------------------------------

    def holds(self, execution_id: int, command_id: str, worker: str) -> OutstandingCommand | None:
        """Return the command if this worker holds it."""
        outstanding = self.outstanding.get(execution_id, {}).get(command_id)
        return outstanding if outstanding is not None and outstanding.row.worker == worker else None

    def held_in(self, shards: frozenset[int]) -> list[CommandRow]:
        """Return the commands of some shards that workers hold."""
        owned = (commands for i, commands in self.outstanding.items() if shard_of(i) in shards)
        return [one.row for found in owned for one in found.values() if one.row.worker]

    def extend(self, execution_id: int, command_id: str, generation: int, worker: str) -> bool:
        """Extend a worker's lease; return False if the worker no longer holds the command."""
        outstanding = self.holds(execution_id, command_id, worker)
        if outstanding is None or outstanding.row.generation != generation:
            return False
        outstanding.expires_at = self.clock.monotonic_us() + self.lease_us
        return True

    def expire(self) -> list[tuple[int, AnyInput]]:
        """Return the inputs that follow from expired leases and unconfirmed stops."""
        now = self.clock.monotonic_us()
        since, self._looked_at = now - (self._looked_at or now), now
        if since > STANDSTILL_US:
            self._defer(since)
        inputs: list[tuple[int, AnyInput]] = []
        for execution_id, rows in self.outstanding.items():
            for outstanding in rows.values():
                if outstanding.stop_by and outstanding.stop_by <= now:
                    outstanding.stop_by = 0
                    stopped = Stopped(command_id=outstanding.row.command_id, confirmed=False)
                    inputs.append((execution_id, stopped))
                elif outstanding.expires_at and outstanding.expires_at <= now:
                    outstanding.expires_at = now + self.lease_us
                    inputs.append((execution_id, _lost_input(outstanding.row)))
        return inputs

    def _defer(self, by_us: int) -> None:
        """Extend every lease by the time for which this server stood still and heard nobody."""
        for commands in self.outstanding.values():
            for command in commands.values():
                command.expires_at += by_us if command.expires_at else 0
                command.stop_by += by_us if command.stop_by else 0

    def returned(self, execution_id: int, command_id: str, worker: str) -> Lost | None:
        """Return the input for a command that its worker hands back unfinished."""
        outstanding = self.holds(execution_id, command_id, worker)
        return None if outstanding is None else _returned_input(outstanding.row)

    # -- shards -----------------------------------------------------------------------

    def drop(self, shards: Collection[int]) -> None:
        """Forget the commands of shards that another server now owns."""
        for execution_id in [i for i in self.outstanding if shard_of(i) in shards]:
            self._drop(execution_id)

    def _drop(self, execution_id: int) -> None:
        rows = self.outstanding.pop(execution_id, {})
        for command_id in list(rows):
            self._forget(rows, command_id)

    def unclaimed(self, older_than_us: int) -> list[OutstandingCommand]:
        """Return pending commands to announce again, oldest first.

        The interval doubles with each announcement, so that a long queue is not flooded.
        """
        now = self.clock.monotonic_us()
        return [
            outstanding
            for waiting in self.pending.values()
            for outstanding in waiting.values()
            if now - outstanding.published_at
            > older_than_us * 2 ** min(outstanding.publishes - 1, 5)
        ]


def _is_issued_delivery(command: Command | None, generation: int, attempt: int) -> bool:
    return (
        command is not None
        and command.status is CommandStatus.ISSUED
        and command.generation == generation
        and command.lost + 1 == attempt
    )


def _last(rows: list[CommandRow]) -> str:
    return rows[-1].command_id if rows else ""


def _visit_of(row: CommandRow) -> tuple[int, str]:
    return row.execution_id, run_key_of(row.command_id)


def _is_issued(slot: Slot, command_id: str) -> bool:
    command = slot.state.command(command_id)
    return command is not None and command.status is CommandStatus.ISSUED


def _returned_input(row: CommandRow) -> Lost:
    return Lost(
        command_id=row.command_id,
        generation=row.generation,
        attempt=row.attempt,
        reason=f"worker {row.worker} gave it back",
        returned=True,
    )


def _lost_input(row: CommandRow) -> Lost:
    return Lost(
        command_id=row.command_id,
        generation=row.generation,
        attempt=row.attempt,
        reason=f"worker {row.worker} was silent for too long",
    )
