"""Every tool that connects heeds one policy: by name, by address, on each redirect."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from arcbook.egress import Egress
from arcbook.outcome import ErrorKind, Outcome
from arcbook.testing.tools import FakeContext, call_tool
from arcbook.tools.api import Credential, Tool
from arcbook.tools.confinement import Confinement
from arcbook.tools.duckdb import Duckdb
from arcbook.tools.http import Http
from arcbook.tools.nats import Nats
from arcbook.tools.postgres import Postgres
from arcbook.tools.python import Python
from arcbook.tools.transfer import Transfer

pytestmark = pytest.mark.services

PUBLIC = Egress(private=False)


@contextlib.asynccontextmanager
async def redirecting(location: str) -> AsyncIterator[str]:
    """A service that sends everybody elsewhere."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
        writer.write(head.encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


async def refused(
    tool: Tool, kind: str, config: dict[str, Any], egress: Egress, auth: Any = None
) -> str:
    context = FakeContext(confinement=Confinement(egress=egress))
    try:
        outcome = await call_tool(
            tool, kind, config, context=context, auth=auth, timeout_seconds=10
        )
    finally:
        await tool.close()
    assert isinstance(outcome, Outcome)
    assert outcome.error is not None
    assert (outcome.error.kind, outcome.error.retryable) == (ErrorKind.CONFIG, False)
    return outcome.error.message


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
async def test_http_does_not_connect_to_a_private_address(host: str):
    message = await refused(Http(), "http", {"url": f"http://{host}:9/"}, PUBLIC)

    assert "is not allowed" in message
    assert "ARCBOOK_EGRESS_PRIVATE" in message


@pytest.mark.parametrize("location", ["http://169.254.169.254/latest/", "http://[fd00:ec2::254]/"])
async def test_no_redirect_leads_to_the_metadata_of_a_cloud(location: str):
    async with redirecting(location) as url:
        message = await refused(Http(), "http", {"url": url}, Egress())

    assert "credentials of the machine" in message


async def test_a_redirect_to_a_denied_host_is_refused():
    async with redirecting("http://localhost:9/") as url:
        message = await refused(
            Http(), "http", {"url": url}, Egress.of([], ["localhost"], private=True)
        )

    assert "ARCBOOK_EGRESS_DENY" in message


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest/", "http://some.invalid/"])
async def test_a_proxy_is_not_sent_to_the_metadata_of_a_cloud(url: str, monkeypatch):
    async with redirecting("http://169.254.169.254/latest/") as proxy:
        monkeypatch.setenv("http_proxy", proxy)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        message = await refused(Http(), "http", {"url": url}, Egress())

    assert "credentials of the machine" in message


async def test_scripts_are_not_fetched_from_a_private_address():
    script = {"uri": "http://127.0.0.1:9/x.py", "source": {"type": "http"}}

    assert "is not allowed" in await refused(Python(), "python", {"script": script}, PUBLIC)


async def test_a_script_is_not_fetched_by_a_redirect_to_metadata():
    async with redirecting("http://169.254.169.254/") as url:
        script = {"uri": url, "source": {"type": "http"}}
        message = await refused(Python(), "python", {"script": script}, Egress())

    assert "credentials of the machine" in message


async def test_databases_and_transfers_connect_where_they_may(postgres_server, database):
    fields = postgres_server.fields(database)
    auth = Credential(name="pg", type="postgres", data=fields)
    source = {"type": "postgres", "query": "select 1 as a", **fields}
    target = {"type": "postgres", "table": "t", **fields}

    single = await refused(Postgres(), "postgres", {"query": "select 1"}, PUBLIC, auth)
    moved = await refused(Transfer(), "transfer", {"source": source, "target": target}, PUBLIC)

    assert "ARCBOOK_EGRESS_PRIVATE" in single
    assert "ARCBOOK_EGRESS_PRIVATE" in moved


async def test_a_database_is_reached_by_a_name_that_is_allowed(postgres_server, database):
    fields = {**postgres_server.fields(database), "host": "localhost"}
    context = FakeContext(confinement=Confinement(egress=Egress.of(["localhost"], private=False)))
    tool = Postgres()
    outcome = await call_tool(tool, "postgres", {"query": "select 1", **fields}, context=context)
    await tool.close()

    assert isinstance(outcome, Outcome)
    assert outcome.is_ok, outcome.error


async def test_every_server_of_a_list_is_one_that_nats_may_connect_to(nats_server):
    url = f"{nats_server.url},nats://169.254.169.254:4222"
    config = {"operation": "kv_keys", "bucket": "b", "url": url}

    assert "credentials of the machine" in await refused(Nats(), "nats", config, Egress())


async def test_nats_connects_where_it_may(nats_server):
    config = {"operation": "kv_keys", "bucket": "b", "url": nats_server.url}

    assert "ARCBOOK_EGRESS_PRIVATE" in await refused(Nats(), "nats", config, PUBLIC)
    context = FakeContext(confinement=Confinement(egress=Egress.of(["127.0.0.1"], private=False)))
    tool = Nats()
    outcome = await call_tool(tool, "nats", config, context=context)
    await tool.close()
    assert isinstance(outcome, Outcome)
    assert outcome.is_ok, outcome.error


@pytest.mark.parametrize(
    ("egress", "said"),
    [(Egress(), "credentials of the machine"), (PUBLIC, "fetch it with 'http'")],
)
async def test_duckdb_reads_nothing_from_where_tools_do_not_connect(egress: Egress, said: str):
    query = "select * from read_csv('http://169.254.169.254/latest/meta-data')"

    assert said in await refused(Duckdb(), "duckdb", {"query": query}, egress)
