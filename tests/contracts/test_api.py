"""The HTTP API: catalog, executions, events, control."""

from __future__ import annotations

import asyncio
import base64
import json

import aiohttp
import pytest

from api_cluster import Api, cluster
from api_playbooks import BAD, FAILS, HELLO, LARGE, PARENT, WAITS
from arcbook.server.http import event_pages, listing


@pytest.fixture
async def api(tmp_path):
    async with cluster(tmp_path) as found:
        yield found[0]


async def test_a_server_says_that_it_is_well(api: Api):
    assert await api.get("/health") == {"status": "ok"}

    found = await api.get("/api/health")

    assert found["status"] == "ok"
    assert found["database"] == "connected"


async def test_a_document_is_registered_found_and_executed(api: Api):
    registered = await api.register(HELLO)
    assert registered["status"] == "success"
    assert (registered["path"], registered["version"]) == ("examples/hello", 1)

    packed = base64.b64encode(HELLO.encode()).decode()
    again = await api.register(packed)
    assert again["catalog_id"] == registered["catalog_id"]

    listed = await api.post("/api/catalog/list", {"resource_type": "Playbook"})
    assert [e["path"] for e in listed["entries"]] == ["examples/hello"]
    entry = await api.post("/api/catalog/resource", {"path": "examples/hello"})
    assert entry["payload"]["name"] == "world"
    by_id = await api.post("/api/catalog/resource", {"catalog_id": int(entry["catalog_id"])})
    assert by_id == entry

    execution_id = await api.run("examples/hello", name="you")
    status = await api.ended(execution_id)
    assert status["status"] == "COMPLETED"
    assert status["variables"] == {"greeting": "hello you"}
    assert status["completed_steps"] == ["start", "end"]

    detail = await api.get(f"/api/executions/{execution_id}")
    assert detail["workload"]["name"] == "you"
    assert detail["events"][0]["event_type"] == "playbook.started"
    assert detail["events"][-1]["event_type"] == "playbook.completed"
    found = await api.get(f"/api/executions/{execution_id}/result", params={"step": "start"})
    assert found["result"] == {"greeting": "hello you"}


async def test_a_running_execution_is_cancelled_by_any_server(tmp_path):
    async with cluster(tmp_path, servers=2) as (one, other):
        await one.register(WAITS)
        await _shared(one, other)
        execution_id = await one.run("examples/waits")
        assert one.server.ownership.owns(int(execution_id))
        await _runs(one, execution_id)

        found = await other.post(f"/api/executions/{execution_id}/cancel", {"reason": "enough"})

        assert found["status"] == "cancelled"
        assert found["cancelled_executions"] == [execution_id]
        ended = await other.ended(execution_id)
        assert ended["status"] == "CANCELLED"
        again = await other.post(f"/api/executions/{execution_id}/cancel")
        assert again["status"] == "already_completed"


async def _shared(*servers: Api):
    """Wait until each of some servers owns its share."""
    async with asyncio.timeout(20):
        while any(len(s.server.ownership.shards) * len(servers) > 66 for s in servers):
            await asyncio.sleep(0.05)


async def _runs(api: Api, execution_id: str):
    """Wait until a worker has claimed the one command of an execution."""
    async with asyncio.timeout(20):
        while not any(c.worker for c in await api.server.store.commands()):
            await asyncio.sleep(0.01)


async def test_a_cancellation_reaches_the_children(api: Api):
    await api.register(WAITS)
    await api.register(PARENT)
    execution_id = await api.run("examples/parent")
    async with asyncio.timeout(10):
        while not await api.get("/api/executions", params={"parent_execution_id": execution_id}):
            await asyncio.sleep(0.02)

    found = await api.post(f"/api/executions/{execution_id}/cancel", {"cascade": True})

    (child,) = await api.get("/api/executions", params={"parent_execution_id": execution_id})
    assert found["cancelled_executions"] == [execution_id, child["execution_id"]]
    assert (await api.ended(execution_id))["status"] == "CANCELLED"
    assert (await api.ended(child["execution_id"]))["status"] == "CANCELLED"


