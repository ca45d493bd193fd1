"""Every tool keeps the contract that tools of other packages are held to."""

from __future__ import annotations

import pytest
from aiohttp import web

from arcbook.testing.contracts.tool import Failure, ToolContract
from arcbook.testing.tools import FakeContext
from arcbook.tools import (
    artifact,
    container,
    duckdb,
    http,
    nats,
    noop,
    playbook,
    postgres,
    python,
    result_fetch,
    shell,
    subscription,
    transfer,
)
from arcbook.tools.api import Credential
from arcbook.tools.confinement import Confinement, JobPlace
from arcbook.tools.container import script

pytestmark = pytest.mark.services


class TestNoop(ToolContract):
    spec = noop.SPEC
    config = {"message": "done"}


class TestPython(ToolContract):
    spec = python.SPEC
    config = {"code": "result = {'n': 1}"}
    failures = {
        "no program": Failure({"code": "result ="}, kind="parse"),
        "one that raises": Failure({"code": "1 / 0"}, kind="unknown", code="PY_ZeroDivisionError"),
    }
    slow = {"code": "import time; time.sleep(60)"}


class TestShell(ToolContract):
    spec = shell.SPEC
    config = {"command": "echo done"}
    failures = {"a command that fails": Failure({"command": "exit 3"}, kind="process")}
    slow = {"command": "sleep 60"}


class TestContainer(ToolContract):
    spec = container.SPEC
    config = {"image": "any", "command": "true"}
    failures = {"no command": Failure({"image": "any"}, kind="config")}

    @pytest.fixture
    def context(self, tmp_path):
        jobs = JobPlace(backend="process", folder=str(tmp_path / "jobs"))
        return FakeContext(confinement=Confinement(jobs=jobs))


class TestScript(ToolContract):
    spec = script.SPEC
    config = {"code": "print(1)"}
    failures = {
        "no file": Failure({"script": "no/such/file.py"}, kind="not_found"),
        "an unknown interpreter": Failure({"code": "1", "interpreter": "cobol"}, kind="config"),
    }

    @pytest.fixture
    def context(self, tmp_path):
        jobs = JobPlace(backend="process", folder=str(tmp_path / "jobs"))
        return FakeContext(folder=str(tmp_path), confinement=Confinement(jobs=jobs))


class TestHttp(ToolContract):
    spec = http.SPEC
    failures = {
        "nobody listens": Failure({"url": "http://127.0.0.1:1/"}, kind="connection"),
        "no address": Failure({"url": "nowhere"}, kind="config"),
    }

    @pytest.fixture
    async def good(self, aiohttp_server):
        return {"url": f"{aiohttp_server}/"}


class TestDuckdb(ToolContract):
    spec = duckdb.SPEC
    config = {"query": "select 42 as answer"}
    failures = {"no SQL": Failure({"query": "selekt"}, kind="client_error")}


class TestPostgres(ToolContract):
    spec = postgres.SPEC
    config = {"query": "select 42 as answer"}
    failures = {
        "no SQL": Failure({"query": "selekt"}, kind="client_error"),
        "no table": Failure({"query": "select * from nowhere"}, kind="schema", code="PG_42P01"),
    }
    slow = {"query": "select pg_sleep(60)"}

    @pytest.fixture
    def credential(self, postgres_server, database):
        return Credential(name="pg", type="postgres", data=postgres_server.fields(database))


class TestNats(ToolContract):
    spec = nats.SPEC
    config = {"operation": "server_info"}

    @pytest.fixture
    def credential(self, nats_server):
        return Credential(name="bus", type="nats", data={"url": nats_server.url})


class TestSubscription(ToolContract):
    spec = subscription.SPEC
    failures = {
        "no consumer": Failure({"source": "nats"}, "config"),
        "kafka": Failure({"source": "kafka"}, "config"),
    }

    @pytest.fixture
    async def good(self, nats_server):
        from nats.aio.client import Client
        from nats.js.api import ConsumerConfig

        client = Client()
        await client.connect(nats_server.url)
        js = client.jetstream()
        await js.add_stream(name="CONTRACT", subjects=["contract"])
        await js.add_consumer("CONTRACT", ConsumerConfig(durable_name="one"))
        yield {
            "source": "nats",
            "stream": "CONTRACT",
            "consumer": "one",
            "timeout_ms": 50,
            "url": nats_server.url,
        }
        await js.delete_stream("CONTRACT")
        await client.close()


REF = "noetl://execution/1/result/1"


class OfReferences(ToolContract):
    """What tools promise that read values kept by reference."""

    @pytest.fixture
    def context(self):
        return FakeContext(results={REF: {"rows": [1, 2]}})


class TestArtifact(OfReferences):
    spec = artifact.SPEC
    config = {"result_ref": REF}


class TestResultFetch(OfReferences):
    spec = result_fetch.SPEC
    config = {"ref": REF}


class TestPlaybook(ToolContract):
    spec = playbook.SPEC
    config = {"path": "examples/child"}


class TestTransfer(ToolContract):
    spec = transfer.SPEC

    @pytest.fixture
    def good(self, tmp_path):
        source = tmp_path / "in.csv"
        source.write_text("a,b\n1,2\n")
        return {
            "source": {"type": "file", "path": str(source)},
            "target": {"type": "file", "path": str(tmp_path / "out.jsonl")},
        }


async def _answer(_: web.Request) -> web.Response:
    return web.json_response({"ok": True})


@pytest.fixture
async def aiohttp_server():
    """A web service."""
    app = web.Application()
    app.router.add_get("/", _answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()
