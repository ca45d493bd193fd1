"""The catalog as a list: one page, or all of it, streamed."""

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
"""Size of the documents of one page; a shorter page says where the next begins."""

READ_AT_ONCE: Final = 100
"""Documents read at a time for a complete list."""

LISTED_MAX: Final = 50_000
"""Documents in one complete list; a truncated list says where to continue."""

Matches = Callable[[Entry], bool]


async def page(context: RequestContext, filters: CatalogFilter, *, has_content: bool) -> Entries:
    """Return the first matching documents, up to the filter's limit."""
    entries, following = await _read(context, filters, has_content=has_content)
    return Entries(entries=entries, next_after=following)


async def everything(
    context: RequestContext,
    filters: CatalogFilter,
    *,
    has_content: bool,
    matches: Matches = lambda _: True,
) -> StreamingResponse:
    """Return all matching documents; at most one page is in memory.

    Raises:
        StoreError: the catalog cannot be read; an answer already begun is cut short.
    """
    filters = msgspec.structs.replace(filters, limit=READ_AT_ONCE)
    first = await _read(context, filters, has_content=has_content)

    async def parts() -> AsyncIterator[bytes]:
        (entries, after), read, before = first, 0, b""
        yield b'{"entries":['
        while True:
            read += len(entries)
            packed = [ENCODER.encode(entry) for entry in entries if matches(entry)]
            if packed:
                yield before + b",".join(packed)
                before = b","
            if after is None or read >= LISTED_MAX:
                break
            rest = msgspec.structs.replace(filters, after=after)
            entries, after = await _read(context, rest, has_content=has_content)
        yield b'],"next_after":' + ENCODER.encode(after) + b"}"

    return StreamingResponse(parts(), media_type="application/json")


async def _read(
    context: RequestContext, filters: CatalogFilter, *, has_content: bool
) -> tuple[list[Entry], str | None]:
    """Return a page of documents, and the path after which the next begins, if there is one."""
    page = msgspec.structs.replace(filters, limit=filters.limit + 1)
    rows = await context.store.entries_page(page)
    listed = _within(rows[: filters.limit], LIST_BYTES_MAX)
    entries = await context.entries.listed(listed)
    if not has_content:
        entries = [msgspec.structs.replace(entry, content="") for entry in entries]
    is_last = len(listed) == len(rows) < PAGE_MAX
    return entries, None if is_last or not listed else listed[-1].path


def _within(rows: list[CatalogEntry], bytes_max: int) -> list[CatalogEntry]:
    """Return the first documents within a total size, but at least one."""
    size = 0
    for count, row in enumerate(rows):
        size += len(row.content)
        if size > bytes_max and count:
            return rows[:count]
    return rows
