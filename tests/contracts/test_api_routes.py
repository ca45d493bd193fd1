"""What holds for every route: its description, its scope, how identities come and go."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from api_cluster import Api, cluster
from api_playbooks import BAD, HELLO, WAITS
from arcbook.client import Client, RefusedError
from arcbook.client.operations import OPERATIONS
from arcbook.server.http.access import INTERNAL, hash_token
from arcbook.server.http.openapi import document
from arcbook.server.http.settings import HttpSettings
from arcbook.server.http.table import ROUTES

SCOPES = ("viewer", "operator", "editor", "admin")

OPERATIONS_OF = {(r.method, r.template): r for r in ROUTES}


# -- the document ----------------------------------------------------------------------------


def described() -> list[tuple[str, dict[str, Any]]]:
    paths = document(ROUTES)["paths"]
    return [(f"{m} {p}", op) for p, found in paths.items() for m, op in found.items()]


@pytest.mark.parametrize(("name", "operation"), described(), ids=lambda v: v or "")
def test_every_route_says_what_it_is_for_and_shows_it(name, operation):
    about, scope = operation["description"].rsplit("\n\n", 1)
    assert about.endswith(".")
    assert scope.startswith("Scope: ")
    for parameter in operation["parameters"]:
        assert parameter["description"], parameter["name"]
    contents = [next(iter(operation["responses"].values()))["content"]]
    contents += [operation["requestBody"]["content"]] if "requestBody" in operation else []
    for content in contents:
        first = next(iter(content.values()))
        assert "example" in first


def test_identities_come_as_numbers_or_texts_and_go_out_as_texts():
    schemas = document(ROUTES)["components"]["schemas"]
    bodies = {r.body.__name__ for r in ROUTES if hasattr(r.body, "__struct_fields__")}
    seen = 0
    for name, schema in schemas.items():
        for field, kind in schema.get("properties", {}).items():
            if field != "id" and not field.endswith("_id"):
                continue
            kinds = {kind.get("type")} | {k.get("type") for k in kind.get("anyOf", [])}
            is_name = "pattern" in kind or field in ("worker_id", "server_id", "token_id", "id")
            wanted = "integer" in kinds if name in bodies and not is_name else True
            assert "string" in kinds, (name, field)
            if name not in bodies and name != "EventRequest":
                assert "integer" not in kinds, (name, field)
            assert wanted, (name, field)
            seen += 1
    assert seen > 40


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: f"{o.method} {o.path}")
def test_the_client_gets_what_the_document_promises(operation):
    route = OPERATIONS_OF[operation.method, operation.path]

    assert operation.answer in (route.answer, object)


# -- who may ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tokens():
    return {scope: f"token-of-{scope}" for scope in SCOPES}


@pytest.fixture
async def closed(tmp_path, tokens, monkeypatch):
    monkeypatch.setattr("arcbook.server.http.access.FAILURES_PER_SECOND", 10_000.0)
    given = {hash_token(text): scope for scope, text in tokens.items()}
    settings = HttpSettings(tokens=given, internal_token="inner")
    async with cluster(tmp_path, settings=settings) as (api,):
        yield api


def place(route) -> str:
    return route.template.format(
        execution_id="123",
        catalog_id="123",
        name="x",
        token_id="x",
        path="x",
        step="x",
        command_id="123:x:1",
    )


async def test_every_route_wants_its_scope_and_no_more(closed: Api, tokens):
    async def asked(route, token: str | None) -> int:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        body = None if route.method == "GET" else {}
        return (await closed.call(route.method, place(route), body, headers=headers))[0]

    for route in ROUTES:
        name = f"{route.method} {route.path}"
        if route.scope == "open":
            assert await asked(route, None) < 400, name
        elif route.scope == INTERNAL:
            assert await asked(route, None) == 403, name
            assert await asked(route, tokens["admin"]) == 403, name
            assert await asked(route, "inner") not in (401, 403), name
        else:
            rank = SCOPES.index(route.scope)
            assert await asked(route, None) == 401, name
            assert await asked(route, "inner") == 403, name
            if rank:
                assert await asked(route, tokens[SCOPES[rank - 1]]) == 403, name
            assert await asked(route, tokens[route.scope]) not in (401, 403), name


# -- how requests are read -------------------------------------------------------------------


@pytest.fixture
async def api(tmp_path):
    async with cluster(tmp_path) as found:
        yield found[0]


@pytest.mark.parametrize("as_it_is", [int, str])
async def test_an_identity_is_taken_as_a_number_and_as_a_text(api: Api, as_it_is):
    catalog_id = as_it_is((await api.register(HELLO))["catalog_id"])
    await api.register(WAITS)

    assert (await api.post("/api/catalog/resource", {"catalog_id": catalog_id}))["version"] == 1
    first = await api.post("/api/execute", {"catalog_id": catalog_id})
    assert isinstance(first["execution_id"], str)
    parent = as_it_is(await api.run("examples/waits"))
    child = await api.post(
        "/api/execute", {"path": "examples/hello", "parent_execution_id": parent}
    )
    detail = await api.get(f"/api/executions/{child['execution_id']}")
    assert detail["parent_execution_id"] == str(parent)
    version = await api.post(
        "/api/catalog/delete", {"path": "examples/hello", "version": as_it_is(1)}
    )
    assert version["deleted"] == [{"catalog_id": str(catalog_id), "version": 1}]


async def test_the_database_is_there_and_fits(api: Api):
    for method, path in [("POST", "/api/db/init"), ("GET", "/api/db/validate")]:
        status, body, _ = await api.call(method, path)
        assert (status, body["status"], body["valid"]) == (200, "ok", True)


async def test_a_refused_document_shows_each_place_and_what_to_write(api: Api):
    status, body, _ = await api.call("POST", "/api/catalog/register", {"content": BAD})

    assert status == 422
    kind = next(d for d in body["diagnostics"] if d["line"] == 6)
    line, caret = kind["excerpt"].splitlines()
    assert "tool: {kind: nonsense}" in line
    assert line[caret.index("^") :].startswith("nonsense")
    assert kind["column"] == BAD.splitlines()[5].index("nonsense") + 1
    assert kind["hint"]
    assert all(d["code"].startswith("ARC") and d["excerpt"] for d in body["diagnostics"])
    async with Client(api.url) as client:
        with pytest.raises(RefusedError) as refused:
            await client.register(BAD)
    assert refused.value.problems[0].excerpt


async def test_a_key_is_good_for_its_window(api: Api):
    await api.register(HELLO)
    body = {"path": "examples/hello", "dedup": {"key": "k", "window_secs": 0.3}}

    first = await api.post("/api/execute", body)
    again = await api.post("/api/execute", body)
    async with asyncio.timeout(10):
        while (later := await api.post("/api/execute", body))["status"] == "duplicate":
            await asyncio.sleep(0.05)

    assert (first["status"], again["status"]) == ("started", "duplicate")
    assert again["execution_id"] == first["execution_id"] != later["execution_id"]


async def test_a_key_of_a_batch_is_one_of_all_requests(api: Api):
    await api.register(HELLO)
    one = {"path": "examples/hello", "idempotency_key": "k"}

    found = await api.post("/api/execute/batch", {"executions": [one, one, {"path": "no/such"}]})
    again = await api.post("/api/execute", one)

    assert (found["count"], found["started"], found["duplicates"], found["failed"]) == (3, 1, 1, 1)
    assert {r["execution_id"] for r in found["results"][:2]} == {again["execution_id"]}
    assert (again["status"], again["commands_generated"]) == ("duplicate", 0)
    assert "no/such" in found["results"][2]["error"]
