"""The ports to the store, which holds all durable state.

One writer owns an execution at a time and appends events with gapless numbers. The primary
key ``(execution_id, seq)`` makes a second writer's append fail; that writer must reload the
execution. A commit is atomic.
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
"""Maximum number of rows on one page of any list."""


class EventRow(NamedTuple):
    """A row of the event log."""

    seq: int
    #: Microseconds since the epoch.
    at: int
    type: str
    #: The step it concerns; empty if none.
    step: str
    #: The event as JSON.
    body: bytes


ROW_AGE_US_MAX: Final = 500_000
"""Maximum age of a running execution's summary row, in microseconds."""


class ExecutionRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The summary of an execution. Its status is always up to date."""

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
    #: Names of the steps that run or wait, separated by commas.
    current: str = ""
    error: str = ""
    labels: dict[str, str] = {}

    @property
    def tenant(self) -> str:
        """The tenant that owns it."""
        return self.labels.get("tenant", "")

    @property
    def organization(self) -> str:
        """The organization within the tenant."""
        return self.labels.get("organization", "")


class ResultRow(NamedTuple):
    """A value stored by reference."""

    ref: str
    step: str
    bytes: int
    sha256: str
    store: str


def ids_of(execution_id: int, after: str) -> tuple[str, str]:
    """Return the bounds of the ids of an execution's commands after a given id."""
    return max(after, f"{execution_id}:"), f"{execution_id};"


class CommandRow(NamedTuple):
    """An outstanding command: pending until a worker claims it, deleted once it is done."""

    #: Starts with the execution id and a colon.
    command_id: str
    execution_id: int
    step: str
    pool: str
    #: Incremented by each wait; claims and reports of an older generation are stale.
    generation: int
    #: Incremented by each lost delivery.
    attempt: int
    #: Microseconds since the epoch.
    issued_at: int
    #: The worker that claimed it; empty while it is pending.
    worker: str = ""


class Claim(NamedTuple):
    """A worker's claim of a pending command, fenced by its generation and attempt."""

    command_id: str
    generation: int
    attempt: int
    worker: str


class Tick(NamedTuple):
    """The schedule tick that starts the change's execution, fenced by ``due_at``."""

    name: str
    #: The due time and the next one; microseconds since the epoch.
    due_at: int
    next_at: int


class StartKey(NamedTuple):
    """The idempotency key under which the change's execution starts.

    It acts as a fence: while another execution holds the key, the change is not written.
    """

    #: Path of the playbook, which scopes the key.
    path: str
    key: str
    #: Time of the start and expiry of the key; microseconds since the epoch.
    at: int
    expires_at: int


class Change(msgspec.Struct, kw_only=True):
    """What one commit writes for one execution: events and their projections.

    It is fenced by the owner of the execution's shard, the number of the last event, the
    state of each claimed command, the schedule's due time and the idempotency key.
    """

    execution_id: int
    #: Number of the last event before this change, as the writer knows it.
    after_seq: int
    events: list[EventRow]
    #: The summary row, if it is to be written: at the start and end of the execution, and when
    #: the stored one is older than :data:`ROW_AGE_US_MAX`. May come without events, to catch
    #: up with earlier ones.
    row: ExecutionRow | None = None
    #: The state after the events, if a snapshot is due.
    snapshot: bytes | None = None
    #: Values that the events reference.
    results: list[ResultRow] = []
    #: All timers of the execution, if they changed: id and microseconds since the epoch.
    timers: dict[str, int] | None = None
    #: Ids of ended commands, which are deleted first ...
    done: list[str] = []
    #: ... then issued commands, which replace rows of the same id; one with a worker is handed
    #: over to it in the same commit ...
    issued: list[CommandRow] = []
    #: ... and finally claims.
    claims: list[Claim] = []
    tick: Tick | None = None
    key: StartKey | None = None
    #: The server that writes, which must own the shard; empty where shards have no owners.
    owner: str = ""

    @property
    def looks_at_head(self) -> bool:
        """Whether it adds no events and yet depends on the number of the last one."""
        return not self.events and bool(self.claims or self.row is not None)


