"""A credential goes to the worker that performs what names it, and the audit names that one.

The worker of the attacker has a token and a session: it may speak, and asks for what it likes.
"""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from arcbook.bus.api import BusError
from arcbook.clock import SystemClock
from arcbook.engine.plan import Plan
from arcbook.performer.aliases import aliases_of
from arcbook.results.refs import make_ref
from arcbook.secrets.api import CredentialError
from arcbook.secrets.credentials import CredentialBook, Labels
from arcbook.secrets.delivery import AnswerKey
from arcbook.secrets.envelope import LocalKey
from arcbook.secrets.sessions import Root
from arcbook.secrets.taint import Secrets
from arcbook.secrets.tokens import WORKER_SCOPE, new_token
from arcbook.server.credential_delivery import INTERNAL_CREDENTIAL
from arcbook.server.system import SystemCredentials
from arcbook.store.secret_audit import SecretNotes
from arcbook.testing.cluster import ENTRY_TEXT, Cluster
from arcbook.tools.registry import Registry
from arcbook.wire.protocol import (
    ELSEWHERE,
    FAULT,
    PLAIN,
    BlobGet,
    BlobPart,
    BlobPut,
    CredentialAnswer,
    CredentialRequest,
    LoopRequest,
    owner_subject,
)
from arcbook.worker.control import Control, ControlError

from .bus_attacks import SECRET, Held, claimed, playbook, reported, sealed

NAMED = """\
workload: {db: warehouse, note: nothing}
workflow:
  - step: one
    tool: {kind: http, url: "http://127.0.0.1:1", auth: AUTH}
"""


@pytest.fixture
async def cluster(tmp_path):
    async with Cluster(tmp_path, lease_seconds=30.0) as found:
        book = CredentialBook(found.store, LocalKey(bytes(32), "the test"), SystemClock())
        for alias in ("warehouse", "other", "prod.db"):
            await book.add(alias, "bearer", {"token": SECRET + alias})
        await book.add("theirs", "bearer", {"token": SECRET}, labels=Labels("acme"))
        await book.add("of-unit", "bearer", {"token": SECRET}, labels=Labels("", "unit"))
        found.credentials = SystemCredentials(book, found.store, "the internal token")
        yield found


@pytest.fixture
async def bus(cluster):
    async with cluster.open_bus() as found:
        yield found


async def out(cluster, auth="warehouse", payload=None, path="tests", labels=None, workflow=NAMED):
    """Start an execution; return its command, which nobody has claimed yet."""
    running = cluster.servers[0] if cluster.servers else await cluster.server()
    server = running.server
    text = playbook("named", workflow.replace("AUTH", auth), folder=path)
    await cluster.register(text)
    planned = await server.plans.find(f"{path}/named")
    execution_id = await server.start(planned, payload or {}, labels=labels or {})
    async with asyncio.timeout(20):
        while execution_id not in server.owner.outstanding:
            await asyncio.sleep(0.005)
    return Held(execution_id, server)


async def notes(cluster):
    found = await cluster.store.secret_notes(SecretNotes())
    return [(n.who, n.alias, n.execution_id, n.outcome) for n in found if n.action != "put"]


async def refusal(bus, alias, held, worker="w"):
    with pytest.raises(CredentialError) as caught:
        await Control(bus, worker).credential(alias, held.execution_id)
    return caught.value.reason


async def test_the_holder_of_a_command_gets_what_its_document_names(cluster, bus):
    held = await out(cluster)
    mine = sealed(bus, "w")
    await claimed(mine, held, "w")

    found = await Control(mine, "w").credential("warehouse", held.execution_id)

    assert found.data == {"token": SECRET + "warehouse"}
    assert await notes(cluster) == [("w", "warehouse", held.execution_id, "ok")]


async def test_an_alias_that_the_document_does_not_name_is_refused(cluster, bus):
    held = await out(cluster)
    mine = sealed(bus, "w")
    await claimed(mine, held, "w")

    assert "does not name it" in await refusal(mine, "other", held)
    assert await notes(cluster) == [("w", "other", held.execution_id, "refused")]


@pytest.mark.parametrize("execution_id", [0, 1, 77, 2**62])
async def test_an_execution_that_is_none_opens_nothing(cluster, bus, execution_id):
    await cluster.server()
    mine = sealed(bus, "w")

    with pytest.raises(CredentialError, match="holds no command of execution"):
        await Control(mine, "w").credential("warehouse", execution_id)

    assert await notes(cluster) == [("w", "warehouse", execution_id, "refused")]


