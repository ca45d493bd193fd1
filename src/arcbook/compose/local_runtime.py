"""The embedded runtime: owner and worker in one process, on one store.

The owner is also the worker, so there are no claims: a command is performed as soon as its
commit returns. The next process performs the commands again that were outstanding when the
previous one died.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import uuid
from collections import deque
from functools import partial
from typing import Any, Final, Self

import msgspec

from arcbook.blobs.api import BlobStoreError
from arcbook.clock import Clock
from arcbook.engine.inputs import (
    AnyInput,
    Cancel,
    Checkpointed,
    Lost,
    Settle,
    Start,
    Stopped,
)
from arcbook.engine.state import Command, CommandStatus, State
from arcbook.ids import IdGenerator
from arcbook.logs import events as logged
from arcbook.owner.drive import Drive
from arcbook.owner.plans import Planned, Plans
from arcbook.owner.ports import FullOwnership
from arcbook.owner.slots import Slot
from arcbook.owner.trials import Rehearsal, Suspects
from arcbook.performer.execute import Performer
from arcbook.performer.runner import STOP_GRACE_SECONDS, CommandRunner, Job
from arcbook.performer.services import Awaits
from arcbook.results.store import ResultStore
from arcbook.store.api import Store, StoreError
from arcbook.supervision import Service
from arcbook.wire.payload import payload_of

CONCURRENCY: Final = 128
"""Maximum number of concurrently performed commands."""

BURST_SECONDS: Final = 0.02
"""How long commands are started in a row before other tasks get their turn."""

INBOX_SECONDS: Final = 0.25
"""Interval of queries for inputs from other processes."""

log = logging.getLogger(__name__)

_INPUT_DECODER: Final[msgspec.json.Decoder[AnyInput]] = msgspec.json.Decoder(AnyInput)


class LocalRuntime:
    """Runs executions in this process."""

    def __init__(  # the services of a runtime
        self,
        store: Store,
        plans: Plans,
        results: ResultStore,
        performer: Performer,
        clock: Clock,
        ids: IdGenerator,
        *,
        concurrency: int = CONCURRENCY,
        rehearse: Rehearsal | None = None,
    ) -> None:
        self.store = store
        self.plans = plans
        self.results = results
        self.performer = performer
        self.clock = clock
        suspects = Suspects(store, f"local/{uuid.uuid4().hex}", clock, rehearse)
        self.drive = Drive(
            store,
            plans,
            results,
            clock,
            self,
            ownership=FullOwnership(ids),
            suspects=suspects,
        )
        self.ids = ids
        self.drive.listeners.add(self._watch)
        self._runner = CommandRunner(concurrency, self._done, self._away)
        #: Commands to start after other tasks had their turn, and the time until which that is
        #: not necessary.
        self._later: deque[Job] = deque()
        self._until = 0.0
        self._waiters: dict[int, list[asyncio.Future[State]]] = {}
        self.service = Service("runtime")

    # -- lifetime ---------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.service.start()
        self.service.on_failure(self._fail)
        self.service.loop("drive", self._drive)
        self.service.loop("inbox", self._read_inbox)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.service.stop()
        self._later.clear()
        await self._runner.close()
        self.drive.close()
        await self.performer.tools.close()

    async def _drive(self) -> None:
        """Run the drive loop; if the store fails, fail the waiting runs and continue."""
        while True:
            try:
                await self.drive.run()
            except StoreError as error:
                self.drive.refuse(error)
                self.drive.slots.clear()
                self._refuse(error)

    def _fail(self, cause: BaseException) -> None:
        """Fail all waiting and all future runs."""
        self.drive.end(cause)
        self._refuse(cause)

    def _refuse(self, error: BaseException) -> None:
        """Fail all waiting runs."""
        waiting, self._waiters = self._waiters, {}
        for waiters in waiting.values():
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(error)

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
        identity = self.ids() if execution_id is None else execution_id
        await self.drive.begin(planned, start, identity)
        return identity

    def ended(self, execution_id: int) -> asyncio.Future[State]:
        """Return a future of the final state of an execution."""
        future: asyncio.Future[State] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(execution_id, []).append(future)
        return future

    async def run(self, planned: Planned, payload: dict[str, Any], **facts: Any) -> State:
        """Run a playbook to its end and return the final state."""
        identity = self.ids()
        ended = self.ended(identity)
        await self.start(planned, payload, execution_id=identity, **facts)
        return await ended

    async def resume(self, execution_id: int, *, quiet: bool = False) -> asyncio.Future[State]:
        """Resume an execution and its children from the end of their logs.

        Args:
            execution_id: the execution.
            quiet: whether not to perform its commands, because it will be cancelled.
        """
        self.performer.may_meet_marks = True
        await self.drive.suspects.watch([execution_id])
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
        """Perform commands, up to the limit of concurrent ones."""
        execution_id = slot.state.execution_id
        for command_id in command_ids:
            command = slot.state.command(command_id)
            if command is not None:
                begin = partial(self._open, execution_id, command_id)
                identity = command_id, command.generation, command.lost + 1
                self._later.append(Job(execution_id, *identity, begin, command.step))
        self._begin()

    def _begin(self) -> None:
        """Start commands; continue after other tasks had their turn."""
        loop = asyncio.get_running_loop()
        if not self._until and self._later:
            self._until = loop.time() + BURST_SECONDS
            loop.call_soon(self._begin_again)
        while self._later and loop.time() <= self._until:
            self._runner.begin(self._later.popleft())

    def _begin_again(self) -> None:
        self._until = 0.0
        self._begin()

    def needs(self, slot: Slot) -> bool:
        """Return whether commands of an execution wait to be started."""
        runs = slot.state.runs.values()
        return any(c.status is CommandStatus.ISSUED for r in runs for c in r.commands.values())

    def _open(self, execution_id: int, command_id: str) -> Awaits | None:
        """Start to perform a command, if it is still outstanding."""
        slot = self.drive.slots.get(execution_id)
        command = slot.state.command(command_id) if slot is not None else None
        if slot is None or command is None or command.status is not CommandStatus.ISSUED:
            return None
        generation, attempt = command.generation, command.lost + 1

        numbers = itertools.count(1)

        async def checkpoint(saved: Any) -> bool:
            reported = Checkpointed(
                command_id=command_id,
                generation=generation,
                attempt=attempt,
                state=saved,
                number=next(numbers),
            )
            return await self.drive.ask(execution_id, reported)

        work = payload_of(slot.state, slot.plan, command)
        folder = slot.planned.entry.folder
        return self.performer.perform(work, slot.plan, folder=folder, checkpoint=checkpoint)

    def _done(self, job: Job, report: AnyInput | None) -> None:
        if report is not None:
            self.drive.submit(job.execution_id, report)

    def _away(self, _: Job, error: BlobStoreError) -> None:
        self._refuse(error)

    def stop(self, slot: Slot, command_ids: list[str]) -> list[str]:
        """Stop commands; return those that are not being performed."""
        execution_id = slot.state.execution_id
        idle: list[str] = []
        for command_id in command_ids:
            if self._runner.stop(command_id):
                asyncio.get_running_loop().call_later(
                    STOP_GRACE_SECONDS, self._give_up, execution_id, command_id
                )
            else:
                idle.append(command_id)
        return idle

    def _give_up(self, execution_id: int, command_id: str) -> None:
        if self._runner.is_performing(command_id):
            self.drive.submit(execution_id, Stopped(command_id=command_id, confirmed=False))

    # -- inbox ------------------------------------------------------------------------

    async def _read_inbox(self) -> None:
        """Submit the inputs from other processes for executions of this one."""
        while True:
            await asyncio.sleep(INBOX_SECONDS)
            try:
                await self._look_into_inbox()
            except StoreError as error:
                log.warning(logged.INBOX_UNREADABLE, {"reason": error})

    async def _look_into_inbox(self) -> None:
        if not self.drive.slots:
            return
        waiting = await self.store.take(list(self.drive.slots))
        for _, execution_id, body in waiting:
            try:
                received = _INPUT_DECODER.decode(body)
            except msgspec.DecodeError as error:
                log.warning(logged.INPUT_UNREADABLE, {"execution": execution_id, "reason": error})
            else:
                self.drive.submit(execution_id, received)
        if waiting:
            await self.store.drop([number for number, _, _ in waiting])


def _lost(command: Command) -> Lost:
    return Lost(
        command_id=command.command_id,
        generation=command.generation,
        attempt=command.lost + 1,
        reason="the process that performed it ended",
    )
