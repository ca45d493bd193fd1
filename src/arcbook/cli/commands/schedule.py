"""``arcbook schedule``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from arcbook.cli.context import parse_workload, seconds
from arcbook.cli.errors import UserError
from arcbook.cli.everywhere import say, tell_json, wants_json
from arcbook.cli.remote.link import client_of, with_client
from arcbook.cli.text import table, zoned

if TYPE_CHECKING:
    from arcbook.wire.http.schedules import ScheduleView


SHOWN: Final = 5
"""How many upcoming times of a schedule are shown."""


@click.group(
    help="""Start playbooks on a server at scheduled times.

The server is --server, ARCBOOK_SERVER_URL, or the one on this machine. Each tick starts its
playbook exactly once, regardless of how many servers run and how often they restart.

\b
Examples:
  arcbook schedule add nightly reports/daily --cron '30 2 * * *' --timezone Europe/Vienna
  arcbook schedule add pulse monitoring/ping --every 10s
  arcbook schedule list
  arcbook schedule pause nightly
"""
)
def schedule() -> None:
    """Group the subcommands."""


@schedule.command(
    help="""Add a schedule, or replace the one with the same name.

PATH is the path of a playbook in the server's catalog. A cron expression has five fields
(minute, hour, day of month, month, day of week), or is a word such as @daily. --catch-up
says which ticks start late if no server was running: the latest, all, or none (skip).

\b
Examples:
  arcbook schedule add nightly reports/daily --cron '30 2 * * *' --timezone Europe/Vienna
  arcbook schedule add pulse monitoring/ping --every 10s --catch-up skip
  arcbook schedule add weekly reports/weekly --cron '0 6 * * 1' --payload '{"city": "Graz"}'
"""
)
@click.argument("name")
@click.argument("path")
@click.option(
    "--cron", default="", metavar="EXPRESSION", help="A cron expression, such as '30 6 * * 1-5'."
)
@click.option(
    "--timezone", default="UTC", show_default=True, help="Time zone of the cron expression."
)
@click.option("--every", metavar="TIME", help="An interval instead: 10s, 5m, 2h, 1d.")
@click.option("--payload", metavar="JSON|@FILE", help="Workload values, as a JSON object.")
@click.option(
    "--catch-up",
    type=click.Choice(["latest", "all", "skip"]),
    default="latest",
    show_default=True,
    help="Which missed ticks still start.",
)
@click.option("--pool", help="Pool of workers for its executions.")
@click.pass_context
def add(  # the options of the verb
    context: click.Context,
    name: str,
    path: str,
    cron: str,
    timezone: str,
    every: str | None,
    payload: str | None,
    catch_up: str,
    pool: str | None,
) -> None:
    """Add a schedule."""
    if bool(cron) == bool(every):
        raise UserError("set the times: either --cron '30 6 * * 1-5', or --every 10s")
    from arcbook.wire.http.schedules import PutSchedule  # only for this verb

    request = PutSchedule(
        path=path,
        payload=parse_workload(payload, ()).payload,
        pool=pool,
        cron=cron,
        timezone=timezone,
        every_seconds=seconds(every, "--every") if every else 0,
        catch_up=catch_up,
    )
    view = with_client(context, lambda client: client.put_schedule(name, request))
    if wants_json(context):
        tell_json(_plain(view))
        return
    click.echo(f"schedule {name!r} starts {view.path}")
    for time in _times(view):
        click.echo(f"  {time}")


def _plain(view: ScheduleView) -> dict[str, Any]:
    import msgspec  # only for this output

    plain: dict[str, Any] = msgspec.to_builtins(view)
    return plain


def _times(view: ScheduleView) -> list[str]:
    """Return the next times of a schedule, in its time zone."""
    from arcbook.cli.remote.rows import microseconds  # heavy: an HTTP client

    zone = view.timezone if view.cron else ""
    return [zoned(microseconds(time), zone) for time in view.upcoming[:SHOWN]]


@schedule.command("list", help="List schedules, with the next five times of each.")
@click.pass_context
def list_(context: click.Context) -> None:
    """List schedules."""
    views = with_client(context, lambda client: client.schedules())
    if wants_json(context):
        tell_json([_plain(view) for view in views])
        return
    if not views:
        where = client_of(context).url
        click.echo(f"there are no schedules at {where}: arcbook schedule add NAME PATH --every 10s")
        return
    rows: list[Any] = []
    for view in views:
        times = ["paused"] if view.paused else _times(view) or ["never"]
        rows.append((view.name, view.path, _when(view), times[0]))
        rows += [("", "", "", time) for time in times[1:]]
    click.echo(table(("SCHEDULE", "PLAYBOOK", "WHEN", "NEXT"), rows))


def _when(view: ScheduleView) -> str:
    if view.cron:
        return f"{view.cron} ({view.timezone})"
    return f"every {view.every_seconds:g} s"


@schedule.command(help="Pause a schedule until it is resumed.")
@click.argument("name")
@click.pass_context
def pause(context: click.Context, name: str) -> None:
    """Pause a schedule."""
    with_client(context, lambda client: client.pause_schedule(name))
    say(f"schedule {name!r} is paused", schedule=name)


@schedule.command(help="Resume a paused schedule; missed ticks are skipped.")
@click.argument("name")
@click.pass_context
def resume(context: click.Context, name: str) -> None:
    """Resume a schedule."""
    view = with_client(context, lambda client: client.resume_schedule(name))
    when = ", ".join(_times(view)[:1]) or "never"
    say(f"schedule {name!r} is resumed; next: {when}", schedule=name)


@schedule.command(help="Remove a schedule; executions that it started continue.")
@click.argument("name")
@click.pass_context
def rm(context: click.Context, name: str) -> None:
    """Remove a schedule."""
    with_client(context, lambda client: client.delete_schedule(name))
    say(f"schedule {name!r} is removed", schedule=name)
