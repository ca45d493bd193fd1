"""The ports of the drive loop: what it owns, and where commands go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from arcbook.engine.state import State
from arcbook.events.types import Recorded, ResultRef
from arcbook.owner.slots import Slot
from arcbook.store.api import Change, Claim, EventRow, StartKey, Tick


class Ownership(Protocol):
    """The executions that a drive loop owns."""

    @property
    def owner(self) -> str:
        """The owning server, which fences commits; empty in a single-process runtime."""

    def owns(self, execution_id: int) -> bool:
        """Return whether the execution is owned now."""

    def may_own(self, execution_id: int) -> bool:
        """Return whether the execution is owned, unless another process has taken it over."""

    def child_ids(self, execution_id: int) -> Callable[[], int]:
        """Return a generator of ids for children, which share the execution's owner."""


class FullOwnership:
    """Ownership of all executions, for a single-process runtime."""

    owner = ""

    def __init__(self, ids: Callable[[], int]) -> None:
        self._ids = ids

    def owns(self, execution_id: int) -> bool:
        return True

    def may_own(self, execution_id: int) -> bool:
        return True

    def child_ids(self, execution_id: int) -> Callable[[], int]:
        return self._ids


class WorkerCapacity:
    """The worker that claims or reports, and which further commands it can take.

    Commands that follow from a report may be handed to its worker at once.
    """

    __slots__ = ("handed_over", "pools", "room", "tenant", "worker")

    def __init__(
        self, worker: str, pools: frozenset[str] | None, room: int = 0, *, tenant: str = ""
    ) -> None:
        self.worker = worker
        #: The pools whose commands it may take; None means all.
        self.pools = pools
        self.room = room
        #: The tenant whose executions it may perform; empty means any.
        self.tenant = tenant
        #: Commands handed over: pairs of execution and command id.
        self.handed_over: list[tuple[int, str]] = []

    def accepts(self, pool: str, labels: Mapping[str, str]) -> bool:
        """Return whether the worker may take a command."""
        is_of_pool = self.pools is None or pool in self.pools
        return is_of_pool and self.tenant in ("", labels.get("tenant", ""))


class CommitEntry:
    """What one commit writes and publishes for one execution."""

    __slots__ = (
        "after_seq",
        "change",
        "claims",
        "commands",
        "events",
        "handed",
        "kept",
        "key",
        "linked",
        "refresh",
        "rows",
        "slot",
        "stop",
        "tick",
        "timers_changed",
    )

    def __init__(self, slot: Slot) -> None:
        self.slot = slot
        #: Executions changed by the same inputs as this one: all are stored, or none.
        self.linked: set[int] = set()
        self.reset(slot.state)

    def reset(self, state: State) -> None:
        """Discard all changes and continue from a state as stored."""
        self.slot.state = state
        self.after_seq = state.seq
        self.events: list[Recorded] = []
        #: The events as rows of the log.
        self.rows: list[EventRow] = []
        self.commands: list[str] = []
        self.stop: list[str] = []
        self.kept: list[ResultRef] = []
        self.timers_changed = False
        #: Commands that workers claim, by id.
        self.claims: dict[str, Claim] = {}
        #: Workers by id of the command that is handed over to them.
        self.handed: dict[str, str] = {}
        self.tick: Tick | None = None
        self.key: StartKey | None = None
        #: Whether to write the summary row even if there are no events.
        self.refresh = False
        self.change: Change | None = None

    @property
    def has_changed(self) -> bool:
        """Whether there is anything to store."""
        return bool(self.events or self.claims or self.refresh)


class CommandSink(Protocol):
    """Delivers commands once they are stored."""

    def issue(self, slot: Slot, command_ids: list[str]) -> None:
        """Deliver commands to workers."""

    def stop(self, slot: Slot, command_ids: list[str]) -> list[str]:
        """Stop the tools of commands; return the ids of commands that no worker holds.

        An input ``Stopped`` follows for each of the others.
        """

    def needs(self, slot: Slot) -> bool:
        """Return whether an execution must stay in memory."""


class CommandLedger(Protocol):
    """The command rows that a cluster stores beside the events."""

    def claim(self, entry: CommitEntry, claim: Claim, capacity: WorkerCapacity | None) -> bool:
        """Record a claim in ``entry`` if the worker may take the command; return if it may."""

    def is_holder(self, entry: CommitEntry, command_id: str, worker: str) -> bool:
        """Return whether a worker holds a command."""

    def hand_over(
        self, entry: CommitEntry, command_ids: list[str], capacity: WorkerCapacity
    ) -> None:
        """Record in ``entry`` which commands go straight to the reporting worker."""

    def project(self, entry: CommitEntry, change: Change) -> None:
        """Add changed command rows to a store change."""

    def committed(self, entry: CommitEntry) -> None:
        """Update the rows in memory after a commit."""

    def fenced(self, execution_id: int) -> None:
        """Mark an execution's rows as stale after another process wrote to it."""

    async def loaded(self, slot: Slot) -> None:
        """Reload an execution's rows if they are stale."""


class TurnTimes:
    """Time spent in the phases of one turn of the drive loop, in microseconds."""

    __slots__ = ("decide", "encode", "store", "tell")

    def __init__(self) -> None:
        #: Loading, deciding and folding, for each input.
        self.decide: list[int] = []
        self.encode = 0
        self.store = 0
        self.tell = 0
