"""The corpus through the API: a server and two workers, as processes, on PostgreSQL and NATS.

One worker is on the bus, and one reaches nothing but the API. Documents and credentials go in, executions start, and what came of them is read as any
client does it. ``python -m corpus.cluster [FOLDER]`` runs it here first, and compares.
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
from typing import Any, Self

from arcbook.client import Client, RefusedError
from arcbook.dsl.load import Loaded
from arcbook.performer.services import CredentialPort
from arcbook.store.postgres import upgrade
from arcbook.testing.cluster_processes import ClusterProcesses
from arcbook.testing.services import NatsServer, PostgresServer
from arcbook.wire.http.executions import ResultView
from corpus.composition import MissingError, Place, Placed
from corpus.documents import load_corpus
from corpus.outcomes import Result
from corpus.ran import STEP_LEVEL, Ran
from corpus.runner import Corpus, Credentials, Table, laid_out, options_of
from corpus.settings import load_settings
from corpus.traces import differences


class _Cluster:
    """A cluster seen from its client."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def register(self, text: str, _: Loaded, __: Path) -> Placed:
        made = await self._client.register(text)
        return Placed(made.path, made.version)

    async def run(self, path: str, version: int, payload: dict[str, Any]) -> Ran:
        client = self._client
        try:
            started = await client.execute(path, payload, version=version)
        except RefusedError as error:
            if error.status != 404:
                raise
            raise MissingError(str(error)) from None
        execution_id = started.execution_id
        sequence = [
            (event.event_type, event.node_name, event.data.get("visit", 0))
            async for event in client.follow(execution_id)
            if event.event_type.startswith(STEP_LEVEL)
        ]
        status = await client.status(execution_id)
        steps = dict.fromkeys(step for name, step, _ in sequence if name.startswith("step."))
        return Ran(
            status=status.status,
            error=status.error or "",
            failed=(await client.analyze(execution_id)).failed,
            result=(await client.result(execution_id)).result,
            steps={
                step: found.result
                for step in steps
                if (found := await self._result(execution_id, step)) is not None
            },
            sequence=sequence,
        )

    async def _result(self, execution_id: str, step: str) -> ResultView | None:
        """Return what a step yielded; nothing for one without a result."""
        try:
            return await self._client.result(execution_id, step)
        except RefusedError as error:
            if error.status != 404:
                raise
            return None


class ClusterHost:
    """A cluster for the whole corpus."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        postgres = self._stack.enter_context(PostgresServer())
        nats = self._stack.enter_context(NatsServer())
        dsn = postgres.create_database("arcbook")
        asyncio.run(upgrade(dsn))
        home = Path(tempfile.mkdtemp(prefix="arcbook-cluster-"))
        self._stack.callback(shutil.rmtree, home, ignore_errors=True)
        environment = {
            "ARCBOOK_DSN": dsn,
            "ARCBOOK_NATS_URL": nats.url,
            "ARCBOOK_HOME": str(home),
            "ARCBOOK_ENCRYPTION_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
            "ARCBOOK_INTERNAL_TOKEN": secrets.token_urlsafe(),
        }
        # A document of the API has no folder: workers find its files where they run.
        folder = laid_out(self._folder, load_settings(), home / "corpus")
        environment["ARCBOOK_FOLDERS"] = str(folder)
        self.processes = self._stack.enter_context(ClusterProcesses(environment, folder))
        self._url = self.processes.start_server()
        self.processes.start_worker()
        self.processes.start_worker(server=self._url)
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    @contextlib.asynccontextmanager
    async def compose(self, home: Path, credentials: CredentialPort) -> AsyncIterator[Place]:
        """Yield the cluster, with the credentials of a group of documents."""
        async with Client(self._url) as client:
            if isinstance(credentials, Credentials) and credentials.facts:
                await self._keep(client, credentials)
            yield _Cluster(client)

    async def _keep(self, client: Client, credentials: Credentials) -> None:
        for alias in credentials.aliases(load_corpus(self._folder)):
            found = await credentials.credential(alias, 0)
            try:
                await client.put_credential(alias, found.type, found.data)
            except RefusedError as error:
                # One of a server that this group does not use has no address.
                if error.code != "invalid_credential":
                    raise


def main(arguments: list[str] | None = None) -> int:
    """Run the corpus here twice, then on a cluster; compare, and return the exit status."""
    asked = options_of(arguments)
    table = Table([d for options in asked for d in load_corpus(options.folder)])
    results: list[Result] = []
    for options in asked:
        here = [Corpus(options, lambda _: None) for _ in range(2)]
        for number, corpus in enumerate(here, 1):
            sys.stdout.write(f"running it here, {number} of {len(here)}\n")
            sys.stdout.flush()
            corpus.run()
        with ClusterHost(options.folder) as host:
            there = Corpus(options, table.row, host=host)
            results += compared(here, there, there.run(), table)
    return 0 if table.totals(results) else 1


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
