"""``arcbook worker``."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

import click

from arcbook.cli.context import settings_of
from arcbook.cli.errors import Exit, UserError
from arcbook.cli.everywhere import keep_server, option_value, say
from arcbook.cli.serving import broken, first, keep_log, keep_secrets, run_in_loop, stop_asked
from arcbook.cli.text import count
from arcbook.settings import Settings

if TYPE_CHECKING:
    from arcbook.worker.core import Worker


@click.command(
    help="""Perform the commands of one or more pools.

A worker only needs the bus, or the API of a server where it cannot reach the bus: --server.
It authenticates with ARCBOOK_WORKER_TOKEN (see 'arcbook token add'); on the bus, a worker
in the same home as a server needs no token. SIGTERM or Ctrl-C drains the worker: it takes
no further commands, finishes the current ones within ARCBOOK_DRAIN_SECONDS, and hands back
the rest. A second signal ends it at once; other workers get its commands when their leases
end.

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
    help="Commands performed at once; auto lowers it while memory or the event loop is short.",
)
@click.option(
    "--nats", "nats_url", metavar="URL", help="The NATS server.  [default: ARCBOOK_NATS_URL]"
)
@click.option("--dsn", metavar="DSN", help="PostgreSQL, if it is the bus.")
@click.option(
    "--server",
    metavar="URL",
    expose_value=False,
    callback=keep_server,
    help="A server's API, instead of the bus.",
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
    names = tuple(p for p in pools.replace(",", " ").split() if p) if pools else None
    settings = settings_of(
        context, pools=names, **_bus(context, nats_url, dsn), **_concurrency(concurrency)
    )
    keep_log(settings)
    keep_secrets()
    run_in_loop(lambda: _run(settings, name))


def _bus(context: click.Context, nats_url: str | None, dsn: str | None) -> dict[str, Any]:
    """Return the settings of the bus."""
    url = option_value(context, "server")
    if not url:
        return {"nats_url": nats_url, "dsn": dsn}
    if nats_url or dsn:
        raise UserError("--server replaces the bus: leave out --nats and --dsn")
    return {"server_url": url, "nats_url": "", "dsn": ""}


def _concurrency(text: str | None) -> dict[str, Any]:
    """Return the settings for ``--concurrency``."""
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
    async with running as worker:
        say(
            f"worker {worker.worker_id} pulls from {', '.join(worker.pools)}, "
            f"{count(worker.runner.concurrency, 'command')} at once, isolation {worker.isolation}"
        )
        await first(stop, worker.is_refused, worker.service.failed)
        if worker.service.failed.is_set():
            raise broken(f"a loop of the worker ended: {worker.service.cause}")
        if worker.refused:
            raise UnfitError(worker.refused)
        say(f"draining: {count(len(worker.held), 'command')} still running")
        with contextlib.suppress(asyncio.CancelledError):
            await worker.drain(settings.drain_seconds)


class UnfitError(click.ClickException):
    """The servers refused this worker."""

    exit_code = int(Exit.FAILED)
