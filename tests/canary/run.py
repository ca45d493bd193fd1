"""``python -m canary.run``: a secret is used in every way, then looked for everywhere.

It runs on a cluster of processes and in the embedded runtime, from the command line. The
last line says how many ways there were, and how often the secret was found.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import psycopg.sql
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from acceptance.service import Service
from acceptance.terminal import Terminal
from arcbook.testing.cluster_processes import ClusterProcesses
from arcbook.testing.services import NatsServer, PostgresServer
from canary.looking import Looking
from canary.uses import PER_PLAYBOOK, playbooks

ENDS_SECONDS = 300.0
"""Time that all executions have to end."""

READ = (
    "/api/executions/{}", "/api/executions/{}/status", "/api/executions/{}/events?limit=1000",
    "/api/executions/{}/result", "/api/executions/{}/result?step=start",
    "/api/executions/{}/state", "/api/executions/{}/analyze",
    "/api/executions/{}/cancellation-check", "/api/replay/state?execution_id={}",
    "/api/vars/{}", "/api/vars/{}/kept", "/api/ehdb/executions/{}",
    "/api/ehdb/executions/{}/events",
)  # fmt: skip
"""What the API tells of an execution."""

LISTS = (
    "/api/executions?limit=1000", "/api/credentials", "/api/audit?limit=1000", "/metrics",
    "/api/dashboard/stats", "/api/worker/pools", "/api/runtime/pools", "/api/runtime/servers",
    "/api/schedules", "/api/health", "/api/tokens", "/api/audit/changes?limit=1000",
    "/api/ehdb/executions", "/api/status", "/api/db/validate", "/api/openapi.json",
)  # fmt: skip


class Report(NamedTuple):
    """What came of it."""

    uses: int
    hits: list[str]
    #: What did not happen that should have.
    wrong: list[str]
    looked: dict[str, int]

    def summary(self) -> str:
        """Return the last line."""
        return f"canary: {self.uses} uses, {len(self.hits)} hits"


class Canary:
    """One run.

    Args:
        short: use a part of the ways only.
    """

    def __init__(self, *, short: bool = False) -> None:
        self._short = short
        # A name without digits alone or letters alone, with all that is escaped somewhere.
        self.secret = f'c4n/ry "a1{secrets.token_hex(6)}"+at=dawn&é%'
        self.password = f"p4ss-a1{secrets.token_hex(8)}/of:the@base"
        self.key = _private_key()
        self.number = 10**14 + secrets.randbelow(10**14)
        # What the processes themselves are told is nobody's either.
        self.sealing_key = base64.b64encode(secrets.token_bytes(32)).decode()
        self.internal = f"inner-a1{secrets.token_hex(16)}"
        told = (
            self.sealing_key,
            self.internal,
            self.secret,
            self.password,
            self.key,
            str(self.number),
            f"{self.number:,}",
        )
        self._looking = Looking(told)
        self._wrong: list[str] = []
        self._stack = contextlib.ExitStack()

    def run(self) -> Report:
        """Use it, look for it, and tell."""
        with self._stack:
            self._folder = Path(tempfile.mkdtemp(prefix="arcbook-canary-"))
            self._stack.callback(shutil.rmtree, self._folder, ignore_errors=True)
            self._private = self._folder / "private"
            self._private.mkdir()
            self._service = self._stack.enter_context(Service().serving())
            self._database = self._stack.enter_context(PostgresServer())
            self._role()
            place = {"host": "127.0.0.1", "port": self._database.port, "user": "canary"}
            place["database"] = "postgres"
            self._playbooks = dict(playbooks(self._service.url, place, str(self._private)))
            if self._short:
                # The first ones, which write files, print and raise; and one of templates.
                names = list(self._playbooks)
                self._playbooks = {n: self._playbooks[n] for n in (names[0], names[3], names[-1])}
            ways = [self._cluster(), self._embedded()]
        if len(set(ways)) != 1:
            self._wrong.append(f"the runtimes used it in {ways} ways")
        return Report(min(ways), self._looking.hits, self._wrong, self._looking.looked)

    def _role(self) -> None:
        with psycopg.connect(self._database.dsn(), autocommit=True) as connection:
            name = psycopg.sql.Literal(self.password)
            connection.execute(psycopg.sql.SQL("create role canary login password {}").format(name))

    def _credentials(self) -> dict[str, tuple[str, dict[str, Any]]]:
        fields = {"host": "127.0.0.1", "port": self._database.port, "database": "postgres"}
        account = json.dumps({"private_key": self.key, "client_email": "me@example.org"}, indent=1)
        return {
            "canary_key": ("google_service_account", {"private_key": self.key, "json": account}),
            "canary_number": ("secret", {"pin": self.number}),
            "canary_secret": ("secret", {"token": self.secret}),
            "canary": ("bearer", {"token": self.secret}),
            "canary_basic": ("basic", {"username": "someone", "password": self.secret}),
            "canary_header": ("api_key", {"key": self.secret, "header": "X-Key"}),
            "canary_query": ("api_key", {"key": self.secret, "in": "query", "param": "code"}),
            "canary_pg": ("postgres", {**fields, "user": "canary", "password": self.password}),
        }

    # -- a cluster --------------------------------------------------------------------

    def _cluster(self) -> int:
        with contextlib.ExitStack() as stack:
            postgres = stack.enter_context(PostgresServer())
            nats = stack.enter_context(NatsServer())
            dsn = postgres.create_database("arcbook")
            home = self._folder / "cluster"
            home.mkdir()
            environment = {
                "ARCBOOK_DSN": dsn,
                "ARCBOOK_NATS_URL": nats.url,
                "ARCBOOK_HOME": str(home),
                "ARCBOOK_ENCRYPTION_KEY": self.sealing_key,
                "ARCBOOK_INTERNAL_TOKEN": self.internal,
                "TMPDIR": str(home),
            }
            terminal = Terminal(home, home)
            terminal.environment |= environment
            self._looking.text("terminal", "db upgrade", terminal("db", "upgrade").all)
            processes = stack.enter_context(ClusterProcesses(environment, home))
            url = processes.start_server()
            for _ in range(2):
                processes.start_worker()
            self._fill(url)
            started = [self._start(url, name) for name in self._playbooks]
            self._wait(url, started)
            self._look_at_api(url, started)
            self._look_at_terminal(terminal, ("wallet", "status"))
            dump = subprocess.run(["pg_dump", dsn], capture_output=True, text=True, check=True)
            self._looking.dump("database", "the dump", dump.stdout)
            self._looking.folder("NATS", nats.folder)
            for number, process in enumerate((*processes.servers, *processes.workers)):
                self._looking.text("logs", f"process {number}", process.log)
            self._looking.text("logs", "PostgreSQL", postgres.log)
            self._looking.text("logs", "NATS", nats.log)
            self._looking.folder("home of the cluster", home)
        return self._ways()

    def _fill(self, url: str) -> None:
        for name, (kind, data) in self._credentials().items():
            self._asked(url + "/api/credentials", {"name": name, "type": kind, "data": data})
        wrong = {"name": "wrong", "type": "postgres", "data": {"port": self.secret}}
        self._asked(url + "/api/credentials", wrong)
        for text in self._playbooks.values():
            self._asked(url + "/api/catalog/register", {"content": text})

    def _start(self, url: str, name: str) -> str:
        return str(self._asked(url + "/api/execute", {"path": f"canary/{name}"})["execution_id"])

    def _wait(self, url: str, executions: list[str]) -> None:
        give_up_at = time.monotonic() + ENDS_SECONDS
        left = list(executions)
        while left and time.monotonic() < give_up_at:
            time.sleep(0.2)
            left = [
                i for i in left if not self._asked(f"{url}/api/executions/{i}/status")["completed"]
            ]
        self._wrong += [f"execution {i} did not end" for i in left]

    def _look_at_api(self, url: str, executions: list[str]) -> None:
        for path in LISTS:
            self._asked(url + path)
        for identity in executions:
            for path in READ:
                self._asked(url + path.format(identity))
            self._stream(f"{url}/api/executions/{identity}/events")
            status = self._asked(f"{url}/api/executions/{identity}")["status"]
            if status != "FAILED":
                self._wrong.append(f"execution {identity} is {status}")

    def _stream(self, url: str) -> None:
        """Follow the events of an execution that has ended, to their end."""
        request = urllib.request.Request(url, headers={"Accept": "text/event-stream"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            self._looking.shown("API", f"stream of {url}", answer.read())

    def _asked(self, url: str, body: Any = None) -> Any:
        """Ask the API; whatever it answers is looked at."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if data else {}
        request = urllib.request.Request(url, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                found = answer.read()
        except urllib.error.HTTPError as error:
            found = error.read()
        kind = "metrics" if url.endswith("/metrics") else "API"
        self._looking.shown(kind, url, found)
        with contextlib.suppress(ValueError):
            return json.loads(found)
        return None

    # -- embedded ---------------------------------------------------------------------

    def _embedded(self) -> int:
        folder = self._folder / "embedded"
        folder.mkdir()
        terminal = Terminal(folder)
        for name, (kind, data) in self._credentials().items():
            file = self._private / "fields.json"
            file.write_text(json.dumps(data))
            self._look_at_terminal(
                terminal, ("credential", "add", name, "--type", kind, "--file", str(file))
            )
            file.unlink()
        for name, text in self._playbooks.items():
            terminal.write(f"{name}.yaml", text)
            self._look_at_terminal(terminal, ("run", f"{name}.yaml"), code=1)
        listed = terminal("executions", "list", "--json", "--limit", "1000")
        self._looking.text("terminal", "executions list", listed.all)
        for row in json.loads(listed.out):
            identity = row["execution_id"]
            for verb in (
                ("executions", "show", identity), ("events", identity), ("result", identity),
                ("events", identity, "--json"), ("result", identity, "start"),
            ):  # fmt: skip
                self._look_at_terminal(terminal, verb, code=None)
        for verb in (("credential", "list"), ("wallet", "status"), ("wallet", "rotate")):
            self._look_at_terminal(terminal, verb)
        self._looking.folder("home", terminal.home)
        self._looking.folder("files beside it", folder)
        return self._ways()

    def _look_at_terminal(
        self, terminal: Terminal, arguments: tuple[str, ...], code: int | None = 0
    ) -> None:
        ran = terminal(*arguments)
        self._looking.shown("terminal", " ".join(arguments[:3]), ran.all)
        if code is not None and ran.code != code:
            self._wrong.append(f"{arguments[:3]} answered {ran.code}: {ran.all[-300:]}")

    # -- what happened ----------------------------------------------------------------

    def _ways(self) -> int:
        """Return in how many ways the last runtime used it, by what it told the service.

        What a later step was given must be what the step itself had: data is not changed.
        """
        told: dict[str, dict[str, Any]] = {"proof": {}, "again": {}}
        for request in self._service.requests:
            _, kind, name = f"{request.path}//".split("/")[:3]
            if kind in told:
                told[kind][name] = json.loads(request.body)
        seen = json.dumps(told["proof"], ensure_ascii=False)
        if json.dumps(self.secret, ensure_ascii=False)[1:-1] not in seen:
            self._wrong.append("the playbooks never had the secret")
        for name in self._playbooks:
            if name not in told["proof"]:
                self._wrong.append(f"{name} told nothing")
            elif told["proof"][name] != told["again"].get(name):
                self._wrong += _differences(name, told["proof"][name], told["again"].get(name))
        self._service.requests.clear()
        return sum(len(found) for found in told["proof"].values())


def _private_key() -> str:
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return made.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def _differences(name: str, one: dict[str, Any], other: Any) -> list[str]:
    if other is None:
        return [f"{name}: no later step told anything"]
    return [
        f"{name}: {key} was {str(one[key])[:300]!r}, and later {str(other.get(key))[:300]!r}"
        for key in one
        if one[key] != other.get(key)
    ]


def main(arguments: list[str] | None = None) -> int:
    """Run, print what came of it, and return the exit status."""
    parser = argparse.ArgumentParser(prog="canary", description=__doc__)
    parser.add_argument("--short", action="store_true", help=f"{PER_PLAYBOOK * 3} ways only")
    given = parser.parse_args(arguments)
    report = Canary(short=given.short).run()
    for sentence in (*report.wrong[:40], *report.hits[:40]):
        sys.stdout.write(f"! {sentence}\n")
    for kind, size in sorted(report.looked.items()):
        sys.stdout.write(f"looked at {size:>12,} bytes: {kind}\n")
    sys.stdout.write(report.summary() + "\n")
    sys.stdout.flush()
    return 1 if report.hits or report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
