"""A cluster in one process: servers and workers on an in-memory store and bus."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Self

from arcbook.blobs.memory import MemoryBlobs
from arcbook.bus.api import Bus
from arcbook.bus.memory import Exchange, MemoryBus
from arcbook.clock import Clock, SystemClock
from arcbook.dsl.load import load_playbook
from arcbook.engine.state import State
from arcbook.events.codec import decode
from arcbook.events.types import Recorded
from arcbook.owner.boundary import stored_state
from arcbook.owner.pools import PoolRules
from arcbook.performer.execute import Performer
from arcbook.results.store import ResultStore
from arcbook.secrets.api import Credential, CredentialError
from arcbook.secrets.sessions import SERVER, Root, Ticket, WorkerToken
from arcbook.server.core import Server
from arcbook.server.credential_delivery import Credentials
from arcbook.server.guard import GuardedBus
from arcbook.shards import shard_of
from arcbook.store.memory import MemoryStore
from arcbook.tools.registry import Registry
from arcbook.worker.control import Control, RemoteBlobs
from arcbook.worker.core import Worker
from arcbook.worker.sealed import SealedBus

ENDS_SECONDS: Final = 20.0
"""How long a test waits for an execution to end."""

ENTRY_TEXT: Final = "the token of a test's servers and workers"

A_SERVER: Final = Ticket(SERVER, "another", "", b"", "", [], b"")
"""The session of another server, which may send any request."""

LEASE_SECONDS: Final = 0.6
"""Lease of a worker in these tests, in seconds."""


class NoCredentials:
    """A credential source without credentials."""

    async def credential(self, alias: str, execution_id: int, *, requester: str = "") -> Credential:
        """Raise: there are no credentials."""
        raise CredentialError(alias, "is not known")


class RunningServer:
    """A server, and ways to stop or crash it."""

    def __init__(self, server: Server, bus: Bus) -> None:
        self.server = server
        self.bus = bus

    async def stop(self) -> None:
        """Stop the server in order; it hands over its shards."""
        await self.server.__aexit__(None, None, None)
        await self.bus.__aexit__(None, None, None)

    async def kill(self) -> None:
        """Crash the server, as if its machine were lost."""
        await self.server.beating.stop()
        await self.server.service.stop()
        self.server.drive.close()
        await self.bus.__aexit__(None, None, None)


class RunningWorker:
    """A worker, and ways to stop or crash it."""

    def __init__(self, worker: Worker, bus: Bus) -> None:
        self.worker = worker
        self.bus = bus

    async def stop(self, seconds: float = 5.0) -> None:
        """Drain the worker, then stop it."""
        await self.worker.drain(seconds)
        await self.kill()

    async def kill(self) -> None:
        """Crash the worker; its commands are lost."""
        await self.worker.__aexit__(None, None, None)
        await self.bus.__aexit__(None, None, None)


class Cluster:
    """The servers and workers of a test."""

    def __init__(
        self,
        folder: Path,
        *,
        credentials: Credentials | None = None,
        lease_seconds: float = LEASE_SECONDS,
        rules: PoolRules | None = None,
        clock: Clock | None = None,
        open_bus: Callable[[], Bus] | None = None,
    ) -> None:
        self.clock = clock or SystemClock()
        self.store = MemoryStore(self.clock)
        self.exchange = Exchange()
        self.open_bus = open_bus or (lambda: MemoryBus(self.exchange))
        self.blobs = MemoryBlobs()
        self.folder = folder
        self.credentials = credentials or NoCredentials()
        self.lease_seconds = lease_seconds
        self.rules = rules
        self._moved = asyncio.Event()
        self.servers: list[RunningServer] = []
        self.workers: list[RunningWorker] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        for worker in self.workers:
            await worker.kill()
        for server in self.servers:
            await server.kill()

    async def server(self) -> RunningServer:
        """Start a server."""
        bus = await self.open_bus().__aenter__()
        server = Server(
            self.store,
            GuardedBus(bus, Root(ENTRY_TEXT), self.store, self.clock),
            self.blobs,
            Registry(),
            self.credentials,
            self.clock,
            rules=self.rules,
            lease_seconds=self.lease_seconds,
        )
        server.on_events(lambda *_: self._moved.set())
        running = RunningServer(await server.__aenter__(), bus)
        self.servers.append(running)
        return running

    async def worker(
        self,
        pools: Sequence[str] = ("shared",),
        concurrency: int = 8,
        registry: Registry | None = None,
    ) -> RunningWorker:
        """Start a worker."""
        bus = await self.open_bus().__aenter__()
        name = f"worker-{len(self.workers) + 1}"
        sealed = SealedBus(bus, lambda: WorkerToken(ENTRY_TEXT), name, pools)
        control = Control(sealed, name)
        tools = registry or Registry()
        performer = Performer(
            tools,
            ResultStore(RemoteBlobs(control), loop_reader=control.frames),
            control,
            self.clock,
            worker=name,
            workspace=lambda _: str(self.folder),
        )
        worker = Worker(
            sealed,
            control,
            performer,
            tools,
            self.clock,
            pools=pools,
            concurrency=concurrency,
            worker_id=name,
            beat_seconds=self.lease_seconds / 4,
        )
        running = RunningWorker(await worker.__aenter__(), bus)
        self.workers.append(running)
        return running

    # -- executions -------------------------------------------------------------------

    async def start(self, text: str, payload: dict[str, Any] | None = None, at: int = 0) -> int:
        """Register a playbook and start it on one of the servers."""
        server = self.servers[at].server
        await self.register(text, at)
        loaded = load_playbook(text, server.registry)
        planned = await server.plans.find(loaded.path)
        return await server.start(planned, payload or {})

    async def register(self, text: str, at: int = 0) -> None:
        """Register a playbook."""
        server = self.servers[at].server
        loaded = load_playbook(text, server.registry)
        assert loaded.playbook is not None, loaded.errors
        await server.plans.register(text, loaded)

    async def ended(self, execution_id: int, seconds: float = ENDS_SECONDS) -> State:
        """Wait for an execution to end; return its final state."""
        async with asyncio.timeout(seconds):
            while not (row := await self.store.execution(execution_id)) or not row.ended_at:
                await self.moved()
        return await self.state(execution_id)

    async def moved(self) -> None:
        """Wait until any execution makes progress."""
        self._moved.clear()
        await self._moved.wait()

    async def run(self, text: str, payload: dict[str, Any] | None = None) -> State:
        """Run a playbook to its end."""
        return await self.ended(await self.start(text, payload))

    async def state(self, execution_id: int) -> State:
        """Return the stored state of an execution."""
        stored = await stored_state(self.store, execution_id)
        assert stored is not None
        return stored.state

    def events(self, execution_id: int) -> list[Recorded]:
        """Return an execution's events."""
        rows = self.store.log.get(execution_id, [])
        return [Recorded(row.seq, row.at, decode(row.body)) for row in rows]

    def owner(self, execution_id: int) -> RunningServer:
        """Return the server that owns an execution."""
        shard = shard_of(execution_id)
        return next(s for s in self.servers if shard in s.server.ownership.shards)
