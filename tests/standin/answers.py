"""How the stand-in reads requests and answers them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson
from aiohttp import web

from standin.world import World

WORLD: Final = web.AppKey("world", World)
FILES: Final = Path(__file__).parent / "files"


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return a body as JSON."""
    return web.Response(
        body=orjson.dumps(body), status=status, headers=headers, content_type="application/json"
    )


def complain(status: int, why: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return an error."""
    return answer({"detail": why}, status, headers)


def number(request: web.Request, name: str, default: float) -> float:
    """Return a number of the query; one that is not there, or none, is the default."""
    try:
        return float(request.query[name])
    except (KeyError, ValueError):
        return default


def whole(request: web.Request, name: str, default: int) -> int:
    """Return a whole number of the query."""
    return int(number(request, name, default))
