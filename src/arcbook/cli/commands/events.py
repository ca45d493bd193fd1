"""``arcbook events``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

import click

from arcbook.cli.context import execution_id, with_embedded
from arcbook.cli.everywhere import wants_json
from arcbook.cli.remote.link import server_of, with_client
from arcbook.cli.text import moment
from arcbook.compose.embedded import Embedded
from arcbook.jsons import read, write
from arcbook.secrets.taint import shown
from arcbook.store.api import PAGE_MAX, EventRow

if TYPE_CHECKING:
    from arcbook.client import Client
    from arcbook.wire.http.executions import EventView

FOLLOW_SECONDS: Final = 0.3
"""Pause between two queries for further events."""

DETAILS_SHOWN_MAX: Final = 200
"""Characters of an event that its line shows."""


@click.command(
    help="""Show the events of an execution; with --json, one object per line.

\b
Examples:
  arcbook events 383401759197892608
  arcbook events 383401759197892608 --follow
  arcbook events 383401759197892608 --json | jq .type
"""
)
@click.argument("execution")
@click.option("--follow", is_flag=True, help="Wait for further events until the execution ends.")
@click.option("--after", default=0, metavar="SEQ", help="Show only events after this number.")
@click.pass_context
def events(context: click.Context, execution: str, *, follow: bool, after: int) -> None:
    """Show events."""
    as_json = wants_json(context)
    identity = execution_id(execution)

    async def work(embedded: Embedded) -> None:
        last = after
        while True:
            row = await embedded.reader.row(identity)
            while page := await embedded.store.events(identity, after=last):
                for event in page:
                    click.echo(_json(event) if as_json else _line(event))
                last = page[-1].seq
            if not follow or row.ended_at:
                return
            await asyncio.sleep(FOLLOW_SECONDS)

    if not server_of(context):
        with_embedded(context, work)
        return
    from arcbook.cli.remote.rows import event_row  # heavy: an HTTP client

    async def remote(client: Client) -> None:
        async for view in _views(client, str(identity), after, follow=follow):
            event = event_row(view)
            click.echo(_json(event) if as_json else _line(event))

    with_client(context, remote)


async def _views(
    client: Client, execution_id: str, after: int, *, follow: bool
) -> AsyncIterator[EventView]:
    """Yield the events of an execution on a server, up to its end or the latest one."""
    if follow:
        async for event in client.follow(execution_id, after):
            yield event
        return
    more: int | None = after
    while more is not None:
        page = await client.events(execution_id, after=more, limit=PAGE_MAX)
        for event in page.events:
            yield event
        more = page.next_after


def _json(event: EventRow) -> str:
    body: dict[str, Any] = read(event.body)
    return write(shown({"seq": event.seq, "at": event.at, **body})).decode()


def _line(event: EventRow) -> str:
    body: dict[str, Any] = read(event.body)
    for key in ("type", "step"):
        body.pop(key, None)
    details = write(shown(body)).decode() if body else ""
    if len(details) > DETAILS_SHOWN_MAX:
        details = details[: DETAILS_SHOWN_MAX - 1] + "…"
    name = click.style(event.type.ljust(20), fg="cyan")
    return f"{event.seq:>6}  {moment(event.at)}  {name}  {event.step:<20}  {details}"