async def test_a_bad_document_is_refused_with_everything_that_is_wrong(api: Api):
    status, body, _ = await api.call("POST", "/api/catalog/register", {"content": BAD})

    assert status == 422
    assert body["status"] == 422
    assert body["code"] == "invalid_document"
    assert {d["line"] for d in body["diagnostics"]} >= {6, 9}
    assert {"code", "line", "column", "message", "hint"} <= set(body["diagnostics"][0])


async def test_a_document_may_come_as_yaml(api: Api):
    headers = {"Content-Type": "application/yaml"}
    status, body, _ = await api.call("POST", "/api/catalog/register", HELLO, headers=headers)

    assert (status, body["version"]) == (200, 1)


async def test_versions_are_found_by_number(api: Api):
    await api.register(HELLO)
    second = await api.register(HELLO.replace("Greets.", "Greets you."))
    assert second["version"] == 2

    first = await api.post("/api/catalog/resource", {"path": "examples/hello", "version": "1"})
    latest = await api.post("/api/catalog/resource", {"path": "examples/hello"})

    assert (first["version"], latest["version"]) == (1, 2)
    for body, expected in [
        ({"path": "examples/hello", "version": 9}, 404),
        ({"path": "examples/hello", "version": "x"}, 422),
        ({"catalog_id": "12"}, 404),
        ({"catalog_id": "x"}, 422),
        ({}, 422),
    ]:
        status, answer, _ = await api.call("POST", "/api/catalog/resource", body)
        assert (status, answer["status"]) == (expected, expected), body


@pytest.mark.parametrize("path", ["/examples/hello", "examples/hello/", "//examples/hello//"])
async def test_slashes_around_a_path_say_nothing_wherever_it_is_given(api: Api, path: str):
    registered = await api.register(HELLO.replace("examples/hello", path))
    assert registered["path"] == "examples/hello"

    entry = await api.post("/api/catalog/resource", {"path": path})
    assert entry["path"] == "examples/hello"
    execution_id = await api.run(path)
    assert (await api.ended(execution_id))["status"] == "COMPLETED"
    found = await api.get("/api/executions", params={"path": "/examples/hello"})
    assert [e["execution_id"] for e in found] == [execution_id]
    made = await api.call("PUT", "/api/schedules/s", {"path": path, "every_seconds": 3600})
    assert made[1]["path"] == "examples/hello"
    gone = await api.post("/api/catalog/delete", {"path": path})
    assert gone["path"] == "examples/hello"


async def test_a_form_is_guessed_from_the_workload(api: Api):
    await api.register(HELLO)

    found = await api.get("/api/catalog/examples/hello/ui_schema")

    fields = {field["name"]: field for field in found["fields"]}
    assert fields["name"]["description"] == "Who is greeted"
    assert (fields["token"]["secret"], fields["token"]["default"]) == (True, None)
    assert (fields["colour"]["kind"], fields["colour"]["options"]) == ("enum", ["red", "green"])
    assert fields["nested"]["children"][0]["kind"] == "integer"
    assert (await api.call("GET", "/api/catalog/examples/hello"))[0] == 404
    assert (await api.call("GET", "/api/catalog/no/ui_schema"))[0] == 404


async def test_executing_what_is_not_there_is_refused(api: Api):
    for body, expected in [
        ({"path": "no/such"}, 404),
        ({"catalog_id": "77"}, 404),
        ({}, 422),
        ({"path": 5}, 422),
        ({"path": "x", "version": "first"}, 422),
        ({"path": "x", "execution_pool": "a.*"}, 422),
    ]:
        status, answer, _ = await api.call("POST", "/api/execute", body)
        assert (status, answer["status"]) == (expected, expected), body


