"""Who reaches the API: tokens before limits, addresses that are believed, slow connections."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from api_cluster import Api, cluster
from api_playbooks import HELLO
from arcbook.compose.cluster import http_of
from arcbook.server.http.access import counted, hash_token
from arcbook.server.http.settings import HttpSettings
from arcbook.settings import SettingsError, load_settings

TOKENS = {hash_token(scope): scope for scope in ("viewer", "operator", "editor", "admin")}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
async def api(tmp_path):
    async with cluster(tmp_path, settings=HttpSettings(tokens=TOKENS)) as found:
        yield found[0]


async def status_of(api: Api, token: str = "", **headers: str) -> int:
    shown = bearer(token) if token else {}
    return (await api.call("GET", "/api/executions", headers=shown | headers))[0]


# -- tokens and the addresses that show them -------------------------------------------------


async def test_a_good_token_gets_in_from_an_address_that_showed_many_wrong_ones(api: Api):
    wrong = [await status_of(api, f"wrong-{n}") for n in range(60)]

    assert 429 in wrong
    assert [await status_of(api, "admin") for _ in range(10)] == [200] * 10
    assert await status_of(api, "viewer") == 200


async def test_who_shows_no_token_locks_nobody_out_and_is_no_wrong_one(api: Api):
    async def anonymous() -> list[int]:
        return [await status_of(api) for _ in range(100)]

    async def admin() -> list[int]:
        return [await status_of(api, "admin") for _ in range(39)]

    anonymous_found, admin_found = await asyncio.gather(anonymous(), admin())

    assert set(anonymous_found) == {401}
    assert admin_found == [200] * 39


@pytest.mark.parametrize("shown", ["", "Bearer", "Bearer ", "bearer  ", "Basic", "Basic "])
async def test_an_empty_authorization_is_no_wrong_token(api: Api, shown: str):
    found = [
        (await api.call("GET", "/api/executions", headers={"Authorization": shown}))[0]
        for _ in range(40)
    ]

    assert set(found) == {401}


@pytest.mark.parametrize("shown", ["Basic YWRtaW46YWRtaW4=", "Bearer x", "Token admin"])
async def test_wrong_ones_of_every_scheme_are_told_to_wait(api: Api, shown: str):
    found = [
        (await api.call("GET", "/api/executions", headers={"Authorization": shown}))[0]
        for _ in range(40)
    ]

    assert set(found) == {401, 429}


@pytest.mark.parametrize("path", ["/health", "/api/health", "/api/runtime/contract"])
async def test_who_watches_is_answered_whatever_token_it_shows(api: Api, path: str):
    found = [(await api.call("GET", path, headers=bearer(f"wrong-{n}")))[0] for n in range(40)]

    assert set(found) == {200}
    assert await status_of(api, "wrong") == 401, "asking for the health was counted"


async def test_the_internal_token_is_not_guessed_without_end(api: Api):
    path = "/api/internal/outbox/pending-count"
    found = [(await api.call("GET", path, headers=bearer(f"wrong-{n}")))[0] for n in range(40)]

    assert 429 in found


async def test_made_up_tokens_do_not_push_out_those_that_there_are(tmp_path):
    async with cluster(tmp_path) as (api,):
        made = await api.post("/api/tokens", {"name": "all", "scope": "admin"})
        good = made["token"]
        assert await status_of(api, good) == 200
        for n in range(50):
            await status_of(api, f"arcbook_{n:08d}_{'x' * 40}")

        known = api.context.access.tokens._known  # what an attacker would fill

        assert len(known) == 1


# -- addresses --------------------------------------------------------------------------------


async def test_a_forwarded_address_is_not_believed_from_anybody(api: Api):
    """Else each wrong token would seem to come from another address."""
    found = [
        await status_of(api, "wrong", **{"X-Forwarded-For": f"203.0.113.{n}"}) for n in range(60)
    ]

    assert 429 in found


@pytest.mark.parametrize(
    "headers",
    [
        {"Forwarded": "for=203.0.113.{n}"},
        {"X-Real-IP": "203.0.113.{n}"},
        {"True-Client-IP": "203.0.113.{n}"},
        {"X-Forwarded-For": "127.0.0.1, 203.0.113.{n}"},
        {"X-Forwarded-For": "203.0.113.{n}, 127.0.0.1"},
        {"X-Client-IP": "203.0.113.{n}", "Via": "1.1 proxy"},
    ],
)
async def test_no_header_makes_another_address(api: Api, headers: dict[str, str]):
    found = [
        await status_of(api, "wrong", **{k: v.format(n=n) for k, v in headers.items()})
        for n in range(60)
    ]

    assert 429 in found


async def test_behind_a_proxy_each_client_counts_for_itself(tmp_path):
    settings = HttpSettings(tokens=TOKENS, proxies=("127.0.0.0/8",))
    async with cluster(tmp_path, settings=settings) as (api,):
        one = [
            await status_of(api, "wrong", **{"X-Forwarded-For": "203.0.113.1"}) for _ in "x" * 40
        ]
        assert 429 in one
        assert await status_of(api, "wrong", **{"X-Forwarded-For": "203.0.113.2"}) == 401
        # What a client writes there itself stands before what the proxy adds.
        lies = [
            await status_of(api, "wrong", **{"X-Forwarded-For": f"198.51.100.{n}, 203.0.113.3"})
            for n in range(40)
        ]
        assert 429 in lies


async def test_a_proxy_elsewhere_is_not_believed(tmp_path):
    settings = HttpSettings(tokens=TOKENS, proxies=("10.0.0.0/8",))
    async with cluster(tmp_path, settings=settings) as (api,):
        found = [
            await status_of(api, "wrong", **{"X-Forwarded-For": f"203.0.113.{n}"})
            for n in range(60)
        ]
        assert 429 in found


@pytest.mark.parametrize("wrong", ["*", "proxy.example", "10.0.0.0/33", "10.0.0.1/8", "1.2.3", ""])
def test_proxies_are_addresses_or_networks(wrong: str):
    settings = load_settings({"ARCBOOK_HOME": "home"}, proxies=(wrong,))

    with pytest.raises(SettingsError):
        http_of(settings)


def test_whoever_has_a_network_is_one_address():
    assert counted("2001:db8::1") == counted("2001:db8::ffff:1:2")
    assert counted("2001:db8::1") != counted("2001:db8:0:1::1")
    assert counted("::ffff:203.0.113.9") == counted("203.0.113.9")
    assert counted("203.0.113.9") != counted("203.0.113.8")
    assert counted("no address") == "no address"


# -- connections that keep the server waiting ---------------------------------------------------

QUICK: dict[str, Any] = {"head_seconds": 0.3, "body_seconds": 0.3, "idle_seconds": 0.3}


async def connected(api: Api, **more: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = api.url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port), **more)


async def until_closed(reader: asyncio.StreamReader, seconds: float = 5.0) -> bytes:
    """Return what still comes before the server hangs up."""
    async with asyncio.timeout(seconds):
        with contextlib.suppress(ConnectionResetError):
            return await reader.read()
    return b""


HALVES = {
    "nothing": b"",
    "a letter": b"G",
    "a line": b"GET /api/health HTTP/1.1\r\n",
    "no end": b"GET /api/health HTTP/1.1\r\nHost: localhost\r\nX: ",
    "an empty line less": b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n",
    "half of the next one": b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /heal",
}


@pytest.mark.parametrize("sent", HALVES.values(), ids=HALVES)
async def test_half_of_a_request_is_not_waited_for(tmp_path, sent: bytes):
    async with cluster(tmp_path, settings=HttpSettings(**QUICK)) as (api,):
        reader, writer = await connected(api)
        writer.write(sent)

        answered = await until_closed(reader)

        # A connection that has been answered may also end as one that idles.
        assert b" 408 " in answered or not sent or b" 200 " in answered
        writer.close()


async def test_a_head_that_comes_by_the_byte_ends_in_time(tmp_path):
    async with cluster(tmp_path, settings=HttpSettings(**QUICK)) as (api,):
        reader, writer = await connected(api)
        writer.write(b"GET /api/health HTTP/1.1\r\nX-A: ")

        async def drips() -> None:
            while True:
                writer.write(b"a")
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drips())
        assert b"408" in await until_closed(reader)
        dripping.cancel()
        writer.close()


@pytest.mark.parametrize("rest", [b"", b"{", b'{"path": "x'])
async def test_half_of_a_body_is_not_waited_for(tmp_path, rest: bytes):
    async with cluster(tmp_path, settings=HttpSettings(**QUICK)) as (api,):
        reader, writer = await connected(api)
        head = b"POST /api/execute HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
        writer.write(head + rest)

        assert b" 408 " in await until_closed(reader)
        writer.close()


async def test_a_body_that_comes_by_the_byte_ends_in_time(tmp_path):
    async with cluster(tmp_path, settings=HttpSettings(**QUICK)) as (api,):
        reader, writer = await connected(api)
        writer.write(
            b"POST /api/execute HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        )

        async def drips() -> None:
            while True:
                writer.write(b"1\r\n \r\n")
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drips())
        assert b" 408 " in await until_closed(reader)
        dripping.cancel()
        writer.close()


async def test_a_connection_that_idles_is_closed(tmp_path):
    async with cluster(tmp_path, settings=HttpSettings(**QUICK)) as (api,):
        reader, writer = await connected(api)
        writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")

        assert (await until_closed(reader)).count(b"HTTP/1.1 200") == 1
        writer.close()


async def test_a_head_has_so_many_bytes(api: Api):
    reader, writer = await connected(api)
    writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n")
    with contextlib.suppress(ConnectionError):
        for n in range(200):
            writer.write(b"X-%d: %s\r\n" % (n, b"a" * 4000))
            await writer.drain()

    answered = await until_closed(reader)
    assert b" 431 " in answered or answered == b""
    writer.close()
    assert (await api.call("GET", "/health"))[0] == 200


async def test_who_does_not_read_its_answer_is_hung_up_on(tmp_path):
    settings = HttpSettings(write_seconds=0.3)
    async with cluster(tmp_path, settings=settings) as (api,):
        content = json.dumps({"content": HELLO.replace("Greets.", "x" * 3_500_000)}).encode()
        registered = await api.call("POST", "/api/catalog/register", data=io.BytesIO(content))
        assert registered[0] == 200
        held = socket.socket()
        held.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        held.settimeout(0)
        host, port = api.url.removeprefix("http://").split(":")
        await asyncio.get_running_loop().sock_connect(held, (host, int(port)))
        body = json.dumps({"path": "examples/hello"}).encode()
        head = (
            b"POST /api/catalog/resource HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
        )
        held.send(head % len(body) + body)

        async with asyncio.timeout(5):
            connections = open_connections(api)
            while connections() > 1:
                await asyncio.sleep(0.05)
        held.close()


def open_connections(api: Api):
    """Return what counts the connections of the server to this process."""
    port = int(api.url.rsplit(":", 1)[1])
    where = f":{port:04X}"

    def count() -> int:
        lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()
        rows = [line.split() for line in lines[1:]]
        return sum(row[1].endswith(where) and row[3] == "01" for row in rows)

    return count


# -- many connections ----------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def held_open(api: Api, count: int):
    """Hold connections open that ask for nothing."""
    pairs = [await connected(api) for _ in range(count)]
    try:
        yield pairs
    finally:
        for _, writer in pairs:
            writer.close()


async def asked(api: Api, path: str, token: str = "") -> tuple[int, bytes]:
    """Ask on a connection of its own."""
    reader, writer = await connected(api)
    shown = f"Authorization: Bearer {token}\r\n" if token else ""
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{shown}Connection: close\r\n\r\n".encode()
    )
    answer = await until_closed(reader)
    writer.close()
    return int(answer.split()[1]), answer


CROWD = HttpSettings(tokens=TOKENS, internal_token="inner", connections_max=20, spare_connections=5)


async def test_a_crowd_is_answered_503_and_leaves_room_for_health_and_owners(tmp_path):
    async with cluster(tmp_path, settings=CROWD) as (api,), held_open(api, 20):
        assert (await asked(api, "/health"))[0] == 200
        assert (await asked(api, "/api/health"))[0] == 200
        assert (await asked(api, "/api/executions", "admin"))[0] == 200
        assert (await asked(api, "/api/internal/outbox/pending-count", "inner"))[0] == 200
        status, answer = await asked(api, "/api/executions", "viewer")
        assert status == 503
        assert b"connection: close" in answer.lower()
        assert b"retry-after" in answer.lower()
        assert (await asked(api, "/api/executions"))[0] == 503
        assert (await asked(api, "/api/executions", "wrong"))[0] in (429, 503)


async def test_beyond_the_spare_connections_all_are_told_so(tmp_path):
    async with cluster(tmp_path, settings=CROWD) as (api,), held_open(api, 25):
        reader, writer = await connected(api)

        assert b" 503 " in await until_closed(reader)
        writer.close()


async def test_when_the_crowd_has_gone_everybody_gets_in_again(tmp_path):
    async with cluster(tmp_path, settings=CROWD) as (api,):
        async with held_open(api, 25):
            pass

        async with asyncio.timeout(5):
            while (await asked(api, "/api/executions", "viewer"))[0] != 200:
                await asyncio.sleep(0.02)


async def test_a_crowd_that_asks_for_nothing_goes_by_itself(tmp_path):
    settings = HttpSettings(tokens=TOKENS, connections_max=10, spare_connections=2, **QUICK)
    async with cluster(tmp_path, settings=settings) as (api,), held_open(api, 12):
        async with asyncio.timeout(5):
            while (await asked(api, "/api/executions", "viewer"))[0] != 200:
                await asyncio.sleep(0.05)


UPGRADE = (
    b"GET /health HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: eA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
TWO_LENGTHS = (
    b"POST /api/execute HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
    b"Content-Length: 6\r\n\r\nhello!"
)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        UPGRADE,
        TWO_LENGTHS,
        b"POST /api/execute HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"POST /api/execute HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"GET /health HTTP/1.1\r\n: x\r\n\r\n",
    ],
)
async def test_what_is_no_request_is_refused_and_ends(tmp_path, sent: bytes):
    async with cluster(tmp_path, settings=HttpSettings(**QUICK)) as (api,):
        reader, writer = await connected(api)
        writer.write(sent)

        answered = await until_closed(reader)

        assert b" 500 " not in answered
        assert b" 101 " not in answered
        writer.close()
        assert (await api.call("GET", "/health"))[0] == 200
