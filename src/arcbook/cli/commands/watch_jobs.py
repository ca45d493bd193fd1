"""``arcbook watch-jobs``."""

from __future__ import annotations

import asyncio
from typing import Final

import click

from arcbook.cli.context import settings_of
from arcbook.cli.errors import UserError
from arcbook.cli.everywhere import keep_server, option_value, say
from arcbook.cli.serving import keep_log, keep_secrets, run_in_loop, stop_asked
from arcbook.settings import Settings

DEFAULT_URL: Final = "http://127.0.0.1:8082"


@click.command(
    name="watch-jobs",
    help="""Report the ends of container and script jobs to a server.

Steps that wait for a job resume as soon as it ends. Without a watcher they resume when
their worker next looks at the job, within a minute. Needs ARCBOOK_INTERNAL_TOKEN, and for
Kubernetes the permission to list and watch jobs and to list pods.

\b
Example:
  arcbook watch-jobs --server http://arcbook.internal:8082
""",
)
@click.option(
    "--server", metavar="URL", expose_value=False, callback=keep_server, help="A server's API."
)
@click.pass_context
def watch_jobs(context: click.Context) -> None:
    """Watch jobs."""
    settings = settings_of(context)
    url = option_value(context, "server") or settings.server_url or DEFAULT_URL
    keep_log(settings)
    keep_secrets()
    run_in_loop(lambda: _run(settings, url))


async def _run(settings: Settings, url: str) -> None:
    from arcbook.client.client import Client  # heavy: a connection
    from arcbook.client.errors import RefusedError
    from arcbook.compose.job_watch import JobWatcher
    from arcbook.compose.working import jobs_of
    from arcbook.tools.confinement import Confinement

    stop = stop_asked()
    async with Client(url, settings.internal_token) as client:
        watcher = JobWatcher(client, Confinement(jobs=jobs_of(settings)))
        watching = asyncio.create_task(watcher.run())
        stopped = asyncio.create_task(stop.wait())
        say(f"watching the jobs of {settings.jobs_backend}, reporting to {url}")
        await asyncio.wait([watching, stopped], return_when=asyncio.FIRST_COMPLETED)
        for task in (watching, stopped):
            task.cancel()
        try:
            await watching
        except asyncio.CancelledError:
            return
        except RefusedError as error:
            raise UserError(f"{error}; set ARCBOOK_INTERNAL_TOKEN to the servers'") from None
        except ImportError as error:
            raise UserError(str(error)) from None
