"""What follows from the effects of calls that real servers see."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from arcbook.compose.embedded import Embedded
from arcbook.dry_run import DryRun
from arcbook.engine.state import Status
from arcbook.settings import load_settings

pytestmark = pytest.mark.services

HEAD = "apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {name: b, path: b}\nworkflow:\n"
SEND = (
    "- step: start\n  tool: {{kind: http, method: POST, url: '{url}', idempotency: {keyed}, "
    "spec: {{policy: {{rules: [{{when: '{{{{ output.error.retryable }}}}', "
    "then: {{do: retry, attempts: 3, delay: 0}}}}]}}}}}}\n"
)


@contextlib.asynccontextmanager
async def hanging_up() -> AsyncIterator[tuple[str, list[bytes]]]:
    """A service that reads a request and closes the connection without an answer."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", seen


@pytest.mark.parametrize(("keyed", "requests"), [("true", 3), ("false", 1)])
async def test_a_request_that_may_have_had_its_effect_is_tried_again_only_with_a_key(
    tmp_path: Path, keyed: str, requests: int
):
    async with hanging_up() as (url, seen), Embedded(load_settings(home=tmp_path)) as embedded:
        planned = await embedded.register(HEAD + SEND.format(url=url, keyed=keyed), "b.yaml")
        state = await embedded.run(planned, {})

    assert state.status is Status.FAILED
    assert state.error is not None
    assert state.error.code == "DISCONNECTED"
    assert len(seen) == requests
    assert state.error.message.endswith("may have had its effect") is (requests == 1)


async def test_a_query_of_a_dry_run_changes_nothing_though_a_function_in_it_would(
    tmp_path: Path, postgres_server, database
):
    postgres_server.execute("create sequence s", database)
    dsn = postgres_server.dsn(database)
    query = f"- step: start\n  tool: {{kind: postgres, dsn: '{dsn}', query: \"select nextval('s') as n\"}}\n"
    async with DryRun(load_settings(home=tmp_path)) as dry:
        planned = await dry.register(HEAD + query, "b.yaml")
        state = await dry.run(planned, {})

    assert state.error is not None
    assert state.error.sqlstate == "25006"
    assert postgres_server.execute("select is_called from s", database) == [(False,)]
