"""Connections to PostgreSQL that calls share.

A pool connects in the caller's own time, so that the reason why a server cannot be had
reaches the call at once. A connection goes back as clean as it came: the server undoes
whatever a call set, locked, prepared or listened to as soon as the call has ended, and no
other call gets the connection before.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.generators import fetch_many, send
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.sql import SQL, Composed

from arcbook.egress import Egress, EgressError
from arcbook.tools.postgres import types as postgres_types
from arcbook.tools.postgres.cursor import StatementCursor

SIZE_MAX: Final = 8
"""Connections of a pool where the task says nothing."""

WAIT_SECONDS: Final = 30.0
"""How long a call waits for a free connection where the task says nothing."""

CONNECT_SECONDS: Final = 10
"""How long a connect may take where the task says nothing."""

IDLE_SECONDS: Final = 60.0
"""How long a connection is kept that nobody uses."""

CLEAN_SECONDS: Final = 5.0
"""How long making a connection clean may take; then it is closed."""

Connection = psycopg.AsyncConnection[Any]


class PoolBusyError(RuntimeError):
    """All connections of a pool are in use, and stay so."""


class ConnectError(RuntimeError):
    """A server cannot be had; the cause is psycopg's error."""

    def __init__(self, cause: psycopg.Error) -> None:
        self.cause = cause
        super().__init__(str(cause))


class Session:
    """A connection, and what was learnt about its database."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        #: Types of the database's own: the element's type of an array, ``None`` for others.
        self.elements: dict[int, int | None] = {}
        self.idle_since = 0.0
        self._is_cleaning = False

    def clean(self) -> None:
        """Begin to undo all that a call set, locked, prepared or listened to.

        The server does it at once; nobody waits for its answer until the next call.

        Raises:
            psycopg.Error: the connection is lost.
        """
        self.connection.pgconn.send_query(b"DISCARD ALL")
        self._is_cleaning = True

    async def cleaned(self) -> None:
        """Wait until it is clean.

        Raises:
            psycopg.OperationalError: the connection is lost, or was not clean in time.
        """
        if not self._is_cleaning:
            return
        pgconn = self.connection.pgconn
        try:
            async with asyncio.timeout(CLEAN_SECONDS):
                if pgconn.flush():
                    await self.connection.wait(send(pgconn))
                pgconn.consume_input()  # usually all of the answer, so that nothing waits
                results = await self.connection.wait(fetch_many(pgconn))
        except TimeoutError:
            _close(self)
            raise psycopg.OperationalError("the connection was not clean in time") from None
        if any(result.status != ExecStatus.COMMAND_OK for result in results):
            _close(self)
            raise psycopg.OperationalError("the connection cannot be made clean")
        self._is_cleaning = False

    async def learn(self, oids: set[int]) -> None:
        """Ask which of some types are arrays, unless that is known."""
        unknown = [oid for oid in oids if oid not in self.elements]
        if not unknown:
            return
        cursor = self.connection.cursor()
        await cursor.execute(postgres_types.ARRAY_QUERY, (unknown,))
        self.elements |= dict.fromkeys(unknown, None) | dict(await cursor.fetchall())


class Pool:
    """Connections for one address and one user."""

    def __init__(
        self,
        conninfo: str,
        egress: Egress,
        *,
        size: int = SIZE_MAX,
        waiting_max: int | None = None,
    ) -> None:
        self._conninfo = conninfo
        self._egress = egress
        self._waiting_max = waiting_max
        self._waiting = 0
        self._slots = asyncio.Semaphore(size)
        self._idle: list[Session] = []
        self._in_use = 0
        self._pruning: asyncio.TimerHandle | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it holds no connection, so that nothing is lost with it."""
        return not self._idle and not self._in_use and not self._waiting

    @contextlib.asynccontextmanager
    async def session(
        self, opening: SQL | Composed, *, wait_seconds: float = WAIT_SECONDS
    ) -> AsyncIterator[Session]:
        """Lend a session, on which ``opening`` was run.

        Raises:
            PoolBusyError: none became free in time.
            ConnectError: the server cannot be had.
        """
        await self._slot(wait_seconds)
        self._in_use += 1
        session = None
        try:
            session = await self._opened(opening)
            yield session
        finally:
            try:
                if session is not None:
                    await self._take_back(session)
            finally:
                self._in_use -= 1
                self._slots.release()

    async def _slot(self, seconds: float) -> None:
        full = self._waiting_max is not None and self._waiting >= self._waiting_max
        if full and self._slots.locked():
            raise PoolBusyError(f"{self._waiting} calls wait for a connection already")
        self._waiting += 1
        try:
            async with asyncio.timeout(seconds):
                await self._slots.acquire()
        except TimeoutError:
            raise PoolBusyError(f"no connection became free within {seconds:g} seconds") from None
        finally:
            self._waiting -= 1

    async def _opened(self, opening: SQL | Composed) -> Session:
        """Return a session that answers: those that went stale are dropped on the way."""
        while self._idle:
            session = self._idle.pop()
            with _closing(session) as unless_kept:
                try:
                    await session.cleaned()
                    await session.connection.execute(opening)
                except psycopg.OperationalError:
                    if not session.connection.closed:
                        raise
                else:
                    unless_kept.pop_all()
                    return session
        return await self._connected(opening)

    async def _connected(self, opening: SQL | Composed) -> Session:
        try:
            connection = await psycopg.AsyncConnection.connect(
                await pinned(self._conninfo, self._egress),
                autocommit=True,
                prepare_threshold=None,
                cursor_factory=StatementCursor,
            )
        except EgressError:
            raise
        except OSError as error:
            raise ConnectError(psycopg.OperationalError(str(error))) from None
        except psycopg.Error as error:
            raise ConnectError(error) from None
        session = Session(connection)
        with _closing(session) as unless_kept:
            postgres_types.register(connection)
            await connection.execute(opening)
            unless_kept.pop_all()
        return session

    async def _take_back(self, session: Session) -> None:
        connection = session.connection
        if connection.closed:
            return
        with _closing(session) as unless_kept, contextlib.suppress(psycopg.Error, TimeoutError):
            async with asyncio.timeout(CLEAN_SECONDS):
                if connection.info.transaction_status != TransactionStatus.IDLE:
                    await connection.rollback()
            session.clean()
            unless_kept.pop_all()
            self._lay_down(session)

    def _lay_down(self, session: Session) -> None:
        """Keep a clean session for the next call."""
        loop = asyncio.get_running_loop()
        session.idle_since = loop.time()
        self._idle.append(session)
        if self._pruning is None:
            self._pruning = loop.call_later(IDLE_SECONDS, self._prune)

    def _prune(self) -> None:
        """Close what was idle for long, and look again when the next may be."""
        self._pruning = None
        loop = asyncio.get_running_loop()
        limit = loop.time() - IDLE_SECONDS
        stale = [s for s in self._idle if s.idle_since <= limit]
        self._idle = [s for s in self._idle if s.idle_since > limit]
        for session in stale:
            _close(session)
        if self._idle:
            at = self._idle[0].idle_since + IDLE_SECONDS
            self._pruning = loop.call_at(at, self._prune)

    def close(self) -> None:
        """Close every connection that is not in use."""
        if self._pruning is not None:
            self._pruning.cancel()
            self._pruning = None
        while self._idle:
            _close(self._idle.pop())


