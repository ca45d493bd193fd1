"""The HTTP API: catalog, executions, events, control."""

from __future__ import annotations

import asyncio
import base64

import pytest

from api_cluster import Api, cluster

HELLO = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata:
  name: hello
  path: examples/hello
  description: Greets.
workload:
  name: world  # ui:description=Who is greeted
  token: abc  # ui:secret
  colour: red  # ui:enum=[red, green]
  nested: {a: 1}
workflow:
  - step: start
    tool:
      kind: python
      code: |
        result = {"greeting": "hello " + name}
      input:
        name: "{{ workload.name }}"
    set:
      ctx.greeting: "{{ output.data.greeting }}"
    next:
      arcs:
        - step: end
  - step: end
    tool:
      kind: noop
"""

WAITS = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: waits, path: examples/waits}
workflow:
  - step: start
    tool: {kind: shell, command: "sleep 60"}
"""


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
        await asyncio.sleep(2.0)
        execution_id = await one.run("examples/waits")
        owner = one.server.ownership.owns(int(execution_id))
        assert owner

        found = await other.post(f"/api/executions/{execution_id}/cancel", {"reason": "enough"})

        assert found["status"] == "cancelled"
        assert found["cancelled_executions"] == [execution_id]
        ended = await other.ended(execution_id)
        assert ended["status"] == "CANCELLED"
        again = await other.post(f"/api/executions/{execution_id}/cancel")
        assert again["status"] == "already_completed"