async def test_a_worker_that_holds_nothing_of_the_execution_is_refused(cluster, bus):
    held = await out(cluster)
    other = await out(cluster)
    mine, another = sealed(bus, "w"), sealed(bus, "another")
    await claimed(mine, held, "w")

    assert "holds no command" in await refusal(another, "warehouse", held, "another")
    assert "holds no command" in await refusal(mine, "warehouse", other)


async def test_a_claim_that_has_ended_opens_nothing(cluster, bus):
    held = await out(cluster)
    mine = sealed(bus, "w")
    await claimed(mine, held, "w")
    await Control(mine, "w").credential("warehouse", held.execution_id)
    assert await reported(mine, held, held.report(), "w") == [True]
    await cluster.ended(held.execution_id)

    assert "holds no command" in await refusal(mine, "warehouse", held)


async def test_the_audit_names_the_proven_worker_whatever_it_says_of_itself(cluster, bus):
    held = await out(cluster)
    mine = sealed(bus, "w")
    await claimed(mine, held, "w")
    box = AnswerKey()
    request = CredentialRequest(
        alias="warehouse", execution_id=held.execution_id, worker="w", public=box.public, who="root"
    )
    subject = owner_subject(held.server.server_id)

    answer = await Control(mine, "w").once(subject, request, CredentialAnswer)
    renamed = msgspec.structs.replace(request, worker="root")
    with pytest.raises(ControlError, match="refused: worker w asks as 'root'"):
        await Control(mine, "w").once(subject, renamed, CredentialAnswer)

    assert answer.sealed is not None
    assert await notes(cluster) == [("w", "warehouse", held.execution_id, "ok")]


async def test_every_server_says_the_same(cluster, bus):
    held = await out(cluster)
    for _ in range(2):
        await cluster.server()
    for running in cluster.servers:
        await running.server.ownership.renew_lease()
    mine = sealed(bus, "w")
    owner = cluster.owner(held.execution_id).server
    held = Held(held.execution_id, owner)
    await claimed(mine, held, "w")
    box = AnswerKey()
    asked = [
        CredentialRequest(
            alias=alias, execution_id=held.execution_id, worker="w", public=box.public
        )
        for alias in ("warehouse", "other")
    ]

    for running in cluster.servers:
        subject = owner_subject(running.server.server_id)
        good, bad = [await Control(mine, "w").once(subject, one, CredentialAnswer) for one in asked]
        assert good.sealed is not None
        assert bad.is_refused

    assert {who for who, *_ in await notes(cluster)} == {"w"}


@pytest.mark.parametrize("auth", ['"{{ db }}"', '"{{ workload.db }}"', "{credential: warehouse}"])
async def test_an_alias_may_come_from_the_workload(cluster, bus, auth):
    held = await out(cluster, auth)
    mine = sealed(bus, "w")
    await claimed(mine, held, "w")

    assert (await Control(mine, "w").credential("warehouse", held.execution_id)).data
    assert "does not name it" in await refusal(mine, "other", held)


async def test_an_alias_of_the_payload_replaces_the_one_of_the_workload(cluster, bus):
    held = await out(cluster, '"{{ workload.db }}"', {"db": "other"})
    mine = sealed(bus, "w")
    await claimed(mine, held, "w")

    assert (await Control(mine, "w").credential("other", held.execution_id)).data
    assert "does not name it" in await refusal(mine, "warehouse", held)


async def test_a_credential_of_another_tenant_is_refused(cluster, bus):
    for alias in ("theirs", "of-unit"):
        held = await out(cluster, alias)
        mine = sealed(bus, "w")
        await claimed(mine, held, "w")
        assert "another" in await refusal(mine, alias, held)

    labels = {"tenant": "acme", "organization": "unit"}
    for alias in ("theirs", "of-unit"):
        held = await out(cluster, alias, labels=labels)
        await claimed(mine, held, "w")
        assert (await Control(mine, "w").credential(alias, held.execution_id)).data


async def test_a_mark_opens_what_it_proves_and_one_that_was_made_up_does_not(cluster, bus):
    secrets = Secrets()
    secrets.add({"warehouse.token": SECRET + "warehouse"})
    real = secrets.hide(f"came as {SECRET}warehouse")
    forged = "⟦secret:other.token:plain:0123456789abcdef⟧"
    workflow = NAMED.replace("auth: AUTH", 'params: {a: "{{ workload.note }}"}')
    mine = sealed(bus, "w")

    for note, alias, is_proved in ((real, "warehouse", True), (forged, "other", False)):
        held = await out(cluster, payload={"note": note}, workflow=workflow)
        await claimed(mine, held, "w")
        if is_proved:
            assert (await Control(mine, "w").credential(alias, held.execution_id)).data
        else:
            assert "does not name it" in await refusal(mine, alias, held)


