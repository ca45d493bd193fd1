"""A worker that reaches nothing but a server's API performs commands like any other."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import secrets
import time

import pytest

from api_cluster import Api, serving
from api_playbooks import HELLO, LARGE, WAITS
from arcbook.blobs.memory import MemoryBlobs
from arcbook.bus.api import BusError, NobodyError
from arcbook.bus.memory import Exchange, MemoryBus
from arcbook.client import Client
from arcbook.clock import SystemClock
from arcbook.compose.cluster import worker_bus_of, worker_on
from arcbook.secrets.credentials import CredentialBook
from arcbook.secrets.envelope import LocalKey
from arcbook.secrets.sessions import Root, WorkerToken
from arcbook.server import bus_gateway
from arcbook.server.core import Server
from arcbook.server.guard import GuardedBus
from arcbook.server.http.settings import HttpSettings
from arcbook.settings import Settings, SettingsError
from arcbook.store.memory import MemoryStore
from arcbook.store.postgres import upgrade
from arcbook.testing.cluster_processes import ClusterProcesses
from arcbook.tools.registry import Registry
from arcbook.wire.protocol import GATEWAY_MESSAGES, control_subject
from arcbook.worker.control import Control
from arcbook.worker.over_http import HttpBus
from arcbook.worker.sealed import SealedBus

TOKEN = "inner"

HEARTBEAT_SECONDS = 3.75
"""Time after which a heartbeat would tell of it."""

CHILDREN = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: children, path: examples/children}
workflow:
  - step: start
    loop: {in: "{{ range(20) | list }}", iterator: n, spec: {mode: parallel}}
    tool: {kind: python, input: {n: "{{ iter.n }}"}, code: "result = n * 2"}
    next: {arcs: [{step: end}]}
  - step: end
    tool: {kind: python, input: {all: "{{ start.results }}"}, code: "result = sum(all)"}
"""


CALLS = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: calls, path: examples/calls}
workflow:
  - step: start
    tool: {kind: http, url: "http://127.0.0.1:1", auth: gh}
