"""What the subscription tool promises: on a real NATS, and on a server that answers as Pub/Sub does."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from arcbook.egress import Egress
from arcbook.outcome import ErrorKind
from arcbook.testing.tools import FakeContext, call_tool
from arcbook.tools.api import Credential, Effects
from arcbook.tools.confinement import Confinement
from arcbook.tools.subscription.tool import KIND, Subscription

NAME = "projects/shop/subscriptions/orders"


@pytest.fixture
async def tool() -> AsyncIterator[Subscription]:
    tool = Subscription()
    yield tool
    await tool.close()


# -- NATS -----------------------------------------------------------------------------


@pytest.fixture
async def js(nats_server) -> AsyncIterator[Any]:
    """JetStream with a stream ``JOBS`` and its durable consumer ``one``."""
    from nats.aio.client import Client
    from nats.js.api import ConsumerConfig

    client = Client()
    await client.connect(nats_server.url)
    js = client.jetstream()
    await js.add_stream(name="JOBS", subjects=["jobs.>"])
    await js.add_consumer("JOBS", ConsumerConfig(durable_name="one", ack_wait=30))
    yield js
    await js.delete_stream("JOBS")
    await client.close()


@pytest.fixture
def nats(tool, nats_server):
    async def call(**config):
        whole = {"source": "nats", "stream": "JOBS", "consumer": "one", "url": nats_server.url}
        return await call_tool(tool, "subscription", whole | config)

    return call


async def published(js: Any, *bodies: bytes) -> None:
    for body in bodies:
        await js.publish("jobs.new", body, headers={"Trace-Id": "t1"})


async def left(js: Any) -> tuple[int, int]:
    """Return how many messages wait to be settled, and how many were never delivered."""
    info = await js.consumer_info("JOBS", "one")
    return info.num_ack_pending, info.num_pending


@pytest.mark.services
async def test_messages_come_with_their_bodies_headers_and_places(nats, js):
    await published(js, b'{"n": 1}', b"text", b"\xff\xfe", b"12")

    outcome = await nats(batch=10, timeout_ms=2000)

    assert outcome.is_ok, outcome
    messages = outcome.data["messages"]
    assert [m["data"] for m in messages] == [{"n": 1}, "text", "//4=", 12]
    assert [m["id"] for m in messages] == ["1", "2", "3", "4"]
    assert messages[0]["headers"] == {"trace-id": "t1"}
    assert messages[0]["metadata"]["subject"] == "jobs.new"
    assert messages[0]["metadata"]["delivered"] == 1
    assert (outcome.data["count"], outcome.data["acked"]) == (4, 4)
    assert (outcome.data["status"], outcome.data["ack_mode"]) == ("success", "on_success")
    assert await left(js) == (0, 0)


@pytest.mark.services
@pytest.mark.parametrize("ack", ["manual", "defer", "none", False])
async def test_messages_that_are_left_can_be_settled_from_another_process(nats, js, tool, ack):
    await published(js, b"1", b"2", b"3")
    taken = (await nats(ack=ack, timeout_ms=2000)).data
    assert taken["acked"] == 0
    assert await left(js) == (3, 0)

    await tool.close()  # another connection settles them
    first, second, third = taken["ack_ids"]
    done = await nats(operation="ack", ack_ids=[first])
    again = await nats(operation="nak", ack_ids=[second])
    never = await nats(operation="term", ack_ids=[third])

    assert [o.data["count"] for o in (done, again, never)] == [1, 1, 1]
    back = (await nats(timeout_ms=2000)).data["messages"]
    assert [(m["id"], m["metadata"]["delivered"]) for m in back] == [("2", 2)]
    assert (await nats(timeout_ms=50)).data["count"] == 0


@pytest.mark.services
async def test_a_message_that_is_not_done_comes_again_after_its_delay(nats, js):
    await published(js, b"1")
    (ack_id,) = (await nats(ack="manual", timeout_ms=2000)).data["ack_ids"]
    await nats(operation="nack", ack_ids=[ack_id], nack_delay_ms=400)

    assert (await nats(timeout_ms=100)).data["count"] == 0
    assert (await nats(timeout_ms=5000)).data["count"] == 1


@pytest.mark.services
async def test_an_empty_poll_is_a_success(nats, js):
    outcome = await nats(timeout_ms=50)
    assert (outcome.is_ok, outcome.data["messages"], outcome.data["count"]) == (True, [], 0)


@pytest.mark.services
@pytest.mark.parametrize("config", [{"consumer": "none"}, {"stream": "NONE"}])
async def test_a_consumer_that_does_not_exist_is_not_found_and_not_made(nats, js, config):
    outcome = await nats(**config)
    assert outcome.error.kind is ErrorKind.NOT_FOUND
    assert [c.name for c in await js.consumers_info("JOBS")] == ["one"]


@pytest.mark.services
@pytest.mark.parametrize("ack_id", ["orders.secret", "$JS.API.STREAM.DELETE.JOBS", "", "$JS.ACK.>"])
async def test_what_is_no_ack_id_is_sent_nowhere(nats, js, ack_id):
    outcome = await nats(operation="ack", ack_ids=[ack_id])
    assert (outcome.error.kind, outcome.error.code) == (ErrorKind.CONFIG, "ACK_ID")
    assert await js.stream_info("JOBS")


@pytest.mark.services
async def test_an_id_of_no_consumer_is_left_out_of_what_was_settled(nats, js):
    outcome = await nats(operation="ack", ack_ids=["$JS.ACK.NONE.x.1.1.1.1.0"])
    assert (outcome.data["status"], outcome.data["ack_ids"]) == ("partial", [])


async def test_a_server_that_is_not_there_is_a_connection_error(tool):
    config = {"source": "nats", "stream": "S", "consumer": "c", "url": "nats://127.0.0.1:1"}
    outcome = await call_tool(tool, "subscription", config)
    assert outcome.error.kind is ErrorKind.CONNECTION
    assert outcome.error.retryable


# -- Pub/Sub --------------------------------------------------------------------------


class PubSub:
    """A subscription that answers as Pub/Sub's REST API does."""

    def __init__(self) -> None:
        self.waiting: list[dict[str, Any]] = []
        self.out: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, Any]] = []
        self.answer: web.Response | None = None
        self.tokens: list[str] = []
        self.url = ""

    def put(self, body: bytes, **attributes: str) -> None:
        number = str(len(self.waiting) + len(self.out) + 1)
        data = base64.b64encode(body).decode()
        self.waiting.append({"messageId": number, "data": data, "attributes": attributes})

    async def handle(self, request: web.Request) -> web.Response:
        self.tokens.append(request.headers.get("Authorization", ""))
        body = await request.json()
        method = request.path.rpartition(":")[2]
        self.asked.append((method, body))
        if self.answer is not None:
            return self.answer
        if request.path.partition("/v1/")[2].partition(":")[0] != NAME:
            error = {"error": {"code": 404, "message": "Resource not found (resource=none)."}}
            return web.json_response(error, status=404)
        if method == "pull":
            if not self.waiting:
                await asyncio.sleep(60)  # as the real one holds an empty pull open
            taken, self.waiting = (
                self.waiting[: body["maxMessages"]],
                self.waiting[body["maxMessages"] :],
            )
            self.out |= {f"ack-{m['messageId']}": m for m in taken}
            received = [{"ackId": f"ack-{m['messageId']}", "message": m} for m in taken]
            return web.json_response({"receivedMessages": received})
        for ack_id in body["ackIds"]:
            message = self.out.pop(ack_id)
            if method == "modifyAckDeadline":
                self.waiting.append(message)
        return web.json_response({})


