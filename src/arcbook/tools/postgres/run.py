"""Running the statements of one call on a connection."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

import msgspec
from psycopg.pq import TransactionStatus
from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

from arcbook.tools.postgres import types as postgres_types
from arcbook.tools.postgres.cursor import NumberedCursor, StatementCursor, run
from arcbook.tools.postgres.pool import Session
from arcbook.tools.sql.rowsets import RowLimits, SqlStatement
from arcbook.tools.sql.text import Mode, mode, place
from arcbook.tools.sql.values import Decimals, nearest

APPLICATION_CHARS_MAX: Final = 63
"""Length of ``application_name``; PostgreSQL cuts the rest."""

MARGIN_SECONDS: Final = 1.0
"""How much later than the call's own limit the server stops a statement by itself."""

OPENINGS_MAX: Final = 256
"""Beginnings of calls that are remembered."""

_PLACEHOLDER: Final = re.compile(r"%(?:%|([sbt])|\((\w+)\)[sbt])")
_NUMBERED: Final = re.compile(r"\$([1-9]\d*)")


class ParamsError(ValueError):
    """The parameters do not fit the statements."""


class OpenTransactionError(ValueError):
    """The text begins a transaction and does not end it."""


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """The statements of a call, each with its parameters."""

    statements: list[str]
    arguments: list[Any]
    mode: Mode
    numbered: bool = False
    decimals: Decimals = Decimals.TEXT


def script(
    statements: list[str],
    params: Any,
    *,
    autocommit: bool,
    decimals: Decimals = Decimals.TEXT,
) -> Script:
    """Return statements with what they need.

    Raises:
        ParamsError: the parameters do not fit.
    """
    numbered = isinstance(params, list) and _is_numbered(statements)
    return Script(
        statements=statements,
        arguments=_arguments(statements, params, numbered=numbered),
        mode=mode(statements, _stands_alone, autocommit=autocommit),
        numbered=numbered,
        decimals=decimals,
    )


def _stands_alone(head_: list[str]) -> bool:
    """Whether a statement cannot run inside a transaction."""
    pairs = set(pairwise(head_[:3]))
    first = head_[0] if head_ else ""
    whole = {(v, n) for v in ("CREATE", "DROP") for n in ("DATABASE", "TABLESPACE", "SUBSCRIPTION")}
    if first in ("VACUUM", "CHECKPOINT") or ("ALTER", "SYSTEM") in pairs or pairs & whole:
        return True
    if first in ("CREATE", "DROP", "REINDEX", "ALTER") and "CONCURRENTLY" in head_:
        return True
    if first == "REINDEX":
        return bool({"DATABASE", "SYSTEM", "SCHEMA"} & set(head_))
    if first == "CLUSTER":
        return len(head_) == 1
    return ("DISCARD", "ALL") in pairs


# -- parameters -------------------------------------------------------------------------


def _is_numbered(statements: Sequence[str]) -> bool:
    written = any(m[1] or m[2] for s in statements for m in _PLACEHOLDER.finditer(s))
    return not written and any(_NUMBERED.search(s) for s in statements)


def _arguments(statements: Sequence[str], params: Any, *, numbered: bool) -> list[Any]:
    """Return each statement's own parameters; a list is used up from left to right."""
    if not params:
        return [None] * len(statements)
    if isinstance(params, dict):
        named = {str(k): postgres_types.bound(v) for k, v in params.items()}
        return [named] * len(statements)
    values = [postgres_types.bound(v) for v in params]
    if numbered:
        counts = [max((int(n) for n in _NUMBERED.findall(s)), default=0) for s in statements]
        wanted = max(counts)
        made = [values[:n] for n in counts]
    else:
        counts = [sum(bool(m[1]) for m in _PLACEHOLDER.finditer(s)) for s in statements]
        wanted = sum(counts)
        starts = [sum(counts[:i]) for i in range(len(counts))]
        made = [values[at : at + n] for at, n in zip(starts, counts, strict=True)]
    if wanted != len(values):
        raise ParamsError(f"'params' has {len(values)} values; the statements take {wanted}")
    return made


# -- settings ---------------------------------------------------------------------------


