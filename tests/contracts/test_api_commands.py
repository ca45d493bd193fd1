"""The HTTP API: single commands, for who performs them elsewhere."""

from __future__ import annotations

import pytest

from api_cluster import Api, cluster
from arcbook.server.http.settings import HttpSettings

INNER = {"Authorization": "Bearer inner"}

ELSEWHERE = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: elsewhere, path: examples/elsewhere}
workload: {day: monday}
workflow:
  - step: start
    spec: {pool: nobody-is-here}
    tool: {kind: http, url: "https://example.org/{{ workload.day }}"}
"""


@pytest.fixture
async def api(tmp_path):
    async with cluster(tmp_path, settings=HttpSettings(internal_token="inner")) as found:
        yield found[0]


async def started(api: Api) -> str:
    """Start an execution whose only command waits for a pool that no server serves."""
    await api.register(ELSEWHERE)
    return await api.run("examples/elsewhere")


async def claimed(api: Api, command_id: str, worker_id: str):
    path = f"/api/commands/{command_id}/claim"
    status, body, _ = await api.call("POST", path, {"worker_id": worker_id}, headers=INNER)
    return status, body


async def test_a_command_says_what_is_to_be_done_and_with_which_names(api: Api):
    execution_id = await started(api)

    view = await api.get(f"/api/commands/{execution_id}:start:1", headers=INNER)

    assert (view["execution_id"], view["node_name"]) == (execution_id, "start")
    assert view["action"] == "http"
    assert view["context"]["workload"] == {"day": "monday"}
    assert view["meta"]["pool"] == "nobody-is-here"


async def test_a_command_is_given_to_one_worker(api: Api):
    command_id = f"{await started(api)}:start:1"

    first, body = await claimed(api, command_id, "outpost-1")
    second, refused = await claimed(api, command_id, "outpost-2")

    assert (first, body["status"], body["event_id"]) == (200, "ok", command_id)
    assert second == 409
    assert refused["code"] == "active_claim"
    assert refused["retry_after"] == 2


async def test_a_command_of_an_execution_that_is_over_is_not_to_be_had(api: Api):
    execution_id = await started(api)
    await api.post(f"/api/executions/{execution_id}/cancel", {})

    status, body = await claimed(api, f"{execution_id}:start:1", "outpost-1")

    assert (status, body["code"]) == (409, "already_terminal")


@pytest.mark.parametrize(
    ("command_id", "status"), [("77:start:1", 404), ("no-number:start:1", 400), ("0", 400)]
)
async def test_a_command_that_is_not_there_is_not_given_out(api: Api, command_id, status):
    assert (await claimed(api, command_id, "outpost-1"))[0] == status


async def test_a_step_that_is_not_out_has_no_command(api: Api):
    execution_id = await started(api)

    assert (await claimed(api, f"{execution_id}:later:1", "outpost-1"))[0] == 404


async def test_only_the_platform_itself_may_claim(api: Api):
    execution_id = await started(api)
    path = f"/api/commands/{execution_id}:start:1/claim"

    status, _, _ = await api.call("POST", path, {"worker_id": "outpost-1"})

    assert status == 403
