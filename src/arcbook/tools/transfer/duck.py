"""Rows of and for DuckDB: read in batches, written from a file at once."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, TextIO

import duckdb
import msgspec

from arcbook.outcome import ErrorKind, failed
from arcbook.tools.duckdb import errors, types
from arcbook.tools.duckdb.files import Databases, DuckdbSession
from arcbook.tools.duckdb.limits import Limits
from arcbook.tools.duckdb.run import rows as opened_rows
from arcbook.tools.sql.text import quoted
from arcbook.tools.transfer.ends import (
    Batch,
    Choice,
    EndError,
    Rows,
    SourceParams,
    TargetParams,
    Written,
    choose,
    fault,
    one_query,
    table_parts,
)
from arcbook.tools.transfer.forms import Form, csv_row, nested_text, spooled_text

LINE_BYTES_MAX: Final = 64 * 1024 * 1024
"""Size of one row on its way into DuckDB."""

_NESTED: Final = ("JSON", "MAP(", "STRUCT(", "UNION(")

_MARKS: Final = """
CREATE TABLE IF NOT EXISTS arcbook_transfer
  (key VARCHAR PRIMARY KEY, row_count BIGINT, done_at TIMESTAMPTZ DEFAULT now())
"""
_MARKED: Final = "SELECT row_count FROM arcbook_transfer WHERE key = ?"
_MARK: Final = "INSERT INTO arcbook_transfer (key, row_count) VALUES (?, ?)"
_FORGET: Final = "DELETE FROM arcbook_transfer WHERE done_at < now() - INTERVAL 30 DAY"

_KEY: Final = """
SELECT constraint_column_names FROM duckdb_constraints()
WHERE constraint_type = 'PRIMARY KEY' AND table_name = ?
"""


class DuckPlace(NamedTuple):
    """A file, and how it is opened."""

    databases: Databases
    path: str
    is_kept: bool
    limits: Limits | None = None

    @asynccontextmanager
    async def work(self, side: str) -> AsyncIterator[DuckdbSession]:
        """Lend a connection; what the database says becomes the failure of the call."""
        with faults(side):
            async with self.databases.work(
                self.path, keep=self.is_kept, limits=self.limits
            ) as work:
                yield work


@contextmanager
def faults(side: str) -> Iterator[None]:
    """Make what the database says the failure of the call."""
    try:
        yield
    except duckdb.Error as error:
        raise EndError(errors.failure(error, side, {"side": side})) from None
    except TimeoutError:
        raise  # the call's own
    except OSError as error:
        outcome = failed(ErrorKind.STORAGE_ACCESS, f"{error} ({side})", code="DUCKDB_IO")
        raise EndError(outcome) from None


# -- source -----------------------------------------------------------------------------


class DuckRows:
    """What a query yields."""

    def __init__(
        self, work: DuckdbSession, names: list[str], kinds: list[Any], found: Iterator[Any]
    ) -> None:
        self._work = work
        self._found = found
        self.columns = names
        self.kinds = [str(kind) for kind in kinds]
        self._readers = [_reader(kind) for kind in kinds]

    async def batches(self) -> AsyncIterator[Batch]:
        with faults("source"):
            while (batch := await self._work.do(self._next)) is not None:
                yield batch

    def _next(self) -> Batch | None:
        batch = next(self._found, None)
        if batch is None:
            return None
        return [[read(v) for read, v in zip(self._readers, row, strict=True)] for row in batch]


def _reader(kind: Any) -> types.Reader:
    return (lambda value: value) if str(kind) == "BLOB" else types.reader(kind)


class DuckSource:
    """A query in DuckDB."""

    def __init__(self, place: DuckPlace, params: SourceParams) -> None:
        self._place = place
        self._params = params

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Rows]:
        table = self._params.table
        query = one_query(self._params, f"FROM {quoted(*table_parts(table))}" if table else None)
        async with self._place.work("source") as work:
            yield await work.do(_opened, work, query, self._params.params)


def _opened(work: DuckdbSession, query: str, params: Any) -> DuckRows:
    names, kinds, found = opened_rows(work, query, params or None)
    return DuckRows(work, names, kinds, found)


# -- target -----------------------------------------------------------------------------


class Column(NamedTuple):
    """A column of the table, and how its values come."""

    name: str
    kind: str
    is_new: bool = False

    @property
    def form(self) -> Form:
        """What makes text of a value for it."""
        return nested_text if self._is_nested else spooled_text

    @property
    def _is_nested(self) -> bool:
        return self.kind.endswith("]") or self.kind.startswith(_NESTED)

    @property
    def reading(self) -> str:
        """SQL that makes the value of its text."""
        name = quoted(self.name)
        if self.kind == "BLOB":
            return f"unhex({name})"
        inner = f"CAST({name} AS JSON)" if self._is_nested else name
        return f"CAST({inner} AS {self.kind})"


class DuckTarget:
    """A table of DuckDB; made if it is not there."""

    def __init__(self, place: DuckPlace, params: TargetParams, key: str = "") -> None:
        self._place = place
        self._params = params
        #: Names the append, so that it is done once; nothing if it may be done again.
        self._key = key

    async def write(self, rows: Rows, mode: str) -> Written:
        key = self._key if mode == "append" else ""
        async with self._place.work("target") as work:
            before = await work.do(_done, work, key) if key else None
            if before is not None:
                table = self._params.table
                return Written(rows=before, table=table, columns=[], was_done=True)
            return await _written(work, self._place, self._params, rows, (mode, key))


async def copied_into(place: DuckPlace, params: TargetParams, rows: Rows, copy: str) -> Written:
    """Put rows into a table of their own, and copy that to a file."""
    params = msgspec.structs.replace(params, table="arcbook_rows")
    async with place.work("target") as work:
        written = await _written(work, place, params, rows, ("append", ""))
        await work.do(work.connection.execute, copy.format(table="arcbook_rows"))
    return written


async def _written(
    work: DuckdbSession, place: DuckPlace, params: TargetParams, rows: Rows, how: tuple[str, str]
) -> Written:
    """Take all rows into a table; ``how`` is the mode, and the key of its mark."""
    name = quoted(*table_parts(params.table))
    known = await work.do(_described, work, name)
    choice = choose(params.mapping, rows.columns, [c.name for c in known] or None)
    columns = _columns(known, choice, rows)
    with _spooled(place.limits) as (path, file):
        await _spool(file, rows, choice, columns)
        plan = Plan(name, columns, params.keys, how[0], path, how[1])
        count = await work.do(_insert, work, plan)
    return Written(rows=count, table=params.table, columns=choice.columns)


def _done(work: DuckdbSession, key: str) -> int | None:
    """Return how many rows an append had that is marked as done."""
    work.connection.execute(_MARKS)
    found = work.connection.execute(_MARKED, [key]).fetchone()
    return None if found is None else int(found[0])


@contextmanager
def _spooled(limits: Limits | None) -> Iterator[tuple[Path, TextIO]]:
    """Yield a new file for rows, where the database may read it."""
    # Opened once, as a new one: whoever owns the workspace may put a link in its place.
    folder = None if limits is None else limits.workspace
    fd, name = tempfile.mkstemp(prefix=".arcbook-transfer-", suffix=".csv", dir=folder)
    try:
        with os.fdopen(fd, "w", encoding="utf-8", newline="") as file:
            yield Path(name), file
    finally:
        Path(name).unlink(missing_ok=True)


def _described(work: DuckdbSession, name: str) -> list[Column]:
    """Return the columns of a table; none if there is no table."""
    try:
        found = work.connection.execute(f"DESCRIBE {name}").fetchall()
    except duckdb.CatalogException:
        return []
    return [Column(row[0], row[1]) for row in found]


def _columns(known: list[Column], choice: Choice, rows: Rows) -> list[Column]:
    named = {column.name: column for column in known}
    pairs = zip(choice.columns, choice.indexes, strict=True)
    return [named.get(name) or Column(name, rows.kinds[at], is_new=True) for name, at in pairs]


async def _spool(file: TextIO, rows: Rows, choice: Choice, columns: list[Column]) -> None:
    """Write the rows to a file, from which DuckDB takes them all at once."""
    forms = [(index, c.form) for index, c in zip(choice.indexes, columns, strict=True)]
    async for batch in rows.batches():
        await asyncio.to_thread(file.writelines, _lines(batch, forms))
    await asyncio.to_thread(file.flush)


def _lines(batch: Batch, forms: Sequence[tuple[int, Form]]) -> Iterator[str]:
    for row in batch:
        yield csv_row([form(row[index]) for index, form in forms]) + "\n"


class Plan(NamedTuple):
    """What is to be written."""

    table: str
    columns: list[Column]
    keys: list[str]
    mode: str
    path: Path
    #: Key of the mark that is left; nothing if there is to be none.
    key: str = ""


def _insert(work: DuckdbSession, plan: Plan) -> int:
    """Take the rows of a file in one transaction; called in a thread."""
    connection = work.connection
    connection.begin()
    with ExitStack() as unless_done:
        unless_done.callback(connection.rollback)
        if plan.columns[0].is_new:
            connection.execute(_creation(plan))
        if plan.mode == "replace":
            connection.execute(f"TRUNCATE {plan.table}")
        count = 0
        if plan.path.stat().st_size:
            conflict = _conflict(connection, plan) if plan.mode == "upsert" else ""
            found = connection.execute(_insertion(plan) + conflict).fetchone()
            count = int(found[0]) if found else 0
        if plan.key:
            connection.execute(_MARK, [plan.key, count])
            connection.execute(_FORGET)
        unless_done.pop_all()
    connection.commit()
    return count


def _creation(plan: Plan) -> str:
    parts = [f"{quoted(column.name)} {column.kind}" for column in plan.columns]
    if plan.keys:
        parts.append(f"PRIMARY KEY ({', '.join(quoted(key) for key in plan.keys)})")
    return f"CREATE TABLE {plan.table} ({', '.join(parts)})"


def _insertion(plan: Plan) -> str:
    names = ", ".join(quoted(column.name) for column in plan.columns)
    shape = ", ".join(f"{_literal(column.name)}: 'VARCHAR'" for column in plan.columns)
    readings = ", ".join(column.reading for column in plan.columns)
    options = (
        f"columns = {{{shape}}}, header = false, auto_detect = false, parallel = false, "
        "delim = ',', quote = '\"', escape = '\"', nullstr = '\\N', allow_quoted_nulls = false, "
        f"new_line = '\\n', max_line_size = {LINE_BYTES_MAX}, buffer_size = {2 * LINE_BYTES_MAX}"
    )
    source = f"read_csv({_literal(str(plan.path))}, {options})"
    return " ".join(["INSERT INTO", plan.table, f"({names}) SELECT", readings, "FROM", source])


def _conflict(connection: Any, plan: Plan) -> str:
    """Return what to do with rows that are there already."""
    keys = plan.keys or _primary_key(connection, plan.table)
    names = [column.name for column in plan.columns]
    if not keys or any(key not in names for key in keys):
        raise fault(f"'upsert' needs the columns of its key: {', '.join(keys) or 'key'}")
    rest = [quoted(name) for name in names if name not in keys]
    action = "UPDATE SET " + ", ".join(f"{n} = excluded.{n}" for n in rest) if rest else "NOTHING"
    return f" ON CONFLICT ({', '.join(quoted(key) for key in keys)}) DO {action}"


def _primary_key(connection: Any, table: str) -> list[str]:
    found = connection.execute(_KEY, [table_parts(table)[-1]]).fetchone()
    return list(found[0]) if found else []


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
