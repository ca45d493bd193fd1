"""The wallet from the command line and the API: status, rotation, audit, refusals."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path

import pytest

from acceptance.terminal import Terminal
from api_cluster import Api, cluster
from arcbook.clock import SystemClock
from arcbook.secrets.credentials import CredentialBook
from arcbook.secrets.envelope import LocalKey
from arcbook.secrets.keys import new_key
from arcbook.store.postgres import PostgresStore, upgrade
from arcbook.testing.services import PostgresServer

SECRET = "s3cret-of-the-verbs"

USES = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: uses, path: uses}
keychain: [{name: mine, kind: credential, credential: api}]
workflow:
- step: start
  tool: {kind: python, input: {a: "{{ keychain.mine.token }}"}, code: "result = len(a)"}
"""


@pytest.fixture
def arcbook(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


def test_a_home_turns_its_key_and_everything_still_opens(arcbook: Terminal):
    arcbook("credential", "add", "api", "--type", "bearer", "--set", f"token={SECRET}")
    arcbook.write("uses.yaml", USES)
    before = arcbook("wallet", "status")
    turned = arcbook("wallet", "rotate")
    after = arcbook("wallet", "status")
    key = (arcbook.home / "key").read_text().split()
    forgot = arcbook("wallet", "rotate", "--no-new-key", "--forget")
    ran = arcbook("run", "uses.yaml")

    assert (before.code, turned.code, after.code, forgot.code, ran.code) == (0, 0, 0, 0, 0)
    assert "1 rewrapped, 0 already sealed by it, 0 changed meanwhile, 0 failed" in turned.out
    assert before.out.splitlines()[1] != after.out.splitlines()[1]
    assert len(key) == 2
    assert "1 older key removed" in forgot.out
    assert (arcbook.home / "key").read_text().split() == key[:1]


def test_a_key_that_was_in_use_until_now_is_forgotten_by_the_next_rotation(arcbook: Terminal):
    arcbook("wallet", "init")
    first = (arcbook.home / "key").read_text().split()
    told = arcbook("wallet", "rotate", "--forget")
    second = (arcbook.home / "key").read_text().split()
    arcbook("wallet", "rotate", "--forget")
    third = (arcbook.home / "key").read_text().split()

    assert second[1:] == first
    assert third[1:] == second[:1]
    assert "the previous key is kept" in told.out


def test_a_wrong_key_is_told_and_changes_nothing(arcbook: Terminal):
    arcbook("credential", "add", "api", "--type", "bearer", "--set", f"token={SECRET}")
    arcbook.write("uses.yaml", USES)
    arcbook.environment["ARCBOOK_ENCRYPTION_KEY"] = new_key()
    status, turned = arcbook("wallet", "status"), arcbook("wallet", "rotate")
    ran = arcbook("run", "uses.yaml")
    del arcbook.environment["ARCBOOK_ENCRYPTION_KEY"]

    assert (status.code, turned.code, ran.code) == (1, 1, 1)
    assert "credential 'api' cannot be opened: the record was sealed by key local:" in status.err
    assert "credential 'api' was not resealed" in turned.err
    assert "credential 'api' cannot be opened: the record was sealed by key" in ran.err
    assert arcbook("wallet", "status").code == 0


def test_a_key_file_is_made_once(arcbook: Terminal):
    made, again = arcbook("wallet", "init"), arcbook("wallet", "init")

    assert "created" in made.out
    assert "exists already" in again.out


def test_a_credential_that_cannot_be_is_refused_with_every_problem(arcbook: Terminal):
    ran = arcbook("credential", "add", "sf", "--type", "snowflake", "--set", f"note={SECRET}")

    assert ran.code == 2
    assert ran.err.count("a credential of type 'snowflake' needs") == 3
    assert SECRET not in ran.all


@pytest.mark.services
def test_a_cluster_is_turned_from_an_old_key_to_a_new_one(
    arcbook: Terminal, postgres_server: PostgresServer, database: str
):
    dsn, old, new = postgres_server.dsn(database), bytes(range(32)), new_key()

    async def fill():
        await upgrade(dsn)
        async with PostgresStore(dsn) as store:
            book = CredentialBook(store, LocalKey(old, "the test"), SystemClock())
            for n in range(5):
                await book.add(f"c{n}", "bearer", {"token": f"{SECRET}{n}"})

    async def read():
        async with PostgresStore(dsn) as store:
            book = CredentialBook(store, LocalKey.from_text(new, "the test"), SystemClock())
            return [(await book.credential(f"c{n}", 0)).data["token"] for n in range(5)]

    asyncio.run(fill())
    arcbook.environment |= {
        "ARCBOOK_ENCRYPTION_KEY": new,
        "ARCBOOK_ENCRYPTION_KEYS_OLD": base64.b64encode(old).decode(),
    }
    turned = arcbook("wallet", "rotate", "--dsn", dsn)

    assert turned.code == 0, turned.err
    assert "5 rewrapped" in turned.out
    assert asyncio.run(read()) == [f"{SECRET}{n}" for n in range(5)]
    assert arcbook("wallet", "status", "--dsn", dsn).code == 0


async def note_of(api: Api, execution_id: str):
    found = await api.get("/api/audit", params={"execution_id": execution_id})
    return [(n["who"], n["action"], n["alias"], n["outcome"]) for n in found["items"]]


async def test_the_audit_says_who_used_what_page_by_page(tmp_path: Path):
    async with cluster(tmp_path) as (api,):
        body = {"name": "api", "type": "bearer", "data": {"token": SECRET}}
        await api.post("/api/credentials", body)
        await api.register(USES)
        first, second = await api.run("uses"), await api.run("uses")
        for execution_id in (first, second):
            assert (await api.ended(execution_id))["completed"]
        events = await api.get(f"/api/executions/{first}/events")
        pages, before = [], 0
        while True:
            page = await api.get("/api/audit", params={"limit": 1, "before": str(before)})
            pages += page["items"]
            if page["next_before"] is None:
                break
            before = page["next_before"]

        assert SECRET not in json.dumps(events)
        assert ("w1", "resolve", "api", "ok") in await note_of(api, first)
        assert pages[-1]["action"] == "put"
        ids = [int(note["id"]) for note in pages]
        assert ids == sorted(ids, reverse=True)
        assert (await api.call("GET", "/api/audit?limit=0"))[0] == 422
        assert (await api.call("GET", "/api/audit?execution_id=x"))[0] == 400


async def test_the_api_refuses_a_credential_with_every_problem(tmp_path: Path):
    async with cluster(tmp_path) as (api,):
        body = {"name": "api", "type": "basic", "data": {"frob": SECRET}}
        status, found, _ = await api.call("POST", "/api/credentials", body)

    assert (status, found["code"], len(found["problems"])) == (422, "invalid_credential", 2)
    assert SECRET not in json.dumps(found)


async def test_an_alias_that_is_not_there_ends_the_step_at_once(tmp_path: Path):
    async with cluster(tmp_path) as (api,):
        await api.register(USES)
        execution_id = await api.run("uses")
        ended = await api.ended(execution_id, seconds=10.0)
        found = await api.get(f"/api/executions/{execution_id}")

        assert ended["failed"]
        assert "credential 'api' is not known" in found["error"]
        assert ("w1", "resolve", "api", "unknown") in await note_of(api, execution_id)
