"""``arcbook run``."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import click

from arcbook.cli import early
from arcbook.cli.context import Given, parse_given, read_document, settings_of
from arcbook.cli.errors import UserError
from arcbook.cli.finish import finish, outcome_code
from arcbook.cli.progress import Lines, Live, Silent, View
from arcbook.embedded import Embedded
from arcbook.engine.state import State
from arcbook.runtime.plans import Planned


@click.command(
    help="""Run a playbook to its end, durably.

What happens is written to the home folder before the next step starts. If the process
dies, 'arcbook resume' goes on where it was. Ctrl-C cancels; a second one does not wait
until everything has stopped, and 'arcbook resume' finishes the cancellation.

\b
Examples:
  arcbook run playbook.yaml
  arcbook run playbook.yaml --set city=Paris --set limits.rows=100
  arcbook run playbook.yaml --payload '{"city": "Paris"}' --json
  arcbook run playbook.yaml --payload @request.json --target transform
  arcbook run reports/daily                      a playbook of the catalog, by its path

Exit codes: 0 completed, 1 failed, 2 bad input, 130 cancelled.
"""
)
@click.argument("playbook", metavar="FILE|PATH")
@click.option(
    "--set", "assignments", multiple=True, metavar="NAME=VALUE", help="One workload value."
)
@click.option("--payload", metavar="JSON|@FILE", help="Workload values, as a JSON object.")
@click.option("--target", metavar="STEP", help="Begin at this step.")
@click.option("--resume", is_flag=True, help="Go on with the last run of it that did not end.")
@click.option("--json", "as_json", is_flag=True, help="Print only the outcome, as JSON.")
@click.option("--quiet", is_flag=True, help="Print only the result.")
@click.option("--watch/--no-watch", default=None, help="A live view; on a terminal by default.")
@click.pass_context
def run(  # the options of the verb
    context: click.Context,
    playbook: str,
    assignments: tuple[str, ...],
    payload: str | None,
    target: str | None,
    *,
    resume: bool,
    as_json: bool,
    quiet: bool,
    watch: bool | None,
) -> int:
    """Run a playbook."""
    embedded = Embedded(settings_of(context))
    given = parse_given(payload, assignments)
    content = read_document(playbook) if _is_file(playbook) else None
    spawned = early.take()
    if spawned is not None:
        embedded.use_python(spawned)
    view = _view(playbook, silent=as_json or quiet, watch=watch)
    job = _Job(embedded, playbook, content, view)
    try:
        state, data = asyncio.run(job.run(given, target, resume=resume))
    except asyncio.CancelledError:
        raise click.Abort from None
    finish(state, data, as_json=as_json, quiet=quiet)
    return outcome_code(state)


def _is_file(name: str) -> bool:
    return Path(name).exists() or name.endswith((".yaml", ".yml"))


def _view(title: str, *, silent: bool, watch: bool | None) -> View:
    if silent:
        return Silent()
    if watch or (watch is None and sys.stderr.isatty()):
        return Live(title)
    return Lines()


class _Job:
    """One call of the verb."""

    def __init__(self, embedded: Embedded, name: str, content: bytes | None, view: View) -> None:
        self.embedded = embedded
        self.name = name
        self.content = content
        self.view = view
        self.execution_id = 0

    async def run(self, given: Given, target: str | None, *, resume: bool) -> tuple[State, Any]:
        async with self.embedded as embedded:
            planned = await self._planned()
            if target is not None and target not in planned.plan.by_name:
                raise UserError(f"the playbook has no step {target!r} to begin at")
            unfinished = await self._unfinished(planned) if resume else None
            self._catch_interrupts()
            with self.view:
                if unfinished is not None:
                    self.execution_id = unfinished
                    state = await embedded.resume(unfinished, self.view.listen)
                else:
                    state = await embedded.run(
                        planned,
                        given.over(planned.plan.playbook.workload),
                        started=self._started,
                        listener=self.view.listen,
                        entry=target,
                    )
            return state, await embedded.result_of(state)

    def _started(self, execution_id: int) -> None:
        self.execution_id = execution_id

    async def _planned(self) -> Planned:
        embedded = self.embedded
        if self.content is None:
            return await embedded.plans.find(self.name.strip("/"))
        folder = str(Path(self.name).resolve().parent)
        planned = await embedded.register(self.content, self.name, folder)
        await embedded.register_siblings(planned)
        return planned

    async def _unfinished(self, planned: Planned) -> int | None:
        """Return the last execution of the playbook that did not end."""
        store = self.embedded.store
        for execution_id in reversed(await store.unfinished()):
            row = await store.execution(execution_id)
            if row is not None and row.path == planned.entry.path and not row.parent_execution_id:
                return execution_id
        return None

    def _catch_interrupts(self) -> None:
        loop = asyncio.get_running_loop()
        job = asyncio.current_task()
        pending: set[asyncio.Task[Any]] = set()
        assert job is not None

        def interrupted() -> None:
            if pending:
                job.cancel()
                return
            click.echo("\ncancelling; press Ctrl-C again not to wait for it", err=True)
            pending.add(loop.create_task(self._cancel()))

        loop.add_signal_handler(signal.SIGINT, interrupted)
        loop.add_signal_handler(signal.SIGTERM, interrupted)

    async def _cancel(self) -> None:
        runtime = await self.embedded.runtime()
        await runtime.cancel(self.execution_id, "cancelled by the user")
