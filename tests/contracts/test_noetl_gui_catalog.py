"""What NoETL's web page asks of playbooks: lists, texts, checks, agents, tests, analyses."""

from __future__ import annotations

from datetime import datetime

import aiohttp
import pytest
import yaml

from api_cluster import Api, cluster
from api_playbooks import BAD, FAILS, HELLO
from arcbook.secrets.tokens import SCOPES
from arcbook.server.http import entries, listing
from arcbook.server.http.access import hash_token
from arcbook.server.http.settings import HttpSettings
from arcbook.server.http.table import ROUTES
from arcbook.store.api import StoreError

ON_EACH_STORE = True

RETRIES = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: retries, path: examples/retries}
workflow:
  - step: start
    tool:
      kind: python
      code: |
        raise ValueError("again and again")
      spec:
        policy:
          rules:
            - when: "{{ output.status == 'error' }}"
              then: {do: retry, attempts: 2, delay: 0.01}
"""


@pytest.fixture
async def api(tmp_path):
    async with cluster(tmp_path) as found:
        yield found[0]


def named(name: str, **metadata: object) -> str:
    document = yaml.safe_load(HELLO)
    document["metadata"] = {"name": name, "path": f"many/{name}", **metadata}
    return yaml.safe_dump(document)


async def register_all(api: Api, documents: list[str]) -> None:
    for start in range(0, len(documents), 500):
        items = [{"content": one} for one in documents[start : start + 500]]
        found = await api.post("/api/catalog/register/batch", {"items": items})
        assert found["failed"] == 0


# -- the catalog -----------------------------------------------------------------------------


async def test_the_payload_of_a_list_is_the_document_and_holds_the_names_of_its_workload(api: Api):
    await api.register(HELLO)
    document = yaml.safe_load(HELLO)

    (entry,) = (await api.post("/api/catalog/list", {"resource_type": "Playbook"}))["entries"]

    payload = entry["payload"]
    assert {name: payload[name] for name in document} == document
    assert len(payload["workflow"]) == 2
    assert payload["metadata"]["description"] == "Greets."
    # Newer clients have the workload there.
    assert {name: payload[name] for name in document["workload"]} == document["workload"]
    assert set(payload) == set(document) | set(document["workload"])
    assert entry["layout"] == document["workflow"]
    registered_at = datetime.fromisoformat(entry["meta"].pop("registered_at"))
    assert registered_at == datetime.fromisoformat(entry["created_at"])
    assert entry["meta"] == document["metadata"]
    alone = await api.post("/api/catalog/resource", {"path": "examples/hello"})
    assert (alone["payload"], alone["meta"]) == (document["workload"], document["metadata"])


async def test_a_list_comes_without_texts_where_that_is_asked_for(api: Api):
    await api.register(HELLO)

    (whole,) = (await api.post("/api/catalog/list"))["entries"]
    (short,) = (await api.post("/api/catalog/list", {"include_content": False}))["entries"]

    assert whole["content"] == HELLO
    assert short == whole | {"content": ""}


async def test_a_list_without_a_limit_holds_every_document(api: Api):
    count = 1203
    await register_all(api, [named(f"n{number:04}") for number in range(count)])

    found = await api.post("/api/catalog/list", {"include_content": False})

    assert [e["path"] for e in found["entries"]] == [f"many/n{n:04}" for n in range(count)]
    assert found["next_after"] is None
    page = await api.post("/api/catalog/list", {"limit": 1000, "include_content": False})
    assert (len(page["entries"]), page["next_after"]) == (1000, "many/n0999")


async def test_a_list_of_all_has_a_limit_and_says_where_the_rest_begins(api: Api, monkeypatch):
    await register_all(api, [named(f"n{number}") for number in range(7)])
    monkeypatch.setattr(listing, "READ_AT_ONCE", 2)
    monkeypatch.setattr(listing, "LISTED_MAX", 4)

    first = await api.post("/api/catalog/list")
    rest = await api.post("/api/catalog/list", {"after": first["next_after"]})

    assert [e["path"] for e in first["entries"]] == [f"many/n{n}" for n in range(4)]
    assert [e["path"] for e in rest["entries"]] == [f"many/n{n}" for n in range(4, 7)]
    assert rest["next_after"] is None


async def test_a_list_that_cannot_be_read_is_refused_or_breaks_off(api: Api, monkeypatch):
    await register_all(api, [named(f"n{number}") for number in range(4)])
    monkeypatch.setattr(listing, "READ_AT_ONCE", 2)
    read, asked = api.server.store.entries_page, []

    async def once(wanted):
        asked.append(wanted.after)
        if len(asked) > limit:
            raise StoreError("the disk is gone")
        return await read(wanted)

    monkeypatch.setattr(api.server.store, "entries_page", once)
    limit = 0
    assert (await api.call("POST", "/api/catalog/list"))[0] == 503
    limit = 2
    # What has begun has no other way to say that it is not whole.
    with pytest.raises(aiohttp.ClientPayloadError):
        await api.call("POST", "/api/catalog/list")


async def test_so_many_documents_with_so_much_text_are_remembered(api: Api, monkeypatch):
    documents = [named(f"n{number}") for number in range(5)]
    await register_all(api, documents)
    monkeypatch.setattr(entries, "ENTRIES_BYTES_MAX", 2 * len(documents[0]) + 1)

    found = await api.post("/api/catalog/list")

    assert len(found["entries"]) == 5
    assert [e["content"] for e in found["entries"]] == documents
    assert len(api.context.entries._known) == 2


async def test_a_playbook_is_viewed_by_its_path_and_by_the_id_of_a_version(api: Api):
    first = await api.register(HELLO)
    second = await api.register(HELLO.replace("Greets.", "Greets you."))
    where = "/api/catalog/playbook/content"

    by_path = await api.get(where, params={"playbook_id": "/examples/hello/"})
    by_id = await api.get(where, params={"playbook_id": first["catalog_id"]})

    assert (by_path["content"], by_path["version"]) == (HELLO.replace("Greets.", "Greets you."), 2)
    assert by_path["catalog_id"] == second["catalog_id"]
    assert (by_id["content"], by_id["version"]) == (HELLO, 1)
    assert (await api.call("GET", where, params={"playbook_id": "none"}))[0] == 404
    assert (await api.call("GET", where, params={"playbook_id": "12"}))[0] == 404
    assert (await api.call("GET", where))[0] == 422


@pytest.mark.parametrize("by", ["path", "catalog_id"])
async def test_a_playbook_is_saved_as_the_next_version(api: Api, by):
    first = await api.register(HELLO)
    changed = HELLO.replace("Greets.", "Greets you.")
    query = {"playbook_id": first[by]}

    status, saved, _ = await api.call(
        "PUT", "/api/catalog/playbook/content", {"content": changed}, params=query
    )

    assert (status, saved["path"], saved["version"]) == (200, "examples/hello", 2)
    found = await api.post("/api/catalog/resource", {"path": "examples/hello"})
    assert found["content"] == changed
    changes = (await api.get("/api/audit/changes"))["changes"]
    assert [(c["action"], c["subject"], c["status"]) for c in changes] == [
        ("catalog.register", "examples/hello", 200)
    ] * 2


async def test_what_cannot_be_saved_says_why_and_changes_nothing(api: Api):
    await api.register(HELLO)
    where, query = "/api/catalog/playbook/content", {"playbook_id": "examples/hello"}

    status, bad, _ = await api.call("PUT", where, {"content": BAD}, params=query)
    assert (status, bad["code"]) == (422, "invalid_document")
    assert "line 6" in bad["detail"]
    status, other, _ = await api.call("PUT", where, {"content": FAILS}, params=query)
    assert (status, "'examples/fails'" in other["detail"]) == (422, True)
    listed = (await api.post("/api/catalog/list"))["entries"]
    assert [(e["path"], e["version"]) for e in listed] == [("examples/hello", 1)]


async def test_a_text_is_checked_without_being_stored(api: Api):
    where = "/api/catalog/playbooks/validate"

    good = await api.post(where, {"content": HELLO})
    bad = await api.post(where, {"content": BAD})
    broken = await api.post(where, {"content": "a: [1"})
    nowhere = await api.post(where, {"content": "apiVersion: noetl.io/v2\nkind: Playbook\n"})

    assert (good["valid"], good["errors"]) == (True, [])
    assert not bad["valid"]
    assert len(bad["errors"]) == 2
    assert all(isinstance(error, str) for error in bad["errors"])
    assert bad["errors"][0].startswith("line 6")
    assert {d["line"] for d in bad["diagnostics"]} >= {6, 9}
    assert (broken["valid"], len(broken["errors"]) > 0) == (False, True)
    assert (nowhere["valid"], len(nowhere["errors"]) > 0) == (False, True)
    assert (await api.post("/api/catalog/list"))["entries"] == []
    # What passes here is what a registration takes.
    assert (await api.register(HELLO))["version"] == 1


async def test_agents_are_the_documents_that_say_so(api: Api, monkeypatch):
    monkeypatch.setattr(listing, "READ_AT_ONCE", 2)
    await register_all(
        api,
        [
            named("a", agent=True, capabilities=["read", "write"]),
            named("b"),
            named("c", agent=False, capabilities=["read"]),
            named("d", agent=True, capabilities="read"),
            named("e", agent="yes"),
            named("f", agent=True),
        ],
    )
    where = "/api/catalog/agents/list"

    async def found(**asked: object) -> list[str]:
        answer = await api.post(where, asked)
        assert answer["next_after"] is None
        return [entry["path"] for entry in answer["entries"]]

    assert await found() == ["many/a", "many/d", "many/f"]
    assert await found(capabilities=["read"]) == ["many/a", "many/d"]
    assert await found(capabilities=["read", "write"]) == ["many/a"]
    assert await found(capabilities=["fly"]) == []
    (first, *_) = (await api.post(where, {}))["entries"]
    assert first["meta"]["registered_at"]
    assert len(first["payload"]["workflow"]) == 2


# -- analyses --------------------------------------------------------------------------------


async def test_an_execution_is_analyzed_in_words(api: Api):
    registered = await api.register(RETRIES)
    execution_id = await api.run("examples/retries")
    await api.ended(execution_id)
    asked = {"max_events": 3000, "event_sample_size": 2, "include_playbook_content": True}

    found = await api.post(f"/api/executions/{execution_id}/analyze", asked)

    assert (found["execution_id"], found["path"]) == (execution_id, "examples/retries")
    assert found["status"] == "FAILED"
    datetime.fromisoformat(found["generated_at"])
    events = (await api.get(f"/api/executions/{execution_id}"))["events"]
    assert found["summary"]["event_count"] == len(events)
    assert found["summary"]["retry_attempts"] == 1
    assert found["summary"]["failed_steps"] == ["start"]
    assert found["summary"]["duration_seconds"] > 0
    (slow,) = found["summary"]["slowest_nodes"]
    assert (slow["node_name"], slow["duration_seconds"] > 0) == ("start", True)
    (worst, again) = found["findings"]
    assert (worst["severity"], again["severity"]) == ("error", "warning")
    assert "'start' failed" in worst["title"]
    assert "again and again" in worst["detail"]
    assert all(isinstance(text, str) for text in worst["evidence"])
    assert any("retry-from" in text for text in found["recommendations"])
    assert found["playbook"]["catalog_id"] == registered["catalog_id"]
    assert found["playbook"]["content"] == RETRIES
    assert found["event_sample"] == events[-2:]
    plain = await api.post(f"/api/executions/{execution_id}/analyze")
    assert plain["playbook"]["content"] is None
    first = await api.post(f"/api/executions/{execution_id}/analyze", {"max_events": 1})
    assert (first["summary"]["event_count"], first["summary"]["is_partial"]) == (1, True)
    assert (await api.call("POST", "/api/executions/123/analyze", {}))[0] == 404


@pytest.mark.parametrize(
    "path",
    [
        "/api/executions/123/analyze/ai",
        "/api/catalog/playbooks/explain/ai",
        "/api/catalog/playbooks/generate/ai",
    ],
)
async def test_what_needs_a_model_says_that_there_is_none(api: Api, path):
    for body in (None, {}, {"prompt": "a playbook that greets", "gpt_model": "any"}):
        status, answer, _ = await api.call("POST", path, body)

        assert (status, answer["code"]) == (422, "no_model")
        assert "no AI model configured" in answer["detail"]


# -- tests of playbooks ----------------------------------------------------------------------


async def test_tests_of_a_playbook_are_kept_replaced_and_deleted(api: Api):
    where = "/api/playbook-tests/suites/examples/hello"
    tests = [{"name": "greets", "payload": {"name": "you"}, "expect": {"rows": [0, 1, 2]}}]
    body = {"playbook_path": "examples/hello", "tests": tests, "metadata": {"by": "me"}}
    assert (await api.call("GET", where))[0] == 404
    assert (await api.call("DELETE", where))[0] == 404

    status, kept, _ = await api.call("PUT", where, body)

    assert status == 200
    assert {name: kept[name] for name in body} == body
    assert kept["suite_id"]
    assert kept["file_path"]
    datetime.fromisoformat(kept["updated_at"])
    assert await api.get(where) == kept
    assert await api.get("/api/playbook-tests/suites//examples/hello/") == kept
    other = "/api/playbook-tests/suites/examples/hello2"
    assert (await api.call("GET", other))[0] == 404

    _, again, _ = await api.call("PUT", where, {"tests": []})
    assert (again["tests"], again["playbook_path"]) == ([], "examples/hello")
    assert again["suite_id"] == kept["suite_id"]
    assert (await api.call("DELETE", where))[0] == 200
    assert (await api.call("GET", where))[0] == 404
    changes = (await api.get("/api/audit/changes"))["changes"]
    assert {(c["action"], c["subject"]) for c in changes} == {
        ("playbook_tests.put", "examples/hello"),
        ("playbook_tests.delete", "examples/hello"),
    }


async def test_tests_of_a_playbook_are_at_every_server(tmp_path):
    async with cluster(tmp_path, servers=2) as (one, other):
        where = "/api/playbook-tests/suites/examples/hello"
        _, kept, _ = await one.call("PUT", where, {"tests": [{"name": "greets"}]})

        assert await other.get(where) == kept


@pytest.mark.parametrize("body", [{"tests": {}}, {"tests": [{}] * 1001}, {"metadata": [1]}, []])
async def test_tests_that_cannot_be_kept_are_refused(api: Api, body):
    assert (await api.call("PUT", "/api/playbook-tests/suites/x", body))[0] == 422


# -- who may ---------------------------------------------------------------------------------


async def test_the_page_of_a_viewer_shows_everything_and_changes_nothing(tmp_path):
    settings = HttpSettings(tokens={hash_token(scope): scope for scope in SCOPES})
    async with cluster(tmp_path, settings=settings) as (api,):
        mine = {"headers": {"Authorization": "Bearer viewer"}}
        for route in (r for r in ROUTES if r.tag == "gui"):
            path = route.template.format(execution_id="123", path="x")
            body = {} if route.body is not None else None
            status, _, _ = await api.call(route.method, path, body, **mine)
            assert (status == 403) == bool(route.change), (route.method, route.path, status)