@asynccontextmanager
async def served(pubsub: PubSub) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/{path:.*}", pubsub.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def pubsub() -> AsyncIterator[Any]:
    server = PubSub()
    async with served(server) as server.url:
        yield server


@pytest.fixture
def pull(tool, pubsub):
    async def call(**config):
        facts = {k: config.pop(k) for k in ("auth", "context", "timeout_seconds") if k in config}
        whole = {"source": "pubsub", "subscription": NAME, "endpoint": pubsub.url}
        return await call_tool(tool, "subscription", whole | config, **facts)

    return call


async def test_pubsub_messages_are_taken_and_acknowledged(pull, pubsub):
    pubsub.put(json.dumps({"n": 1}).encode(), Origin="web")
    pubsub.put(b"two")

    outcome = await pull(batch=5)

    first, second = outcome.data["messages"]
    assert (first["data"], first["attributes"], first["headers"]) == (
        {"n": 1},
        {"Origin": "web"},
        {"origin": "web"},
    )
    assert (second["id"], second["data"]) == ("2", "two")
    assert (outcome.data["count"], outcome.data["acked"], pubsub.out) == (2, 2, {})


async def test_pubsub_messages_are_settled_by_a_later_task(pull, pubsub):
    pubsub.put(b"1")
    pubsub.put(b"2")
    first, second = (await pull(ack="manual")).data["ack_ids"]

    await pull(operation="ack", ack_ids=[first])
    await pull(operation="nack", ack_ids=[second], nack_delay_ms=5000)

    assert pubsub.asked[-1] == (
        "modifyAckDeadline",
        {"ackIds": [second], "ackDeadlineSeconds": 5},
    )
    assert [m["messageId"] for m in pubsub.waiting] == ["2"]


