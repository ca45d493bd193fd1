"""``duckdb``: runs SQL in an analytical database inside the worker."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from msgspec import Meta

from arcbook.outcome import ErrorKind, Outcome, failed, ok
from arcbook.tools.sql import rowsets
from arcbook.tools.api import MissingExtraError, Params, ToolCall, ToolContext, declare, parse
from arcbook.tools.scripts import ScriptError
from arcbook.tools.sql.query import QUERY_NAMES, Query, no_statement, statements

if TYPE_CHECKING:
    from arcbook.tools.duckdb.attach import Attachment
    from arcbook.tools.duckdb.files import Databases
    from arcbook.tools.duckdb.run import Run

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


KIND = declare(
    "duckdb",
    DuckdbParams,
    "Runs SQL in an analytical database inside the worker.",
    aliases={"query": QUERY_NAMES, "database": ["db_path", "db", "path"]},
    any_of=[("query", "command")],
    takes_auth=True,
)


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
        require_driver()
        from arcbook.tools.duckdb.attach import AttachError, attachments  # needs the extra
        from arcbook.tools.duckdb.files import Databases
        from arcbook.tools.duckdb.run import Run

        try:
            attached = await attachments(call.auth, context)
        except AttachError as error:
            return failed(ErrorKind.CONFIG, f"tool kind 'duckdb': {error}", code="CONFIG")
        self._databases = self._databases or Databases()
        limits = rowsets.RowLimits(params.max_rows)
        autocommit = params.autocommit or bool(attached)
        run = Run(texts, params.params, limits, autocommit=autocommit)
        path, keep = database_path(params.database, context.workspace)
        return await _run(run, self._databases, path, keep, attached, call)

    async def close(self) -> None:
        databases, self._databases = self._databases, None
        if databases is not None:
            await databases.close()


async def _run(  # noqa: PLR0913  # what a run is made of
    run: Run,
    databases: Databases,
    path: str,
    keep: bool,  # noqa: FBT001
    attached: list[Attachment],
    call: ToolCall,
) -> Outcome:
    """Run a call's statements; whatever the database does is an outcome."""
    import duckdb  # needs the extra

    from arcbook.tools.duckdb import errors
    from arcbook.tools.duckdb.attach import AttachError, attach, detach
    from arcbook.tools.duckdb.run import OpenTransactionError, ParamsError

    seconds = TIMEOUT_SECONDS if call.timeout_seconds is None else call.timeout_seconds
    opened = False
    try:
        async with asyncio.timeout(seconds), databases.work(path, keep=keep) as work:
            opened = True
            try:
                await work.do(attach, work, attached)
                await work.do(run.on, work)
            finally:
                await databases.finish(detach, work, attached)
    except duckdb.Error as error:
        where = run.where if opened else f"opening {path}"
        return errors.failure(error, where, run.details)
    except (ParamsError, OpenTransactionError) as error:
        return failed(ErrorKind.CONFIG, f"tool kind 'duckdb': {error}", code="CONFIG")
    except AttachError as error:
        return failed(ErrorKind.CONFIG, str(error), code="DUCKDB_ATTACH")
    except OSError as error:
        return failed(ErrorKind.STORAGE_ACCESS, f"opening {path}: {error}", code="DUCKDB_IO")
    except TimeoutError:
        return errors.timed_out(seconds, run.where)
    return ok(rowsets.result(run.commands), meta=rowsets.meta(run.commands, run.limits))


def database_path(database: str | None, workspace: str) -> tuple[str, bool]:
    """Return the file that a task means, and whether it stays open for the next step."""
    if database == MEMORY or (not database and not workspace):
        return MEMORY, False
    if not database:
        return str(Path(workspace) / SHARED_FILE), True
    if "://" in database or database.startswith("md:"):
        return database, False
    return str(Path(workspace) / database), False


def require_driver() -> None:
    """Say which extra is missing, before anything else needs it.

    Raises:
        MissingExtraError: the driver is not installed.
    """
    try:
        import duckdb  # noqa: F401  # whether it is there
    except ImportError:
        raise MissingExtraError("duckdb", "duckdb") from None


TOOL = Duckdb
