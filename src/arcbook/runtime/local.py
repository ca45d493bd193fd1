"""The embedded runtime: owner and worker in one process, on one store.

The owner is the worker, so there is no claim: a command is performed as soon as its
commit returns. What was out when a process died is performed again by the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Any, Final, Self

import msgspec

from arcbook.clock import Clock
from arcbook.engine.inputs import (
    AnyInput,
    Cancel,
    Checkpointed,
    Lost,
    Report,
    Settle,
    Start,
    Stopped,
)
from arcbook.engine.state import Command, CommandStatus, State
from arcbook.ids import IdGenerator
from arcbook.outcome import ErrorInfo, ErrorKind
from arcbook.results.kept import Kept
from arcbook.runtime.drive import Drive, Offer, Pending
from arcbook.runtime.execute import Performer
from arcbook.runtime.performance import AbandonedError
from arcbook.runtime.plans import Planned, Plans
from arcbook.runtime.services import Steps
from arcbook.runtime.slots import Slot
from arcbook.runtime.work import work_of
from arcbook.store.api import Change, Claim, Store

CONCURRENCY: Final = 128
"""Commands performed at once."""

INBOX_SECONDS: Final = 0.25
"""Time between two looks for inputs that other processes left."""

STOP_GRACE_SECONDS: Final = 10.0
"""Time that a tool has to stop after a cancellation."""

_INPUT_DECODER: Final[msgspec.json.Decoder[AnyInput]] = msgspec.json.Decoder(AnyInput)


class LocalRuntime:
    """Runs executions in this process."""

    def __init__(  # noqa: PLR0913  # the services of a runtime
        self,
        store: Store,
        plans: Plans,
        kept: Kept,
        performer: Performer,
        clock: Clock,
        ids: IdGenerator,
        *,
        concurrency: int = CONCURRENCY,
    ) -> None:
        self.store = store
        self.plans = plans
        self.kept = kept
        self.performer = performer
        self.clock = clock
        self.drive = Drive(store, plans, kept, clock, ids, self)
        self.drive.listeners.append(self._watch)
        self._concurrency = concurrency
        self._ready: deque[tuple[Slot, str]] = deque()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping: set[str] = set()
        self._waiters: dict[int, list[asyncio.Future[State]]] = {}
        self._loops: list[asyncio.Task[None]] = []

    # -- lifetime ---------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._loops = [
            asyncio.create_task(self._drive(), name="drive"),
            asyncio.create_task(self._read_inbox(), name="inbox"),
        ]
        return self

    async def __aexit__(self, *exc: object) -> None:
        for task in (*self._loops, *self._tasks.values()):
            task.cancel()
        await asyncio.gather(*self._loops, *self._tasks.values(), return_exceptions=True)
        self.drive.close()
        await self.performer.tools.close()

    async def _drive(self) -> None:
        """Drive; if the store fails, everyone who waits is told why."""
        try:
            await self.drive.run()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self.drive.refuse(error)
            for waiters in self._waiters.values():
                for waiter in waiters:
                    if not waiter.done():
                        waiter.set_exception(error)
            raise

    # -- executions -------------------------------------------------------------------

    async def start(
        self,
        planned: Planned,
        payload: dict[str, Any],
        *,
        execution_id: int | None = None,
        **facts: Any,
    ) -> int:
        """Start an execution and return its id once the start is durable."""
        start = Start(
            path=planned.entry.path,
            version=planned.entry.version,
            catalog_id=planned.entry.catalog_id,
            payload=payload,
            **facts,
        )
        identity, stored = self.drive.begin(planned, start, execution_id)
        await stored
        return identity

    def ended(self, execution_id: int) -> asyncio.Future[State]:
        """Return a future of the state in which an execution ends."""
        future: asyncio.Future[State] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(execution_id, []).append(future)
        return future

    async def run(self, planned: Planned, payload: dict[str, Any], **facts: Any) -> State:
        """Run a playbook to its end and return the final state."""
        identity = self.drive.ids()
        ended = self.ended(identity)
        await self.start(planned, payload, execution_id=identity, **facts)
        return await ended

    async def resume(self, execution_id: int, *, quiet: bool = False) -> asyncio.Future[State]:
        """Go on with an execution, and its children, from where its log ends.

        Args:
            execution_id: the execution.
            quiet: do not perform its commands; it is to be cancelled.
        """
        self.performer.may_meet_marks = True
        slot = await self.drive.adopt(execution_id)
        ended = self.ended(execution_id)
        state = slot.state
        if state.status.is_terminal:
            self.drive.slots.pop(execution_id, None)
            ended.set_result(state)
            return ended
        for run in list(state.runs.values()):
            for command in list(run.commands.values()):
                if command.wait is not None and command.wait.child_id:
                    await self.resume(command.wait.child_id, quiet=quiet)
                elif command.status is CommandStatus.ISSUED and not quiet:
                    self.drive.submit(execution_id, _lost(command))
        if not quiet:
            self.drive.submit(execution_id, Settle())
        return ended

    async def cancel(self, execution_id: int, reason: str) -> bool:
        """Cancel an execution; return whether it was running."""
        return await self.drive.ask(execution_id, Cancel(reason=reason))

    def _watch(self, execution_id: int, _events: Any, state: State) -> None:
        if state.status.is_terminal:
            for waiter in self._waiters.pop(execution_id, []):
                if not waiter.done():
                    waiter.set_result(state)

    # -- commands ---------------------------------------------------------------------

    def issue(self, slot: Slot, command_ids: list[str]) -> None:
        """Perform commands, as many at once as there is room for."""
        self._ready.extend((slot, command_id) for command_id in command_ids)
        self._perform_ready()

    def needs(self, slot: Slot) -> bool:
        """Return whether commands of an execution wait here to be performed."""
        runs = slot.state.runs.values()
        return any(c.status is CommandStatus.ISSUED for r in runs for c in r.commands.values())

    def claim(self, entry: Pending, claim: Claim) -> bool:
        """Refuse: there is no worker but this process."""
        return False

    def hand_over(self, entry: Pending, command_ids: list[str], offer: Offer) -> None:
        """Do nothing: nobody offers room."""

    def project(self, entry: Pending, change: Change) -> None:
        """Write nothing of commands: they are in the events."""

    def committed(self, entry: Pending) -> None:
        """Need not know."""

    def _perform_ready(self) -> None:
        while self._ready and len(self._tasks) < self._concurrency:
            slot, command_id = self._ready.popleft()
            self._perform(slot, command_id)

    def _perform(self, slot: Slot, command_id: str) -> None:
        """Perform a command; at once, if its tools answer at once."""
        state = slot.state
        command = state.command(command_id)
        if command is None or command.status is not CommandStatus.ISSUED:
            return
        work = work_of(state, slot.plan, command)
        execution_id, generation = state.execution_id, command.generation

        async def checkpoint(saved: Any) -> bool:
            given = Checkpointed(command_id=command_id, generation=generation, state=saved)
            return await self.drive.ask(execution_id, given)

        folder = slot.planned.entry.folder
        steps = self.performer.perform(work, slot.plan, folder=folder, checkpoint=checkpoint)
        try:
            awaited = next(steps)
        except StopIteration as stop:
            self.drive.submit(execution_id, stop.value)
            return
        except Exception as error:  # noqa: BLE001  # the boundary to a command's work
            self.drive.submit(execution_id, _fault(command_id, generation, error))
            return
        task = asyncio.create_task(
            self._continue(execution_id, command_id, generation, steps, awaited), name=command_id
        )
        self._tasks[command_id] = task

    async def _continue(
        self, execution_id: int, command_id: str, generation: int, steps: Steps, awaited: Any
    ) -> None:
        """Go on with a command whose tools take time."""
        given: AnyInput | None = None
        try:
            while True:
                try:
                    answer = await awaited
                except BaseException as error:  # noqa: BLE001  # handed on to whoever asked
                    awaited = steps.throw(error)
                else:
                    awaited = steps.send(answer)
        except StopIteration as stop:
            given = stop.value
        except AbandonedError:
            pass
        except asyncio.CancelledError:
            if command_id not in self._stopping:
                raise
            given = Stopped(command_id=command_id)
        except Exception as error:  # noqa: BLE001  # the boundary to a command's work
            given = _fault(command_id, generation, error)
        finally:
            self._tasks.pop(command_id, None)
            self._stopping.discard(command_id)
        if given is not None:
            self.drive.submit(execution_id, given)
        self._perform_ready()

    def stop(self, slot: Slot, command_ids: list[str]) -> None:
        """Stop the tools of commands."""
        for command_id in command_ids:
            task = self._tasks.get(command_id)
            if task is None:
                self.drive.submit(slot.state.execution_id, Stopped(command_id=command_id))
                continue
            self._stopping.add(command_id)
            task.cancel()
            asyncio.get_running_loop().call_later(
                STOP_GRACE_SECONDS, self._give_up, slot.state.execution_id, command_id, task
            )

    def _give_up(self, execution_id: int, command_id: str, task: asyncio.Task[None]) -> None:
        if not task.done():
            self.drive.submit(execution_id, Stopped(command_id=command_id, confirmed=False))

    # -- inbox ------------------------------------------------------------------------

    async def _read_inbox(self) -> None:
        """Take the inputs that other processes left for our executions."""
        while True:
            await asyncio.sleep(INBOX_SECONDS)
            if not self.drive.slots:
                continue
            waiting = await self.store.take(list(self.drive.slots))
            for _, execution_id, body in waiting:
                with contextlib.suppress(msgspec.DecodeError):
                    self.drive.submit(execution_id, _INPUT_DECODER.decode(body))
            if waiting:
                await self.store.drop([number for number, _, _ in waiting])


def _lost(command: Command) -> Lost:
    return Lost(
        command_id=command.command_id,
        generation=command.generation,
        attempt=command.lost + 1,
        reason="the process that performed it ended",
    )


def _fault(command_id: str, generation: int, error: Exception) -> Report:
    message = f"performing failed: {type(error).__name__}: {error}; this is a fault of Arcbook"
    info = ErrorInfo(kind=ErrorKind.UNKNOWN, message=message, code="PERFORMER_FAULT")
    return Report(command_id=command_id, generation=generation, fatal=info)
