"""What the http tool promises."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import gzip
import json
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port
from multidict import CIMultiDict
from yarl import URL

from arcbook.dsl.kinds import KindTable
from arcbook.dsl.load import load_playbook
from arcbook.engine.views import outcome_view
from arcbook.outcome import ErrorKind, Outcome
from arcbook.testing.tools import FakeContext, call_tool
from arcbook.tools.api import Credential
from arcbook.tools.http import KIND, Http
from arcbook.tools.http_auth import Grant
from arcbook.tools.http_client import FAULTS, REDIRECTS_MAX
from arcbook.tools.http_request import Request
from certificates import self_signed

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    tool = Http(response_bytes_max=100_000)
    yield tool
    await tool.close()


async def echo(request: web.Request) -> web.Response:
    """Answer with the request, whatever it is."""
    seen = {
        "method": request.method,
        "path": request.path,
        "query": [list(pair) for pair in request.query.items()],
        "headers": {name.lower(): value for name, value in request.headers.items()},
        "body": (await request.read()).decode("utf-8", "replace"),
    }
    return web.json_response(seen)


@asynccontextmanager
async def serving(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serve every path with one handler, and yield the server's address."""
    app = web.Application(client_max_size=10**8)
    app.router.add_route("*", "/{path:.*}", handler)
    server = TestServer(app, scheme="https" if tls else "http")
    await server.start_server(ssl=tls)
    try:
        yield str(server.make_url("")).rstrip("/")
    finally:
        await server.close()


@pytest.fixture
async def server() -> AsyncIterator[str]:
    async with serving(echo) as address:
        yield address


@asynccontextmanager
async def speaking(answer: bytes, *, closes: bool = True) -> AsyncIterator[str]:
    """Serve bytes as they are, for what no decent server sends."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        if not closes:
            await reader.read()
        writer.close()

    found = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with found:
        yield f"http://127.0.0.1:{found.sockets[0].getsockname()[1]}"


def answering(status: int = 200, body: bytes = b"", **headers: str) -> Handler:
    """Return a handler that always answers the same."""

    async def answer(request: web.Request) -> web.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, body=body, headers=named)

    return answer


async def call(tool: Http, url: str, **config) -> Outcome:
    facts = {k: config.pop(k) for k in ("auth", "timeout_seconds", "context") if k in config}
    outcome = await call_tool(tool, "http", {"url": url, **config}, **facts)
    assert isinstance(outcome, Outcome)
    return outcome


async def seen(tool: Http, url: str, **config) -> dict:
    """Return what the server saw of a request."""
    outcome = await call(tool, url, **config)

    assert outcome.is_ok, outcome.error
    return outcome.data["body"]


def credential(type_: str, **data) -> Credential:
    return Credential(name="mine", type=type_, data=data)


# -- the request ----------------------------------------------------------------------


def test_the_module_is_cheap_to_import():
    code = "import sys, arcbook.tools.http; print([m for m in ('aiohttp', 'yarl') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("url: http://h", {"url": "http://h"}),
        ("endpoint: http://h", {"url": "http://h"}),
        ("url: http://h, method: post, payload: {a: 1}", {"method": "post", "json": {"a": 1}}),
        ("url: http://h, verify: false", {"verify_ssl": False}),
        ("url: http://h, data: {a: 1}, form: {b: 2}", {"data": {"a": 1}, "form": {"b": 2}}),
        ("spec: {endpoint: http://h, method: GET}", {"url": "http://h", "method": "GET"}),
    ],
)
def test_every_spelling_of_documents_reaches_the_tool_in_one_form(written, expected):
    text = f"""
apiVersion: noetl.io/v2
kind: Playbook
metadata: {{name: n, path: p}}
workflow:
  - step: start
    tool: {{kind: http, {written}}}
