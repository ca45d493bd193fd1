"""The verbs of a cluster tell what is wrong, and end: never a hang, never a traceback."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import time

import pytest

from acceptance.terminal import Terminal
from arcbook.bus.nats import NatsAccess, NatsBus
from arcbook.clock import SystemClock
from arcbook.compose.cluster import bus_token, worker_token_of
from arcbook.secrets.sessions import Root
from arcbook.server.guard import GuardedBus
from arcbook.settings import Settings
from arcbook.store.api import WorkerRow
from arcbook.store.memory import MemoryStore
from arcbook.testing.processes import Process
from arcbook.testing.services import NatsServer, bare_environment
from arcbook.wire.protocol import (
    PROTOCOL,
    Claimed,
    ClaimRequest,
    CommandNotice,
    Registered,
    RegisterRequest,
)
from arcbook.worker.control import Control
from arcbook.worker.sealed import SealedBus

pytestmark = [pytest.mark.services, pytest.mark.slow]

PATIENCE_SECONDS = 30.0

GREET = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: greet, path: tests/greet}
workload: {who: world}
workflow:
  - step: start
    tool:
      kind: python
      input: {who: "{{ workload.who }}"}
      code: 'result = {"said": "hello " + who}'
"""


@pytest.fixture
def dsn(postgres_server, database):
    return postgres_server.dsn(database)


@pytest.fixture
def upgraded(arcbook, dsn):
    assert arcbook("db", "upgrade", "--dsn", dsn).code == 0
    return dsn


@pytest.fixture
def nats():
    """A NATS of the test's own, which it may stop."""
    with NatsServer() as server:
        yield server


@pytest.fixture
def processes():
    found = []
    yield found
    for process in reversed(found):
        process.stop(signal.SIGKILL)


def started(processes, arcbook, ready, *arguments, **variables):
    """Start a verb that goes on, and wait until it says that it does."""
    environment = {**bare_environment(), "HOME": str(arcbook.folder), **variables}
    process = Process(arcbook.command(*arguments), ready, cwd=arcbook.folder, env=environment)
    processes.append(process)
    process.wait_ready()
    return process


def serve(processes, arcbook, dsn, nats, **variables):
    arguments = ("server", "--port", 0, "--dsn", dsn, "--nats", nats.url)
    process = started(processes, arcbook, "listens on ", *arguments, **variables)
    return process.find(r"listens on (\S+)")


def until(look):
    """Ask again and again until there is something; return it."""
    ends_at = time.monotonic() + PATIENCE_SECONDS
    while not (found := look()):
        assert time.monotonic() < ends_at, "it never came"
        time.sleep(0.05)
    return found


# -- the database -----------------------------------------------------------------------


def test_a_database_out_of_reach(arcbook, nats_server):
    dsn = "postgresql://me:s3cret-word@127.0.0.1:1/arcbook"
    ran = arcbook("server", "--dsn", dsn, "--nats", nats_server.url, "--port", 0)

    assert ran.code == 1
    assert "127.0.0.1:1/arcbook: the server cannot be reached" in ran.err
    assert "s3cret-word" not in ran.all


@pytest.mark.parametrize("verb", [("server", "--port", 0), ("db", "check"), ("db", "upgrade")])
def test_a_wrong_password(arcbook, dsn, postgres_server, verb):
    wrong = dsn.replace(postgres_server.password, "wr0ng-word")
    ran = arcbook(*verb, "--dsn", wrong)

    assert ran.code == 1
    assert "password" in ran.err
    assert "wr0ng-word" not in ran.all


@pytest.mark.parametrize("dsn", ["nonsense", "mysql://me@host/db", "postgresql://h:port/x"])
def test_what_is_no_address_of_a_database(arcbook, dsn):
    ran = arcbook("server", "--dsn", dsn, "--port", 0)

    assert ran.code in (1, 2)
    assert "\nError: " in "\n" + ran.err
    assert "***" not in ran.err


def test_no_database_is_named(arcbook):
    ran = arcbook("server", "--port", 0)

    assert (ran.code, "ARCBOOK_DSN" in ran.err) == (2, True)


def test_tables_that_are_missing(arcbook, dsn):
    ran = arcbook("server", "--dsn", dsn, "--port", 0)

    assert (ran.code, "arcbook db upgrade" in ran.err) == (1, True)


