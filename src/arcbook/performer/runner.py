"""Runs commands in this process, up to a concurrency limit."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, NamedTuple

from arcbook.blobs.api import BlobStoreError
from arcbook.engine.inputs import AnyInput, Report, Stopped
from arcbook.logs.context import LogContext
from arcbook.outcome import ErrorInfo, ErrorKind
from arcbook.performer.performance import AbandonedError
from arcbook.performer.services import Awaits, drive_on

STOP_GRACE_SECONDS: Final = 10.0
"""Time a tool has to stop after a cancellation."""


class Job(NamedTuple):
    """A command to perform."""

    execution_id: int
    command_id: str
    generation: int
    attempt: int
    #: Starts it; returns None if it is no longer needed.
    open: Callable[[], Awaits | None]
    #: The step, for the log.
    step: str = ""


class CommandRunner:
    """Performs commands concurrently.

    Args:
        concurrency: Commands performed at once; the others wait.
        done: Called when a command ends, with its input for the owner, or None if this
            process no longer holds the command.
        storage_failed: Called when results cannot be stored. The command has not ended
            then: it must be performed again later.
    """

    def __init__(
        self,
        concurrency: int,
        done: Callable[[Job, AnyInput | None], None],
        storage_failed: Callable[[Job, BlobStoreError], None],
    ) -> None:
        self.concurrency = concurrency
        self._done = done
        self._storage_failed = storage_failed
        self._ready: deque[Job] = deque()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        #: Commands whose task has not run yet; cancelling such a task prevents it from running.
        self._fresh: set[str] = set()
        self._stopping: set[str] = set()
        self._abandoned: set[str] = set()
        #: Commands delivered again while an earlier delivery is still in progress.
        self._next: dict[str, Job] = {}

    def performing(self) -> set[str]:
        """Return the commands in progress that are not being stopped."""
        return self._tasks.keys() - self._stopping - self._abandoned

    def __len__(self) -> int:
        return len(self._tasks) + len(self._ready)

    async def close(self) -> None:
        """Cancel all commands without reporting their end."""
        self._ready.clear()
        self._next.clear()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def begin(self, job: Job) -> None:
        """Perform a command once the concurrency limit allows it.

        A second delivery of a command in progress means that the owner considered the
        first one lost: that one is abandoned first.
        """
        if job.command_id in self._tasks:
            self.abandon(job.command_id)
            self._next[job.command_id] = job
            return
        self._ready.append(job)
        self._begin_ready()

    def allow(self, concurrency: int) -> None:
        """Change the concurrency limit; commands in progress are not affected."""
        self.concurrency = concurrency
        self._begin_ready()

    def _begin_ready(self) -> None:
        while self._ready and len(self._tasks) < self.concurrency:
            self._begin(self._ready.popleft())

    def _begin(self, job: Job) -> None:
        """Start a command; it also ends here if its tools return immediately."""
        with LogContext(execution=job.execution_id, step=job.step, command=job.command_id):
            steps = job.open()
            if steps is None:
                return
            try:
                awaited = next(steps)
            except StopIteration as stop:
                self._done(job, stop.value)
                return
            except BlobStoreError as error:
                self._storage_failed(job, error)
                return
            except Exception as error:  # noqa: BLE001  # the boundary to a command's work
                self._done(job, _fault_report(job, error))
                return
            self._fresh.add(job.command_id)
            task = asyncio.create_task(self._continue(job, steps, awaited), name=job.command_id)
            task.add_done_callback(partial(_release, steps, awaited))
            self._tasks[job.command_id] = task

    async def _continue(self, job: Job, steps: Awaits, awaited: Any) -> None:
        """Continue a command that awaits its tools."""
        input_event: AnyInput | None = None
        self._fresh.discard(job.command_id)
        try:
            input_event = await self._run_to_end(job, steps, awaited)
        except asyncio.CancelledError:
            if job.command_id not in self._stopping:
                raise
            if job.command_id not in self._abandoned:
                input_event = Stopped(command_id=job.command_id)
        finally:
            self._tasks.pop(job.command_id, None)
            self._stopping.discard(job.command_id)
            if job.command_id in self._abandoned:
                self._abandoned.discard(job.command_id)
                input_event = None  # it may have completed before the cancellation
            if (next_job := self._next.pop(job.command_id, None)) is not None:
                self._ready.append(next_job)
        self._done(job, input_event)
        self._begin_ready()

    async def _run_to_end(self, job: Job, steps: Awaits, awaited: Any) -> AnyInput | None:
        """Run a command to its end and return its input for the owner, or None."""
        try:
            if job.command_id in self._stopping:
                _discard(awaited)
                awaited = _cancelled()
            input_event: AnyInput | None = await drive_on(steps, awaited)
        except AbandonedError:
            return None
        except BlobStoreError as error:
            self._storage_failed(job, error)
            return None
        except Exception as error:  # noqa: BLE001  # the boundary to a command's work
            return _fault_report(job, error)
        else:
            return input_event

    def stop(self, command_id: str) -> bool:
        """Stop a command; return whether it is in progress.

        Its end is reported once its tool has stopped.
        """
        task = self._tasks.get(command_id)
        if task is None:
            return False
        if self._next.pop(command_id, None) is not None:
            self._abandoned.discard(command_id)  # the stop applies to the delivery not yet begun
        self._stopping.add(command_id)
        if command_id not in self._fresh:
            task.cancel()
        return True

    def is_performing(self, command_id: str) -> bool:
        """Return whether a command is in progress."""
        return command_id in self._tasks

    def abandon(self, command_id: str) -> None:
        """Stop a command that this process no longer holds, without reporting its end."""
        self._abandoned.add(command_id)
        if not self.stop(command_id):
            self._abandoned.discard(command_id)

    def withdraw(self) -> list[Job]:
        """Remove and return the commands that have not started."""
        waiting = [*self._ready, *self._next.values()]
        self._ready.clear()
        self._next.clear()
        return waiting


def _release(steps: Awaits, awaited: Any, _: asyncio.Task[None]) -> None:
    """Close what a task that was cancelled before its first step has not begun."""
    steps.close()
    _discard(awaited)


async def _cancelled() -> None:
    raise asyncio.CancelledError


def _discard(awaited: Any) -> None:
    """Discard an awaitable that has not been awaited."""
    if isinstance(awaited, asyncio.Future):
        awaited.cancel()
    elif isinstance(awaited, Coroutine):
        awaited.close()


def _fault_report(job: Job, error: Exception) -> Report:
    message = (
        f"performing the command failed: {type(error).__name__}: {error}; this is a bug in Arcbook"
    )
    info = ErrorInfo(kind=ErrorKind.UNKNOWN, message=message, code="WORKER_FAULT")
    return Report(
        command_id=job.command_id,
        generation=job.generation,
        attempt=job.attempt,
        fatal=info,
    )