"""


@contextlib.asynccontextmanager
async def servers(count: int):
    """Yield the APIs of some servers without any worker."""
    clock, store, blobs, exchange = SystemClock(), MemoryStore(), MemoryBlobs(), Exchange()
    credentials = CredentialBook(store, LocalKey(bytes(range(32)), "the test"), clock)
    settings = HttpSettings(internal_token=TOKEN)
    async with contextlib.AsyncExitStack() as stack:
        found = []
        for number in range(count):
            bus = await stack.enter_async_context(MemoryBus(exchange))
            name = f"server-{number}"
            guarded = GuardedBus(bus, Root(TOKEN), store, clock)
            server = Server(store, guarded, blobs, Registry(), credentials, clock, server_id=name)
            await stack.enter_async_context(server)
            found.append(await stack.enter_async_context(serving(server, credentials, settings)))
        yield found


@contextlib.asynccontextmanager
async def outpost(api: Api, folder):
    """Yield a worker that speaks to a server over HTTP."""
    settings = Settings(home=folder, server_url=api.url, internal_token=TOKEN)
    async with (
        worker_bus_of(settings) as bus,
        worker_on(bus, settings, worker_id="outpost") as made,
    ):
        yield made


def sealed(bus, name):
    return SealedBus(bus, lambda: WorkerToken(TOKEN), name, ["shared"])


@pytest.fixture
async def api(tmp_path):
    async with servers(1) as (found,), outpost(found, tmp_path):
        yield found


@pytest.mark.parametrize(
    ("document", "path", "result"),
    [
        (HELLO, "examples/hello", {"said": "hello world", "rows": [0, 1, 2]}),
        (LARGE, "examples/large", {"text": "x" * 300_000}),
        (CHILDREN, "examples/children", 380),
    ],
)
async def test_it_performs_what_any_worker_performs(api: Api, document, path, result):
    await api.register(document)

    execution_id = await api.run(path)

    assert (await api.ended(execution_id))["status"] == "COMPLETED"
    assert (await api.get(f"/api/executions/{execution_id}/result"))["result"] == result


async def test_it_performs_what_other_servers_own(tmp_path):
    async with servers(2) as (one, other), outpost(other, tmp_path):
        await one.register(LARGE)
        started = [await one.run("examples/large") for _ in range(8)]

        ended = [await one.ended(execution_id) for execution_id in started]

    assert {status["status"] for status in ended} == {"COMPLETED"}


async def test_it_is_told_to_stop(api: Api, tmp_path):
    began = tmp_path / "began"
    await api.register(WAITS.replace("sleep 60", f"touch {began}; sleep 60"))
    execution_id = await api.run("examples/waits")
    async with asyncio.timeout(20):
        while not began.exists():
            await asyncio.sleep(0.01)
    at = time.monotonic()

    await api.post(f"/api/executions/{execution_id}/cancel")
    await api.ended(execution_id)

    assert time.monotonic() - at < HEARTBEAT_SECONDS


async def test_it_gets_credentials_and_is_in_the_audit(api: Api):
    async with Client(api.url) as client:
        await client.put_credential("gh", "bearer", {"token": "the-canary-0b3d"})
    await api.register(CALLS)

    await api.ended(await api.run("examples/calls"))

    notes = (await api.get("/api/audit", params={"who": "outpost"}))["items"]
    assert [(n["alias"], n["outcome"]) for n in notes] == [("gh", "ok")]


async def test_it_goes_on_when_its_server_comes_back(tmp_path):
    gate, began = tmp_path / "gate", tmp_path / "began"
    waiting = f"touch {began}; until test -e {gate}; do sleep 0.05; done"
    async with servers(1) as (first,), contextlib.AsyncExitStack() as stack:
        book, settings = first.context.credentials, HttpSettings(internal_token=TOKEN)
        async with serving(first.server, book, settings) as served_once:
            port = int(served_once.url.rpartition(":")[2])
            await stack.enter_async_context(outpost(served_once, tmp_path))
            await first.register(WAITS.replace("sleep 60", waiting))
            execution_id = await first.run("examples/waits")
            async with asyncio.timeout(20):
                while not began.exists():
                    await asyncio.sleep(0.01)
        gate.touch()
        await first.register(HELLO)
        later = await first.run("examples/hello")

        async with serving(first.server, book, settings, port):
            assert (await first.ended(execution_id))["status"] == "COMPLETED"
            assert (await first.ended(later))["status"] == "COMPLETED"


async def test_several_share_what_there_is(tmp_path):
    async with servers(1) as (api,), contextlib.AsyncExitStack() as stack:
        for number in range(4):
            await stack.enter_async_context(outpost(api, tmp_path / str(number)))
        await api.register(HELLO)
        wanted = [{"path": "examples/hello"}] * 60
        batch = await api.post("/api/execute/batch", {"executions": wanted})

        ended = [await api.ended(result["execution_id"]) for result in batch["results"]]

    assert [status["status"] for status in ended] == ["COMPLETED"] * 60


async def test_it_leaves_with_what_it_has_done(tmp_path):
    async with servers(1) as (api,):
        await api.register(HELLO)
        async with outpost(api, tmp_path) as worker:
            execution_id = await api.run("examples/hello")
            await api.ended(execution_id)
            assert [w["name"] for w in await api.get("/api/worker/pools")] == ["outpost"]
            await worker.drain(5.0)
        assert await api.get("/api/worker/pools") == []


async def test_a_wrong_token_or_address_is_told_at_once(tmp_path, api: Api):
    for bus, reason in [
        (HttpBus(api.url, "wrong"), "internal token"),
        (HttpBus("http://127.0.0.1:1", TOKEN), "no server answers"),
        (HttpBus(f"{api.url}/elsewhere", TOKEN), "refused the request"),
    ]:
        with pytest.raises(BusError, match=reason):
            await bus.__aenter__()
    for settings, reason in [
        (Settings(home=tmp_path), "name the bus"),
        (Settings(home=tmp_path, server_url=api.url), "ARCBOOK_INTERNAL_TOKEN"),
    ]:
        with pytest.raises(SettingsError, match=reason):
            worker_bus_of(settings)


async def test_a_server_that_is_not_there_is_nobody(api: Api):
    async with HttpBus(api.url, TOKEN) as bus:
        with pytest.raises(NobodyError):
            await bus.request("owner.gone", b"", 5.0)
        with pytest.raises(BusError, match="refused the request"):
            await bus.request("anything else", b"", 5.0)
        with pytest.raises(ValueError, match="only notices to a worker"):
            await bus.listen("server", lambda _: None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"=",
        b"={}",
        b"\xff",
        b"@no/such/blob",
        b'={"ask":"nothing"}',
        b'={"ask":"give_back","worker":"w","held":[[18446744073709551616,"a",0]]}',
    ],
)
async def test_a_request_that_cannot_be_read_is_told_so(api: Api, body):
    async with HttpBus(api.url, TOKEN) as bus:
        assert (await bus.request("server", body, 5.0)).startswith(b"-")
        assert (await sealed(bus, "w7").request("server", body, 5.0)).startswith(b"!")


async def test_a_notice_reaches_who_waits_for_it(api: Api):
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    async with HttpBus(api.url, TOKEN) as bus:
        listener = sealed(bus, "w7")
        await Control(listener).playbook(1)
        listening = await listener.listen(control_subject("w7"), heard.put_nowait)
        async with asyncio.timeout(10):
            while heard.empty():
                await api.server.bus.tell(control_subject("w7"), b"stop it")
                await asyncio.sleep(0.01)
        await listening.stop()
    assert heard.get_nowait() == b"stop it"


async def test_only_so_many_wait_at_once(api: Api, monkeypatch):
    monkeypatch.setattr(bus_gateway, "WAITING_MAX", 0)
    headers = {"Authorization": f"Bearer {TOKEN}"}

    found = await api.call("POST", GATEWAY_MESSAGES, {"pools": ["other"]}, headers=headers)

    assert found[0] == 429


@pytest.mark.services
@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_worker_of_the_command_line_needs_an_address_and_a_token(
    tmp_path, postgres_server, nats_server
):
    dsn = postgres_server.create_database(f"door_{secrets.token_hex(4)}")
    await upgrade(dsn)
    environment = {
        "ARCBOOK_DSN": dsn,
        "ARCBOOK_NATS_URL": nats_server.url,
        "ARCBOOK_HOME": str(tmp_path / "server"),
        "ARCBOOK_ENCRYPTION_KEY": base64.b64encode(bytes(32)).decode(),
        "ARCBOOK_INTERNAL_TOKEN": TOKEN,
    }
    outside = {"ARCBOOK_HOME": str(tmp_path / "outpost"), "ARCBOOK_INTERNAL_TOKEN": TOKEN}
    with (
        ClusterProcesses(environment, tmp_path) as inside,
        ClusterProcesses(outside, tmp_path) as beyond,
    ):
        url = inside.start_server()
        beyond.start_worker(server=url)
        async with Client(url) as client:
            await client.register(CHILDREN)
            started = await client.execute("examples/children")
            seen = [e.event_type async for e in client.follow(started.execution_id)]
            assert seen[-1] == "playbook.completed"
            assert (await client.result(started.execution_id)).result == 380
