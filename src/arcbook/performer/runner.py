"""Commands being performed in this process, as many at once as there is room for."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final, NamedTuple

from arcbook.blobs.api import BlobStoreError
from arcbook.engine.inputs import AnyInput, Report, Stopped
from arcbook.logs.context import About
from arcbook.outcome import ErrorInfo, ErrorKind
from arcbook.performer.performance import AbandonedError
from arcbook.performer.services import Awaits

STOP_GRACE_SECONDS: Final = 10.0
"""Time that a tool has to stop after a cancellation."""


class Job(NamedTuple):
    """A command to be performed."""

    execution_id: int
    command_id: str
    generation: int
    attempt: int
    #: Begins to perform it; nothing, if there is no need any more.
    open: Callable[[], Awaits | None]
    #: The step, for the log.
    step: str = ""


class CommandRunner:
    """Performs commands.

    Args:
        concurrency: commands performed at once; the others wait.
        done: told how each ended: its input for the owner, or nothing, if it is not ours
            any more.
        away: told that results cannot be kept now. The command has no end then: it is
            performed again when they can.
    """

    def __init__(
        self,
        concurrency: int,
        done: Callable[[Job, AnyInput | None], None],
        away: Callable[[Job, BlobStoreError], None],
    ) -> None:
        self.concurrency = concurrency
        self._done = done
        self._away = away
        self._ready: deque[Job] = deque()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        #: Commands whose task has not run yet: one that is cancelled then never runs.
        self._fresh: set[str] = set()
        self._stopping: set[str] = set()
        self._abandoned: set[str] = set()
        #: Commands that came anew while an earlier delivery is still being performed.
        self._next: dict[str, Job] = {}

    def performing(self) -> set[str]:
        """Return the commands that are performed, and are not being let go."""
        return self._tasks.keys() - self._stopping - self._abandoned

    def __len__(self) -> int:
        return len(self._tasks) + len(self._ready)

    async def close(self) -> None:
        """Stop everything at once, and tell nobody."""
        self._ready.clear()
        self._next.clear()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def begin(self, job: Job) -> None:
        """Perform a command as soon as there is room.

        One that is being performed already was taken for lost: its earlier delivery is
        stopped first, and its end is no input.
        """
        if job.command_id in self._tasks:
            self.abandon(job.command_id)
            self._next[job.command_id] = job
            return
        self._ready.append(job)
        self._begin_ready()

    def allow(self, concurrency: int) -> None:
        """Perform so many commands at once from now on; those that go on are left alone."""
        self.concurrency = concurrency
        self._begin_ready()

    def _begin_ready(self) -> None:
        while self._ready and len(self._tasks) < self.concurrency:
            self._begin(self._ready.popleft())

    def _begin(self, job: Job) -> None:
        """Perform a command; at once, if its tools answer at once."""
        with About(execution=job.execution_id, step=job.step, command=job.command_id):
            steps = job.open()
            if steps is None:
                return
            try:
                awaited = next(steps)
            except StopIteration as stop:
                self._done(job, stop.value)
                return
            except BlobStoreError as error:
                self._away(job, error)
                return
            except Exception as error:  # noqa: BLE001  # the boundary to a command's work
                self._done(job, _fault(job, error))
                return
            self._fresh.add(job.command_id)
            self._tasks[job.command_id] = asyncio.create_task(
                self._continue(job, steps, awaited), name=job.command_id
            )

    async def _continue(self, job: Job, steps: Awaits, awaited: Any) -> None:
        """Go on with a command whose tools take time."""
        given: AnyInput | None = None
        self._fresh.discard(job.command_id)
        try:
            given = await self._end(job, steps, awaited)
        except asyncio.CancelledError:
            if job.command_id not in self._stopping:
                raise
            if job.command_id not in self._abandoned:
                given = Stopped(command_id=job.command_id)
        finally:
            self._tasks.pop(job.command_id, None)
            self._stopping.discard(job.command_id)
            if job.command_id in self._abandoned:
                self._abandoned.discard(job.command_id)
                given = None  # it may have ended all the same
            if (again := self._next.pop(job.command_id, None)) is not None:
                self._ready.append(again)
        self._done(job, given)
        self._begin_ready()

    async def _end(self, job: Job, steps: Awaits, awaited: Any) -> AnyInput | None:
        """Return how a command ended; nothing, if nobody is to be told."""
        try:
            if job.command_id in self._stopping:
                _drop(awaited)
                awaited = steps.throw(asyncio.CancelledError())
            while True:
                try:
                    answer = await awaited
                except BaseException as error:  # noqa: BLE001  # handed on to whoever asked
                    awaited = steps.throw(error)
                else:
                    awaited = steps.send(answer)
        except StopIteration as stop:
            given: AnyInput = stop.value
            return given
        except AbandonedError:
            return None
        except BlobStoreError as error:
            self._away(job, error)
            return None
        except Exception as error:  # noqa: BLE001  # the boundary to a command's work
            return _fault(job, error)

    def stop(self, command_id: str) -> bool:
        """Stop a command; return whether it is being performed.

        Its end is told when its tool has stopped, or as not confirmed after the grace.
        """
        task = self._tasks.get(command_id)
        if task is None:
            return False
        if self._next.pop(command_id, None) is not None:
            self._abandoned.discard(command_id)  # the stop is for the delivery that never began
        self._stopping.add(command_id)
        if command_id not in self._fresh:
            task.cancel()
        return True

    def is_performing(self, command_id: str) -> bool:
        """Return whether a command is being performed."""
        return command_id in self._tasks

    def abandon(self, command_id: str) -> None:
        """Stop a command that is not ours any more; its end is no input."""
        self._abandoned.add(command_id)
        if not self.stop(command_id):
            self._abandoned.discard(command_id)

    def withdraw(self) -> list[Job]:
        """Return the commands that have not begun, and forget them."""
        waiting = [*self._ready, *self._next.values()]
        self._ready.clear()
        self._next.clear()
        return waiting


def _drop(awaited: Any) -> None:
    """Do without something that nobody waits for yet."""
    if isinstance(awaited, asyncio.Future):
        awaited.cancel()
    elif isinstance(awaited, Coroutine):
        awaited.close()


def _fault(job: Job, error: Exception) -> Report:
    message = (
        f"performing the command failed: {type(error).__name__}: {error}; "
        "this is a fault of Arcbook"
    )
    info = ErrorInfo(kind=ErrorKind.UNKNOWN, message=message, code="WORKER_FAULT")
    return Report(
        command_id=job.command_id,
        generation=job.generation,
        attempt=job.attempt,
        fatal=info,
    )
