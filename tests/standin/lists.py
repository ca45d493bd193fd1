"""The lists of the paginated API, each with its own way of turning pages."""

from __future__ import annotations

import base64
import binascii
import random
from typing import Any, Final

ITEMS: Final = 35
"""Assessments, users and events that there are."""

HEAVY_ITEMS: Final = 100
CHAIN_PAGE_MAX: Final = 200
CHAIN_DETAIL_MAX: Final = 20_000

_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz0123456789"


def numbers(page: int, size: int, total: int) -> range:
    """Return the numbers of the items on a page; items count from 1."""
    first = (page - 1) * size + 1
    return range(first, min(first + size, total + 1))


def paging(page: int, size: int, total: int) -> dict[str, Any]:
    """Return where in a list a page is."""
    return {"hasMore": page * size < total, "page": page, "pageSize": size, "total": total}


def assessments(page: int, size: int) -> dict[str, Any]:
    """Return a page of assessments, by page number."""
    items = [
        {"id": i, "name": f"Assessment {i}", "score": 50 + i % 50}
        for i in numbers(page, size, ITEMS)
    ]
    return {"data": items, "paging": paging(page, size, ITEMS)}


def users(offset: int, limit: int) -> dict[str, Any]:
    """Return some users, by offset."""
    shown = range(offset + 1, min(offset + limit, ITEMS) + 1)
    return {
        "users": [
            {"id": i, "username": f"user{i}", "email": f"user{i}@example.com"} for i in shown
        ],
        "has_more": offset + limit < ITEMS,
        "offset": offset,
        "limit": limit,
        "total": ITEMS,
    }


def events(cursor: str | None, limit: int) -> dict[str, Any]:
    """Return some events, by an opaque cursor.

    Raises:
        ValueError: the cursor is none of ours.
    """
    page = 1
    if cursor:
        try:
            page = int(base64.b64decode(cursor, validate=True))
        except binascii.Error as error:
            raise ValueError(f"invalid cursor: {error}") from None
    shown = numbers(page, limit, ITEMS)
    more = page * limit < ITEMS
    return {
        "events": [{"id": i, "type": "event", "name": f"Event {i}"} for i in shown],
        "next_cursor": base64.b64encode(str(page + 1).encode()).decode() if more else None,
        "limit": limit,
    }


def heavy(page: int, size: int, payload_kb: float) -> dict[str, Any]:
    """Return a page of items with large payloads."""
    source = random.Random(page)
    items = [
        {
            "id": i,
            "name": f"Item {i}",
            "score": 50 + i % 50,
            "category": f"category-{i % 5}",
            "metadata": {"index": i, "tags": ["heavy", f"tag-{i % 3}"]},
            "description": f"Item {i} of a heavy page",
            "payload": "".join(source.choices(_LETTERS, k=1024)) * int(payload_kb),
        }
        for i in numbers(page, size, HEAVY_ITEMS)
    ]
    return {
        "data": items,
        "paging": paging(page, size, HEAVY_ITEMS),
        "meta": {
            "payload_kb_per_item": payload_kb,
            "estimated_response_kb": payload_kb * len(items),
        },
    }


def chain(  # the parameters of the original
    page: int, size: int, total: int, payload_kb: float, mode: str, window: int
) -> dict[str, Any]:
    """Return a page of records that name the pages before them.

    A linked chain names two pages at most, so that what a caller keeps stays small.
    """
    size = max(1, min(size, CHAIN_PAGE_MAX))
    kept = {"linked": 2, "windowed": max(window, 1)}.get(mode, page)
    first = max(1, page - kept + 1)
    return {
        "data": [_chained(i, payload_kb) for i in numbers(page, size, total)],
        "paging": paging(page, size, total),
        "refs": {
            "mode": mode,
            "chain": [f"page-{number}" for number in range(first, page + 1)],
            "head": f"page-{page}",
            "previous": f"page-{page - 1}" if page > 1 else None,
        },
    }


def _chained(number: int, payload_kb: float) -> dict[str, Any]:
    return {
        "record_id": number,
        "record_ref": f"record-{number}",
        "payload": "x" * int(payload_kb * 1024),
    }


def chain_detail(number: int) -> dict[str, Any]:
    """Return the details of one record."""
    return {"record_id": number, "record_ref": f"record-{number}", "detail": {"ok": True}}
