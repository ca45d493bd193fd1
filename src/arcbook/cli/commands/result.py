"""``arcbook result``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from arcbook.cli.context import execution_id, with_embedded
from arcbook.cli.errors import UserError
from arcbook.cli.remote.link import server_of, with_client
from arcbook.compose.embedded import Embedded
from arcbook.jsons import write
from arcbook.secrets.taint import shown

if TYPE_CHECKING:
    from arcbook.client import Client


@click.command(
    help="""Print the result of an execution, or the data of one of its steps, as JSON.

\b
Examples:
  arcbook result 383401759197892608
  arcbook result 383401759197892608 transform
  arcbook result noetl://execution/383401759197892608/result/load/1-fetch
"""
)
@click.argument("execution", metavar="EXECUTION|REF")
@click.argument("step", required=False)
@click.pass_context
def result(context: click.Context, execution: str, step: str | None) -> None:
    """Print a result."""

    async def work(embedded: Embedded) -> Any:
        if execution.startswith("noetl://"):
            return await embedded.results.load_ref(execution)
        state = await embedded.reader.state(execution_id(execution))
        if step is None:
            return await embedded.reader.result(state)
        if step not in state.results:
            known = ", ".join(state.results) or "none yet"
            raise UserError(f"step {step!r} has no result; steps with a result: {known}")
        return await embedded.reader.step_data(state, step)

    async def remote(client: Client) -> Any:
        if execution.startswith("noetl://"):
            return await client.resolve(execution)
        return (await client.result(str(execution_id(execution)), step or "")).result

    data = with_client(context, remote) if server_of(context) else with_embedded(context, work)
    click.echo(write(shown(data), indented=True).decode())
