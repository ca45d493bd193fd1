"""``arcbook events``."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import click
import orjson

from arcbook.cli.context import execution_id, with_embedded
from arcbook.cli.text import moment
from arcbook.embedded import Embedded
from arcbook.secrets.taint import shown
from arcbook.store.api import EventRow

FOLLOW_SECONDS: Final = 0.3
"""Time between two looks for further events."""

DETAILS_SHOWN_MAX: Final = 200
"""Characters of an event that its line shows."""


@click.command(
    help="""Show what happened in an execution, event by event.

\b
Examples:
  arcbook events 383401759197892608
  arcbook events 383401759197892608 --follow
  arcbook events 383401759197892608 --json | jq .type
"""
)
@click.argument("execution")
@click.option("--follow", is_flag=True, help="Wait for more until it ends.")
@click.option("--after", default=0, metavar="SEQ", help="Begin after this number.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_context
def events(
    context: click.Context, execution: str, *, follow: bool, after: int, as_json: bool
) -> None:
    """Show events."""
    identity = execution_id(execution)

    async def work(embedded: Embedded) -> None:
        last = after
        while True:
            row = await embedded.known(identity)
            while page := await embedded.store.events(identity, after=last):
                for event in page:
                    click.echo(_json(event) if as_json else _line(event))
                last = page[-1].seq
            if not follow or row.ended_at:
                return
            await asyncio.sleep(FOLLOW_SECONDS)

    with_embedded(context, work)


def _json(event: EventRow) -> str:
    body: dict[str, Any] = orjson.loads(event.body)
    return orjson.dumps(shown({"seq": event.seq, "at": event.at, **body})).decode()


def _line(event: EventRow) -> str:
    body: dict[str, Any] = orjson.loads(event.body)
    for key in ("type", "step"):
        body.pop(key, None)
    details = orjson.dumps(shown(body)).decode() if body else ""
    if len(details) > DETAILS_SHOWN_MAX:
        details = details[: DETAILS_SHOWN_MAX - 1] + "…"
    name = click.style(event.type.ljust(20), fg="cyan")
    return f"{event.seq:>6}  {moment(event.at)}  {name}  {event.step:<20}  {details}"
