"""Plans of playbooks, compiled once and cached."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from arcbook.clock import Clock
from arcbook.dsl.kinds import Kinds
from arcbook.dsl.load import InvalidPlaybookError, Loaded, load_playbook
from arcbook.dsl.paths import catalog_path
from arcbook.engine.plan import Plan
from arcbook.errors import MissingError
from arcbook.store.api import Catalog, CatalogEntry

PLANS_MAX: Final = 500
"""Maximum number of cached plans ..."""

PLANS_BYTES_MAX: Final = 16 * 1024 * 1024
"""... and total size of their documents; a plan needs about thirty times as much memory."""

THREAD_BYTES: Final = 16 * 1024
"""Size above which a document is compiled in a thread, off the event loop."""


class PlaybookMissingError(MissingError):
    """The playbook is not in the catalog."""

    code = "playbook_not_found"


class PlanPendingError(RuntimeError):
    """The plan is still being compiled; retry the input once it is ready.

    Attributes:
        future: Resolves to the plan, or to the error of compiling it.
    """

    def __init__(self, future: asyncio.Future[Planned]) -> None:
        self.future = future
        super().__init__("the plan is still being compiled")


class Planned:
    """A plan and its catalog entry."""

    __slots__ = ("entry", "plan")

    def __init__(self, entry: CatalogEntry, plan: Plan) -> None:
        self.entry = entry
        self.plan = plan


class Plans:
    """Looks up playbooks in the catalog and compiles their plans."""

    def __init__(
        self, catalog: Catalog, kinds: Kinds, ids: Callable[[], int], clock: Clock
    ) -> None:
        self._catalog = catalog
        self._kinds = kinds
        self._ids = ids
        self._clock = clock
        self._by_id: OrderedDict[int, Planned] = OrderedDict()
        self._bytes = 0
        #: Plans being compiled, by catalog id.
        self._compiling: dict[int, asyncio.Task[Planned]] = {}

    async def find(
        self, path: str = "", version: int | None = None, catalog_id: int | None = None
    ) -> Planned:
        """Return a playbook's plan by path, by path and version, or by catalog id.

        Raises:
            PlaybookMissingError: It is not in the catalog.
            InvalidPlaybookError: The document cannot run.
        """
        try:
            return await self.ready(path, version, catalog_id)
        except PlanPendingError as pending:
            return await asyncio.shield(pending.future)

    async def ready(
        self, path: str = "", version: int | None = None, catalog_id: int | None = None
    ) -> Planned:
        """Return a playbook's plan like `find`, but without waiting for a long compilation.

        Raises:
            PlanPendingError: The plan is still being compiled.
            PlaybookMissingError: It is not in the catalog.
            InvalidPlaybookError: The document cannot run.
        """
        if catalog_id is not None and catalog_id in self._by_id:
            self._by_id.move_to_end(catalog_id)
            return self._by_id[catalog_id]
        path = catalog_path(path)
        entry = await self._catalog.entry(path, version, catalog_id)
        if entry is None:
            named = f"with id {catalog_id}" if catalog_id is not None else repr(path)
            suffix = f" version {version}" if version is not None else ""
            raise PlaybookMissingError(f"there is no playbook {named}{suffix} in the catalog")
        cached = self._by_id.get(entry.catalog_id)
        if cached is not None:
            return cached
        if len(entry.content) <= THREAD_BYTES:
            return self._cache(planned_of(entry, self._kinds))
        future = self._compile(entry)
        if future.done():
            return future.result()
        raise PlanPendingError(future)

    def _compile(self, entry: CatalogEntry, loaded: Loaded | None = None) -> asyncio.Task[Planned]:
        """Compile a plan in a thread, once for all callers.

        A failure is reported to the next caller and then forgotten.
        """
        future = self._compiling.get(entry.catalog_id)
        if future is not None:
            if future.done():
                del self._compiling[entry.catalog_id]
            return future

        async def compile_plan() -> Planned:
            planned = await asyncio.to_thread(planned_of, entry, self._kinds, loaded)
            self._compiling.pop(entry.catalog_id, None)
            return self._cache(planned)

        future = self._compiling[entry.catalog_id] = asyncio.create_task(
            compile_plan(), name="plan"
        )
        while len(self._compiling) > PLANS_MAX:
            del self._compiling[next(iter(self._compiling))]
        return future

    def _cache(self, planned: Planned) -> Planned:
        cached = self._by_id.get(planned.entry.catalog_id)
        if cached is not None:
            return cached
        self._by_id[planned.entry.catalog_id] = planned
        self._bytes += len(planned.entry.content)
        while len(self._by_id) > PLANS_MAX or (
            self._bytes > PLANS_BYTES_MAX and len(self._by_id) > 1
        ):
            _, oldest = self._by_id.popitem(last=False)
            self._bytes -= len(oldest.entry.content)
        return planned

    async def register(
        self,
        content: str,
        loaded: Loaded,
        *,
        folder: str = "",
        path: str | None = None,
        tenant: str = "",
        organization: str = "",
    ) -> CatalogEntry:
        """Register a checked document as the next version of its path.

        Registering the latest version's content again does not create a version.
        """
        playbook = loaded.playbook
        entry = await self._catalog.register(
            CatalogEntry(
                catalog_id=self._ids(),
                path=catalog_path(path or loaded.path),
                version=0,
                kind=loaded.kind.lower() or "playbook",
                content=content,
                sha256=hashlib.sha256(content.encode()).hexdigest(),
                created_at=self._clock.now_us(),
                folder=folder,
                tenant=tenant,
                organization=organization,
            )
        )
        if playbook is not None and entry.catalog_id not in self._by_id:
            if len(content) > THREAD_BYTES:
                await asyncio.shield(self._compile(entry, loaded))
            else:
                self._cache(planned_of(entry, self._kinds, loaded))
        return entry


def planned_of(entry: CatalogEntry, kinds: Kinds, loaded: Loaded | None = None) -> Planned:
    """Compile a document's plan.

    Args:
        entry: The document.
        kinds: The known tool kinds.
        loaded: The parsed document, if it was parsed before.

    Raises:
        InvalidPlaybookError: The document cannot run.
    """
    if loaded is None:
        loaded = load_playbook(entry.content, kinds, is_stored=True)
    if loaded.playbook is None:
        raise InvalidPlaybookError(entry.path, loaded)
    return Planned(entry, Plan(loaded.playbook, kinds))
