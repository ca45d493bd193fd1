"""What the mcp tool promises, against servers built with the protocol's own SDK."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from arcbook.egress import Egress
from arcbook.outcome import ErrorKind, Outcome
from arcbook.testing.tools import FakeContext, call_tool
from arcbook.tools.api import Credential
from arcbook.tools.confinement import Confinement
from arcbook.tools.mcp import Mcp
from arcbook.tools.mcp import link as mcp_link

pytestmark = pytest.mark.services

SERVER = str(Path(__file__).parents[1] / "mcp_server.py")
OPEN = Credential(name="assistant", type="bearer", data={"token": "open"})
PATHS = {"http": "/mcp", "json": "/mcp", "sse": "/sse"}


@contextlib.contextmanager
def serving(form: str, *more: str) -> Iterator[str]:
    """Run a server, and yield its address."""
    process = subprocess.Popen(
        [sys.executable, SERVER, form, *more], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        yield f"http://127.0.0.1:{port}{PATHS[form]}"
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture(scope="module", params=["http", "json", "sse", "stdio"])
def form(request: pytest.FixtureRequest) -> str:
    """How the server speaks."""
    return str(request.param)


@pytest.fixture(scope="module")
def where(form: str) -> Iterator[dict[str, Any]]:
    """A server over each transport, as a task names it."""
    if form == "stdio":
        yield {"command": sys.executable, "args": [SERVER, "stdio"]}
        return
    with serving(form) as endpoint:
        yield {"endpoint": endpoint}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with serving("http") as endpoint:
        yield endpoint


async def ask(config: dict[str, Any], auth: Any = OPEN, **more: Any) -> Outcome:
    outcome = await call_tool(Mcp(), "mcp", config, auth=auth, **more)
    assert isinstance(outcome, Outcome)
    return outcome


async def test_a_tool_is_called_over_every_transport_with_the_same_result(where):
    outcome = await ask({**where, "tool": "add", "arguments": {"a": 2, "b": 3}})

    assert outcome.is_ok, outcome.error
    assert outcome.data["structured"] == {"sum": 5}
    assert '"sum": 5' in outcome.data["text"]
    assert outcome.data["server"] == "sums"
    assert outcome.data["initialize"]["serverInfo"]["version"] == "1.2"


async def test_tools_resources_and_prompts_are_listed_and_read(where):
    tools = await ask({**where, "method": "tools/list"})
    resources = await ask({**where, "method": "resources/list"})
    note = await ask({**where, "method": "resources/read", "uri": "note://today"})
    prompts = await ask({**where, "method": "prompts/list"})
    prompt = await ask(
        {**where, "method": "prompts/get", "prompt": "greet", "arguments": {"name": "Ann"}}
    )

    assert tools.data["text"].splitlines() == ["add", "fail", "hang", "much"]
    assert resources.data["result"]["resources"][0]["uri"] == "note://today"
    assert note.data["text"] == "buy bread"
    assert prompts.data["text"] == "greet"
    assert prompt.data["text"] == "Greet Ann."


async def test_what_a_tool_calls_an_error_is_one(where):
    outcome = await ask({**where, "tool": "fail", "arguments": {"why": "no bread"}})

    assert outcome.error is not None
    assert (outcome.error.kind, outcome.error.code) == (ErrorKind.SERVER_ERROR, "MCP_TOOL_ERROR")
    assert "no bread" in outcome.error.message
    assert outcome.data["result"]["isError"] is True


async def test_a_tool_that_takes_too_long_is_stopped_at_the_server(where, form, tmp_path):
    files = {"started": str(tmp_path / "started"), "ended": str(tmp_path / "ended")}
    outcome = await ask({**where, "tool": "hang", "arguments": files}, timeout_seconds=3)

    assert outcome.error is not None
    assert (outcome.error.kind, outcome.error.retryable) == (ErrorKind.TIMEOUT, True)
    assert (tmp_path / "started").exists()
    # A server that answers in plain JSON does not see that nobody waits any more.
    if form in ("http", "sse"):
        async with asyncio.timeout(10):
            while not (tmp_path / "ended").exists():
                await asyncio.sleep(0.01)


async def test_health_is_the_handshake(endpoint):
    outcome = await ask({"endpoint": endpoint, "method": "health"})

    assert outcome.is_ok
    assert outcome.data["initialize"]["protocolVersion"]


async def test_the_older_handshake_is_made_where_a_version_is_written(endpoint):
    outcome = await ask(
        {"endpoint": endpoint, "method": "health", "protocol_version": "2025-03-26"}
    )

    assert outcome.data["initialize"]["protocolVersion"].startswith("2025")


async def test_the_address_may_stand_in_the_credential(endpoint):
    auth = Credential(name="a", type="bearer", data={"token": "open", "url": endpoint})

    assert (await ask({"method": "health"}, auth)).is_ok


@pytest.mark.parametrize("auth", [None, Credential(name="a", type="bearer", data={"token": "no"})])
async def test_a_credential_that_is_refused(endpoint, auth):
    outcome = await ask({"endpoint": endpoint, "method": "health"}, auth)

    assert outcome.error is not None
    assert (outcome.error.kind, outcome.error.code) == (ErrorKind.AUTH, "HTTP_401")
    assert not outcome.error.retryable


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"tool": "add"}, "'endpoint'"),
        ({"endpoint": "http://h/", "method": "tools/call"}, "'tool'"),
        ({"endpoint": "http://h/", "method": "resources/read"}, "'uri'"),
        ({"endpoint": "http://h/", "method": "prompts/get"}, "'prompt'"),
        ({"endpoint": "http://h/", "method": "sampling/create"}, "'method' must be one of"),
        ({"endpoint": "ftp://h/", "tool": "add"}, "'endpoint'"),
        ({"command": "/no/such/program", "tool": "add"}, "there is no program"),
    ],
)
async def test_what_cannot_be_asked_is_a_config_error(config, said):
    outcome = await ask(config)

    assert outcome.error is not None
    assert outcome.error.kind is ErrorKind.CONFIG
    assert said in outcome.error.message


async def test_a_tool_that_does_not_exist(where):
    outcome = await ask({**where, "tool": "subtract"})

    assert outcome.error is not None
    assert "subtract" in outcome.error.message
    assert not outcome.error.retryable


async def test_nobody_answers():
    outcome = await ask({"endpoint": "http://127.0.0.1:9/mcp", "tool": "add"})

    assert outcome.error is not None
    assert (outcome.error.kind, outcome.error.code) == (ErrorKind.CONNECTION, "CONNECT")
    assert outcome.error.retryable


@contextlib.asynccontextmanager
async def peer(answer: bytes | None) -> AsyncIterator[str]:
    """A service that answers each request like this, or not at all."""
    writers = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            if answer is not None:
                writer.write(answer)
                await writer.drain()
                writer.close()
            else:
                await reader.read()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/mcp"
        for writer in writers:
            writer.close()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", ErrorKind.SERVER_ERROR),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", ErrorKind.CLIENT_ERROR),
        (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\nbroken",
            ErrorKind.CONNECTION,
        ),
        (b"not even HTTP\r\n\r\n", ErrorKind.CONNECTION),
        (b"", ErrorKind.CONNECTION),
    ],
)
async def test_a_peer_that_is_no_server(answer, kind):
    async with peer(answer) as url:
        outcome = await ask({"endpoint": url, "tool": "add"}, timeout_seconds=10)

    assert outcome.error is not None
    assert outcome.error.kind is kind, outcome.error


async def test_a_peer_that_hangs_costs_no_more_than_the_timeout():
    async with peer(None) as url, asyncio.timeout(8):
        outcome = await ask({"endpoint": url, "tool": "add"}, timeout_seconds=1)

    assert outcome.error is not None
    assert outcome.error.kind is ErrorKind.TIMEOUT


async def test_an_answer_that_is_too_large(endpoint, monkeypatch):
    monkeypatch.setattr(mcp_link, "ANSWER_BYTES_MAX", 100_000)
    outcome = await ask({"endpoint": endpoint, "tool": "much", "arguments": {"size": 200_000}})

    assert outcome.error is not None
    assert (outcome.error.kind, outcome.error.code) == (ErrorKind.LIMIT, "RESPONSE_TOO_LARGE")


async def test_a_program_that_ends_says_why():
    config = {"command": sys.executable, "args": ["-c", "raise SystemExit('no licence')"]}
    outcome = await ask({**config, "tool": "add"}, timeout_seconds=20)

    assert outcome.error is not None
    assert outcome.error.kind is ErrorKind.CONNECTION
    assert "no licence" in outcome.error.message


async def test_a_worker_starts_no_servers(tmp_path):
    confinement = Confinement(folders=(), workspaces=str(tmp_path))
    outcome = await ask(
        {"command": "true", "tool": "add"}, context=FakeContext(confinement=confinement)
    )

    assert outcome.error is not None
    assert "starts no servers" in outcome.error.message


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_servers_are_connected_to_as_far_as_the_settings_allow(host, endpoint):
    config = {"endpoint": endpoint.replace("127.0.0.1", host), "method": "health"}
    refusing = FakeContext(confinement=Confinement(egress=Egress(private=False)))
    letting = FakeContext(confinement=Confinement(egress=Egress.of([host], private=False)))

    refused = await ask(config, context=refusing)
    assert refused.error is not None
    assert (refused.error.kind, refused.error.code) == (ErrorKind.CONFIG, "EGRESS")
    assert (await ask(config, context=letting)).is_ok
