"""The API holds what its OpenAPI document promises, whatever it is sent."""

from __future__ import annotations

import asyncio
import threading

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api_cluster import cluster
from api_playbooks import HELLO
from arcbook.server.http.openapi import document
from arcbook.server.http.settings import HttpSettings
from arcbook.server.http.table import ROUTES
from arcbook.wire.protocol import GATEWAY_MESSAGES, GATEWAY_NOTICES

INTERNAL_TOKEN = "inner"

WAITING = (GATEWAY_MESSAGES, GATEWAY_NOTICES)

EXAMPLES = 12
"""Requests of each route."""

CHECKS = [
    schemathesis.checks.not_a_server_error,
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
]

# The first token would close the API to all requests after it.
SCHEMA = schemathesis.openapi.from_dict(document(ROUTES)).exclude(operation_id="access_add_token")


class Served:
    """A server in a thread of its own, since requests are made without a loop."""

    def __init__(self, folder) -> None:
        self._folder = folder
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=[self._run()])
        self.url = ""

    async def _run(self) -> None:
        given = HttpSettings(internal_token=INTERNAL_TOKEN)
        async with cluster(self._folder, settings=given) as (api,):
            await api.register(HELLO)
            await api.run("examples/hello")
            self.url = api.url
            self._ready.set()
            await self._stop.wait()

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with Served(tmp_path_factory.mktemp("schema")) as found:
        yield found


@pytest.mark.slow
@SCHEMA.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_no_request_finds_a_fault_or_an_answer_beside_its_schema(served, case):
    headers = {}
    if case.path.startswith("/api/internal/") or case.path.endswith("/sealed"):
        headers["Authorization"] = f"Bearer {INTERNAL_TOKEN}"
    if case.path.endswith("/events") and case.query:
        case.query.pop("stream", None)  # a stream ends with its execution
    if case.path in WAITING and isinstance(case.body, dict) and "seconds" in case.body:
        case.body["seconds"] = 0  # it waits for what nobody tells
    case.call_and_validate(base_url=served.url, headers=headers, checks=CHECKS)
