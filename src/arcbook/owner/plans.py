"""Playbooks by path or id, loaded once and kept ready to run."""

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
"""Plans kept in memory ..."""

PLANS_BYTES_MAX: Final = 16 * 1024 * 1024
"""... and the size of their documents together; a plan takes some thirty times as much."""

THREAD_BYTES: Final = 16 * 1024
"""Size from which a document is read, and its plan made, beside the event loop."""


class PlaybookMissingError(MissingError):
    """The catalog has no such playbook."""

    code = "playbook_not_found"


class PlanAwaitedError(RuntimeError):
    """A plan is being made; the input that needs it comes again when it is there.

    Attributes:
        made: is done then, well or not.
    """

    def __init__(self, made: asyncio.Future[Planned]) -> None:
        self.made = made
        super().__init__("its plan is being made")


class Planned:
    """A plan and where it came from."""

    __slots__ = ("entry", "plan")

    def __init__(self, entry: CatalogEntry, plan: Plan) -> None:
        self.entry = entry
        self.plan = plan


class Plans:
    """Finds playbooks in the catalog and makes plans of them."""

    def __init__(
        self, catalog: Catalog, kinds: Kinds, ids: Callable[[], int], clock: Clock
    ) -> None:
        self._catalog = catalog
        self._kinds = kinds
        self._ids = ids
        self._clock = clock
        self._by_id: OrderedDict[int, Planned] = OrderedDict()
        self._bytes = 0
        #: Plans that are being made, by the id of the document.
        self._making: dict[int, asyncio.Task[Planned]] = {}

    async def find(
        self, path: str = "", version: int | None = None, catalog_id: int | None = None
    ) -> Planned:
        """Return a playbook: the latest of a path, a version of it, or one by its id.

        Raises:
            PlaybookMissingError: there is none.
            InvalidPlaybookError: the document cannot run.
        """
        try:
            return await self.ready(path, version, catalog_id)
        except PlanAwaitedError as awaited:
            return await asyncio.shield(awaited.made)

    async def ready(
        self, path: str = "", version: int | None = None, catalog_id: int | None = None
    ) -> Planned:
        """Return a playbook as `find` does, unless making its plan takes long.

        Raises:
            PlanAwaitedError: it does; then it is being made.
            PlaybookMissingError: there is none.
            InvalidPlaybookError: the document cannot run.
        """
        if catalog_id is not None and catalog_id in self._by_id:
            self._by_id.move_to_end(catalog_id)
            return self._by_id[catalog_id]
        path = catalog_path(path)
        entry = await self._catalog.entry(path, version, catalog_id)
        if entry is None:
            named = f"with id {catalog_id}" if catalog_id is not None else repr(path)
            which = f" version {version}" if version is not None else ""
            raise PlaybookMissingError(f"there is no playbook {named}{which} in the catalog")
        found = self._by_id.get(entry.catalog_id)
        if found is not None:
            return found
        if len(entry.content) <= THREAD_BYTES:
            return self._keep(planned_of(entry, self._kinds))
        made = self._make(entry)
        if made.done():
            return made.result()
        raise PlanAwaitedError(made)

    def _make(self, entry: CatalogEntry, loaded: Loaded | None = None) -> asyncio.Task[Planned]:
        """Make a plan beside the event loop, once for all that wait for it.

        Of one that fails, whoever asks next is told; then it is forgotten.
        """
        made = self._making.get(entry.catalog_id)
        if made is not None:
            if made.done():
                del self._making[entry.catalog_id]
            return made

        async def make() -> Planned:
            planned = await asyncio.to_thread(planned_of, entry, self._kinds, loaded)
            self._making.pop(entry.catalog_id, None)
            return self._keep(planned)

        made = self._making[entry.catalog_id] = asyncio.create_task(make(), name="plan")
        while len(self._making) > PLANS_MAX:
            del self._making[next(iter(self._making))]
        return made

    def _keep(self, planned: Planned) -> Planned:
        known = self._by_id.get(planned.entry.catalog_id)
        if known is not None:
            return known
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
        """Store a checked document as the next version of its path.

        The same content again makes no new version.
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
                await asyncio.shield(self._make(entry, loaded))
            else:
                self._keep(planned_of(entry, self._kinds, loaded))
        return entry


def planned_of(entry: CatalogEntry, kinds: Kinds, loaded: Loaded | None = None) -> Planned:
    """Make a document's plan; it may be read already.

    Raises:
        InvalidPlaybookError: it cannot run.
    """
    if loaded is None:
        loaded = load_playbook(entry.content, kinds, is_stored=True)
    if loaded.playbook is None:
        raise InvalidPlaybookError(entry.path, loaded)
    return Planned(entry, Plan(loaded.playbook, kinds))
