"""Whoever is on the bus can do nothing: not with its address, not with what was recorded.

Each attack runs on every bus: in memory, on NATS, on PostgreSQL.
"""

from __future__ import annotations

import asyncio
import os
import uuid

import msgspec
import pytest

from arcbook.bus.api import BusError, Message
from arcbook.bus.memory import Exchange, MemoryBus
from arcbook.bus.nats import NatsAccess, NatsBus
from arcbook.bus.postgres import PostgresBus
from arcbook.engine.inputs import Cancel, Checkpointed, Stopped
from arcbook.secrets.delivery import AnswerKey
from arcbook.secrets.envelope import SealError
from arcbook.secrets.sessions import (
    Cipher,
    Granted,
    Handshake,
    Root,
    Ticket,
    Welcome,
    WorkerToken,
    encoded,
)
from arcbook.shards import shard_of
from arcbook.store.api import WorkerRow
from arcbook.testing.cluster import ENTRY_TEXT, Cluster
from arcbook.wire.protocol import (
    ANY_SERVER,
    PROTOCOL,
    BlobGet,
    BlobPut,
    CredentialRequest,
    Done,
    GiveBackRequest,
    HeartbeatAnswer,
    HeartbeatRequest,
    InputRequest,
    RegisterRequest,
    ReportRequest,
    StopNotice,
    Stopping,
    control_subject,
    owner_subject,
    pack,
    shard_subject,
)
from arcbook.wire.protocol import Held as HeldCommand
from arcbook.wire.sealing import GREETING, SEALED, UNKNOWN, Session, Window, framed
from arcbook.worker.control import Control, ControlError

from .bus_attacks import GATED, Gate, Held, Tap, claimed, reported, sealed, with_gate

SERVICES = pytest.mark.services


@pytest.fixture(
    params=[
        "memory",
        pytest.param("nats", marks=SERVICES),
        pytest.param("postgres", marks=SERVICES),
    ]
)
def open_bus(request):
    """Return what connects to the bus: all that an attacker has."""
    if request.param == "memory":
        exchange = Exchange()
        return lambda: MemoryBus(exchange)
    if request.param == "nats":
        url = request.getfixturevalue("nats_server").url
        base = f"t{uuid.uuid4().hex[:8]}"
        return lambda: NatsBus(url, base, NatsAccess())
    dsn = request.getfixturevalue("postgres_server").dsn(request.getfixturevalue("database"))
    return lambda: PostgresBus(dsn)


@pytest.fixture
async def cluster(tmp_path, open_bus):
    async with Cluster(tmp_path, open_bus=open_bus, lease_seconds=30.0) as found:
        yield found


@pytest.fixture
async def attacker(open_bus):
    """A connection with the bus's address alone."""
    async with open_bus() as bus:
        yield bus


@pytest.fixture
async def gate():
    return Gate()


@pytest.fixture
async def held(cluster, gate):
    """A command that ``worker-1`` performs."""
    server = (await cluster.server()).server
    server.registry.add("gate", gate)
    await cluster.worker(registry=with_gate(gate))
    execution_id = await cluster.start(GATED)
    async with asyncio.timeout(20):
        await gate.entered.wait()
    return Held(execution_id, server)


async def goes_on(cluster, gate, held):
    """See that an execution was not touched: its holder ends it, once."""
    gate.open.set()
    state = await cluster.ended(held.execution_id)
    assert str(state.status) == "COMPLETED"
    assert gate.calls == 1


async def said(bus, subject, body):
    """Return what the bus answers to somebody who just says something."""
    return await bus.request(subject, body, 5.0)


# -- with the address alone ---------------------------------------------------------------


