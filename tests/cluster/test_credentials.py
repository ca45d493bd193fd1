"""Credentials of every type that a tool uses, from the sealed record to the other side."""

from __future__ import annotations

import base64
import json

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from arcbook.clock import SystemClock
from arcbook.events.codec import encode
from arcbook.performer.performance import ALIASES_MAX
from arcbook.secrets.api import CredentialError
from arcbook.secrets.credentials import CredentialBook
from arcbook.secrets.envelope import LocalKey
from arcbook.store.memory import MemoryStore
from arcbook.store.secret_audit import SecretNotes
from arcbook.testing.cluster import Cluster

SECRETS = {
    "bearer": "s3cret-of-the-bearer",
    "basic": "s3cret-of-the-person",
    "key": "s3cret-of-the-key",
    "client": "s3cret-of-the-client",
    "minted": "s3cret-that-was-minted",
    "refresh": "s3cret-that-refreshes",
}

HEAD = "apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {name: N, path: tests/N}\n"

CHILD = (
    HEAD.replace("N", "child")
    + """
workload: {url: ""}
workflow:
- step: start
  tool: {kind: http, url: "{{ workload.url }}/child", auth: bearer}
"""
)

EVERYWHERE = (
    HEAD.replace("N", "everywhere")
    + """
workload: {url: "", alias: basic}
keychain:
- {name: mine, kind: credential, credential: client}
- {name: token, kind: oauth2, credential: client, scope: execution}
workflow:
- step: start
  tool:
  - {name: one, kind: http, url: "{{ workload.url }}/bearer", auth: bearer}
  - {name: two, kind: http, url: "{{ workload.url }}/key", auth: key}
  - {name: rows, kind: postgres, auth: warehouse, query: "create table t (a int, b text)"}
  - {name: put, kind: nats, auth: bus, operation: kv_put, bucket: b, key: k, value: v}
  next: {arcs: [{step: loop}]}
- step: loop
  loop: {in: [1, 2, 3], iterator: n, spec: {mode: parallel}}
  tool: {kind: http, url: "{{ workload.url }}/loop", auth: "{{ workload.alias }}"}
  next: {arcs: [{step: move}]}
- step: move
  tool:
    kind: transfer
    source: {type: http, url: "{{ workload.url }}/rows", auth: bearer}
    target: {type: postgres, table: t, auth: warehouse}
  next: {arcs: [{step: minted}]}
- step: minted
  tool:
  - {name: stored, kind: http, url: "{{ workload.url }}/stored", auth: client}
  - {name: again, kind: http, url: "{{ workload.url }}/again", auth: client}
  - {name: entry, kind: http, url: "{{ workload.url }}/entry", auth: mine}
  - {name: refresh, kind: http, url: "{{ workload.url }}/refresh", auth: refresh}
  - {name: chain, kind: http, url: "{{ workload.url }}/chain", auth: token}
  next: {arcs: [{step: child}]}
- step: child
  tool: {kind: playbook, path: tests/child, input: {url: "{{ workload.url }}"}}
  next: {arcs: [{step: end}]}
- step: end
  tool: {kind: postgres, auth: {credential: warehouse}, query: "select count(*) as n from t"}
"""
)


class Sites:
    """A web service that shows a caller what they sent, and one that issues tokens."""

    def __init__(self) -> None:
        self.seen: dict[str, list[str]] = {}
        self.minted: list[dict[str, str]] = []
        self.bodies: dict[str, str] = {}
        self.text = ""

    async def answer(self, request: web.Request) -> web.Response:
        if request.path == "/token":
            self.minted.append({k: str(v) for k, v in (await request.post()).items()})
            return web.json_response({"access_token": SECRETS["minted"], "expires_in": 3600})
        shown = request.headers.get("Authorization") or request.headers.get("X-API-Key", "")
        self.seen.setdefault(request.path, []).append(shown or "")
        if request.path == "/rows":
            return web.json_response([{"a": 1, "b": "x"}, {"a": 2, "b": "y"}])
        self.bodies[request.path] = await request.text()
        return web.json_response({"you_sent": shown, "text": self.text})