async def pinned(conninfo: str, egress: Egress) -> str:
    """Return where to connect with the addresses that were looked at, in the place of names.

    Raises:
        EgressError: none of them is reached.
        OSError: there is no such host.
    """
    parts = conninfo_to_dict(conninfo)
    hosts = str(parts.get("host") or "").split(",")
    written = str(parts.get("hostaddr") or "").split(",")
    ports = str(parts.get("port") or "").split(",")
    if len(written) == len(hosts) and all(written):
        for host, address in zip(hosts, written, strict=True):
            egress.check(host, address)
        return conninfo
    if egress.is_open and len(hosts) == 1 and hosts[0] in ("127.0.0.1", "localhost"):
        return conninfo
    names: list[str] = []
    addresses: list[str] = []
    targets: list[str] = []
    for index, host in enumerate(hosts):
        port = ports[index if len(ports) == len(hosts) else 0] or "5432"
        is_socket = host.startswith(("/", "@")) or not host
        found = [""] if is_socket else await egress.resolve(host, int(port))
        names += [host] * len(found)
        addresses += found
        targets += [port] * len(found)
    if not any(addresses):
        return conninfo
    parts |= {"host": ",".join(names), "hostaddr": ",".join(addresses), "port": ",".join(targets)}
    return make_conninfo("", **parts)


def _closing(session: Session) -> contextlib.ExitStack:
    """Close a connection at the end of a block, unless the block takes it out."""
    stack = contextlib.ExitStack()
    stack.callback(_close, session)
    return stack


def _close(session: Session) -> None:
    """Close a connection without waiting; the server sees its socket go."""
    session.connection.pgconn.finish()
