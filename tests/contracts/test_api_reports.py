"""The HTTP API: events from outside, executions as they were, documents in batches."""

from __future__ import annotations

import asyncio
import json

import pytest

import api_cluster
from api_cluster import Api, cluster
from api_playbooks import HELLO
from arcbook.events.types import WaitKind
from arcbook.server.http.settings import HttpSettings
from arcbook.tools.api import Deferred
from arcbook.tools.registry import Registry

PARKED = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: parked, path: examples/parked}
workflow:
  - step: approve
    tool: {kind: parks}
    set: {ctx.said: "{{ output.data.approved }}"}
"""

AGAIN = """\
    next: {arcs: [{step: approve, when: "{{ output.data.approved == 'once' }}"}]}
"""

INNER = {"headers": {"Authorization": "Bearer inner"}}


class Parks:
    """A tool whose outcome comes from outside."""

    def run(self, call, context):
        return Deferred(kind=WaitKind.CALLBACK)

    async def close(self):
        pass


def with_parks():
    made = Registry()
    made.add("parks", Parks())
    return made


@pytest.fixture
async def api(tmp_path, monkeypatch):
    monkeypatch.setattr(api_cluster, "Registry", with_parks)
    async with cluster(tmp_path, settings=HttpSettings(internal_token="inner")) as found:
        yield found[0]


async def parked(api: Api) -> str:
    """Start a playbook, and wait until its step is parked."""
    await api.register(PARKED)
    execution_id = await api.run("examples/parked")
    await waits(api, execution_id, 1)
    return execution_id


async def waits(api: Api, execution_id: str, times: int) -> None:
    """Wait until a step was parked so often."""
    query = {"event_type": "command.suspended"}
    async with asyncio.timeout(20):
        while True:
            page = await api.get(f"/api/executions/{execution_id}/events", params=query)
            if len(page["events"]) == times:
                return
            await asyncio.sleep(0.02)


async def test_a_parked_step_goes_on_with_what_is_reported_once(api: Api):
    execution_id = await parked(api)
    event = {
        "execution_id": int(execution_id),
        "step": "approve",
        "event_type": "call.done",
        "payload": {"approved": True},
        "event_id": 7,
    }
    first = await api.post("/api/events", event)
    assert (first["status"], first["event_id"], first["duplicate"]) == ("ok", "7", False)

    found = await api.ended(execution_id)
    assert found["variables"] == {"said": True}
    again = await api.post("/api/events/batch", {"events": [event]})
    assert (again["event_ids"], again["duplicates"]) == (["7"], 1)


async def test_an_event_that_comes_again_is_not_the_next_that_the_step_waits_for(api: Api):
    await api.register(PARKED + AGAIN)
    execution_id = await api.run("examples/parked")
    event = {"execution_id": execution_id, "step": "approve", "event_type": "call.done"}
    first = event | {"event_id": "e-1", "payload": {"approved": "once"}}
    await waits(api, execution_id, 1)
    assert not (await api.post("/api/events", first))["duplicate"]
    await waits(api, execution_id, 2)

    assert (await api.post("/api/events", first))["duplicate"]
    batch = await api.post("/api/events/batch", {"events": [first, first]})
    assert batch["duplicates"] == 2
    assert not (await api.get(f"/api/executions/{execution_id}/status"))["completed"]
    second = event | {"event_id": "e-2", "payload": {"approved": "twice"}}
    both = await asyncio.gather(*(api.post("/api/events", second) for _ in range(5)))

    assert [taken["duplicate"] for taken in both].count(False) == 1
    assert (await api.ended(execution_id))["variables"] == {"said": "twice"}


@pytest.mark.parametrize("kind", ["event_type", "name"])
@pytest.mark.parametrize("step", ["step", "node_name"])
@pytest.mark.parametrize("data", ["payload", "context", "result"])
async def test_fields_of_an_event_go_by_any_of_their_names(api: Api, kind, step, data):
    execution_id = await parked(api)
    event = {kind: "call.done", step: "approve", data: {"approved": 5}}

    await api.post("/api/events", event | {"execution_id": execution_id})

    assert (await api.ended(execution_id))["variables"] == {"said": 5}


async def called_back(api: Api, where: str, body: dict) -> bool:
    """Call back; return whether a step waited for it."""
    status, taken, _ = await api.call("POST", where, body, **INNER)
    assert status == 202
    return taken["accepted"]


async def test_a_watcher_of_jobs_tells_of_an_end_once_in_its_own_words(api: Api):
    execution_id = await parked(api)
    where = f"/api/internal/container-callback/{execution_id}/approve"
    job = {"job_name": "train-1", "job_uid": "u-1", "exit_code": 137}
    body = job | {"state": "failed_oom", "reason": "it took too much memory"}

    assert await called_back(api, where, body)
    ended = await api.ended(execution_id)

    assert ended["status"] == "FAILED"
    assert "it took too much memory" in ended["error"]
    assert not await called_back(api, where, body)


async def test_a_parked_step_fails_with_what_is_reported(api: Api):
    execution_id = await parked(api)
    body = {"execution_id": execution_id, "events": [{"name": "call.error", "step": "approve"}]}

    assert (await api.post("/api/events/batch", body))["duplicates"] == 0
    assert (await api.ended(execution_id))["failed"]


async def test_an_internal_callback_reaches_its_step(api: Api):
    execution_id = await parked(api)
    where = f"/api/internal/container-callback/{execution_id}/approve"

    assert await called_back(api, where, {"result": {"approved": 3}})
    assert (await api.ended(execution_id))["variables"] == {"said": 3}
    assert not await called_back(api, where, {})


@pytest.mark.parametrize(
    ("event", "status"),
    [
        ({"execution_id": "1", "step": "s", "event_type": "playbook.completed"}, 422),
        ({"execution_id": "1", "step": "s"}, 422),
        ({"execution_id": "1", "event_type": "call.done"}, 422),
        ({"step": "s", "event_type": "call.done"}, 400),
        ({"execution_id": "1", "step": "s", "event_type": "call.done"}, 404),
    ],
)
async def test_events_that_do_not_come_from_outside_are_refused(api: Api, event, status):
    assert (await api.call("POST", "/api/events", event))[0] == status


async def test_an_execution_is_seen_as_it_was(api: Api):
    await api.register(HELLO)
    execution_id = await api.run("examples/hello")
    await api.ended(execution_id)
    where = f"/api/executions/{execution_id}/state"

    now = await api.get(where)
    assert (now["state"]["status"], now["ctx"]) == ("COMPLETED", {"greeting": "hello world"})
    early = await api.get(where, params={"seq": "2"})
    assert (early["seq"], early["ctx"], early["state"]["completed"]) == (2, {}, False)
    asked = {"execution_id": execution_id, "as_of_position": "2"}
    assert await api.get("/api/replay/state", params=asked) == early
    both = asked | {"as_of_event_id": "3"}
    assert (await api.call("GET", "/api/replay/state", params=both))[0] == 422
    assert (await api.call("GET", "/api/executions/12345/state", params={"seq": "1"}))[0] == 404


async def test_a_batch_registers_what_it_can(api: Api):
    items = [{"content": HELLO}, {"content": "kind: Playbook"}, {"content": PARKED}]
    found = await api.post("/api/catalog/register/batch", {"items": items})

    assert (found["status"], found["registered"], found["failed"]) == ("partial", 2, 1)
    assert [r["status"] for r in found["results"]] == ["registered", "error", "registered"]
    assert found["results"][1]["diagnostics"]
    page = await api.post("/api/catalog/list", {"limit": 1})
    assert ([e["path"] for e in page["entries"]], page["next_after"]) == (
        ["examples/hello"],
        "examples/hello",
    )
    rest = await api.post("/api/catalog/list", {"after": page["next_after"]})
    assert ([e["path"] for e in rest["entries"]], rest["next_after"]) == (["examples/parked"], None)


async def test_the_read_model_holds_no_data(api: Api):
    await api.register(HELLO)
    execution_id = await api.run("examples/hello", name="canary-77")
    await api.ended(execution_id)

    listed = await api.get("/api/ehdb/executions", params={"status": "completed"})
    one = await api.get(f"/api/ehdb/executions/{execution_id}")
    events = await api.get(f"/api/ehdb/executions/{execution_id}/events", params={"limit": "2"})
    assert listed["executions"] == [one["state"]]
    assert (events["returned"], events["next_cursor"]) == (2, "2")
    assert "canary-77" not in json.dumps([listed, one, events])
    assert not (await api.get("/api/ehdb/executions/12345"))["exists"]
    used = await api.get("/api/status")
    assert used["process"]["memory_rss_mb"] > 1
    assert used["process"]["num_threads"] >= 1
