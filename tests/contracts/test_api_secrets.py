"""The HTTP API: credentials sealed for one asker, and keychains as they are declared."""

from __future__ import annotations

import base64
import json

import pytest

from api_cluster import Api, cluster
from arcbook.client import Client, RefusedError
from arcbook.secrets.delivery import AnswerKey
from arcbook.secrets.envelope import SealError
from arcbook.server.http.settings import HttpSettings

SECRET = "the-canary-9c41"

INNER = {"Authorization": "Bearer inner"}

KEYCHAIN = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: secretive, path: examples/secretive}
keychain:
  - {name: api, kind: secrets, provider: vault, map: {token: "kv/api#token"}, ttl_seconds: 60}
  - {name: pg, credential: warehouse, scope: execution}
  - {name: fixed, kind: static, map: {value: canary-in-the-document}}
workflow:
  - step: start
    tool: {kind: noop}
"""


ELSEWHERE = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: elsewhere, path: examples/elsewhere}
workflow:
  - step: start
    spec: {pool: nobody-is-here}
    tool: {kind: http, url: "https://example.org", auth: gh}
"""


@pytest.fixture
async def api(tmp_path):
    async with cluster(tmp_path, settings=HttpSettings(internal_token="inner")) as found:
        body = {"name": "gh", "type": "bearer", "data": {"token": SECRET}}
        await found[0].post("/api/credentials", body)
        yield found[0]


@pytest.fixture
async def execution_id(api: Api) -> str:
    """An execution whose only command ``outpost-1`` has claimed."""
    await api.register(ELSEWHERE)
    found = await api.run("examples/elsewhere")
    path = f"/api/commands/{found}:start:1/claim"
    assert (await api.call("POST", path, {"worker_id": "outpost-1"}, headers=INNER))[0] == 200
    return found


def asked(answer_key: AnswerKey, **more: str) -> dict[str, str]:
    public = base64.b64encode(answer_key.public).decode()
    return {"public_key": public, "worker_id": "outpost-1", **more}


async def test_a_credential_is_sealed_for_its_asker_alone(api: Api, execution_id):
    answer_key = AnswerKey()
    wanted = asked(answer_key, execution_id=execution_id)

    answer = await api.get("/api/credentials/gh/sealed", params=wanted, headers=INNER)

    assert answer["alg"] == "x25519-hkdf-sha256-chacha20-poly1305"
    assert SECRET not in json.dumps(answer)
    async with Client(api.url, "inner") as client:
        opened = await client.open_credential("gh", "outpost-1", execution_id)
    assert (opened.type, opened.data) == ("bearer", {"token": SECRET})


async def test_an_answer_opens_for_no_other_key_and_no_other_request(
    api: Api, execution_id, monkeypatch
):
    other = AnswerKey()
    async with Client(api.url, "inner") as client:
        with monkeypatch.context() as patched:
            patched.setattr("arcbook.client.client.AnswerKey", lambda: Stolen(other))
            with pytest.raises(SealError, match="not for this worker"):
                await client.open_credential("gh", "outpost-1", execution_id)


class Stolen:
    """A answer_key that shows somebody else's public key."""

    def __init__(self, other: AnswerKey) -> None:
        self.public = other.public
        self.open = AnswerKey().open


async def test_every_request_for_a_credential_is_in_the_audit(api: Api, execution_id):
    wanted = asked(AnswerKey(), execution_id=execution_id)
    await api.get("/api/credentials/gh/sealed", params=wanted, headers=INNER)
    for refused in ({"execution_id": "77"}, {"execution_id": ""}, {"worker_id": "root"}, {}):
        name = "gh" if refused else "other"
        status, body, _ = await api.call(
            "GET", f"/api/credentials/{name}/sealed", params=wanted | refused, headers=INNER
        )
        assert (status, body["code"]) == (403, "refused")

    notes = (await api.get("/api/audit", params={"who": "internal"}))["items"]

    assert [(n["alias"], n["outcome"], n["execution_id"]) for n in notes] == [
        ("other", "refused", execution_id),
        ("gh", "refused", execution_id),
        ("gh", "refused", None),
        ("gh", "refused", "77"),
        ("gh", "ok", execution_id),
    ]


async def test_a_credential_that_a_document_names_and_nobody_keeps_is_not_found(
    api: Api, execution_id
):
    await api.call("DELETE", "/api/credentials/gh")
    wanted = asked(AnswerKey(), execution_id=execution_id)

    found = await api.call("GET", "/api/credentials/gh/sealed", params=wanted, headers=INNER)

    assert (found[0], found[1]["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"worker_id": "w"},
        {"worker_id": "w", "public_key": "no base64!"},
        {"worker_id": "w", "public_key": "c2hvcnQ="},
        {"worker_id": "w", "public_key": base64.b64encode(bytes(32)).decode()},
        {"worker_id": "", "public_key": base64.b64encode(bytes(32)).decode()},
    ],
)
async def test_without_a_key_to_seal_for_there_is_no_credential(api: Api, wanted):
    found = await api.call("GET", "/api/credentials/gh/sealed", params=wanted, headers=INNER)

    assert found[0] == 422


async def test_a_sealed_credential_takes_the_internal_token(tmp_path, api: Api):
    where, wanted = "/api/credentials/gh/sealed", asked(AnswerKey())
    assert (await api.call("GET", where, params=wanted))[0] == 403
    wrong = {"Authorization": "Bearer wrong"}
    assert (await api.call("GET", where, params=wanted, headers=wrong))[0] == 403
    async with Client(api.url) as client:
        with pytest.raises(RefusedError) as refused:
            await client.open_credential("gh", "outpost-1")
        assert refused.value.status == 403
    async with cluster(tmp_path) as (closed,):
        assert (await closed.call("GET", where, params=wanted))[0] == 503


async def test_a_keychain_is_told_as_declared_without_its_secrets(api: Api):
    registered = await api.register(KEYCHAIN)
    catalog_id = registered["catalog_id"]

    found = await api.get(f"/api/keychain/catalog/{catalog_id}")

    assert (found["path"], found["version"], found["count"]) == ("examples/secretive", 1, 3)
    vault, pg, fixed = found["entries"]
    assert (vault["kind"], vault["provider"], vault["ttl_seconds"]) == ("secrets", "vault", 60)
    assert (pg["kind"], pg["credential"], pg["scope_type"]) == (
        "credential",
        "warehouse",
        "execution",
    )
    assert (fixed["kind"], fixed["scope_type"]) == ("static", "global")
    assert "canary-in-the-document" not in json.dumps(found)
    async with Client(api.url) as client:
        assert (await client.keychain(catalog_id)).count == 3


async def test_an_entry_of_a_keychain_is_found_or_not_and_its_secret_never(api: Api):
    catalog_id = (await api.register(KEYCHAIN))["catalog_id"]

    one = await api.get(f"/api/keychain/{catalog_id}/api", params={"scope_type": "global"})
    none = await api.get(f"/api/keychain/{catalog_id}/nothing")

    assert (one["status"], one["entry"]["kind"], one["data"]) == ("found", "secrets", None)
    assert (none["status"], none["entry"]) == ("not_found", None)
    for path, expected in [("12345/api", 404), ("x/api", 400), ("catalog/12345", 404)]:
        assert (await api.call("GET", f"/api/keychain/{path}"))[0] == expected
    for method in ("POST", "DELETE"):
        assert (await api.call(method, f"/api/keychain/{catalog_id}/api", {}))[0] == 405