async def test_an_empty_pubsub_poll_ends_when_its_time_is_over(pull):
    assert (await pull(timeout_ms=50)).data["count"] == 0


@pytest.mark.parametrize(
    "credential",
    [
        Credential(name="google", type="bearer", data={"token": "t0ken"}),
        Credential(name="google", type="pubsub", data={"project": "shop", "access_token": "t0ken"}),
    ],
    ids=lambda c: c.type,
)
async def test_the_token_of_the_credential_goes_along(pull, pubsub, credential):
    pubsub.put(b"1")
    outcome = await pull(auth=credential)
    assert outcome.is_ok
    assert set(pubsub.tokens) == {"Bearer t0ken"}


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (401, ErrorKind.AUTH, False),
        (403, ErrorKind.AUTH, False),
        (404, ErrorKind.NOT_FOUND, False),
        (400, ErrorKind.CLIENT_ERROR, False),
        (302, ErrorKind.CLIENT_ERROR, False),
        (429, ErrorKind.RATE_LIMIT, True),
        (503, ErrorKind.SERVER_ERROR, True),
    ],
)
async def test_a_refusal_of_pubsub_is_an_error_of_its_kind(pull, pubsub, status, kind, retryable):
    pubsub.answer = web.json_response({"error": {"message": "not so"}}, status=status)
    outcome = await pull()
    assert (outcome.error.kind, outcome.error.retryable) == (kind, retryable)
    assert "not so" in outcome.error.message


@pytest.mark.parametrize(
    "body", [b"<html>", b"[]", b'{"receivedMessages": [{"ackId": "1", "message": {"data": "%"}}]}']
)
async def test_an_answer_that_is_not_that_of_pubsub_is_said_to_be_none(pull, pubsub, body):
    pubsub.answer = web.Response(body=body, content_type="application/json")
    assert (await pull()).error.kind is ErrorKind.PARSE


async def test_pubsub_that_is_not_there_is_a_connection_error(pull):
    outcome = await pull(endpoint="http://127.0.0.1:1")
    assert outcome.error.kind is ErrorKind.CONNECTION
    assert outcome.error.retryable


async def test_the_egress_policy_holds_for_pubsub(pull):
    context = FakeContext(confinement=Confinement(egress=Egress(private=False)))
    outcome = await pull(context=context)
    assert (outcome.error.kind, outcome.error.code) == (ErrorKind.CONFIG, "EGRESS")


# -- both -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"source": "rabbit"}, "rabbit"),
        ({"source": "kafka"}, "aiokafka"),
        ({"source": "nats"}, "'stream'"),
        ({"source": "nats", "stream": "s", "consumer": "c"}, "no address"),
        ({"source": "pubsub"}, "projects/"),
        ({"source": "pubsub", "subscription": "orders"}, "projects/"),
        ({"source": "pubsub", "subscription": f"{NAME}:pull?x="}, "projects/"),
        ({"source": "pubsub", "subscription": NAME}, "no token"),
        ({"source": "pubsub", "subscription": NAME, "endpoint": "ftp://x"}, "endpoint"),
        ({"source": "nats", "operation": "peek"}, "peek"),
        ({"source": "nats", "operation": "ack"}, "'ack_ids'"),
        ({"source": "nats", "operation": "ack", "ack_ids": ["a"] * 1001}, "1000"),
        ({"source": "nats", "batch": 0}, "batch"),
        ({"source": "nats", "batch": 1001}, "1000"),
        ({"source": "nats", "timeout_ms": 60_000}, "5000"),
        ({"source": "nats", "ack": "later"}, "later"),
    ],
    ids=str,
)
async def test_a_wrong_parameter_is_named(tool, config, words):
    outcome = await call_tool(tool, "subscription", config)
    assert outcome.error.kind is ErrorKind.CONFIG
    assert words in outcome.error.message


@pytest.mark.parametrize(
    ("config", "effects"),
    [
        ({}, Effects.ONCE),
        ({"ack": "auto"}, Effects.ONCE),
        ({"ack": True}, Effects.ONCE),
        ({"ack": False}, Effects.IDEMPOTENT),
        ({"ack": "manual"}, Effects.IDEMPOTENT),
        ({"operation": "ack"}, Effects.IDEMPOTENT),
        ({"operation": "nack"}, Effects.IDEMPOTENT),
    ],
    ids=str,
)
def test_only_a_poll_that_acknowledges_is_not_repeated(config, effects):
    assert KIND.effects_for({"source": "nats", **config}, "key") is effects
