"""Over HTTP a worker may no more than on the bus: in its own name, and what workers ask alone."""

from __future__ import annotations

import base64

import pytest

from api_cluster import Api, cluster
from arcbook.secrets.delivery import AnswerKey
from arcbook.server.http.access import hash_token
from arcbook.server.http.settings import HttpSettings
from arcbook.server.http.table import ROUTES

ADMIN = {"Authorization": "Bearer the-admin"}

NAMED = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: named, path: tests/named}
workflow:
  - step: start
    spec: {pool: nobody-is-here}
    tool: {kind: http, url: "https://example.org", auth: gh}
"""


@pytest.fixture
async def api(tmp_path):
    tokens = {hash_token("the-admin"): "admin"}
    settings = HttpSettings(tokens=tokens, internal_token="inner")
    async with cluster(tmp_path, settings=settings) as found:
        yield found[0]


async def asked(api: Api, method, path, body=None, headers=ADMIN, **more):
    status, answer, _ = await api.call(method, path, body, headers=headers, **more)
    return status, answer


@pytest.fixture
async def workers(api: Api):
    """The id of a worker's token, and the headers that show it."""
    wanted = {"name": "edge", "scope": "worker"}
    _, told = await asked(api, "POST", "/api/tokens", wanted)
    return told["id"], {"Authorization": f"Bearer {told['token']}"}


@pytest.fixture
async def execution_id(api: Api):
    await asked(
        api, "POST", "/api/credentials", {"name": "gh", "type": "bearer", "data": {"token": "x"}}
    )
    await asked(api, "POST", "/api/catalog/register", {"content": NAMED})
    _, started = await asked(api, "POST", "/api/execute", {"path": "tests/named"})
    return started["execution_id"]


async def claim(api, execution_id, worker, headers):
    path = f"/api/commands/{execution_id}:start:1/claim"
    return (await asked(api, "POST", path, {"worker_id": worker}, headers))[0]


async def sealed(api, name, headers, **more):
    public = base64.b64encode(AnswerKey().public).decode()
    params = {"public_key": public, **more}
    return await asked(api, "GET", f"/api/credentials/{name}/sealed", None, headers, params=params)


async def test_a_workers_token_opens_what_workers_use_and_nothing_else(api: Api, workers):
    for route in ROUTES:
        if route.scope == "open":
            continue
        path = route.path.replace("{", "").replace("}", "").replace(":path", "")
        body = None if route.method == "GET" else {}
        status, _ = await asked(api, route.method, path, body, workers[1])
        assert (status != 403) is route.for_workers, f"{route.method} {path}: {status}"


async def test_a_worker_claims_in_its_own_name_alone(api: Api, workers, execution_id):
    token_id, headers = workers

    for name in ("worker-1", "w1", "root", f"x{token_id}.edge", token_id):
        assert await claim(api, execution_id, name, headers) == 403
    assert await claim(api, execution_id, f"{token_id}.edge", headers) == 200


async def test_a_credential_goes_to_the_holder_in_its_own_name(api: Api, workers, execution_id):
    token_id, headers = workers
    mine = {"worker_id": f"{token_id}.edge", "execution_id": execution_id}
    assert (await sealed(api, "gh", headers, **mine))[0] == 403
    await claim(api, execution_id, mine["worker_id"], headers)

    assert (await sealed(api, "gh", headers, **mine))[0] == 200
    for refused in (
        {"worker_id": f"{token_id}.other"},
        {"worker_id": "root"},
        {"execution_id": "77"},
        {"execution_id": ""},
    ):
        assert (await sealed(api, "gh", headers, **(mine | refused)))[0] == 403
    assert (await sealed(api, "other", headers, **mine))[0] == 403


async def test_the_audit_names_who_the_token_proves(api: Api, workers, execution_id):
    token_id, headers = workers
    mine = {"worker_id": f"{token_id}.edge", "execution_id": execution_id}
    await claim(api, execution_id, mine["worker_id"], headers)
    await sealed(api, "gh", headers, **mine)
    await sealed(api, "gh", {"Authorization": "Bearer inner"}, **(mine | {"worker_id": "root"}))

    _, page = await asked(api, "GET", "/api/audit", params={"alias": "gh"})

    seen = [(n["who"], n["outcome"]) for n in page["items"] if n["action"] == "resolve"]
    assert seen == [("internal", "refused"), (f"{token_id}.edge", "ok")]


async def test_a_pool_for_a_system_playbook_is_refused(api: Api):
    text = NAMED.replace("tests/named", "system/named").replace(
        "    spec: {pool: nobody-is-here}\n", ""
    )
    await asked(api, "POST", "/api/catalog/register", {"content": text})
    wanted = {"path": "system/named", "execution_pool": "shared"}

    status, answer = await asked(api, "POST", "/api/execute", wanted)
    _, batch = await asked(api, "POST", "/api/execute/batch", {"executions": [wanted]})

    assert status == 422
    assert "own pool" in answer["error"]
    assert batch["failed"] == 1