def everything(held):
    """Return every request that there is, as an attacker would write it."""
    row = held.row
    command = HeldCommand(held.execution_id, row.command_id, row.generation)
    cancel = Cancel(reason="the attacker says so")
    worker = WorkerRow(worker_id="worker-1", pools=["shared"], capacity=1)
    return [
        CredentialRequest(
            alias="warehouse", execution_id=0, worker="root", public=AnswerKey().public
        ),
        ReportRequest(worker="worker-1", reports=[(held.execution_id, held.report())]),
        GiveBackRequest(worker="worker-1", held=[command]),
        HeartbeatRequest(worker="worker-1", held=[command]),
        InputRequest(execution_id=held.execution_id, given=cancel),
        InputRequest(execution_id=held.execution_id, given=cancel, forwarded=True),
        RegisterRequest(row=worker, leaving=True, protocol=PROTOCOL),
        BlobGet(key="1/one/1"),
        BlobPut(key="1/one/1"),
    ]


async def test_whoever_has_the_address_alone_is_refused_everything(cluster, attacker, gate, held):
    subjects = [
        ANY_SERVER,
        owner_subject(held.server.server_id),
        shard_subject(shard_of(held.execution_id)),
    ]

    answers = [
        await said(attacker, subject, pack(request))
        for subject in subjects
        for request in everything(held)
    ]

    assert {answer[:1] for answer in answers} == {UNKNOWN}
    await goes_on(cluster, gate, held)


@pytest.mark.parametrize("worker", ["worker-1", "another"])
async def test_a_command_of_anothers_is_not_ended_without_a_token(
    cluster, attacker, gate, held, worker
):
    request = ReportRequest(worker=worker, reports=[(held.execution_id, held.report())])

    answer = await said(attacker, owner_subject(held.server.server_id), pack(request))

    assert answer[:1] == UNKNOWN
    await goes_on(cluster, gate, held)


async def test_frames_that_are_garbage_are_refused(cluster, attacker, gate, held):
    head = SEALED + b"\x00\x05" + bytes(16)
    bodies = [
        b"",
        b"~",
        SEALED * 50,
        SEALED + b"\xff\xff" + bytes(64),
        head,
        head + b"short",
        head + b"[1,2]" + bytes(64),
        head + os.urandom(200),
        GREETING,
        GREETING + b"{}",
        GREETING + b"[" * 5000,
        GREETING + os.urandom(300),
        GREETING + b" " * 40_000,
        bytes(100_000),
        *(os.urandom(n) for n in (1, 19, 20, 500)),
    ]

    answers = [await said(attacker, ANY_SERVER, body) for body in bodies]

    assert {answer[:1] for answer in answers} <= {UNKNOWN, GREETING}
    for answer in answers:
        if answer[:1] == GREETING:
            assert msgspec.json.decode(answer[1:])["refused"]
    await goes_on(cluster, gate, held)


async def test_an_entry_without_the_token_is_refused(cluster, attacker):
    await cluster.server()
    for text in ("", "guess", "arcbook_worker_guess", Root("guess").built_in):
        with pytest.raises(BusError, match="do not know its token"):
            await sealed(attacker, "spy", text).request(ANY_SERVER, b"=", 5.0)


async def test_an_entry_in_which_something_was_changed_is_refused(cluster, attacker):
    await cluster.server()
    greeting = Handshake(WorkerToken(ENTRY_TEXT), "w", ["shared"]).greeting
    public = AnswerKey().public
    for changes in (
        {"worker": "worker-1"},
        {"pools": ["system"]},
        {"public": public},
        {"token_id": "worker"},
        {"salt": bytes(12)},
        {"proof": b""},
    ):
        changed = msgspec.structs.replace(greeting, **changes)
        answer = await said(attacker, ANY_SERVER, GREETING + msgspec.json.encode(changed))
        assert msgspec.json.decode(answer[1:], type=Welcome).refused, changes


async def test_a_ticket_that_somebody_made_opens_nothing(cluster, attacker, gate, held):
    for kind in ("server", "worker"):
        ticket = encoded(Ticket(kind, "worker-1", "", b"", "", ["shared"], bytes(16)))
        session = Session(ticket, bytes(32))
        subject = owner_subject(held.server.server_id)
        request = ReportRequest(worker="worker-1", reports=[(held.execution_id, held.report())])
        answer = await said(attacker, subject, session.seal(subject, pack(request)))
        assert answer[:1] == UNKNOWN
    await goes_on(cluster, gate, held)


# -- with what was recorded -----------------------------------------------------------------


