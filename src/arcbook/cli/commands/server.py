"""``arcbook server``."""

from __future__ import annotations

import click

from arcbook.cli.context import settings_of
from arcbook.cli.everywhere import say
from arcbook.cli.serving import broken, first, keep_log, keep_secrets, run_in_loop, stop_asked
from arcbook.settings import Settings


@click.command(
    help="""Run a server: it drives executions and answers clients and workers.

Several servers share the work and take over from each other. 'arcbook db upgrade' creates
the database. Without NATS, PostgreSQL is the bus as well. SIGTERM or Ctrl-C hands all
executions over to the other servers. A server only listens to other machines if API tokens
or an identity provider are configured: see 'arcbook token add'.

\b
Examples:
  arcbook server --dsn postgresql://me:secret@localhost/arcbook --nats nats://localhost:4222
  ARCBOOK_DSN=postgresql://me:secret@localhost/arcbook arcbook server --port 8090
  arcbook server --host 0.0.0.0 --tls-cert server.pem --tls-key server.key
"""
)
@click.option("--dsn", metavar="DSN", help="PostgreSQL.  [default: ARCBOOK_DSN]")
@click.option(
    "--nats", "nats_url", metavar="URL", help="The NATS server.  [default: ARCBOOK_NATS_URL]"
)
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on.  [default: 8082]")
@click.option("--tls-cert", metavar="FILE", help="TLS certificate of the server.")
@click.option("--tls-key", metavar="FILE", help="Private key of the certificate.")
@click.option("--tls-client-ca", metavar="FILE", help="CA that signs client certificates.")
@click.pass_context
def server(
    context: click.Context,
    /,
    dsn: str | None,
    nats_url: str | None,
    host: str | None,
    port: int | None,
    **tls: str | None,
) -> None:
    """Run a server."""
    settings = settings_of(context, dsn=dsn, nats_url=nats_url, host=host, port=port, **tls)
    keep_log(settings)
    keep_secrets()
    run_in_loop(lambda: _run(settings))


async def _run(settings: Settings) -> None:
    from arcbook.compose.cluster import served_control_plane  # heavy: store, bus, API
    from arcbook.owner.watchdog import Watchdog

    stop = stop_asked()
    async with served_control_plane(settings) as (plane, url):
        say(f"server {plane.server.server_id} listens on {url}")
        with Watchdog(plane.server.drive.decider.deciding).watching(plane.server.service):
            await first(stop, plane.server.service.failed)
        if plane.server.service.failed.is_set():
            raise broken(plane.server.ailment)
        say("handing over")
