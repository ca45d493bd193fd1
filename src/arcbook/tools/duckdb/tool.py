"""``duckdb``: runs SQL in an analytical database inside the worker."""

from __future__ import annotations

import asyncio
import re
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple

from msgspec import Meta

from arcbook.egress import Egress, EgressError
from arcbook.outcome import ErrorKind, Outcome, failed, ok
from arcbook.tools.api import Params, ToolCall, ToolContext, declare, parse, require
from arcbook.tools.confinement import Confinement, OutsideError
from arcbook.tools.scripts import ScriptError
from arcbook.tools.spec import ToolSpec
from arcbook.tools.sql import effects, rowsets
from arcbook.tools.sql.query import QUERY_CHOICES, QUERY_NAMES, Query, no_statement, statements
from arcbook.tools.sql.values import Decimals

if TYPE_CHECKING:
    from arcbook.tools.duckdb.files import Databases, DuckdbSession
    from arcbook.tools.duckdb.run import DuckdbCall

TIMEOUT_SECONDS: Final = 3600.0
"""How long a call may take where the task says nothing."""

SHARED_FILE: Final = "duckdb.duckdb"
"""Name of the database that steps of an execution share."""

MEMORY: Final = ":memory:"


class DuckdbParams(Params, frozen=True, kw_only=True):
    """Parameters of ``duckdb``."""

    query: Annotated[
        Query, Meta(description="The SQL: one statement or several, or a list of such.")
    ] = None
    params: Annotated[
        list[Any] | dict[str, Any] | None,
        Meta(description="Values for `?` or `$1` (a list), or for `$name` (a mapping)."),
    ] = None
    database: Annotated[
        str | None,
        Meta(
            description="File of the database, or `:memory:` for one of the call's own. "
            "Without it, all steps of an execution share one."
        ),
    ] = None
    autocommit: Annotated[
        bool, Meta(description="Commit each statement by itself, not all together.")
    ] = False
    max_rows: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(description="Rows to keep of a statement; up to 100,000."),
    ] = None
    decimals: Annotated[
        Literal["text", "number"],
        Meta(description="What decimals are: `text`, or `number`, the nearest float."),
    ] = "text"


KIND = declare(
    "duckdb",
    DuckdbParams,
    "Runs SQL in an analytical database inside the worker.",
    aliases={"query": QUERY_NAMES, "database": ["db_path", "db", "path"]},
    any_of=[("query", "command")],
    takes_auth=True,
    choices={
        "auth.type": ("aws", "gcs", "gcs_hmac", "s3"),
        **QUERY_CHOICES,
    },
    result=rowsets.SHAPE,
    effects=effects.SQL_EFFECTS,
    effects_of=effects.effects_of,
    summary=effects.summary,
    example="""
    tool:
      kind: duckdb
      query: SELECT city, avg(celsius) AS mean FROM read_csv('readings.csv') GROUP BY city
    """,
)


_HOST: Final = re.compile(r"https?://(?:[^/@\s'\"]*@)?([\w.-]+)")


