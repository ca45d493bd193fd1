"""``transfer``: moves rows from a service or a database to a table."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from arcbook.outcome import ErrorKind, Outcome, failed, ok
from arcbook.tools.api import (
    CredentialError,
    Effects,
    Params,
    ToolCall,
    ToolContext,
    declare,
    parse,
    require,
)
from arcbook.tools.confinement import OutsideError
from arcbook.tools.credentials import resolved
from arcbook.tools.duckdb.tool import place_of
from arcbook.tools.http import Http
from arcbook.tools.http_params import HttpParams
from arcbook.tools.postgres.tool import PoolParams, Pools
from arcbook.tools.spec import ToolSpec
from arcbook.tools.transfer.ends import (
    BATCH_ROWS,
    EndError,
    Source,
    SourceParams,
    Target,
    TargetParams,
    Written,
    fault,
)

if TYPE_CHECKING:
    from arcbook.tools.duckdb.files import Databases
    from arcbook.tools.transfer.duck import DuckPlace
    from arcbook.tools.transfer.pg import PgLink

TIMEOUT_SECONDS: Final = 3600.0
"""How long a call may take where the task says nothing."""

FILES: Final = ("file", "csv", "parquet", "jsonl")
"""Types of ends that are files."""

_KINDS: Final = {"pg": "postgres", "postgresql": "postgres"}


_END_KEYS: Final = (
    "type", "tool", "kind", "auth", "command", "connection", "dsn", "host", "port", "user",
    "password", "schema", "sslmode", "db_path", "path", "file", "uri", "format",
)  # fmt: skip


class TransferParams(Params, frozen=True, kw_only=True):
    """Parameters of ``transfer``."""

    source: Annotated[
        dict[str, Any],
        Meta(
            description="Where rows come from: type http, postgres, duckdb or file, and its fields."
        ),
    ]
    target: Annotated[
        dict[str, Any],
        Meta(
            description="Where they go: type postgres, duckdb or file, table or path, mapping, key."
        ),
    ]
    mode: Annotated[
        Literal["append", "replace", "upsert"] | None,
        Meta(description="Whether rows are added, take the place of all, or of those alike."),
    ] = None
    chunk_size: Annotated[
        Annotated[int, Meta(ge=1, le=100_000)], Meta(description="Rows under way at once.")
    ] = BATCH_ROWS
    exactly_once: Annotated[
        bool,
        Meta(
            description="Whether `append` leaves a mark in the target (a row in `arcbook_transfer`), "
            "by which a call that is made again appends nothing."
        ),
    ] = True


def effects_of(config: Mapping[str, Any]) -> Effects:
    """Return what repeating a transfer does."""
    target = config.get("target")
    written = target.get("mode") if isinstance(target, Mapping) else None
    mode = config.get("mode") or written or "append"
    if mode in ("replace", "upsert"):
        return Effects.IDEMPOTENT
    return Effects.ONCE if config.get("exactly_once") is False else Effects.KEYED


def summary(config: Mapping[str, Any]) -> str:
    """Say from where to where a call moves rows."""
    source, target = (config.get(side) or {} for side in ("source", "target"))
    table, mode = target.get("table"), config.get("mode") or target.get("mode") or "append"
    return f"{mode} rows of {source.get('type')} to {target.get('type')} table {table}"


KIND = declare(
    "transfer",
    TransferParams,
    "Moves rows from a service, database or file to a table or file, all or none.",
    aliases={"chunk_size": ["batch_size"]},
    keys={
        "source": (*_END_KEYS, *SourceParams.__struct_fields__, *HttpParams.__struct_fields__),
        "target": (*_END_KEYS, *TargetParams.__struct_fields__, "mode"),
    },
    choices={
        "source.type": ["http", "postgres", "duckdb", *FILES, *_KINDS],
        "target.type": ["postgres", "duckdb", *FILES, *_KINDS],
        "target.mode": ["append", "replace", "upsert"],
        "source.method": ["GET", "POST", "PUT", "PATCH"],
    },
    takes_auth=True,
    result={
        "status": "`success`.",
        "direction": "From what to what: `http_to_postgres`.",
        "source_type": "Type of the source.",
        "target_type": "Type of the target.",
        "mode": "`append`, `replace` or `upsert`.",
        "rows_transferred": "How many rows went over.",
        "chunks_processed": "How many chunks that were.",
        "target_table": "The table that has them now.",
        "columns": "Columns of the table that were written.",
        "was_done": "Whether an earlier try of the call had appended them already.",
    },
    effects=[Effects.IDEMPOTENT, Effects.KEYED, Effects.ONCE],
    effects_of=effects_of,
    summary=summary,
    example="""
    tool:
      kind: transfer
      source: {type: postgres, auth: shop, query: "SELECT id, total FROM orders"}
      target: {type: duckdb, database: orders.duckdb, table: orders}
      mode: replace
    """,
)


class Transfer:
    """Moves rows without keeping them: they go from one end to the other in batches."""

    def __init__(self) -> None:
        self._http = Http()
        self._pools = Pools()
        self._databases: dict[str, Databases] = {}

    async def run(self, call: ToolCall, context: ToolContext) -> Outcome:
        params = parse(TransferParams, call)
        if isinstance(params, Outcome):
            return params
        seconds = TIMEOUT_SECONDS if call.timeout_seconds is None else call.timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                return await self._moved(params, call, context)
        except EndError as error:
            return error.outcome
        except CredentialError as error:
            return failed(ErrorKind.AUTH, str(error), code="CREDENTIAL")
        except TimeoutError:
            message = (
                f"the transfer did not end within {seconds:g} seconds; the target is as it was"
            )
            return failed(ErrorKind.DB_TIMEOUT, message, code="TIMEOUT", retryable=True)

    async def _moved(self, params: TransferParams, call: ToolCall, context: ToolContext) -> Outcome:
        kinds = (kind_of(params.source, "source"), kind_of(params.target, "target"))
        work = _Call(call, context, params)
        source = await self._source(kinds[0], work)
        target = await self._target(kinds[1], work)
        unwritten = "replace" if kinds[1] in FILES else "append"
        mode = params.mode or params.target.get("mode") or unwritten
        if mode not in ("append", "replace", "upsert"):
            raise fault(f"'target.mode' must be append, replace or upsert, not {mode!r}")
        async with source.open() as rows:
            written = await target.write(rows, mode)
        return _result(written, kinds, mode, params.chunk_size)

    async def _source(self, kind: str, work: _Call) -> Source:
        fields = work.params.source
        params = _fields(SourceParams, fields, "source")
        auth = await work.auth("source")
        if kind == "http":
            from arcbook.tools.transfer.web import WebSource, request  # needs the client

            mapping = work.params.target.get("mapping") or {}
            sent = request(work.call, fields, auth)
            send = partial(self._http.run, sent, work.context)
            return WebSource(send, params, [str(name) for name in mapping.values()])
        if kind == "postgres":
            place = self._postgres("source", auth, work)
            from arcbook.tools.transfer.pg_source import PgSource  # needs the extra

            return PgSource(place, params, work.params.chunk_size)
        _without_auth(auth, "source", kind)
        if kind in FILES:
            from arcbook.tools.transfer.files import FileSource  # needs the extra

            return FileSource(self._memory("source", work), params, *_file("source", kind, work))
        duck = self._duckdb("source", work)
        from arcbook.tools.transfer.duck import DuckSource  # needs the extra

        return DuckSource(duck, params)

    async def _target(self, kind: str, work: _Call) -> Target:
        fields = work.params.target
        params = _fields(TargetParams, fields, "target")
        auth = await work.auth("target")
        if kind == "postgres":
            place = self._postgres("target", auth, work)
            from arcbook.tools.transfer.pg_target import PgTarget  # needs the extra

            return PgTarget(place, params, work.key)
        _without_auth(auth, "target", kind)
        if kind in FILES:
            from arcbook.tools.transfer.files import FileTarget  # needs the extra

            return FileTarget(self._memory("target", work), params, *_file("target", kind, work))
        if kind == "duckdb":
            duck = self._duckdb("target", work)
            from arcbook.tools.transfer.duck import DuckTarget  # needs the extra

            return DuckTarget(duck, params, work.key)
        raise fault(f"'target.type' must be postgres, duckdb or a file, not {kind}")

    def _postgres(self, side: str, auth: Any, work: _Call) -> PgLink:
        require("psycopg", "postgres")
        from arcbook.tools.postgres.address import AddressError, address  # needs the extra
        from arcbook.tools.transfer.pg import link  # needs the extra

        try:
            where = address(getattr(work.params, side), auth, work.context)
        except AddressError as error:
            raise fault(str(error)) from None
        limit = work.call.timeout_seconds
        seconds = TIMEOUT_SECONDS if limit is None else limit
        # Each side has its own connections: sources that hold all would wait for targets forever.
        pool = self._pools.pool(
            where.key, where.conninfo, PoolParams(name=side), work.context.confinement.egress
        )
        return link(pool, work.call, where.schema, seconds)

    def _duckdb(self, side: str, work: _Call) -> DuckPlace:
        require("duckdb", "duckdb")
        from arcbook.tools.duckdb.files import Databases  # needs the extra
        from arcbook.tools.duckdb.limits import Limits  # needs the extra
        from arcbook.tools.transfer.duck import DuckPlace  # needs the extra

        # Each side takes turns by itself: source and target may be one file.
        if side not in self._databases:
            self._databases[side] = Databases()
        fields = getattr(work.params, side)
        names = ("database", "db_path", "path", "connection")
        written = next((str(fields[name]) for name in names if fields.get(name)), None)
        confinement, workspace = work.context.confinement, work.context.workspace
        try:
            place = place_of(written, workspace, confinement)
        except OutsideError as error:
            raise fault(f"'{side}': {error}") from None
        limits = Limits.of(confinement, workspace)
        return DuckPlace(self._databases[side], place.path, place.is_kept, limits)

    def _memory(self, side: str, work: _Call) -> DuckPlace:
        """Return a database of its own for one call, which reads or writes a file."""
        require("duckdb", "duckdb")
        from arcbook.tools.duckdb.files import MEMORY, Databases  # needs the extra
        from arcbook.tools.duckdb.limits import Limits  # needs the extra
        from arcbook.tools.transfer.duck import DuckPlace  # needs the extra

        databases = self._databases.setdefault(side, Databases())
        limits = Limits.of(work.context.confinement, work.context.workspace)
        return DuckPlace(databases, MEMORY, is_kept=False, limits=limits)

    async def close(self) -> None:
        databases, self._databases = self._databases, {}
        self._pools.close()
        await self._http.close()
        for each in databases.values():
            await each.close()


class _Call(msgspec.Struct, frozen=True):
    """One call, and who performs it."""

    call: ToolCall
    context: ToolContext
    params: TransferParams

    @property
    def key(self) -> str:
        """The name of the append, by which it is done once; nothing if it may be done again."""
        return self.call.idempotency_key if self.params.exactly_once else ""

    async def auth(self, side: str) -> Any:
        """Return what an end authenticates with: its own, or else what the task says."""
        fields = getattr(self.params, side)
        auth = fields.get("auth") or fields.get("credential")
        common = self.call.auth
        if auth is None and isinstance(common, dict) and {"source", "target"} & set(common):
            auth = common.get(side)
        elif auth is None and kind_of(fields, side) == "postgres":
            auth = common
        return await resolved(auth, self.context)


def _without_auth(auth: Any, side: str, kind: str) -> None:
    if auth is not None:
        raise fault(f"'{side}' is a {kind}, which takes no credentials")


def _file(side: str, kind: str, work: _Call) -> tuple[str, str]:
    """Return where a file of a call is, and its format.

    Raises:
        EndError: it does not say, or the file is where the call may not reach.
    """
    from arcbook.tools.transfer.files import format_of  # needs the extra

    fields = getattr(work.params, side)
    written = str(fields.get("path") or fields.get("file") or fields.get("uri") or "")
    if not written:
        raise fault(f"'{side}' needs 'path': the file")
    form = format_of(written, fields.get("format") if kind == "file" else kind)
    context = work.context
    try:
        resolved = context.confinement.resolve(written.removeprefix("file://"), context.workspace)
    except OutsideError as error:
        raise fault(f"'{side}': {error}") from None
    return resolved, form


def kind_of(fields: Mapping[str, Any], side: str) -> str:
    """Return the kind of an end.

    Raises:
        EndError: there is no such kind.
    """
    written = str(fields.get("type") or fields.get("tool") or fields.get("kind") or "")
    kind = _KINDS.get(written.lower(), written.lower())
    if kind not in ("http", "postgres", "duckdb", *FILES):
        known = f"http, postgres, duckdb, {', '.join(FILES)}"
        raise fault(f"'{side}.type' must be one of {known}, not {written!r}")
    return kind


def _fields(model: Any, fields: dict[str, Any], side: str) -> Any:
    named = fields if side == "target" else {"query": fields.get("command"), **fields}
    known = {name: named[name] for name in model.__struct_fields__ if name in named}
    try:
        return msgspec.convert(known, model, strict=False)
    except msgspec.ValidationError as error:
        raise fault(f"{side}: {error}") from None


def _result(written: Written, kinds: tuple[str, str], mode: str, chunk_size: int) -> Outcome:
    return ok(
        {
            "status": "success",
            "direction": "_to_".join(kinds),
            "source_type": kinds[0],
            "target_type": kinds[1],
            "mode": mode,
            "rows_transferred": written.rows,
            "chunks_processed": -(-written.rows // chunk_size),
            "target_table": written.table,
            "columns": written.columns,
            "was_done": written.was_done,
        },
        meta={"rows": written.rows},
    )


SPEC = ToolSpec(kind=KIND, factory=Transfer)
