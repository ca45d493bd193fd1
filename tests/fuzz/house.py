"""A server in memory with its API, for inputs that come over HTTP and over the bus."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
from functools import cache
from typing import Any, Final

import msgspec

from arcbook.blobs.memory import MemoryBlobs
from arcbook.bus.memory import Exchange, MemoryBus
from arcbook.clock import SystemClock
from arcbook.dsl.load import load_playbook
from arcbook.engine.inputs import Report
from arcbook.secrets.credentials import CredentialBook
from arcbook.secrets.envelope import LocalKey
from arcbook.secrets.sessions import Root, Ticket
from arcbook.server.core import Server
from arcbook.server.guard import GuardedBus
from arcbook.server.http.app import create_app
from arcbook.server.http.settings import HttpSettings
from arcbook.store.api import WorkerRow
from arcbook.store.memory import MemoryStore
from arcbook.testing.cluster import ENTRY_TEXT
from arcbook.tools.registry import Registry
from arcbook.wire.protocol import (
    ANY_SERVER,
    PROTOCOL,
    BlobGet,
    BlobPut,
    ClaimRequest,
    CommandNotice,
    CredentialRequest,
    GiveBackRequest,
    HeartbeatRequest,
    Held,
    LoopRequest,
    PlaybookRequest,
    RegisterRequest,
    ReportRequest,
    pack,
)

TOKEN: Final = "the internal token of the fuzzed house"

_INTERNAL: Final = (b"authorization", f"Bearer {TOKEN}".encode())

SECONDS_MAX: Final = 10.0
"""How long an answer may take; some wait for what does not come."""

PLAYBOOK: Final = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: one, path: tests/one}
workload: {n: 1}
workflow:
  - step: start
    tool: {kind: noop}
"""


class House:
    """The server, driven by an event loop that runs while an input is answered."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._stack = contextlib.AsyncExitStack()
        self._runner.run(self._open())

    async def _open(self) -> None:
        clock, store = SystemClock(), MemoryStore()
        bus = await self._stack.enter_async_context(MemoryBus(Exchange()))
        self.guard = GuardedBus(bus, Root(ENTRY_TEXT), store, clock)
        book = CredentialBook(store, LocalKey(bytes(range(32)), "the test"), clock)
        self.server = await self._stack.enter_async_context(
            Server(store, self.guard, MemoryBlobs(), Registry(), book, clock, server_id="fuzzed")
        )
        self.app = create_app(self.server, book, HttpSettings(internal_token=TOKEN))
        loaded = load_playbook(PLAYBOOK, self.server.registry)
        entry = await self.server.plans.register(PLAYBOOK, loaded)
        planned = await self.server.plans.find(catalog_id=entry.catalog_id)
        self.execution_id = await self.server.start(planned, {})

    def close(self) -> None:
        """Stop the server."""
        self._runner.run(self._stack.aclose())
        self._runner.close()

    def ask(self, method: str, path: str, query: bytes, body: bytes) -> int:
        """Return the status that the API answers with."""
        return self._runner.run(self._asked(method, path, query, body))

    async def _asked(self, method: str, path: str, query: bytes, body: bytes) -> int:
        found: list[int] = []
        over = asyncio.Event()
        received = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive() -> dict[str, Any]:
            for message in received:
                return message
            await over.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                found.append(message["status"])
            elif not message.get("more_body"):
                over.set()

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query,
            "root_path": "",
            "headers": [
                (b"host", b"localhost"),
                (b"content-type", b"application/json"),
                *([_INTERNAL] if path.startswith(("/api/commands", "/api/internal")) else ()),
            ],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8082),
            "state": {},
        }
        async with asyncio.timeout(SECONDS_MAX):
            await self.app(scope, receive, send)
        return found[0]

    def frame(self, body: bytes) -> bytes:
        """Return what the bus answers to a frame of whoever reaches it."""
        handler = self.server.requests.answer
        return self._runner.run(self.guard.answer(ANY_SERVER, handler, body))

    def request(self, body: bytes) -> bytes:
        """Return what the server answers to a request of a worker that entered."""
        return self._runner.run(self._requested(body))

    async def _requested(self, body: bytes) -> bytes:
        ticket = Ticket("worker", "w1", "", b"", "", ["shared"], b"n")
        async with asyncio.timeout(SECONDS_MAX):
            return await self.server.requests.answer(body, ticket)


@cache
def house() -> House:
    """Return the house, opened when it is first asked for."""
    opened = House()
    atexit.register(opened.close)
    return opened


def api(data: bytes) -> None:
    """Answer a request: what is wrong with it is the caller's error."""
    head, _, body = data.partition(b"\n")
    method, _, target = head.partition(b" ")
    path, _, query = target.partition(b"?")
    # As the server that listens gives them on: text of which nothing is half a character.
    name, place = (part.decode("utf-8", "replace") for part in (method, path))
    status = house().ask(name.upper()[:10] or "GET", "/" + place.lstrip("/"), query, body)
    assert status < 500, f"{head!r}: {status}"


