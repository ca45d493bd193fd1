"""``arcbook executions``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from arcbook.cli.context import execution_id, with_embedded
from arcbook.cli.everywhere import tell_json, wants_json
from arcbook.cli.finish import cause_of
from arcbook.cli.places import Source, source_of
from arcbook.cli.progress import line_of, tries
from arcbook.cli.remote.link import place_of, server_of, with_client
from arcbook.cli.text import coloured, duration, moment, short, table
from arcbook.embedded import Embedded
from arcbook.executions import Progress
from arcbook.secrets.taint import shown
from arcbook.store.api import PAGE_MAX, ExecutionFilter, ExecutionRow

if TYPE_CHECKING:
    from arcbook.client import Client


@click.group(help="The executions of this home, or of a server.")
def executions() -> None:
    """Group of the verbs."""


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
    help="How they stand.",
)
@click.option("--path", default="", help="Part of the playbook's path.")
@click.option("--parent", default="0", metavar="ID", help="Children of an execution.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, PAGE_MAX))
@click.option("--before", default="0", metavar="ID", help="The last id of the page before.")
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
    wanted = ExecutionFilter(
        status=(status or "").upper(),
        path=path.lstrip("/"),
        parent_execution_id=execution_id(parent),
        before=execution_id(before),
        limit=limit,
    )

    async def work(embedded: Embedded) -> list[ExecutionRow]:
        return await embedded.store.executions(wanted)

    rows = _listed(context, wanted) if server_of(context) else with_embedded(context, work)
    if wants_json(context):
        tell_json([_plain(row) for row in rows])
        return
    if not rows:
        click.echo(f"there are no executions {place_of(context)}: arcbook run playbook.yaml")
        return
    headers = ("EXECUTION", "STATUS", "STARTED", "TOOK", "PATH", "NOTE")
    click.echo(table(headers, [_cells(row) for row in rows]))


def _listed(context: click.Context, wanted: ExecutionFilter) -> list[ExecutionRow]:
    """Return a server's executions."""
    from arcbook.cli.remote.rows import execution_row  # heavy: an HTTP client

    asked = {
        "status": wanted.status,
        "path": wanted.path,
        "parent_execution_id": wanted.parent_execution_id or None,
        "before": wanted.before or None,
        "limit": wanted.limit,
    }
    return [execution_row(r) for r in with_client(context, lambda c: c.executions(**asked))]


def _cells(row: ExecutionRow) -> tuple[str, ...]:
    took = duration(row.ended_at - row.started_at) if row.ended_at else ""
    note = str(shown(row.error)) or (f"at {row.current}" if row.current else "")
    identity = str(row.execution_id)
    return (identity, row.status, moment(row.started_at), took, row.path, note[:80])


def _plain(row: ExecutionRow) -> dict[str, Any]:
    keys = ("path", "version", "status", "seq", "started_at", "ended_at", "current", "error")
    plain: dict[str, Any] = {key: getattr(row, key) for key in keys}
    parent = str(row.parent_execution_id) if row.parent_execution_id else None
    return {"execution_id": str(row.execution_id), "parent_execution_id": parent, **plain}


@executions.command(
    help="""Show an execution: its steps, what failed and why, its result.

\b
Example:
  arcbook executions show 383401759197892608
"""
)
@click.argument("execution")
@click.pass_context
def show(context: click.Context, execution: str) -> None:
    """Show an execution."""
    identity = execution_id(execution)

    async def work(embedded: Embedded) -> tuple[ExecutionRow, Progress, Any]:
        row = await embedded.known(identity)
        sources.append(await source_of(embedded, (await embedded.state(identity)).catalog_id))
        progress = Progress()
        async for recorded in embedded.events(identity):
            progress.add([recorded])
        data = await embedded.result_of(await embedded.state(identity)) if row.ended_at else None
        return row, progress, data

    sources: list[Source | None] = []
    found = _shown(context, identity) if server_of(context) else with_embedded(context, work)
    row, progress, data = found
    click.echo(f"{row.path} version {row.version}  {coloured(row.status)}")
    took = f", took {duration(row.ended_at - row.started_at)}" if row.ended_at else ""
    click.echo(f"execution {identity}, started {moment(row.started_at)}{took}")
    if row.parent_execution_id:
        click.echo(f"called by execution {row.parent_execution_id}")
    click.echo()
    for step in progress.steps.values():
        click.echo(line_of(step))
        for line in tries(step):
            click.echo(f"      {line}")
    for note in progress.all_warnings():
        click.echo(click.style(f"warning: {note}", fg="yellow"))
    if progress.error is not None:
        steps = [progress.steps[name].error for name in progress.failed_steps[:1]]
        first = next((error for error in steps if error is not None), progress.error)
        place = next((source.shown(first) for source in sources if source is not None), "")
        click.echo("\n" + cause_of(progress.error, place))
    if data is not None:
        click.echo(f"\nresult: {short(data, 400)}")


def _shown(context: click.Context, identity: int) -> tuple[ExecutionRow, Progress, Any]:
    """Return an execution of a server, its steps and its result."""
    from arcbook.cli.remote.rows import all_recorded, execution_row  # heavy: an HTTP client

    async def work(client: Client) -> tuple[ExecutionRow, Progress, Any]:
        detail = await client.execution(str(identity), events=0)
        progress = Progress()
        progress.add(await all_recorded(client, str(identity)))
        data = detail.result
        if detail.result_ref is not None:
            data = await client.resolve(detail.result_ref)
        return execution_row(detail), progress, data

    return with_client(context, work)