class Stored(NamedTuple):
    """A stored execution: a snapshot and the events after it."""

    row: ExecutionRow
    snapshot: bytes | None
    events: list[EventRow]


class FencedError(ConflictError):
    """Another writer was first: an event number, claim, tick or key is already taken.

    Nothing was written. The writer must reload the executions.

    Attributes:
        execution_ids: The executions in conflict.
    """

    code = "fenced"

    def __init__(self, execution_ids: Sequence[int]) -> None:
        self.execution_ids = tuple(execution_ids)
        super().__init__(f"another writer owns {', '.join(map(str, execution_ids))}")


class StoreError(UnavailableError):
    """The store failed: the disk is full, a file cannot be written, ..."""

    code = "store_unavailable"


class UnstorableError(StoreError):
    """The store cannot represent a value. Nothing was written, and retrying does not help.

    The store itself works.
    """

    code = "unstorable"


class CatalogEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A version of a document in the catalog."""

    catalog_id: int
    path: str
    version: int
    kind: str
    content: str
    #: Digest of the content; registering the same content again creates no version.
    sha256: str
    created_at: int = 0
    #: Folder of its file, for scripts that it references by relative path.
    folder: str = ""
    archived_at: int = 0
    #: Tenant and organization that registered it first.
    tenant: str = ""
    organization: str = ""


class CredentialRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A stored credential, with its secret part encrypted."""

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
    """Filters of a list of executions, newest first."""

    status: str = ""
    path: str = ""
    tenant: str = ""
    organization: str = ""
    parent_execution_id: int = 0
    #: Only those before this id, the last one of the previous page.
    before: int = 0
    limit: int = 50


class CatalogFilter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Filters of a page of the catalog, by path."""

    kind: str = ""
    tenant: str = ""
    organization: str = ""
    #: Only those after this path, the last one of the previous page.
    after: str = ""
    limit: int = PAGE_MAX


class EventLog(Protocol):
    """Executions and their events."""

    async def commit(self, changes: Sequence[Change]) -> None:
        """Write all changes in one transaction, durably.

        Raises:
            FencedError: Another writer appended to one of the executions.
            UnstorableError: A change contains a value that the store cannot represent.
            StoreError: The store cannot write.
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
        """Return events after ``after``, optionally only those whose body contains ``holding``."""

    async def execution(self, execution_id: int) -> ExecutionRow | None:
        """Return an execution's summary row."""

    async def executions(self, filters: ExecutionFilter) -> list[ExecutionRow]:
        """Return executions, newest first."""

    async def counts(self) -> dict[str, int]:
        """Return the number of executions by status."""

    async def unfinished(self, shards: Collection[int] | None = None) -> list[int]:
        """Return the executions that have not ended, oldest first.

        Args:
            shards: Shards to search; all by default.
        """

    async def results(self, execution_id: int) -> list[ResultRow]:
        """Return the values that an execution stores by reference."""

    async def delete_execution(self, execution_id: int) -> None:
        """Delete an execution that has ended."""

    async def started_with(self, path: str, key: str, at: int) -> int | None:
        """Return the execution that holds an idempotency key at a time."""

    async def forget_keys(self, before: int) -> int:
        """Delete keys that expired before a time; return their number."""


class Commands(Protocol):
    """Outstanding commands, as written by commits."""

    async def commands(
        self, shards: Collection[int] | None = None, *, after: str = "", limit: int = PAGE_MAX
    ) -> list[CommandRow]:
        """Return outstanding commands after ``after``, ordered by id."""

    async def commands_of(
        self, execution_id: int, *, after: str = "", limit: int = PAGE_MAX
    ) -> list[CommandRow]:
        """Return an execution's outstanding commands after ``after``, ordered by id."""

    async def backlog(self) -> dict[str, tuple[int, int]]:
        """Return the numbers of pending and of claimed commands, by pool."""


class ServerRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A registered control-plane server."""

    server_id: str
    #: Its number in generated ids, unique among live servers.
    machine: int
    version: str = ""
    #: URL of its API.
    url: str = ""
    #: Microseconds since the epoch, by the store's clock.
    started_at: int = 0
    expires_at: int = 0


class LeaseState(NamedTuple):
    """The shards a server owns after a heartbeat."""

    shards: frozenset[int]
    #: Those beyond its share, to be released once their inputs are committed.
    excess: frozenset[int]
    #: Number of live servers, including this one.
    servers: int


class LostServerError(ConflictError):
    """The server's registration has expired because its heartbeats stopped for too long."""

    code = "lost_server"


class Servers(Protocol):
    """Ownership of shards by leases, which expire by the store's own clock."""

    async def join(self, row: ServerRow, seconds: float) -> ServerRow:
        """Register a server and assign it a machine number that no live server has.

        Args:
            row: The server; its machine number is ignored.
            seconds: How long its lease lasts without a heartbeat.
        """

    async def renew_lease(self, server_id: str, seconds: float) -> LeaseState:
        """Extend a server's lease and acquire free shards, up to its share.

        Raises:
            LostServerError: The registration has expired; the server must join again.
        """

    async def release(self, server_id: str, shards: Collection[int]) -> None:
        """Release shards for other servers to acquire."""

    async def leave(self, server_id: str) -> None:
        """Remove a server and release its shards."""

    async def servers(self) -> list[ServerRow]:
        """Return the live servers, ordered by id."""


class WorkerRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A registered worker."""

    worker_id: str
    pools: list[str]
    capacity: int
    kinds: list[str] = []
    version: str = ""
    host: str = ""
    pid: int = 0
    #: ``ready`` or ``draining``.
    status: str = "ready"
    #: Number of commands it holds.
    held: int = 0
    #: Microseconds since the epoch, by the store's clock.
    started_at: int = 0
    seen_at: int = 0


class Workers(Protocol):
    """The runtime registry."""

    async def put_worker(self, row: WorkerRow) -> None:
        """Register a worker or renew its registration."""

    async def workers(self, seen_within: float) -> list[WorkerRow]:
        """Return the workers seen within the last seconds, ordered by id."""

    async def delete_worker(self, worker_id: str) -> None:
        """Remove a worker."""


class ScheduleRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A schedule that starts a playbook repeatedly."""

    name: str
    path: str
    version: int | None = None
    payload: dict[str, Any] = {}
    pool: str | None = None
    #: A cron expression of five fields; alternatively, set ``every_seconds``.
    cron: str = ""
    timezone: str = "UTC"
    every_seconds: float = 0.0
    #: What to do about missed ticks: ``latest`` (one start for all), ``all`` or ``skip``.
    catch_up: str = "latest"
    paused: bool = False
    #: Microseconds since the epoch. The next tick is at ``next_at``; 0 means never.
    next_at: int = 0
    last_at: int = 0
    last_execution_id: int = 0
    created_at: int = 0
    #: Labels of its executions.
    tenant: str = ""
    organization: str = ""


class Schedules(Protocol):
    """Schedules by name."""

    async def put_schedule(self, row: ScheduleRow) -> None:
        """Store a schedule, replacing one of the same name."""

    async def schedules(
        self, *, after: str = "", limit: int = PAGE_MAX, tenant: str = "", organization: str = ""
    ) -> list[ScheduleRow]:
        """Return schedules after ``after``, ordered by name."""

    async def schedule(self, name: str) -> ScheduleRow | None:
        """Return a schedule."""

    async def due_schedules(self, at: int, limit: int = PAGE_MAX) -> list[ScheduleRow]:
        """Return the schedules due by a time that are not paused, longest overdue first."""

    async def skip_tick(self, tick: Tick) -> bool:
        """Advance a schedule to its next tick without starting an execution.

        Returns:
            Whether it was still due at the tick's time; if not, nothing is written.
        """

    async def delete_schedule(self, name: str) -> bool:
        """Delete a schedule; return whether it existed."""