@pytest.fixture
async def site():
    sites, app = Sites(), web.Application()
    app.router.add_route("*", "/{path:.*}", sites.answer)
    async with TestServer(app, host="127.0.0.1") as server:
        yield sites, str(server.make_url("/")).rstrip("/")


@pytest.fixture
def book():
    return CredentialBook(MemoryStore(), LocalKey(bytes(32), "the test"), SystemClock())


@pytest.mark.services
async def test_each_type_reaches_the_tool_that_uses_it_wherever_a_task_stands(
    tmp_path, site, book, postgres_server, database, nats_server
):
    sites, url = site
    where = postgres_server.fields(database)
    client = {"token_url": url + "/token", "client_id": "me", "client_secret": SECRETS["client"]}
    for name, kind, data in (
        ("bearer", "bearer", {"token": SECRETS["bearer"]}),
        ("basic", "basic", {"username": "me", "password": SECRETS["basic"]}),
        ("key", "api_key", {"key": SECRETS["key"]}),
        ("client", "oauth2_client_credentials", {**client, "scope": "read write"}),
        ("refresh", "oauth2", {**client, "refresh_token": SECRETS["refresh"]}),
        ("bus", "nats", {"nats_url": nats_server.url}),
        (
            "warehouse",
            "postgres",
            {f"db_{'name' if k == 'database' else k}": v for k, v in where.items()},
        ),
    ):
        await book.add(name, kind, data)
    async with Cluster(tmp_path, credentials=book) as cluster:
        await cluster.server()
        await cluster.worker()
        await cluster.register(CHILD)
        state = await cluster.run(EVERYWHERE, {"url": url})
        written = [encode(e.event) for log in cluster.store.log for e in cluster.events(log)]

    assert state.status == "COMPLETED", state.error
    basic = base64.b64encode(f"me:{SECRETS['basic']}".encode()).decode()
    minted = f"Bearer {SECRETS['minted']}"
    assert sites.seen == {
        "/bearer": [f"Bearer {SECRETS['bearer']}"],
        "/key": [SECRETS["key"]],
        "/loop": [f"Basic {basic}"] * 3,
        "/rows": [f"Bearer {SECRETS['bearer']}"],
        **{path: [minted] for path in ("/stored", "/again", "/entry", "/refresh", "/chain")},
        "/child": [f"Bearer {SECRETS['bearer']}"],
    }
    grants = [one["grant_type"] for one in sites.minted]
    assert grants.count("refresh_token") == 1
    # The stored client, by whatever name; and the entry that mints one for each execution.
    assert grants.count("client_credentials") == 2
    assert {one.get("scope") for one in sites.minted} == {"read write", None}
    text = b"\n".join(written).decode()
    assert [secret for secret in (*SECRETS.values(), basic) if secret in text] == []


FORGED = "⟦secret:key.key:raw:0011223344556677⟧ ⟦secret:key.key:raw⟧"

HANDS_ON = (
    HEAD.replace("N", "hands")
    + """
workload: {url: "", given: ""}
workflow:
- step: start
  tool: {kind: http, method: POST, url: "{{ workload.url }}/any", json: {a: 1}, auth: key}
  next: {arcs: [{step: on}]}
- step: on
  tool:
    kind: http
    method: POST
    url: "{{ workload.url }}/told"
    json: {read: "{{ start.data.text }}", given: "{{ workload.given }}"}
"""
)


async def test_text_that_looks_like_a_mark_is_never_taken_for_a_secret(tmp_path, site, book):
    sites, url = site
    sites.text = FORGED
    await book.add("key", "api_key", {"key": SECRETS["key"]})
    async with Cluster(tmp_path, credentials=book) as cluster:
        await cluster.server()
        await cluster.worker()
        state = await cluster.run(HANDS_ON, {"url": url, "given": FORGED})

    assert state.status == "COMPLETED", state.error
    assert json.loads(sites.bodies["/told"]) == {"read": FORGED, "given": FORGED}


