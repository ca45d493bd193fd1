"""``postgres``: runs SQL on a PostgreSQL database."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from arcbook.dsl.durations import SHOWN, seconds_of
from arcbook.egress import Egress, EgressError
from arcbook.outcome import ErrorKind, Outcome, failed, ok
from arcbook.tools.api import (
    CredentialError,
    Params,
    ToolCall,
    ToolContext,
    declare,
    parse,
    require,
)
from arcbook.tools.scripts import ScriptError
from arcbook.tools.spec import ToolSpec
from arcbook.tools.sql import effects, rowsets
from arcbook.tools.sql.query import (
    QUERY_CHOICES,
    QUERY_NAMES,
    Query,
    convert,
    no_statement,
    statements,
)
from arcbook.tools.sql.values import Decimals

if TYPE_CHECKING:
    from arcbook.tools.postgres.pool import Pool
    from arcbook.tools.postgres.run import PostgresCall

TIMEOUT_SECONDS: Final = 3600.0
"""How long a call may take where the task says nothing."""

POOLS_MAX: Final = 64
"""Pools above which those that hold no connection are forgotten."""


class PoolParams(msgspec.Struct, frozen=True, kw_only=True):
    """How a task shares connections."""

    #: Tasks that name the same pool share it.
    name: str = ""
    #: Connections at once.
    max_size: Annotated[int, Meta(ge=1, le=100)] = 8
    #: How long to wait for a free connection.
    timeout: float | str = 30.0
    #: Calls that may wait; more than that fail at once.
    max_waiting: int | None = None


class PostgresParams(Params, frozen=True, kw_only=True):
    """Parameters of ``postgres``."""

    query: Annotated[
        Query, Meta(description="The SQL: one statement or several, or a list of such.")
    ] = None
    params: Annotated[
        list[Any] | dict[str, Any] | None,
        Meta(description="Values for `%s` or `$1` (a list), or for `%(name)s` (a mapping)."),
    ] = None
    dsn: Annotated[str | None, Meta(description="Connection string or URL.")] = None
    host: Annotated[str | None, Meta(description="Host, where no credential says it.")] = None
    port: Annotated[int | None, Meta(description="Port; 5432.")] = None
    user: Annotated[str | None, Meta(description="User.")] = None
    password: Annotated[str | None, Meta(description="Password; better in a credential.")] = None
    database: Annotated[str | None, Meta(description="Database.")] = None
    sslmode: Annotated[str | None, Meta(description="TLS mode, as libpq has it.")] = None
    schema: Annotated[
        str | None, Meta(description="Schemas that unqualified names mean, by commas.")
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
    pool: Annotated[
        dict[str, Any] | None,
        Meta(description="How to share connections: name, max_size, timeout, max_waiting."),
    ] = None


KIND = declare(
    "postgres",
    PostgresParams,
    "Runs SQL on a PostgreSQL database.",
    aliases={
        "query": QUERY_NAMES,
        "dsn": ["connection_string", "connection"],
        "host": ["db_host"],
        "port": ["db_port"],
        "user": ["db_user", "username"],
        "password": ["db_password"],
        "database": ["dbname", "db_name"],
    },
    any_of=[("query", "command")],
    takes_auth=True,
    keys={"pool": (*PoolParams.__struct_fields__, "min_size")},
    choices={
        "sslmode": ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"],
        **QUERY_CHOICES,
    },
    result=rowsets.SHAPE,
    effects=effects.SQL_EFFECTS,
    effects_of=effects.effects_of,
    summary=effects.summary,
    example="""
    tool:
      kind: postgres
      auth: warehouse
      query: SELECT id, name FROM customer WHERE city = %s
      params: ["{{ workload.city }}"]
    """,
)


class Pools:
    """Pools of connections, by address and user."""

    def __init__(self) -> None:
        self._pools: dict[tuple[str, str, int, int | None], Pool] = {}

    def pool(self, key: str, conninfo: str, params: PoolParams, egress: Egress) -> Pool:
        """Return the pool for an address; tasks that ask for other sizes get their own."""
        from arcbook.tools.postgres.pool import Pool  # needs the extra

        identity = (key, params.name, params.max_size, params.max_waiting)
        pool = self._pools.get(identity)
        if pool is None:
            if len(self._pools) >= POOLS_MAX:
                self._pools = {k: p for k, p in self._pools.items() if not p.is_empty}
            pool = Pool(conninfo, egress, size=params.max_size, waiting_max=params.max_waiting)
            self._pools[identity] = pool
        return pool

    def close(self) -> None:
        """Close all connections that are not in use."""
        for pool in self._pools.values():
            pool.close()


class Postgres:
    """Runs SQL over pooled connections."""

    def __init__(self) -> None:
        self._pools = Pools()

    async def run(self, call: ToolCall, context: ToolContext) -> Outcome:
        params = parse(PostgresParams, call)
        if isinstance(params, Outcome):
            return params
        pooling = convert(PoolParams, params.pool or {}, call, "pool")
        if isinstance(pooling, Outcome):
            return pooling
        patience = seconds_of(pooling.timeout)
        if patience is None or patience <= 0:
            message = f"'pool.timeout' is {SHOWN}; not {pooling.timeout!r}"
            return failed(ErrorKind.CONFIG, message, code="CONFIG")
        try:
            texts = await statements(params.query, context)
        except ScriptError as error:
            return failed(error.kind, str(error), code="SCRIPT", retryable=error.retryable)
        if not texts:
            return no_statement()
        require("psycopg", KIND.name)
        from arcbook.tools.postgres.address import AddressError, address  # needs the extra
        from arcbook.tools.postgres.run import ParamsError, PostgresCall, script  # needs the extra

        try:
            where = address(msgspec.structs.asdict(params), call.auth, context)
            work = script(
                texts,
                params.params,
                autocommit=params.autocommit,
                decimals=Decimals(params.decimals),
            )
        except (AddressError, ParamsError) as error:
            return failed(ErrorKind.CONFIG, f"tool kind 'postgres': {error}", code="CONFIG")
        except CredentialError as error:
            return failed(ErrorKind.AUTH, str(error), code="CREDENTIAL")
        pool = self._pools.pool(where.key, where.conninfo, pooling, context.confinement.egress)
        run = PostgresCall(work, rowsets.RowLimits(params.max_rows))
        return await _run(run, pool, call, where.schema, patience)

    async def close(self) -> None:
        self._pools.close()


async def _run(
    run: PostgresCall, pool: Pool, call: ToolCall, schema: str, wait_seconds: float
) -> Outcome:
    """Run a call's statements; whatever the database does is an outcome."""
    import psycopg  # needs the extra

    from arcbook.tools.postgres import errors
    from arcbook.tools.postgres.pool import ConnectError, PoolBusyError
    from arcbook.tools.postgres.run import OpenTransactionError, application_name, opening

    seconds = TIMEOUT_SECONDS if call.timeout_seconds is None else call.timeout_seconds
    name = application_name(call.execution_id, call.step)
    settings = opening(run.script.mode, name, schema, seconds, read_only=call.is_dry)
    try:
        async with (
            asyncio.timeout(seconds),
            pool.session(settings, wait_seconds=wait_seconds) as session,
        ):
            await run.on(session)
    except EgressError as error:
        return failed(ErrorKind.CONFIG, f"tool kind 'postgres': {error}", code="EGRESS")
    except ConnectError as error:
        return errors.connect_failure(error.cause)
    except psycopg.Error as error:
        return errors.statement_failure(error, run.where, run.details)
    except TimeoutError:
        return errors.timed_out(seconds, run.where)
    except PoolBusyError as error:
        return failed(ErrorKind.DB_CONNECTION, str(error), code="PG_POOL_BUSY", retryable=True)
    except OpenTransactionError as error:
        return failed(ErrorKind.CONFIG, str(error), code="CONFIG")
    except UnicodeDecodeError as error:
        message = f"the database holds text that is not UTF-8: {error} ({run.where})"
        return failed(ErrorKind.TRANSFORM, message, code="PG_ENCODING")
    return ok(rowsets.result(run.commands), meta=rowsets.meta(run.commands, run.limits))


SPEC = ToolSpec(kind=KIND, factory=Postgres)
