"""What is done to a cluster while it works."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Final

import nats
from nats.errors import Error as NatsError

from arcbook.testing.cluster_processes import ClusterProcesses
from arcbook.testing.services import NatsServer, PostgresServer

STREAMS: Final = ("NOETL_COMMANDS",)


class Faults:
    """Everything that can be broken, and how it is mended."""

    def __init__(
        self,
        processes: ClusterProcesses,
        postgres: PostgresServer,
        bus: NatsServer,
        pause_seconds: float,
    ) -> None:
        self._processes = processes
        self._postgres = postgres
        self._bus = bus
        self._pause_seconds = pause_seconds
        self._turn = 0

    def all(self) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
        """Return the faults in the order in which they come."""
        return [
            ("worker killed", self.kill_worker),
            ("server killed", self.kill_server),
            ("streams deleted", self.delete_streams),
            ("worker paused beyond its lease", self.pause_worker),
            ("nats-server killed", self.kill_nats),
            ("connections to PostgreSQL cut", self.cut_connections),
            ("PostgreSQL killed", self.kill_postgres),
        ]

    async def kill_worker(self) -> None:
        """Kill a worker, and start another one."""
        self._turn += 1
        worker = self._processes.workers.pop(0)
        await asyncio.to_thread(worker.stop, signal.SIGKILL)
        await asyncio.to_thread(self._processes.start_worker)

    async def kill_server(self) -> None:
        """Kill a server, and start another one."""
        server = self._processes.servers.pop(0)
        await asyncio.to_thread(server.stop, signal.SIGKILL)
        await asyncio.to_thread(self._processes.start_server)

    async def pause_worker(self) -> None:
        """Stop a worker for longer than its lease; then let it go on."""
        worker = self._processes.workers[0]
        worker.signal(signal.SIGSTOP)
        await asyncio.sleep(self._pause_seconds)
        worker.signal(signal.SIGCONT)

    async def kill_nats(self) -> None:
        """Kill the NATS server, and start it again."""
        await asyncio.to_thread(self._bus.crash)
        await asyncio.sleep(1.0)
        await asyncio.to_thread(self._bus.start_again)

    async def delete_streams(self) -> None:
        """Delete the streams with all messages."""
        connection = await nats.connect(self._bus.url)
        try:
            for stream in STREAMS:
                await connection.jetstream().delete_stream(stream)
        except NatsError:
            pass  # it was just gone
        finally:
            await connection.close()

    async def cut_connections(self) -> None:
        """Cut every connection to the database."""
        await asyncio.to_thread(
            self._postgres.execute,
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where pid <> pg_backend_pid() and backend_type = 'client backend'",
        )

    async def kill_postgres(self) -> None:
        """Kill the database server with all of its processes, and start it again."""
        await asyncio.to_thread(self._postgres.crash)
        await asyncio.sleep(1.0)
        await asyncio.to_thread(self._postgres.start_again)