@pytest.mark.parametrize("name", ["payload", "workload", "context"])
async def test_values_come_by_any_of_their_names(api: Api, name):
    await api.register(HELLO)

    started = await api.post("/api/execute", {"path": "examples/hello", name: {"name": "you"}})

    found = await api.ended(started["execution_id"])
    assert found["variables"] == {"greeting": "hello you"}


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"payload": {"nmae": "you"}}, 422, "the workload has no 'nmae': did you mean 'name'?"),
        ({"workload": {"nmae": "you"}, "strict": False}, 422, "did you mean 'name'?"),
        ({"payload": {"nmae": "you"}, "allow": ["nmae"]}, 200, ""),
        ({"payload": {"greeting": "it is mentioned"}}, 200, ""),
        ({"entry_step": "edn"}, 422, "the playbook has no step 'edn' to begin at"),
    ],
)
async def test_a_start_that_its_playbook_cannot_read_is_refused(api: Api, body, status, said):
    await api.register(HELLO)

    answered, found, _ = await api.call("POST", "/api/execute", {"path": "examples/hello", **body})

    assert answered == status, found
    assert said in str(found.get("detail", ""))
    listed = await api.get("/api/executions")
    assert len(listed) == (status == 200)


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("inputs", "values of the workload go below 'workload'"),
        ("worklaod", "did you mean 'workload'?"),
        ("entry_stp", "did you mean 'entry_step'?"),
    ],
)
async def test_a_field_of_a_start_that_means_nothing_is_warned_of(
    api: Api, field: str, said: str
) -> None:
    await api.register(HELLO)
    body = {"path": "examples/hello", field: {"who": "Ada"}}

    started = await api.post("/api/execute", body)

    assert started["warnings"] == [f"the request's field {field!r} is ignored: {said}"]


async def test_values_of_a_playbook_without_a_workload_are_warned_of(api: Api):
    await api.register(WAITS)
    body = {"path": "examples/waits", "payload": {"colour": "red"}}

    started = await api.post("/api/execute", body)

    assert started["warnings"] == ["the workload has no 'colour': it declares none"]
    await api.call("POST", f"/api/executions/{started['execution_id']}/cancel", {})
    assert (await api.call("POST", "/api/execute", {**body, "strict": True}))[0] == 422


async def test_values_of_a_rerun_and_of_a_schedule_are_looked_at_too(api: Api):
    await api.register(HELLO)
    first = await api.post("/api/execute", {"path": "examples/hello"})
    await api.ended(first["execution_id"])
    again = f"/api/executions/{first['execution_id']}/rerun"
    hourly = {"path": "examples/hello", "every_seconds": 3600, "payload": {"nmae": "you"}}

    assert (await api.call("POST", again, {"workload": {"nmae": "you"}}))[0] == 422
    assert (await api.call("POST", again, {"workload": {"name": "you"}}))[0] == 200
    assert (await api.call("PUT", "/api/schedules/s1", hourly))[0] == 422
    assert (await api.call("PUT", "/api/schedules/s1", {**hourly, "allow": ["nmae"]}))[0] == 200


async def test_a_repeated_key_starts_nothing(api: Api):
    await api.register(HELLO)
    body = {"path": "examples/hello"}
    key = {"Idempotency-Key": "k1"}

    both = await asyncio.gather(
        *(api.post("/api/execute", body, headers=key) for _ in range(5)),
        api.post("/api/execute", body | {"dedup": {"key": "k1", "window_secs": 60}}),
    )

    assert len({one["execution_id"] for one in both}) == 1
    assert sorted(one["status"] for one in both) == ["duplicate"] * 5 + ["started"]
    other = await api.post("/api/execute", body, headers={"Idempotency-Key": "k2"})
    assert other["status"] == "started"


async def test_a_batch_starts_what_it_can(api: Api):
    await api.register(HELLO)
    wanted = [{"path": "examples/hello"}, {"path": "no/such"}, {}]

    found = await api.post("/api/execute/batch", {"executions": wanted})

    assert (found["count"], found["started"], found["failed"]) == (3, 1, 2)
    assert [item["status"] for item in found["results"]] == ["started", "error", "error"]
    assert (await api.call("POST", "/api/execute/batch", {"executions": []}))[0] == 422


