"""Running a corpus: lint, register, execute, compare.

``python -m corpus [FOLDER]`` prints a table and ends with
``corpus: N as expected of M``; its exit status is 0 only if all are.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import shutil
import sys
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from arcbook.dsl.diagnostics import Diagnostic, Severity
from arcbook.dsl.load import Loaded, load_document
from arcbook.dsl.paths import catalog_path
from arcbook.testing.services import NatsServer, PostgresServer
from arcbook.tools.api import Credential, CredentialError
from arcbook.tools.registry import Registry
from corpus import outcomes
from corpus.composition import Here, Host, MissingError, Place, Placed
from corpus.documents import EXPECTATIONS, Document, is_corpus, load_corpus, others
from corpus.order import groups
from corpus.outcomes import Result
from corpus.settings import PLATFORM, Settings, facts_of, load_settings
from corpus.traces import Trace, trace_of
from standin.answers import FILES
from standin.server import StandInProcess
from standin.world import Pace

PROJECT: Final = Path(__file__).resolve().parents[2]
FOLDERS: Final = PROJECT.parent / "shared" / "corpus"
DEFAULT_FOLDER: Final = FOLDERS / "noetl-e2e"
DOCUMENTATION: Final = FOLDERS / "noetl-docs"
TIMEOUT_SECONDS: Final = 120.0
"""How long one document may take at reduced scale."""

SLOW_TIMEOUT_SECONDS: Final = 3 * 3600.0
"""How long one may take otherwise."""

NATS_USER: Final = "corpus"
NATS_PASSWORD: Final = "corpus-password"  # of a server that lives for minutes


_WORD: Final = re.compile(r"[A-Za-z_][\w.-]{1,60}")


class Credentials:
    """The credentials of the document that runs: they lead to its database."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.facts: dict[str, Any] = {}

    def aliases(self, documents: Iterable[Document]) -> list[str]:
        """Return every text of some documents that may be an alias."""
        texts = {word for d in documents for word in _WORD.findall(d.text)}
        return sorted(t for t in texts if self._settings.credential(t, self.facts))

    async def credential(self, alias: str, execution_id: int) -> Credential:
        """Return a credential by its alias."""
        found = self._settings.credential(alias, self.facts)
        if found is None:
            raise CredentialError(alias, "is not known")
        kind, data = found
        return Credential(name=alias, type=kind, data=data)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a run."""

    folder: Path
    full: bool = False
    #: Whether delays and limits are those of the original.
    real_time: bool = False
    #: Only documents whose file or catalog path this pattern finds are run.
    only: str = ""
    #: Where runtimes keep what they keep; a temporary folder by default.
    home: Path | None = None


class Corpus:
    """One run over a corpus."""

    def __init__(
        self,
        options: Options,
        report: Callable[[Result], None],
        settings: Settings | None = None,
        host: Host | None = None,
    ) -> None:
        self._host = host or Here()
        #: What each document's last run left, by its name.
        self.traces: dict[str, Trace] = {}
        self.options = options
        self.settings = settings or load_settings()
        self.documents = load_corpus(options.folder)
        self._registry = Registry()
        self._report = report
        self._credentials = Credentials(self.settings)
        self._facts: dict[str, Any] = {}
        #: Where each document is in the catalog, by its name.
        self._placed: dict[str, Placed] = {}
        self._postgres: PostgresServer | None = None
        self._stand_in = ""
        self._stack = contextlib.ExitStack()

    def run(self) -> list[Result]:
        """Lint everything, and run what can be run here."""
        with self._stack:
            home = self.options.home
            if home is None:
                home = Path(tempfile.mkdtemp(prefix="arcbook-corpus-"))
                self._stack.callback(shutil.rmtree, home, ignore_errors=True)
            chosen = [d for d in self.documents if self._is_chosen(d)]
            self._start_servers(chosen)
            return asyncio.run(self._run(home, chosen))

    def _is_chosen(self, document: Document) -> bool:
        names = f"{document.name}\n{document.expected.catalog_path}"
        return not self.options.only or re.search(self.options.only, names) is not None

    def _start_servers(self, chosen: list[Document]) -> None:
        runnable = [d for d in chosen if d.is_playbook and not self.settings.obstacle(d)]
        needed = {name for document in runnable for name in facts_of(document)}
        pace = Pace() if self.options.real_time else self.settings.pace
        self._stand_in = self._stack.enter_context(StandInProcess(pace)).url
        if "postgres" in needed:
            self._postgres = self._stack.enter_context(
                PostgresServer(settings={"max_connections": "200"})
            )
        if "nats" in needed:
            nats = self._stack.enter_context(NatsServer(user=NATS_USER, password=NATS_PASSWORD))
            self._facts |= {
                "nats_url": nats.url,
                "nats_user": NATS_USER,
                "nats_password": NATS_PASSWORD,
            }

    async def _run(self, home: Path, chosen: list[Document]) -> list[Result]:
        results: list[Result] = []

        def add(result: Result) -> None:
            results.append(result)
            self._report(result)

        for document in (d for d in chosen if d.is_playbook):
            add(outcomes.linted(document, self._load(document.text)))
        folder = laid_out(self.options.folder, self.settings, home / "corpus")
        async with self._host.compose(home, self._credentials) as place:
            for result in await self._register(place, folder, chosen):
                add(result)
        runnable = [d for d in chosen if d.is_playbook and not self.settings.obstacle(d)]
        for number, members in enumerate(groups(runnable, self.settings)):
            async for result in self._run_group(home, f"corpus_{number}", members):
                add(result)
        return results

    # -- before running ---------------------------------------------------------------

    def _load(self, text: str) -> Loaded:
        """Load a document; a kind whose module cannot be imported is an error of it."""
        try:
            return load_document(text, self._registry)
        except ImportError as error:
            fault = Diagnostic(
                code="IMPORT", severity=Severity.ERROR, message=str(error), line=1, column=1
            )
            return Loaded(playbook=None, diagnostics=(fault,))

    async def _register(self, place: Place, folder: Path, chosen: list[Document]) -> list[Result]:
        """Register all documents, for those that are run call others; list what is not run."""
        results: list[Result] = []
        for file in others(self.options.folder, self.documents):
            name = file.relative_to(self.options.folder)
            await self._registered(place, _text(file), folder / name)
        for document in self.documents:
            placed = await self._registered(place, document.text, folder / document.name)
            if placed is None:
                continue
            found, loaded = placed
            self._placed[document.name] = found
            if found.path != catalog_path(document.expected.catalog_path):
                results.append(_not_registered(document, f"it is registered as {found.path!r}"))
            elif not document.is_playbook and loaded.kind != document.expected.kind:
                results.append(_not_registered(document, f"it is a {loaded.kind}"))
            elif not document.is_playbook and document in chosen:
                results.append(_registered(document, loaded))
        listed = {result.name for result in results}
        for document in chosen:
            if not document.is_playbook and document.name not in listed:
                results.append(_not_registered(document, f"it is no {document.expected.kind}"))
            elif document.is_playbook and (why := self.settings.obstacle(document)):
                results.append(_not_run(document, why))
        return results

    async def _registered(
        self, place: Place, text: str, file: Path
    ) -> tuple[Placed, Loaded] | None:
        """Register a document; nothing comes of one that has errors, or is none."""
        text = self.settings.rewritten(text, self._stand_in)
        loaded = self._load(text)
        if loaded.errors or not loaded.path:
            return None
        return await place.register(text, loaded, file.parent), loaded

    # -- running ----------------------------------------------------------------------

    async def _run_group(
        self, home: Path, database: str, members: list[Document]
    ) -> AsyncIterator[Result]:
        """Run documents that share a database; one that hangs costs its runtime."""
        facts = dict(self._facts)
        if self._postgres is not None and any("postgres" in facts_of(d) for d in members):
            address = self._postgres.create_database(database)
            facts |= parts_of(address)
            if any(self._reads_platform(d) for d in members):
                make_catalog(address, self.documents)
            prepare(address, [s for d in members if (s := self.settings.prepared_by(d))])
        self._credentials.facts = facts
        waiting = deque(members)
        while waiting:
            async with self._host.compose(home, self._credentials) as place:
                is_hung = False
                while waiting and not is_hung:
                    result = await self._run_one(place, waiting.popleft(), facts)
                    is_hung = result.is_hung
                    yield result

    def _reads_platform(self, document: Document) -> bool:
        return any(t.startswith(PLATFORM) for t in document.expected.needs_existing_tables)

    async def _run_one(self, place: Place, document: Document, facts: dict[str, Any]) -> Result:
        """Run a document, again if the settings allow it and it is not as expected."""
        tries = max([1, *(rule.tries for rule in self.settings.rules(document))])
        result = await self._try(place, document, facts)
        for _ in range(tries - 1):
            if result.is_well or result.is_hung:
                break
            result = await self._try(place, document, facts)
        return result

    async def _try(self, place: Place, document: Document, facts: dict[str, Any]) -> Result:
        if document.unreadable:
            return outcomes.not_found(document, document.unreadable)
        loaded = self._load(self.settings.rewritten(document.text, self._stand_in))
        if loaded.playbook is None:
            return outcomes.refused(document, loaded)
        placed = self._placed.get(document.name)
        await asyncio.to_thread(_post, f"{self._stand_in}/standin/reset")
        options = self.options
        payload = self.settings.payload(
            document, facts, full=options.full, real_time=options.real_time
        )
        limit = self._limit(document)
        began = time.monotonic()
        try:
            async with asyncio.timeout(limit):
                ran = await place.run(
                    document.expected.catalog_path, placed.version if placed else 0, payload
                )
        except MissingError as error:
            return outcomes.not_found(document, str(error))
        except TimeoutError:
            return Result(
                name=document.name,
                expected=document.expected.expected_outcome,
                got="RUNNING",
                is_well=False,
                seconds=limit,
                note=f"it did not end within {limit:g} seconds",
                is_hung=True,
            )
        seconds = time.monotonic() - began
        self.traces[document.name] = trace_of(ran)
        wrong: list[str] = []
        if ran.status == "COMPLETED":
            checks = self.settings.checks(document, full=options.full)
            wrong = outcomes.failing(checks, ran)
            wrong += outcomes.unfinished(loaded.playbook, ran)
        return outcomes.ended(document, ran, wrong, seconds)

    def _limit(self, document: Document) -> float:
        slow = self.options.full or self.options.real_time
        given = [r.timeout_seconds for r in self.settings.rules(document) if r.timeout_seconds]
        return max(given, default=SLOW_TIMEOUT_SECONDS if slow else TIMEOUT_SECONDS)


def laid_out(source: Path, settings: Settings, folder: Path) -> Path:
    """Copy a corpus into a folder, and put the files beside it that its documents name."""
    shutil.copytree(source, folder, dirs_exist_ok=True)
    for name, file in settings.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            shutil.copyfile(FILES / file, path)
    return folder


def _registered(document: Document, loaded: Loaded) -> Result:
    return Result(
        name=document.name, expected="registered", got="registered", is_well=True, note=loaded.kind
    )


def _not_registered(document: Document, why: str) -> Result:
    return Result(
        name=document.name,
        expected="registered",
        got="REFUSED",
        is_well=False,
        note=why,
    )


def _not_run(document: Document, why: str) -> Result:
    return Result(
        name=document.name,
        expected=document.expected.expected_outcome,
        got="not run",
        is_well=None,
        note=why,
    )


def parts_of(address: str) -> dict[str, Any]:
    """Return the parts of a database's address, as settings name them."""
    url = urlsplit(address)
    return {
        "postgres_host": url.hostname,
        "postgres_port": url.port,
        "postgres_user": url.username,
        "postgres_password": url.password,
        "postgres_database": url.path.removeprefix("/"),
    }


