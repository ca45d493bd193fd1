"""What the two ends of a transfer have in common: rows, columns, and failures."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol, runtime_checkable

import msgspec

from arcbook.outcome import ErrorKind, Outcome, failed
from arcbook.tools.sql.text import BadNameError, name_parts, split

BATCH_ROWS: Final = 1000
"""Rows that are under way at once where the task says nothing."""

Batch = Sequence[Sequence[Any]]


class EndError(RuntimeError):
    """One end failed; with the outcome of the call."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        super().__init__(outcome.error.message if outcome.error else "")


def fault(message: str, kind: ErrorKind = ErrorKind.CONFIG, code: str = "CONFIG") -> EndError:
    """Return the failure of a transfer that makes no sense as it is written."""
    return EndError(failed(kind, f"tool kind 'transfer': {message}", code=code))


class SourceParams(msgspec.Struct, frozen=True, kw_only=True):
    """Where rows come from. Fields of an address stand beside these."""

    query: str | None = None
    table: str | None = None
    params: list[Any] | dict[str, Any] | None = None
    database: str | None = None
    #: Where the rows are in an answer: ``data.items``.
    data_path: str | None = None


class TargetParams(msgspec.Struct, frozen=True, kw_only=True):
    """Where rows go to. Fields of an address stand beside these."""

    table: str = ""
    #: Column of the table: field of the source.
    mapping: dict[str, str] | None = None
    #: Columns that tell rows apart; the primary key where nothing is said.
    key: str | list[str] | None = None
    database: str | None = None

    @property
    def keys(self) -> list[str]:
        """The columns that tell rows apart, as far as they are written."""
        return [self.key] if isinstance(self.key, str) else self.key or []


class Rows(Protocol):
    """Rows of a source, while it is open."""

    columns: list[str]
    #: The types of the columns, by DuckDB's names.
    kinds: list[str]

    def batches(self) -> AsyncIterator[Batch]:
        """Yield the rows: what JSON has, and bytes."""


@runtime_checkable
class CopiedRows(Rows, Protocol):
    """Rows of a PostgreSQL, which another one takes without anybody reading them."""

    def copied(self, indexes: Sequence[int]) -> AsyncIterator[bytes | memoryview]:
        """Yield some columns in COPY's text form."""


class Source(Protocol):
    """Where rows come from."""

    def open(self) -> AbstractAsyncContextManager[Rows]:
        """Lend the rows."""


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What a target has taken."""

    rows: int
    table: str
    columns: list[str]
    #: Whether an earlier call had written them already.
    was_done: bool = False


class Target(Protocol):
    """Where rows go to."""

    async def write(self, rows: Rows, mode: str) -> Written:
        """Take all rows, or none."""


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """Which column of a target takes which column of a source."""

    columns: list[str]
    indexes: list[int]


def choose(mapping: dict[str, str] | None, source: list[str], target: list[str] | None) -> Choice:
    """Return what goes where.

    Args:
        mapping: column of the target: column of the source; by name where nothing is said.
        source: columns that come.
        target: columns that the table has; ``None`` if it takes what comes.

    Raises:
        EndError: a column is not there.
    """
    pairs = mapping or {name: name for name in source}
    columns = [_column(name, target, "table") for name in pairs]
    indexes = [source.index(_column(name, source, "source")) for name in pairs.values()]
    if len(set(columns)) != len(columns):
        raise fault(f"a column of the table is there twice: {', '.join(columns)}")
    return Choice(columns=columns, indexes=indexes)


def _column(name: str, names: list[str] | None, where: str) -> str:
    """Return a column as it is written where it stands; capitals matter if they must."""
    if names is None or name in names:
        return name
    alike = [n for n in names if n.lower() == name.lower()]
    if len(alike) != 1:
        message = f"the {where} has no column {name!r}; it has {', '.join(names) or 'none'}"
        hint = "" if where == "source" else " ('mapping' says which columns are filled from what)"
        raise fault(message + hint, ErrorKind.SCHEMA, "COLUMN")
    return alike[0]


def table_parts(name: str) -> tuple[str, ...]:
    """Return the parts of a table's name.

    Raises:
        EndError: it is not a name.
    """
    try:
        return name_parts(name)
    except BadNameError as error:
        raise fault(str(error)) from None


def one_query(params: SourceParams, table_query: str | None) -> str:
    """Return the one query that a source reads: its own, or that of a whole table.

    Raises:
        EndError: there is none, or there are several.
    """
    if params.query is None and table_query is not None:
        return table_query
    statements = split(params.query or "")
    if len(statements) != 1:
        raise fault(f"'source.query' must be one query, not {len(statements)}")
    return statements[0]