async def test_an_entry_that_is_said_again_opens_nothing(cluster, attacker):
    await cluster.server()
    tap = Tap(attacker)
    await Control(sealed(tap, "w"), "w").playbook(1)
    (greeting,) = [body for _, body in tap.sent if body[:1] == GREETING]

    answer = await said(attacker, ANY_SERVER, greeting)

    spy = Handshake(WorkerToken(ENTRY_TEXT + "?"), "w", ["shared"])
    with pytest.raises(SealError):
        spy.granted(msgspec.json.decode(answer[1:], type=Welcome))


async def test_a_request_that_is_said_again_is_not_carried_out(cluster, attacker, gate, held):
    tap = Tap(attacker)
    bus = sealed(tap, "another")
    await claimed(bus, held, "another")
    given = BlobPut(key="mine")
    await bus.request(ANY_SERVER, pack(given, b"first"), 5.0)
    recorded = [(subject, body) for subject, body in tap.sent if body[:1] == SEALED]
    await bus.request(ANY_SERVER, pack(given, b"second"), 5.0)

    for subject, body in recorded * 3:
        await said(attacker, subject, body)

    assert await cluster.blobs.get("mine") == b"second"
    await goes_on(cluster, gate, held)


async def test_a_request_that_is_kept_back_and_said_late_is_carried_out_once(cluster, attacker):
    """Reordering is allowed, repeating is not: a request may be overtaken by others."""
    server = (await cluster.server()).server
    bus = sealed(Tap(attacker), "w")
    await Control(bus, "w").playbook(1)
    session = bus._asker.session
    subject = owner_subject(server.server_id)
    frames = [session.seal(subject, pack(BlobPut(key=f"k{n}"), b"x")) for n in range(6)]

    opened = [
        session.open(frames[n], await said(attacker, subject, frames[n]))
        for n in (5, 0, 3, 1, 4, 2, 0, 5)
    ]

    assert [isinstance(found, bytes) for found in opened] == [True] * 6 + [False] * 2


async def test_a_request_of_another_server_is_not_carried_out(cluster, attacker):
    one, other = [(await cluster.server()).server for _ in range(2)]
    tap = Tap(attacker)
    bus = sealed(tap, "w")
    for server in (one, other):
        await bus.request(owner_subject(server.server_id), pack(BlobPut(key="k"), b"1"), 5.0)
    session = bus._asker.session
    frame = session.seal(owner_subject(one.server_id), pack(BlobPut(key="k"), b"2"))

    answer = await said(attacker, owner_subject(other.server_id), frame)

    assert answer[:1] == UNKNOWN
    assert await cluster.blobs.get("k") == b"1"


async def test_a_request_for_any_server_is_carried_out_by_one(cluster, attacker):
    servers = [(await cluster.server()).server for _ in range(2)]
    bus = sealed(Tap(attacker), "w")
    await bus.request(owner_subject(servers[0].server_id), pack(BlobPut(key="k"), b"1"), 5.0)
    session = bus._asker.session
    frame = session.seal(ANY_SERVER, pack(BlobPut(key="k"), b"2"))

    answers = [session.open(frame, await said(attacker, ANY_SERVER, frame)) for _ in range(6)]

    assert not [found for found in answers if isinstance(found, bytes)]
    assert await cluster.blobs.get("k") == b"1"


async def test_what_a_server_took_before_its_restart_is_not_taken_after_it(cluster, attacker):
    running = await cluster.server()
    tap = Tap(attacker)
    bus = sealed(tap, "w")
    await bus.request(ANY_SERVER, pack(BlobPut(key="k"), b"1"), 5.0)
    await bus.request(ANY_SERVER, pack(BlobPut(key="k"), b"2"), 5.0)
    recorded = [(subject, body) for subject, body in tap.sent if body[:1] == SEALED]
    await running.stop()
    cluster.servers.remove(running)
    again = (await cluster.server()).server
    await cluster.blobs.put("k", b"3")

    for _, body in recorded:
        for subject in (ANY_SERVER, owner_subject(again.server_id)):
            await said(attacker, subject, body)

    assert await cluster.blobs.get("k") == b"3"


