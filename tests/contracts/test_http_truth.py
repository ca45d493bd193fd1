"""What the http tool sends and says is what was written and what happened."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from arcbook.outcome import ErrorKind
from arcbook.testing.tools import FakeContext, call_tool
from arcbook.tools.http import Http
from arcbook.tools.http_response import RETRY_AFTER_SECONDS_MAX

HUGE = 123456789012345678901234567890


async def _answer(request: web.Request) -> web.Response:
    if request.path == "/to":
        return web.Response(status=302, headers={"Location": request.query["location"]})
    if request.path == "/text":
        return web.Response(text="<html>sorry</html>")
    if request.path == "/nothing":
        return web.Response(status=204)
    if request.path == "/unpackable":
        return web.Response(body=b"plain", headers={"Content-Encoding": "gzip"})
    if request.path == "/unusual":
        body = b'{"big": %d, "nan": NaN, "half": "\\ud83d", "n": 1}' % HUGE
        return web.Response(body=body, content_type="application/json")
    if request.path == "/deep":
        return web.Response(text="[" * 100_000, content_type="application/json")
    if request.path == "/busy":
        return web.Response(status=429, headers={"Retry-After": request.query["seconds"]})
    text = (await request.read()).decode()
    return web.json_response({"sent": request.raw_path, "body": text})


@pytest.fixture
async def server() -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", _answer)
    server = TestServer(app)
    await server.start_server()
    yield str(server.make_url("")).rstrip("/")
    await server.close()


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    tool = Http()
    yield tool
    await tool.close()


async def get(http: Http, url: str, **config):
    context = FakeContext()
    return await call_tool(http, "http", {"url": url, **config}, context=context)


@pytest.mark.parametrize(
    "written",
    [
        "/f?X-Sig=a%2Bb%2Fc%3D&X-Date=2020%3A10&e=",
        "/f?a=%7e~&b=%41&c=%20&d=x+y",
        "/f?a=1;b=2&c&a=b=c",
        "/f?a='*()!@$,/?:",
        "/f%2Fg/%41b/c%3Ad?x=%2F",
        "/f?",
    ],
)
async def test_an_address_is_sent_as_it_is_written(http, server, written):
    sent = (await get(http, server + written)).data["body"]["sent"]

    assert sent == written.removesuffix("?")


async def test_parameters_leave_what_is_written_as_it_is(http, server):
    outcome = await get(http, f"{server}/f?sig=a%2Bb%2Fc%3D", params={"z": "1 2+3", "n": [1, 2]})

    assert outcome.data["body"]["sent"] == "/f?sig=a%2Bb%2Fc%3D&z=1+2%2B3&n=1&n=2"


async def test_what_an_address_cannot_hold_is_quoted(http, server):
    outcome = await get(http, f"{server}/a b?x=ä%zz")

    assert outcome.data["body"]["sent"] == "/a%20b?x=%C3%A4%25zz"


async def test_a_redirect_is_followed_to_the_address_as_written(http, server):
    outcome = await get(http, f"{server}/to", params={"location": f"{server}/g?sig=a%2Fb%3D"})

    assert outcome.data["body"]["sent"] == "/g?sig=a%2Fb%3D"


@pytest.mark.parametrize("location", ["http://", "https:", "//", "http:///x", "http://?a=1"])
async def test_a_redirect_without_a_host_is_said_to_lead_nowhere(http, server, location):
    outcome = await get(http, f"{server}/to", params={"location": location})

    assert outcome.error.code == "REDIRECT"
    assert "not an HTTP address" in outcome.error.message


async def test_a_body_that_should_be_json_and_is_not_is_an_error_with_its_text(http, server):
    outcome = await get(http, f"{server}/text", response_type="json")

    assert outcome.error.kind is ErrorKind.PARSE
    assert outcome.error.code == "NOT_JSON"
    assert "<html>sorry</html>" in outcome.error.message
    assert outcome.data["body"] == "<html>sorry</html>"
    assert outcome.http["status"] == 200


async def test_an_answer_that_has_no_body_is_null_where_json_is_asked_for(http, server):
    outcome = await get(http, f"{server}/nothing", response_type="json")

    assert outcome.is_ok
    assert outcome.data["body"] is None


async def test_a_body_that_is_not_packed_as_it_says_is_called_so(http, server):
    outcome = await get(http, f"{server}/unpackable")

    assert outcome.error.code == "PROTOCOL"
    assert "Content-Encoding" in outcome.error.message
    assert "400" not in outcome.error.message


@pytest.mark.parametrize("response_type", ["auto", "json"])
async def test_one_unusual_value_does_not_make_text_of_a_body(http, server, response_type):
    outcome = await get(http, f"{server}/unusual", response_type=response_type)

    assert outcome.data["body"] == {"big": HUGE, "nan": None, "half": "\ufffd", "n": 1}


async def test_a_body_that_nests_too_deeply_is_a_clear_error(http, server):
    outcome = await get(http, f"{server}/deep")

    assert outcome.error.kind is ErrorKind.CONFIG
    assert outcome.error.code == "TOO_DEEP"
    assert "100 levels" in outcome.error.message


@pytest.mark.parametrize("seconds", ["31536000", "9" * 400, "Sat, 31 Dec 9999 00:00:00 GMT"])
async def test_a_server_cannot_ask_for_a_wait_without_end(http, server, seconds):
    outcome = await get(http, f"{server}/busy", params={"seconds": seconds})

    assert outcome.error.retry_after == RETRY_AFTER_SECONDS_MAX


async def test_integers_and_text_of_a_body_go_out_as_they_are(http, server):
    given = {"n": HUGE, "t": "\ud83d!", "x": float("inf")}
    outcome = await get(http, server, method="POST", json=given)

    assert json.loads(outcome.data["body"]["body"]) == {"n": HUGE, "t": "\ufffd!", "x": None}
