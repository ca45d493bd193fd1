"""``python -m chaos.run``: executions run while everything is killed in turn."""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import cycle
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiohttp
import psycopg

from arcbook.store.api import ExecutionFilter, ExecutionRow
from arcbook.store.postgres import PostgresStore, upgrade
from arcbook.testing.cluster_processes import ClusterProcesses
from arcbook.testing.services import NatsServer, PostgresServer
from chaos.disk import SmallPostgres
from chaos.faults import Faults
from chaos.invariants import violations
from chaos.outages import STORE_BYTES, Outages
from chaos.playbooks import EFFECTS, PLAYBOOKS, RESULTS
from corpus.documents import EXPECTATIONS, Document, load_corpus
from corpus.runner import DEFAULT_FOLDER
from corpus.settings import load_settings

LEASE_SECONDS: Final = 3.0
SERVERS: Final = 2
WORKERS: Final = 3
START_TRIES: Final = 200
BETWEEN_SECONDS: Final = 2.5
"""Time between a recovery and the next fault."""

RECOVERY_SECONDS_MAX: Final = 60.0
"""Time in which some step must have ended after a fault."""

ENDS_SECONDS: Final = 240.0
"""Time that everything has to end after the last fault."""

Fault = Callable[[], Awaitable[None]]

TABLES: Final = """
create table effect (key text primary key, execution text not null, tries int not null default 1);
create table once (key text not null, execution text not null);
"""


class Report(NamedTuple):
    """What came of a run."""

    executions: int
    statuses: dict[str, int]
    recoveries: list[tuple[str, float]]
    wrong: list[str]

    def summary(self) -> str:
        """Return the last line."""
        slowest = max((seconds for _, seconds in self.recoveries), default=0.0)
        verdict = "as they must" if not self.wrong else f"{len(self.wrong)} violations"
        return (
            f"chaos: {self.executions} executions ended {verdict}; "
            f"{len(self.recoveries)} faults, slowest recovery {slowest:.1f} s"
        )