async def test_a_session_survives_the_restart_of_every_server(cluster, attacker):
    running = await cluster.server()
    tap = Tap(attacker)
    bus = sealed(tap, "w")
    await bus.request(ANY_SERVER, pack(BlobPut(key="k"), b"1"), 5.0)
    await running.stop()
    cluster.servers.remove(running)
    await cluster.server()

    await bus.request(ANY_SERVER, pack(BlobPut(key="k"), b"2"), 5.0)

    assert await cluster.blobs.get("k") == b"2"
    assert len([body for _, body in tap.sent if body[:1] == GREETING]) == 1


@pytest.mark.parametrize("place", [0, 1, 3, 11, 18, 40, -1, -20])
async def test_a_request_in_which_a_bit_was_changed_is_refused(cluster, attacker, place):
    server = (await cluster.server()).server
    bus = sealed(Tap(attacker), "w")
    subject = owner_subject(server.server_id)
    await bus.request(subject, pack(BlobPut(key="k"), b"1"), 5.0)
    frame = bytearray(bus._asker.session.seal(subject, pack(BlobPut(key="k"), b"2")))
    frame[place] ^= 1

    answer = await said(attacker, subject, bytes(frame))

    assert answer[:1] == UNKNOWN
    assert await cluster.blobs.get("k") == b"1"


@pytest.mark.parametrize("size", [0, 1, 10, 19, 30, 60, 100, -1])
async def test_a_request_that_is_cut_off_is_refused(cluster, attacker, size):
    server = (await cluster.server()).server
    bus = sealed(Tap(attacker), "w")
    subject = owner_subject(server.server_id)
    await bus.request(subject, pack(BlobPut(key="k"), b"1"), 5.0)
    frame = bus._asker.session.seal(subject, pack(BlobPut(key="k"), b"2"))

    answer = await said(attacker, subject, frame[:size])

    assert answer[:1] == UNKNOWN
    assert await cluster.blobs.get("k") == b"1"


# -- as a server that is none ---------------------------------------------------------------


async def test_an_answer_that_somebody_else_writes_is_not_believed(cluster, attacker):
    await cluster.server()
    tap = Tap(attacker)
    bus = sealed(tap, "w")
    await Control(bus, "w").playbook(1)
    genuine = tap.answers[-1]
    for forged in (
        b"",
        b"=" + msgspec.json.encode({"accepted": [True]}),
        SEALED + os.urandom(60),
        genuine,
        genuine[:-1] + bytes([genuine[-1] ^ 1]),
    ):
        tap.forge = lambda _, forged=forged: forged
        with pytest.raises(BusError, match="does not come from a server of this cluster"):
            await bus.request(ANY_SERVER, pack(BlobGet(key="k")), 5.0)


async def test_a_refusal_that_somebody_else_writes_costs_an_entry_and_no_more(cluster, attacker):
    await cluster.server()
    tap = Tap(attacker)
    bus = sealed(tap, "w")
    await Control(bus, "w").playbook(1)
    tap.forge = lambda answer: UNKNOWN + b"go away" if answer[:1] == SEALED else answer

    with pytest.raises(BusError, match="does not accept the request"):
        await bus.request(ANY_SERVER, pack(BlobGet(key="k")), 5.0)
    tap.forge = None

    assert await Control(bus, "w").playbook(1) is None


async def test_a_welcome_that_somebody_else_writes_is_not_believed(attacker):
    private = Root("the attacker's own")

    async def welcome(body):
        greeting = Handshake(WorkerToken("x"), "w", ["shared"]).greeting
        real = msgspec.json.decode(body[1:])
        forged = msgspec.structs.replace(greeting, public=msgspec.convert(real["public"], bytes))
        return GREETING + msgspec.json.encode(private.grant(forged, ""))

    await attacker.serve(ANY_SERVER, welcome)

    with pytest.raises(BusError, match="does not know this token"):
        await sealed(attacker, "w").request(ANY_SERVER, b"=", 5.0)


