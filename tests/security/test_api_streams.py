"""Many event streams cost the server neither its lease nor its store."""

from __future__ import annotations

import asyncio

import pytest

from api_cluster import Api, cluster
from api_playbooks import HELLO, WAITS
from arcbook.server.http.access import hash_token
from arcbook.server.http.feed import READS_MAX
from arcbook.server.http.settings import HttpSettings

STREAMS = 1300

TOKENS = {hash_token(scope): scope for scope in ("viewer", "admin")}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def opened(api: Api, execution_id: str, token: str) -> tuple[int, asyncio.StreamWriter]:
    """Open a stream; return the status of its answer."""
    host, port = api.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    path = f"/api/executions/{execution_id}/events?stream=true"
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    )
    line = await reader.readline()
    return int(line.split()[1]), writer


@pytest.mark.timeout(120)
async def test_1300_streams_of_one_viewer_cost_no_lease(tmp_path):
    settings = HttpSettings(tokens=TOKENS, connections_max=3000, streams_max=8000)
    async with cluster(tmp_path, settings=settings) as (api,):
        admin = bearer("admin")
        for content in (HELLO, WAITS):
            await api.post("/api/catalog/register", {"content": content}, headers=admin)
        body = {"path": "examples/waits"}
        execution_id = (await api.post("/api/execute", body, headers=admin))["execution_id"]
        most = reads = 0
        events = api.server.store.events

        async def counted(*args, **more):
            nonlocal most, reads
            reads += 1
            most = max(most, reads)
            try:
                await asyncio.sleep(0)
                return await events(*args, **more)
            finally:
                reads -= 1

        api.server.store.events = counted
        shards = api.server.ownership.shards
        writers = []
        for _ in range(STREAMS // 50):
            found = await asyncio.gather(*(opened(api, execution_id, "viewer") for _ in range(50)))
            assert {status for status, _ in found} == {200}
            writers += [writer for _, writer in found]

        assert api.context.feed.open == STREAMS
        body = {"path": "examples/hello"}
        other = (await api.post("/api/execute", body, headers=admin))["execution_id"]
        async with asyncio.timeout(20):
            where = f"/api/executions/{other}/status"
            while not (await api.get(where, headers=admin))["completed"]:
                await asyncio.sleep(0.05)
        assert api.server.ownership.shards == shards
        assert api.server.ownership.owns(int(execution_id))
        assert most <= READS_MAX
        for writer in writers:
            writer.close()


async def test_one_caller_has_a_share_of_all_streams(tmp_path):
    settings = HttpSettings(tokens=TOKENS, streams_max=40)
    async with cluster(tmp_path, settings=settings) as (api,):
        admin = bearer("admin")
        await api.post("/api/catalog/register", {"content": WAITS}, headers=admin)
        body = {"path": "examples/waits"}
        execution_id = (await api.post("/api/execute", body, headers=admin))["execution_id"]

        found = [await opened(api, execution_id, "viewer") for _ in range(30)]
        statuses = [status for status, _ in found]
        assert statuses.count(200) == 10
        assert statuses[10:] == [429] * 20
        status, writer = await opened(api, execution_id, "admin")
        assert status == 200
        for each in [writer for _, writer in found] + [writer]:
            each.close()


async def test_those_at_the_same_place_share_one_read(tmp_path):
    async with cluster(tmp_path) as (api,):
        await api.register(HELLO)
        execution_id = int(await api.run("examples/hello"))
        await api.ended(str(execution_id))
        calls = 0
        events = api.server.store.events

        async def counted(*args, **more):
            nonlocal calls
            calls += 1
            return await events(*args, **more)

        api.server.store.events = counted

        found = await asyncio.gather(*(api.context.feed.frames(execution_id, 0) for _ in "x" * 99))

        assert calls == 1
        assert all(frames == found[0] for frames in found)
        assert found[0][-1].type == "playbook.completed"
