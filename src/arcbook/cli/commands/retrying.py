"""``arcbook retry-from``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from arcbook.beside import changed_file
from arcbook.cli.context import execution_id, read_document, settings_of
from arcbook.cli.errors import UserError
from arcbook.cli.everywhere import wants_json
from arcbook.cli.finish import finish, outcome_code
from arcbook.cli.interrupts import Interrupts, left_text
from arcbook.cli.places import Source
from arcbook.cli.progress import View, view_of
from arcbook.cli.remote.link import client_of, server_of
from arcbook.compose.embedded import Embedded
from arcbook.dsl.kinds import Kinds
from arcbook.engine.state import State
from arcbook.owner.plans import Planned
from arcbook.store.api import CatalogEntry


@click.command(
    "retry-from",
    help="""Run an execution again from a step, with the results of the steps before it.

A new execution begins at the step, with the workload, variables and results that the
old one had when it entered the step. It runs the same version of the playbook; --file runs
the version in a file instead, --latest the latest version in the catalog.

\b
Examples:
  arcbook retry-from 383401759197892608 transform
  arcbook retry-from 383401759197892608 transform --file playbook.yaml
  arcbook retry-from 383401759197892608 transform --latest
""",
)
@click.argument("execution")
@click.argument("step")
@click.option("--latest", is_flag=True, help="Use the playbook's latest version.")
@click.option("--file", "file", metavar="FILE", help="Use the playbook in this file.")
@click.pass_context
def retry_from(
    context: click.Context, execution: str, step: str, file: str | None, *, latest: bool
) -> int:
    """Run again from a step."""
    if latest and file:
        raise UserError("use either --latest or --file, not both")
    identity, as_json = execution_id(execution), wants_json(context)
    content = read_document(file) if file else None
    view = view_of(step, silent=as_json)
    job: Any
    if server_of(context):
        from arcbook.cli.remote.retrying import RemoteRetry  # heavy: an HTTP client

        job = RemoteRetry(client_of(context), view, file or "", content)
    else:
        job = _Retry(Embedded(settings_of(context)), view, file or "", content)
    try:
        state, data = asyncio.run(job.run(identity, step, latest=latest))
    except asyncio.CancelledError:
        click.echo(job.left_text(), err=True)
        raise click.Abort from None
    finish(
        state,
        data,
        as_json=as_json,
        quiet=False,
        warnings=view.warnings(),
        source=job.source,
        cut_off=view.cut_off(state.execution_id),
    )
    return outcome_code(state)


class _Retry:
    """A retry in the home."""

    def __init__(self, embedded: Embedded, view: View, name: str, content: bytes | None) -> None:
        self._embedded = embedded
        self._view = view
        self._name = name
        self._content = content
        self._execution_id = 0
        self.source: Source | None = None

    async def run(self, identity: int, step: str, *, latest: bool) -> tuple[State, Any]:
        """Run from the step to the end."""
        async with self._embedded as embedded:
            await embedded.reader.row(identity)
            before = await embedded.reader.state_before(identity, step)
            if before is None:
                raise UserError(f"execution {identity} never entered step {step!r}")
            planned = await self._planned(before, latest=latest)
            if step not in planned.plan.by_name:
                raise UserError(f"this version of the playbook has no step {step!r}")
            entry = planned.entry
            self.source = Source(entry.path, entry.content, planned.plan.playbook)
            Interrupts(self._cancel).catch()
            with self._view:
                state = await embedded.run(
                    planned,
                    before.workload,
                    started=self._started,
                    listener=self._view.listen,
                    entry=step,
                    ctx=before.ctx,
                    results=before.results,
                )
            return state, await embedded.reader.result(state)

    async def _planned(self, before: State, *, latest: bool) -> Planned:
        embedded = self._embedded
        if self._content is not None:
            folder = str(Path(self._name).resolve().parent)
            planned = await embedded.register(self._content, self._name, folder)
            await embedded.register_siblings(planned)
            refuse_other(self._name, planned.entry.path, before.path)
            return planned
        planned = await embedded.plans.find(
            before.path, catalog_id=None if latest else before.catalog_id
        )
        _tell_changed(planned.entry, embedded.registry)
        return planned

    def _started(self, execution_id: int) -> None:
        self._execution_id = execution_id

    async def _cancel(self) -> None:
        runtime = await self._embedded.runtime()
        await runtime.cancel(self._execution_id, "cancelled by the user")

    def left_text(self) -> str:
        """Return the message for a user who did not wait for the end."""
        return left_text(self._execution_id)


def _tell_changed(entry: CatalogEntry, kinds: Kinds) -> None:
    """Tell the user if the file of a playbook has changed since it was registered."""
    if not entry.folder:
        return
    file = changed_file(Path(entry.folder), entry.path, entry.content, kinds)
    if file is not None:
        text = f"{file} has changed since; this runs version {entry.version} of {entry.path}"
        click.echo(f"{text}: to run the changed file, add --file {file}", err=True)


def refuse_other(name: str, path: str, expected: str) -> None:
    """Refuse a file with a playbook other than the one that ran.

    Raises:
        UserError: it is another playbook.
    """
    if path != expected:
        raise UserError(
            f"{name} contains the playbook {path!r}, but the execution ran {expected!r}"
        )
