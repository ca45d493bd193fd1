"""``arcbook run``."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from arcbook.cli import early
from arcbook.cli.collecting import collect_seldom
from arcbook.cli.context import (
    WorkloadValues,
    allow_option,
    allowed_of,
    dry_of,
    dry_option,
    parse_workload,
    read_document,
    settings_of,
    strict_of,
    strict_option,
)
from arcbook.cli.errors import Exit, UserError
from arcbook.cli.everywhere import say, wants_json
from arcbook.cli.finish import finish, outcome_code
from arcbook.cli.interrupts import Interrupts, left_text
from arcbook.cli.places import Source
from arcbook.cli.progress import View, recalled, view_of
from arcbook.cli.remote.link import client_of, server_of
from arcbook.cli.warnings import (
    check_target,
    check_workload,
    refuse_warnings,
    tell_ignored,
    tell_warnings,
)
from arcbook.compose.embedded import Embedded
from arcbook.engine.state import State
from arcbook.owner.plans import Planned

if TYPE_CHECKING:
    from arcbook.cli.remote.running import RemoteJob
    from arcbook.settings import Settings


@click.command(
    help="""Run a playbook durably, and wait for its end.

Each event is written to the home folder before the next step starts. If the process dies,
'arcbook resume' continues from there. Ctrl-C cancels the execution; a second Ctrl-C does
not wait for the cancellation, which 'arcbook resume' then finishes. With --server, Ctrl-C
on a terminal asks whether to leave the execution running there, --detach does not wait for
the end, and --resume follows the latest unfinished execution.

\b
Examples:
  arcbook run playbook.yaml
  arcbook run playbook.yaml --set city=Paris --set limits.rows=100
  arcbook run playbook.yaml --payload '{"city": "Paris"}' --json
  arcbook run playbook.yaml --payload @request.json --target transform
  arcbook run playbook.yaml --dry-run            report what calls with effects would do
  arcbook run reports/daily                      a playbook of the catalog, by its path
  generate | arcbook run -                       a document from standard input
  arcbook run playbook.yaml --server http://127.0.0.1:8082      on a server
  arcbook run playbook.yaml --server http://127.0.0.1:8082 --detach

