"""Playbooks by path or id, loaded once and kept ready to run."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from arcbook.clock import Clock
from arcbook.dsl.kinds import Kinds
from arcbook.dsl.load import Loaded, load_playbook
from arcbook.dsl.paths import catalog_path
from arcbook.engine.plan import Plan
from arcbook.store.api import Catalog, CatalogEntry

PLANS_MAX: Final = 500
"""Plans kept in memory."""


class PlaybookMissingError(LookupError):
    """The catalog has no such playbook."""


class PlaybookInvalidError(ValueError):
    """A document in the catalog is not a playbook that can run.

    Attributes:
        loaded: the document with its diagnostics.
    """

    def __init__(self, path: str, loaded: Loaded) -> None:
        self.path = path
        self.loaded = loaded
        first = loaded.errors[0] if loaded.errors else None
        reason = f"line {first.line}: {first.message}" if first else "it is no playbook"
        super().__init__(f"playbook {path!r} cannot run: {reason}")


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

    async def find(
        self, path: str = "", version: int | None = None, catalog_id: int | None = None
    ) -> Planned:
        """Return a playbook: the latest of a path, a version of it, or one by its id.

        Raises:
            PlaybookMissingError: there is none.
            PlaybookInvalidError: the document cannot run.
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
        return self._plan(entry, load_playbook(entry.content, self._kinds, is_stored=True))

    def _plan(self, entry: CatalogEntry, loaded: Loaded) -> Planned:
        if loaded.playbook is None:
            raise PlaybookInvalidError(entry.path, loaded)
        planned = Planned(entry, Plan(loaded.playbook, self._kinds))
        self._by_id[entry.catalog_id] = planned
        while len(self._by_id) > PLANS_MAX:
            self._by_id.popitem(last=False)
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
            self._plan(entry, loaded)
        return entry