@lru_cache(OPENINGS_MAX)
def opening(mode_: Mode, name: str, schema: str, seconds: float, *, read_only: bool = False) -> SQL:
    """Return what a connection is told before the statements of a call."""
    local = SQL("LOCAL ") if mode_ is Mode.TOGETHER else SQL("")
    limit_ms = min(int((seconds + MARGIN_SECONDS) * 1000), 2**31 - 1)
    settings: list[tuple[str, Composable]] = [
        ("application_name", Literal(name)),
        ("statement_timeout", Literal(limit_ms)),
        ("idle_in_transaction_session_timeout", Literal(limit_ms)),
    ]
    if read_only:
        scope = "" if mode_ is Mode.TOGETHER else "default_"
        settings.append((f"{scope}transaction_read_only", Literal("on")))
    if schema:
        settings.append(("search_path", search_path(schema)))
    parts: list[Composable] = [SQL("BEGIN")] if mode_ is Mode.TOGETHER else []
    parts += [SQL("SET {}{} TO {}").format(local, SQL(name_), value) for name_, value in settings]
    # Written out once: to compose it takes longer than to send it.
    return SQL(SQL("; ").join(parts).as_string())


def search_path(schema: str) -> Composed:
    """Return the schemas of a comma-separated list, as they are written or in small letters."""
    names: list[str] = []
    for part in schema.split(","):
        name = part.strip()
        plain = name.strip('"')
        names += [plain] if name != plain else dict.fromkeys((plain, plain.lower()))
    return SQL(", ").join(Identifier(name) for name in names if name)


def application_name(execution_id: int, step: str) -> str:
    """Return the name under which a call's session shows in ``pg_stat_activity``."""
    name = f"arcbook {execution_id}:{step}"
    shown = "".join(c if c.isascii() and c.isprintable() else "?" for c in name)
    return shown[:APPLICATION_CHARS_MAX]


# -- running ----------------------------------------------------------------------------


class PostgresCall:
    """The statements of a call, as far as they have come."""

    def __init__(self, script_: Script, limits: RowLimits) -> None:
        self.script = script_
        self.limits = limits
        self.commands: list[SqlStatement] = []
        self._ended = False

    @property
    def where(self) -> str:
        """Which statement it is at, for messages."""
        if self._ended:
            return "when committing"
        return place(self.script.statements, len(self.commands))

    @property
    def details(self) -> dict[str, Any]:
        """Facts about the statement that it is at."""
        kept = self.script.mode is Mode.ALONE and bool(self.commands)
        return {"statement": len(self.commands) + 1, "earlier_statements_kept": kept}

    async def on(self, session: Session) -> None:
        """Run the statements on a session.

        Raises:
            psycopg.Error: one failed.
            OpenTransactionError: the text leaves a transaction open.
        """
        connection = session.connection
        cursor_type = NumberedCursor if self.script.numbered else StatementCursor
        for text, arguments in zip(self.script.statements, self.script.arguments, strict=True):
            cursor = cursor_type(connection)
            command = await run(cursor, text, arguments, self.limits)
            await _read_own_types(session, cursor, command)
            if self.script.decimals is Decimals.NUMBER:
                _round(cursor, command)
            self.commands.append(command)
        self._ended = True
        if self.script.mode is Mode.TOGETHER:
            await connection.commit()
        elif connection.info.transaction_status != TransactionStatus.IDLE:
            raise OpenTransactionError("the text begins a transaction and does not end it")


def _round(cursor: StatementCursor, command: SqlStatement) -> None:
    """Make floats of decimals."""
    types = [column.type_code for column in cursor.description or ()]
    for name, oid in zip(command.columns or (), types, strict=True):
        if postgres_types.is_decimal(oid):
            for row in command.rows:
                row[name] = nearest(row[name])


async def _read_own_types(session: Session, cursor: StatementCursor, command: SqlStatement) -> None:
    """Make lists of arrays whose types only this database has."""
    if not command.rows:
        return
    types = [column.type_code for column in cursor.description or ()]
    own = {oid for oid in types if not postgres_types.is_known(session.connection, oid)}
    if not own:
        return
    await session.learn(own)
    for name, oid in zip(command.columns or (), types, strict=True):
        element = session.elements.get(oid)
        if element is None:
            continue
        for row in command.rows:
            if row[name] is not None:
                row[name] = postgres_types.array(session.connection, row[name], element)
