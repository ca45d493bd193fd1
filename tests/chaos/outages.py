"""Outages: something does not work for a while, and then works again."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

import nats
import psycopg
from nats.js.errors import APIError

from arcbook.testing.cluster_processes import ClusterProcesses
from arcbook.testing.services import NatsServer
from chaos.disk import SmallPostgres

CONNECTIONS_MAX: Final = 200
"""More connections than the database server allows."""

BALLAST: Final = "BALLAST"
"""Stream that fills the storage of NATS."""

BALLAST_BYTES: Final = 256 * 1024
MESSAGES_MAX: Final = 1000
"""Messages of that size by which the storage must be full."""

STORE_BYTES: Final = 48 * 1024 * 1024
"""Storage of the NATS server."""

FILLS: Final = "create table probe as select repeat('x', 1000) from generate_series(1, 50000)"
"""A query that a full disk has no room for."""

CUT: Final = (
    "select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'client backend'"
    " and pid <> pg_backend_pid() and application_name <> 'ballast'"
)


class Outages:
    """Everything that can be out of order for a while.

    Args:
        processes: the cluster.
        postgres: its database server.
        bus: its NATS server.
        seconds: how long each outage lasts.
    """

    def __init__(
        self, processes: ClusterProcesses, postgres: SmallPostgres, bus: NatsServer, seconds: float
    ) -> None:
        self._processes = processes
        self._postgres = postgres
        self._bus = bus
        self._seconds = seconds

    def all(self) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
        """Return the outages in the order in which they come."""
        found = [
            ("server hung beyond its lease", self._lasting(self.hang_server)),
            ("PostgreSQL hung", self._lasting(self.hang_postgres)),
            ("database read-only", self._lasting(self.read_only)),
            ("no connection to PostgreSQL left", self._lasting(self.no_connections)),
            ("JetStream full", self.fill_stream),
        ]
        if self._postgres.is_small:
            found.append(("disk of PostgreSQL full", self._lasting(self.fill_disk)))
        return found

    def _lasting(
        self, outage: Callable[[], AbstractContextManager[None]]
    ) -> Callable[[], Awaitable[None]]:
        async def fault() -> None:
            await asyncio.to_thread(self._hold, outage)

        return fault

    def _hold(self, outage: Callable[[], AbstractContextManager[None]]) -> None:
        with outage():
            time.sleep(self._seconds)

    @contextmanager
    def hang_server(self) -> Iterator[None]:
        """Stop a server by SIGSTOP, and let it go on."""
        server = self._processes.servers[0]
        server.signal(signal.SIGSTOP)
        yield
        server.signal(signal.SIGCONT)

    @contextmanager
    def hang_postgres(self) -> Iterator[None]:
        """Stop all processes of the database server by SIGSTOP, and let them go on."""
        self._postgres.signal(signal.SIGSTOP)
        yield
        self._postgres.signal(signal.SIGCONT)

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Have the database refuse to write."""
        self._postgres.execute("alter system set default_transaction_read_only = on")
        self._postgres.execute("select pg_reload_conf()")
        yield
        self._is_refused("create table probe ()")
        self._postgres.execute("alter system reset default_transaction_read_only")
        self._postgres.execute("select pg_reload_conf()")

    @contextmanager
    def no_connections(self) -> Iterator[None]:
        """Take all connections of the database server away from the cluster."""
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(self._connection())
            self._take_all(stack)
            first.execute(CUT)
            self._take_all(stack)
            yield
            self._is_refused("select 1")

    def _is_refused(self, query: str) -> None:
        """Assert that the outage is one: the database server must refuse a query."""
        with contextlib.suppress(psycopg.Error):
            self._postgres.execute(query)
            raise AssertionError(f"the outage changed nothing: PostgreSQL took {query!r}")

    def _take_all(self, stack: contextlib.ExitStack) -> None:
        with contextlib.suppress(psycopg.OperationalError):
            for _ in range(CONNECTIONS_MAX):
                stack.enter_context(self._connection())

    def _connection(self) -> psycopg.Connection:
        dsn = self._postgres.dsn() + "?application_name=ballast"
        return psycopg.connect(dsn, autocommit=True)

    @contextmanager
    def fill_disk(self) -> Iterator[None]:
        """Fill the disk of the database server."""
        self._postgres.fill()
        yield
        self._is_refused(FILLS)
        self._postgres.drain()

    async def fill_stream(self) -> None:
        """Fill the storage of NATS, so that no stream takes messages."""
        connection = await nats.connect(self._bus.url)
        try:
            stream = connection.jetstream()
            await stream.add_stream(name=BALLAST, subjects=["ballast"])
            with contextlib.suppress(APIError):
                for _ in range(MESSAGES_MAX):
                    await stream.publish("ballast", bytes(BALLAST_BYTES))
                raise AssertionError("the storage of NATS has no end")
            await asyncio.sleep(self._seconds)
            await stream.delete_stream(BALLAST)
        finally:
            await connection.close()
