"""The store in PostgreSQL: its lifetime, and the monthly partitions of events."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Final, Self

from arcbook.clock import Clock
from arcbook.shards import SHARDS
from arcbook.store.api import StoreError
from arcbook.store.postgres.access import PostgresAccess
from arcbook.store.postgres.cluster import PostgresCluster
from arcbook.store.postgres.documents import PostgresDocuments
from arcbook.store.postgres.events import PostgresEvents
from arcbook.store.postgres.migrate import MONTHS_AHEAD, refuse_unfit, state_of
from arcbook.store.postgres.secret_audit import PostgresSecretAudit

POOL_SIZE: Final = 8
"""Connections of one process, which limit its concurrent statements."""

SKEW_US_MAX: Final = 10_000_000
"""Maximum difference between a server's clock and the database's, in microseconds."""

CLOSE_SECONDS: Final = 5.0
"""Time limit for running statements when the store closes."""


class PostgresStore(
    PostgresEvents, PostgresDocuments, PostgresSecretAudit, PostgresCluster, PostgresAccess
):
    """A store that several servers share.

    A commit is one call of a database function, and durable when the call returns. If the
    connection is lost during a commit, its result is unknown: the writer gets a
    ``StoreError`` and must reload its executions.
    """

    def __init__(self, dsn: str, *, pool_size: int = POOL_SIZE) -> None:
        super().__init__(dsn)
        self._pool_size = pool_size

    async def __aenter__(self) -> Self:
        self._pool = await self._address.pool(self._pool_size)
        async with AsyncExitStack() as undo:
            undo.push_async_exit(self.__aexit__)
            await self._refuse_unfit()
            undo.pop_all()
        return self

    async def _refuse_unfit(self) -> None:
        async with self.connection() as connection:
            refuse_unfit(await state_of(connection))
        shards = await self._value("count_shards")
        if shards != SHARDS:
            raise StoreError(
                f"the database was created for {shards} shards, but this version uses {SHARDS}"
            )

    async def __aexit__(self, *exc: object) -> None:
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await pool.close()
        except TimeoutError:
            pool.terminate()

    async def refuse_skew(self, clock: Clock) -> None:
        """Refuse a clock that differs from the database's: timers would fire at wrong times.

        Raises:
            StoreError: the difference is too large; the message states it.
        """
        skew = clock.now_us() - int(await self._value("clock_us"))
        if abs(skew) > SKEW_US_MAX:
            way = "ahead of" if skew > 0 else "behind"
            raise StoreError(
                f"the clock of this machine is {abs(skew) / 1_000_000:.0f} s {way} the "
                "database's: synchronize it, for instance with NTP"
            )

    @property
    def partitions(self) -> Self:
        return self

    async def ensure_partitions(self, now_us: int | None = None) -> int:
        """Create the event partitions of the coming months; return how many were missing.

        An upgrade creates the first ones; servers call this periodically.
        """
        return int(await self._value("ensure_partitions", now_us, MONTHS_AHEAD))

    async def retention(self, before_us: int) -> int:
        """Delete months of executions that ended before a time; return how many executions.

        A month with an unfinished execution is kept entirely.
        """
        return int(await self._value("retention", before_us))
