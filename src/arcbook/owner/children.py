"""Parent and child executions: their effects on each other share one commit."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec

from arcbook.dsl.load import InvalidPlaybookError
from arcbook.engine.inputs import Cancel, ChildEnded, Start, StartChild
from arcbook.engine.state import Status
from arcbook.engine.views import NeedsData, RefView, result_view
from arcbook.errors import MissingError
from arcbook.events.types import Parent, ResultRef
from arcbook.outcome import ErrorInfo, ErrorKind
from arcbook.owner.plans import Plans, PlaybookMissingError
from arcbook.owner.ports import CommitEntry, WorkerCapacity
from arcbook.owner.queue import QueuedInput, inherited, link
from arcbook.owner.slots import Slot
from arcbook.template.errors import TemplateError


class ExecutionMissingError(MissingError):
    """The execution does not exist."""

    code = "execution_not_found"


class Children:
    """Starts and cancels child executions, and reports their end to the parents.

    Args:
        plans: Looks up the playbooks of children.
        apply: Applies an input to an execution of the same owner, within the same commit.
        fetch: Loads values stored by reference into an execution's slot.
    """

    def __init__(
        self,
        plans: Plans,
        apply: Callable[[QueuedInput, dict[int, CommitEntry]], Awaitable[bool]],
        fetch: Callable[[CommitEntry, Iterable[ResultRef]], Awaitable[None]],
    ) -> None:
        self._plans = plans
        self._apply = apply
        self._fetch = fetch

    async def start(
        self, child: StartChild, pending: dict[int, CommitEntry], capacity: WorkerCapacity | None
    ) -> None:
        """Start a child in the same commit as its parent's wait."""
        try:
            planned = await self._plans.find(child.path, child.version, child.catalog_id)
        except (PlaybookMissingError, InvalidPlaybookError) as error:
            info = ErrorInfo(kind=ErrorKind.NOT_FOUND, message=str(error), code="NO_PLAYBOOK")
            ended = ChildEnded(
                command_id=child.parent.command_id,
                child_id=child.execution_id,
                status="FAILED",
                error=info,
                path=child.path,
            )
            await self._apply(QueuedInput(child.parent.execution_id, ended), pending)
            return
        start = Start(
            path=planned.entry.path,
            version=planned.entry.version,
            catalog_id=planned.entry.catalog_id,
            payload=child.payload,
            parent=child.parent,
            pool=child.pool,
            labels=inherited(pending, child.parent.execution_id),
            strict=pending[child.parent.execution_id].slot.state.strict,
        )
        item = QueuedInput(child.execution_id, start, planned=planned, capacity=capacity)
        await self._apply(item, pending)
        link(pending, child.execution_id, child.parent.execution_id)

    async def cancel(self, slot: Slot, child_id: int, pending: dict[int, CommitEntry]) -> None:
        """Cancel a child in the same commit that stops its parent."""
        cancel = Cancel(reason="the parent was stopped")
        with contextlib.suppress(ExecutionMissingError):
            await self._apply(QueuedInput(child_id, cancel), pending)
            link(pending, child_id, slot.state.execution_id)

    async def tell_parent(
        self,
        entry: CommitEntry,
        parent: Parent,
        pending: dict[int, CommitEntry],
        capacity: WorkerCapacity | None,
    ) -> None:
        """Report a child's end to the command that waits for it, in the same commit."""
        if not parent.command_id:
            return
        state = entry.slot.state
        ended = ChildEnded(
            command_id=parent.command_id,
            child_id=state.execution_id,
            status=str(state.status),
            error=state.error,
            path=state.path,
        )
        try:
            result = await self._result(entry, parent.return_step)
            ended = msgspec.structs.replace(ended, result=result)
        except TemplateError as missing:
            info = ErrorInfo(kind=ErrorKind.MISSING_REFERENCE, message=str(missing), code="GONE")
            ended = msgspec.structs.replace(ended, status=str(Status.FAILED), error=info)
        try:
            await self._apply(QueuedInput(parent.execution_id, ended, capacity=capacity), pending)
        except ExecutionMissingError:
            return  # the parent was deleted
        link(pending, state.execution_id, parent.execution_id)

    async def _result(self, entry: CommitEntry, return_step: str) -> Any:
        """Return the child's result: that of the return step, or of the playbook.

        Raises:
            TemplateError: The result no longer exists.
        """
        slot, state = entry.slot, entry.slot.state
        step_result = state.results.get(return_step)
        while True:
            try:
                if step_result is not None:
                    return result_view(step_result, slot.loaded).plain()
                if state.result_ref is not None:
                    return RefView(state.result_ref, slot.loaded).plain()
            except NeedsData as need:
                await self._fetch(entry, [need.ref])
            else:
                return state.result
