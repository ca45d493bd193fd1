"""The corpus on a cluster: a server and two workers, as processes, on PostgreSQL and NATS.

``python -m corpus.cluster [FOLDER]`` runs it here first, and compares.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import secrets
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final, Self

import aiohttp

from arcbook.blobs.postgres import PostgresBlobs
from arcbook.clock import SystemClock
from arcbook.engine.state import State
from arcbook.ids import IdGenerator
from arcbook.results.frames import loop_frames
from arcbook.results.kept import Kept
from arcbook.runtime.plans import Planned, Plans
from arcbook.runtime.services import CredentialPort
from arcbook.runtime.slots import rebuild
from arcbook.secrets.credentials import CredentialBook
from arcbook.secrets.envelope import LocalKey
from arcbook.secrets.types import CredentialInvalidError
from arcbook.store.postgres import PostgresStore, upgrade
from arcbook.testing.cluster_processes import ClusterProcesses
from arcbook.testing.services import NatsServer, PostgresServer
from arcbook.tools.registry import Registry
from corpus.composition import Place
from corpus.documents import load_corpus
from corpus.outcomes import Result
from corpus.runner import Corpus, Credentials, Table, options_of
from corpus.traces import differences

WORKERS: Final = 2
POLL_SECONDS: Final = 0.02
MACHINE: Final = 1023
"""Number of this process in the ids that it makes; no server gets one so high."""


class _Cluster:
    """A cluster seen from its client."""

    def __init__(self, url: str, store: PostgresStore, http: aiohttp.ClientSession) -> None:
        clock = SystemClock()
        self._url = url
        self._http = http
        self.log = store
        self.registry = Registry()
        self.plans = Plans(store, self.registry, IdGenerator(clock, MACHINE), clock)
        self.kept = Kept(
            PostgresBlobs(store.connection),
            loop_reader=lambda i, step, visit: loop_frames(store, i, step, int(visit)),
        )

    async def run(self, planned: Planned, payload: dict[str, Any]) -> State:
        body = {"catalog_id": str(planned.entry.catalog_id), "payload": payload}
        async with self._http.post(f"{self._url}/api/execute", json=body) as answer:
            answer.raise_for_status()
            execution_id = int((await answer.json())["execution_id"])
        while not (row := await self.log.execution(execution_id)) or not row.ended_at:
            await asyncio.sleep(POLL_SECONDS)
        stored = await self.log.load(execution_id)
        assert stored is not None
        return rebuild(execution_id, stored)


class ClusterHost:
    """A cluster for the whole corpus."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = contextlib.ExitStack()
        self._key = base64.b64encode(secrets.token_bytes(32)).decode()

    def __enter__(self) -> Self:
        postgres = self._stack.enter_context(PostgresServer())
        nats = self._stack.enter_context(NatsServer())
        self._dsn = postgres.create_database("arcbook")
        asyncio.run(upgrade(self._dsn))
        home = Path(tempfile.mkdtemp(prefix="arcbook-cluster-"))
        self._stack.callback(shutil.rmtree, home, ignore_errors=True)
        environment = {
            "ARCBOOK_DSN": self._dsn,
            "ARCBOOK_NATS_URL": nats.url,
            "ARCBOOK_HOME": str(home),
            "ARCBOOK_ENCRYPTION_KEY": self._key,
        }
        self.processes = self._stack.enter_context(ClusterProcesses(environment, home))
        self._url = self.processes.start_server()
        for _ in range(WORKERS):
            self.processes.start_worker()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    @contextlib.asynccontextmanager
    async def compose(self, home: Path, credentials: CredentialPort) -> AsyncIterator[Place]:
        """Yield the cluster, with the credentials of a group of documents."""
        async with PostgresStore(self._dsn) as store, aiohttp.ClientSession() as http:
            if isinstance(credentials, Credentials):
                await self._keep(store, credentials)
            yield _Cluster(self._url, store, http)

    async def _keep(self, store: PostgresStore, credentials: Credentials) -> None:
        key = LocalKey.from_text(self._key, "the corpus")
        book = CredentialBook(store, key, SystemClock())
        if not credentials.facts:
            return
        for alias in credentials.aliases(load_corpus(self._folder)):
            found = await credentials.credential(alias, 0)
            # One of a server that this group does not use has no address.
            with contextlib.suppress(CredentialInvalidError):
                await book.add(alias, found.type, found.data)


def main(arguments: list[str] | None = None) -> int:
    """Run the corpus here twice, then on a cluster; compare, and return the exit status."""
    options = options_of(arguments)
    here = [Corpus(options, lambda _: None) for _ in range(2)]
    for number, corpus in enumerate(here, 1):
        sys.stdout.write(f"running it here, {number} of {len(here)}\n")
        sys.stdout.flush()
        corpus.run()
    table = Table(load_corpus(options.folder))
    with ClusterHost(options.folder) as host:
        there = Corpus(options, table.row, host=host)
        results = there.run()
    return 0 if table.totals(compared(here, there, results, table)) else 1


def compared(
    here: list[Corpus], there: Corpus, results: list[Result], table: Table
) -> list[Result]:
    """Return the results, those that differ from the runs here marked."""
    by_name = {document.name: document for document in there.documents}
    found: list[Result] = []
    for result in results:
        traces = [c.traces[result.name] for c in here if result.name in c.traces]
        trace = there.traces.get(result.name)
        wrong: list[str] = []
        if result.expected != "lint" and result.is_well and trace and traces:
            varies = there.settings.varies(by_name[result.name])
            wrong = differences(traces, trace, varies=varies)
        if wrong:
            table.row(_differing(result, wrong))
        found.append(_differing(result, wrong) if wrong else result)
    return found


def _differing(result: Result, wrong: list[str]) -> Result:
    note = f"not as here: {'; '.join(wrong)}"
    return Result(
        name=result.name,
        expected=result.expected,
        got="DIFFERENT",
        is_well=False,
        seconds=result.seconds,
        note=note[:400],
    )


if __name__ == "__main__":
    sys.exit(main())
