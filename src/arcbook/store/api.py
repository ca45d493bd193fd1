"""The ports to the store, which holds everything that must survive.

One writer owns an execution at a time. It appends events with gapless numbers; the
primary key ``(execution_id, seq)`` makes a second writer's append fail, and that one
loads again. Everything a commit holds becomes durable together, or not at all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any, Final, NamedTuple, Protocol, Self

import msgspec

from arcbook.errors import ConflictError, UnavailableError
from arcbook.store.access import ChangeAudit, Tokens
from arcbook.store.secret_audit import SecretAudit
from arcbook.store.trials import Trials

PAGE_MAX: Final = 1000
"""Rows of one page of any list."""


class EventRow(NamedTuple):
    """An event as it is stored."""

    seq: int
    #: Microseconds since the epoch.
    at: int
    type: str
    #: The step it is about, or an empty text.
    step: str
    #: The event as JSON.
    body: bytes


ROW_AGE_US_MAX: Final = 500_000
"""How old an execution's row may be while it runs, in microseconds."""


class ExecutionRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An execution at a glance. Its status is never behind its events."""

    execution_id: int
    path: str
    version: int = 0
    catalog_id: int = 0
    status: str
    seq: int = 0
    parent_execution_id: int = 0
    #: Microseconds since the epoch.
    started_at: int = 0
    updated_at: int = 0
    ended_at: int = 0
    #: Steps that run or wait, as text.
    current: str = ""
    error: str = ""
    labels: dict[str, str] = {}

    @property
    def tenant(self) -> str:
        """Whose execution it is."""
        return self.labels.get("tenant", "")

    @property
    def organization(self) -> str:
        """The organization within the tenant."""
        return self.labels.get("organization", "")


class ResultRow(NamedTuple):
    """A value kept by reference."""

    ref: str
    step: str
    bytes: int
    sha256: str
    store: str


def ids_of(execution_id: int, after: str) -> tuple[str, str]:
    """Return what the ids of an execution's commands lie between, from the one after an id."""
    return max(after, f"{execution_id}:"), f"{execution_id};"


class CommandRow(NamedTuple):
    """A command that is out: pending until a worker claims it, gone once it is done."""

    #: Begins with the id of its execution and a colon.
    command_id: str
    execution_id: int
    step: str
    pool: str
    #: Grows with each delivery after a wait; a claim or report of an older one is stale.
    generation: int
    #: Grows with each delivery that was lost.
    attempt: int
    #: Microseconds since the epoch.
    issued_at: int
    #: Who claimed it; an empty text while it is pending.
    worker: str = ""


class Claim(NamedTuple):
    """A pending command becomes a worker's. It is fenced by what the claimer believes."""

    command_id: str
    generation: int
    attempt: int
    worker: str


class Tick(NamedTuple):
    """A schedule's tick, which starts the execution of the change. It is fenced by ``due_at``."""

    name: str
    #: The time that the schedule waited for, and the next; microseconds since the epoch.
    due_at: int
    next_at: int


class StartKey(NamedTuple):
    """An idempotency key, which the execution of the change takes.

    It is fenced: while another execution has it, the change is not written.
    """

    #: Path of the playbook; a key means something for one path only.
    path: str
    key: str
    #: The time of the start, and until when the key is taken; microseconds since the epoch.
    at: int
    expires_at: int


class Change(msgspec.Struct, kw_only=True):
    """What one commit writes for one execution: events, and what is projected from them.

    It is fenced by the owner of the execution's shard, by the number of the last event, by
    the state of each command that it claims, by the schedule whose tick it is, and by the key
    that it takes.
    """

    execution_id: int
    #: Number of the last event before this change; what the writer believes.
    after_seq: int
    events: list[EventRow]
    #: The execution at a glance, if it is to be written: at its start and end, and when the
    #: one that is stored is older than :data:`ROW_AGE_US_MAX`; without events if nothing
    #: happens after one that was not written.
    row: ExecutionRow | None = None
    #: The state after the events, when it is time to save it.
    snapshot: bytes | None = None
    #: Values that the events refer to.
    results: list[ResultRow] = []
    #: All timers of the execution, if they changed: id and microseconds since the epoch.
    timers: dict[str, int] | None = None
    #: Commands that are out no more, by id. They go first ...
    done: list[str] = []
    #: ... then those that are given out, in place of a row of the same id; one with a worker
    #: is handed to it in the same commit ...
    issued: list[CommandRow] = []
    #: ... and then those that workers claim.
    claims: list[Claim] = []
    tick: Tick | None = None
    key: StartKey | None = None
    #: The server that writes, which must own the shard; empty where nobody owns shards.
    owner: str = ""

    @property
    def looks_at_head(self) -> bool:
        """Whether it adds no events, and yet holds only if nobody else has."""
        return not self.events and bool(self.claims or self.row is not None)