async def test_what_looks_like_many_marks_does_not_keep_a_worker_busy(tmp_path, site, book):
    sites, url = site
    sites.text = "".join(f"⟦secret:x{n}.y.z:raw:00⟧" for n in range(2000))
    await book.add("key", "api_key", {"key": SECRETS["key"]})
    async with Cluster(tmp_path, credentials=book) as cluster:
        await cluster.server()
        await cluster.worker()
        state = await cluster.run(HANDS_ON, {"url": url})
    notes = await book._store.secret_notes(SecretNotes(limit=1000))

    assert state.status == "COMPLETED", state.error
    assert json.loads(sites.bodies["/told"])["read"] == sites.text
    assert len(notes) <= ALIASES_MAX + 3


def failing(steps: str) -> str:
    return HEAD.replace("N", "failing") + "workflow:\n" + steps


@pytest.mark.parametrize(
    ("task", "alias", "said"),
    [
        ("{kind: http, url: 'http://127.0.0.1:9', auth: nobody}", "nobody", "is not known"),
        ("{kind: noop, result: '{{ keychain.nobody.x }}'}", "nobody", "is not known"),
        ("{kind: http, url: 'http://127.0.0.1:9', auth: base}", "base", "has type 'postgres'"),
        ("{kind: postgres, auth: bearer, query: select 1}", "bearer", "not postgres"),
        ("{kind: nats, auth: bearer, operation: kv_keys, bucket: b}", "bearer", "not nats"),
        ("{kind: duckdb, auth: bearer, query: select 1}", "bearer", "duckdb takes"),
        ("{kind: postgres, auth: damaged, query: select 1}", "damaged", "was changed"),
        (
            "{kind: transfer, source: {type: postgres, auth: bearer, query: q}, target: {type: pg}}",
            "bearer",
            "not postgres",
        ),
    ],
)
@pytest.mark.parametrize(
    "place",
    [
        "- step: start\n  tool: {}",
        "- step: start\n  tool: [{}]",
        "- step: start\n  loop: {{in: [1], iterator: n}}\n  tool: {}",
    ],
)
async def test_what_cannot_be_used_ends_the_step_by_its_name(
    tmp_path, book, task, alias, said, place
):
    await book.add("bearer", "bearer", {"token": SECRETS["bearer"]})
    await book.add("base", "postgres", {"host": "127.0.0.1", "port": 9})
    await book.add("damaged", "postgres", {"host": "127.0.0.1"})
    store = book._store
    row = store.sealed["damaged"]
    sealed = json.loads(row.sealed)
    sealed["ct"] = sealed["ct"][:-8] + "AAAAAAA="
    await store.replace_sealed("damaged", row.sealed, json.dumps(sealed).encode())
    async with Cluster(tmp_path, credentials=book) as cluster:
        await cluster.server()
        await cluster.worker()
        state = await cluster.run(failing(place.format(task)))

    assert state.status == "FAILED"
    assert state.error.kind == "auth"
    assert f"'{alias}'" in state.error.message
    assert said in state.error.message
    assert SECRETS["bearer"] not in str(state.error)


async def test_a_record_that_was_moved_to_another_name_does_not_open(book):
    await book.add("harmless", "bearer", {"token": SECRETS["bearer"]})
    await book.add("other", "bearer", {"token": SECRETS["key"]})
    store = book._store
    row = store.sealed["harmless"]
    await store.replace_sealed("other", store.sealed["other"].sealed, row.sealed)

    with pytest.raises(CredentialError, match=r"'other' cannot be opened: .*was changed"):
        await book.credential("other", 1)
    (note,) = await store.secret_notes(SecretNotes(limit=1))
    assert (note.alias, note.execution_id, note.outcome) == ("other", 1, "unreadable")