# -- the internal token ----------------------------------------------------------------------


async def test_the_internal_token_goes_to_system_playbooks_and_each_time_is_noted(cluster, bus):
    mine = sealed(bus, "w", pools=("system", "shared"))
    system = await out(cluster, INTERNAL_CREDENTIAL, path="system")
    users = await out(cluster, INTERNAL_CREDENTIAL)
    for held in (system, users):
        assert (await claimed(mine, held, "w")).outcome == "claimed"

    found = await Control(mine, "w").credential(INTERNAL_CREDENTIAL, system.execution_id)

    assert found.data == {"token": "the internal token"}
    assert "system/*" in await refusal(mine, INTERNAL_CREDENTIAL, users)
    assert await notes(cluster) == [
        ("w", INTERNAL_CREDENTIAL, users.execution_id, "refused"),
        ("w", INTERNAL_CREDENTIAL, system.execution_id, "ok"),
    ]


async def test_no_pool_of_a_caller_moves_a_system_playbook(cluster, bus):
    held = await out(cluster, INTERNAL_CREDENTIAL, path="system")
    server = held.server
    planned = await server.plans.find("system/named")
    moved = await server.start(planned, {}, pool="shared")
    async with asyncio.timeout(20):
        while moved not in server.owner.outstanding:
            await asyncio.sleep(0.005)
    moved = Held(moved, server)

    assert moved.row.pool == "system"
    assert (await claimed(sealed(bus, "w"), moved, "w")).outcome == "failed"


# -- a token of the scope worker --------------------------------------------------------------


async def workers_token(cluster, **given):
    """Return a stored token of the scope ``worker``, and its row."""
    text, row = new_token(
        "a worker's", WORKER_SCOPE, 1, workers=Root(ENTRY_TEXT).worker_token, **given
    )
    await cluster.store.put_token(row)
    return text, row


async def test_a_stored_token_lets_a_worker_in_under_names_of_its_own(cluster, bus):
    held = await out(cluster)
    text, row = await workers_token(cluster)
    name = f"{row.token_id}.w"

    with pytest.raises(BusError, match="its name must begin with"):
        await claimed(sealed(bus, "w", text), held, "w")
    mine = sealed(bus, name, text)
    assert (await claimed(mine, held, name)).outcome == "claimed"
    assert (await Control(mine, name).credential("warehouse", held.execution_id)).data


async def test_who_reads_the_database_cannot_enter_with_what_is_in_it(cluster, bus):
    await cluster.server()
    _, row = await workers_token(cluster)
    for text in (row.digest, f"arcbook_{row.token_id}_{row.digest}", Root(row.digest).built_in):
        with pytest.raises(BusError, match="do not know its token"):
            await sealed(bus, f"{row.token_id}.w", text).request("server", b"=", 5.0)


async def test_a_token_that_was_removed_ends_its_sessions(cluster, bus, monkeypatch):
    monkeypatch.setattr("arcbook.server.guard.CHECK_US", 0)
    monkeypatch.setattr("arcbook.server.http.token_book._FRESH_US", 0)
    held = await out(cluster)
    text, row = await workers_token(cluster)
    name = f"{row.token_id}.w"
    mine = sealed(bus, name, text)
    await claimed(mine, held, name)
    await cluster.store.delete_token(row.token_id)

    with pytest.raises(BusError, match="do not know its token"):
        await claimed(mine, held, name)


async def test_a_token_of_another_scope_lets_no_worker_in(cluster, bus):
    await cluster.server()
    root = Root(ENTRY_TEXT)
    text, row = new_token("ops", WORKER_SCOPE, 1, workers=root.worker_token)
    await cluster.store.put_token(msgspec.structs.replace(row, scope="admin"))

    with pytest.raises(BusError, match="do not know its token"):
        await sealed(bus, f"{row.token_id}.w", text).request("server", b"=", 5.0)


async def test_a_worker_of_a_tenant_gets_commands_of_that_tenant_alone(cluster, bus):
    text, row = await workers_token(cluster, tenant="acme")
    name = f"{row.token_id}.w"
    mine = sealed(bus, name, text)
    ours, theirs = await out(cluster), await out(cluster, labels={"tenant": "acme"})

    assert (await claimed(mine, ours, name)).outcome == "failed"
    assert (await claimed(mine, theirs, name)).outcome == "claimed"


