"""Documents as the API returns them, parsed once, because a version never changes."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from arcbook.server.http.documents import root_of
from arcbook.store.api import CatalogEntry
from arcbook.wire.http.catalog import Entry
from arcbook.wire.http.common import moment

ENTRIES_MAX: Final = 2000
"""Documents cached in the format of the API ..."""

ENTRIES_BYTES_MAX: Final = 16 * 1024 * 1024
"""... and the total size of their texts."""


class Read(NamedTuple):
    """A document in the format of the API, for single answers and for lists."""

    alone: Entry
    in_list: Entry


class EntryCache:
    """A cache of documents by their id."""

    def __init__(self) -> None:
        self._known: OrderedDict[int, Read] = OrderedDict()
        self._bytes = 0

    def of(self, row: CatalogEntry) -> Entry:
        """Return a document in the format of the API."""
        cached = self._known.get(row.catalog_id)
        return (cached or self._keep(row.catalog_id, _read(row))).alone

    async def listed(self, rows: Sequence[CatalogEntry]) -> list[Entry]:
        """Return documents for a list; uncached ones are parsed outside the event loop."""
        entries = {row.catalog_id: self._known.get(row.catalog_id) for row in rows}
        unknown = [row for row in rows if entries[row.catalog_id] is None]
        if unknown:
            for row, read in zip(unknown, await asyncio.to_thread(_all, unknown), strict=True):
                entries[row.catalog_id] = self._keep(row.catalog_id, read)
        return [read.in_list for read in entries.values() if read is not None]

    def _keep(self, catalog_id: int, read: Read) -> Read:
        if catalog_id not in self._known:
            self._known[catalog_id] = read
            self._bytes += len(read.alone.content)
        while len(self._known) > ENTRIES_MAX or self._bytes > ENTRIES_BYTES_MAX:
            _, evicted = self._known.popitem(last=False)
            self._bytes -= len(evicted.alone.content)
        return read


def _all(rows: Sequence[CatalogEntry]) -> list[Read]:
    return [_read(row) for row in rows]


def _read(row: CatalogEntry) -> Read:
    root = root_of(row.content)
    document = root.plain() if root is not None else {}
    workload, metadata = document.get("workload"), document.get("metadata")
    alone = Entry(
        catalog_id=str(row.catalog_id),
        path=row.path,
        kind=row.kind,
        version=row.version,
        content=row.content,
        layout=document.get("workflow"),
        payload=workload,
        meta=metadata,
        created_at=moment(row.created_at),
        tenant=row.tenant or None,
        organization=row.organization or None,
    )
    # In lists, the payload of the older server is the whole document, that of the newer one the
    # workload; this is the document plus the names of its workload.
    in_list = msgspec.structs.replace(
        alone,
        payload=(workload if isinstance(workload, dict) else {}) | document,
        meta=(metadata if isinstance(metadata, dict) else {}) | {"registered_at": alone.created_at},
    )
    return Read(alone, in_list)
