"""The catalog as a list: a page of it, or all of it, sent while it is read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Final

import msgspec
from starlette.responses import StreamingResponse

from arcbook.server.http.context import RequestContext
from arcbook.server.http.route import ENCODER
from arcbook.store.api import PAGE_MAX, CatalogEntry, CatalogFilter
from arcbook.wire.http.catalog import Entries, Entry

LIST_BYTES_MAX: Final = 4 * 1024 * 1024
"""Size of the documents of one page; a page that holds fewer says where the next begins."""

READ_AT_ONCE: Final = 100
"""Documents that are read at a time for a list of all."""

LISTED_MAX: Final = 50_000
"""Documents that one list of all holds; one that holds fewer says where the next begins."""

Wanted = Callable[[Entry], bool]


async def page(context: RequestContext, wanted: CatalogFilter, *, has_content: bool) -> Entries:
    """Return the first documents that are wanted, at most as many as the filter's limit."""
    entries, following = await _read(context, wanted, has_content=has_content)
    return Entries(entries=entries, next_after=following)


async def everything(
    context: RequestContext,
    wanted: CatalogFilter,
    *,
    has_content: bool,
    is_wanted: Wanted = lambda _: True,
) -> StreamingResponse:
    """Return all documents that are wanted; no more of them is in memory than a page.

    Raises:
        StoreError: the catalog cannot be read. Once the answer has begun, it breaks off.
    """
    wanted = msgspec.structs.replace(wanted, limit=READ_AT_ONCE)
    first = await _read(context, wanted, has_content=has_content)

    async def parts() -> AsyncIterator[bytes]:
        (entries, after), read, before = first, 0, b""
        yield b'{"entries":['
        while True:
            read += len(entries)
            packed = [ENCODER.encode(entry) for entry in entries if is_wanted(entry)]
            if packed:
                yield before + b",".join(packed)
                before = b","
            if after is None or read >= LISTED_MAX:
                break
            rest = msgspec.structs.replace(wanted, after=after)
            entries, after = await _read(context, rest, has_content=has_content)
        yield b'],"next_after":' + ENCODER.encode(after) + b"}"

    return StreamingResponse(parts(), media_type="application/json")


async def _read(
    context: RequestContext, wanted: CatalogFilter, *, has_content: bool
) -> tuple[list[Entry], str | None]:
    """Return a page of documents, and after which path the next one begins, if there is one."""
    asked = msgspec.structs.replace(wanted, limit=wanted.limit + 1)
    rows = await context.store.entries_page(asked)
    kept = _within(rows[: wanted.limit], LIST_BYTES_MAX)
    entries = await context.entries.listed(kept)
    if not has_content:
        entries = [msgspec.structs.replace(entry, content="") for entry in entries]
    is_last = len(kept) == len(rows) < PAGE_MAX
    return entries, None if is_last or not kept else kept[-1].path


def _within(rows: list[CatalogEntry], bytes_max: int) -> list[CatalogEntry]:
    """Return the first of some documents, as many as a size holds, and at least one."""
    size = 0
    for count, row in enumerate(rows):
        size += len(row.content)
        if size > bytes_max and count:
            return rows[:count]
    return rows
