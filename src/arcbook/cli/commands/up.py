"""``arcbook up``."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import click

from arcbook.cli.context import settings_of
from arcbook.cli.errors import Exit
from arcbook.cli.everywhere import say
from arcbook.cli.serving import keep_log, run_in_loop, stop_asked
from arcbook.settings import Settings


@click.command(
    help="""Run a cluster on this machine: PostgreSQL, NATS, a server and workers.

For trying a real cluster without Docker. Each part is a process; their data and logs are in
the folder 'up' of the home. A process that ends is started again. Ctrl-C stops all of them;
executions continue at the next start. PostgreSQL and nats-server must be installed.

\b
Examples:
  arcbook up
  arcbook up --workers 4 --port 8090
  arcbook up --without-nats                      PostgreSQL is the bus as well
  arcbook --server http://127.0.0.1:8082 run playbook.yaml      in another terminal
"""
)
@click.option(
    "--workers", default=2, show_default=True, type=click.IntRange(0, 64), help="Number of workers."
)
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the API.  [default: 8082]")
@click.option("--without-nats", is_flag=True, help="Use PostgreSQL as the bus.")
@click.pass_context
def up(context: click.Context, workers: int, port: int | None, *, without_nats: bool) -> None:
    """Run a local cluster."""
    settings = settings_of(context, port=port, host="127.0.0.1")
    keep_log(settings)
    run_in_loop(lambda: _run(settings, workers, with_nats=not without_nats))


async def _run(settings: Settings, workers: int, *, with_nats: bool) -> None:
    from arcbook.compose.machine.cluster import LocalCluster  # heavy: store, client
    from arcbook.compose.machine.programs import ServiceFailedError, ServiceMissingError

    stop = stop_asked()
    cluster = LocalCluster(
        Path(settings.home).absolute() / "up",
        settings,
        workers=workers,
        with_nats=with_nats,
        tell=say,
    )
    try:
        starting = asyncio.create_task(cluster.__aenter__())
        if not await _before(stop, starting):
            return
    except (ServiceMissingError, ServiceFailedError) as error:
        raise NotStartedError(str(error)) from None
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_exit(cluster.__aexit__)
        say(f"ready; logs are in {cluster.folder / 'logs'}, Ctrl-C stops")
        watching = asyncio.create_task(cluster.watch())
        await _before(stop, watching)
        say("stopping")
    say("stopped; unfinished executions continue at the next start")


async def _before(stop: asyncio.Event, work: asyncio.Task[Any]) -> bool:
    """Wait for work to end, or for a stop signal; return whether the work ended."""
    stopping: asyncio.Task[Any] = asyncio.create_task(stop.wait())
    await asyncio.wait({stopping, work}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if work.done():
        await work
        return True
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await work
    return False


class NotStartedError(click.ClickException):
    """A process of the cluster could not be started."""

    exit_code = int(Exit.FAILED)
