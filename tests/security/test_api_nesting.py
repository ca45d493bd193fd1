"""Data that nests deeper than code can walk: refused where it comes in, by a named limit."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from api_cluster import Api, cluster
from api_playbooks import HELLO
from arcbook.nesting import NESTING_MAX, is_nested_too_deeply
from arcbook.server.http.settings import HttpSettings

SHAPES = {
    "maps": (b'{"a":', b"}"),
    "lists": (b"[", b"]"),
    "both": (b'[{"a":', b"}]"),
    "spread": (b'[1,{"b":[],"a":', b',"c":{}},"]"]'),
    "texts": (b'{"}]":["\\"}]",', b"]}"),
}

FETCHES = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: fetches, path: examples/fetches}
workload: {url: ""}
workflow:
  - step: start
    tool: {kind: http, url: "{{ workload.url }}"}
"""

MAKES = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: makes, path: examples/makes}
workflow:
  - step: start
    tool:
      kind: python
      code: |
        result = 1
        for _ in range(600):
            result = [result]
"""

WRITES = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: writes, path: examples/writes}
workflow:
  - step: start
    tool:
      kind: shell
      command: "printf '[%.0s' $(seq 600); printf ']%.0s' $(seq 600)"
"""


@pytest.fixture
async def api(tmp_path):
    async with cluster(tmp_path, settings=HttpSettings(internal_token="inner")) as (found,):
        await found.register(HELLO)
        yield found


def deep(shape: str, levels: int) -> bytes:
    begin, end = SHAPES[shape]
    times = levels // (begin.count(b"{") + begin.count(b"[") - (2 if shape == "spread" else 0))
    return begin * times + b"1" + end * times


def started(workload: bytes, field: bytes = b"workload") -> bytes:
    return b'{"path":"examples/hello","allow":["x"],"' + field + b'":{"x":' + workload + b"}}"


@pytest.mark.parametrize("levels", [150, 300, 600, 900, 1500, 20_000])
@pytest.mark.parametrize("shape", SHAPES)
async def test_an_execution_does_not_start_with_deep_data(api: Api, shape: str, levels: int):
    status, found, _ = await api.call("POST", "/api/execute", started(deep(shape, levels)))

    assert status in (400, 413, 422), found
    assert await api.get("/api/executions") == []


@pytest.mark.parametrize("field", [b"payload", b"context", b"trace"])
async def test_no_other_field_takes_it(api: Api, field: bytes):
    status, found, _ = await api.call("POST", "/api/execute", started(deep("maps", 900), field))

    assert (status, found["code"]) == (422, "too_deep")
    assert str(NESTING_MAX) in found["error"]


async def test_one_of_a_batch_does_not_either(api: Api):
    body = b'{"executions":[' + started(deep("lists", 900)) + b"]}"

    assert (await api.call("POST", "/api/execute/batch", body))[0] == 422


async def test_what_was_started_is_readable_in_every_way(api: Api):
    nested = deep("both", NESTING_MAX - 4)
    status, found, _ = await api.call("POST", "/api/execute", started(nested))
    assert status == 200
    execution_id = found["execution_id"]
    await api.ended(execution_id)

    for tail in ("", "/status", "/events", "/result", "/analyze", "/state", "/cancellation-check"):
        assert (await api.call("GET", f"/api/executions/{execution_id}{tail}"))[0] in (200, 404), (
            tail
        )


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/credentials", b'{"name":"c","type":"bearer","data":{"token":%s}}'),
        (
            "PUT",
            "/api/schedules/s",
            b'{"path":"examples/hello","cron":"* * * * *","payload":{"x":%s}}',
        ),
        ("POST", "/api/events", b'{"execution_id":"1","step":"s","event_type":"e","payload":%s}'),
        ("POST", "/api/catalog/list", b'{"resource_type":%s}'),
        ("POST", "/api/worker/pool/register", b'{"name":"x","labels":%s}'),
    ],
)
async def test_no_other_route_takes_it(api: Api, method: str, path: str, body: bytes):
    status, _, _ = await api.call(method, path, body % deep("maps", 900))

    assert 400 <= status < 500


@contextlib.asynccontextmanager
async def answering(body: bytes):
    """Serve one body as JSON to whoever asks."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
        writer.write(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


@pytest.mark.parametrize("levels", [150, 600, 1000, 5000])
@pytest.mark.parametrize("shape", ["maps", "lists"])
async def test_a_deep_answer_is_an_outcome(api: Api, shape: str, levels: int):
    await api.register(FETCHES)
    async with answering(deep(shape, levels)) as url:
        execution_id = await api.run("examples/fetches", url=url)
        ended = await api.ended(execution_id)

    detail = await api.get(f"/api/executions/{execution_id}")
    assert "WORKER_FAULT" not in str(detail)
    if levels <= 1000:
        assert ended["status"] == "FAILED"
        assert f"deeper than {NESTING_MAX} levels" in ended["error"]


@pytest.mark.parametrize("document", [MAKES, WRITES])
async def test_whatever_a_tool_yields_is_an_outcome(api: Api, document: str):
    path = (await api.register(document))["path"]
    execution_id = await api.run(path)
    await api.ended(execution_id)

    detail = await api.get(f"/api/executions/{execution_id}")
    assert "WORKER_FAULT" not in str(detail)


def test_the_limit_is_exact():
    def lists(levels: int):
        found: list = []
        for _ in range(levels - 1):
            found = [found]
        return found

    assert not is_nested_too_deeply(lists(NESTING_MAX))
    assert is_nested_too_deeply(lists(NESTING_MAX + 1))
    assert not is_nested_too_deeply("x")
    assert is_nested_too_deeply({"a": (1, lists(NESTING_MAX))})
