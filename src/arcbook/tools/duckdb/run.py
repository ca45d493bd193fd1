"""Running the statements of one call in a database of DuckDB."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any, Final

import duckdb

from arcbook.tools.duckdb import types
from arcbook.tools.duckdb.files import DuckdbSession
from arcbook.tools.sql.rowsets import RowLimits, SqlStatement, unique
from arcbook.tools.sql.text import Mode, mode, place, words
from arcbook.tools.sql.values import Decimals

BATCH_ROWS: Final = 1000
"""Rows that are taken from a result at once."""

_ALONE: Final = frozenset(
    ["ATTACH", "CHECKPOINT", "DETACH", "EXPORT", "FORCE", "IMPORT", "INSTALL", "LOAD", "USE", "VACUUM"]
)  # fmt: skip
_QUERIES: Final = frozenset({"SELECT", "WITH", "FROM", "VALUES", "TABLE"})
_NUMBERED: Final = re.compile(r"\$[1-9]")


class ParamsError(ValueError):
    """The parameters do not fit the statements."""


class OpenTransactionError(ValueError):
    """The text begins a transaction and does not end it."""


class DuckdbCall:
    """The statements of a call, as far as they have come."""

    def __init__(
        self,
        statements: list[str],
        params: Any,
        limits: RowLimits,
        *,
        autocommit: bool,
        decimals: Decimals = Decimals.TEXT,
    ) -> None:
        self.statements = statements
        self.params = params
        self.limits = limits
        self.decimals = decimals
        self.mode = mode(
            statements, lambda h: h[:1] != [] and h[0] in _ALONE, autocommit=autocommit
        )
        self.commands: list[SqlStatement] = []
        self._ended = False

    @property
    def where(self) -> str:
        """Which statement it is at, for messages."""
        if self._ended:
            return "when committing"
        return place(self.statements, len(self.commands))

    @property
    def details(self) -> dict[str, Any]:
        """Facts about the statement that it is at."""
        kept = self.mode is Mode.ALONE and bool(self.commands)
        return {"statement": len(self.commands) + 1, "earlier_statements_kept": kept}

    def on(self, work: DuckdbSession) -> None:
        """Run the statements; called in a thread.

        Raises:
            duckdb.Error: one failed.
            ParamsError: the parameters do not fit.
            OpenTransactionError: the text leaves a transaction open.
        """
        connection = work.connection
        arguments = _arguments(connection, self.statements, self.params)
        together = self.mode is Mode.TOGETHER
        if together:
            connection.begin()
        with ExitStack() as unless_done:
            unless_done.callback(_roll_back, connection)
            for statement, values in zip(self.statements, arguments, strict=True):
                work.check()
                command = _command(work, statement, values, self.limits, self.decimals)
                self.commands.append(command)
            self._ended = True
            if together:
                connection.commit()
            elif self.mode is Mode.WRITTEN:
                _refuse_open(connection)
            unless_done.pop_all()


def _refuse_open(connection: Any) -> None:
    """Roll back a transaction that is still open; only then is there one to roll back."""
    try:
        connection.rollback()
    except duckdb.TransactionException:
        return
    raise OpenTransactionError("the text begins a transaction and does not end it")


def _roll_back(connection: Any) -> None:
    try:
        connection.rollback()
    except duckdb.Error:
        return  # there was no transaction, or it ended by itself


def _command(
    work: DuckdbSession, statement: str, values: Any, limits: RowLimits, decimals: Decimals
) -> SqlStatement:
    """Run one statement and keep what rows it yields, up to the limits."""
    names, kinds, batches = rows(work, statement, values)
    command = SqlStatement(columns=unique(names), rows=[])
    if not _yields(work.connection, statement, names):
        command.columns = None
        command.affected = _count(names, batches)
        return command
    readers = [_reader(kind, decimals) for kind in kinds]
    for batch in batches:
        columns = [
            column if types.is_json(kind) else [read(value) for value in column]
            for kind, read, column in zip(kinds, readers, zip(*batch, strict=True), strict=True)
        ]
        if not limits.keep_batch(command, list(zip(*columns, strict=True))):
            return command
    return command


def _reader(kind: Any, decimals: Decimals) -> types.Reader:
    read = types.reader(kind)
    is_rounded = decimals is Decimals.NUMBER and types.is_decimal(kind)
    return types.rounding(read) if is_rounded else read


def rows(
    work: DuckdbSession, statement: str, values: Any
) -> tuple[list[str], list[Any], Iterator[list[tuple[Any, ...]]]]:
    """Run one statement; return its columns' names and types, and its rows in batches."""
    connection = work.connection
    names, kinds = _described(connection, statement, values)
    if names and kinds:
        connection.execute(types.as_text(statement, kinds), values)
    else:
        connection.execute(statement, values)
        description = connection.description or []
        names, kinds = [d[0] for d in description], [d[1] for d in description]
    return names, kinds, _batches(work)