class Stored(NamedTuple):
    """An execution as it is loaded: a snapshot, and the events after it."""

    row: ExecutionRow
    snapshot: bytes | None
    events: list[EventRow]


class FencedError(ConflictError):
    """Another writer was there first: an event, a claim, a tick or a key is already taken.

    This one must load the executions again.

    Attributes:
        execution_ids: the executions concerned. Nothing of the commit was written.
    """

    code = "fenced"

    def __init__(self, execution_ids: Sequence[int]) -> None:
        self.execution_ids = tuple(execution_ids)
        super().__init__(f"another writer owns {', '.join(map(str, execution_ids))}")


class StoreError(UnavailableError):
    """The store cannot do what was asked: the disk is full, a file cannot be written, ..."""

    code = "store_unavailable"


class UnstorableError(StoreError):
    """A value is none that the store can hold: nothing was written, nor will be on another try.

    Trying again is of no use, and the store itself is well.
    """

    code = "unstorable"


class CatalogEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A version of a document in the catalog."""

    catalog_id: int
    path: str
    version: int
    kind: str
    content: str
    #: Digest of the content; registering the same again makes no new version.
    sha256: str
    created_at: int = 0
    #: Folder of the file it came from, for scripts that it names relative to itself.
    folder: str = ""
    archived_at: int = 0
    #: Of who registered it first.
    tenant: str = ""
    organization: str = ""


class CredentialRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A stored credential; the secret part is sealed."""

    name: str
    type: str
    sealed: bytes
    description: str = ""
    tags: list[str] = []
    created_at: int = 0
    updated_at: int = 0
    tenant: str = ""
    organization: str = ""


class ExecutionFilter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which executions a list holds, newest first."""

    status: str = ""
    path: str = ""
    tenant: str = ""
    organization: str = ""
    parent_execution_id: int = 0
    #: Only those before this id: the last of the page before.
    before: int = 0
    limit: int = 50


class CatalogFilter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which documents a page of the catalog holds, by path."""

    kind: str = ""
    tenant: str = ""
    organization: str = ""
    #: Only those after this path: the last of the page before.
    after: str = ""
    limit: int = PAGE_MAX


class EventLog(Protocol):
    """Executions and their events."""

    async def commit(self, changes: Sequence[Change]) -> None:
        """Write all changes in one transaction, durably.

        Raises:
            FencedError: another writer appended to one of the executions.
            UnstorableError: a change holds a value that the store cannot hold.
            StoreError: the store cannot write.
        """

    async def load(self, execution_id: int) -> Stored | None:
        """Return an execution's snapshot and the events after it."""

    async def events(
        self,
        execution_id: int,
        *,
        after: int = 0,
        limit: int = PAGE_MAX,
        types: Sequence[str] = (),
        step: str = "",
        holding: bytes = b"",
    ) -> list[EventRow]:
        """Return events from the one after ``after``; those whose body is ``holding`` some bytes."""

    async def execution(self, execution_id: int) -> ExecutionRow | None:
        """Return an execution at a glance."""

    async def executions(self, wanted: ExecutionFilter) -> list[ExecutionRow]:
        """Return executions, newest first."""

    async def counts(self) -> dict[str, int]:
        """Return how many executions have each status."""

    async def unfinished(self, shards: Collection[int] | None = None) -> list[int]:
        """Return the executions that have not ended, of some shards or all, oldest first.

        Args:
            shards: the shards; all by default.
        """

    async def results(self, execution_id: int) -> list[ResultRow]:
        """Return the values of an execution that are kept by reference."""

    async def delete_execution(self, execution_id: int) -> None:
        """Forget an execution that has ended."""

    async def started_with(self, path: str, key: str, at: int) -> int | None:
        """Return the execution that has an idempotency key at a time."""

    async def forget_keys(self, before: int) -> int:
        """Forget keys that expired before a time; return how many."""


