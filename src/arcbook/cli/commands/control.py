"""``arcbook cancel`` and ``resume``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from arcbook.cli.context import execution_id, settings_of, with_embedded
from arcbook.cli.errors import Exit
from arcbook.cli.everywhere import same_place, say, tell_json, wants_json
from arcbook.cli.finish import finish, outcome_code, outcome_of
from arcbook.cli.places import Source, source_of
from arcbook.cli.progress import View, recalled, view_of
from arcbook.cli.remote.link import server_of, with_client
from arcbook.compose.embedded import Embedded, OwnedElsewhereError
from arcbook.engine.state import State

if TYPE_CHECKING:
    from arcbook.client import Client


class _Cancellation(NamedTuple):
    """The result of a cancellation."""

    #: ``CANCELLED``; an earlier final status; or empty while the cancellation is pending.
    status: str
    message: str


@click.command(
    help="""Cancel an execution, its children and its running tool calls.

\b
Example:
  arcbook cancel 383401759197892608 --reason "wrong input"

Exit codes: 0 cancelled or cancellation requested; 1 already ended; 2 not found.
"""
)
@click.argument("execution")
@click.option("--reason", default="cancelled by the user", help="Recorded with the execution.")
@click.pass_context
def cancel(context: click.Context, execution: str, reason: str) -> int:
    """Cancel an execution."""
    identity = execution_id(execution)

    async def work(embedded: Embedded) -> _Cancellation:
        row = await embedded.reader.row(identity)
        if row.ended_at:
            return _Cancellation(
                row.status, f"execution {identity} has already ended: {row.status}"
            )
        state = await embedded.cancel(identity, reason)
        if state is None:
            return _Cancellation(
                "", f"the process that runs execution {identity} was asked to cancel it"
            )
        return _Cancellation(str(state.status), f"execution {identity} is {state.status}")

    async def remote(client: Client) -> _Cancellation:
        done = await client.cancel(str(identity), reason)
        ended = done.status == "already_completed"
        status = (await client.status(str(identity))).status if ended else ""
        return _Cancellation(status, done.message)

    did = with_client(context, remote) if server_of(context) else with_embedded(context, work)
    say(did.message, execution_id=str(identity), status=did.status or "CANCELLING")
    return Exit.OK if did.status in ("", "CANCELLED") else Exit.FAILED


class _Resumed(NamedTuple):
    """An execution that ended."""

    state: State
    data: Any
    source: Source | None


@click.command(
    help="""Resume executions whose process ended: one, or all.

Recorded calls do not run again. An interrupted call runs again with the same
idempotency key, unless its task says 'redelivery: never'. Times count from the start of
the execution. After Ctrl-C, run 'arcbook resume' again to continue.

\b
Examples:
  arcbook resume
  arcbook resume 383401759197892608
"""
)
@click.argument("execution", required=False)
@click.pass_context
def resume(context: click.Context, execution: str | None) -> int:
    """Resume executions."""
    as_json = wants_json(context)
    embedded = Embedded(settings_of(context))
    view = view_of("resuming", silent=as_json)
    try:
        ended = asyncio.run(_resume(embedded, view, execution))
    except KeyboardInterrupt:
        rest = f" {execution}" if execution else ""
        click.echo(f"stopped; to continue, run: arcbook resume{rest}{same_place()}", err=True)
        raise click.Abort from None
    if as_json:
        outcomes = [outcome_of(one.state, one.data, view.warnings(), one.source) for one in ended]
        tell_json(outcomes[0] if execution else outcomes)
    elif not ended:
        click.echo("there is nothing to resume")
    for one in ended if not as_json else ():
        finish(
            one.state,
            one.data,
            as_json=False,
            quiet=False,
            warnings=view.warnings(),
            source=one.source,
            cut_off=view.cut_off(one.state.execution_id),
        )
    return max((outcome_code(one.state) for one in ended), default=int(Exit.OK))


async def _resume(embedded: Embedded, view: View, execution: str | None) -> list[_Resumed]:
    """Resume one execution, or all that no other process owns."""
    async with embedded:
        identities = [execution_id(execution)] if execution else await _resumable(embedded)
        if execution:
            await embedded.reader.row(identities[0])
        ended: list[_Resumed] = []
        with view:
            for identity in identities:
                try:
                    ended.append(await _resume_one(embedded, view, identity))
                except OwnedElsewhereError:
                    if execution:
                        raise
        return ended


async def _resume_one(embedded: Embedded, view: View, identity: int) -> _Resumed:
    await recalled(embedded, view, identity)
    state = await embedded.resume(identity, view.listen)
    source = await source_of(embedded, state.catalog_id)
    return _Resumed(state, await embedded.reader.result(state), source)


async def _resumable(embedded: Embedded) -> list[int]:
    """Return the unfinished executions without a parent."""
    identities: list[int] = []
    for identity in await embedded.store.unfinished():
        row = await embedded.store.execution(identity)
        if row is not None and not row.parent_execution_id:
            identities.append(identity)
    return identities
