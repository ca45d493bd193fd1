"""What a transfer does in PostgreSQL at either end: sessions, failures, tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import msgspec
import psycopg
from psycopg.sql import SQL, Composed

from arcbook.egress import EgressError
from arcbook.outcome import ErrorKind, failed
from arcbook.tools.api import ToolCall
from arcbook.tools.postgres import errors
from arcbook.tools.postgres.pool import ConnectError, Pool, PoolBusyError
from arcbook.tools.postgres.run import application_name, opening
from arcbook.tools.sql.text import Mode, quoted
from arcbook.tools.transfer.ends import EndError, fault, table_parts
from arcbook.tools.transfer.forms import Form, copied_form

_FORMS: Final = SQL("; SET LOCAL datestyle TO 'ISO'; SET LOCAL intervalstyle TO 'postgres'")

_COLUMNS: Final = """
SELECT n.nspname, c.relname, a.attname, t.typcategory, format_type(coalesce(e.oid, t.oid), NULL)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
WHERE c.oid = coalesce(to_regclass(%s), to_regclass(%s)) AND a.attgenerated = ''
ORDER BY a.attnum
"""


class PgLink(NamedTuple):
    """A database and what a session in it is told."""

    pool: Pool
    opening: SQL | Composed
    wait_seconds: float


def link(pool: Pool, call: ToolCall, schema: str, seconds: float) -> PgLink:
    """Return how a call works in a database."""
    name = application_name(call.execution_id, call.step)
    settings = opening(Mode.TOGETHER, name, schema, seconds)
    return PgLink(pool, Composed([settings, _FORMS]), seconds)


@contextmanager
def faults(side: str) -> Iterator[None]:
    """Make what the database says the failure of the call."""
    try:
        yield
    except EgressError as error:
        raise fault(f"{side}: {error}", code="EGRESS") from None
    except ConnectError as error:
        raise EndError(errors.connect_failure(error.cause)) from None
    except psycopg.Error as error:
        raise EndError(errors.statement_failure(error, side, {"side": side})) from None
    except PoolBusyError as error:
        outcome = failed(ErrorKind.DB_CONNECTION, str(error), code="PG_POOL_BUSY", retryable=True)
        raise EndError(outcome) from None


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table and its columns that may be written."""

    name: tuple[str, str]
    columns: list[str]
    forms: dict[str, Form]

    @property
    def shown(self) -> str:
        """Its name, quoted where it must be."""
        return quoted(*self.name)


async def table_of(connection: Any, written: str | None) -> Table:
    """Return a table by its name, read as SQL reads names, or else exactly as it is written."""
    exact = quoted(*table_parts(written or ""))
    cursor = await connection.execute(_COLUMNS, (written, exact))
    found = await cursor.fetchall()
    if not found:
        message = f"the target has no table {written!r} whose columns can be written"
        raise fault(message, ErrorKind.SCHEMA, "TABLE")
    forms = {column: copied_form(category, kind) for _, _, column, category, kind in found}
    return Table(name=(found[0][0], found[0][1]), columns=list(forms), forms=forms)
