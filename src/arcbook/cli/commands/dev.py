"""``arcbook dev``."""

from __future__ import annotations

import click

from arcbook.cli.context import settings_of
from arcbook.cli.serving import broken, first, keep_log, run_in_loop, stop_asked
from arcbook.settings import Settings


@click.command(
    help="""Run a server with its API and a worker, in one process, on one folder.

For developing against the API with nothing else installed: the store is SQLite, below the
home in the folder 'dev', apart from that of 'arcbook run'. Ctrl-C stops in order;
executions go on at the next start. A second Ctrl-C ends at once, and loses nothing either.

\b
Examples:
  arcbook dev
  arcbook dev --port 8090
  arcbook --home ./state dev
  arcbook --server http://127.0.0.1:8082 run playbook.yaml      in another terminal
"""
)
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the API.  [default: 8082]")
@click.pass_context
def dev(context: click.Context, port: int | None) -> None:
    """Run all in one."""
    settings = settings_of(context, port=port, host="127.0.0.1")
    keep_log(settings)
    run_in_loop(lambda: _run(settings))


async def _run(settings: Settings) -> None:
    from arcbook.development import development  # heavy: store, API, tools
    from arcbook.runtime.watchdog import Watchdog

    stop = stop_asked()
    async with development(settings) as running:
        click.echo(f"server and worker listen on {running.url}")
        click.echo(f"state is in {running.folder}; Ctrl-C stops")
        with Watchdog(running.plane.server.drive.decider.deciding).watching():
            services = (running.plane.server.service, running.worker.service)
            await first(stop, *(service.failed for service in services))
        for service in services:
            if service.failed.is_set():
                raise broken(f"{service.name} ended: {service.cause}")
        click.echo(f"stopping: {len(running.worker.held)} commands go on", err=True)
    click.echo("stopped; what has not ended goes on at the next start", err=True)