async def test_executions_are_listed_by_pages(api: Api):
    await api.register(HELLO)
    wanted = [{"path": "examples/hello"}] * 7
    batch = await api.post("/api/execute/batch", {"executions": wanted})
    started = sorted((r["execution_id"] for r in batch["results"]), key=int, reverse=True)
    for execution_id in started:
        await api.ended(execution_id)

    found, before = [], ""
    while True:
        query = {"limit": "3", "before": before}
        _, page, headers = await api.call("GET", "/api/executions", params=query)
        found += [row["execution_id"] for row in page]
        before = headers.get("X-Next-Before", "")
        if not before:
            break

    assert found == started
    rows = await api.get("/api/executions", params={"status": "completed", "offset": "2"})
    assert [row["execution_id"] for row in rows] == started[2:]
    second = await api.get("/api/executions", params={"page": "2", "page_size": "3"})
    assert [row["execution_id"] for row in second] == started[3:6]
    entry = await api.post("/api/catalog/resource", {"path": "examples/hello"})
    by_id = await api.get("/api/executions", params={"catalog_id": entry["catalog_id"]})
    assert len(by_id) == 7
    assert await api.get("/api/executions", params={"catalog_id": "5"}) == []
    assert (await api.call("GET", "/api/executions", params={"limit": "x"}))[0] == 422
    assert (await api.call("GET", "/api/executions", params={"before": "x"}))[0] == 400


async def test_executions_of_one_version_are_found_behind_any_number_of_others(api, monkeypatch):
    monkeypatch.setattr("arcbook.server.http.routes.executions.PAGES_LOOKED_AT_MAX", 2)
    monkeypatch.setattr("arcbook.server.http.routes.executions.PAGE_MAX", 2)
    old = (await api.register(HELLO))["catalog_id"]
    first = await api.run("examples/hello")
    await api.register(HELLO.replace("Greets.", "Greets you."))
    later = [await api.run("examples/hello") for _ in range(5)]
    for execution_id in (first, *later):
        await api.ended(execution_id)

    query = {"catalog_id": old}
    _, page, headers = await api.call("GET", "/api/executions", params=query)
    query["before"] = headers["X-Next-Before"]
    _, rest, headers = await api.call("GET", "/api/executions", params=query)

    assert page == []
    assert [row["execution_id"] for row in rest] == [first]
    assert "X-Next-Before" not in headers
    query = {"catalog_id": old, "path": "elsewhere"}
    assert await api.get("/api/executions", params=query) == []


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/executions/123", 404),
        ("/api/executions/x", 400),
        ("/api/executions/0", 400),
        ("/api/executions/99999999999999999999999", 400),
        ("/api/executions/-5/status", 400),
        ("/api/executions/123/status", 404),
        ("/api/executions/123/events", 404),
        ("/api/executions/123/result", 404),
        ("/api/executions/123/analyze", 404),
        ("/api/executions/123/cancellation-check", 404),
        ("/api/vars/123", 404),
        ("/api/nothing", 404),
    ],
)
async def test_what_is_not_there_is_not_found(api: Api, path, expected):
    status, body, _ = await api.call("GET", path)

    assert (status, body["status"]) == (expected, expected)
    assert body["error"]


async def test_controls_of_what_is_not_there_are_refused(api: Api):
    for verb in ("cancel", "finalize", "rerun"):
        status, _, _ = await api.call("POST", f"/api/executions/123/{verb}")
        assert status == 404, verb
    status, _, _ = await api.call("POST", "/api/executions/123/retry-from", {"step": "x"})
    assert status == 404
    assert (await api.call("PUT", "/api/execute", {}))[0] == 405


async def test_events_come_by_pages(api: Api):
    await api.register(HELLO)
    execution_id = await api.run("examples/hello")
    await api.ended(execution_id)
    path = f"/api/executions/{execution_id}/events"

    first = await api.get(path, params={"limit": "2"})
    rest = await api.get(path, params={"after": str(first["next_after"])})

    assert [e["seq"] for e in first["events"] + rest["events"]] == [1, 2, 3, 4, 5, 6]
    assert rest["next_after"] is None
    entered = await api.get(path, params={"event_type": "step.enter", "step": "end"})
    assert [e["node_name"] for e in entered["events"]] == ["end"]


async def _streamed(api: Api, execution_id: str, headers=None):
    """Return the frames of a stream that ends with its execution."""
    url = f"{api.url}/api/executions/{execution_id}/events"
    headers = {"Accept": "text/event-stream", **(headers or {})}
    async with api.session.get(url, headers=headers) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        text = (await response.read()).decode()
    return [
        dict(line.split(": ", 1) for line in frame.splitlines())
        for frame in text.split("\n\n")
        if frame.strip()
    ]