class Chaos:
    """One run."""

    def __init__(self, executions: int, rounds: int) -> None:
        self._executions = executions
        self._rounds = rounds
        self._stack = contextlib.ExitStack()
        self._started: list[int] = []
        self._is_calm = False
        #: What is started in turn: paths and payloads.
        self._mix: list[tuple[str, dict[str, Any]]] = []

    def run(self) -> Report:
        """Start everything, break it, and look."""
        with self._stack:
            self._postgres = self._stack.enter_context(SmallPostgres(fsync=True))
            self._effects = self._stack.enter_context(PostgresServer())
            bus = self._stack.enter_context(NatsServer(store_bytes=STORE_BYTES))
            self._dsn = self._postgres.create_database("arcbook")
            with psycopg.connect(self._effects.create_database("effects")) as connection:
                connection.execute(TABLES)
            asyncio.run(upgrade(self._dsn))
            home = Path(tempfile.mkdtemp(prefix="arcbook-chaos-"))
            self._stack.callback(shutil.rmtree, home, ignore_errors=True)
            environment = {
                "ARCBOOK_DSN": self._dsn,
                "ARCBOOK_NATS_URL": bus.url,
                "ARCBOOK_HOME": str(home),
                "ARCBOOK_LEASE_SECONDS": str(LEASE_SECONDS),
                "ARCBOOK_ENCRYPTION_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
            }
            self._processes = self._stack.enter_context(ClusterProcesses(environment, home))
            for _ in range(SERVERS):
                self._processes.start_server()
            for _ in range(WORKERS):
                self._processes.start_worker()
            cluster = (self._processes, self._postgres, bus, LEASE_SECONDS * 2)
            return asyncio.run(self._run([*Faults(*cluster).all(), *Outages(*cluster).all()]))

    async def _run(self, faults: list[tuple[str, Fault]]) -> Report:
        async with aiohttp.ClientSession() as self._http:
            await self._prepare()
            starting = asyncio.create_task(self._start_all(len(faults)))
            if not self._postgres.is_small:
                _say("no disk is filled: nothing can be mounted here (this needs root)")
            recoveries: list[tuple[str, float]] = []
            for name, fault in faults * self._rounds:
                await asyncio.sleep(BETWEEN_SECONDS)
                recoveries.append((name, await self._recovery(fault)))
                _say(f"{name}: going on after {recoveries[-1][1]:.1f} s")
            self._is_calm = True
            await starting
            rows = await self._ended()
            wrong = await self._wrong(rows)
            wrong += [
                f"{name}: nothing went on for {RECOVERY_SECONDS_MAX:.0f} s"
                for name, seconds in recoveries
                if seconds >= RECOVERY_SECONDS_MAX
            ]
        statuses = Counter(row.status for row in rows)
        return Report(len(rows), dict(statuses), recoveries, wrong)

    # -- starting ---------------------------------------------------------------------

    async def _prepare(self) -> None:
        fields = {"host": "127.0.0.1", **self._effects.fields("effects")}
        body = {"name": "effects", "type": "postgres", "data": fields}
        await self._post("/api/credentials", body)
        for text in PLAYBOOKS.values():
            await self._post("/api/catalog/register", {"content": text})
        own: list[tuple[str, dict[str, Any]]] = [(f"chaos/{name}", {}) for name in PLAYBOOKS]
        self._mix = list(own)
        for at, (document, payload) in enumerate(corpus_documents()):
            found = await self._post("/api/catalog/register", {"content": document.text})
            self._mix += [(found["path"], payload), own[at % len(own)]]

    async def _start_all(self, faults: int) -> None:
        """Start executions for as long as faults come, and as many as were asked for."""
        pause = BETWEEN_SECONDS * 2 * faults * self._rounds / self._executions
        for path, payload in cycle(self._mix):
            if self._is_calm and len(self._started) >= self._executions:
                return
            answer = await self._post("/api/execute", {"path": path, "payload": payload})
            self._started.append(int(answer["execution_id"]))
            await asyncio.sleep(0 if self._is_calm else pause)

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Ask any server that answers, until one does."""
        last: object = None
        for attempt in range(START_TRIES):
            url = self._processes.urls[attempt % len(self._processes.urls)]
            try:
                timeout = aiohttp.ClientTimeout(total=10)
                async with self._http.post(url + path, json=body, timeout=timeout) as answer:
                    if answer.status < 300:
                        found: dict[str, Any] = await answer.json()
                        return found
                    last = await answer.text()
            except (aiohttp.ClientError, TimeoutError) as error:
                last = error
            await asyncio.sleep(0.1)
        raise RuntimeError(f"no server takes {path}: {last}")

    # -- looking ----------------------------------------------------------------------

    async def _recovery(self, fault: Fault) -> float:
        """Break something; return the seconds until another step has ended."""
        await fault()
        began = time.monotonic()
        before = self._steps()
        while self._steps() == before and time.monotonic() - began < RECOVERY_SECONDS_MAX:
            await asyncio.sleep(0.1)
        return time.monotonic() - began

    def _steps(self) -> int:
        """Return how many effects there are."""
        return int(
            self._effects.execute("select coalesce(sum(tries), 0) from effect", "effects")[0][0]
        )

    async def _ended(self) -> list[ExecutionRow]:
        """Wait until everything has ended; return all executions."""
        async with PostgresStore(self._dsn) as store:
            give_up_at = time.monotonic() + ENDS_SECONDS
            while (left := await store.unfinished()) and time.monotonic() < give_up_at:
                _say(f"{len(left)} executions go on")
                await asyncio.sleep(1.0)
            rows: list[ExecutionRow] = []
            before = 0
            while page := await store.executions(ExecutionFilter(before=before, limit=500)):
                rows += page
                before = page[-1].execution_id
            return rows

    async def _wrong(self, rows: list[ExecutionRow]) -> list[str]:
        wrong = [
            f"execution {i} was lost"
            for i in self._started
            if i not in {r.execution_id for r in rows}
        ]
        async with PostgresStore(self._dsn) as store:
            for row in rows:
                if row.status != "COMPLETED" and not row.path.endswith("/never"):
                    wrong.append(f"{row.path} {row.execution_id}: {row.status}: {row.error}")
                elif not row.ended_at:
                    wrong.append(f"{row.path} {row.execution_id} did not end: {row.current}")
                wrong += await violations(store, row)
                wrong += await self._result(store, row)
            left = await store.commands()
            wrong += [f"command {c.command_id} is still out" for c in left]
        return wrong + self._effects_wrong(rows)

    async def _result(self, store: PostgresStore, row: ExecutionRow) -> list[str]:
        expected = RESULTS.get(row.path.removeprefix("chaos/"))
        if expected is None or row.status != "COMPLETED":
            return []
        (event,) = await store.events(row.execution_id, types=["playbook.completed"])
        return [] if f'"n":{expected}' in event.body.decode() else [f"{row.path}: {event.body!r}"]

    def _effects_wrong(self, rows: list[ExecutionRow]) -> list[str]:
        """Return what is wrong with what executions left outside."""
        wrong: list[str] = []
        found = Counter(
            dict(
                self._effects.execute(
                    "select execution, count(*)::int from effect group by execution", "effects"
                )
            )
        )
        for row in rows:
            if not row.path.startswith("chaos/"):
                continue
            expected = EFFECTS[row.path.rpartition("/")[2]]
            if row.status == "COMPLETED" and found[str(row.execution_id)] != expected:
                wrong.append(
                    f"{row.path} {row.execution_id} left {found[str(row.execution_id)]} effects, "
                    f"not {expected}"
                )
        twice = self._effects.execute(
            "select key from once group by key having count(*) > 1", "effects"
        )
        return wrong + [f"{key} happened twice" for (key,) in twice]


def corpus_documents() -> list[tuple[Document, dict[str, Any]]]:
    """Return documents of the corpus that need nothing but workers, with their payloads."""
    folder = Path(os.environ.get("CORPUS") or DEFAULT_FOLDER)
    if not (folder / EXPECTATIONS).is_file():
        return []
    settings = load_settings()
    return [
        (document, settings.payload(document, {}, full=False, real_time=False))
        for document in load_corpus(folder)
        if document.is_playbook
        and document.expected.expected_outcome == "COMPLETED"
        and set(document.expected.external_needs) <= {"none"}
        and set(document.expected.tool_kinds) <= {"python", "noop", "workbook", "artifact"}
        and "script:" not in document.text  # of a file beside it
        and not settings.obstacle(document)
        and not settings.varies(document)
    ]


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(arguments: list[str] | None = None) -> int:
    """Run, print what came of it, and return the exit status."""
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--executions", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=2, help="how often each fault comes")
    given = parser.parse_args(arguments)
    report = Chaos(given.executions, given.rounds).run()
    for sentence in report.wrong[:50]:
        _say(f"! {sentence}")
    _say(f"statuses: {report.statuses}")
    _say(report.summary())
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
