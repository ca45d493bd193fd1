"""The in-memory store for tests and simulations: complete, but not durable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Self

import msgspec

from arcbook.clock import Clock, SystemClock
from arcbook.events.types import TERMINAL
from arcbook.ids import MACHINE_MAX
from arcbook.shards import SHARDS, shard_of
from arcbook.store.access import ChangeNote, NoteFilter, TokenRow
from arcbook.store.api import (
    PAGE_MAX,
    CatalogEntry,
    CatalogFilter,
    Change,
    Claim,
    CommandRow,
    CredentialRow,
    EventRow,
    ExecutionFilter,
    ExecutionRow,
    FencedError,
    LeaseState,
    LostServerError,
    Partitions,
    ResultRow,
    ScheduleRow,
    ServerRow,
    StartKey,
    Stored,
    StoreError,
    Tick,
    UnstorableError,
    WorkerRow,
    repeated_keys,
)
from arcbook.store.leases import lease_state, share_of
from arcbook.store.secret_audit import AUDIT_PAGE_MAX, SecretNote, SecretNotes
from arcbook.store.trials import Trial


class MemoryStore:
    """A store in memory; pass it on to another runtime to simulate a restart."""

    partitions: Partitions | None = None

    def __init__(self, clock: Clock | None = None) -> None:
        self.rows: dict[int, ExecutionRow] = {}
        self.log: dict[int, list[EventRow]] = {}
        self.snapshots: dict[int, tuple[int, bytes]] = {}
        self.kept: dict[int, dict[str, ResultRow]] = {}
        self.timers: dict[int, dict[str, int]] = {}
        self.inbox: dict[int, tuple[int, bytes]] = {}
        self.catalog: list[CatalogEntry] = []
        self.sealed: dict[str, CredentialRow] = {}
        self.audited: list[SecretNote] = []
        self.out: dict[str, CommandRow] = {}
        self.ticking: dict[str, ScheduleRow] = {}
        self.keys: dict[tuple[str, str], tuple[int, int]] = {}
        self.tried: set[Trial] = set()
        self.tokens_by_id: dict[str, TokenRow] = {}
        self.changes: dict[int, ChangeNote] = {}
        self._workers: dict[str, WorkerRow] = {}
        self._servers: dict[str, ServerRow] = {}
        self._owners: dict[int, str] = {}
        self._clock = clock or SystemClock()
        self._posted = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None

    # -- events -----------------------------------------------------------------------

    async def commit(self, changes: Sequence[Change]) -> None:
        fenced = repeated_keys(changes)
        fenced += [c.execution_id for c in changes if self._is_fenced(c)]
        if fenced:
            raise FencedError(fenced)
        for change in changes:
            _check_text(change)
        for change in changes:
            self._write(change)

    def _is_fenced(self, change: Change) -> bool:
        if change.owner and self._owners.get(shard_of(change.execution_id)) != change.owner:
            return True
        if change.events and change.after_seq != len(self.log.get(change.execution_id, ())):
            return True
        if change.looks_at_head and change.after_seq != len(self.log.get(change.execution_id, ())):
            return True
        if any(not self._is_pending(claim) for claim in change.claims):
            return True
        if change.key is not None and self._taken(change.key) is not None:
            return True
        if change.tick is None:
            return False
        schedule = self.ticking.get(change.tick.name)
        return schedule is None or schedule.next_at != change.tick.due_at

    def _taken(self, key: StartKey) -> int | None:
        execution_id, expires_at = self.keys.get((key.path, key.key), (0, 0))
        return execution_id if expires_at > key.at else None

    def _is_pending(self, claim: Claim) -> bool:
        row = self.out.get(claim.command_id)
        expected = (claim.generation, claim.attempt, "")
        return row is not None and (row.generation, row.attempt, row.worker) == expected

    def _write(self, change: Change) -> None:
        log = self.log.setdefault(change.execution_id, [])
        numbers = [event.seq for event in change.events]
        if numbers != list(range(change.after_seq + 1, change.after_seq + 1 + len(numbers))):
            raise StoreError(f"execution {change.execution_id}: event numbers have a gap")
        ends = [e for e in (*log[-1:], *change.events) if e.type in TERMINAL]
        if len(ends) > 1:
            raise StoreError(f"execution {change.execution_id} would end twice")
        log += change.events
        if change.row is not None:
            self.rows[change.execution_id] = change.row
        if change.snapshot is not None:
            self.snapshots[change.execution_id] = (len(log), change.snapshot)
        if change.timers is not None:
            self.timers[change.execution_id] = dict(change.timers)
        results = self.kept.setdefault(change.execution_id, {})
        results.update({result.ref: result for result in change.results})
        self._write_commands(change)
        if change.key is not None:
            self.keys[change.key[:2]] = (change.execution_id, change.key.expires_at)
        if change.tick is not None:
            self.ticking[change.tick.name] = msgspec.structs.replace(
                self.ticking[change.tick.name],
                next_at=change.tick.next_at,
                last_at=change.tick.due_at,
                last_execution_id=change.execution_id,
            )

    def _write_commands(self, change: Change) -> None:
        for command_id in change.done:
            self.out.pop(command_id, None)
        for row in change.issued:
            self.out[row.command_id] = row
        for claim in change.claims:
            self.out[claim.command_id] = self.out[claim.command_id]._replace(worker=claim.worker)

    async def load(self, execution_id: int) -> Stored | None:
        row = self.rows.get(execution_id)
        if row is None:
            return None
        seq, snapshot = self.snapshots.get(execution_id, (0, None))
        return Stored(row, snapshot, self.log[execution_id][seq:])

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
        matches = [
            event
            for event in self.log.get(execution_id, [])[after:]
            if (not types or event.type in types)
            and (not step or event.step == step)
            and holding in event.body
        ]
        return matches[: min(limit, PAGE_MAX)]

    async def execution(self, execution_id: int) -> ExecutionRow | None:
        return self.rows.get(execution_id)

    async def executions(self, filters: ExecutionFilter) -> list[ExecutionRow]:
        matches = [
            row
            for row in sorted(self.rows.values(), key=lambda r: -r.execution_id)
            if (not filters.status or row.status == filters.status)
            and (not filters.path or filters.path.lower() in row.path.lower())
            and filters.parent_execution_id in (0, row.parent_execution_id)
            and filters.tenant in ("", row.tenant)
            and filters.organization in ("", row.organization)
            and (not filters.before or row.execution_id < filters.before)
        ]
        return matches[: min(filters.limit, PAGE_MAX)]

    async def counts(self) -> dict[str, int]:
        return dict(Counter(row.status for row in self.rows.values()))

    async def unfinished(self, shards: Collection[int] | None = None) -> list[int]:
        return sorted(
            i
            for i, row in self.rows.items()
            if not row.ended_at and (shards is None or shard_of(i) in shards)
        )

    async def results(self, execution_id: int) -> list[ResultRow]:
        return list(self.kept.get(execution_id, {}).values())

    async def delete_execution(self, execution_id: int) -> None:
        for table in (self.rows, self.log, self.snapshots, self.kept, self.timers):
            table.pop(execution_id, None)
        self.out = {k: row for k, row in self.out.items() if row.execution_id != execution_id}
        await self.drop([n for n, (i, _) in self.inbox.items() if i == execution_id])

    async def started_with(self, path: str, key: str, at: int) -> int | None:
        return self._taken(StartKey(path, key, at, at))

    async def forget_keys(self, before: int) -> int:
        expired = [key for key, (_, expires_at) in self.keys.items() if expires_at < before]
        for key in expired:
            del self.keys[key]
        return len(expired)

    # -- trials -----------------------------------------------------------------------

    async def put_trials(self, owner: str, execution_ids: Collection[int]) -> None:
        self.tried = {t for t in self.tried if t.owner != owner}
        self.tried |= {Trial(execution_id, owner) for execution_id in execution_ids}

    async def trials(self) -> list[Trial]:
        return sorted(self.tried)

    async def forget_trials(self, execution_ids: Collection[int]) -> None:
        self.tried = {t for t in self.tried if t.execution_id not in execution_ids}

    async def forget_ended_trials(self) -> None:
        going = {i for i, row in self.rows.items() if not row.ended_at}
        self.tried = {t for t in self.tried if t.execution_id in going}

    # -- inbox ------------------------------------------------------------------------

    async def post(self, execution_id: int, body: bytes) -> None:
        self._posted += 1
        self.inbox[self._posted] = (execution_id, body)

    async def take(self, execution_ids: Sequence[int]) -> list[tuple[int, int, bytes]]:
        ids = set(execution_ids)
        return [(n, i, body) for n, (i, body) in sorted(self.inbox.items()) if i in ids]

    async def drop(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self.inbox.pop(number, None)

    # -- catalog ----------------------------------------------------------------------

    async def register(self, entry: CatalogEntry) -> CatalogEntry:
        latest = await self.entry(entry.path)
        if latest is not None and (latest.sha256, latest.folder) == (entry.sha256, entry.folder):
            return latest
        version = max((e.version for e in self.catalog if e.path == entry.path), default=0) + 1
        stored = msgspec.structs.replace(entry, version=version)
        self.catalog.append(stored)
        return stored

    async def entry(
        self, path: str, version: int | None = None, catalog_id: int | None = None
    ) -> CatalogEntry | None:
        if catalog_id is not None:
            return next((e for e in self.catalog if e.catalog_id == catalog_id), None)
        versions = [
            e
            for e in self.catalog
            if e.path == path and (e.version == version if version else not e.archived_at)
        ]
        return max(versions, key=lambda e: e.version, default=None)

    async def entries(self, kind: str = "") -> list[CatalogEntry]:
        in_use = [e for e in self.catalog if not e.archived_at]
        latest = {e.path: e for e in sorted(in_use, key=lambda e: e.version)}
        return [latest[path] for path in sorted(latest) if kind in ("", latest[path].kind)]

    async def entries_page(self, filters: CatalogFilter) -> list[CatalogEntry]:
        matches = [
            entry
            for entry in await self.entries(filters.kind)
            if entry.path > filters.after
            and filters.tenant in ("", entry.tenant)
            and filters.organization in ("", entry.organization)
        ]
        return matches[: min(filters.limit, PAGE_MAX)]

    async def count_entries(self, kind: str = "") -> int:
        return len(await self.entries(kind))

    async def archive(self, path: str, version: int | None, at: int) -> list[CatalogEntry]:
        changed: list[CatalogEntry] = []
        for n, known in enumerate(self.catalog):
            is_match = known.path == path and version in (None, known.version)
            if is_match and bool(known.archived_at) != bool(at):
                self.catalog[n] = msgspec.structs.replace(known, archived_at=at)
                changed.append(self.catalog[n])
        return sorted(changed, key=lambda e: e.version)

    # -- credentials ------------------------------------------------------------------

    async def put_credential(self, row: CredentialRow) -> None:
        known = self.sealed.get(row.name)
        created_at = row.created_at if known is None else known.created_at
        self.sealed[row.name] = msgspec.structs.replace(row, created_at=created_at)

    async def credential(self, name: str) -> CredentialRow | None:
        return self.sealed.get(name)

    async def credentials(self) -> list[CredentialRow]:
        return [self.sealed[name] for name in sorted(self.sealed)]

    async def delete_credential(self, name: str) -> bool:
        return self.sealed.pop(name, None) is not None

    # -- access -----------------------------------------------------------------------

    async def put_token(self, row: TokenRow) -> None:
        self.tokens_by_id[row.token_id] = row

    async def token(self, token_id: str) -> TokenRow | None:
        return self.tokens_by_id.get(token_id)

    async def tokens(self) -> list[TokenRow]:
        return [self.tokens_by_id[token_id] for token_id in sorted(self.tokens_by_id)]

    async def delete_token(self, token_id: str) -> bool:
        return self.tokens_by_id.pop(token_id, None) is not None

    async def put_note(self, row: ChangeNote) -> None:
        self.changes[row.note_id] = row

    async def notes(self, filters: NoteFilter) -> list[ChangeNote]:
        matches = [
            row
            for _, row in sorted(self.changes.items(), reverse=True)
            if filters.actor in ("", row.actor)
            and filters.action in ("", row.action)
            and filters.subject in ("", row.subject)
            and filters.tenant in ("", row.tenant)
            and filters.organization in ("", row.organization)
            and (not filters.before or row.note_id < filters.before)
        ]
        return matches[: min(filters.limit, PAGE_MAX)]

    # -- audit of secrets -------------------------------------------------------------

    async def note_secret(self, note: SecretNote) -> None:
        of = self.rows.get(note.execution_id)
        labels = {"tenant": of.tenant, "organization": of.organization} if of else {}
        number = len(self.audited) + 1
        self.audited.append(msgspec.structs.replace(note, note_id=number, **labels))

    async def secret_notes(self, filters: SecretNotes) -> list[SecretNote]:
        matches = [
            note
            for note in reversed(self.audited)
            if (not filters.before or note.note_id < filters.before)
            and filters.alias in ("", note.alias)
            and filters.execution_id in (0, note.execution_id)
            and filters.who in ("", note.who)
            and filters.outcome in ("", note.outcome)
            and filters.tenant in ("", note.tenant)
            and filters.organization in ("", note.organization)
        ]
        return matches[: min(filters.limit, AUDIT_PAGE_MAX)]

    async def replace_sealed(self, name: str, before: bytes, after: bytes) -> bool:
        row = self.sealed.get(name)
        if row is None or row.sealed != before:
            return False
        self.sealed[name] = msgspec.structs.replace(row, sealed=after)
        return True

    # -- commands ---------------------------------------------------------------------

    async def commands(
        self, shards: Collection[int] | None = None, *, after: str = "", limit: int = PAGE_MAX
    ) -> list[CommandRow]:
        matches = [
            self.out[command_id]
            for command_id in sorted(self.out)
            if command_id > after
            and (shards is None or shard_of(self.out[command_id].execution_id) in shards)
        ]
        return matches[: min(limit, PAGE_MAX)]

    async def commands_of(
        self, execution_id: int, *, after: str = "", limit: int = PAGE_MAX
    ) -> list[CommandRow]:
        ids = sorted(i for i, row in self.out.items() if row.execution_id == execution_id)
        return [self.out[i] for i in ids if i > after][: min(limit, PAGE_MAX)]

    async def backlog(self) -> dict[str, tuple[int, int]]:
        counts: dict[str, tuple[int, int]] = {}
        for row in self.out.values():
            pending, claimed = counts.get(row.pool, (0, 0))
            counts[row.pool] = (pending, claimed + 1) if row.worker else (pending + 1, claimed)
        return counts

    # -- servers ----------------------------------------------------------------------

    async def join(self, row: ServerRow, seconds: float) -> ServerRow:
        taken = {s.machine for s in self._alive() if s.server_id != row.server_id}
        now = self._clock.now_us()
        joined = msgspec.structs.replace(
            row,
            machine=next(n for n in range(MACHINE_MAX + 1) if n not in taken),
            started_at=now,
            expires_at=now + int(seconds * 1_000_000),
        )
        self._servers[row.server_id] = joined
        return joined

    async def renew_lease(self, server_id: str, seconds: float) -> LeaseState:
        alive = {server.server_id for server in self._alive()}
        if server_id not in alive:
            self._servers.pop(server_id, None)
            raise LostServerError(f"server {server_id} is no longer registered")
        expires_at = self._clock.now_us() + int(seconds * 1_000_000)
        known = self._servers[server_id]
        self._servers[server_id] = msgspec.structs.replace(known, expires_at=expires_at)
        share = share_of(len(alive))
        mine = [n for n, owner in sorted(self._owners.items()) if owner == server_id]
        free = [n for n in range(SHARDS) if self._owners.get(n) not in alive]
        for shard in free[: max(0, share - len(mine))]:
            self._owners[shard] = server_id
            mine.append(shard)
        return lease_state(mine, len(alive))

    async def release(self, server_id: str, shards: Collection[int]) -> None:
        for shard in shards:
            if self._owners.get(shard) == server_id:
                del self._owners[shard]

    async def leave(self, server_id: str) -> None:
        self._servers.pop(server_id, None)
        await self.release(server_id, range(SHARDS))

    async def servers(self) -> list[ServerRow]:
        return sorted(self._alive(), key=lambda server: server.server_id)

    def _alive(self) -> list[ServerRow]:
        now = self._clock.now_us()
        return [server for server in self._servers.values() if server.expires_at > now]

    # -- workers ----------------------------------------------------------------------

    async def put_worker(self, row: WorkerRow) -> None:
        now = self._clock.now_us()
        known = self._workers.get(row.worker_id)
        started_at = known.started_at if known else now
        self._workers[row.worker_id] = msgspec.structs.replace(
            row, started_at=started_at, seen_at=now
        )

    async def workers(self, seen_within: float) -> list[WorkerRow]:
        since = self._clock.now_us() - int(seen_within * 1_000_000)
        return [row for _, row in sorted(self._workers.items()) if row.seen_at >= since]

    async def delete_worker(self, worker_id: str) -> None:
        self._workers.pop(worker_id, None)

    # -- schedules --------------------------------------------------------------------

    async def put_schedule(self, row: ScheduleRow) -> None:
        self.ticking[row.name] = row

    async def schedules(
        self, *, after: str = "", limit: int = PAGE_MAX, tenant: str = "", organization: str = ""
    ) -> list[ScheduleRow]:
        matches = [
            row
            for name, row in sorted(self.ticking.items())
            if name > after
            and tenant in ("", row.tenant)
            and organization in ("", row.organization)
        ]
        return matches[: min(limit, PAGE_MAX)]

    async def schedule(self, name: str) -> ScheduleRow | None:
        return self.ticking.get(name)

    async def due_schedules(self, at: int, limit: int = PAGE_MAX) -> list[ScheduleRow]:
        due = [row for row in self.ticking.values() if not row.paused and 0 < row.next_at <= at]
        return sorted(due, key=lambda row: (row.next_at, row.name))[:limit]

    async def skip_tick(self, tick: Tick) -> bool:
        row = self.ticking.get(tick.name)
        if row is None or row.next_at != tick.due_at:
            return False
        self.ticking[tick.name] = msgspec.structs.replace(row, next_at=tick.next_at)
        return True

    async def delete_schedule(self, name: str) -> bool:
        return self.ticking.pop(name, None) is not None


def _check_text(change: Change) -> None:
    """Reject half a surrogate pair, which no store on disk can represent."""
    parts = (change.row, change.results, change.issued, change.claims, change.tick, change.key)
    try:
        msgspec.json.encode((parts, [(event.type, event.step) for event in change.events]))
    except UnicodeEncodeError as error:
        raise UnstorableError(f"a value cannot be stored: {error}") from error
