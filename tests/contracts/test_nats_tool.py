"""What the nats tool promises, against a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arcbook.egress import Egress
from arcbook.outcome import ErrorKind
from arcbook.testing.services import NatsServer, free_port
from arcbook.testing.tools import call_tool
from arcbook.tools import nats_pool
from arcbook.tools.api import Credential
from arcbook.tools.nats import KIND, Nats
from arcbook.tools.nats_keys import PAGE_KEYS, decode_key, encode_key
from arcbook.tools.nats_pool import Identity, NatsPool

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    with NatsServer(user="arc", password="book") as running:
        yield running


@pytest.fixture
async def nats() -> AsyncIterator[Nats]:
    tool = Nats()
    yield tool
    await tool.close()


@pytest.fixture
def auth(server) -> Credential:
    data = {"nats_url": server.url, "nats_user": "arc", "nats_password": "book"}
    return Credential(name="nats_credential", type="nats", data=data)


@pytest.fixture
def run(nats, auth):
    async def call(operation, **config):
        facts = {k: config.pop(k) for k in ("timeout_seconds", "idempotency_key") if k in config}
        return await call_tool(nats, "nats", {"operation": operation, **config}, auth=auth, **facts)

    return call


@pytest.fixture
async def stream(server) -> AsyncIterator[str]:
    """A stream of its own for each test: ``ORDERS``, taking ``orders.>``."""
    from nats.aio.client import Client

    client = Client()
    await client.connect(server.url, user="arc", password="book")
    js = client.jetstream()
    await js.add_stream(name="ORDERS", subjects=["orders.>"])
    yield "ORDERS"
    await js.delete_stream("ORDERS")
    await client.close()


# -- key-value ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": [1, None, True], "b": "ü"}, {"a": [1, None, True], "b": "ü"}),
        ([1, 2], [1, 2]),
        ("text", "text"),
        ("007", "007"),
        ("{not json", "{not json"),
        (5, "5"),
        (True, "true"),
        ("", ""),
    ],
)
async def test_a_value_comes_back_as_it_was_put_and_its_bucket_is_made(run, value, expected):
    put = await run("kv_put", bucket="values", key="k", value=value)
    got = await run("kv_get", bucket="values", key="k")

    assert put.is_ok, put.error
    assert put.data["status"] == "success"
    assert expected == got.data["value"]
    assert got.data["revision"] == put.data["revision"]
    assert got.data["operation"] == "kv_get"


async def test_what_is_not_there_is_not_found_and_no_error(run):
    no_bucket = await run("kv_get", bucket="absent", key="k")
    await run("kv_put", bucket="present", key="other", value="v")
    no_key = await run("kv_get", bucket="present", key="k")

    for outcome in (no_bucket, no_key):
        assert outcome.is_ok
        assert outcome.data["status"] == "not_found"
        assert outcome.data["value"] is None


@pytest.mark.parametrize("operation", ["kv_delete", "kv_purge"])
async def test_a_key_that_is_removed_is_not_found(run, operation):
    await run("kv_put", bucket="removed", key="k", value="v")
    first = await run(operation, bucket="removed", key="k")
    second = await run(operation, bucket="removed", key="k")
    got = await run("kv_get", bucket="removed", key="k")

    assert (first.data["status"], first.data["deleted"]) == ("success", True)
    assert (second.data["status"], second.data["deleted"]) == ("not_found", False)
    assert got.data["status"] == "not_found"


@pytest.mark.parametrize(
    "key", ["a/b/c", "a b", ".x.", "ключ", "a..b", "=q=x", "100%", "*", "a.>", 42]
)
async def test_any_text_is_a_key(run, key):
    put = await run("kv_put", bucket="keys", key=key, value={"key": key})
    got = await run("kv_get", bucket="keys", key=key)
    listed = await run("kv_keys", bucket="keys")

    assert put.is_ok, put.error
    assert got.data["value"] == {"key": key}
    assert str(key) in listed.data["keys"]


@given(st.text(min_size=1))
def test_keys_are_written_reversibly(key):
    assert key == decode_key(encode_key(key))


@given(st.text(min_size=1), st.text(min_size=1))
def test_two_keys_are_never_written_alike(first, second):
    assert (first == second) == (encode_key(first) == encode_key(second))


async def test_keys_are_listed_by_pattern(run):
    for key in ("user.1", "user.2", "group.1"):
        await run("kv_put", bucket="listed", key=key, value="v")
    users = await run("kv_keys", bucket="listed", pattern="user.*")
    everything = await run("kv_keys", bucket="listed", pattern=">")
    none = await run("kv_keys", bucket="nothing_there")

    assert users.data["keys"] == ["user.1", "user.2"]
    assert everything.data["count"] == 3
    assert (none.data["status"], none.data["keys"]) == ("not_found", [])


async def test_keys_of_many_pages_are_listed_without_those_that_were_removed(run):
    keys = [f"key.{number}" for number in range(PAGE_KEYS + 20)]
    for key in keys:
        await run("kv_put", bucket="pages", key=key, value="v")
    for operation, key in (("kv_delete", keys[0]), ("kv_purge", keys[-1])):
        await run(operation, bucket="pages", key=key)
    listed = await run("kv_keys", bucket="pages")

    assert listed.data["keys"] == sorted(keys[1:-1])


async def test_a_bucket_is_listed_that_lost_all_its_keys(run):
    await run("kv_put", bucket="emptied", key="k", value="v")
    await run("kv_delete", bucket="emptied", key="k")
    listed = await run("kv_keys", bucket="emptied")

    assert (listed.data["status"], listed.data["keys"]) == ("success", [])


async def test_a_bucket_is_made_with_its_time_to_live(run):
    await run("kv_put", bucket="short", key="k", value="v", ttl="10m")
    info = await run("js_stream_info", stream="KV_short")
    bad = await run("kv_put", bucket="shorter", key="k", value="v", ttl="soon")

    assert info.is_ok
    assert bad.error.kind == ErrorKind.CONFIG
    assert "soon" in bad.error.message


# -- objects --------------------------------------------------------------------------


async def test_an_object_is_put_read_listed_and_deleted(run):
    put = await run("object_put", bucket="files", object="a b.json", data={"x": 1}, desc="one")
    got = await run("object_get", bucket="files", object="a b.json")
    listed = await run("object_list", bucket="files", pattern="a*")
    info = await run("object_info", bucket="files", object="a b.json")
    deleted = await run("object_delete", bucket="files", object="a b.json")
    gone = await run("object_get", bucket="files", object="a b.json")

    assert put.is_ok, put.error
    assert got.data["data"] == {"x": 1}
    assert listed.data["objects"][0]["name"] == "a b.json"
    assert info.data["description"] == "one"
    assert deleted.data["deleted"]
    assert (gone.data["status"], gone.data["data"]) == ("not_found", None)


async def test_bytes_travel_as_base64(run):
    await run("object_put", bucket="files", name="raw", data="/wD+", encoding="base64")
    got = await run("object_get", bucket="files", name="raw")

    assert (got.data["data"], got.data["encoding"]) == ("/wD+", "base64")


async def test_a_label_that_nobody_wrote_is_no_name_of_an_object(run):
    outcome = await run("object_get", bucket="files", name="step_task")

    assert outcome.error.kind == ErrorKind.CONFIG
    assert "'object'" in outcome.error.message


# -- streams --------------------------------------------------------------------------


async def test_messages_are_published_once_and_consumed(run, stream):
    for number in (1, 2, 2):
        await run(
            "js_publish", subject="orders.new", data={"n": number}, idempotency_key=f"k{number}"
        )
    taken = await run("js_consume", stream=stream, consumer="worker", timeout_ms=200)
    again = await run("js_consume", stream=stream, consumer="worker", timeout_ms=50)

    assert [m["data"]["n"] for m in taken.data["messages"]] == [1, 2]
    assert taken.data["acked"] == 2
    assert taken.data["messages"][0]["subject"] == "orders.new"
    assert again.data["count"] == 0


async def test_a_message_is_read_by_number_by_subject_and_as_the_last(run, stream):
    for name in ("a", "b"):
        await run(
            "js_publish",
            subject=f"orders.{name}",
            data=name,
            headers={"who": 1},
            idempotency_key=name,
        )
    first = await run("js_get_msg", stream=stream, seq=1)
    by_subject = await run("js_get_msg", stream=stream, subject="orders.a")
    last = await run("js_get_msg", stream=stream, last=True)
    absent = await run("js_get_msg", stream=stream, seq=99)
    info = await run("js_stream_info", stream=stream)

    assert (first.data["data"], by_subject.data["data"], last.data["data"]) == ("a", "a", "b")
    assert first.data["headers"]["who"] == "1"
    assert absent.data["status"] == "not_found"
    assert info.data["messages"] == 2


async def test_a_stream_that_is_not_there_is_an_error(run):
    publish = await run("js_publish", subject="nowhere.at.all", data="x")
    consume = await run("js_consume", stream="NOPE")
    info = await run("js_stream_info", stream="NOPE")
    message = await run("js_get_msg", stream="NOPE", seq=1)

    for outcome in (publish, consume, info, message):
        assert outcome.error.kind == ErrorKind.NOT_FOUND, outcome


# -- what can go wrong ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"operation": "kv_put", "bucket": "b", "key": "k"}, "'value'"),
        ({"operation": "kv_get", "bucket": "b", "key": ""}, "'key'"),
        ({"operation": "kv_get", "key": "k"}, "'bucket'"),
        ({"operation": "js_get_msg", "stream": "S"}, "'seq'"),
        ({"operation": "kv_fetch"}, "kv_fetch"),
        ({"operation": "kv_put", "bucket": "not valid", "key": "k", "value": 1}, "letters"),
        ({"operation": "js_publish", "subject": "a b", "data": "x"}, "subject"),
    ],
)
async def test_a_mistake_in_the_task_is_named(nats, auth, config, said):
    outcome = await call_tool(nats, "nats", config, auth=auth)

    assert outcome.error.kind == ErrorKind.CONFIG
    assert not outcome.error.retryable
    assert said in outcome.error.message


async def test_no_address_is_a_mistake_in_the_task(nats):
    outcome = await call_tool(nats, "nats", {"operation": "kv_get", "bucket": "b", "key": "k"})

    assert outcome.error.kind == ErrorKind.CONFIG
    assert "auth" in outcome.error.message


async def test_a_server_that_is_not_there_may_be_tried_again(nats):
    config = {
        "operation": "kv_get",
        "bucket": "b",
        "key": "k",
        "url": f"nats://127.0.0.1:{free_port()}",
    }
    outcome = await call_tool(nats, "nats", config)

    assert outcome.error.kind == ErrorKind.CONNECTION
    assert outcome.error.retryable


async def test_a_wrong_password_is_not_tried_again_and_not_shown(nats, server):
    config = {
        "operation": "kv_get", "bucket": "b", "key": "k",
        "url": server.url, "user": "arc", "password": "s3cret-wrong",
    }  # fmt: skip
    outcome = await call_tool(nats, "nats", config)

    assert outcome.error.kind == ErrorKind.AUTH
    assert not outcome.error.retryable
    assert "s3cret" not in repr(outcome)


async def test_who_has_another_password_does_not_share_a_connection(nats, run, server):
    assert (await run("kv_put", bucket="b", key="k", value=1)).is_ok
    config = {"operation": "kv_get", "bucket": "b", "key": "k", "url": server.url}
    for identity in ({"user": "arc", "password": "wrong"}, {}):
        outcome = await call_tool(nats, "nats", {**config, **identity})

        assert outcome.error.kind == ErrorKind.AUTH


async def test_calls_that_begin_at_once_open_one_connection(run, monkeypatch):
    from nats.aio.client import Client

    opened = []
    connect = Client.connect

    async def counted(client, *args, **facts):
        opened.append(client)
        await connect(client, *args, **facts)

    monkeypatch.setattr(Client, "connect", counted)
    outcomes = await asyncio.gather(*(run("kv_put", bucket="b", key="k", value=1) for _ in "abcd"))

    assert all(outcome.is_ok for outcome in outcomes)
    assert len(opened) == 1


async def test_tls_is_not_given_up_silently(nats, server):
    config = {
        "operation": "kv_get", "bucket": "b", "key": "k", "tls": True,
        "url": server.url, "user": "arc", "password": "book",
    }  # fmt: skip
    outcome = await call_tool(nats, "nats", config)

    assert outcome.error.kind == ErrorKind.CONFIG
    assert "TLS" in outcome.error.message


async def test_a_call_has_a_time_and_the_next_one_works():
    async def silent(reader, writer):
        await reader.read()
        writer.close()

    deaf = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = f"nats://127.0.0.1:{deaf.sockets[0].getsockname()[1]}"
    tool = Nats()
    config = {"operation": "kv_get", "bucket": "b", "key": "k", "url": url}
    outcome = await call_tool(tool, "nats", config, timeout_seconds=0.1)
    await tool.close()
    deaf.close()

    assert outcome.error.kind == ErrorKind.TIMEOUT
    assert outcome.error.retryable


async def test_a_connection_is_shared_and_opened_again_when_it_was_lost(nats, run):
    await asyncio.gather(*(run("kv_put", bucket="b", key=f"k{i}", value=i) for i in range(20)))
    (connection,) = nats._pool._connections.values()
    await connection.client.close()
    outcome = await run("kv_get", bucket="b", key="k7")

    assert outcome.data["value"] == "7"


async def test_a_server_that_restarts_costs_a_retryable_failure_at_most():
    tool = Nats()
    with NatsServer() as first:
        config = {"operation": "kv_put", "bucket": "b", "key": "k", "value": 1, "url": first.url}
        assert (await call_tool(tool, "nats", config)).is_ok
    outcome = await call_tool(tool, "nats", config)
    await tool.close()

    assert outcome.error.retryable


async def test_closing_twice_is_well(nats, run):
    await run("kv_put", bucket="b", key="k", value=1)
    await nats.close()
    await nats.close()


def test_the_language_knows_the_operations():
    operation = KIND.param("operation")

    assert operation.required
    assert "kv_put" in operation.schema["enum"]


# -- the server, requests, streams -------------------------------------------------------


async def test_the_server_says_what_it_is(run):
    info = (await run("server_info")).data

    assert info["jetstream"] is True
    assert info["version"]


@pytest.fixture
async def listener(server):
    """Somebody who answers ``echo`` and keeps what comes to ``news``."""
    from nats.aio.client import Client

    client = Client()
    await client.connect(server.url, user="arc", password="book")
    news: asyncio.Queue[bytes] = asyncio.Queue()

    async def echo(message):
        await message.respond(b'{"echo": ' + message.data + b"}")

    async def keep(message):
        news.put_nowait(message.data)

    await client.subscribe("echo", cb=echo)
    await client.subscribe("news", cb=keep)
    await client.flush()
    yield news
    await client.close()


async def test_a_request_yields_the_answer(run, listener):
    assert (await run("request", subject="echo", data={"n": 1})).data["data"] == {"echo": {"n": 1}}


async def test_a_request_that_nobody_answers_is_a_failure(run):
    outcome = await run("request", subject="nobody.there")

    assert outcome.error.kind is ErrorKind.NOT_FOUND


async def test_a_message_reaches_whoever_listens(run, listener):
    done = await run("publish", subject="news", data="hello")

    assert done.data["bytes"] == 5
    assert await asyncio.wait_for(listener.get(), 10) == b"hello"


async def test_a_stream_is_made_once_gets_the_subjects_it_lacks_and_is_purged(run):
    first = (await run("js_create", stream="S", subjects=["s.a"])).data
    again = (await run("js_create", stream="S", subjects=["s.a"])).data
    wider = (await run("js_create", stream="S", subjects=["s.b"])).data
    for subject in ("s.a", "s.a", "s.b"):
        await run("js_publish", subject=subject, data="x", idempotency_key="")

    assert (first["created"], again["created"]) == (True, False)
    assert wider["subjects"] == ["s.a", "s.b"]
    assert (await run("js_purge", stream="S", subject="s.a")).data["purged"] == 2
    assert (await run("js_purge", stream="S")).data == {
        "status": "success",
        "operation": "js_purge",
        "stream": "S",
        "purged": 1,
        "messages": 0,
    }
    assert (await run("js_purge", stream="absent")).error.kind is ErrorKind.NOT_FOUND


async def test_only_so_many_connections_are_kept_and_none_that_is_in_use(monkeypatch, nats_server):
    monkeypatch.setattr(nats_pool, "CONNECTIONS_MAX", 2)
    pool, clients, go_on = NatsPool(), {}, asyncio.Event()

    async def call(user: str, *, waits: bool = False) -> None:
        async def work(client):
            clients[user] = client
            if waits:
                await go_on.wait()
            await client.flush()

        await pool.use(Identity(url=nats_server.url, user=user), work, Egress())

    busy = asyncio.create_task(call("busy", waits=True))
    while "busy" not in clients:
        await asyncio.sleep(0.005)
    for user in ("a", "b", "a", "c"):
        await call(user)

    open_ones = {user for user, client in clients.items() if client.is_connected}
    assert open_ones == {"busy", "c"}
    go_on.set()
    await busy
    await pool.close()
    assert not any(client.is_connected for client in clients.values())