def _batches(work: DuckdbSession) -> Iterator[list[tuple[Any, ...]]]:
    while batch := work.connection.fetchmany(BATCH_ROWS):
        work.check()
        yield batch


def _described(connection: Any, statement: str, values: Any) -> tuple[list[str], list[Any]]:
    """Return the columns of a query that has some to be read as text; else nothing."""
    if next(words(statement), "") not in _QUERIES:
        return [], []
    try:
        found = connection.execute(f"DESCRIBE {statement}", values).fetchall()
    except duckdb.Error:
        return [], []  # the statement itself says better what is wrong
    if not types.may_need_text([row[1] for row in found]):
        return [], []
    return [row[0] for row in found], [connection.dtype(row[1]) for row in found]


def _yields(connection: Any, statement: str, names: list[str]) -> bool:
    """Whether what a statement answers are rows, not how many it changed, nor that it did."""
    kinds = {str(k).rpartition(".")[2] for k in _result_kinds(connection, statement)}
    if "QUERY_RESULT" not in kinds or names == ["Success"]:
        return False
    if "CHANGED_ROWS" not in kinds or names != ["Count"]:
        return True
    return "RETURNING" in words(statement)


def _result_kinds(connection: Any, statement: str) -> list[Any]:
    """Return what the last of a statement's parts may yield: PIVOT has several."""
    parts = connection.extract_statements(statement)
    return list(parts[-1].expected_result_type) if parts else []


def _count(names: list[str], batches: Iterator[list[tuple[Any, ...]]]) -> int | None:
    if names != ["Count"]:
        return None
    return next((int(row[0]) for batch in batches for row in batch), None)


# -- parameters -------------------------------------------------------------------------


def _arguments(connection: Any, statements: Sequence[str], params: Any) -> list[Any]:
    """Return each statement's own parameters; a list is used up from left to right."""
    if not params:
        return [None] * len(statements)
    wanted = [_parameters(connection, statement) for statement in statements]
    if isinstance(params, dict):
        named = {str(k): v for k, v in params.items()}
        return [{n: named[n] for n in names if n in named} or None for names in wanted]
    counts = [max((int(n) for n in names if n.isdigit()), default=0) for names in wanted]
    if any(_NUMBERED.search(statement) for statement in statements):
        total, starts = max(counts), [0] * len(counts)
    else:
        total, starts = sum(counts), [sum(counts[:i]) for i in range(len(counts))]
    if total != len(params):
        raise ParamsError(f"'params' has {len(params)} values; the statements take {total}")
    return [params[at : at + n] or None for at, n in zip(starts, counts, strict=True)]


def _parameters(connection: Any, statement: str) -> set[str]:
    try:
        parts = connection.extract_statements(statement)
    except duckdb.Error:
        return set()  # running it says what is wrong
    return {name for part in parts for name in part.named_parameters}