async def test_events_are_streamed_and_taken_up_again(api: Api):
    await api.register(HELLO)
    execution_id = await api.run("examples/hello")

    frames = await _streamed(api, execution_id)

    numbers = [int(f["id"]) for f in frames if "id" in f]
    assert numbers == list(range(1, len(numbers) + 1))
    assert frames[-1]["event"] == "end"
    first = json.loads(frames[1]["data"])
    assert first["event_type"] == "playbook.started"
    assert isinstance(first["data"]["catalog_id"], str)
    again = await _streamed(api, execution_id, {"Last-Event-ID": "4"})
    assert [int(f["id"]) for f in again if "id" in f] == numbers[4:]
    over = await _streamed(api, execution_id, {"Last-Event-ID": str(numbers[-1])})
    assert [f for f in over if "id" in f] == []
    headers = {"Accept": "text/event-stream", "Last-Event-ID": "x"}
    path = f"/api/executions/{execution_id}/events"
    assert (await api.call("GET", path, headers=headers))[0] == 400


async def test_another_server_streams_too(tmp_path):
    async with cluster(tmp_path, servers=2) as (one, other):
        await one.register(WAITS)
        execution_id = await one.run("examples/waits")
        stream = asyncio.create_task(_streamed(other, execution_id))
        await _runs(one, execution_id)
        await other.post(f"/api/executions/{execution_id}/cancel")

        frames = await stream

        assert frames[-2]["event"] == "playbook.cancelled"


async def test_a_stream_goes_on_over_a_dropped_connection_and_at_another_server(tmp_path):
    async with cluster(tmp_path, servers=2) as (one, other):
        gate = tmp_path / "gate"
        await one.register(WAITS.replace("sleep 60", f"until test -e {gate}; do sleep 0.05; done"))
        execution_id = await one.run("examples/waits")
        url = f"/api/executions/{execution_id}/events"
        seen: list[int] = []
        async with one.session.get(
            one.url + url, headers={"Accept": "text/event-stream"}
        ) as response:
            while not seen:
                line = await response.content.readline()
                seen += [int(line[4:])] if line.startswith(b"id: ") else []
            response.close()
        gate.touch()

        rest = await _streamed(other, execution_id, {"Last-Event-ID": str(seen[-1])})

        numbers = seen + [int(f["id"]) for f in rest if "id" in f]
        page = await one.get(url)
        assert numbers == [e["seq"] for e in page["events"]]
        assert rest[-1]["event"] == "end"
        async with asyncio.timeout(5):
            while one.context.feed.open:
                await asyncio.sleep(0.01)


async def test_a_server_that_stops_lets_streams_go(tmp_path):
    async with cluster(tmp_path, servers=1) as (api,):
        await api.register(WAITS)
        execution_id = await api.run("examples/waits")
        url = f"{api.url}/api/executions/{execution_id}/events?stream=true"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            await response.content.readline()
            api.context.close()

            async with asyncio.timeout(3):
                told = await response.read()

        assert b"event: end" not in told


async def test_an_execution_that_hangs_is_finalized(api: Api):
    await api.register(WAITS)
    execution_id = await api.run("examples/waits")
    path = f"/api/executions/{execution_id}/finalize"

    assert (await api.call("POST", path, {"status": "COMPLETED"}))[0] == 422
    assert (await api.call("POST", path, {"status": "ODD"}))[0] == 422
    found = await api.post(path, {"status": "FAILED", "error": "given up"})

    assert found["status"] == "finalized"
    ended = await api.ended(execution_id)
    assert (ended["status"], ended["error"]) == ("FAILED", "given up")
    assert (await api.post(path))["status"] == "already_completed"


