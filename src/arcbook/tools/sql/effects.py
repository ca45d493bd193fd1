"""What repeating SQL does, judged by the words of its statements."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

from arcbook.tools.api import Effects
from arcbook.tools.sql.text import head, split, words

SQL_EFFECTS: Final = (Effects.NONE, Effects.IDEMPOTENT, Effects.KEYED, Effects.ONCE)

_READS: Final = frozenset(
    [
        "ABORT",
        "BEGIN",
        "CLOSE",
        "COMMIT",
        "DECLARE",
        "DESC",
        "DESCRIBE",
        "END",
        "EXPLAIN",
        "FETCH",
        "FROM",
        "LOAD",
        "PRAGMA",
        "RELEASE",
        "RESET",
        "ROLLBACK",
        "SAVEPOINT",
        "SELECT",
        "SET",
        "SHOW",
        "START",
        "SUMMARIZE",
        "TABLE",
        "USE",
        "VALUES",
        "WITH",
    ]
)
"""First words of statements that change nothing, unless others of their words do."""

_CHANGES: Final = frozenset(["CALL", "DELETE", "INSERT", "INTO", "MERGE", "UPDATE"])
"""Words that change something wherever in a statement they stand."""

_SETTLES: Final = frozenset(
    [
        "ANALYZE",
        "ATTACH",
        "CHECKPOINT",
        "CLUSTER",
        "COMMENT",
        "CREATE",
        "DELETE",
        "DETACH",
        "DROP",
        "GRANT",
        "INSTALL",
        "LOCK",
        "REFRESH",
        "REINDEX",
        "REVOKE",
        "TRUNCATE",
        "VACUUM",
    ]
)
"""First words of statements after which a second one finds nothing more to do."""

_LOCKS: Final = frozenset({("FOR", "UPDATE"), ("KEY", "UPDATE")})

_TEMPLATE: Final = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)


def effects_of(config: Mapping[str, Any]) -> Effects:
    """Return what repeating the statements of a call does."""
    order = list(Effects)
    texts = _texts(config.get("query"))
    if texts is None:
        return Effects.ONCE
    effects = (statement_effects(s) for text in texts for s in split(text))
    return max(effects, key=order.index, default=Effects.NONE)


def statement_effects(statement: str) -> Effects:
    """Return what repeating a statement does.

    Functions that a query calls are taken to change nothing; a dry run lets the database
    refuse those that do.
    """
    sequence = list(words(statement))
    first = sequence[0] if sequence else ""
    changes = {b for a, b in pairwise(["", *sequence]) if b in _CHANGES and (a, b) not in _LOCKS}
    pairs = set(pairwise(sequence))
    if first in _READS and not changes:
        return Effects.IDEMPOTENT if pairs & _LOCKS else Effects.NONE
    if first == "COPY":
        return Effects.IDEMPOTENT if "TO" in sequence and "FROM" not in sequence else Effects.ONCE
    if first in _SETTLES and not changes - {first, "INTO"}:
        return Effects.IDEMPOTENT
    replaces = {("ON", "CONFLICT"), ("OR", "REPLACE"), ("OR", "IGNORE")}
    if first == "INSERT" and pairs & replaces:
        return Effects.IDEMPOTENT
    return Effects.ONCE


def summary(config: Mapping[str, Any]) -> str:
    """Say which statements a call runs."""
    texts = _texts(config.get("query"))
    if texts is None:
        return "run the SQL of a script"
    heads = [head(s) for text in texts for s in split(text)]
    more = f" and {len(heads) - 1} more" if len(heads) > 1 else ""
    return f"run {heads[0] if heads else 'no statement'}{more}"


def _texts(query: Any) -> list[str] | None:
    """Return the texts of a query, names in the place of templates; none if they are elsewhere."""
    written = [query] if isinstance(query, str) else query or []
    if not isinstance(written, list) or not all(isinstance(text, str) for text in written):
        return None
    return [_TEMPLATE.sub(" _template_ ", text) for text in written]