class Commands(Protocol):
    """Commands that are out, as commits wrote them."""

    async def commands(
        self, shards: Collection[int] | None = None, *, after: str = "", limit: int = PAGE_MAX
    ) -> list[CommandRow]:
        """Return commands that are out, by id, from the one after ``after``."""

    async def commands_of(
        self, execution_id: int, *, after: str = "", limit: int = PAGE_MAX
    ) -> list[CommandRow]:
        """Return commands of an execution that are out, by id, from the one after ``after``."""

    async def backlog(self) -> dict[str, tuple[int, int]]:
        """Return, for each pool with commands that are out, how many are pending and claimed."""


class ServerRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A control-plane server, as the others see it."""

    server_id: str
    #: Its number in the ids that it makes; no two live servers share one.
    machine: int
    version: str = ""
    #: Where its API answers.
    url: str = ""
    #: Microseconds since the epoch, by the store's clock.
    started_at: int = 0
    expires_at: int = 0


class LeaseState(NamedTuple):
    """What a server owns, after a heartbeat."""

    shards: frozenset[int]
    #: Of them, those beyond its share: to be released once their inputs are committed.
    excess: frozenset[int]
    #: Servers that are alive, itself included.
    servers: int


class LostServerError(ConflictError):
    """The store does not know the server: its heartbeats stopped for too long."""

    code = "lost_server"


class Servers(Protocol):
    """Which server owns which shard, by leases that end by the store's own clock."""

    async def join(self, row: ServerRow, seconds: float) -> ServerRow:
        """Enter a server, with a machine number that no live server has.

        Args:
            row: the server; its machine number is ignored.
            seconds: how long its lease lasts without a heartbeat.
        """

    async def beat(self, server_id: str, seconds: float) -> LeaseState:
        """Extend a server's lease, and take shards that nobody alive owns, up to its share.

        Raises:
            LostServerError: it must join again.
        """

    async def release(self, server_id: str, shards: Collection[int]) -> None:
        """Give shards up, for others to take."""

    async def leave(self, server_id: str) -> None:
        """Remove a server, and give up its shards."""

    async def servers(self) -> list[ServerRow]:
        """Return the servers that are alive, by id."""


class WorkerRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A worker, as it registered."""

    worker_id: str
    pools: list[str]
    capacity: int
    kinds: list[str] = []
    version: str = ""
    host: str = ""
    pid: int = 0
    #: ``ready`` or ``draining``.
    status: str = "ready"
    #: Commands that it holds.
    held: int = 0
    #: Microseconds since the epoch, by the store's clock.
    started_at: int = 0
    seen_at: int = 0


class Workers(Protocol):
    """The runtime registry."""

    async def put_worker(self, row: WorkerRow) -> None:
        """Enter a worker, or note that it is still there."""

    async def workers(self, seen_within: float) -> list[WorkerRow]:
        """Return the workers seen within so many seconds, by id."""

    async def delete_worker(self, worker_id: str) -> None:
        """Remove a worker."""


class ScheduleRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When a playbook is to be started, again and again."""

    name: str
    path: str
    version: int | None = None
    payload: dict[str, Any] = {}
    pool: str | None = None
    #: Five fields of cron; or else ``every_seconds``.
    cron: str = ""
    timezone: str = "UTC"
    every_seconds: float = 0.0
    #: Ticks missed while nobody was there: ``latest`` (one for all), ``all`` or ``skip``.
    catch_up: str = "latest"
    paused: bool = False
    #: Microseconds since the epoch. It ticks when ``next_at`` has come; 0 means never.
    next_at: int = 0
    last_at: int = 0
    last_execution_id: int = 0
    created_at: int = 0
    #: What its executions are labelled with.
    tenant: str = ""
    organization: str = ""