async def test_who_serves_as_a_server_reads_nothing_of_a_request(attacker):
    heard = []

    async def listen(body):
        heard.append(body)
        return b""

    await attacker.serve("owner.evil", listen)
    ticket = encoded(Ticket("worker", "w", "", b"", "", ["shared"], bytes(16)))
    bus = sealed(attacker, "w")
    bus._asker.session = Session(ticket, os.urandom(32))

    with pytest.raises(BusError):
        await bus.request("owner.evil", pack(BlobPut(key="k"), b"s3cret"), 5.0)

    assert heard
    assert b"s3cret" not in heard[0]


async def test_a_worker_is_not_stopped_by_who_is_no_server(cluster, attacker, gate, held):
    row = held.row
    stopping = Stopping(row.command_id, row.generation, row.attempt)
    notice = msgspec.json.encode(StopNotice(commands=[stopping]))
    subject = control_subject("worker-1")
    for body in (
        notice,
        Cipher(bytes(32)).seal(notice, subject.encode()),
        Cipher(Root("guess").notices_key("worker-1")).seal(notice, subject.encode()),
        os.urandom(100),
        b"",
    ):
        await attacker.tell(subject, body)
    await Control(sealed(attacker, "last"), "last").playbook(1)  # what was told has come

    await goes_on(cluster, gate, held)


async def test_messages_that_somebody_else_publishes_run_nothing(cluster, attacker, gate, held):
    row = held.row
    bodies = [
        b"",
        b"garbage",
        os.urandom(500),
        msgspec.json.encode(held.notice),
        *(
            msgspec.json.encode(msgspec.structs.replace(held.notice, **changes))
            for changes in (
                {"attempt": 9},
                {"generation": 9},
                {"command_id": "1:none:1"},
                {"execution_id": 1},
                {"server": "the-attacker"},
                {"server": "../../x"},
            )
        ),
    ]
    messages = [
        Message("shared", held.execution_id, f"forged-{n}", body) for n, body in enumerate(bodies)
    ]

    await attacker.publish(messages)
    async with asyncio.timeout(30):
        while (await attacker.waiting(["shared"]))["shared"]:
            await asyncio.sleep(0.02)

    assert held.row == row
    await goes_on(cluster, gate, held)


async def test_an_impostor_among_the_servers_holds_nobody_up(cluster, attacker, open_bus):
    await cluster.server()

    async def impostor(_body):
        return b"=" + msgspec.json.encode({"entry": {"path": "evil"}})

    async with open_bus() as evil:
        await evil.serve(ANY_SERVER, impostor)
        control = Control(sealed(attacker, "w"), "w")
        async with asyncio.timeout(20):
            found = [await control.playbook(1) for _ in range(10)]

    assert found == [None] * 10


async def test_a_session_that_has_had_its_requests_is_followed_by_another(
    cluster, attacker, monkeypatch
):
    monkeypatch.setattr("arcbook.wire.sealing.REQUESTS_MAX", 5)
    await cluster.server()
    tap = Tap(attacker)
    control = Control(sealed(tap, "w"), "w")

    assert [await control.playbook(1) for _ in range(12)] == [None] * 12

    assert len([body for _, body in tap.sent if body[:1] == GREETING]) == 3


# -- with a token of a worker ---------------------------------------------------------------


async def test_a_worker_does_not_end_a_command_that_another_one_holds(
    cluster, attacker, gate, held
):
    bus = sealed(attacker, "another")
    row = held.row
    stopped = Stopped(command_id=row.command_id)
    saved = Checkpointed(
        command_id=row.command_id,
        generation=row.generation,
        attempt=row.attempt,
        state={},
        number=1,
    )

    for given in (held.report(), stopped, saved):
        assert await reported(bus, held, given, "another") == [False]

    await goes_on(cluster, gate, held)


@pytest.mark.parametrize("changes", [{"generation": 7}, {"attempt": 7}, {"command_id": "1:x:1"}])
async def test_a_report_of_another_delivery_changes_nothing(cluster, attacker, gate, held, changes):
    bus = sealed(attacker, "worker-1")

    assert await reported(bus, held, held.report(**changes), "worker-1") == [False]

    await goes_on(cluster, gate, held)