async def test_an_execution_runs_again(api: Api):
    await api.register(HELLO)
    first = await api.run("examples/hello", name="one")
    await api.ended(first)

    again = await api.post(f"/api/executions/{first}/rerun", {"workload": {"colour": "green"}})
    retried = await api.post(f"/api/executions/{first}/retry-from", {"step": "end"})

    assert again["retry_of"] == first
    found = await api.ended(again["execution_id"])
    assert found["variables"] == {"greeting": "hello one"}
    ended = await api.ended(retried["execution_id"])
    assert (ended["status"], ended["completed_steps"]) == ("COMPLETED", ["end"])
    result = await api.get(f"/api/executions/{retried['execution_id']}/result")
    assert result["result"] == {"said": "hello one", "rows": [0, 1, 2]}
    path = f"/api/executions/{first}/retry-from"
    assert (await api.call("POST", path, {"step": "no"}))[0] == 422


async def test_an_execution_is_analyzed(api: Api):
    await api.register(FAILS)
    execution_id = await api.run("examples/fails")
    await api.ended(execution_id)

    found = await api.get(f"/api/executions/{execution_id}/analyze")

    assert (found["status"], found["failed"]) == ("FAILED", ["start"])
    assert "it went wrong" in found["error"]
    detail = await api.get(f"/api/executions/{execution_id}")
    assert "it went wrong" in detail["error"]
    status = await api.get(f"/api/executions/{execution_id}/status")
    assert (status["failed"], status["progress"]["failed_steps"]) == (True, 1)


async def test_old_executions_are_cleaned_up(api: Api):
    await api.register(WAITS)
    execution_id = await api.run("examples/waits")
    path = "/api/executions/cleanup"

    assert (await api.post(path))["execution_ids"] == []
    dry = await api.post(path, {"older_than_minutes": 0, "dry_run": True})
    assert (dry["cancelled_count"], dry["execution_ids"]) == (0, [execution_id])
    done = await api.post(path, {"older_than_minutes": 0})

    assert (done["cancelled_count"], done["execution_ids"]) == (1, [execution_id])
    assert (await api.ended(execution_id))["status"] == "CANCELLED"
    check = await api.get(f"/api/executions/{execution_id}/cancellation-check")
    assert check["is_cancelled"] is True


async def test_large_results_are_resolved(api: Api):
    await api.register(LARGE)
    execution_id = await api.run("examples/large")
    await api.ended(execution_id)

    found = await api.get(f"/api/executions/{execution_id}/result", params={"step": "start"})
    assert len(found["result"]["text"]) == 300_000
    detail = await api.get(f"/api/executions/{execution_id}")
    assert detail["result_ref"].startswith("noetl://")
    resolved = await api.get("/api/result/resolve", params={"ref": detail["result_ref"]})
    assert resolved == found["result"]
    put = {"name": "rows/all", "data": [1, 2], "source_step": "load"}
    status, kept, _ = await api.call("PUT", f"/api/result/{execution_id}", put)
    assert status == 200
    assert await api.get("/api/result/resolve", params={"ref": kept["ref"]}) == [1, 2]
    for ref, expected in [("x", 400), (f"noetl://execution/{execution_id}/result/a/b", 404)]:
        found = await api.call("GET", "/api/result/resolve", params={"ref": ref})
        assert found[0] == expected
    assert (await api.call("GET", "/api/result/resolve"))[0] == 422


async def test_variables_are_read(api: Api):
    await api.register(HELLO)
    execution_id = await api.run("examples/hello")
    await api.ended(execution_id)

    (one,) = await api.get(f"/api/vars/{execution_id}")

    assert (one["var_name"], one["var_value"]) == ("greeting", "hello world")
    assert await api.get(f"/api/vars/{execution_id}/greeting") == one
    assert (await api.call("GET", f"/api/vars/{execution_id}/other"))[0] == 404


async def test_versions_are_taken_out_of_use_and_brought_back(api: Api):
    await api.register(HELLO)
    await api.register(HELLO.replace("Greets.", "Greets you."))

    gone = await api.post("/api/catalog/delete", {"path": "examples/hello", "version": 2})
    assert [v["version"] for v in gone["deleted"]] == [2]
    assert (await api.post("/api/catalog/resource", {"path": "examples/hello"}))["version"] == 1
    all_gone = await api.post("/api/catalog/delete", {"path": "/examples/hello"})
    assert (all_gone["count"], all_gone["path"]) == (1, "examples/hello")
    assert (await api.post("/api/catalog/list"))["entries"] == []
    assert (await api.call("POST", "/api/execute", {"path": "examples/hello"}))[0] == 404
    assert (await api.post("/api/catalog/delete", {"path": "examples/hello"}))["count"] == 0
    back = await api.post("/api/catalog/restore", {"path": "examples/hello"})
    assert [v["version"] for v in back["restored"]] == [1, 2]
    await api.ended(await api.run("examples/hello"))


