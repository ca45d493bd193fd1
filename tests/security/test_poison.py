"""A decision that ends its server, or never ends, costs its own execution and no cluster."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import secrets
import sys
from pathlib import Path

import aiohttp
import pytest

from arcbook.store.postgres import upgrade
from arcbook.testing.processes import Process
from arcbook.testing.services import bare_environment

pytestmark = pytest.mark.held("contained")

PLAYBOOK = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {{name: {0}, path: tests/{0}}}
workflow:
  - step: start
    tool: {{kind: noop}}
    next: [{{step: work}}]
  - step: work
    tool: {{kind: shell, command: "true"}}
"""

ENDS_SECONDS = 60.0


class Servers:
    """Servers with a planted decision, started again when they end, as an operator's would be."""

    def __init__(self, how, environment, folder):
        self._command = [sys.executable, str(Path(__file__).with_name("planted.py")), how]
        self._options = {"env": environment, "cwd": folder}
        self.running = []
        self.ends = 0
        self._log = ""

    def start(self, *arguments, ready="listens on"):
        process = Process([*self._command, *arguments], ready, **self._options)
        self.running.append(process)
        process.wait_ready()
        return process

    def server(self):
        return self.start("server", "--port", "0")

    @property
    def url(self):
        return self.running[0].find(r"listens on (\S+)")

    @property
    def log(self):
        return self._log + "".join(process.log for process in self.running)

    async def attend(self):
        """Start a server in the place of one that has ended."""
        while True:
            await asyncio.sleep(0.1)
            for process in [p for p in self.running if not p.is_alive]:
                self.running.remove(process)
                process.stop()
                self._log += process.log
                self.ends += 1
                await asyncio.to_thread(self.server)

    def stop(self):
        for process in self.running:
            process.stop()


@pytest.fixture
def cluster(postgres_server, database, tmp_path, request):
    dsn = postgres_server.dsn(database)
    asyncio.run(upgrade(dsn))
    environment = {
        **bare_environment(),
        "ARCBOOK_DSN": dsn,
        "ARCBOOK_HOME": str(tmp_path),
        "ARCBOOK_LEASE_SECONDS": "3",
        "ARCBOOK_INTERNAL_TOKEN": secrets.token_hex(32),
        "ARCBOOK_ENCRYPTION_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
    }
    made = Servers(request.param, environment, tmp_path)
    try:
        made.server()
        made.server()
        made.start("worker", ready="pulls from")
        yield made
    finally:
        made.stop()


class Api:
    def __init__(self, http, cluster):
        self._http = http
        self._cluster = cluster

    async def call(self, method, path, **values):
        """Ask any server that answers."""
        async with asyncio.timeout(ENDS_SECONDS):
            while True:
                for process in list(self._cluster.running):
                    if "listens on" not in process.log:
                        continue
                    url = process.find(r"listens on (\S+)")
                    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                        async with self._http.request(method, url + path, **values) as answer:
                            if answer.status < 500:
                                return await answer.json()
                await asyncio.sleep(0.1)

    async def register(self, name):
        text = PLAYBOOK.format(name)
        return await self.call("POST", "/api/catalog/register", json={"content": text})

    async def start(self, name):
        made = await self.call("POST", "/api/execute", json={"path": f"tests/{name}"})
        return made["execution_id"]

    async def ended(self, execution_id):
        async with asyncio.timeout(ENDS_SECONDS):
            while True:
                found = await self.call("GET", f"/api/executions/{execution_id}")
                if found.get("status") in ("COMPLETED", "FAILED", "CANCELLED"):
                    return found
                await asyncio.sleep(0.2)


@pytest.mark.parametrize(
    ("cluster", "ends"),
    [("sleeps", 0), ("spins", 0), ("dies", 2), ("sleeps:start", 0)],
    indirect=["cluster"],
)
async def test_a_decision_that_never_ends_or_ends_its_server_costs_one_execution(cluster, ends):
    timeout = aiohttp.ClientTimeout(total=3)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        api = Api(http, cluster)
        attending = asyncio.create_task(cluster.attend())
        for name in ("poison", "sound"):
            await api.register(name)
        sound = [await api.start("sound") for _ in range(5)]
        poison = await api.start("poison")
        sound += [await api.start("sound") for _ in range(5)]

        ended = await api.ended(poison)
        others = [await api.ended(one) for one in sound]
        after = await api.ended(await api.start("sound"))
        attending.cancel()

    assert ended["status"] == "FAILED"
    assert "bug in Arcbook" in str(ended)
    assert {one["status"] for one in (*others, after)} == {"COMPLETED"}
    assert cluster.ends <= ends
    assert f"execution {poison}" in cluster.log