Exit codes: 0 completed, 1 failed, 2 bad input, 130 cancelled.
"""
)
@click.argument("playbook", metavar="FILE|PATH|-")
@click.option(
    "--set", "assignments", multiple=True, metavar="NAME=VALUE", help="One workload value."
)
@click.option("--payload", metavar="JSON|@FILE", help="Workload values, as a JSON object.")
@click.option("--target", metavar="STEP", help="Begin at this step.")
@click.option(
    "--resume", is_flag=True, help="Resume its latest unfinished execution, or start a new one."
)
@click.option("--quiet", is_flag=True, help="Print only the result.")
@click.option("--detach", is_flag=True, help="With --server: do not wait for the end.")
@click.option("--watch/--no-watch", default=None, help="A live view; on a terminal by default.")
@allow_option
@strict_option
@dry_option
@click.pass_context
def run(  # the options of the verb
    context: click.Context,
    playbook: str,
    assignments: tuple[str, ...],
    payload: str | None,
    target: str | None,
    *,
    resume: bool,
    quiet: bool,
    detach: bool,
    watch: bool | None,
) -> int:
    """Run a playbook."""
    as_json = wants_json(context)
    values = parse_workload(payload, assignments)
    content = read_document(playbook) if _is_file(playbook) else None
    view = view_of(playbook, silent=as_json or quiet, watch=watch)
    dry = dry_of(context)
    if dry and (server_of(context) or resume):
        raise UserError(
            "--dry-run only works for a new run in the home: leave out --server and --resume"
        )
    if server_of(context):
        from arcbook.cli.remote.running import RemoteJob, RunOptions  # heavy: an HTTP client

        options = RunOptions(
            strict=strict_of(context),
            tells=not (as_json or quiet),
            allow=allowed_of(context),
            target=target,
            resume=resume,
        )
        remote = RemoteJob(client_of(context), playbook, content, view, options)
        if detach:
            return _detached(remote, values)
        return _finished(remote, remote.run(values), view, as_json=as_json, quiet=quiet)
    if detach:
        raise UserError("--detach only works on a server: add --server")
    settings = settings_of(context)
    embedded = _dry(settings) if dry else Embedded(settings)
    spawned = early.take()
    if spawned is not None:
        embedded.use_python(spawned)
    job = _Job(
        embedded,
        playbook,
        content,
        view,
        allowed_of(context),
        strict=strict_of(context),
        tells=not (as_json or quiet),
    )
    running = job.run(values, target, resume=resume)
    return _finished(job, running, view, as_json=as_json, quiet=quiet)


def _dry(settings: Settings) -> Embedded:
    from arcbook.dry_run import DryRun  # only for a dry run

    return DryRun(settings)


def _finished(
    job: _Job | RemoteJob,
    running: Coroutine[Any, Any, tuple[State, Any]],
    view: View,
    *,
    as_json: bool,
    quiet: bool,
) -> int:
    """Run to the end, and print the outcome."""
    collect_seldom()
    try:
        state, data = asyncio.run(running)
    except asyncio.CancelledError:
        click.echo(job.left_text(), err=True)
        if job.left_running:
            return int(Exit.OK)
        raise click.Abort from None
    finish(
        state,
        data,
        as_json=as_json,
        quiet=quiet,
        warnings=view.warnings(),
        source=job.source,
        cut_off=view.cut_off(state.execution_id),
        left_out=job.left_out,
    )
    return outcome_code(state)


def _detached(job: RemoteJob, values: WorkloadValues) -> int:
    """Start an execution, and print how to follow it."""
    identity = asyncio.run(job.start(values))
    say(f"started execution {identity}; to follow it: {job.follow_text()}", execution_id=identity)
    return int(Exit.OK)


def _is_file(name: str) -> bool:
    return name == "-" or Path(name).exists() or name.endswith((".yaml", ".yml"))


class _Job:
    """A run in the home."""

    def __init__(
        self,
        embedded: Embedded,
        name: str,
        content: bytes | None,
        view: View,
        allow: frozenset[str],
        *,
        strict: bool,
        tells: bool,
    ) -> None:
        self.allow = allow
        self.strict = strict
        self.tells = tells
        self.embedded = embedded
        self.name = name
        self.content = content
        self.view = view
        self.execution_id = 0
        #: Whether it was left running: never in the home, where it ends with its process.
        self.left_running = False
        self.source: Source | None = None
        #: The calls that a dry run skipped.
        self.left_out: list[dict[str, Any]] | None = None

    async def run(
        self, values: WorkloadValues, target: str | None, *, resume: bool
    ) -> tuple[State, Any]:
        async with self.embedded as embedded:
            planned = await self._planned()
            check_target(planned.plan.playbook, target)
            unfinished = await self._unfinished(planned) if resume else None
            content = planned.entry.content
            self.source = Source(self.name, content, planned.plan.playbook)
            check_workload(
                planned.plan.playbook, content, values.paths(), self.allow, strict=self.strict
            )
            Interrupts(self._cancel).catch()
            with self.view:
                if unfinished is not None:
                    self.execution_id = unfinished
                    tell_ignored(str(unfinished), values, target)
                    await recalled(embedded, self.view, unfinished)
                    state = await embedded.resume(unfinished, self.view.listen)
                else:
                    state = await embedded.run(
                        planned,
                        values.over(planned.plan.playbook.workload),
                        started=self._started,
                        listener=self.view.listen,
                        entry=target,
                        strict=self.strict,
                    )
            if embedded.is_dry:
                self.left_out = (await embedded.runtime()).performer.left_out
            return state, await embedded.reader.result(state)

    def _started(self, execution_id: int) -> None:
        self.execution_id = execution_id

    async def _planned(self) -> Planned:
        embedded = self.embedded
        if self.content is None:
            return await embedded.plans.find(self.name)
        folder = str(Path(self.name).resolve().parent)
        loaded = embedded.checked(self.content, self.name, self.allow)
        if self.strict:
            refuse_warnings(self.name, loaded)
        if self.tells:
            tell_warnings(self.name, loaded.diagnostics)
        entry = await embedded.register_loaded(self.content, loaded, folder)
        planned = await embedded.plans.find(catalog_id=entry.catalog_id)
        await embedded.register_siblings(planned)
        return planned

    async def _unfinished(self, planned: Planned) -> int | None:
        """Return the latest unfinished execution of the playbook."""
        store = self.embedded.store
        for execution_id in reversed(await store.unfinished()):
            row = await store.execution(execution_id)
            if row is not None and row.path == planned.entry.path and not row.parent_execution_id:
                return execution_id
        return None

    def left_text(self) -> str:
        """Return the message for a user who did not wait for the end."""
        return left_text(self.execution_id)

    async def _cancel(self) -> None:
        runtime = await self.embedded.runtime()
        await runtime.cancel(self.execution_id, "cancelled by the user")
