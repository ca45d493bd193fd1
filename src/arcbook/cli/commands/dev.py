"""``arcbook dev``."""

from __future__ import annotations

from typing import Final

import click

from arcbook.cli.context import settings_of
from arcbook.cli.everywhere import say
from arcbook.cli.serving import broken, first, keep_log, run_in_loop, stop_asked
from arcbook.cli.text import count, duration, moment, short_line
from arcbook.engine.state import State
from arcbook.events.types import AnyEvent, Recorded
from arcbook.secrets.taint import shown
from arcbook.settings import Settings

_TOLD: Final = {
    "playbook.started": "started",
    "playbook.completed": "completed",
    "playbook.failed": "failed",
    "playbook.cancelled": "cancelled",
}


@click.command(
    help="""Run a server with its API and a worker in one process.

For developing against the API with nothing else installed. State is kept in SQLite, in the
folder 'dev' of the home, separate from that of 'arcbook run'. The terminal shows a line for
each execution that starts, ends or fails; the API is described at /docs. Ctrl-C stops the
process in order; executions continue at the next start. A second Ctrl-C ends it at once
and loses nothing either.

\b
Examples:
  arcbook dev
  arcbook dev --port 8090
  arcbook --home ./state dev
  arcbook --server http://127.0.0.1:8082 run playbook.yaml      in another terminal
"""
)
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the API.  [default: 8082]")
@click.pass_context
def dev(context: click.Context, port: int | None) -> None:
    """Run a server and a worker."""
    settings = settings_of(context, port=port, host="127.0.0.1")
    keep_log(settings)
    run_in_loop(lambda: _run(settings))


async def _run(settings: Settings) -> None:
    from arcbook.compose.development import development  # heavy: store, API, tools
    from arcbook.owner.watchdog import Watchdog

    stop = stop_asked()
    async with development(settings) as running:
        running.plane.server.drive.listeners.add(_tell)
        say(f"server and worker listen on {running.url}", url=running.url)
        say(f"the API is described at {running.url}/docs")
        say(f"state is in {running.folder}; Ctrl-C stops")
        with Watchdog(running.plane.server.drive.decider.deciding).watching(
            running.plane.server.service
        ):
            services = (running.plane.server.service, running.worker.service)
            await first(stop, *(service.failed for service in services))
        for service in services:
            if service.failed.is_set():
                raise broken(f"{service.name} ended: {service.cause}")
        unfinished = count(len(running.worker.held), "command")
        say(f"stopping: {unfinished} still running", err=True)
    say("stopped; unfinished executions continue at the next start", err=True)


def _tell(execution_id: int, events: list[Recorded], state: State) -> None:
    """Print a line for each execution that starts, ends or fails."""
    for _, at, event in events:
        verb = _TOLD.get(event.type)
        if verb is None:
            continue
        clock = moment(at)[-8:]
        line = f"{clock}  {verb:<9}  {state.path}  execution {execution_id}{_more(event, state)}"
        say(line, event=event.type, execution_id=str(execution_id), path=state.path)


def _more(event: AnyEvent, state: State) -> str:
    """Return the caller of an execution, or its duration and error."""
    if event.type == "playbook.started":
        return f", called by {state.parent.execution_id}" if state.parent else ""
    details = f", took {duration(state.ended_at - state.started_at)}"
    cause = state.error.message if state.error is not None else state.cancel_reason or ""
    first = str(shown(cause)).strip().splitlines()[:1]
    return details + (f": {short_line(first[0])}" if first else "")
