"""Databases of DuckDB that this process has open, and the threads that work in them.

DuckDB gives a file to one process at a time. So a file is open only as long as a call
works in it or waits for it; the one that steps of an execution share stays a little
longer, because opening costs more than a small query.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

import duckdb

from arcbook.tools.duckdb import errors
from arcbook.tools.duckdb.limits import Limits

THREADS_MAX: Final = 8
"""Calls that work at the same time."""

KEEP_SECONDS: Final = 1.0
"""How long a shared database stays open after its last call."""

LOCK_WAIT_SECONDS: Final = 10.0
"""How long to wait for a file that another process holds."""

INTERRUPT_SECONDS: Final = 0.05
"""How often a thread that should stop is told so."""

STOP_SECONDS: Final = 30.0
"""How long a thread may take to stop; then its database is given up."""

MEMORY: Final = ":memory:"

T = TypeVar("T")

_CONFIG: Final[dict[str, str | bool | int | float | list[str]]] = {
    # Nothing is fetched from the network unless a statement says so.
    "autoinstall_known_extensions": False,
    "custom_user_agent": "arcbook",
}


class StoppedError(RuntimeError):
    """The call was cancelled, so its thread stops between two pieces of work."""


class DuckdbSession:
    """One call's connection to a database, and the threads to use it in."""

    def __init__(self, connection: Any, threads: ThreadPoolExecutor) -> None:
        self.connection = connection
        #: Whether the database is of no more use.
        self.broken = False
        self._threads = threads
        self._stop = threading.Event()

    def check(self) -> None:
        """Called in the thread between pieces of work.

        Raises:
            StoppedError: the call was cancelled.
        """
        if self._stop.is_set():
            raise StoppedError

    async def do(self, function: Callable[..., T], *args: Any) -> T:
        """Run a function in a thread; a cancellation interrupts what it does."""
        future = asyncio.get_running_loop().run_in_executor(self._threads, function, *args)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await self._stopped(future)
            raise

    async def _stopped(self, future: asyncio.Future[Any]) -> None:
        """Interrupt a thread until it has ended."""
        self._stop.set()
        loop = asyncio.get_running_loop()
        until = loop.time() + STOP_SECONDS
        while not future.done():
            if loop.time() > until:
                self.broken = True
                return
            self.connection.interrupt()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([future], timeout=INTERRUPT_SECONDS)
        if not future.cancelled():
            future.exception()


class _Database:
    """A database that is open or about to be."""

    def __init__(self, path: str, threads: ThreadPoolExecutor) -> None:
        self.path = path
        #: The threads to use it in, and what they and it are kept to.
        self.threads = threads
        self.limits: Limits | None = None
        self.lock = asyncio.Lock()
        self.connection: Any = None
        self.users = 0
        self.closing: asyncio.TimerHandle | None = None


class Databases:
    """The databases that a tool has open."""

    def __init__(self) -> None:
        self._open: dict[str, _Database] = {}
        self._threads = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="duckdb")
        self._closing: set[Future[None]] = set()

    @contextlib.asynccontextmanager
    async def work(
        self, path: str, *, keep: bool, limits: Limits | None = None
    ) -> AsyncIterator[DuckdbSession]:
        """Lend a connection of one's own to a database; calls to one file take turns.

        Args:
            path: the file, or ``:memory:`` for a database of the call's own.
            keep: whether the file stays open for a while.
            limits: what the call may reach; everything if nothing is said.

        Raises:
            duckdb.Error: it cannot be opened.
        """
        name = path if path == MEMORY else os.path.realpath(path)
        database = self._new(MEMORY) if name == MEMORY else self._database(name)
        database.users += 1
        try:
            async with database.lock:
                await self._open_for(database, limits)
                work = DuckdbSession(database.connection.cursor(), database.threads)
                try:
                    yield work
                except duckdb.Error as error:
                    work.broken = work.broken or errors.is_fatal(error)
                    raise
                finally:
                    if work.broken:
                        database.connection = None
                    else:
                        await _run(database.threads, work.connection.close)
        finally:
            database.users -= 1
            self._release(database, keep=keep and name != MEMORY)

    def _database(self, name: str) -> _Database:
        database = self._open.setdefault(name, self._new(name))
        if database.closing is not None:
            database.closing.cancel()
            database.closing = None
        return database

    def _new(self, name: str) -> _Database:
        return _Database(name, self._threads)

    async def _open_for(self, database: _Database, limits: Limits | None) -> None:
        """Open a database, or open it anew if it is open with what another call may reach."""
        if database.connection is not None and database.limits == limits:
            return
        if database.connection is not None:
            connection, database.connection = database.connection, None
            await _run(database.threads, connection.close)
        threads = self._threads if limits is None else limits.threads()
        if database.threads is not self._threads:
            database.threads.shutdown(wait=False)
        database.threads, database.limits = threads, limits
        database.connection = await self._opened(database)

    async def _opened(self, database: _Database) -> Any:
        """Open a file, waiting while another process holds it."""
        loop = asyncio.get_running_loop()
        until = loop.time() + LOCK_WAIT_SECONDS
        pause = 0.02
        while True:
            try:
                return await _run(database.threads, _connect, database.path, database.limits)
            except duckdb.IOException as error:
                if not errors.is_locked(error) or loop.time() + pause > until:
                    raise
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.5)

    def _release(self, database: _Database, *, keep: bool) -> None:
        if database.users:
            return
        if not keep or database.connection is None:
            self._close(database)
            return
        loop = asyncio.get_running_loop()
        database.closing = loop.call_later(KEEP_SECONDS, self._close, database)

    def _close(self, database: _Database) -> None:
        """Close a database in a thread, for closing writes what is not yet in the file."""
        connection, database.connection = database.connection, None
        if self._open.get(database.path) is database:
            del self._open[database.path]
        if connection is not None:
            future = database.threads.submit(connection.close)
            self._closing.add(future)
            future.add_done_callback(self._closing.discard)
        if database.threads is not self._threads:
            database.threads.shutdown(wait=False)

    async def close(self) -> None:
        """Close every database that is not in use; closing twice is well."""
        for database in list(self._open.values()):
            if database.closing is not None:
                database.closing.cancel()
                database.closing = None
            if not database.users:
                self._close(database)
        await asyncio.gather(*(asyncio.wrap_future(f) for f in list(self._closing)))
        self._threads.shutdown(wait=False)


async def _run(threads: ThreadPoolExecutor, function: Callable[..., T], *args: Any) -> T:
    """Run a short function in a thread to its end, whatever happens meanwhile."""
    future = asyncio.get_running_loop().run_in_executor(threads, function, *args)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        future.add_done_callback(_close_unused)
        raise


def _connect(path: str, limits: Limits | None) -> Any:
    if path != MEMORY and "://" not in path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    if limits is None:
        return duckdb.connect(path, config=_CONFIG)
    connection = duckdb.connect(path, config={**_CONFIG, **limits.config})
    try:
        limits.apply(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _close_unused(future: asyncio.Future[Any]) -> None:
    """Close a connection that was opened for a call which did not wait for it."""
    if not future.cancelled() and future.exception() is None:
        connection = future.result()
        if connection is not None:
            connection.close()