class Duckdb:
    """Runs SQL in files that calls share, one after the other."""

    def __init__(self) -> None:
        self._databases: Databases | None = None

    async def run(self, call: ToolCall, context: ToolContext) -> Outcome:
        params = parse(DuckdbParams, call)
        if isinstance(params, Outcome):
            return params
        try:
            texts = await statements(params.query, context)
        except ScriptError as error:
            return failed(error.kind, str(error), code="SCRIPT", retryable=error.retryable)
        if not texts:
            return no_statement()
        require("duckdb", KIND.name)
        from arcbook.tools.duckdb.files import Databases  # needs the extra
        from arcbook.tools.duckdb.limits import Limits  # needs the extra
        from arcbook.tools.duckdb.run import DuckdbCall  # needs the extra
        from arcbook.tools.duckdb.secrets import statement_of  # needs the extra

        secret = "" if call.auth is None else statement_of(call.auth)
        self._databases = self._databases or Databases()
        limits = rowsets.RowLimits(params.max_rows)
        run = DuckdbCall(
            texts,
            params.params,
            limits,
            autocommit=params.autocommit,
            decimals=Decimals(params.decimals),
        )
        try:
            place = place_of(params.database, context.workspace, context.confinement)
        except OutsideError as error:
            return _config(f"'database': {error}")
        try:
            await reached(texts, secret, context.confinement.egress)
        except EgressError as error:
            return failed(ErrorKind.CONFIG, f"tool kind 'duckdb': {error}", code="EGRESS")
        remote = bool(secret) or any("://" in text for text in texts)
        reach = Limits.of(context.confinement, context.workspace, wants_remote=remote)
        seconds = TIMEOUT_SECONDS if call.timeout_seconds is None else call.timeout_seconds
        return await _run(
            run,
            self._databases.work(place.path, keep=place.is_kept, limits=reach),
            seconds,
            secret,
            place.path,
        )

    async def close(self) -> None:
        databases, self._databases = self._databases, None
        if databases is not None:
            await databases.close()


async def _run(
    run: DuckdbCall,
    opening: AbstractAsyncContextManager[DuckdbSession],
    seconds: float,
    secret: str,
    path: str,
) -> Outcome:
    """Run a call's statements; whatever the database does is an outcome."""
    import duckdb  # needs the extra

    from arcbook.tools.duckdb import errors
    from arcbook.tools.duckdb.run import OpenTransactionError, ParamsError
    from arcbook.tools.duckdb.secrets import ExtensionError
    from arcbook.tools.duckdb.secrets import secret as known

    where = f"opening {path}"
    try:
        async with (
            asyncio.timeout(seconds),
            opening as work,
            known(work, secret),
        ):
            where = ""
            await work.do(run.on, work)
    except duckdb.Error as error:
        return errors.failure(error, where or run.where, run.details)
    except ExtensionError as error:
        return _config(
            f"cannot take the credential ({error}): it needs DuckDB's extension 'httpfs'; run "
            "'INSTALL httpfs' once where workers are"
        )
    except (ParamsError, OpenTransactionError) as error:
        return _config(str(error))
    except OSError as error:
        # Nothing but opening the file raises one; a timeout is one as well.
        if isinstance(error, TimeoutError):
            return errors.timed_out(seconds, where or run.where)
        return failed(ErrorKind.STORAGE_ACCESS, f"{error} ({where})", code="DUCKDB_IO")
    return ok(rowsets.result(run.commands), meta=rowsets.meta(run.commands, run.limits))


def _config(message: str) -> Outcome:
    return failed(ErrorKind.CONFIG, f"tool kind 'duckdb': {message}", code="CONFIG")


async def reached(texts: list[str], secret: str, egress: Egress) -> None:
    """Refuse SQL that reads from where tools do not connect to.

    DuckDB makes connections by itself, so under a policy that restricts it makes none.

    Raises:
        EgressError: it would.
    """
    remote = bool(secret) or any("://" in text for text in texts)
    if remote and not egress.is_open:
        raise EgressError(
            "DuckDB reads nothing from the network where connections are restricted "
            "(ARCBOOK_EGRESS_*): fetch it with 'http' or 'object' first"
        )
    for host in dict.fromkeys(h for text in texts for h in _HOST.findall(text)):
        await egress.admit(host, 443)


class DatabasePlace(NamedTuple):
    """Where a database is."""

    path: str
    #: Whether it stays open for the next step.
    is_kept: bool


def place_of(database: str | None, workspace: str, confinement: Confinement) -> DatabasePlace:
    """Return which database a task means: a file, or the one that its execution shares.

    Raises:
        OutsideError: the file is where a call may not reach.
    """
    if database == MEMORY or (not database and not workspace):
        return DatabasePlace(MEMORY, is_kept=False)
    path = Path(workspace) / (database or SHARED_FILE)
    return DatabasePlace(confinement.resolve(path, workspace), is_kept=not database)


SPEC = ToolSpec(kind=KIND, factory=Duckdb)