class Schedules(Protocol):
    """Schedules by name."""

    async def put_schedule(self, row: ScheduleRow) -> None:
        """Store a schedule, in place of one of the same name."""

    async def schedules(
        self, *, after: str = "", limit: int = PAGE_MAX, tenant: str = "", organization: str = ""
    ) -> list[ScheduleRow]:
        """Return schedules by name, from the one after ``after``, of some owner or all."""

    async def schedule(self, name: str) -> ScheduleRow | None:
        """Return a schedule."""

    async def due_schedules(self, at: int, limit: int = PAGE_MAX) -> list[ScheduleRow]:
        """Return those not paused that are due by a time, the longest due first."""

    async def skip_tick(self, tick: Tick) -> bool:
        """Have a schedule wait for its next time without starting anything.

        Returns:
            Whether it still waited for the tick's time; else nothing is written.
        """

    async def delete_schedule(self, name: str) -> bool:
        """Delete a schedule; return whether there was one."""


class Inbox(Protocol):
    """Inputs for executions that another process of the same store owns."""

    async def post(self, execution_id: int, body: bytes) -> None:
        """Leave an input for whoever owns the execution."""

    async def take(self, execution_ids: Sequence[int]) -> list[tuple[int, int, bytes]]:
        """Return waiting inputs: number, execution, body. They stay until dropped."""

    async def drop(self, numbers: Sequence[int]) -> None:
        """Remove inputs that were taken."""


class Catalog(Protocol):
    """Documents by path and version."""

    async def register(self, entry: CatalogEntry) -> CatalogEntry:
        """Store a document as the next version of its path; the same content again is kept."""

    async def entry(
        self, path: str, version: int | None = None, catalog_id: int | None = None
    ) -> CatalogEntry | None:
        """Return a version of a document: the latest, a given one, or one by its id."""

    async def entries(self, kind: str = "") -> list[CatalogEntry]:
        """Return the latest version of each document, by path."""

    async def entries_page(self, wanted: CatalogFilter) -> list[CatalogEntry]:
        """Return the latest version of each document that is wanted, by path."""

    async def count_entries(self, kind: str = "") -> int:
        """Return how many documents there are that are in use."""

    async def archive(self, path: str, version: int | None, at: int) -> list[CatalogEntry]:
        """Take a version of a document, or all of them, out of use; 0 brings them back.

        What is archived is found by its version or id only.

        Returns:
            Those that this changed, by version.
        """


class Credentials(Protocol):
    """Sealed credentials by name."""

    async def put_credential(self, row: CredentialRow) -> None:
        """Store a credential, in place of one of the same name."""

    async def credential(self, name: str) -> CredentialRow | None:
        """Return a credential."""

    async def credentials(self) -> list[CredentialRow]:
        """Return all credentials, by name."""

    async def delete_credential(self, name: str) -> bool:
        """Delete a credential; return whether there was one."""


class Store(EventLog, Trials, Inbox, Catalog, Credentials, SecretAudit, Protocol):
    """What one process needs, and its lifetime."""

    async def __aenter__(self) -> Self:
        """Open it.

        Raises:
            StoreError: it cannot be opened.
        """

    async def __aexit__(self, *exc: object) -> None:
        """Close it."""


class ClusterStore(Store, Commands, Servers, Workers, Schedules, Tokens, ChangeAudit, Protocol):
    """What servers need."""


def repeated_keys(changes: Sequence[Change]) -> list[int]:
    """Return the executions of a commit whose key an earlier one of the same commit takes."""
    taken: set[tuple[str, str]] = set()
    found: list[int] = []
    for change in changes:
        if change.key is None:
            continue
        named = change.key[:2]
        if named in taken:
            found.append(change.execution_id)
        taken.add(named)
    return found


async def all_events(log: EventLog, execution_id: int, **wanted: Any) -> AsyncIterator[EventRow]:
    """Iterate over an execution's events, page by page."""
    after = 0
    while page := await log.events(execution_id, after=after, **wanted):
        for row in page:
            yield row
        after = page[-1].seq
