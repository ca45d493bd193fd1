"""``arcbook executions``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click
from msgspec import structs

from arcbook.cli.context import execution_id, with_embedded
from arcbook.cli.everywhere import same_place, tell_json, wants_json
from arcbook.cli.finish import cause_of
from arcbook.cli.places import Source, source_of
from arcbook.cli.progress import line_of, tries
from arcbook.cli.remote.link import place_of, server_of, with_client
from arcbook.cli.text import coloured, duration, moment, short, table
from arcbook.compose.embedded import Embedded
from arcbook.events.codec import decode
from arcbook.events.types import PlaybookCancelled
from arcbook.executions import Progress, StepView
from arcbook.secrets.taint import shown
from arcbook.store.api import PAGE_MAX, ExecutionFilter, ExecutionRow

if TYPE_CHECKING:
    from arcbook.client import Client


NOTE_SHOWN_MAX: Final = 80
"""Characters of an error that a list shows."""

RESULT_SHOWN_MAX: Final = 400
"""Characters of a result that are shown; 'arcbook result' shows all."""


@click.group(help="List executions of this home, or of a server.")
def executions() -> None:
    """Group the subcommands."""


@executions.command(
    "list",
    help="""List executions, newest first.

\b
Examples:
  arcbook executions list
  arcbook executions list --status failed --path reports/
  arcbook executions list --limit 20 --before 383401759197892608
""",
)
@click.option(
    "--status",
    type=click.Choice(["running", "completed", "failed", "cancelled"], case_sensitive=False),
    help="Only executions with this status.",
)
@click.option("--path", default="", help="Only playbooks whose path contains this text.")
@click.option("--parent", default="0", metavar="ID", help="Only children of this execution.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, PAGE_MAX))
@click.option(
    "--before",
    default="0",
    metavar="ID",
    help="Continue after this id, the last of the previous page.",
)
@click.pass_context
def list_(  # the options of the verb
    context: click.Context,
    status: str | None,
    path: str,
    parent: str,
    limit: int,
    before: str,
) -> None:
    """List executions."""
    criteria = ExecutionFilter(
        status=(status or "").upper(),
        path=path.lstrip("/"),
        parent_execution_id=execution_id(parent),
        before=execution_id(before),
        limit=limit,
    )

    async def work(embedded: Embedded) -> list[tuple[ExecutionRow, bool]]:
        rows = [await _with_reason(embedded, r) for r in await embedded.store.executions(criteria)]
        return [(row, await _is_gone(embedded, row)) for row in rows]

    rows = _listed(context, criteria) if server_of(context) else with_embedded(context, work)
    if wants_json(context):
        tell_json([_plain(row, is_gone=is_gone) for row, is_gone in rows])
        return
    if not rows:
        click.echo(f"there are no executions {place_of(context)}: arcbook run playbook.yaml")
        return
    headers = ("EXECUTION", "STATUS", "STARTED", "TOOK", "PATH", "NOTE")
    click.echo(table(headers, [_cells(row, is_gone=is_gone) for row, is_gone in rows]))


async def _with_reason(embedded: Embedded, row: ExecutionRow) -> ExecutionRow:
    """Return the row of a cancelled execution with the reason from its last event."""
    if row.status != "CANCELLED":
        return row
    page = await embedded.store.events(row.execution_id, after=row.seq - 1)
    last = decode(page[-1].body) if page else None
    reason = last.reason if isinstance(last, PlaybookCancelled) else ""
    return structs.replace(row, error=row.error or reason)


def _listed(context: click.Context, criteria: ExecutionFilter) -> list[tuple[ExecutionRow, bool]]:
    """Return the executions of a server."""
    from arcbook.cli.remote.rows import execution_row  # heavy: an HTTP client

    asked = {
        "status": criteria.status,
        "path": criteria.path,
        "parent_execution_id": criteria.parent_execution_id or None,
        "before": criteria.before or None,
        "limit": criteria.limit,
    }
    summaries = with_client(context, lambda client: client.executions(**asked))
    return [(execution_row(row), False) for row in summaries]


def _cells(row: ExecutionRow, *, is_gone: bool) -> tuple[str, ...]:
    elapsed = duration(row.ended_at - row.started_at) if row.ended_at else ""
    note = str(shown(row.error)) or (f"at {row.current}" if row.current else "")
    note = gone_text(row) if is_gone else note[:NOTE_SHOWN_MAX]
    identity = str(row.execution_id)
    return (identity, row.status, moment(row.started_at), elapsed, row.path, note)


def _plain(row: ExecutionRow, *, is_gone: bool) -> dict[str, Any]:
    """Return an execution for programs; times are microseconds since the epoch."""
    keys = ("path", "version", "status", "seq", "started_at", "ended_at", "current", "error")
    plain: dict[str, Any] = {key: getattr(row, key) for key in keys}
    parent = str(row.parent_execution_id) if row.parent_execution_id else None
    ids = {"execution_id": str(row.execution_id), "parent_execution_id": parent}
    return {**ids, **plain, "process_gone": is_gone}


class _Detail(NamedTuple):
    """The details of an execution."""

    row: ExecutionRow
    progress: Progress
    result: Any = None
    source: Source | None = None
    #: Whether it is unfinished and no process owns it.
    is_gone: bool = False


@executions.command(
    help="""Show an execution: its steps, what failed and why, its result.

