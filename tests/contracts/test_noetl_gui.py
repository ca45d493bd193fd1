"""What NoETL's web page reads of executions, and how it signs in, from another origin."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime
from typing import get_args

import pytest

from api_cluster import Api, cluster
from api_playbooks import FAILS, HELLO, PARENT, WAITS
from arcbook.events.types import AnyEvent
from arcbook.secrets.tokens import SCOPES
from arcbook.server.http import event_pages, views
from arcbook.server.http.access import hash_token
from arcbook.server.http.settings import HttpSettings
from arcbook.server.http.table import ROUTES
from arcbook.store.api import EventRow

ON_EACH_STORE = True

PAGE_ORIGIN = "https://page.example"

EXACT = 2**53
"""Numbers below it are exact in a browser."""

NAPS = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: naps, path: examples/naps}
workflow:
  - step: first
    tool: {kind: noop}
    next: {arcs: [{step: second}]}
  - step: second
    tool: {kind: python, code: "import time; time.sleep(0.2); result = 1"}
    next: {arcs: [{step: third}]}
  - step: third
    tool: {kind: shell, command: "sleep 60"}
"""

LOOPS = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: loops, path: examples/loops}
workflow:
  - step: start
    loop: {in: "{{ range(30) | list }}", iterator: item}
    tool: {kind: noop}
    next: {arcs: [{step: again}]}
  - step: again
    tool: {kind: noop}
    next: {arcs: [{step: again, when: "{{ ctx.n | default(0) < 12 }}", set: {ctx.n: "{{ ctx.n | default(0) + 1 }}"}}]}
