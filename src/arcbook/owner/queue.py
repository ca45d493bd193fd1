"""Queued inputs of the drive loop, and the executions that one input changes together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from arcbook.engine.inputs import AnyInput, Checkpointed, Report, Stopped
from arcbook.owner.plans import Planned
from arcbook.owner.ports import CommandLedger, CommitEntry, WorkerCapacity
from arcbook.owner.rows import RefreshRow
from arcbook.store.api import Claim, StartKey, Tick

INHERITED: Final = ("tenant", "organization")
"""Labels that children inherit from their parent."""


class QueuedInput:
    """An input or a claim in the queue of the drive loop."""

    __slots__ = (
        "accepted",
        "capacity",
        "execution_id",
        "future",
        "key",
        "planned",
        "received",
        "tick",
        "tries",
    )

    def __init__(
        self,
        execution_id: int,
        received: AnyInput | Claim | RefreshRow,
        future: asyncio.Future[bool] | None = None,
        planned: Planned | None = None,
        capacity: WorkerCapacity | None = None,
    ) -> None:
        self.execution_id = execution_id
        self.received = received
        self.future = future
        self.planned = planned
        self.capacity = capacity
        self.tick: Tick | None = None
        self.key: StartKey | None = None
        self.accepted = False
        self.tries = 0


def link(pending: dict[int, CommitEntry], first: int, second: int) -> None:
    """Record that one input changed two executions: both are stored, or neither."""
    pending[first].linked.add(second)
    pending[second].linked.add(first)


def linked_executions(changed: dict[int, CommitEntry], execution_ids: Iterable[int]) -> set[int]:
    """Return executions and all others linked to them, directly or not."""
    linked: set[int] = set()
    pending = list(execution_ids)
    while pending:
        execution_id = pending.pop()
        if execution_id in changed and execution_id not in linked:
            linked.add(execution_id)
            pending += changed[execution_id].linked
    return linked


def linked_groups(changed: dict[int, CommitEntry]) -> list[dict[int, CommitEntry]]:
    """Split executions into groups that must be stored together."""
    groups: list[dict[int, CommitEntry]] = []
    ungrouped = dict(changed)
    while ungrouped:
        linked = linked_executions(ungrouped, [next(iter(ungrouped))])
        groups.append({i: ungrouped.pop(i) for i in list(ungrouped) if i in linked})
    return groups


def inherited(pending: dict[int, CommitEntry], execution_id: int) -> dict[str, str]:
    """Return the labels that a child inherits from an execution."""
    labels = pending[execution_id].slot.state.labels
    return {name: labels[name] for name in INHERITED if name in labels}


def refuse(item: QueuedInput, error: BaseException) -> None:
    """Reject an input: raise an error at the caller that waits for it, if any."""
    if item.future is not None and not item.future.done():
        item.future.set_exception(error)


def is_from_other_worker(entry: CommitEntry, item: QueuedInput, ledger: CommandLedger) -> bool:
    """Return whether a worker reports on a command that it does not hold."""
    received, capacity = item.received, item.capacity
    if capacity is None or not isinstance(received, (Report, Checkpointed, Stopped)):
        return False
    return not ledger.is_holder(entry, received.command_id, capacity.worker)
