"""The HTTP API: credentials, schedules, workers, numbers, and what clients may send."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from api_cluster import Api, cluster
from api_playbooks import HELLO, WAITS
from arcbook.client import Client, RefusedError, ServerAwayError
from arcbook.client.operations import OPERATIONS
from arcbook.clock import SystemClock
from arcbook.owner.drive import LostOwnershipError
from arcbook.server.http.access import (
    SCOPES,
    UnsafeBindingError,
    check_binding,
    hash_token,
    is_loopback,
)
from arcbook.server.http.dedup import Dedup
from arcbook.server.http.errors import ApiError
from arcbook.server.http.openapi import document
from arcbook.server.http.settings import HttpSettings
from arcbook.server.http.table import ROUTES
from arcbook.store.api import StartKey
from arcbook.store.memory import MemoryStore
from arcbook.testing.contracts.store import change, event
from arcbook.wire.http.schedules import PutSchedule

PUBLIC = [r for r in ROUTES if r.scope != "internal"]
"""Routes that answer without the internal token."""


@pytest.fixture
async def api(tmp_path):
    async with cluster(tmp_path) as found:
        yield found[0]


# -- credentials, schedules, workers -----------------------------------------------------

SECRET = "the-canary-7f3a"


async def test_a_credential_is_kept_and_never_told(api: Api):
    body = {"name": "gh", "type": "bearer", "data": {"token": SECRET}, "tags": ["a"]}
    put = await api.post("/api/credentials", body)
    assert (put["name"], put["type"], put["data"], put["tags"]) == ("gh", "bearer", None, ["a"])

    listed = await api.get("/api/credentials", params={"type": "bearer", "q": "G"})
    one = await api.get("/api/credentials/gh")

    assert listed["items"] == [one]
    assert SECRET not in json.dumps([put, listed, one])
    # An open server is a developer's own, on loopback.
    opened = await api.get("/api/credentials/gh", params={"include_data": "true"})
    assert opened["data"] == {"token": SECRET}
    assert (await api.call("DELETE", "/api/credentials/gh"))[0] == 200
    assert (await api.call("DELETE", "/api/credentials/gh"))[0] == 404
    assert (await api.call("GET", "/api/credentials/gh"))[0] == 404


@pytest.mark.parametrize(
    "body",
    [
        {"name": "x", "type": "nonsense", "data": {"a": 1}},
        {"name": "x", "type": "bearer", "data": {}},
        {"name": "", "type": "bearer", "data": {"a": 1}},
        {"name": "a/b", "type": "bearer", "data": {"a": 1}},
        {"name": "a\0b", "type": "bearer", "data": {"token": "x"}},
        {"name": "x", "type": "bearer"},
    ],
)
async def test_a_credential_that_cannot_be_is_refused(api: Api, body):
    assert (await api.call("POST", "/api/credentials", body))[0] == 422


async def test_a_schedule_is_kept_paused_and_deleted(api: Api):
    await api.register(HELLO)
    body = {"path": "examples/hello", "cron": "0 3 * * *", "timezone": "Europe/Vienna"}
    status, put, _ = await api.call("PUT", "/api/schedules/nightly", body)
    assert status == 200
    assert put["next_at"]

    assert (await api.get("/api/schedules"))["schedules"] == [put]
    paused = await api.post("/api/schedules/nightly/pause")
    assert paused["paused"] is True
    resumed = await api.post("/api/schedules/nightly/resume")
    assert (resumed["paused"], resumed["next_at"]) == (False, put["next_at"])
    assert (await api.call("DELETE", "/api/schedules/nightly"))[0] == 200
    for method, path in [
        ("GET", "/api/schedules/nightly"),
        ("DELETE", "/api/schedules/nightly"),
        ("POST", "/api/schedules/nightly/pause"),
        ("POST", "/api/schedules/nightly/resume"),
    ]:
        assert (await api.call(method, path))[0] == 404


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"path": "examples/hello"}, 422),
        ({"path": "examples/hello", "cron": "no"}, 422),
        ({"path": "examples/hello", "cron": "* * * * *", "timezone": "No/Where"}, 422),
        ({"path": "examples/hello", "cron": "* * * * *", "every_seconds": 5}, 422),
        ({"path": "examples/hello", "every_seconds": 5, "catch_up": "odd"}, 422),
        ({"path": "no/such", "every_seconds": 5}, 404),
    ],
)
async def test_a_schedule_that_cannot_be_is_refused(api: Api, body, expected):
    await api.register(HELLO)

    assert (await api.call("PUT", "/api/schedules/x", body))[0] == expected


async def test_workers_are_registered(api: Api):
    async with asyncio.timeout(10):
        while not (found := await api.get("/api/worker/pools")):
            await asyncio.sleep(0.02)
    (ours,) = found
    assert (ours["pools"], ours["capacity"]) == (["shared"], 64)

    body = {"name": "w9", "kind": "worker_pool", "capacity": 3, "pools": ["gpu"]}
    assert (await api.post("/api/worker/pool/register", body))["status"] == "ready"
    assert (await api.post("/api/worker/pool/heartbeat", {"name": "w9"}))["status"] == "ok"
    assert len(await api.get("/api/worker/pools", params={"name": "w9"})) == 1
    assert await api.get("/api/worker/pools", params={"kind": "broker"}) == []
    pools = {pool["pool"]: pool for pool in await api.get("/api/runtime/pools")}
    assert (pools["gpu"]["workers"], pools["gpu"]["capacity"]) == (1, 3)
    assert (await api.call("DELETE", "/api/worker/pool/deregister", {"name": "w9"}))[0] == 200
    assert (await api.call("DELETE", "/api/worker/pool/deregister", {"name": "w9"}))[0] == 404
    assert (await api.call("POST", "/api/worker/pool/heartbeat", {"name": "w9"}))[0] == 404
    odd = {"name": "w9", "kind": "odd"}
    assert (await api.call("POST", "/api/worker/pool/register", odd))[0] == 422


# -- numbers -----------------------------------------------------------------------------


async def test_the_numbers_are_true(api: Api):
    await api.register(HELLO)
    await api.register(WAITS)
    for _ in range(3):
        await api.ended(await api.run("examples/hello"))
    waiting = await api.run("examples/waits")

    stats = (await api.get("/api/dashboard/stats"))["stats"]

    assert (stats["total"], stats["successful"], stats["running_executions"]) == (4, 3, 1)
    assert stats["total_playbooks"] == 2
    await api.post(f"/api/executions/{waiting}/cancel")
    await api.ended(waiting)
    stats = (await api.get("/api/dashboard/stats"))["stats"]
    assert (stats["cancelled"], stats["running_executions"]) == (1, 0)
    text = (await api.get("/metrics")).decode()
    assert "arcbook_executions_started_total 4.0" in text
    assert 'arcbook_executions_ended_total{status="COMPLETED"} 3.0' in text
    assert 'arcbook_executions_ended_total{status="FAILED"} 0.0' in text
    assert 'route="/api/execute",status="200"' in text


async def test_a_shard_is_told(api: Api):
    query = {"execution_id": "383401759197892608"}
    found = await api.get("/api/runtime/shard-info", params=query)

    assert found["shard_count"] == 64
    assert 0 <= found["shard_index"] < 64
    for wrong in ({"execution_id": "x"}, query | {"shard_count": "0"}):
        assert (await api.call("GET", "/api/runtime/shard-info", params=wrong))[0] == 400
    (server,) = await api.get("/api/runtime/servers")
    assert server["server_id"] == "server-0"


# -- what clients may send ----------------------------------------------------------------

BODIES = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"\xff\xfe",
    b'"text"',
    b'{"content": 5}',
    b'{"path": "x", "payload": []}',
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b'{"content": "\\ud800"}',
    b'{"content": ""}',
    b'{"content": "a: [1"}',
    b'{"content": "&a [*a, *a]"}',
]


@pytest.mark.parametrize("route", [r for r in PUBLIC if r.body], ids=lambda r: r.name + r.path)
async def test_no_body_brings_the_server_down(api: Api, route):
    path = route.template.format(execution_id="123", name="x", token_id="x", path="x")
    for body in BODIES:
        status, answer, _ = await api.call(route.method, path, body)
        is_off = isinstance(answer, dict) and answer.get("code") == "no_internal_token"
        assert status < 500 or is_off, (body[:40], answer)
        assert status == 200 or answer["status"] == status


async def test_two_thousand_malformed_requests_leave_it_serving(api: Api):
    chance = random.Random(7)
    routes = [r for r in PUBLIC if r.method != "GET"]

    async def one(_: int) -> int:
        route = chance.choice(routes)
        number = chance.randint(-9, 9)
        given = dict.fromkeys(("name", "path", "token_id"), "%00%ff")
        path = route.template.format(execution_id=number, **given)
        body = chance.randbytes(chance.randint(0, 200))
        return (await api.call(route.method, path, body))[0]

    for _ in range(40):
        statuses = await asyncio.gather(*(one(n) for n in range(50)))
        assert max(statuses) < 500
    assert (await api.get("/api/health"))["status"] == "ok"


async def test_a_body_has_a_limit(tmp_path):
    settings = HttpSettings(body_bytes_max=1000)
    async with cluster(tmp_path, settings=settings) as (api,):
        large = {"content": "x" * 2000}
        status, body, _ = await api.call("POST", "/api/catalog/register", large)
        assert (status, body["limit_bytes"]) == (413, 1000)

        async def parts():
            for _ in range(20):
                yield b"x" * 100

        url = f"{api.url}/api/execute"
        async with api.session.post(url, data=parts()) as response:
            assert response.status == 413


async def test_a_key_is_forgotten_when_its_start_failed():
    store = MemoryStore()
    dedup = Dedup(store, SystemClock(), 300.0)
    came, go_on = asyncio.Event(), asyncio.Event()

    async def hangs(_: StartKey) -> int:
        came.set()
        await go_on.wait()
        return 1

    async def works(key: StartKey) -> int:
        await store.commit([change(2, 0, [event(1)], key=key)])
        return 2

    first = asyncio.create_task(dedup.once("a", "k", None, hangs))
    await came.wait()
    second = asyncio.create_task(dedup.once("a", "k", None, works))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(ApiError, match="interrupted"):
        await second
    assert await dedup.once("a", "k", None, works) == (2, False)
    assert await dedup.once("a", "k", None, hangs) == (2, True)
    # Another server knows it as well.
    assert await Dedup(store, SystemClock(), 300.0).once("a", "k", None, hangs) == (2, True)


async def test_of_two_servers_that_start_at_once_one_has_the_key():
    store = MemoryStore()
    dedup = Dedup(store, SystemClock(), 300.0)

    async def too_late(key: StartKey) -> int:
        await store.commit([change(7, 0, [event(1)], key=key)])
        raise LostOwnershipError("another server was first")

    assert await dedup.once("a", "k", None, too_late) == (7, True)


# -- access --------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.9.9.9"])
def test_loopback_may_be_open(host):
    assert is_loopback(host)
    check_binding(host, HttpSettings())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.1.2.3", "example.org"])
def test_other_addresses_need_authentication(host):
    with pytest.raises(UnsafeBindingError):
        check_binding(host, HttpSettings())
    check_binding(host, HttpSettings(tokens={hash_token("t"): "admin"}))


async def test_an_open_api_answers_no_foreign_names_and_pages(api: Api):
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        status, _, _ = await api.call("POST", "/api/catalog/list", {}, headers=headers)
        assert status == 403
    same = {"Origin": api.url}
    assert (await api.call("POST", "/api/catalog/list", {}, headers=same))[0] == 200


async def test_tokens_have_scopes(tmp_path):
    tokens = {hash_token(scope): scope for scope in SCOPES if scope != "open"}
    async with cluster(tmp_path, settings=HttpSettings(tokens=tokens)) as (api,):

        async def as_(token, method, path, body=None):
            headers = {"Authorization": f"Bearer {token}"}
            return await api.call(method, path, body, headers=headers)

        assert (await api.call("GET", "/api/health"))[0] == 200
        status, _, headers = await api.call("GET", "/api/executions")
        assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
        assert (await as_("wrong", "GET", "/api/executions"))[0] == 401
        assert (await as_("viewer", "GET", "/api/executions"))[0] == 200
        register = {"content": HELLO}
        assert (await as_("operator", "POST", "/api/catalog/register", register))[0] == 403
        assert (await as_("editor", "POST", "/api/catalog/register", register))[0] == 200
        execute = {"path": "examples/hello"}
        assert (await as_("viewer", "POST", "/api/execute", execute))[0] == 403
        assert (await as_("operator", "POST", "/api/execute", execute))[0] == 200
        body = {"name": "gh", "type": "bearer", "data": {"token": SECRET}}
        assert (await as_("editor", "POST", "/api/credentials", body))[0] == 200
        wanted = "/api/credentials/gh?include_data=true"
        assert (await as_("editor", "GET", wanted))[0] == 403
        assert (await as_("admin", "GET", wanted))[1]["data"] == {"token": SECRET}
        unknown = "/api/credentials/nobody?include_data=true"
        assert (await as_("admin", "GET", unknown))[0] == 404
        assert (await as_("editor", "GET", unknown))[0] == 403
        assert (await as_("editor", "GET", "/api/audit"))[0] == 403
        audit = (await as_("admin", "GET", "/api/audit"))[1]["items"]
        assert [(n["action"], n["alias"], n["outcome"]) for n in audit] == [
            ("read", "nobody", "refused"),
            ("read", "nobody", "unknown"),
            ("read", "gh", "ok"),
            ("read", "gh", "refused"),
            ("put", "gh", "ok"),
        ]
        assert SECRET not in json.dumps(audit)


def test_an_unknown_scope_of_a_token_is_refused():
    from arcbook.server.http.access import Access

    with pytest.raises(ValueError, match="unknown scopes"):
        Access(HttpSettings(tokens={"x": "king"}), MemoryStore(), SystemClock())


async def test_pages_of_configured_origins_may_call(tmp_path):
    settings = HttpSettings(origins=("http://gui.example",))
    async with cluster(tmp_path, settings=settings) as (api,):
        headers = {"Origin": "http://gui.example"}
        status, _, answered = await api.call("POST", "/api/catalog/list", {}, headers=headers)
        assert (status, answered["Access-Control-Allow-Origin"]) == (200, "http://gui.example")


# -- the document and the client -------------------------------------------------------------


def test_every_route_is_described():
    described = document(ROUTES)

    names = [op["operationId"] for path in described["paths"].values() for op in path.values()]
    assert len(names) == len(set(names)) == len(ROUTES)
    for route in ROUTES:
        assert route.summary
        assert route.answer_example is not None, route.path
        assert route.body is None or route.body_example is not None, route.path


@pytest.mark.parametrize("route", ROUTES, ids=lambda r: f"{r.method} {r.path}")
def test_examples_are_what_their_schemas_say(route):
    described = document(ROUTES)
    operation = described["paths"][route.template][route.method.lower()]
    contents = [
        content
        for part in (operation.get("requestBody", {}), *operation["responses"].values())
        for content in part.get("content", {}).values()
        if "example" in content
    ]
    assert contents
    for content in contents:
        schema = content["schema"] | {"components": described["components"]}
        Draft202012Validator(schema).validate(content["example"])


async def test_the_document_is_served(api: Api):
    found = await api.get("/api/openapi.json")

    assert found["openapi"] == "3.1.0"
    assert found == json.loads(json.dumps(document(ROUTES)))


def test_the_client_calls_what_there_is():
    paths = document(ROUTES)["paths"]
    answers = {(r.method, r.template): r.answer for r in ROUTES}

    for operation in OPERATIONS:
        assert operation.method.lower() in paths[operation.path]
        if operation.answer is not object:
            assert answers[operation.method, operation.path] == operation.answer


async def test_the_client_does_what_the_command_line_needs(api: Api):
    async with Client(api.url) as client:
        assert (await client.health()).status == "ok"
        registered = await client.register(HELLO)
        assert [e.path for e in await client.catalog()] == ["examples/hello"]
        assert (await client.resource("examples/hello")).version == 1
        assert (await client.resource(catalog_id=registered.catalog_id)).version == 1
        started = await client.execute("examples/hello", {"name": "you"})
        seen = [event.event_type async for event in client.follow(started.execution_id)]
        assert (seen[0], seen[-1]) == ("playbook.started", "playbook.completed")
        i = started.execution_id
        assert (await client.status(i)).status == "COMPLETED"
        assert (await client.execution(i, events=1)).events[0].event_type == seen[-1]
        assert (await client.result(i, "start")).result == {"greeting": "hello you"}
        assert len((await client.events(i)).events) == len(seen)
        assert (await client.analyze(i)).failed == []
        assert (await client.cancel(i)).status == "already_completed"
        assert (await client.finalize(i, "late")).status == "already_completed"
        again = await client.rerun(i)
        assert [e.seq async for e in client.follow(again.execution_id, after=3)][:1] == [4]
        assert (await client.retry_from(i, "end")).retry_of == i
        assert len(await client.executions(path="hello", limit=2)) == 2
        assert (await client.stats()).total == 3
        await client.put_credential("gh", "bearer", {"token": SECRET})
        assert [c.name for c in await client.credentials()] == ["gh"]
        assert (await client.credential("gh")).data is None
        await client.delete_credential("gh")
        await client.put_schedule("s", PutSchedule(path="examples/hello", every_seconds=3600))
        assert (await client.pause_schedule("s")).paused
        assert not (await client.resume_schedule("s")).paused
        assert (await client.schedule("s")).name == "s"
        assert len(await client.schedules()) == 1
        await client.delete_schedule("s")
        assert len(await client.servers()) == 1
        assert len(await client.workers()) == 1
        assert [p.pool for p in await client.pools()] == ["shared"]


async def test_the_client_says_why_it_was_refused(api: Api):
    async with Client(api.url) as client:
        with pytest.raises(RefusedError) as refused:
            await client.register("kind: Playbook\n")
        assert refused.value.status == 422
        assert refused.value.problems[0].code.startswith("ARC")
        with pytest.raises(RefusedError, match="no execution") as refused:
            await client.status("5")
        assert refused.value.status == 404
        with pytest.raises(RefusedError, match="no execution"):
            [e async for e in client.follow("5")]
    async with Client("http://127.0.0.1:1") as client:
        with pytest.raises(ServerAwayError, match=r"127\.0\.0\.1:1"):
            await client.health()


def test_the_page_on_the_api_lists_every_route():
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text("utf-8")
    rows = [f"| {r.method} | `{r.template}` | {r.scope} | {r.summary} |" for r in ROUTES]

    shown = page.split("<!-- routes -->")[1].split("<!-- /routes -->")[0].strip()

    assert shown.splitlines()[2:] == rows


async def test_no_damaged_document_brings_the_server_down(api: Api):
    chance = random.Random(11)
    pieces = [
        "\t",
        "- ",
        ": ",
        "{",
        "]",
        "&a ",
        "*a",
        "!!x ",
        "'",
        "\x00",
        "é",
        "|\n",
        "{{ ",
        "<<: ",
    ]

    def damaged() -> bytes:
        text = HELLO
        for _ in range(chance.randint(1, 6)):
            at = chance.randrange(len(text))
            text = text[:at] + chance.choice(pieces) + text[at + chance.randint(0, 9) :]
        data = bytearray(text.encode())
        if chance.random() < 0.3:
            data[chance.randrange(len(data))] = chance.randrange(256)
        return bytes(data)

    async def one(_: int) -> int:
        headers = {"Content-Type": "application/yaml"}
        path = "/api/catalog/register"
        status, body, _ = await api.call("POST", path, damaged(), headers=headers)
        assert status in (200, 422), body
        return status

    seen = [s for _ in range(20) for s in await asyncio.gather(*(one(n) for n in range(20)))]
    assert seen.count(422) > 100
    assert (await api.post("/api/catalog/list"))["entries"]