async def test_a_worker_speaks_in_no_other_name(cluster, attacker, gate, held):
    control = Control(sealed(attacker, "another"), "another")
    subject = owner_subject(held.server.server_id)
    row = held.row
    command = HeldCommand(held.execution_id, row.command_id, row.generation)
    report = held.report(worker="worker-1")
    for request in (
        ReportRequest(worker="worker-1", reports=[(held.execution_id, held.report())]),
        ReportRequest(worker="another", reports=[(held.execution_id, report)]),
        GiveBackRequest(worker="worker-1", held=[command]),
        HeartbeatRequest(worker="worker-1", held=[command]),
        HeartbeatRequest(worker="another", held=[command], forwarded=True),
        CredentialRequest(
            alias="a", execution_id=held.execution_id, worker="worker-1", public=bytes(32)
        ),
        RegisterRequest(row=WorkerRow(worker_id="worker-1", pools=["shared"], capacity=1)),
        RegisterRequest(row=WorkerRow(worker_id="another", pools=["system"], capacity=1)),
        InputRequest(execution_id=held.execution_id, given=Cancel(reason="no")),
    ):
        with pytest.raises(ControlError, match="refused: worker another"):
            await control.once(subject, request, Done)
    await goes_on(cluster, gate, held)


async def test_a_worker_gives_back_and_extends_its_own_commands_alone(
    cluster, attacker, gate, held
):
    control = Control(sealed(attacker, "another"), "another")
    subject = owner_subject(held.server.server_id)
    row = held.row
    command = HeldCommand(held.execution_id, row.command_id, row.generation)

    await control.once(subject, GiveBackRequest(worker="another", held=[command]), Done)
    beat = HeartbeatRequest(worker="another", held=[command])
    beaten = await control.once(subject, beat, HeartbeatAnswer)

    assert beaten.gone == [row.command_id]
    await goes_on(cluster, gate, held)


async def test_a_worker_of_another_pool_gets_no_command(cluster, attacker):
    server = (await cluster.server()).server
    held = Held(await cluster.start(GATED.replace("kind: gate", "kind: noop")), server)
    async with asyncio.timeout(20):
        while held.execution_id not in server.owner.outstanding:
            await asyncio.sleep(0.01)

    answer = await claimed(sealed(attacker, "gpu-1", pools=("gpu",)), held, "gpu-1")

    assert answer.outcome == "failed"
    assert (await claimed(sealed(attacker, "w"), held, "w")).outcome == "claimed"


# -- what all of it stands on ----------------------------------------------------------------


def test_a_window_takes_each_number_once_and_none_from_long_ago():
    window = Window()
    taken = [window.take(n) for n in (1, 2, 2, 5, 4, 3, 3, 5000, 4999, 903, 904, 905, 0, -1)]

    yes, no = True, False
    assert taken == [yes, yes, no, yes, yes, yes, no, yes, yes, no, no, yes, no, no]
    assert not window.take(2**24 + 1)


def test_nothing_of_a_token_or_a_key_can_be_printed():
    text = Root("the servers' own").worker_token("a1b2c3")
    for thing in (WorkerToken(text), Root(text), Cipher(bytes(32)), Session(b"[]", bytes(32))):
        assert text not in f"{thing!r} {thing}"


def test_a_token_of_a_worker_tells_nothing_of_the_servers_own():
    root = Root("the servers' own")
    one, two = root.worker_token("a1"), root.worker_token("a2")

    assert one.split("_", 2)[2] != two.split("_", 2)[2]
    assert Root(root.built_in).session_key(b"t") != root.session_key(b"t")


def test_what_is_no_frame_is_none():
    for body in (b"", b"~", b"=" + bytes(100), SEALED + b"\xff\xff" + bytes(3000)):
        assert framed(body) is None


def test_a_grant_is_for_the_greeting_that_asked_for_it():
    root, token = Root(ENTRY_TEXT), WorkerToken(ENTRY_TEXT)
    mine, other = (Handshake(token, "w", ["shared"]) for _ in range(2))
    welcome = root.grant(mine.greeting, "")

    assert isinstance(mine.granted(welcome), Granted)
    with pytest.raises(SealError):
        other.granted(welcome)