def make_catalog(address: str, documents: Iterable[Document]) -> None:
    """Make the platform's catalog in a database, as playbooks read it."""
    import psycopg

    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("create schema noetl")
        connection.execute(
            "create table noetl.catalog (catalog_id bigserial primary key, path text not null, "
            "version int not null default 1, kind text not null, content text not null, "
            "created_at timestamptz not null default now())"
        )
        rows = [(d.expected.catalog_path, d.expected.kind, d.text) for d in documents]
        with connection.cursor() as cursor:
            cursor.executemany(
                "insert into noetl.catalog (path, kind, content) values (%s, %s, %s)", rows
            )


def prepare(address: str, statements: Iterable[str]) -> None:
    """Make in a database what documents find there."""
    import psycopg

    with psycopg.connect(address, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)  # type: ignore[call-overload]  # our own settings


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _post(url: str) -> None:
    from urllib.request import Request, urlopen

    urlopen(Request(url, method="POST"), timeout=10).close()  # our own server


# -- the table ------------------------------------------------------------------------


class Table:
    """Prints results as they come, and how many were as expected."""

    def __init__(self, documents: list[Document], *, width: int = 0) -> None:
        self._width = width or max([20, *(len(d.name) for d in documents)])

    def row(self, result: Result) -> None:
        """Print one result; a clean lint says nothing."""
        if result.expected == "lint" and result.is_well and result.got == "clean":
            return
        mark = {True: " ", False: "!", None: "-"}[result.is_well]
        seconds = f"{result.seconds:7.2f}" if result.seconds else " " * 7
        line = f"{mark} {result.name:<{self._width}} {result.expected:<10} {result.got:<10} {seconds}  {result.note}"
        self._print(line.rstrip())

    def totals(self, results: list[Result]) -> bool:
        """Print the totals; return whether everything is as expected."""
        lint = [r for r in results if r.expected == "lint"]
        run = [r for r in results if r.expected != "lint" and r.is_well is not None]
        not_run = [r for r in results if r.is_well is None]
        self._print(f"lint: {_well(lint)} as expected of {len(lint)}")
        if not_run:
            self._print(f"not run here: {len(not_run)}")
        self._print(f"corpus: {_well(run)} as expected of {len(run)}")
        return _well(lint) == len(lint) and _well(run) == len(run)

    def _print(self, line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def _well(results: list[Result]) -> int:
    return sum(1 for result in results if result.is_well)


def options_of(arguments: list[str] | None) -> list[Options]:
    """Return what a command line asks for: a run over each corpus."""
    parser = argparse.ArgumentParser(prog="corpus", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help=f"folder with {EXPECTATIONS}")
    parser.add_argument("--full", action="store_true", help="documents at their full scale")
    parser.add_argument("--real-time", action="store_true", help="delays as in the original")
    parser.add_argument("--only", default="", help="pattern of the documents to run")
    parser.add_argument("--home", type=Path, help="folder to keep the runtime's store in")
    given = parser.parse_args(arguments)
    asked = given.folder or os.environ.get("CORPUS")
    folders = [Path(asked)] if asked else [DEFAULT_FOLDER]
    if not asked and is_corpus(DOCUMENTATION):
        folders.append(DOCUMENTATION)
    for folder in folders:
        if not is_corpus(folder):
            parser.error(f"there is no {EXPECTATIONS} for {folder}")
    return [
        Options(
            folder=folder,
            full=given.full,
            real_time=given.real_time,
            only=given.only,
            home=given.home,
        )
        for folder in folders
    ]


def main(arguments: list[str] | None = None) -> int:
    """Run a corpus and return the exit status."""
    asked = options_of(arguments)
    table = Table([d for options in asked for d in load_corpus(options.folder)])
    results = [result for options in asked for result in Corpus(options, table.row).run()]
    return 0 if table.totals(results) else 1