class Inbox(Protocol):
    """Inputs for executions that another process with the same store owns."""

    async def post(self, execution_id: int, body: bytes) -> None:
        """Leave an input for the execution's owner."""

    async def take(self, execution_ids: Sequence[int]) -> list[tuple[int, int, bytes]]:
        """Return waiting inputs as (number, execution id, body); they stay until dropped."""

    async def drop(self, numbers: Sequence[int]) -> None:
        """Delete inputs that were processed."""


class Catalog(Protocol):
    """Documents by path and version."""

    async def register(self, entry: CatalogEntry) -> CatalogEntry:
        """Store a document as the next version of its path, unless its content is unchanged."""

    async def entry(
        self, path: str, version: int | None = None, catalog_id: int | None = None
    ) -> CatalogEntry | None:
        """Return a document: its latest version, a given version, or one by its id."""

    async def entries(self, kind: str = "") -> list[CatalogEntry]:
        """Return the latest version of each document, ordered by path."""

    async def entries_page(self, filters: CatalogFilter) -> list[CatalogEntry]:
        """Return the latest version of each matching document, ordered by path."""

    async def count_entries(self, kind: str = "") -> int:
        """Return the number of documents that are not archived."""

    async def archive(self, path: str, version: int | None, at: int) -> list[CatalogEntry]:
        """Archive one version of a document or all of them; ``at=0`` restores them.

        Archived versions are found only by their version or id.

        Returns:
            The versions that changed.
        """


class Credentials(Protocol):
    """Encrypted credentials by name."""

    async def put_credential(self, row: CredentialRow) -> None:
        """Store a credential, replacing one of the same name."""

    async def credential(self, name: str) -> CredentialRow | None:
        """Return a credential."""

    async def credentials(self) -> list[CredentialRow]:
        """Return all credentials, ordered by name."""

    async def delete_credential(self, name: str) -> bool:
        """Delete a credential; return whether it existed."""


class Store(EventLog, Trials, Inbox, Catalog, Credentials, SecretAudit, Protocol):
    """The store of a single-process runtime, an async context manager."""

    async def __aenter__(self) -> Self:
        """Open the store.

        Raises:
            StoreError: It cannot be opened.
        """

    async def __aexit__(self, *exc: object) -> None:
        """Close the store."""


class Partitions(Protocol):
    """The tables of a store that keeps the events of each month in one of their own."""

    async def ensure_partitions(self, now_us: int | None = None) -> int:
        """Create the tables of the coming months; return how many were missing."""

    async def retention(self, before_us: int) -> int:
        """Drop whole months of executions that ended before a time; return how many executions."""


class ClusterStore(Store, Commands, Servers, Workers, Schedules, Tokens, ChangeAudit, Protocol):
    """The store of a cluster's servers."""

    @property
    def partitions(self) -> Partitions | None:
        """Its monthly tables; None if all events are in one table."""


def repeated_keys(changes: Sequence[Change]) -> list[int]:
    """Return the executions of a commit whose key an earlier change of the commit takes."""
    taken: set[tuple[str, str]] = set()
    repeated: list[int] = []
    for change in changes:
        if change.key is None:
            continue
        path_and_key = change.key[:2]
        if path_and_key in taken:
            repeated.append(change.execution_id)
        taken.add(path_and_key)
    return repeated


async def all_events(log: EventLog, execution_id: int, **filters: Any) -> AsyncIterator[EventRow]:
    """Iterate over an execution's events, page by page."""
    after = 0
    while page := await log.events(execution_id, after=after, **filters):
        for row in page:
            yield row
        after = page[-1].seq
