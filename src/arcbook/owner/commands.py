"""The owner's side of commands: given out, claimed, leased, lost.

What is out is in the store, as rows that change in the same commit as the events. The
owner keeps the same rows in memory, with the leases, which only it needs: when another
server takes over, every claimed command gets a fresh lease there. A worker that still
performs it says so in time; one that is gone does not.
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
"""How long a worker may be silent before its commands go to another one."""

HAND_OVER_US_MAX: Final = 1_000_000
"""Age of the oldest pending command of a pool up to which others may overtake it."""

STOP_US: Final = 10_000_000
"""Time that workers have to stop a tool after a cancellation, in microseconds."""

MICROSECONDS: Final = 1_000_000


class Relay(Protocol):
    """Sends what the owner has to say."""

    def publish(self, rows: Iterable[CommandRow]) -> None:
        """Tell pools that there are commands."""

    def stop(self, worker: str, rows: list[CommandRow]) -> None:
        """Tell a worker to stop the tools of some commands."""


class OutstandingCommand:
    """A command that is out."""

    __slots__ = ("expires_at", "published_at", "publishes", "row", "stop_by")

    def __init__(self, row: CommandRow) -> None:
        self.row = row
        #: When the lease of its worker ends, by the monotonic clock; 0 while it is pending.
        self.expires_at = 0
        self.published_at = 0
        self.publishes = 0
        #: When a stop that was asked for counts as not confirmed.
        self.stop_by = 0


class CommandBook:
    """Commands of the executions that a server owns."""

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
        self.out: dict[int, dict[str, OutstandingCommand]] = {}
        #: The same by execution and visit, for a visit may end before its commands do.
        self._of_visit: dict[tuple[int, str], dict[str, None]] = {}
        #: Pending commands by pool, the oldest first.
        self.pending: dict[str, dict[str, OutstandingCommand]] = {}
        #: Commands that the last commit put an end to; their workers may have to stop.
        self._ended_now: dict[str, OutstandingCommand] = {}
        #: Executions with more in the store than is known here: a commit whose answer was
        #: lost, or another server's. Their rows here may be wrong.
        self._stale: set[int] = set()

    # -- before the commit ------------------------------------------------------------

    def needs(self, slot: Slot) -> bool:
        """Return whether an execution must stay in memory: none, the store has them."""
        return False

    def claim(self, entry: CommitEntry, claim: Claim, capacity: WorkerCapacity | None) -> bool:
        """Note that a worker takes a command, if it is there to be taken by this one."""
        state = entry.slot.state
        command = state.command(claim.command_id)
        if not _is_out(command, claim.generation, claim.attempt) or state.is_cancelling:
            return False
        out = self.out.get(state.execution_id, {}).get(claim.command_id)
        if out is None or out.row.worker or claim.command_id in entry.claims:
            return False
        if capacity is not None and not capacity.may_have(out.row.pool, state.labels):
            return False
        entry.claims[claim.command_id] = claim
        return True

    def is_holder(self, entry: CommitEntry, command_id: str, worker: str) -> bool:
        """Return whether a worker has a command: by the store, or by the commit that is made."""
        if entry.handed.get(command_id) == worker:
            return True
        claim = entry.claims.get(command_id)
        if claim is not None:
            return claim.worker == worker
        return self.holds(entry.slot.state.execution_id, command_id, worker) is not None

    def hand_over(
        self, entry: CommitEntry, command_ids: list[str], capacity: WorkerCapacity
    ) -> None:
        """Give commands to the worker whose report led to them, without the bus.

        Nobody waits for long because of it: with older commands pending in the pool the
        worker has to pull.
        """
        slot = entry.slot
        for command_id in command_ids:
            if capacity.room <= 0:
                return
            pool = self._pool(slot, command_id)
            if capacity.may_have(pool, slot.state.labels) and not self._has_older(pool):
                entry.handed[command_id] = capacity.worker
                capacity.taken.append((slot.state.execution_id, command_id))
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
        """Write which commands are out no more, given out, and claimed."""
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
            gone = issued.union(change.done)
            change.claims = [claim for claim in change.claims if claim.command_id not in gone]

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
        """Return the commands that events, folded already, put an end to."""
        identity = slot.state.execution_id
        out = self.out.get(identity)
        if not out:
            return []
        if slot.state.status.is_terminal:
            return list(out)
        ended: list[str] = []
        for recorded in events:
            event = recorded.event
            if isinstance(event, (CommandCompleted, CommandSuspended, CommandCancelled)):
                ended.append(event.command_id)
            elif isinstance(event, StepExit):
                ended += self._of_visit.get((identity, run_key(event.step, event.visit)), ())
        return [i for i in dict.fromkeys(ended) if i in out and not _is_issued(slot, i)]

    # -- after the commit -------------------------------------------------------------

    def committed(self, entry: CommitEntry) -> None:
        """Take over what a commit wrote of commands."""
        change = entry.change
        assert change is not None
        self._ended_now = {}
        if not (change.done or change.issued or change.claims):
            return
        execution_id = change.execution_id
        rows = self.out.setdefault(execution_id, {})
        for command_id in change.done:
            if command_id in rows:
                self._ended_now[command_id] = rows[command_id]
            self._forget(rows, command_id)
        for row in change.issued:
            self._forget(rows, row.command_id)
            self.add(row)
        for claim in change.claims:
            out = rows[claim.command_id]
            self._not_pending(out.row)
            out.row = out.row._replace(worker=claim.worker)
            out.expires_at = self.clock.monotonic_us() + self.lease_us
        if not rows and self.out.get(execution_id) is rows:
            del self.out[execution_id]

    def fenced(self, execution_id: int) -> None:
        """Take note that more was written than is known here; so is what is out."""
        self._stale.add(execution_id)

    async def loaded(self, slot: Slot) -> None:
        """Read again what is out of an execution, if that is not known for sure."""
        execution_id = slot.state.execution_id
        if execution_id not in self._stale and self._knows(slot):
            return
        rows = await self._rows_of(execution_id)
        self._stale.discard(execution_id)
        self._drop(execution_id)
        for row in rows:
            self.add(row)

    def _knows(self, slot: Slot) -> bool:
        """Return whether what is out here is what a state says."""
        out = {
            (c.command_id, c.generation, c.lost + 1)
            for run in slot.state.runs.values()
            for c in run.commands.values()
            if c.status is CommandStatus.ISSUED
        }
        rows = (one.row for one in self.out.get(slot.state.execution_id, {}).values())
        return out == {(row.command_id, row.generation, row.attempt) for row in rows}

    async def _rows_of(self, execution_id: int) -> list[CommandRow]:
        """Return what is out of an execution."""
        found: list[CommandRow] = []
        while page := await self._commands.commands_of(execution_id, after=_last(found)):
            found += page
        return found

    def _forget(self, rows: dict[str, OutstandingCommand], command_id: str) -> None:
        out = rows.pop(command_id, None)
        if out is None:
            return
        visit = _visit_of(out.row)
        of_visit = self._of_visit.get(visit, {})
        of_visit.pop(command_id, None)
        if not of_visit:
            self._of_visit.pop(visit, None)
        if not out.row.worker:
            self._not_pending(out.row)

    def _not_pending(self, row: CommandRow) -> None:
        """Have a command wait no more, nor its pool be known for it: anybody names pools."""
        waiting = self.pending.get(row.pool, {})
        if waiting.pop(row.command_id, None) is not None and not waiting:
            del self.pending[row.pool]

    def add(self, row: CommandRow) -> OutstandingCommand:
        """Keep a row of the store; a claimed one with a fresh lease."""
        out = OutstandingCommand(row)
        self.out.setdefault(row.execution_id, {})[row.command_id] = out
        self._of_visit.setdefault(_visit_of(row), {})[row.command_id] = None
        if row.worker:
            out.expires_at = self.clock.monotonic_us() + self.lease_us
        else:
            self.pending.setdefault(row.pool, {})[row.command_id] = out
        return out

    def issue(self, slot: Slot, command_ids: list[str]) -> None:
        """Tell pools of new commands; those that were handed over are known already."""
        rows = self.out.get(slot.state.execution_id, {})
        found = (rows.get(command_id) for command_id in dict.fromkeys(command_ids))
        self.publish([out for out in found if out is not None and not out.row.worker])

    def publish(self, outs: list[OutstandingCommand]) -> None:
        """Tell pools of commands, for the first time or again."""
        if not outs:
            return
        now = self.clock.monotonic_us()
        for out in outs:
            out.published_at = now
            out.publishes += 1
        self.relay.publish([out.row for out in outs])

    def stop(self, slot: Slot, command_ids: list[str]) -> list[str]:
        """Tell the workers that hold commands to stop them; return those that nobody holds."""
        execution_id = slot.state.execution_id
        rows = self.out.get(execution_id, {})
        by_worker: dict[str, list[CommandRow]] = {}
        unheld: list[str] = []
        for command_id in command_ids:
            out = rows.get(command_id) or self._ended_now.get(command_id)
            if out is None or not out.row.worker:
                unheld.append(command_id)
                continue
            out.stop_by = self.clock.monotonic_us() + STOP_US
            by_worker.setdefault(out.row.worker, []).append(out.row)
        for worker, stopping in by_worker.items():
            self.relay.stop(worker, stopping)
        return unheld

    # -- leases -----------------------------------------------------------------------

    def holds(self, execution_id: int, command_id: str, worker: str) -> OutstandingCommand | None:
        """Return a command if a worker holds it."""
        out = self.out.get(execution_id, {}).get(command_id)
        return out if out is not None and out.row.worker == worker else None

    def extend(self, execution_id: int, command_id: str, generation: int, worker: str) -> bool:
        """Extend a worker's lease; false if the command is not its own any more."""
        out = self.holds(execution_id, command_id, worker)
        if out is None or out.row.generation != generation:
            return False
        out.expires_at = self.clock.monotonic_us() + self.lease_us
        return True

    def expire(self) -> list[tuple[int, AnyInput]]:
        """Return the inputs that follow from leases, and waits for stops, that have run out."""
        now = self.clock.monotonic_us()
        inputs: list[tuple[int, AnyInput]] = []
        for execution_id, rows in self.out.items():
            for out in rows.values():
                if out.stop_by and out.stop_by <= now:
                    out.stop_by = 0
                    stopped = Stopped(command_id=out.row.command_id, confirmed=False)
                    inputs.append((execution_id, stopped))
                elif out.expires_at and out.expires_at <= now:
                    out.expires_at = now + self.lease_us
                    inputs.append((execution_id, _lost(out.row)))
        return inputs

    def given_back(self, execution_id: int, command_id: str, worker: str) -> Lost | None:
        """Return the input for a command that its worker did not begin, or cannot end."""
        out = self.holds(execution_id, command_id, worker)
        return None if out is None else _returned(out.row)

    # -- shards -----------------------------------------------------------------------

    def drop(self, shards: Collection[int]) -> None:
        """Forget what is out in shards that another server owns now."""
        for execution_id in [i for i in self.out if shard_of(i) in shards]:
            self._drop(execution_id)

    def _drop(self, execution_id: int) -> None:
        rows = self.out.pop(execution_id, {})
        for command_id in list(rows):
            self._forget(rows, command_id)

    def unclaimed(self, older_than_us: int) -> list[OutstandingCommand]:
        """Return pending commands that were published some time ago, the oldest first.

        The time doubles with each publication, so that a long queue does not grow by it.
        """
        now = self.clock.monotonic_us()
        return [
            out
            for waiting in self.pending.values()
            for out in waiting.values()
            if now - out.published_at > older_than_us * 2 ** min(out.publishes - 1, 5)
        ]


def _is_out(command: Command | None, generation: int, attempt: int) -> bool:
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


def _returned(row: CommandRow) -> Lost:
    return Lost(
        command_id=row.command_id,
        generation=row.generation,
        attempt=row.attempt,
        reason=f"worker {row.worker} gave it back",
        returned=True,
    )


def _lost(row: CommandRow) -> Lost:
    return Lost(
        command_id=row.command_id,
        generation=row.generation,
        attempt=row.attempt,
        reason=f"worker {row.worker} was silent for too long",
    )