async def test_a_worker_of_a_tenant_reads_and_writes_nothing_of_others(cluster, bus):
    text, row = await workers_token(cluster, tenant="acme")
    name = f"{row.token_id}.w"
    control = Control(sealed(bus, name, text), name)
    ours, theirs = await out(cluster), await out(cluster, labels={"tenant": "acme"})
    await cluster.blobs.put(f"{ours.execution_id}/one/1", b"others'")
    await cluster.blobs.put(f"{theirs.execution_id}/one/1", b"its own")
    subject = owner_subject(ours.server.server_id)
    loop = make_ref(ours.execution_id, "one", "1")

    for key in (f"{ours.execution_id}/one/1", "77/one/1", "x", "", "9" * 30, "../1"):
        for request in (BlobGet(key=key), BlobPut(key=key), LoopRequest(ref=loop)):
            with pytest.raises(ControlError, match="refused"):
                await control.exchange(subject, request, BlobPart, b"written")
    _, found = await control.exchange(
        subject, BlobGet(key=f"{theirs.execution_id}/one/1"), BlobPart
    )

    assert found == b"its own"
    assert await cluster.blobs.get(f"{ours.execution_id}/one/1") == b"others'"


async def test_a_request_stands_in_no_blob_but_one_of_the_wire(cluster, bus):
    held = await out(cluster)
    request = msgspec.json.encode({"ask": "playbook", "catalog_id": 1})
    await cluster.blobs.put("1/one/1", b"=" + request)
    await cluster.blobs.put("wire/1", b"=" + request)
    subject = owner_subject(held.server.server_id)

    answers = [
        await sealed(bus, "w").request(subject, ELSEWHERE + key, 5.0)
        for key in (b"1/one/1", b"wire/1")
    ]

    assert [answer[:1] for answer in answers] == [FAULT, PLAIN]


async def test_a_stored_token_gets_no_system_playbook_and_not_the_internal_token(cluster, bus):
    text, row = await workers_token(cluster)
    name = f"{row.token_id}.w"
    held = await out(cluster, INTERNAL_CREDENTIAL, path="system")
    with pytest.raises(BusError, match="the servers' own token"):
        await claimed(sealed(bus, name, text, ("system",)), held, name)
    mine = sealed(bus, name, text)
    assert (await claimed(mine, held, name)).outcome == "failed"

    # Even where pools are not told apart, and it holds a command of one.
    held.server.owner.rules = msgspec.structs.replace(held.server.owner.rules, routing=False)
    held = await out(cluster, INTERNAL_CREDENTIAL, path="system")
    assert (await claimed(mine, held, name)).outcome == "claimed"
    assert "the servers' own token" in await refusal(mine, INTERNAL_CREDENTIAL, held, name)


# -- which credentials a document names ---------------------------------------------------------


def aliases(workflow):
    from arcbook.dsl.load import load_playbook

    loaded = load_playbook(playbook("named", workflow), Registry())
    assert loaded.playbook is not None, loaded.errors
    Plan(loaded.playbook, Registry())
    return aliases_of(loaded.playbook)


STEP = "workflow:\n  - step: one\n    tool: {kind: http, url: x, %s}\n"


@pytest.mark.parametrize(
    ("workflow", "written", "from_data", "computed"),
    [
        (STEP % "auth: db", {"db"}, False, False),
        (STEP % "auth: {credential: db, type: bearer}", {"db", "bearer"}, False, False),
        (STEP % "params: {auth: db}", {"db"}, False, False),
        (STEP % "params: {name: db}", set(), False, False),
        (STEP % 'auth: "{{ db }}"', set(), True, False),
        (STEP % 'auth: "{{ workload.db }}"', set(), True, False),
        (STEP % "auth: \"{{ 'a' ~ workload.db }}\"", set(), False, True),
        (STEP % 'params: {x: "{{ keychain.db.token }}"}', {"db"}, False, False),
        (STEP % "params: {x: \"{{ keychain['a-b'].token }}\"}", {"a-b"}, False, False),
        (STEP % 'params: {x: "{{ keychain[workload.n].token }}"}', set(), False, True),
        ("keychain: [{name: a, credential: b}]\n" + STEP % "params: {}", {"a", "b"}, False, False),
    ],
)
def test_what_a_document_names(workflow, written, from_data, computed):
    found = aliases(workflow)

    assert (set(found.written), found.from_data, found.computed) == (written, from_data, computed)
