"""The server's own playbooks: their pool, their token, and what a clean-up takes."""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp
import msgspec
import pytest

from api_cluster import Api
from arcbook.blobs.memory import MemoryBlobs
from arcbook.bus.memory import Exchange, MemoryBus
from arcbook.compose.cluster import Parts, served_control_plane, worker_on
from arcbook.server.cleanup import Cleanup
from arcbook.settings import load_settings
from arcbook.store.api import WorkerRow
from arcbook.store.memory import MemoryStore

TOKEN = "an-internal-token-0815"

QUICK = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: quick, path: tests/quick}
workflow:
  - step: start
    tool: {kind: noop}
"""

CURIOUS = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: curious, path: PATH}
workflow:
  - step: start
    tool: {kind: http, url: "http://127.0.0.1:1/", auth: arcbook_internal}
"""

WAITS = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: waits, path: tests/waits}
workflow:
  - step: start
    tool: {kind: shell, command: "sleep 60"}
"""


class Stack:
    """A server with its API, and a worker for each pool."""

    def __init__(self, api, plane, parts):
        self.api = api
        self.plane = plane
        self.parts = parts

    async def run(self, path, **values):
        execution_id = await self.api.run(path, **values)
        await self.api.ended(execution_id)
        return await self.api.get(f"/api/executions/{execution_id}")


@contextlib.asynccontextmanager
async def stack(folder, store=None, **given):
    exchange, store, blobs = Exchange(), store or MemoryStore(), MemoryBlobs()
    settings = load_settings({}, home=folder, port=0, **given)

    @contextlib.asynccontextmanager
    async def parts(_):
        async with MemoryBus(exchange) as bus:
            yield Parts(store, bus, blobs)

    async with contextlib.AsyncExitStack() as opened:
        enter = opened.enter_async_context
        plane, url = await enter(served_control_plane(settings, parts))
        for pool in ("system", "shared"):
            bus = await enter(MemoryBus(exchange))
            pooled = msgspec.structs.replace(settings, pools=(pool,))
            await enter(worker_on(bus, pooled, worker_id=f"of-{pool}"))
        session = await enter(aiohttp.ClientSession())
        api = Api(plane.server, url, session)
        yield Stack(api, plane, Parts(store, bus, blobs))


@pytest.fixture
async def running(tmp_path):
    async with stack(tmp_path, internal_token=TOKEN, retention_days=1e-7) as found:
        yield found


async def purge(running, token, **wanted):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    path = "/api/internal/cleanup/purge"
    return await running.api.call("POST", path, wanted, headers=headers)


async def test_a_clean_up_takes_what_is_aged_and_nothing_else(running):
    await running.api.register(QUICK)
    await running.api.register(WAITS)
    waiting = await running.api.run("tests/waits")
    quick = [(await running.run("tests/quick"))["execution_id"] for _ in range(3)]
    done = await running.run("system/scheduled_cleanup")

    assert done["status"] == "COMPLETED", done["error"]
    assert done["result"]["found"] == {"executions": 3, "workers": 0}
    assert done["result"]["purged"] == {"executions": 3, "workers": 0}
    left = {row["execution_id"] for row in await running.api.get("/api/executions")}
    assert left == {waiting, done["execution_id"]}
    assert not left & set(quick)
    await running.api.post(f"/api/executions/{waiting}/cancel", {})
    await running.api.ended(waiting)


async def test_a_dry_run_takes_nothing(running):
    await running.api.register(QUICK)
    await running.run("tests/quick")
    done = await running.run("system/scheduled_cleanup", dry_run=True)

    assert done["result"]["found"]["executions"] == 1
    assert done["result"]["purged"]["executions"] == 0
    assert len(await running.api.get("/api/executions")) == 2


async def test_its_steps_run_on_the_system_pool_and_tell_no_token(running):
    done = await running.run("system/scheduled_cleanup")
    page = await running.api.get(f"/api/executions/{done['execution_id']}/events")
    workers = {e["data"]["worker"] for e in page["events"] if "worker" in e["data"]}

    assert workers == {"of-system"}
    stored = running.parts.store.log[int(done["execution_id"])]
    assert all(TOKEN.encode() not in row.body for row in stored)


async def test_only_playbooks_of_the_system_get_the_token(running):
    await running.api.register(CURIOUS.replace("PATH", "tests/curious"))
    refused = await running.run("tests/curious")
    assert "only for playbooks system/*" in refused["error"]

    await running.api.register(CURIOUS.replace("PATH", "system/curious"))
    let = await running.run("system/curious")
    assert "arcbook_internal" not in let["error"]


@pytest.mark.parametrize(("token", "status"), [(TOKEN, 200), ("wrong", 403), ("", 403)])
async def test_the_token_is_asked_for(running, token, status):
    assert (await purge(running, token))[0] == status


async def test_without_a_token_nothing_internal_answers(tmp_path):
    async with stack(tmp_path) as running:
        assert (await purge(running, "any"))[0] == 503
        assert await running.parts.store.schedules() == []


async def test_nothing_younger_than_the_retention_goes(tmp_path):
    async with stack(tmp_path, internal_token=TOKEN, retention_days=30.0) as running:
        await running.api.register(QUICK)
        await running.run("tests/quick")

        assert (await purge(running, TOKEN, older_than_days=1))[0] == 422
        _, answer, _ = await purge(running, TOKEN, dry_run=False)
        assert answer["executions"] == 0


async def test_one_call_takes_so_many_and_says_that_there_are_more(running):
    await running.api.register(QUICK)
    for _ in range(5):
        await running.run("tests/quick")
    answers = [(await purge(running, TOKEN, dry_run=False, limit=2))[1] for _ in range(3)]

    assert [(a["executions"], a["more"]) for a in answers] == [(2, True), (2, True), (1, False)]


async def test_workers_long_gone_are_forgotten(running, monkeypatch):
    monkeypatch.setattr("arcbook.server.cleanup.WORKER_GONE_SECONDS", -1.0)
    await running.parts.store.put_worker(WorkerRow(worker_id="gone", pools=["x"], capacity=1))
    cleanup = Cleanup(running.parts.store, running.parts.blobs)
    found = await cleanup.purge(0, 10, dry_run=True)

    assert found.workers >= 1


async def test_a_schedule_is_made_once(running):
    rows = await running.parts.store.schedules()

    assert [(r.name, r.path) for r in rows] == [("scheduled_cleanup", "system/scheduled_cleanup")]
    entry = await running.api.post("/api/catalog/resource", {"path": "system/scheduled_cleanup"})
    assert entry["version"] == 1


class Monthly(MemoryStore):
    """A store that keeps months, and counts how often it is asked for them."""

    def __init__(self):
        super().__init__()
        self.partitions = self
        self.ensured = 0
        self.forgotten_before = []

    async def ensure_partitions(self, now_us=None):
        self.ensured += 1
        return 1

    async def retention(self, before_us):
        self.forgotten_before.append(before_us)
        return 7


async def test_months_are_made_at_the_start_and_go_as_a_whole(tmp_path):
    store = Monthly()
    given = {"internal_token": TOKEN, "retention_days": 1.0}
    async with stack(tmp_path, store, **given) as running:
        async with asyncio.timeout(10):
            while not store.ensured:
                await asyncio.sleep(0.005)
        assert (await purge(running, TOKEN))[1]["executions"] == 0
        assert store.forgotten_before == []
        assert (await purge(running, TOKEN, dry_run=False))[1]["executions"] == 7
        assert len(store.forgotten_before) == 1