\b
Examples:
  arcbook executions show 383401759197892608
  arcbook executions show 383401759197892608 --json
"""
)
@click.argument("execution")
@click.pass_context
def show(context: click.Context, execution: str) -> None:
    """Show an execution."""
    identity = execution_id(execution)

    async def work(embedded: Embedded) -> _Detail:
        return await _of_home(embedded, identity)

    detail = _of_server(context, identity) if server_of(context) else with_embedded(context, work)
    if wants_json(context):
        tell_json(_detail_fields(detail))
        return
    _tell(detail)


async def _of_home(embedded: Embedded, identity: int) -> _Detail:
    row = await embedded.reader.row(identity)
    state = await embedded.reader.state(identity)
    progress = Progress()
    async for recorded in embedded.reader.events(identity):
        progress.add([recorded])
    return _Detail(
        row,
        progress,
        await embedded.reader.result(state) if row.ended_at else None,
        await source_of(embedded, state.catalog_id),
        await _is_gone(embedded, row),
    )


async def _is_gone(embedded: Embedded, row: ExecutionRow) -> bool:
    return not row.ended_at and not await embedded.is_driven(row)


def _of_server(context: click.Context, identity: int) -> _Detail:
    """Return an execution of a server, with its steps and its result."""
    from arcbook.cli.remote.rows import all_recorded, execution_row  # heavy: an HTTP client

    async def work(client: Client) -> _Detail:
        detail = await client.execution(str(identity), events=0)
        progress = Progress()
        progress.add(await all_recorded(client, str(identity)))
        data = detail.result
        if detail.result_ref is not None:
            data = await client.resolve(detail.result_ref)
        return _Detail(execution_row(detail), progress, data)

    return with_client(context, work)


def _tell(detail: _Detail) -> None:
    row, progress = detail.row, detail.progress
    click.echo(f"{row.path} version {row.version}  {coloured(row.status)}")
    elapsed = f", took {duration(row.ended_at - row.started_at)}" if row.ended_at else ""
    click.echo(f"execution {row.execution_id}, started {moment(row.started_at)}{elapsed}")
    if row.parent_execution_id:
        click.echo(f"called by execution {row.parent_execution_id}")
    if detail.is_gone:
        click.echo(click.style(gone_text(row), fg="yellow"))
    if progress.cancel_reason is not None:
        click.echo(f"cancelled: {shown(progress.cancel_reason or 'without a reason')}")
    click.echo()
    for step in progress.steps.values():
        click.echo(line_of(step))
        for line in tries(step):
            click.echo(f"      {line}")
    for note in progress.all_warnings():
        click.echo(click.style(f"warning: {note}", fg="yellow"))
    if progress.error is not None:
        click.echo("\n" + cause_of(progress.error, _place(detail)))
    if detail.result is not None:
        click.echo(f"\nresult: {short(detail.result, RESULT_SHOWN_MAX)}")


def _place(detail: _Detail) -> str:
    """Return the place in the document of the first step that failed."""
    progress = detail.progress
    steps = [progress.steps[name].error for name in progress.failed_steps[:1]]
    first = next((error for error in steps if error is not None), progress.error)
    return "" if detail.source is None or first is None else detail.source.excerpt_at(first)


def gone_text(row: ExecutionRow) -> str:
    """Return how to continue an execution whose process is gone."""
    identity = row.parent_execution_id or row.execution_id
    return f"its process is gone: arcbook resume {identity}{same_place()}"


def _detail_fields(detail: _Detail) -> dict[str, Any]:
    """Return an execution for programs; times are microseconds since the epoch."""
    progress = detail.progress
    return {
        **_plain(detail.row, is_gone=detail.is_gone),
        "cancel_reason": progress.cancel_reason,
        "steps": [_step(step) for step in progress.steps.values()],
        "failed_steps": progress.failed_steps,
        "warnings": progress.all_warnings(),
        "result": detail.result,
    }


def _step(step: StepView) -> dict[str, Any]:
    keys = ("name", "status", "visits", "retries", "entered_at", "ended_at", "warnings")
    plain: dict[str, Any] = {key: getattr(step, key) for key in keys}
    plain["duration_ms"] = step.duration_us / 1000 if step.ended_at else None
    plain["error"] = None if step.error is None else step.error.message
    plain["printed"] = step.printed
    if step.total >= 0 or step.done:
        plain["items"] = {"total": step.total, "done": step.done, "failed": step.failed}
    return plain
