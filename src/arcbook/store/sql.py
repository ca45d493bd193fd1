"""Loading of named queries from a SQL file."""

from __future__ import annotations

import re
from importlib import resources
from typing import Final

_NAME: Final = re.compile(r"^-- (\w+) --$", re.MULTILINE)


def load_queries(package: str, name: str = "queries.sql") -> dict[str, str]:
    """Return the queries of a file by name.

    A query starts with ``-- name --`` and a comment that describes it.
    """
    text = resources.files(package).joinpath(name).read_text("utf-8")
    parts = _NAME.split(text)[1:]
    return {parts[i]: _statement(parts[i + 1]) for i in range(0, len(parts), 2)}


def _statement(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("--")]
    return "\n".join(lines)
