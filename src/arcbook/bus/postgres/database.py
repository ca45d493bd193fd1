"""The connections to the database, and the tables of the bus in it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Any, Final

import asyncpg

from arcbook.bus.api import BusError
from arcbook.logs import events as logged
from arcbook.supervision import Service, cancelled

VERSION: Final = 1
"""Version of the tables. Older tables are recreated, because their content is not durable."""

LOCK: Final = 0x6172_6362_7573
"""Key of the advisory lock for creating the tables."""

CONNECTIONS_MAX: Final = 8
"""Connections of one process, besides the listening one."""

START_SECONDS: Final = 5.0
"""Time limit for the first connection."""

STATEMENT_SECONDS: Final = 30.0
"""Time limit for a statement."""

RETRY_SECONDS: Final = 0.5
"""Pause between two attempts to listen again."""

CUT: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.InterfaceError,
    OSError,
)

WIPED: Final = (
    asyncpg.InvalidSchemaNameError,
    asyncpg.UndefinedFunctionError,
    asyncpg.UndefinedTableError,
)

_log = logging.getLogger("arcbook.bus")

Notified = Callable[[str, str], None]
"""Is called with the channel and the payload of a notification."""


class _Connection(asyncpg.Connection):  # type: ignore[misc]  # the library has no types
    """A connection that keeps no state between statements, and so needs no cleaning."""

    def get_reset_query(self) -> str:
        """Skip the reset, which would cost a round trip after each statement."""
        return ""


class Database:
    """The connections to the database.

    Args:
        dsn: the database; not through a pooler that shares sessions.
        on_notification: called for each notification.
        channels: channels to listen to.
        on_back: called when listening is restored.
        service: runs the reconnecting.
    """

    def __init__(
        self,
        dsn: str,
        on_notification: Notified,
        channels: list[str],
        on_back: Callable[[], Awaitable[None]],
        service: Service,
    ) -> None:
        self._dsn = dsn
        self._on_notification = on_notification
        self._channels = channels
        self._on_back = on_back
        self._service = service
        self._pool: Any = None
        self._hearing: Any = None
        self._coming_back: asyncio.Task[None] | None = None
        self._leaving = False

    @property
    def backend(self) -> int:
        """Process id of the listening session."""
        if self._hearing is None or self._hearing.is_closed():
            raise BusError("PostgreSQL cannot be reached")
        return int(self._hearing.get_server_pid())

    async def start(self) -> None:
        """Connect, and create the tables.

        Raises:
            BusError: the server cannot be reached or refuses the connection.
        """
        async with contextlib.AsyncExitStack() as started:
            started.push_async_callback(self.stop)
            await self._start()
            started.pop_all()

    async def _start(self) -> None:
        try:
            async with asyncio.timeout(START_SECONDS * 2):
                self._pool = await asyncpg.create_pool(
                    self._dsn,
                    connection_class=_Connection,
                    min_size=1,
                    max_size=CONNECTIONS_MAX,
                    command_timeout=STATEMENT_SECONDS,
                    timeout=START_SECONDS,
                    server_settings={
                        "application_name": "arcbook bus",
                        "synchronous_commit": "off",
                        "search_path": "pg_catalog",
                    },
                )
                await self.make_tables()
                await self._hear()
        except ValueError:
            raise BusError("the DSN of PostgreSQL is not valid") from None
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            reason = str(error) or "no answer in time"
            raise BusError(f"the bus cannot be opened on PostgreSQL: {reason}") from error

    async def stop(self) -> None:
        """Disconnect."""
        self._leaving = True
        if self._coming_back is not None:
            await cancelled([self._coming_back])
        for part in (self._hearing, self._pool):
            if part is not None:
                with contextlib.suppress(*CUT, TimeoutError):
                    async with asyncio.timeout(START_SECONDS):
                        await part.close()

    async def run(self, statement: str, *arguments: Any) -> list[Any]:
        """Run a statement; repeat it if the connection was lost or the tables were wiped.

        Raises:
            BusError: the statement failed.
        """
        try:
            return await self._run(statement, *arguments)
        except CUT:
            pass
        except WIPED:
            await self._made_again()
        try:
            return await self._run(statement, *arguments)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            raise BusError(f"PostgreSQL: {error or 'no answer in time'}") from error

    async def _run(self, statement: str, *arguments: Any) -> list[Any]:
        try:
            rows: list[Any] = await self._pool.fetch(statement, *arguments)
        except TimeoutError:
            raise BusError("PostgreSQL did not answer in time") from None
        except asyncpg.PostgresError as error:
            if isinstance(error, (*CUT, *WIPED)):
                raise
            raise BusError(f"PostgreSQL: {error}") from error
        return rows

    async def _made_again(self) -> None:
        try:
            await self.make_tables()
        except (asyncpg.PostgresError, *CUT) as error:
            raise BusError(f"PostgreSQL: {error}") from error
        await self._on_back()

    async def make_tables(self) -> None:
        """Create missing tables, one process at a time."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute("select pg_advisory_xact_lock($1)", LOCK)
            version = await self._version(connection)
            if version == VERSION:
                return
            if version > VERSION:
                raise BusError("a newer Arcbook created the bus in this database: use that version")
            schema = resources.files(__package__).joinpath("schema.sql").read_text("utf-8")
            await connection.execute("drop schema if exists arcbook_bus cascade")
            await connection.execute(schema)
            await connection.execute("insert into arcbook_bus.version values ($1)", VERSION)

    async def _version(self, connection: Any) -> int:
        there = await connection.fetchval("select to_regclass('arcbook_bus.version') is not null")
        if not there:
            return 0
        return int(await connection.fetchval("select max(version) from arcbook_bus.version") or 0)

    async def _hear(self) -> None:
        connection = await asyncpg.connect(
            self._dsn,
            timeout=START_SECONDS,
            server_settings={"application_name": "arcbook bus", "tcp_keepalives_idle": "10"},
        )
        self._hearing = connection
        for channel in self._channels:
            await connection.add_listener(channel, self._notified)
        connection.add_termination_listener(self._was_cut)

    def _notified(self, _connection: Any, _pid: int, channel: str, payload: str) -> None:
        self._on_notification(channel, payload)

    def _was_cut(self, _connection: Any) -> None:
        busy = self._coming_back is not None and not self._coming_back.done()
        if not self._leaving and not busy and self._service.is_running:
            _log.warning(logged.BUS_CUT, {"bus": "PostgreSQL"})
            self._coming_back = self._service.task("coming back", self._come_back())

    async def _come_back(self) -> None:
        while True:
            try:
                if self._hearing.is_closed():
                    await self._hear()
                await self._on_back()
            except (asyncpg.PostgresError, *CUT, TimeoutError, BusError):
                await asyncio.sleep(RETRY_SECONDS)
            else:
                _log.warning(logged.BUS_BACK, {"bus": "PostgreSQL"})
                return
