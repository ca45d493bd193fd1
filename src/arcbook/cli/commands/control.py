"""``arcbook cancel``, ``resume`` and ``retry-from``."""

from __future__ import annotations

import asyncio
import sys

import click

from arcbook.cli.context import execution_id, settings_of, with_embedded
from arcbook.cli.errors import Exit, UserError
from arcbook.cli.finish import finish, outcome_code
from arcbook.cli.places import Source, source_of
from arcbook.cli.progress import Lines, Live, View
from arcbook.cli.remote.link import server_of, with_client
from arcbook.embedded import Embedded, OwnedElsewhereError
from arcbook.engine.state import State


@click.command(
    help="""Cancel an execution, its children and whatever its tools are doing.

\b
Example:
  arcbook cancel 383401759197892608 --reason "wrong input"
"""
)
@click.argument("execution")
@click.option("--reason", default="cancelled by the user", help="Kept with the execution.")
@click.pass_context
def cancel(context: click.Context, execution: str, reason: str) -> int:
    """Cancel an execution."""
    identity = execution_id(execution)
    if server_of(context):
        done = with_client(context, lambda client: client.cancel(str(identity), reason))
        click.echo(done.message)
        return Exit.OK

    async def work(embedded: Embedded) -> State | None:
        return await embedded.cancel(identity, reason)

    state = with_embedded(context, work)
    if state is None:
        click.echo(f"the process that runs execution {identity} was asked to cancel it")
    else:
        click.echo(f"execution {identity} is {state.status}")
    return Exit.OK


@click.command(
    help="""Go on with executions whose process ended: one, or all.

Nothing that was recorded runs again. A call that was cut off runs again with the same
idempotency key, unless its task says 'redelivery: never'.

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
    embedded = Embedded(settings_of(context))
    view: View = Live("resuming") if sys.stderr.isatty() else Lines()

    sources: dict[int, Source | None] = {}

    async def work() -> list[State]:
        async with embedded:
            identities = [execution_id(execution)] if execution else await _resumable(embedded)
            if execution:
                await embedded.known(identities[0])
            with view:
                ended: list[State] = []
                for identity in identities:
                    try:
                        state = await embedded.resume(identity, view.listen)
                        ended.append(state)
                        sources[identity] = await source_of(embedded, state.catalog_id)
                    except OwnedElsewhereError:
                        if execution:
                            raise
                return ended

    states = asyncio.run(work())
    if not states:
        click.echo("there is nothing to resume")
    for state in states:
        finish(
            state,
            None,
            as_json=False,
            quiet=False,
            warnings=view.warnings(),
            source=sources.get(state.execution_id),
        )
    return max((outcome_code(state) for state in states), default=int(Exit.OK))


async def _resumable(embedded: Embedded) -> list[int]:
    """Return the unfinished executions that no other calls."""
    found: list[int] = []
    for identity in await embedded.store.unfinished():
        row = await embedded.store.execution(identity)
        if row is not None and not row.parent_execution_id:
            found.append(identity)
    return found


@click.command(
    "retry-from",
    help="""Run an execution again from a step, with the results of the steps before it.

A new execution begins at the step, with the workload, variables and results that the
old one had when it entered the step.

\b
Examples:
  arcbook retry-from 383401759197892608 transform
  arcbook retry-from 383401759197892608 transform --latest
""",
)
@click.argument("execution")
@click.argument("step")
@click.option("--latest", is_flag=True, help="Use the playbook's latest version.")
@click.pass_context
def retry_from(context: click.Context, execution: str, step: str, *, latest: bool) -> int:
    """Run again from a step."""
    identity = execution_id(execution)
    embedded = Embedded(settings_of(context))
    view: View = Live(step) if sys.stderr.isatty() else Lines()

    async def work() -> tuple[State, object, Source]:
        async with embedded:
            await embedded.known(identity)
            before = await embedded.state_before(identity, step)
            if before is None:
                raise UserError(f"execution {identity} never entered step {step!r}")
            wanted = None if latest else before.catalog_id
            planned = await embedded.plans.find(before.path, catalog_id=wanted)
            if step not in planned.plan.by_name:
                raise UserError(f"the playbook has no step {step!r} any more")
            with view:
                state = await embedded.run(
                    planned,
                    before.workload,
                    listener=view.listen,
                    entry=step,
                    ctx=before.ctx,
                    results=before.results,
                )
            found = Source(planned.entry.path, planned.entry.content, planned.plan.playbook)
            return state, await embedded.result_of(state), found

    state, data, source = asyncio.run(work())
    finish(state, data, as_json=False, quiet=False, warnings=view.warnings(), source=source)
    return outcome_code(state)
