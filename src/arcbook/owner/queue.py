"""Inputs on their way through the drive loop, and what one of them changes together."""

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
"""Labels that an execution hands on to its children."""


class QueuedInput:
    """An input that waits to be taken, or a claim."""

    __slots__ = (
        "accepted",
        "capacity",
        "execution_id",
        "future",
        "given",
        "key",
        "planned",
        "tick",
        "tries",
    )

    def __init__(
        self,
        execution_id: int,
        given: AnyInput | Claim | RefreshRow,
        future: asyncio.Future[bool] | None = None,
        planned: Planned | None = None,
        capacity: WorkerCapacity | None = None,
    ) -> None:
        self.execution_id = execution_id
        self.given = given
        self.future = future
        self.planned = planned
        self.capacity = capacity
        self.tick: Tick | None = None
        self.key: StartKey | None = None
        self.accepted = False
        self.tries = 0


def link(pending: dict[int, CommitEntry], one: int, other: int) -> None:
    """Note that one input changed two executions: both are stored, or none."""
    pending[one].linked.add(other)
    pending[other].linked.add(one)


def together(changed: dict[int, CommitEntry], execution_ids: Iterable[int]) -> set[int]:
    """Return executions, and all that one input changed together with them."""
    found: set[int] = set()
    left = list(execution_ids)
    while left:
        execution_id = left.pop()
        if execution_id in changed and execution_id not in found:
            found.add(execution_id)
            left += changed[execution_id].linked
    return found


def apart(changed: dict[int, CommitEntry]) -> list[dict[int, CommitEntry]]:
    """Return executions in groups: each of those that one input changed together."""
    groups: list[dict[int, CommitEntry]] = []
    left = dict(changed)
    while left:
        found = together(left, [next(iter(left))])
        groups.append({i: left.pop(i) for i in list(left) if i in found})
    return groups


def inherited(pending: dict[int, CommitEntry], execution_id: int) -> dict[str, str]:
    """Return the labels that an execution hands on to a child."""
    labels = pending[execution_id].slot.state.labels
    return {name: labels[name] for name in INHERITED if name in labels}


def refuse(item: QueuedInput, error: BaseException) -> None:
    """Tell whoever waits for an input that it was not taken."""
    if item.future is not None and not item.future.done():
        item.future.set_exception(error)


def is_anothers(entry: CommitEntry, item: QueuedInput, ledger: CommandLedger) -> bool:
    """Return whether a worker reports of a command that it has not got."""
    given, capacity = item.given, item.capacity
    if capacity is None or not isinstance(given, (Report, Checkpointed, Stopped)):
        return False
    return not ledger.is_holder(entry, given.command_id, capacity.worker)