"""
    loaded = load_playbook(text, KindTable({"http": KIND}))

    assert loaded.errors == ()
    assert expected.items() <= loaded.playbook.steps[0].tasks[0].config.items()


@pytest.mark.parametrize("method", ["GET", "get", "Post", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_a_method_is_sent_in_capitals(http, server, method):
    assert method.upper() == (await seen(http, server, method=method))["method"]


async def test_a_head_request_yields_headers_and_no_body(http, server):
    outcome = await call(http, server, method="HEAD")

    assert outcome.is_ok
    assert outcome.data["body"] == ""
    assert int(outcome.data["headers"]["content-length"]) > 0


async def test_parameters_are_added_to_those_of_the_url(http, server):
    params = {"b": 2, "c": [1, "x"], "d": True, "e": None, "f": {"g": 1}, "h": "a&b=c d"}
    found = await seen(http, f"{server}/p?a=1", params=params)

    expected = [
        ["a", "1"],
        ["b", "2"],
        ["c", "1"],
        ["c", "x"],
        ["d", "true"],
        ["f", '{"g":1}'],
        ["h", "a&b=c d"],
    ]
    assert expected == found["query"]


async def test_headers_are_text_and_nulls_are_left_out(http, server):
    headers = {"X-N": 1.5, "X-B": False, "X-O": {"a": [1]}, "X-Null": None, "X-Line": " a\n"}
    found = (await seen(http, server, headers=headers))["headers"]

    assert [found[n] for n in ("x-n", "x-b", "x-o", "x-line")] == ["1.5", "false", '{"a":[1]}', "a"]
    assert "x-null" not in found


@pytest.mark.parametrize(
    ("config", "body", "content_type"),
    [
        ({"json": {"a": 1}}, '{"a":1}', "application/json"),
        ({"json": [1, "x"]}, '[1,"x"]', "application/json"),
        ({"json": {}}, "{}", "application/json"),
        ({"json": False}, "false", "application/json"),
        ({"json": "text"}, '"text"', "application/json"),
        ({"json": '{"a": 1}'}, '{"a": 1}', "application/json"),
        ({"json": "{not json"}, '"{not json"', "application/json"),
        ({"data": {"a": 1}}, '{"a":1}', "application/json"),
        ({"body": ["é"]}, '["é"]', "application/json"),
        ({"data": "a=1&b"}, "a=1&b", None),
        ({"body": "<x/>"}, "<x/>", None),
        ({"body": 5}, "5", "application/json"),
        (
            {"form": {"a": "é &", "b": [1, 2], "c": None}},
            "a=%C3%A9+%26&b=1&b=2",
            "application/x-www-form-urlencoded",
        ),
        ({"form": "raw=1"}, "raw=1", "application/x-www-form-urlencoded"),
        ({"json": {"j": 1}, "form": {"f": 1}, "data": {"d": 1}}, '{"j":1}', "application/json"),
        ({"form": {"f": 1}, "data": {"d": 1}}, "f=1", "application/x-www-form-urlencoded"),
        ({"data": {"d": 1}, "body": {"b": 1}}, '{"d":1}', "application/json"),
        ({"data": {"body": {"b": 1}}}, '{"b":1}', "application/json"),
        ({"data": {"query": "query { x }"}}, '{"query":"query { x }"}', "application/json"),
        ({}, "", None),
    ],
)
async def test_a_body_is_sent_as_it_is_written(http, server, config, body, content_type):
    found = await seen(http, server, method="POST", **config)

    assert body == found["body"]
    assert content_type == found["headers"].get("content-type")


async def test_data_may_be_a_query_and_a_body(http, server):
    data = {"query": {"q": 1}, "body": {"b": 2}}
    found = await seen(http, server, method="POST", data=data)

    assert found["query"] == [["q", "1"]]
    assert found["body"] == '{"b":2}'


async def test_a_content_type_that_says_form_makes_a_form_of_a_mapping(http, server):
    headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
    found = await seen(http, server, method="POST", data={"a": 1, "b": "x y"}, headers=headers)

    assert found["body"] == "a=1&b=x+y"
    assert found["headers"]["content-type"] == headers["content-type"]


async def test_a_large_body_is_sent_whole(http):
    async def size(request: web.Request) -> web.Response:
        return web.json_response(len(await request.read()))

    async with serving(size) as address:
        outcome = await call(http, address, method="POST", body="x" * 3_000_000)

    assert outcome.data["body"] == 3_000_000


async def test_calls_that_change_things_carry_an_idempotency_key(http, server):
    async def key(**config):
        return (await seen(http, server, **config))["headers"].get("idempotency-key")

    assert await key(method="POST") == "1:step:1:task:1"
    assert await key(method="PATCH") == "1:step:1:task:1"
    assert await key(method="GET") is None
    assert await key(method="POST", idempotency=False) is None
    assert await key(method="POST", headers={"idempotency-key": "own"}) == "own"


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"url": ""}, "'url' is empty"),
        ({"url": None}, "url"),
        ({"url": "ftp://user:secret@h/x?key=secret"}, "'ftp://h/x' must begin with http://"),
        ({"url": "/only/a/path"}, "must begin with http://"),
        ({"url": "http://"}, "names no host"),
        ({"url": "http://h:99999/?key=secret"}, "is not a URL"),
        ({"url": "http://[::1/"}, "is not a URL"),
        ({"url": "http://a..b/"}, "not a valid"),
        ({"url": "http://h", "method": "FETCH"}, "'method' must be one of"),
        ({"url": "http://h", "headers": {"a b": "1"}}, "'a b'"),
        ({"url": "http://h", "headers": {"X": "a\nb"}}, "'X' has a line break"),
        ({"url": "http://h", "headers": "X: 1"}, "headers"),
        ({"url": "http://h", "form": [1]}, "a form must be a mapping"),
        ({"url": "http://h", "response_type": "xml"}, "response_type"),
        (
            {"url": "http://h", "data": {}, "headers": {"Content-Type": "multipart/form-data"}},
            "multipart",
        ),
    ],
)
async def test_a_request_that_makes_no_sense_is_a_config_error(http, config, named):
    outcome = await call_tool(http, "http", config)

    assert outcome.error.kind == ErrorKind.CONFIG
    assert named in outcome.error.message
    assert "secret" not in outcome.error.message


# -- credentials ----------------------------------------------------------------------

BASIC = "Basic " + base64.b64encode(b"me:p\xc3\xa9:x").decode()


@pytest.mark.parametrize(
    ("auth", "name", "expected"),
    [
        (credential("bearer", token="t"), "authorization", "Bearer t"),
        (credential("bearer_token", access_token=" t\n"), "authorization", "Bearer t"),
        ({"type": "bearer", "token": "t"}, "authorization", "Bearer t"),
        (credential("basic", username="me", password="pé:x"), "authorization", BASIC),
        ({"type": "Basic", "username": "me", "password": "pé:x"}, "authorization", BASIC),
        (credential("api_key", api_key="k"), "x-api-key", "k"),
        (credential("api_key", key="k", header="X-Own"), "x-own", "k"),
        ({"type": "api_key", "value": 7, "header": "X-Own"}, "x-own", "7"),
        ({"type": "none"}, "authorization", None),
        ({"source": "credential", "key": "stored"}, "authorization", "Bearer stored"),
        (credential("oauth2", token_url="http://h"), "authorization", "Bearer minted"),
        (credential("google_service_account"), "authorization", "Bearer minted"),
    ],
)
async def test_a_credential_becomes_a_header(http, server, auth, name, expected):
    stored = Credential(name="stored", type="bearer", data={"token": "stored"})
    context = FakeContext(credentials={"stored": stored})
    found = await seen(http, server, auth=auth, context=context)

    assert expected == found["headers"].get(name)


async def test_an_api_key_may_go_into_the_query_and_is_not_in_the_result(http, server):
    auth = credential("api_key", value="secret", **{"in": "query", "param": "key"})
    outcome = await call(http, f"{server}/p?a=1", auth=auth)

    assert outcome.data["body"]["query"] == [["a", "1"], ["key", "secret"]]
    assert outcome.data["url"] == f"{server}/p?a=1"


async def test_a_credential_wins_over_a_header_that_the_task_writes(http, server):
    headers = {"authorization": "Bearer other"}
    found = await seen(http, server, headers=headers, auth={"type": "bearer", "token": "t"})

    assert found["headers"]["authorization"] == "Bearer t"


async def test_a_name_and_password_in_the_url_are_sent_and_not_shown(http, server):
    outcome = await call(http, server.replace("//", "//me:p%C3%A9%3Ax@") + "/p")

    assert outcome.data["body"]["headers"]["authorization"] == BASIC
    assert outcome.data["url"] == f"{server}/p"


@pytest.mark.parametrize(
    "auth",
    [
        credential("bearer"),
        credential("bearer", token=""),
        credential("basic", password="p"),
        credential("api_key"),
        credential("api_key", key="k", **{"in": "cookie"}),
        credential("postgres", host="h"),
        {"token": "t"},
        {"type": "gcp_adc"},
        {"source": "credential", "key": "nobody"},
        {"source": "secret", "key": "x"},
        "an alias that nobody resolved",
        {},
        "",
    ],
)
async def test_no_request_goes_out_without_the_credential_that_it_should_carry(http, auth):
    asked = []

    async def note(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response()

    async with serving(note) as address:
        outcome = await call(http, address, auth=auth)

    assert outcome.error.kind == ErrorKind.AUTH
    assert not outcome.error.retryable
    assert asked == []


async def test_a_credential_with_a_line_break_is_refused_and_not_shown(http, server):
    outcome = await call(http, server, auth={"type": "bearer", "token": "sec\nret"})

    assert not outcome.is_ok
    assert "sec" not in outcome.error.message


# -- the answer -----------------------------------------------------------------------


async def test_an_answer_is_its_body_with_status_and_headers(http):
    body = {"data": [1, 2], "paging": {"hasMore": True}}
    async with serving(
        answering(201, json.dumps(body).encode(), Content_Type="application/json")
    ) as address:
        outcome = await call(http, f"{address}/p?a=1")

    assert outcome.is_ok
    data = outcome.data
    assert set(data) == {"status_code", "headers", "url", "elapsed", "data", "body"}
    assert data["status_code"] == 201
    assert data["url"] == f"{address}/p?a=1"
    assert 0 < data["elapsed"] < 5
    assert data["data"] == body
    assert data["body"] is data["data"]
    assert data["headers"]["content-type"] == "application/json"
    assert data["headers"]["Content-Type"] == "application/json"
    assert outcome.http == {"status": 201, "headers": data["headers"]}
    assert msgspec.json.decode(msgspec.json.encode(outcome), type=Outcome) == outcome


async def test_templates_see_the_body_as_output_data(http):
    async with serving(
        answering(200, b'{"data": [1]}', Content_Type="application/json")
    ) as address:
        outcome = await call(http, address)
    output = outcome_view(outcome, outcome.data, outcome.meta)

    assert output.name("data").plain() == {"data": [1]}
    assert output.name("data").name("data").plain() == {"data": [1]}
    assert output.name("data").name("data").index(0) == 1
    assert output.name("data").name("status_code") == 200
    assert output.name("status_code") == 200
    assert output.name("http")["status"] == 200


@pytest.mark.parametrize(
    ("content_type", "body", "response_type", "expected"),
    [
        ("application/json", b'{"a": 1}', "auto", {"a": 1}),
        ("application/problem+json; charset=utf-8", b"[1]", "auto", [1]),
        ("application/json", b"\xef\xbb\xbf[1]", "auto", [1]),
        ("application/json; charset=latin-1", b'["\xe9"]', "auto", ["é"]),
        ("application/json", b'["\xe9"]', "auto", ["\ufffd"]),
        ("application/json", b"not json", "auto", "not json"),
        ("application/json", b"", "auto", ""),
        ("application/json", b'{"a": 1}', "text", '{"a": 1}'),
        ("text/plain", b'{"a": 1}', "auto", {"a": 1}),
        ("text/plain", b"{broken", "auto", "{broken"),
        ("text/plain", b"12", "auto", "12"),
        ("text/plain", b"12", "json", 12),
        ("text/html", b"<p>", "json", "<p>"),
        ("text/plain; charset=latin-1", b"\xe9", "auto", "é"),
        ("text/plain; charset=nonsense", b"\xe9x", "auto", "\ufffdx"),
        ("text/plain; charset=unicode_escape", b"\\ud800", "auto", "?"),
        ("text/csv", b"a\xff", "auto", "a\ufffd"),
        ("application/octet-stream", b"plain", "auto", "plain"),
        ("application/octet-stream", b"\xff\x00", "auto", {"data": "/wA=", "size": 2}),
        ("image/png", b"\x89PNG", "text", "\ufffdPNG"),
        ("text/plain", b"abc", "binary", {"data": "YWJj", "size": 3}),
    ],
)
async def test_a_body_is_read_as_what_it_is(http, content_type, body, response_type, expected):
    async with serving(answering(200, body, Content_Type=content_type)) as address:
        outcome = await call(http, address, response_type=response_type)

    assert expected == outcome.data["body"]


async def test_a_body_without_a_content_type_is_text_or_json(http):
    async with speaking(b"HTTP/1.1 200 OK\r\n\r\n[1]") as address:
        assert (await call(http, address)).data["body"] == [1]
    async with speaking(b"HTTP/1.1 200 OK\r\n\r\ntext") as address:
        assert (await call(http, address)).data["body"] == "text"


async def test_headers_that_are_no_text_are_marked_and_repeated_ones_joined(http):
    head = b"HTTP/1.1 200 OK\r\nX-Odd: a\xff\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n"
    async with speaking(head) as address:
        outcome = await call(http, address)

    assert outcome.data["headers"]["x-odd"] == "a\ufffd"
    assert outcome.data["headers"]["set-cookie"] == "a=1, b=2"
    assert msgspec.json.encode(outcome)


async def test_a_compressed_body_is_unpacked(http):
    packed = gzip.compress(b'{"a": 1}')
    headers = {"Content_Type": "application/json", "Content_Encoding": "gzip"}
    async with serving(answering(200, packed, **headers)) as address:
        outcome = await call(http, address)

    assert outcome.data["body"] == {"a": 1}


async def test_cookies_of_one_call_do_not_reach_the_next(http):
    async def cookies(request: web.Request) -> web.Response:
        return web.json_response(dict(request.cookies), headers={"Set-Cookie": "session=x"})

    async with serving(cookies) as address:
        named = address.replace("127.0.0.1", "localhost")  # clients keep no cookies of addresses
        first = await call(http, named)
        outcome = await call(http, named)

    assert first.data["headers"]["set-cookie"] == "session=x"
    assert outcome.data["body"] == {}


async def test_calls_share_connections(http):
    ports = set()

    async def port(request: web.Request) -> web.Response:
        ports.add(request.transport.get_extra_info("peername")[1])
        return web.json_response({})

    async with serving(port) as address:
        for _ in range(5):
            await call(http, address)

    assert len(ports) == 1


async def test_many_calls_run_at_once(http, server):
    outcomes = await asyncio.gather(*(call(http, f"{server}/{n}") for n in range(50)))

    assert [f"/{n}" for n in range(50)] == [o.data["body"]["path"] for o in outcomes]


async def test_the_tool_works_again_after_it_was_closed(http, server):
    await call(http, server)
    await http.close()
    await http.close()

    assert (await call(http, server)).is_ok


# -- redirects ------------------------------------------------------------------------


def redirecting(target: str, status: int = 302) -> Handler:
    """Return a handler that redirects, except at /end, where it echoes."""

    async def redirect(request: web.Request) -> web.StreamResponse:
        if request.path == "/end":
            return await echo(request)
        return web.Response(status=status, headers={"Location": target})

    return redirect


@pytest.mark.parametrize(
    ("status", "method", "expected"),
    [
        (301, "POST", ("GET", "")),
        (302, "POST", ("GET", "")),
        (303, "PUT", ("GET", "")),
        (307, "POST", ("POST", '{"a":1}')),
        (308, "PUT", ("PUT", '{"a":1}')),
        (302, "PUT", ("PUT", '{"a":1}')),
    ],
)
async def test_a_redirect_is_followed_as_its_status_says(http, status, method, expected):
    async with serving(redirecting("/end", status)) as address:
        outcome = await call(http, f"{address}/start", method=method, json={"a": 1})

    found = outcome.data["body"]
    assert expected == (found["method"], found["body"])
    assert outcome.data["url"] == f"{address}/end"
    assert ("content-type" in found["headers"]) == bool(found["body"])
    assert ("idempotency-key" in found["headers"]) == (found["method"] == "POST")


async def test_a_head_request_stays_one_whatever_redirects_it(http):
    methods = []

    async def redirect(request: web.Request) -> web.Response:
        methods.append(request.method)
        status = 303 if request.path == "/start" else 200
        return web.Response(status=status, headers={"Location": "/end"})

    async with serving(redirect) as address:
        outcome = await call(http, f"{address}/start", method="HEAD")

    assert outcome.is_ok
    assert methods == ["HEAD", "HEAD"]


async def test_a_redirect_on_the_same_server_keeps_the_credential_and_does_not_show_it(http):
    async with serving(redirecting("end?x=1&key=k#part")) as address:
        auth = credential("api_key", value="k", **{"in": "query", "param": "key"})
        outcome = await call(http, f"{address}/start", auth=auth, headers={"X-Own": "1"})

    assert outcome.data["body"]["query"] == [["x", "1"], ["key", "k"]]
    assert outcome.data["body"]["headers"]["x-own"] == "1"
    assert outcome.data["url"] == f"{address}/end?x=1"


@pytest.mark.parametrize(
    "auth",
    [
        {"type": "bearer", "token": "secret"},
        {"type": "basic", "username": "secret", "password": "secret"},
        {"type": "api_key", "value": "secret"},
        {"type": "api_key", "value": "secret", "in": "query"},
    ],
)
async def test_a_redirect_to_another_host_takes_no_secret_along(http, server, auth):
    headers = {"Cookie": "secret", "X-Token": "secret", "Accept": "text/plain"}
    async with serving(redirecting(f"{server}/end", 307)) as address:
        found = await seen(
            http, f"{address}/x", method="POST", json={"a": 1}, headers=headers, auth=auth
        )

    assert "secret" not in json.dumps(found)
    assert "authorization" not in found["headers"]
    assert "idempotency-key" not in found["headers"]
    assert found["headers"]["accept"] == "text/plain"
    assert found["body"] == '{"a":1}'


@pytest.mark.parametrize(
    ("origin", "target", "kept"),
    [
        ("http://h/x", "/y", True),
        ("http://h/x", "//H:80/y", True),
        ("http://h/x", "https://h/y", True),
        ("https://h/x", "http://h/y", False),
        ("http://h/x", "https://h:8443/y", False),
        ("http://h:8080/x", "https://h/y", False),
        ("http://h/x", "http://h.evil/y", False),
        ("http://h/x", "http://h@evil/y", False),
    ],
)
def test_a_server_stays_the_same_only_when_a_redirect_makes_it_safe(origin, target, kept):
    request = Request(
        method="GET",
        url=URL(origin),
        headers=CIMultiDict({"X-Own": "1"}),
        body=None,
        grant=Grant(headers={"Authorization": "Bearer t"}),
    )
    redirected = request.redirected(302, target)
    headers = redirected.sent_headers()

    assert redirected.url.user is None
    assert kept == ("Authorization" in headers) == ("X-Own" in headers)


async def test_a_redirect_can_be_left_alone(http):
    async with serving(redirecting("/end")) as address:
        outcome = await call(http, f"{address}/start", follow_redirects=False)

    assert outcome.error.code == "HTTP_302"
    assert outcome.data["headers"]["location"] == "/end"


@pytest.mark.parametrize(("count", "is_followed"), [(10, True), (11, False)])
async def test_ten_redirects_are_followed_and_no_more(http, count, is_followed):
    async def count_down(request: web.Request) -> web.Response:
        left = int(request.path.strip("/"))
        return web.Response(status=302 if left else 200, headers={"Location": f"/{left - 1}"})

    async with serving(count_down) as address:
        outcome = await call(http, f"{address}/{count}")

    assert outcome.is_ok == is_followed


async def test_redirects_in_a_circle_end_at_a_limit(http):
    async with serving(redirecting("/again")) as address:
        outcome = await call(http, f"{address}/start")

    assert outcome.error.kind == ErrorKind.LIMIT
    assert f"more than {REDIRECTS_MAX} redirects" in outcome.error.message


@pytest.mark.parametrize("target", ["file:///etc/passwd", "http://[", "gopher://h"])
async def test_a_redirect_to_what_is_not_http_is_an_error(http, target):
    async with serving(redirecting(target)) as address:
        outcome = await call(http, f"{address}/start")

    assert outcome.error.kind == ErrorKind.CONNECTION
    assert outcome.error.code == "REDIRECT"


# -- errors ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (400, ErrorKind.CLIENT_ERROR, False),
        (401, ErrorKind.AUTH, False),
        (403, ErrorKind.AUTH, False),
        (404, ErrorKind.NOT_FOUND, False),
        (408, ErrorKind.TIMEOUT, True),
        (409, ErrorKind.CLIENT_ERROR, False),
        (425, ErrorKind.TIMEOUT, True),
        (429, ErrorKind.RATE_LIMIT, True),
        (500, ErrorKind.SERVER_ERROR, True),
        (501, ErrorKind.SERVER_ERROR, False),
        (503, ErrorKind.SERVER_ERROR, True),
        (505, ErrorKind.SERVER_ERROR, False),
        (304, ErrorKind.UNKNOWN, False),
    ],
)
async def test_a_status_other_than_2xx_is_an_error_of_its_kind(http, status, kind, retryable):
    async with serving(answering(status, b"")) as address:
        outcome = await call(http, address)

    assert not outcome.is_ok
    assert kind == outcome.error.kind
    assert retryable == outcome.error.retryable
    assert f"HTTP_{status}" == outcome.error.code
    assert status == outcome.error.http_status == outcome.http["status"]


async def test_an_error_still_carries_the_answer(http):
    body = b'{"detail": "no   such\\nthing"}'
    async with serving(answering(404, body, Content_Type="application/json")) as address:
        outcome = await call(http, f"{address}/x?key=secret")

    expected = f'GET {address}/x answered HTTP 404: {{"detail": "no such\\nthing"}}'
    assert expected == outcome.error.message
    assert outcome.data["body"] == {"detail": "no   such\nthing"}
    assert outcome.body_key == "data"


@pytest.mark.parametrize(
    ("body", "shown"),
    [(b"x" * 5000, "x" * 199 + "…"), (b"\x89PNG\x00\xff", None), ("é" * 3000, "é" * 199 + "…")],
)
async def test_a_message_shows_a_short_piece_of_a_body_that_is_text(http, body, shown):
    raw = body.encode() if isinstance(body, str) else body
    async with serving(answering(500, raw)) as address:
        outcome = await call(http, address)

    expected = f"GET {address} answered HTTP 500" + (f": {shown}" if shown else "")
    assert expected == outcome.error.message


NOW = "Wed, 21 Oct 2015 07:28:00 GMT"
LATER = "Wed, 21 Oct 2015 07:28:42 GMT"


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (429, {"Retry_After": "3"}, 3.0),
        (503, {"Retry_After": " 0.5 "}, 0.5),
        (429, {"Retry_After": LATER, "Date": NOW}, 42.0),
        (429, {"Retry_After": NOW, "Date": LATER}, 0.0),
        (429, {"Retry_After": NOW}, 0.0),
        (429, {"Retry_After": "soon"}, None),
        (429, {"Retry_After": "-1"}, None),
        (429, {}, None),
        (404, {"Retry_After": "3"}, None),
    ],
)
async def test_the_server_says_when_to_come_back(http, status, headers, expected):
    async with serving(answering(status, **headers)) as address:
        outcome = await call(http, address)

    assert expected == outcome.error.retry_after


async def test_a_date_to_come_back_is_compared_with_our_clock_if_the_server_shows_none(http):
    until = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=60)
    stamp = until.strftime("%a, %d %b %Y %H:%M:%S GMT")
    async with speaking(f"HTTP/1.1 429 No\r\nRetry-After: {stamp}\r\n\r\n".encode()) as address:
        outcome = await call(http, address)

    assert 50 < outcome.error.retry_after <= 60


async def test_an_answer_beyond_the_limit_is_an_error(http):
    async with serving(answering(200, b"x" * 100_000)) as address:
        assert (await call(http, address)).is_ok
    async with serving(answering(200, b"x" * 100_001)) as address:
        outcome = await call(http, f"{address}/?key=secret")

    assert outcome.error.kind == ErrorKind.LIMIT
    assert outcome.error.message == f"GET {address}/ answered with more than 100,000 bytes"


async def test_the_limit_counts_what_is_unpacked(http):
    packed = gzip.compress(b"x" * 10_000_000)
    async with serving(answering(200, packed, Content_Encoding="gzip")) as address:
        outcome = await call(http, address)

    assert outcome.error.code == "RESPONSE_TOO_LARGE"


async def test_a_call_past_its_time_is_a_timeout(http):
    async with speaking(b"", closes=False) as address:
        outcome = await call(http, f"{address}/x?key=secret", timeout_seconds=0.05)

    assert outcome.error.kind == ErrorKind.TIMEOUT
    assert outcome.error.retryable
    assert outcome.error.message == f"GET {address}/x was not answered within 0.05 seconds"
    assert outcome.http == {}


async def test_the_time_counts_for_the_body_as_well(http):
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"
    async with speaking(head, closes=False) as address:
        outcome = await call(http, address, timeout_seconds=0.05)

    assert outcome.error.kind == ErrorKind.TIMEOUT


async def test_a_cancelled_call_closes_its_connection(http):
    asked, gone = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        assert await reader.read() == b""
        gone.set()
        writer.close()

    found = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with found:
        port = found.sockets[0].getsockname()[1]
        task = asyncio.create_task(call(http, f"http://127.0.0.1:{port}"))
        await asyncio.wait_for(asked.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(gone.wait(), 5)

    assert gone.is_set()


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"", "DISCONNECTED"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "DISCONNECTED"),
        (b"nonsense\r\n\r\n", "PROTOCOL"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", "PROTOCOL"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nnot packed", "PROTOCOL"),
    ],
)
async def test_a_server_that_breaks_off_is_a_connection_error(http, answer, code):
    async with speaking(answer) as address:
        outcome = await call(http, f"{address}/?key=secret", method="POST")

    assert outcome.error.kind == ErrorKind.CONNECTION
    assert code == outcome.error.code
    assert outcome.error.retryable
    assert "secret" not in outcome.error.message


async def test_a_connection_that_is_refused_is_a_connection_error(http):
    outcome = await call(http, f"http://127.0.0.1:{unused_port()}/?key=secret")

    assert outcome.error.kind == ErrorKind.CONNECTION
    assert outcome.error.code == "CONNECT"
    assert outcome.error.retryable
    assert outcome.error.message.endswith("/: cannot connect: Connection refused")


async def test_a_host_that_is_not_known_is_a_connection_error(http, monkeypatch):
    def nowhere(*given: object, **facts: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    outcome = await call(http, "http://nobody.example/x?key=secret")

    assert outcome.error.kind == ErrorKind.CONNECTION
    assert outcome.error.code == "DNS"
    assert outcome.error.retryable
    expected = "GET http://nobody.example/x: cannot connect: Name or service not known"
    assert expected == outcome.error.message


async def test_without_an_answer_the_status_is_undefined_and_no_exception(http):
    outcome = await call(http, f"http://127.0.0.1:{unused_port()}")
    output = outcome_view(outcome, outcome.data, outcome.meta)

    assert output.name("http") == {}
    assert output.name("data") is None


def test_every_fault_of_the_library_has_its_place():
    kinds = [kind for kind, _, _ in FAULTS]

    assert kinds[-1] is aiohttp.ClientError
    for at, kind in enumerate(kinds):
        assert not any(issubclass(kind, earlier) for earlier in kinds[:at]), kind


# -- TLS ------------------------------------------------------------------------------


@pytest.fixture
async def safe_server(tmp_path) -> AsyncIterator[str]:
    secret, certificate = self_signed()
    file = tmp_path / "server.pem"
    file.write_bytes(secret + certificate)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    async with serving(echo, context) as address:
        yield address


async def test_a_certificate_that_nobody_vouches_for_is_an_error_that_stays(http, safe_server):
    outcome = await call(http, safe_server)

    assert outcome.error.kind == ErrorKind.CONNECTION
    assert outcome.error.code == "TLS_CERTIFICATE"
    assert not outcome.error.retryable
    assert "self-signed" in outcome.error.message


async def test_certificates_are_not_checked_where_the_task_says_so(http, safe_server):
    assert (await seen(http, safe_server, verify_ssl=False))["method"] == "GET"
    assert not (await call(http, safe_server, verify_ssl=True)).is_ok


async def test_a_server_without_tls_is_a_connection_error(http, server):
    outcome = await call(http, server.replace("http:", "https:"))

    assert outcome.error.kind == ErrorKind.CONNECTION
    assert outcome.error.code == "TLS"
    assert outcome.error.retryable


# -- proxies --------------------------------------------------------------------------


async def test_a_proxy_of_the_environment_is_used(http, monkeypatch):
    async with serving(echo) as proxy:
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        found = await seen(http, "http://some.example/p")
        direct = await call(http, f"http://127.0.0.1:{unused_port()}")

    assert found["headers"]["host"] == "some.example"
    assert direct.error.code == "CONNECT"
