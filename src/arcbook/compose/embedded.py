"""The embedded runtime: all parts in one process and one folder.

This composition root chooses SQLite, files and the local key. The command line and the
Python API use it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Final, Self

import msgspec

from arcbook.beside import calls_playbooks, named_files, siblings
from arcbook.blobs.filesystem import FilesystemBlobs
from arcbook.clock import SystemClock
from arcbook.compose.local_runtime import LocalRuntime
from arcbook.compose.working import egress_of, jobs_of, packages_of
from arcbook.dsl.load import InvalidPlaybookError, Loaded, load_playbook
from arcbook.dsl.model import Playbook
from arcbook.engine.inputs import Cancel
from arcbook.engine.state import State
from arcbook.errors import ConflictError
from arcbook.events.types import Recorded
from arcbook.ids import MACHINE_MAX, IdGenerator
from arcbook.locks import is_locked, lock, unlock
from arcbook.owner.plans import Planned, Plans
from arcbook.owner.reader import ExecutionReader
from arcbook.owner.rehearsal import rehearse
from arcbook.performer.execute import Performer
from arcbook.performer.services import CredentialPort
from arcbook.results.frames import loop_frames
from arcbook.results.store import ResultStore
from arcbook.secrets.credentials import CredentialBook
from arcbook.secrets.keys import keys_of
from arcbook.settings import Settings
from arcbook.store.api import CatalogEntry, ExecutionRow, Store
from arcbook.store.sqlite import SqliteStore
from arcbook.tools.confinement import Confinement
from arcbook.tools.python import Python
from arcbook.tools.python_start import Spawned
from arcbook.tools.registry import Registry

_RUNTIMES: Final = itertools.count()

STORE_FILE: Final = "arcbook.db"

_OWNED: Final = "execution {} is being run by another process"


class OwnedElsewhereError(ConflictError):
    """Another process is running the execution."""

    code = "owned_elsewhere"


class Embedded:
    """The runtime of one home folder.

    Args:
        settings: Its folder and limits.
        lookup: Source of credentials, instead of those stored in the folder.
    """

    is_dry: bool = False
    """Whether calls with effects are skipped."""

    def __init__(self, settings: Settings, lookup: CredentialPort | None = None) -> None:
        self.settings = settings
        self._lookup = lookup or _LateCredentials(self)
        self.home = settings.home
        self.clock = SystemClock()
        # Two runtimes in one process must not generate the same id.
        self.ids = IdGenerator(self.clock, (os.getpid() + next(_RUNTIMES)) & MACHINE_MAX)
        self.store: Store = SqliteStore(self.home / STORE_FILE)
        self.registry = Registry()
        self.plans = Plans(self.store, self.registry, self.ids, self.clock)
        self.results = ResultStore(FilesystemBlobs(self.home / "results"), loop_reader=self._frames)
        self.reader = ExecutionReader(
            self.store, self.results, f" in the home {self.home}: see 'arcbook executions list'"
        )
        self._credentials: CredentialBook | None = None
        self._runtime: LocalRuntime | None = None
        self._stack = contextlib.AsyncExitStack()
        self._locks: dict[int, int] = {}

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.store)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()
        for execution_id in list(self._locks):
            self._unlock(execution_id)

    # -- parts ------------------------------------------------------------------------

    @property
    def credentials(self) -> CredentialBook:
        """The credentials of this home."""
        if self._credentials is None:
            self._credentials = CredentialBook(
                self.store,
                keys_of(self.settings, make=True),
                self.clock,
                requester=f"local-{os.getpid()}",
            )
        return self._credentials

    async def runtime(self) -> LocalRuntime:
        """Return the runtime, starting it on first use."""
        if self._runtime is None:
            confinement = Confinement(
                workspaces=str(self.home / "work"),
                memory_bytes=self.settings.python_memory_bytes,
                egress=egress_of(self.settings),
                packages=packages_of(self.settings),
                jobs=jobs_of(self.settings),
            )
            performer = Performer(
                self.registry,
                self.results,
                self._lookup,
                self.clock,
                worker=f"local-{os.getpid()}",
                workspace=confinement.make_workspace,
                env=self.settings.template_names(),
                confinement=confinement,
                is_dry=self.is_dry,
            )
            runtime = LocalRuntime(
                self.store,
                self.plans,
                self.results,
                performer,
                self.clock,
                self.ids,
                concurrency=self.settings.concurrency,
                rehearse=rehearse,
            )
            self._runtime = await self._stack.enter_async_context(runtime)
        return self._runtime

    def use_python(self, spawned: Spawned) -> None:
        """Run Python code with a zygote that is already started."""
        tool = Python(spawned)
        self.registry.add("python", tool, self.registry.kind("python"))

    def _frames(self, execution_id: int, step: str, visit: str) -> AsyncIterator[Any]:
        return loop_frames(self.store, execution_id, step, int(visit))

    # -- playbooks --------------------------------------------------------------------

    async def register(self, content: str | bytes, name: str, folder: str = "") -> Planned:
        """Check a document and store it in the catalog.

        Raises:
            InvalidPlaybookError: It has errors.
        """
        loaded = self.checked(content, name)
        entry = await self.register_loaded(content, loaded, folder)
        return await self.plans.find(catalog_id=entry.catalog_id)

    def checked(
        self, content: str | bytes, name: str, allow: frozenset[str] = frozenset()
    ) -> Loaded:
        """Load a document and check that it has no errors.

        Raises:
            InvalidPlaybookError: It has errors.
        """
        loaded = load_playbook(content, self.registry, allow=allow)
        if loaded.playbook is None:
            raise InvalidPlaybookError(name, loaded)
        return loaded

    async def register_loaded(
        self, content: str | bytes, loaded: Loaded, folder: str = ""
    ) -> CatalogEntry:
        """Store a checked document in the catalog."""
        text = content if isinstance(content, str) else content.decode("utf-8-sig")
        return await self.plans.register(text, loaded, folder=folder)

    async def register_siblings(self, planned: Planned) -> None:
        """Register the playbooks below a playbook's folder, if it calls any."""
        if not planned.entry.folder or not calls_playbooks(planned.plan):
            return
        folder = Path(planned.entry.folder)
        for content, loaded, place in siblings(folder, planned.entry.path, self.registry):
            await self.register_loaded(content, loaded, str(place.resolve()))
        await self.register_files(planned.plan.playbook, planned.entry.folder)

    async def register_files(self, playbook: Playbook, folder: str) -> None:
        """Register the playbooks that a playbook calls by file.

        Raises:
            AmbiguousFileError: Two of them have the same name.
        """
        for file in named_files(playbook, Path(folder), self.registry):
            await self.plans.register(
                file.content, file.loaded, folder=str(file.folder), path=file.path
            )

    # -- executions -------------------------------------------------------------------

    async def run(
        self,
        planned: Planned,
        payload: dict[str, Any],
        *,
        started: Callable[[int], None] | None = None,
        listener: Callable[[int, list[Recorded], State], None] | None = None,
        **facts: Any,
    ) -> State:
        """Run a playbook to its end and return the final state."""
        runtime = await self.runtime()
        execution_id = self.ids()
        with self._owning(execution_id), runtime.drive.listeners.added(listener):
            ended = runtime.ended(execution_id)
            if started is not None:
                started(execution_id)
            await runtime.start(planned, payload, execution_id=execution_id, **facts)
            return await ended

    async def resume(
        self,
        execution_id: int,
        listener: Callable[[int, list[Recorded], State], None] | None = None,
    ) -> State:
        """Resume an execution whose process has ended.

        Raises:
            OwnedElsewhereError: Its process is still running.
        """
        await self._refuse_driven(execution_id)
        runtime = await self.runtime()
        with self._owning(execution_id), runtime.drive.listeners.added(listener):
            return await (await runtime.resume(execution_id))

    async def cancel(self, execution_id: int, reason: str) -> State | None:
        """Cancel an execution, wherever it runs.

        Returns:
            The final state, or None if the request was passed to another process.
        """
        try:
            await self._refuse_driven(execution_id)
            self._lock(execution_id)
        except OwnedElsewhereError:
            await self.store.post(execution_id, msgspec.json.encode(Cancel(reason=reason)))
            return None
        runtime = await self.runtime()
        try:
            ended = await runtime.resume(execution_id, quiet=True)
            if not ended.done():
                await runtime.cancel(execution_id, reason)
            return await ended
        finally:
            self._unlock(execution_id)

    # -- ownership --------------------------------------------------------------------

    @contextlib.contextmanager
    def _owning(self, execution_id: int) -> Iterator[None]:
        self._lock(execution_id)
        try:
            yield
        finally:
            self._unlock(execution_id)

    def _lock(self, execution_id: int) -> None:
        """Lock an execution until it is unlocked or this process ends.

        Raises:
            OwnedElsewhereError: Another process owns it.
        """
        path = self.home / "owned" / str(execution_id)
        handle = lock(path)
        if handle is None:
            raise OwnedElsewhereError(_OWNED.format(execution_id))
        self._locks[execution_id] = handle

    async def _refuse_driven(self, execution_id: int) -> None:
        """Raise if another process drives the execution or one of its ancestors.

        Raises:
            OwnedElsewhereError: Another process does.
        """
        if await self.is_driven(await self.reader.row(execution_id)):
            raise OwnedElsewhereError(_OWNED.format(execution_id))

    async def is_driven(self, row: ExecutionRow) -> bool:
        """Return whether a process drives an execution or its topmost parent."""
        while row.parent_execution_id:
            row = await self.reader.row(row.parent_execution_id)
        return is_locked(self.home / "owned" / str(row.execution_id))

    def _unlock(self, execution_id: int) -> None:
        handle = self._locks.pop(execution_id, None)
        if handle is not None:
            unlock(self.home / "owned" / str(execution_id), handle, remove=True)


class _LateCredentials:
    """Opens the credential book and its key on first use."""

    def __init__(self, embedded: Embedded) -> None:
        self._embedded = embedded

    async def credential(self, alias: str, execution_id: int) -> Any:
        return await self._embedded.credentials.credential(alias, execution_id)