def test_tables_of_a_newer_version(arcbook, upgraded, postgres_server, database):
    postgres_server.execute("insert into arcbook.schema_version values (999)", database)
    ran = arcbook("server", "--dsn", upgraded, "--port", 0)

    assert (ran.code, "newer" in ran.err) == (1, True)


# -- the bus ----------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["nats://127.0.0.1:1", "http://127.0.0.1:1", "nats://"])
def test_a_bus_out_of_reach(arcbook, url):
    ran = arcbook("worker", "--nats", url)

    assert ran.code in (1, 2)
    assert "\nError: " in "\n" + ran.err
    assert "***" not in ran.err


def test_a_server_without_its_bus(arcbook, upgraded):
    ran = arcbook("server", "--dsn", upgraded, "--nats", "nats://127.0.0.1:1", "--port", 0)

    assert (ran.code, "127.0.0.1:1" in ran.err) == (1, True)


def test_nats_without_jetstream(arcbook, processes):
    ready = r"Server is ready"
    command = ["nats-server", "-a", "127.0.0.1", "-p", "-1"]
    plain = Process(command, ready, env=bare_environment())
    processes.append(plain)
    plain.wait_ready()
    port = plain.find(r"Listening for client connections on 127\.0\.0\.1:(\d+)")
    ran = arcbook("worker", "--nats", f"nats://127.0.0.1:{port}")

    assert (ran.code, "JetStream" in ran.err) == (1, True)


def test_no_bus_is_named(arcbook):
    ran = arcbook("worker")

    assert (ran.code, "ARCBOOK_NATS_URL" in ran.err) == (2, True)


# -- listening --------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["server", "dev"])
def test_a_port_that_is_taken(arcbook, verb):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ran = arcbook(verb, "--port", taken.getsockname()[1])

    assert (ran.code, "cannot listen on 127.0.0.1" in ran.err) == (2, True)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_an_open_api_for_other_machines(arcbook, dsn, host):
    ran = arcbook("server", "--dsn", dsn, "--host", host, "--port", 0)

    assert (ran.code, "listen on 127.0.0.1" in ran.err) == (2, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("server", "--port", 99999),
        ("server", "--port", "x"),
        ("worker", "--concurrency", 0),
        ("worker", "--concurrency", "some"),
        ("up", "--workers", -1),
        ("schedule", "add", "x", "y"),
        ("schedule", "add", "x", "y", "--every", "soon"),
        ("schedule", "list", "--server", "nonsense"),
        ("run", "x.yaml", "--server", "127.0.0.1:8082"),
    ],
)
def test_options_that_cannot_be(arcbook, arguments):
    ran = arcbook(*arguments)

    assert ran.code == 2
    assert "Error: " in ran.err


# -- what does not fit together ---------------------------------------------------------


def entered(arcbook, bus):
    """Return a bus on which the worker ``old`` of the servers' home may speak."""
    settings = Settings(home=arcbook.home)
    return SealedBus(bus, lambda: worker_token_of(settings), "old", ["shared"])


def test_a_worker_of_another_version_is_refused(arcbook, upgraded, nats, processes):
    serve(processes, arcbook, upgraded, nats)

    async def register(protocol):
        async with NatsBus(nats.url, "noetl", NatsAccess()) as bus:
            row = WorkerRow(worker_id="old", pools=["shared"], capacity=1)
            request = RegisterRequest(row=row, protocol=protocol)
            return await Control(entered(arcbook, bus)).once("server", request, Registered)

    assert asyncio.run(register(PROTOCOL)).refused == ""
    refused = asyncio.run(register(PROTOCOL + 1)).refused
    assert "use the same version of Arcbook" in refused


def test_a_worker_of_another_home_enters_with_a_token(arcbook, upgraded, nats, processes, tmp_path):
    url = serve(processes, arcbook, upgraded, nats)
    edge = Terminal(tmp_path, tmp_path / "edge")
    arguments = ("worker", "--nats", nats.url, "--name", "edge")
    stranger = started(processes, edge, "pulls from", *arguments)
    until(lambda: "refused this worker" in stranger.log)
    token, admin = [
        arcbook("token", "add", scope, "--scope", scope, "--dsn", upgraded).out.strip()
        for scope in ("worker", "admin")
    ]
    stranger.stop(signal.SIGKILL)

    mine = started(processes, edge, "pulls from", *arguments, ARCBOOK_WORKER_TOKEN=token)
    name = arcbook.write("greet.yaml", GREET)
    asks = {**arcbook.environment, "ARCBOOK_SERVER_TOKEN": admin}
    ran = arcbook("run", name, "--server", url, env=asks)
    (row,) = arcbook("executions", "list", "--server", url, "--json", env=asks).json
    events = arcbook("events", row["execution_id"], "--server", url, "--json", env=asks)

    assert ran.code == 0, ran.err
    assert f"{token.split('_')[1]}.edge" in mine.log
    assert f"{token.split('_')[1]}.edge" in events.out
    for text in (token, admin):
        assert all(text not in process.log for process in processes)


