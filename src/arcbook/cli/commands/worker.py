"""``arcbook worker``."""

from __future__ import annotations

import asyncio
import contextlib
import signal

import click

from arcbook.cli.context import settings_of
from arcbook.settings import Settings


@click.command(
    help="""Perform commands of some pools, until told to stop.

A worker needs the bus and nothing else: what it must know it asks the servers. SIGTERM or
Ctrl-C drains it: it pulls no more, finishes what it has within ARCBOOK_DRAIN_SECONDS, and
hands back the rest. A second one ends it at once; its commands go to others when their
leases end.

\b
Examples:
  arcbook worker --nats nats://localhost:4222
  arcbook worker --pool shared,python --concurrency 32
"""
)
@click.option(
    "--pool", "pools", metavar="NAME[,NAME]", help="Pools to pull from.  [default: shared]"
)
@click.option("--concurrency", type=int, metavar="N", help="Commands performed at once.")
@click.option(
    "--nats", "nats_url", metavar="URL", help="Where NATS is.  [default: ARCBOOK_NATS_URL]"
)
@click.option("--dsn", metavar="DSN", help="PostgreSQL, where it is the bus.")
@click.option("--name", default="", help="Name of this worker.  [default: host and process]")
@click.pass_context
def worker(  # the options of the verb
    context: click.Context,
    pools: str | None,
    concurrency: int | None,
    nats_url: str | None,
    dsn: str | None,
    name: str,
) -> None:
    """Run a worker."""
    given = tuple(p for p in pools.replace(",", " ").split() if p) if pools else None
    settings = settings_of(
        context, pools=given, concurrency=concurrency, nats_url=nats_url, dsn=dsn
    )
    import uvloop  # of the cluster alone

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(settings, name))


async def _run(settings: Settings, name: str) -> None:
    from arcbook.cluster import worker as running  # heavy: bus, tools

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with running(settings, worker_id=name) as made:
        click.echo(
            f"worker {made.worker_id} pulls from {', '.join(made.pools)}, "
            f"{made.crew.concurrency} commands at once"
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await stop.wait()
        click.echo(f"draining: {len(made.held)} commands go on")
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        with contextlib.suppress(asyncio.CancelledError):
            await made.drain(settings.drain_seconds)
