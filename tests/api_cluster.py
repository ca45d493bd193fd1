"""A cluster in this process, and its API on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp

from arcbook.blobs.memory import MemoryBlobs
from arcbook.bus.memory import Exchange, MemoryBus
from arcbook.clock import SystemClock
from arcbook.performer.execute import Performer
from arcbook.results.store import ResultStore
from arcbook.secrets.credentials import CredentialBook
from arcbook.secrets.envelope import LocalKey
from arcbook.secrets.sessions import Root, WorkerToken
from arcbook.server.core import Server
from arcbook.server.guard import GuardedBus
from arcbook.server.http.app import create_app
from arcbook.server.http.context import RequestContext
from arcbook.server.http.serving import listening, served
from arcbook.server.http.settings import HttpSettings
from arcbook.store.api import ClusterStore
from arcbook.store.memory import MemoryStore
from arcbook.testing.cluster import ENTRY_TEXT
from arcbook.tools.confinement import Confinement
from arcbook.tools.registry import Registry
from arcbook.worker.control import Control, RemoteBlobs
from arcbook.worker.core import Worker
from arcbook.worker.sealed import SealedBus

Answer = tuple[int, Any, Any]

Opens = Callable[[], contextlib.AbstractAsyncContextManager[ClusterStore]]


@contextlib.asynccontextmanager
async def in_memory() -> AsyncIterator[ClusterStore]:
    """Yield a store in memory."""
    yield MemoryStore()


class Stores:
    """Which store the clusters stand on that are put together here."""

    opens: Opens = staticmethod(in_memory)


class Api:
    """One server's API, and a session to speak to it."""

    def __init__(
        self,
        server: Server,
        url: str,
        session: aiohttp.ClientSession,
        context: RequestContext | None = None,
    ) -> None:
        self.server = server
        #: What the handlers work with, where the API runs in this process alone.
        self.context = context
        self.url = url
        self.session = session

    async def call(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        """Send a request; return status, body and headers."""
        if isinstance(body, (bytes, str)):
            more["data"] = body
        elif body is not None:
            more["json"] = body
        async with self.session.request(method, self.url + path, **more) as response:
            data: Any = await response.read()
            if response.content_type == "application/json":
                data = await response.json()
            return response.status, data, response.headers

    async def get(self, path: str, **more: Any) -> Any:
        """Return the body of an answer that must be 200."""
        status, data, _ = await self.call("GET", path, **more)
        assert status == 200, (status, data)
        return data

    async def post(self, path: str, body: Any = None, **more: Any) -> Any:
        """Return the body of an answer that must be 200."""
        status, data, _ = await self.call("POST", path, body, **more)
        assert status == 200, (status, data)
        return data

    async def register(self, content: str) -> Any:
        """Register a document."""
        return await self.post("/api/catalog/register", {"content": content})

    async def run(self, path: str, **values: Any) -> str:
        """Start a playbook and return its execution."""
        started = await self.post("/api/execute", {"path": path, "workload": values})
        return str(started["execution_id"])

    async def ended(self, execution_id: str, seconds: float = 20.0) -> Any:
        """Wait for an execution's end and return its status."""
        async with asyncio.timeout(seconds):
            while True:
                found = await self.get(f"/api/executions/{execution_id}/status")
                if found["completed"]:
                    return found
                await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def serving(
    server: Server,
    credentials: CredentialBook,
    settings: HttpSettings | None = None,
    port: int = 0,
) -> AsyncIterator[Api]:
    """Yield the API of a server, on loopback, by default on a free port."""
    app = create_app(server, credentials, settings)
    on = listening("127.0.0.1", port, settings or HttpSettings())
    url = f"http://127.0.0.1:{on.getsockname()[1]}"
    context = app.state.context
    async with (
        served(app, on, None, context.close, context.settings.limits),
        aiohttp.ClientSession() as session,
    ):
        yield Api(server, url, session, context)


@contextlib.asynccontextmanager
async def cluster(
    folder: Any,
    *,
    servers: int = 1,
    settings: HttpSettings | None = None,
    concurrency: int = 64,
    confinement: Confinement | None = None,
) -> AsyncIterator[list[Api]]:
    """Yield the APIs of some servers on one store, with a worker beside them."""
    clock, blobs, exchange = SystemClock(), MemoryBlobs(), Exchange()
    async with contextlib.AsyncExitStack() as stack:
        store = await stack.enter_async_context(Stores.opens())
        credentials = CredentialBook(store, LocalKey(bytes(range(32)), "the test"), clock)
        found = []
        for number in range(servers):
            bus = await stack.enter_async_context(MemoryBus(exchange))
            guarded = GuardedBus(bus, Root(ENTRY_TEXT), store, clock)
            server = Server(
                store, guarded, blobs, Registry(), credentials, clock, server_id=f"server-{number}"
            )
            await stack.enter_async_context(server)
            found.append(await stack.enter_async_context(serving(server, credentials, settings)))
        bus = await stack.enter_async_context(MemoryBus(exchange))
        sealed = SealedBus(bus, lambda: WorkerToken(ENTRY_TEXT), "w1", ["shared"])
        control, registry = Control(sealed, "w1"), Registry()
        stack.push_async_callback(registry.close)
        performer = Performer(
            registry,
            ResultStore(RemoteBlobs(control), loop_reader=control.frames),
            control,
            clock,
            worker="w1",
            workspace=lambda _: str(folder),
            confinement=confinement,
        )
        worker = Worker(
            sealed,
            control,
            performer,
            registry,
            clock,
            pools=["shared"],
            concurrency=concurrency,
            worker_id="w1",
        )
        await stack.enter_async_context(worker)
        yield found
