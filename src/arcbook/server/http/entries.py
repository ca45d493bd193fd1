"""Documents as the API shows them, each read once: a version never changes."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from arcbook.server.http.documents import part_of, root_of
from arcbook.server.http.wire.catalog import Entry
from arcbook.server.http.wire.common import moment
from arcbook.store.api import CatalogEntry

ENTRIES_MAX: Final = 2000
"""Documents that are remembered as they go out."""


class Shown:
    """Documents by their id, as they go out."""

    def __init__(self) -> None:
        self._known: OrderedDict[int, Entry] = OrderedDict()

    def of(self, row: CatalogEntry) -> Entry:
        """Return a document as it goes out."""
        found = self._known.get(row.catalog_id)
        if found is None:
            found = self._known[row.catalog_id] = _entry(row)
            while len(self._known) > ENTRIES_MAX:
                self._known.popitem(last=False)
        return found


def _entry(row: CatalogEntry) -> Entry:
    root = root_of(row.content)
    return Entry(
        catalog_id=str(row.catalog_id),
        path=row.path,
        kind=row.kind,
        version=row.version,
        content=row.content,
        layout=part_of(root, "workflow"),
        payload=part_of(root, "workload"),
        meta=part_of(root, "metadata"),
        created_at=moment(row.created_at),
        tenant=row.tenant or None,
        organization=row.organization or None,
    )