"""


@pytest.fixture
async def api(tmp_path):
    async with cluster(tmp_path) as found:
        yield found[0]


async def finished(api: Api, document: str, path: str) -> str:
    await api.register(document)
    execution_id = await api.run(path)
    await api.ended(execution_id)
    return execution_id


async def waiting_at(api: Api, execution_id: str, step: str) -> None:
    async with asyncio.timeout(20):
        while (await api.get(f"/api/executions/{execution_id}/status"))["current_step"] != step:
            await asyncio.sleep(0.02)


# -- events ----------------------------------------------------------------------------------


async def test_events_have_the_time_the_words_and_the_context_that_the_page_reads(api: Api):
    execution_id = await finished(api, HELLO, "examples/hello")
    rows = await api.server.store.events(int(execution_id))

    events = (await api.get(f"/api/executions/{execution_id}"))["events"]

    assert [int(e["event_id"]) for e in events] == [row.seq for row in rows]
    for event, row in zip(events, rows, strict=True):
        assert datetime.fromisoformat(event["timestamp"]).timestamp() == pytest.approx(
            row.at / 1_000_000
        )
        assert int(event["event_id"]) < EXACT
        assert isinstance(event["status"], str)
        assert event["status"]
        assert event["error"] is None
        assert event["context"] == event["data"]
        assert event["context"]["type"] == event["event_type"]
    assert events[0]["catalog_id"]


async def test_ending_events_say_how_many_milliseconds_they_took(api: Api):
    await api.register(NAPS)
    execution_id = await api.run("examples/naps")
    await waiting_at(api, execution_id, "third")
    await api.post(f"/api/executions/{execution_id}/stop")
    await api.ended(execution_id)

    events = (await api.get(f"/api/executions/{execution_id}"))["events"]

    at = {(e["event_type"], e["node_name"]): datetime.fromisoformat(e["timestamp"]) for e in events}
    took = at["step.exit", "second"] - at["step.enter", "second"]
    by_kind = {(e["event_type"], e["node_name"]): e["duration"] for e in events}
    assert by_kind["step.exit", "second"] == pytest.approx(took.total_seconds() * 1000, abs=1)
    assert by_kind["step.exit", "second"] >= 200
    whole = at["playbook.cancelled", ""] - at["playbook.started", ""]
    assert by_kind["playbook.cancelled", ""] == pytest.approx(whole.total_seconds() * 1000, abs=1)
    assert by_kind["playbook.started", ""] is by_kind["step.enter", "second"] is None


async def test_the_beginning_of_what_ends_on_a_page_may_be_on_another_one(api: Api):
    execution_id = await finished(api, LOOPS, "examples/loops")
    everything = (await api.get(f"/api/executions/{execution_id}"))["events"]
    expected = {e["event_id"]: e["duration"] for e in everything}
    assert sum(d is not None for d in expected.values()) > 13

    ask = {"page_size": "10"}
    for number in range(1, 1 + -(-len(everything) // 10)):
        page = await api.get(f"/api/executions/{execution_id}", params=ask | {"page": str(number)})
        assert {e["event_id"]: e["duration"] for e in page["events"]} == {
            e["event_id"]: expected[e["event_id"]] for e in page["events"]
        }


async def test_an_error_of_an_event_is_a_text(api: Api):
    execution_id = await finished(api, FAILS, "examples/fails")

    detail = await api.get(f"/api/executions/{execution_id}")

    failed = {e["event_type"]: e for e in detail["events"] if e["status"] == "FAILED"}
    assert set(failed) == {"step.exit", "playbook.failed"}
    for event in failed.values():
        assert "it went wrong" in event["error"]
        assert isinstance(event["error"], str)
    # What else is known of it stands in the context.
    assert failed["playbook.failed"]["context"]["error"]["exception"] == "ValueError"


@pytest.mark.parametrize("kind", get_args(AnyEvent), ids=lambda k: k.__name__)
def test_no_event_is_without_a_status(kind):
    tag = kind.__struct_config__.tag
    found = views.event(1, EventRow(1, 1, tag, "", b'{"type":"%b"}' % tag.encode()))

    assert found.status


async def test_pages_of_events_are_told_newest_first_and_say_which_they_are(api: Api):
    execution_id = await finished(api, LOOPS, "examples/loops")
    where = f"/api/executions/{execution_id}"
    plain = await api.get(where)
    numbers = [int(e["event_id"]) for e in plain["events"]]
    assert numbers == sorted(numbers)
    assert plain["pagination"] is None
    total = len(numbers)
    assert total > 20

    found = []
    for page in range(1, 100):
        answer = await api.get(where, params={"page": str(page), "page_size": "10"})
        found += [int(e["event_id"]) for e in answer["events"]]
        assert answer["pagination"] == {
            "page": page,
            "page_size": 10,
            "total_events": total,
            "total_pages": -(-total // 10),
            "has_next": page * 10 < total,
            "has_prev": page > 1,
        }
        if not answer["pagination"]["has_next"]:
            break
    assert found == numbers[::-1]
    beyond = await api.get(where, params={"page": "1000"})
    assert (beyond["events"], beyond["pagination"]["has_next"]) == ([], False)
    first = await api.get(where, params={"page": "1"})
    assert first["pagination"]["page_size"] == 100


async def test_only_events_after_a_known_one_are_told(api: Api):
    execution_id = await finished(api, LOOPS, "examples/loops")
    where = f"/api/executions/{execution_id}"
    numbers = [int(e["event_id"]) for e in (await api.get(where))["events"]]

    answer = await api.get(where, params={"since_event_id": str(numbers[-4])})

    assert [int(e["event_id"]) for e in answer["events"]] == numbers[:-4:-1]
    assert answer["pagination"]["total_events"] == 3
    for nothing_after in (numbers[-1], numbers[-1] + 5):
        answer = await api.get(where, params={"since_event_id": str(nothing_after)})
        assert (answer["events"], answer["pagination"]["total_pages"]) == ([], 0)


async def test_only_events_of_a_type_are_told(api: Api, monkeypatch):
    execution_id = await finished(api, LOOPS, "examples/loops")
    where = f"/api/executions/{execution_id}"
    everything = (await api.get(where))["events"]
    exits = [e["event_id"] for e in everything if e["event_type"] == "step.exit"]
    assert len(exits) > 10
    only = {"event_type": "step.exit"}

    assert [e["event_id"] for e in (await api.get(where, params=only))["events"]] == exits
    page = await api.get(where, params=only | {"page": "2", "page_size": "10"})
    assert [e["event_id"] for e in page["events"]] == exits[::-1][10:]
    assert page["pagination"]["total_events"] == len(exits)
    since = await api.get(where, params=only | {"since_event_id": exits[-3]})
    assert [e["event_id"] for e in since["events"]] == exits[:-3:-1]
    monkeypatch.setattr(event_pages, "PAGE_MAX", 5)
    monkeypatch.setattr(event_pages, "COUNTED_MAX", 5)
    status, body, _ = await api.call("GET", where, params=only)
    assert (status, "since_event_id" in body["detail"]) == (422, True)


@pytest.mark.parametrize(
    "query",
    ["page=0", "page_size=9", "page_size=501", "since_event_id=-1", "page=x", f"page={2**40}"],
)
async def test_a_page_that_cannot_be_is_refused(api: Api, query):
    execution_id = await finished(api, HELLO, "examples/hello")

    assert (await api.call("GET", f"/api/executions/{execution_id}?{query}"))[0] == 422


async def test_large_events_of_a_page_are_shortened_and_say_so(api: Api, monkeypatch):
    execution_id = await finished(api, LOOPS, "examples/loops")
    where = f"/api/executions/{execution_id}"
    whole = (await api.get(where, params={"page_size": "500"}))["events"]
    monkeypatch.setattr(event_pages, "EVENTS_BYTES_MAX", 1)

    short = (await api.get(where, params={"page_size": "500"}))["events"]

    assert short[0]["context"] == whole[0]["context"]
    assert [e["event_id"] for e in short] == [e["event_id"] for e in whole]
    assert [e["status"] for e in short] == [e["status"] for e in whole]
    assert all(e["context"]["truncated"] and e["context"]["bytes"] for e in short[1:])


# -- executions ------------------------------------------------------------------------------


async def test_progress_grows_while_an_execution_runs(api: Api):
    await api.register(NAPS)
    execution_id = await api.run("examples/naps")
    await waiting_at(api, execution_id, "third")

    running = await api.get(f"/api/executions/{execution_id}")
    (row,) = await api.get("/api/executions")
    await api.post(f"/api/executions/{execution_id}/stop")
    await api.ended(execution_id)

    # Two of three steps are done, and the third one runs.
    assert (running["progress"], row["progress"]) == (83, 83)
    assert (await api.get(f"/api/executions/{execution_id}"))["progress"] == 100


async def test_a_list_without_parameters_holds_a_hundred_and_all_that_go_on(api: Api):
    await api.register(HELLO)
    await api.register(WAITS)
    going_on = await api.run("examples/waits")
    wanted = {"executions": [{"path": "examples/hello"}] * 110}
    batch = await api.post("/api/execute/batch", wanted)
    started = sorted((r["execution_id"] for r in batch["results"]), key=int, reverse=True)
    for execution_id in started:
        await api.ended(execution_id)

    _, rows, headers = await api.call("GET", "/api/executions")

    assert [row["execution_id"] for row in rows] == [*started[:100], going_on]
    assert rows[-1]["status"] == "RUNNING"
    following = await api.get("/api/executions", params={"before": headers["X-Next-Before"]})
    assert [row["execution_id"] for row in following] == [*started[100:], going_on]
    limited = await api.get("/api/executions", params={"limit": "3"})
    assert [row["execution_id"] for row in limited] == started[:3]


async def test_an_execution_is_stopped_with_what_it_started_by_a_request_without_a_body(api: Api):
    await api.register(WAITS)
    await api.register(PARENT)
    execution_id = await api.run("examples/parent")
    async with asyncio.timeout(10):
        while not await api.get("/api/executions", params={"parent_execution_id": execution_id}):
            await asyncio.sleep(0.02)

    found = await api.post(f"/api/executions/{execution_id}/stop")

    assert found["status"] == "cancelled"
    assert len(found["cancelled_executions"]) == 2
    for stopped in found["cancelled_executions"]:
        assert (await api.ended(stopped))["status"] == "CANCELLED"
    again = await api.post(f"/api/executions/{execution_id}/stop")
    assert again["status"] == "already_completed"
    assert (await api.call("POST", "/api/executions/123/stop"))[0] == 404
    changes = (await api.get("/api/audit/changes"))["changes"]
    assert {(c["action"], c["subject"]) for c in changes} >= {("execution.cancel", execution_id)}


# -- sessions and origins --------------------------------------------------------------------


async def test_a_session_tells_what_its_token_is_good_for(tmp_path):
    tokens = {hash_token(scope): scope for scope in SCOPES}
    settings = HttpSettings(tokens=tokens, internal_token="inner", worker_token="worker")
    async with cluster(tmp_path, settings=settings) as (api,):
        for rank, scope in enumerate(SCOPES):
            found = await api.post("/api/auth/validate", {"session_token": scope})
            assert found["valid"]
            assert found["user"]["roles"] == list(SCOPES[: rank + 1])
            assert found["user"]["email"]
            assert found["user"]["display_name"]
            sent = {"Authorization": f"Bearer {scope}", "X-Session-Token": scope}
            assert (await api.call("GET", "/api/executions", headers=sent))[0] == 200
        for token in ("", "inner", "worker"):
            found = await api.post("/api/auth/validate", {"session_token": token})
            assert found == {"valid": False, "user": None}
        # The header by itself opens nothing.
        alone = {"X-Session-Token": "admin"}
        assert (await api.call("GET", "/api/executions", headers=alone))[0] == 401


async def test_on_an_open_server_every_session_is_an_administrators(api: Api):
    found = await api.post("/api/auth/validate", {"session_token": "whatever"})

    assert found["valid"]
    assert "admin" in found["user"]["roles"]


async def test_tokens_are_not_guessed_by_asking_whether_they_are_valid(tmp_path):
    settings = HttpSettings(tokens={hash_token("good"): "admin"})
    async with cluster(tmp_path, settings=settings) as (api,):
        statuses = [
            (await api.call("POST", "/api/auth/validate", {"session_token": f"wrong{n}"}))[0]
            for n in range(30)
        ]
        assert statuses[0] == 200
        assert statuses[-1] == 429
        # A good one is taken all the same.
        assert (await api.post("/api/auth/validate", {"session_token": "good"}))["valid"]


async def test_pages_of_configured_origins_may_ask_for_every_route(tmp_path):
    settings = HttpSettings(tokens={hash_token("good"): "admin"}, origins=(PAGE_ORIGIN,))
    async with cluster(tmp_path, settings=settings) as (api,):
        for route in ROUTES:
            path = re.sub(r"\{[^}]*\}", "1", route.path)
            asked = {
                "Origin": PAGE_ORIGIN,
                "Access-Control-Request-Method": route.method,
                "Access-Control-Request-Headers": "authorization,content-type,x-session-token",
            }
            status, body, answer = await api.call("OPTIONS", path, headers=asked)
            assert status == 200, (path, body)
            assert answer["Access-Control-Allow-Origin"] == PAGE_ORIGIN
            foreign = asked | {"Origin": "https://other.example"}
            assert (await api.call("OPTIONS", path, headers=foreign))[0] == 400
        wrong = {"Origin": PAGE_ORIGIN, "Authorization": "Bearer wrong"}
        status, _, answer = await api.call("GET", "/api/executions", headers=wrong)
        assert (status, answer["Access-Control-Allow-Origin"]) == (401, PAGE_ORIGIN)


# -- credentials -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("google_oauth", {"client_id": "c", "client_secret": "s", "refresh_token": "r"}),
        ("google_oauth", {"access_token": "t"}),
        ("httpBearerAuth", {"token": "t"}),
        ("generic", {"anything": {"goes": [1]}}),
    ],
)
async def test_types_of_credentials_that_the_page_offers_are_kept(api: Api, kind, data):
    await api.post("/api/credentials", {"name": "one", "type": kind, "data": data})

    kept = await api.get("/api/credentials/one", params={"include_data": "true"})

    assert kept["data"] == data


async def test_a_type_that_is_not_known_is_named_as_it_was_written(api: Api):
    body = {"name": "one", "type": "someOtherAuth", "data": {"a": 1}}
    status, answer, _ = await api.call("POST", "/api/credentials", body)

    assert status == 422
    assert "'someOtherAuth'" in answer["detail"]