def test_claims_of_a_worker_of_another_version_go_back(arcbook, upgraded, nats, processes):
    serve(processes, arcbook, upgraded, nats)

    async def claim(protocol):
        async with NatsBus(nats.url, "noetl", NatsAccess()) as bus:
            commands = [CommandNotice(execution_id=1, command_id="none")]
            request = ClaimRequest(worker="old", commands=commands, protocol=protocol)
            control = Control(entered(arcbook, bus))
            (answer,) = await control.once("server", request, list[Claimed])
            return answer.outcome

    assert asyncio.run(claim(PROTOCOL)) == "failed"
    assert asyncio.run(claim(PROTOCOL + 1)) == "retry_later"
    assert asyncio.run(claim(0)) == "retry_later"


def test_a_refused_worker_ends_and_says_why(arcbook, nats, processes):
    answer = json.dumps({"refused": "use the same version of Arcbook"}).encode()

    async def refuse():
        async def answered(*_):
            return b"=" + answer

        async with NatsBus(nats.url, "noetl", NatsAccess()) as bus:
            root = Root(bus_token(Settings(home=arcbook.home)))
            guarded = GuardedBus(bus, root, MemoryStore(), SystemClock())
            await guarded.serve("server", answered)
            return await asyncio.to_thread(arcbook, "worker", "--nats", nats.url)

    ran = asyncio.run(refuse())
    assert (ran.code, "use the same version" in ran.err) == (1, True)


def test_a_payload_that_is_too_large(arcbook, upgraded, nats, processes):
    url = serve(processes, arcbook, upgraded, nats)
    name = arcbook.write("greet.yaml", GREET)
    arcbook.write("large.json", json.dumps({"who": "x" * 5_000_000}))
    ran = arcbook("run", name, "--server", url, "--payload", "@large.json")

    assert (ran.code, "longer than" in ran.err) == (2, True)


def test_starts_are_taken_while_nats_is_down(arcbook, upgraded, nats, processes):
    url = serve(processes, arcbook, upgraded, nats)
    arguments = ("worker", "--nats", nats.url, "--concurrency", 4)
    started(processes, arcbook, "pulls from", *arguments)
    name = arcbook.write("greet.yaml", GREET)
    assert arcbook("run", name, "--server", url).code == 0

    nats._process.stop()
    runs = [arcbook.start("run", "tests/greet", "--server", url, "--quiet") for _ in range(5)]
    listed = ("executions", "list", "--server", url, "--json")
    until(lambda: len(arcbook(*listed).json) == 6)
    nats.start()

    for run in runs:
        out, err = run.communicate(timeout=2 * PATIENCE_SECONDS)
        assert run.returncode == 0, err
        assert json.loads(out) == {"said": "hello world"}


def test_a_clean_up_of_a_real_database(arcbook, upgraded, nats, processes):
    secret = "an-internal-token-0815"
    aged = {"ARCBOOK_INTERNAL_TOKEN": secret, "ARCBOOK_RETENTION_DAYS": "0.0000001"}
    url = serve(processes, arcbook, upgraded, nats, **aged)
    pools = ("--pool", "shared,system")
    started(processes, arcbook, "pulls from", "worker", "--nats", nats.url, *pools)
    name = arcbook.write("greet.yaml", GREET)
    for _ in range(2):
        assert arcbook("run", name, "--server", url).code == 0
    ran = arcbook("run", "system/scheduled_cleanup", "--server", url)

    assert ran.code == 0, ran.err
    assert ran.json["found"]["executions"] == ran.json["purged"]["executions"] == 2
    (left,) = arcbook("executions", "list", "--server", url, "--json").json
    assert left["path"] == "system/scheduled_cleanup"
    events = arcbook("events", left["execution_id"], "--server", url, "--json")
    assert secret not in events.all
    assert all(secret not in process.log for process in processes)
