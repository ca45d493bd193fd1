"""The health says the truth: a server that cannot work says so, and why."""

from __future__ import annotations

import asyncio

import pytest

from api_cluster import Api, cluster
from arcbook.store.api import LostServerError, StoreError

ON_EACH_STORE = True


@pytest.fixture
async def api(tmp_path):
    async with cluster(tmp_path) as (found,):
        yield found


async def health(api: Api):
    status, found, _ = await api.call("GET", "/api/health")
    return status, found


async def until_sick(api: Api):
    async with asyncio.timeout(15):
        while (found := await health(api))[0] == 200:
            await asyncio.sleep(0.05)
    return found[1]


async def refuse(*_, **__):
    raise StoreError("the disk is full")


async def test_a_server_that_is_well_names_no_problem(api: Api):
    status, found = await health(api)

    assert (status, found["status"], found["problems"]) == (200, "ok", [])


async def test_looking_at_the_health_leaves_nothing_behind(api: Api):
    for _ in range(5):
        await health(api)

    assert await api.server.store.take([0]) == []


async def test_a_store_that_only_reads_is_no_health(api: Api, monkeypatch):
    monkeypatch.setattr(api.server.store, "post", refuse)

    found = await until_sick(api)

    assert found["status"] == "unhealthy"
    assert found["database"] == "disconnected"
    assert "written" in found["problems"][0]
    assert await api.get("/health") == {"status": "ok"}, "the process is there all the same"


async def test_a_store_that_hangs_is_no_health(api: Api, monkeypatch):
    async def hangs(*_, **__):
        await asyncio.Event().wait()

    monkeypatch.setattr(api.server.store, "post", hangs)

    assert (await until_sick(api))["database"] == "disconnected"


async def test_the_store_is_asked_once_in_a_while_however_many_look(api: Api, monkeypatch):
    calls = 0
    post = api.server.store.post

    async def counted(*args):
        nonlocal calls
        calls += 1
        await post(*args)

    monkeypatch.setattr(api.server.store, "post", counted)
    await asyncio.gather(*(health(api) for _ in range(50)))

    assert calls <= 2


@pytest.mark.parametrize("name", ["drive", "relay", "heartbeats", "ticks", "scheduler", "keys"])
async def test_a_loop_that_has_ended_is_named(api: Api, name: str):
    names = (f"server {api.server.server_id}: {name}", f"ownership: {name}")
    (task,) = [one for one in asyncio.all_tasks() if one.get_name() in names]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    found = await until_sick(api)

    assert any(name in problem for problem in found["problems"])


async def test_a_server_that_cannot_own_says_so(api: Api, monkeypatch):
    async def lost(*_, **__):
        raise LostServerError("unknown")

    monkeypatch.setattr(api.server.store, "renew_lease", lost)
    monkeypatch.setattr(api.server.store, "join", lost)

    found = await until_sick(api)

    assert any("shard" in problem for problem in found["problems"])
