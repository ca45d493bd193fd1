"""Executions, their events and the inbox."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

import asyncpg
import msgspec

from arcbook.shards import SHARDS, shard_of
from arcbook.store.api import (
    PAGE_MAX,
    Change,
    EventRow,
    ExecutionFilter,
    ExecutionRow,
    FencedError,
    ResultRow,
    Stored,
    StoreError,
    repeated_keys,
)
from arcbook.store.postgres.batch import FENCES, arguments, owned
from arcbook.store.postgres.statements import Statements
from arcbook.store.trials import Trial

COMMIT_ATTEMPTS: Final = 3
"""Attempts of a commit that fails because of concurrent ones."""

FENCED: Final = "AB001"
"""SQLSTATE of the error that a fenced commit raises."""

UNFINISHED_PAGE: Final = 50_000
"""Most unfinished executions that one statement returns."""

_RESUMED: Final = "command.resumed"
_ID_MAX: Final = 2**63 - 1
_DECODER: Final = msgspec.json.Decoder(ExecutionRow)


class PostgresEvents(Statements):
    """The event log and the inbox."""

    async def commit(self, changes: Sequence[Change]) -> None:
        if repeated := repeated_keys(changes):
            raise FencedError(repeated)
        with self._address.translated():
            columns = arguments(changes)
        async with self.connection() as connection:
            for _ in range(COMMIT_ATTEMPTS):
                fenced = await self._commit(connection, columns)
                if fenced is None:
                    return
                fenced = fenced or await self._of_others(connection, changes)
                if fenced:
                    raise FencedError([c.execution_id for c in changes if c.execution_id in fenced])
        raise StoreError(f"a commit failed {COMMIT_ATTEMPTS} times because of concurrent ones")

    async def _commit(self, connection: Any, columns: list[Any]) -> Collection[int] | None:
        """Commit once; return None on success, the fenced executions, or () to try again."""
        try:
            await connection.fetchval(self._sql["commit"], *columns)
        except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
            return ()
        except asyncpg.UniqueViolationError as error:
            if error.constraint_name.endswith("_pkey"):
                raise
            raise StoreError(f"an execution would end twice: {error.detail}") from error
        except asyncpg.PostgresError as error:
            if error.sqlstate != FENCED:
                raise
            return set(await connection.fetchval(self._sql["fenced"], *columns[:FENCES]) or ())
        return None

    async def _of_others(self, connection: Any, changes: Sequence[Change]) -> Collection[int]:
        """Return the executions in shards that another server owns."""
        rows = await connection.fetch(self._sql["others"], *owned(changes))
        shards = {shard for (shard,) in rows}
        return {c.execution_id for c in changes if shard_of(c.execution_id) in shards}

    async def load(self, execution_id: int) -> Stored | None:
        stored = await self._one("get_stored", execution_id)
        if stored is None:
            return None
        body, seq, snapshot = stored
        tail = await self._all("get_tail", execution_id, seq or 0)
        return Stored(_DECODER.decode(body), snapshot, [EventRow(*event) for event in tail])

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
        where = (execution_id, after, min(limit, PAGE_MAX))
        if step and list(types) == [_RESUMED]:
            rows = await self._all("get_resumed", *where, step, holding)
        elif types or step or holding:
            rows = await self._all("get_chosen_events", *where, step, list(types), holding)
        else:
            rows = await self._all("get_events", *where)
        return [EventRow(*row) for row in rows]

    async def execution(self, execution_id: int) -> ExecutionRow | None:
        body = await self._value("get_execution", execution_id)
        return None if body is None else _DECODER.decode(body)

    async def executions(self, filters: ExecutionFilter) -> list[ExecutionRow]:
        first = (filters.before or _ID_MAX, min(filters.limit, PAGE_MAX))
        page = (*first, filters.path)
        parent, organization = filters.parent_execution_id, filters.organization
        if filters.tenant:
            named = (filters.status, parent, filters.tenant, organization)
            rows = await self._all("get_executions_of_tenant", *page, *named)
        elif organization:
            named_one = (filters.status, parent, organization)
            rows = await self._all("get_executions_of_organization", *page, *named_one)
        elif parent:
            rows = await self._all("get_executions_of_parent", *page, filters.status, parent)
        elif filters.path:
            rows = await self._all("get_executions_of_path", *page, filters.status)
        elif filters.status:
            rows = await self._all("get_executions_of_status", *first, filters.status)
        else:
            rows = await self._all("get_executions", *first)
        return [_DECODER.decode(body) for (body,) in rows]

    async def counts(self) -> dict[str, int]:
        return dict(await self._all("count_executions"))

    async def unfinished(self, shards: Collection[int] | None = None) -> list[int]:
        owned = list(range(SHARDS) if shards is None else shards)
        identities: list[int] = []
        after = 0
        while True:
            page = await self._all("get_unfinished", owned, after, UNFINISHED_PAGE)
            identities += [execution_id for (execution_id,) in page]
            if len(page) < UNFINISHED_PAGE:
                return identities
            after = identities[-1]

    async def results(self, execution_id: int) -> list[ResultRow]:
        return [ResultRow(*row) for row in await self._all("get_results", execution_id)]

    async def delete_execution(self, execution_id: int) -> None:
        await self._value("delete_execution", execution_id, shard_of(execution_id))

    async def started_with(self, path: str, key: str, at: int) -> int | None:
        execution_id: int | None = await self._value("get_key", path, key, at)
        return execution_id

    async def forget_keys(self, before: int) -> int:
        return int(await self._value("forget_keys", before))

    # -- trials -----------------------------------------------------------------------

    async def put_trials(self, owner: str, execution_ids: Collection[int]) -> None:
        await self._value("put_trials", owner, list(execution_ids))

    async def trials(self) -> list[Trial]:
        return [Trial(*row) for row in await self._all("get_trials")]

    async def forget_trials(self, execution_ids: Collection[int]) -> None:
        await self._value("forget_trials", list(execution_ids))

    async def forget_ended_trials(self) -> None:
        await self._value("forget_ended_trials")

    # -- inbox ------------------------------------------------------------------------

    async def post(self, execution_id: int, body: bytes) -> None:
        await self._value("post", execution_id, body)

    async def take(self, execution_ids: Sequence[int]) -> list[tuple[int, int, bytes]]:
        return [(n, i, body) for n, i, body in await self._all("take", list(execution_ids))]

    async def drop(self, numbers: Sequence[int]) -> None:
        await self._value("drop", list(numbers))
