"""A cursor that takes any one statement and hands its rows on as they come.

psycopg's own stream refuses statements without rows and forgets the columns of those
that find none. This one reads the same messages and keeps what the server says.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final, cast

from psycopg import AsyncCursor, AsyncRawCursor, NotSupportedError, capabilities
from psycopg.abc import PQGen
from psycopg.generators import fetch
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from arcbook.tools.sql.rowsets import RowLimits, SqlStatement, unique

CHUNK_ROWS: Final = 100
"""Rows that are held at once on their way from the server."""

_ROWS: Final = (ExecStatus.SINGLE_TUPLE, ExecStatus.TUPLES_CHUNK)
_END: Final = (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK, ExecStatus.EMPTY_QUERY)
_COPY: Final = (ExecStatus.COPY_IN, ExecStatus.COPY_OUT, ExecStatus.COPY_BOTH)
_CHANGING: Final = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "COPY", "SELECT"})


class StatementCursor(AsyncCursor[Any]):
    """A cursor whose stream serves every statement."""

    #: What the server said when the statement was done: ``INSERT 0 3``.
    tag: str = ""
    #: How many rows that is about.
    count: int | None = None
    #: Whether the statement yields rows, be it none of them.
    yields: bool = False
    #: Whether rows that still come are dropped unread.
    dropping: bool = False

    def _stream_fetchone_gen(self, first: object) -> PQGen[PGresult | None]:
        result = yield from self._next_result()
        while result is not None and self.dropping and result.status in _ROWS:
            result = yield from self._next_result()
        if result is None:
            return None
        if result.status not in _ROWS:
            # Read to the end, so that the connection is ready again, even after an error.
            while (yield from fetch(self._pgconn)):
                pass
        if result.status not in (*_ROWS, *_END):
            self._raise_for_result(result)
        self.pgresult = result
        self._tx.set_pgresult(result, set_loaders=bool(first))
        if first:
            self._make_row = self._make_row_maker()
        return result if result.status in _ROWS else None

    def _next_result(self) -> PQGen[PGresult | None]:
        result: PGresult | None = yield from fetch(self._pgconn)
        if result is None:
            return None
        if result.status in _COPY:
            self._pgconn.finish()
            raise NotSupportedError("COPY from and to the client is not possible in a task")
        if result.command_status:
            # With rows in chunks it comes with the last of them, else after them.
            self.tag, self.count = result.command_status.decode(), result.command_tuples
        if result.status in (*_ROWS, ExecStatus.TUPLES_OK):
            self.yields = True
        return result


class NumberedCursor(StatementCursor, AsyncRawCursor[Any]):
    """The same, for parameters that are written ``$1``."""


async def run(cursor: StatementCursor, text: str, params: Any, limits: RowLimits) -> SqlStatement:
    """Run one statement and keep what rows it yields, up to the limits.

    Rows past the limits are read and dropped: the statement runs to its end, and so does
    what it does.

    Raises:
        psycopg.Error: it failed.
    """
    size = CHUNK_ROWS if capabilities.has_stream_chunked() else 1
    command = SqlStatement(rows=[])
    stream = cast(AsyncGenerator[Any, None], cursor.stream(text, params, size=size))
    async with aclosing(stream) as rows:
        batch: list[Any] = []
        async for row in rows:
            if command.columns is None:
                command.columns = _columns(cursor)
            batch.append(row)
            if len(batch) == CHUNK_ROWS:
                cursor.dropping = not limits.keep_batch(command, batch)
                batch.clear()
        limits.keep_batch(command, batch)
    command.message = cursor.tag
    if cursor.yields:
        command.columns = command.columns or _columns(cursor)
    verb = cursor.tag.partition(" ")[0]
    if verb in _CHANGING and (verb != "SELECT" or not cursor.yields):
        command.affected = cursor.count
    return command


def _columns(cursor: StatementCursor) -> list[str]:
    return unique(column.name for column in cursor.description or ())
