"""What the drive loop is told of its surroundings: what it owns, and where commands go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from arcbook.engine.state import State
from arcbook.events.types import Recorded, ResultRef
from arcbook.owner.slots import Slot
from arcbook.store.api import Change, Claim, EventRow, StartKey, Tick


class Ownership(Protocol):
    """What of all executions a drive loop owns."""

    @property
    def owner(self) -> str:
        """The server that owns it, for commits; empty in a process that is alone."""

    def owns(self, execution_id: int) -> bool:
        """Return whether it owns an execution."""

    def may_own(self, execution_id: int) -> bool:
        """Return whether it owns an execution unless another process has taken it over."""

    def child_ids(self, execution_id: int) -> Callable[[], int]:
        """Return what makes ids for an execution's children, which have the same owner."""


class FullOwnership:
    """All executions, for a process that is alone."""

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
    """Who claims or reports, what it may be given, and the room that it has.

    What follows from a report may go to its worker at once.
    """

    __slots__ = ("pools", "room", "taken", "tenant", "worker")

    def __init__(
        self, worker: str, pools: frozenset[str] | None, room: int = 0, *, tenant: str = ""
    ) -> None:
        self.worker = worker
        #: The pools whose commands it may have; nothing means all.
        self.pools = pools
        self.room = room
        #: The tenant whose executions it may perform; empty means everybody's.
        self.tenant = tenant
        #: Commands that were handed over: execution and command.
        self.taken: list[tuple[int, str]] = []

    def may_have(self, pool: str, labels: Mapping[str, str]) -> bool:
        """Return whether a command may go to it."""
        is_of_pool = self.pools is None or pool in self.pools
        return is_of_pool and self.tenant in ("", labels.get("tenant", ""))


class CommitEntry:
    """What one commit has to write and to tell for one execution."""

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
        #: Executions that one input changed together with this one: all are stored, or none.
        self.linked: set[int] = set()
        self.begin_anew(slot.state)

    def begin_anew(self, state: State) -> None:
        """Begin with nothing to write, the execution being where the store has it."""
        self.slot.state = state
        self.after_seq = state.seq
        self.events: list[Recorded] = []
        #: The events as they are stored.
        self.rows: list[EventRow] = []
        self.commands: list[str] = []
        self.stop: list[str] = []
        self.kept: list[ResultRef] = []
        self.timers_changed = False
        #: Commands that workers claim, by id.
        self.claims: dict[str, Claim] = {}
        #: Commands that go to the worker whose report led to them, by id.
        self.handed: dict[str, str] = {}
        self.tick: Tick | None = None
        self.key: StartKey | None = None
        #: Whether the execution's row is to be written though nothing has happened.
        self.refresh = False
        self.change: Change | None = None

    @property
    def has_changed(self) -> bool:
        """Whether there is anything to store."""
        return bool(self.events or self.claims or self.refresh)


class CommandSink(Protocol):
    """Where commands go once they are stored."""

    def issue(self, slot: Slot, command_ids: list[str]) -> None:
        """Hand commands to workers."""

    def stop(self, slot: Slot, command_ids: list[str]) -> list[str]:
        """Have the tools of commands stopped; return the commands that nobody performs.

        Each of the others is answered by an input ``Stopped``.
        """

    def needs(self, slot: Slot) -> bool:
        """Return whether an execution must stay in memory."""


class CommandLedger(Protocol):
    """The rows of commands that a cluster keeps beside the events."""

    def claim(self, entry: CommitEntry, claim: Claim, capacity: WorkerCapacity | None) -> bool:
        """Return whether a worker may have a command; if so, note the claim in ``entry``."""

    def is_holder(self, entry: CommitEntry, command_id: str, worker: str) -> bool:
        """Return whether a worker holds a command."""

    def hand_over(
        self, entry: CommitEntry, command_ids: list[str], capacity: WorkerCapacity
    ) -> None:
        """Note in ``entry`` which commands go to the worker that has capacity."""

    def project(self, entry: CommitEntry, change: Change) -> None:
        """Add the rows of commands that change to a change of the store."""

    def committed(self, entry: CommitEntry) -> None:
        """Take over the rows that a commit has stored."""

    def fenced(self, execution_id: int) -> None:
        """Mark the rows of an execution as stale: another process wrote to it."""

    async def loaded(self, slot: Slot) -> None:
        """Read the rows of an execution again if they are stale."""


class TurnTimes:
    """Where the time of one turn of the drive loop went, in microseconds."""

    __slots__ = ("decide", "encode", "store", "tell")

    def __init__(self) -> None:
        #: For each input: loading, deciding and folding.
        self.decide: list[int] = []
        self.encode = 0
        self.store = 0
        self.tell = 0