def frames(data: bytes) -> None:
    """Answer whatever comes over the bus."""
    assert isinstance(house().frame(data), bytes)


def requests(data: bytes) -> None:
    """Answer whatever a worker asks that has entered."""
    assert isinstance(house().request(data), bytes)


_NOTICE: Final = CommandNotice(
    execution_id=1, command_id="c", generation=0, attempt=1, server="fuzzed"
)

_HELD: Final = Held(1, "c", 0)

REQUESTS: Final = [
    pack(request)
    for request in (
        ClaimRequest(worker="w1", commands=[_NOTICE], protocol=PROTOCOL),
        ReportRequest(worker="w1", reports=[(1, Report(command_id="c"))], pools=["shared"], room=1),
        HeartbeatRequest(worker="w1", held=[_HELD]),
        GiveBackRequest(worker="w1", held=[_HELD]),
        RegisterRequest(row=WorkerRow(worker_id="w1", pools=["shared"], capacity=4)),
        PlaybookRequest(catalog_id=1),
        CredentialRequest(alias="a", execution_id=1, worker="w1", public=bytes(32)),
        BlobPut(key="1/s/n"),
        BlobGet(key="1/s/n"),
        LoopRequest(ref="noetl://execution/1/result/s/1"),
    )
]

CALLS: Final = [
    b"POST /api/catalog/register\n"
    + msgspec.json.encode({"content": PLAYBOOK.replace("tests/one", "tests/two")}),
    b'POST /api/catalog/list\n{"resource_type":"playbook","limit":3,"offset":0}',
    b'POST /api/catalog/resource\n{"path":"tests/one","version":1}',
    b'POST /api/catalog/register/batch\n{"documents":[{"content":"a: 1"}]}',
    b'POST /api/catalog/delete\n{"path":"tests/two","version":1}',
    b'POST /api/catalog/restore\n{"path":"tests/two","version":1}',
    b'POST /api/execute\n{"path":"tests/one","workload":{"n":2},"labels":{"a":"b"}}',
    b'POST /api/execute/batch\n{"executions":[{"path":"tests/one","payload":{}}]}',
    b"GET /api/executions?status=RUNNING&path=tests&limit=5&before=9&tenant=a",
    b"GET /api/executions/1?events=true&limit=10&after=1",
    b"GET /api/executions/1/events?after=3&limit=10&type=step.enter&step=start&follow=false",
    b"GET /api/executions/1/state?seq=4",
    b"GET /api/replay/state?execution_id=1&seq=2",
    b'POST /api/events\n{"execution_id":"1","step":"start","name":"call.done","payload":{}}',
    b'POST /api/events/batch\n{"events":[{"execution_id":"1","event_type":"x","payload":{}}]}',
    b'POST /api/executions/1/cancel\n{"reason":"x","cascade":true}',
    b'POST /api/executions/1/finalize\n{"status":"FAILED","reason":"x"}',
    b'POST /api/executions/1/rerun\n{"workload":{}}',
    b'POST /api/executions/1/retry-from\n{"step":"start"}',
    b'POST /api/executions/cleanup\n{"older_than_days":30,"dry_run":true,"limit":1}',
    b"GET /api/executions/1/analyze",
    b"GET /api/result/resolve?ref=noetl://execution/1/result/start/1-start",
    b'PUT /api/result/1\n{"step":"start","name":"x","data":[1]}',
    b"GET /api/vars/1/a",
    b'POST /api/credentials\n{"name":"c","type":"bearer","data":{"token":"t"},"tags":["x"]}',
    b"GET /api/credentials/c?include_data=true",
    b"GET /api/keychain/1/a?execution_id=1",
    b"GET /api/audit?alias=a&execution_id=1&who=w&outcome=granted&before=5&limit=3",
    b'PUT /api/schedules/s\n{"path":"tests/one","cron":"*/5 * * * *","timezone":"UTC"}',
    b"POST /api/schedules/s/pause",
    b"GET /api/schedules/s",
    b'POST /api/worker/pool/register\n{"name":"w","pool":"shared","capacity":1}',
    b'POST /api/worker/pool/heartbeat\n{"name":"w"}',
    b'POST /api/tokens\n{"scopes":["viewer"],"name":"t","expires_in_days":1}',
    b"GET /api/audit/changes?actor=a&action=b&subject=c&before=1&limit=2",
    b"GET /api/ehdb/executions?limit=2&cursor=1",
    b"POST /api/commands/c/claim\n{}",
    b"GET /api/runtime/pools?seconds=5",
]