async def test_facts_of_a_request_are_kept_with_the_execution(api: Api):
    await api.register(WAITS)
    trace = {"trace_id": "t1"}
    body = {"path": "examples/waits", "execution_pool": "gpu", "trace": trace}
    parent = await api.post("/api/execute", body)
    child = {"path": "examples/waits", "parent_execution_id": int(parent["execution_id"])}
    found = await api.post("/api/execute", child | {"execution_pool": ""})

    detail = await api.get(f"/api/executions/{found['execution_id']}")
    assert detail["parent_execution_id"] == parent["execution_id"]
    detail = await api.get(f"/api/executions/{parent['execution_id']}")
    assert json.loads(detail["labels"]["trace"]) == trace
    async with asyncio.timeout(5):
        while len(commands := await api.server.store.commands()) < 2:
            await asyncio.sleep(0.01)
    assert {c.pool for c in commands} == {"gpu", "shared"}
    stopped = await api.post(f"/api/executions/{parent['execution_id']}/cancel")
    assert set(stopped["cancelled_executions"]) == {
        parent["execution_id"],
        found["execution_id"],
    }


async def test_the_catalog_is_listed_by_pages_of_so_many_documents_and_so_much_text(
    api: Api, monkeypatch
):
    for name in ("a", "b", "c", "d"):
        await api.register(HELLO.replace("examples/hello", f"examples/{name}"))

    async def listed(**asked):
        page = await api.post("/api/catalog/list", asked)
        return [e["path"][-1] for e in page["entries"]], page.get("next_after")

    assert await listed() == (["a", "b", "c", "d"], None)
    assert await listed(limit=4) == (["a", "b", "c", "d"], None)
    assert await listed(limit=3) == (["a", "b", "c"], "examples/c")
    assert await listed(limit=3, after="examples/c") == (["d"], None)
    monkeypatch.setattr(listing, "LIST_BYTES_MAX", 2 * len(HELLO))
    assert await listed(limit=3) == (["a", "b"], "examples/b")
    assert await listed(limit=2, after="examples/b") == (["c", "d"], None)
    assert await listed(after="examples/b") == (["c", "d"], None)
    monkeypatch.setattr(listing, "LIST_BYTES_MAX", 1)
    assert await listed(limit=1000) == (["a"], "examples/a")
    assert await listed() == (["a", "b", "c", "d"], None)


async def test_a_detail_holds_the_newest_events_as_many_as_its_size_allows(api: Api, monkeypatch):
    await api.register(HELLO)
    execution_id = await api.run("examples/hello")
    await api.ended(execution_id)

    async def told(**asked):
        detail = await api.get(f"/api/executions/{execution_id}", params=asked)
        return [event["event_id"] for event in detail["events"]]

    everything = await told()
    sizes = {
        str(event.seq): len(event.body)
        for event in await api.server.store.events(int(execution_id))
    }
    for page in (1, 3, 100):
        monkeypatch.setattr(event_pages, "EVENTS_PAGE", page)
        assert await told() == everything
        assert await told(events=3) == everything[-3:]
        monkeypatch.setattr(event_pages, "EVENTS_BYTES_MAX", list(sizes.values())[-1] + 1)
        assert await told() == everything[-1:]
        monkeypatch.setattr(event_pages, "EVENTS_BYTES_MAX", sum(list(sizes.values())[-4:]))
        assert await told() == everything[-4:]
        monkeypatch.setattr(event_pages, "EVENTS_BYTES_MAX", 1)
        assert await told() == everything[-1:]
        monkeypatch.setattr(event_pages, "EVENTS_BYTES_MAX", 1_000_000)
