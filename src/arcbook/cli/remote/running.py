"""``arcbook run`` on a server: register, start, follow, with the same view as in the home."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

from arcbook.beside import calls_playbooks, siblings
from arcbook.cli.context import WorkloadValues, refuse_allowed
from arcbook.cli.interrupts import Interrupts
from arcbook.cli.places import Source
from arcbook.cli.progress import View
from arcbook.cli.remote.rows import recorded
from arcbook.cli.warnings import (
    check_target,
    check_workload,
    refuse_warnings,
    tell_ignored,
    tell_warnings,
)
from arcbook.client import Client
from arcbook.dsl.load import InvalidPlaybookError, Loaded, load_playbook
from arcbook.engine.fold import apply
from arcbook.engine.plan import Plan
from arcbook.engine.state import State
from arcbook.tools.registry import Registry

PAGE_ROWS: Final = 100
"""Executions requested per page."""

_QUESTION: Final = (
    "press Enter to leave execution {} running on the server, or Ctrl-C again to cancel it"
)


class RunOptions(NamedTuple):
    """The options of a run."""

    #: Whether warnings are errors.
    strict: bool = False
    #: Whether warnings are printed.
    tells: bool = True
    #: Workload values that are accepted although the playbook does not declare them.
    allow: frozenset[str] = frozenset()
    #: The step to begin at.
    target: str | None = None
    #: Whether to follow the latest unfinished execution, if there is one.
    resume: bool = False


class RemoteJob:
    """A run on a server.

    Args:
        client: the unopened client of the server.
        name: the playbook's file, or its path in the catalog.
        content: the content of the file, if it is one.
        view: shows the run.
        options: the options of the run.
    """

    def __init__(
        self, client: Client, name: str, content: bytes | None, view: View, options: RunOptions
    ) -> None:
        self._wanted = options
        self._client = client
        self._name = name
        self._content = content
        self._view = view
        self._execution_id = ""
        self._interrupts: Interrupts | None = None
        #: The document, to locate failures.
        self.source: Source | None = None
        #: Always None: a server supports no dry run.
        self.left_out: list[dict[str, Any]] | None = None

    async def run(self, values: WorkloadValues) -> tuple[State, Any]:
        """Run the playbook to its end; return the state and the result."""
        async with self._client as client:
            await self._started(values)
            self._interrupts = Interrupts(self._cancel, _QUESTION.format(self._execution_id))
            self._interrupts.catch()
            return await followed(client, self._execution_id, self._view)

    async def start(self, values: WorkloadValues) -> str:
        """Start the execution; return its id."""
        async with self._client:
            await self._started(values)
            return self._execution_id

    async def _started(self, values: WorkloadValues) -> None:
        options = self._wanted
        loaded, catalog_id = await self._loaded()
        defaults: dict[str, Any] = {}
        if loaded.playbook is not None:
            defaults, text = loaded.playbook.workload, "\n".join(loaded.lines)
            self.source = Source(self._name, text, loaded.playbook)
            check_workload(
                loaded.playbook, text, values.paths(), options.allow, strict=options.strict
            )
            check_target(loaded.playbook, options.target)
        unfinished = await self._unfinished(loaded.path) if options.resume else ""
        if unfinished:
            self._execution_id = unfinished
            tell_ignored(unfinished, values, options.target)
            return
        started = await self._client.execute(
            catalog_id=catalog_id or await self._registered(loaded),
            workload=values.over(defaults),
            strict=options.strict,
            allow=options.allow,
            entry_step=options.target,
        )
        self._execution_id = started.execution_id

    async def _unfinished(self, path: str) -> str:
        """Return the playbook's latest unfinished execution; empty if there is none."""
        before = ""
        while True:
            page = await self._client.executions(
                status="RUNNING", path=path, before=before, limit=PAGE_ROWS
            )
            for row in page:
                if row.path == path and not row.parent_execution_id:
                    return row.execution_id
            if len(page) < PAGE_ROWS:
                return ""
            before = page[-1].execution_id

    async def _loaded(self) -> tuple[Loaded, str]:
        """Return the document, and its id if it is in the catalog."""
        registry, options = Registry(), self._wanted
        if self._content is None:
            entry = await self._client.resource(self._name)
            return load_playbook(entry.content, registry), entry.catalog_id
        loaded = load_playbook(self._content, registry)
        if loaded.playbook is None:
            if load_playbook(self._content, registry, allow=options.allow).playbook is not None:
                refuse_allowed(options.allow)
            raise InvalidPlaybookError(self._name, loaded)
        if options.strict:
            refuse_warnings(self._name, loaded)
        if options.tells:
            tell_warnings(self._name, loaded.diagnostics)
        return loaded, ""

    async def _registered(self, loaded: Loaded) -> str:
        """Register the file and the playbooks it calls; return its id."""
        registry = Registry()
        assert loaded.playbook is not None
        assert self._content is not None
        if calls_playbooks(Plan(loaded.playbook, registry)):
            folder = Path(self._name).resolve().parent
            for text, _, _ in siblings(folder, loaded.playbook.path, registry):
                await self._client.register(text)
        registered = await self._client.register(self._content.decode("utf-8-sig"))
        return registered.catalog_id

    async def _cancel(self) -> None:
        await self._client.cancel(self._execution_id)

    @property
    def left_running(self) -> bool:
        """Whether the user left it running."""
        return self._interrupts is not None and self._interrupts.left_running

    def left_text(self) -> str:
        """Return the message for a user who did not wait for the end."""
        state = "keeps running" if self.left_running else "is being cancelled"
        return f"execution {self._execution_id} {state} on the server: {self.follow_text()}"

    def follow_text(self) -> str:
        """Return the command that follows it."""
        return f"arcbook events {self._execution_id} --follow --server {self._client.url}"


async def followed(client: Client, execution_id: str, view: View) -> tuple[State, Any]:
    """Show an execution on a server until it ends; return the state and the result."""
    state = State(execution_id=int(execution_id))
    with view:
        async for event in client.follow(execution_id):
            one = recorded(event)
            apply(state, one)
            view.listen(state.execution_id, [one], state)
    if state.result_ref is not None:
        return state, await client.resolve(state.result_ref.ref)
    return state, state.result
