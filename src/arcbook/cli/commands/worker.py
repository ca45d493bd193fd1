"""``arcbook worker``."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

import click

from arcbook.cli.context import settings_of
from arcbook.cli.errors import Exit, UserError
from arcbook.cli.everywhere import given, keep_server, say
from arcbook.cli.serving import broken, first, keep_log, keep_secrets, run_in_loop, stop_asked
from arcbook.cli.text import count
from arcbook.settings import Settings

if TYPE_CHECKING:
    from arcbook.worker.core import Worker


@click.command(
    help="""Perform commands of some pools, until told to stop.

A worker needs the bus and nothing else: what it must know it asks the servers. Where it can
reach no bus, a server's API does: --server, with ARCBOOK_WORKER_TOKEN. Where it
has not the home of a server, it needs that token on the bus, too: see 'arcbook token add'.
SIGTERM or Ctrl-C drains it: it pulls no more, finishes what it has within
ARCBOOK_DRAIN_SECONDS, and hands back the rest. A second one ends it at once; its commands go
to others when their leases end.

\b
Examples:
  arcbook worker --nats nats://localhost:4222
  arcbook worker --pool shared,python --concurrency 32
  arcbook worker --pool shared --concurrency auto
  arcbook worker --server https://arcbook.internal:8082
"""
)
@click.option(
    "--pool", "pools", metavar="NAME[,NAME]", help="Pools to pull from.  [default: shared]"
)
@click.option(
    "--concurrency",
    metavar="N|auto",
    help="Commands performed at once; auto: fewer while memory or the event loop is short.",
)
@click.option(
    "--nats", "nats_url", metavar="URL", help="Where NATS is.  [default: ARCBOOK_NATS_URL]"
)
@click.option("--dsn", metavar="DSN", help="PostgreSQL, where it is the bus.")
@click.option(
    "--server",
    metavar="URL",
    expose_value=False,
    callback=keep_server,
    help="A server's API, in place of a bus.",
)
@click.option("--name", default="", help="Name of this worker.  [default: host and process]")
@click.pass_context
def worker(  # the options of the verb
    context: click.Context,
    pools: str | None,
    concurrency: str | None,
    nats_url: str | None,
    dsn: str | None,
    name: str,
) -> None:
    """Run a worker."""
    given = tuple(p for p in pools.replace(",", " ").split() if p) if pools else None
    settings = settings_of(
        context, pools=given, **_bus(context, nats_url, dsn), **_concurrency(concurrency)
    )
    keep_log(settings)
    keep_secrets()
    run_in_loop(lambda: _run(settings, name))


def _bus(context: click.Context, nats_url: str | None, dsn: str | None) -> dict[str, Any]:
    """Return the settings that say what the bus is."""
    url = given(context, "server")
    if not url:
        return {"nats_url": nats_url, "dsn": dsn}
    if nats_url or dsn:
        raise UserError("--server stands in place of a bus: leave out --nats and --dsn")
    return {"server_url": url, "nats_url": "", "dsn": ""}


def _concurrency(text: str | None) -> dict[str, Any]:
    """Return the settings that the option means."""
    if text is None:
        return {}
    if text == "auto":
        return {"adaptive": True}
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise UserError(f"--concurrency takes a number of at least 1, or auto; not {text!r}")
    return {"concurrency": int(text)}


async def _run(settings: Settings, name: str) -> None:
    from arcbook.compose.cluster import worker as running  # heavy: bus, tools
    from arcbook.tools.isolation import IsolationError

    stop = stop_asked()
    try:
        await _work(running(settings, worker_id=name), settings, stop)
    except IsolationError as error:
        raise UserError(str(error)) from None


async def _work(
    running: AbstractAsyncContextManager[Worker], settings: Settings, stop: asyncio.Event
) -> None:
    async with running as made:
        say(
            f"worker {made.worker_id} pulls from {', '.join(made.pools)}, "
            f"{count(made.runner.concurrency, 'command')} at once, isolation {made.isolation}"
        )
        await first(stop, made.is_refused, made.service.failed)
        if made.service.failed.is_set():
            raise broken(f"a loop of it ended: {made.service.cause}")
        if made.refused:
            raise UnfitError(made.refused)
        say(f"draining: {count(len(made.held), 'command')} still going on")
        with contextlib.suppress(asyncio.CancelledError):
            await made.drain(settings.drain_seconds)


class UnfitError(click.ClickException):
    """The servers will not have this worker."""

    exit_code = int(Exit.FAILED)
