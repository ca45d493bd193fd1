"""``arcbook run`` at a server: register, start, follow, with the same view as in the home."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from arcbook.beside import calls_playbooks, siblings
from arcbook.cli.context import Given
from arcbook.cli.interrupts import Interrupts
from arcbook.cli.places import Source
from arcbook.cli.progress import View
from arcbook.cli.remote.rows import recorded
from arcbook.cli.warnings import check_given, refuse_warnings, tell_warnings
from arcbook.client import Client
from arcbook.dsl.load import Loaded, load_playbook
from arcbook.embedded import InvalidPlaybookError
from arcbook.engine.fold import apply
from arcbook.engine.plan import Plan
from arcbook.engine.state import State
from arcbook.tools.registry import Registry

_QUESTION: Final = (
    "execution {} goes on at the server: Enter leaves it running, Ctrl-C again cancels it"
)


class RemoteJob:
    """One run at a server.

    Args:
        client: the server, as a client not yet open.
        name: the playbook's file, or its path in the catalog.
        content: what is in the file, if it is one.
        view: shows the run.
        strict: whether warnings are errors.
        tells: whether warnings are printed.
    """

    def __init__(
        self,
        client: Client,
        name: str,
        content: bytes | None,
        view: View,
        *,
        strict: bool,
        tells: bool,
    ) -> None:
        self._strict = strict
        self._tells = tells
        self._client = client
        self._name = name
        self._content = content
        self._view = view
        self._execution_id = ""
        self._interrupts: Interrupts | None = None
        #: The document, for the places of failures.
        self.source: Source | None = None

    async def run(self, given: Given) -> tuple[State, Any]:
        """Run it to its end; return its state and its result."""
        async with self._client as client:
            await self._started(given)
            self._interrupts = Interrupts(self._cancel, _QUESTION.format(self._execution_id))
            self._interrupts.catch()
            return await followed(client, self._execution_id, self._view)

    async def start(self, given: Given) -> str:
        """Start it; return its id."""
        async with self._client:
            await self._started(given)
            return self._execution_id

    async def _started(self, given: Given) -> None:
        loaded, facts = await self._registered()
        defaults = loaded.playbook.workload if loaded.playbook is not None else {}
        if loaded.playbook is not None:
            text = "\n".join(loaded.lines)
            self.source = Source(self._name, text, loaded.playbook)
            check_given(loaded.playbook, text, given.paths(), frozenset(), strict=self._strict)
        if self._strict:
            facts["strict"] = True
        started = await self._client.execute(workload=given.over(defaults), **facts)
        self._execution_id = started.execution_id

    async def _registered(self) -> tuple[Loaded, dict[str, Any]]:
        """Return the document, and what to execute."""
        registry = Registry()
        if self._content is None:
            entry = await self._client.resource(self._name)
            return load_playbook(entry.content, registry), {"catalog_id": entry.catalog_id}
        loaded = load_playbook(self._content, registry)
        if loaded.playbook is None:
            raise InvalidPlaybookError(self._name, loaded)
        if self._strict:
            refuse_warnings(self._name, loaded)
        if self._tells:
            tell_warnings(self._name, loaded.diagnostics)
        if calls_playbooks(Plan(loaded.playbook, registry)):
            folder = Path(self._name).resolve().parent
            for text, _, _ in siblings(folder, loaded.playbook.path, registry):
                await self._client.register(text)
        made = await self._client.register(self._content.decode("utf-8-sig"))
        return loaded, {"catalog_id": made.catalog_id}

    async def _cancel(self) -> None:
        await self._client.cancel(self._execution_id)

    @property
    def left(self) -> bool:
        """Whether the user left it running."""
        return self._interrupts is not None and self._interrupts.left

    def left_text(self) -> str:
        """Return what is said where the end was not waited for."""
        state = "goes on" if self.left else "is being cancelled"
        return f"execution {self._execution_id} {state} at the server: {self.follow_text()}"

    def follow_text(self) -> str:
        """Return the command that follows it."""
        return f"arcbook events {self._execution_id} --follow --server {self._client.url}"


async def followed(client: Client, execution_id: str, view: View) -> tuple[State, Any]:
    """Show an execution of a server to its end; return its state and its result."""
    state = State(execution_id=int(execution_id))
    with view:
        async for event in client.follow(execution_id):
            one = recorded(event)
            apply(state, one)
            view.listen(state.execution_id, [one], state)
    if state.result_ref is not None:
        return state, await client.resolve(state.result_ref.ref)
    return state, state.result
