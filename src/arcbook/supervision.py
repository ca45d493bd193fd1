"""Supervision of background loops, so that none ends unnoticed.

A service is a group of loops that run until it is stopped. When one ends, with or without
an error, the service logs the cause, ends the others and calls its failure callbacks.
Services form a tree: a service that watches another fails with it, so that a dead loop ends
the whole process. A short background task is an errand.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

from arcbook.errors import DamagedError
from arcbook.logs import events as logged

AGAIN_SECONDS: Final = 0.25
"""Time after which a task that goes on is cancelled once more."""

ERRANDS_MAX: Final = 256
"""Errands of one kind that go on at once, unless told otherwise."""

log = logging.getLogger(__name__)

Work = Coroutine[Any, Any, None]


class LoopEndedError(DamagedError):
    """A loop ended without being stopped."""

    code = "loop_ended"


class Service:
    """A group of supervised loops.

    Attributes:
        failed: Set when a loop has ended without being stopped.
        cause: The error that ended it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.failed = asyncio.Event()
        self.cause: BaseException | None = None
        self._on_failure: list[Callable[[BaseException], None]] = []
        #: Its loops, and what else it has going on.
        self.tasks: set[asyncio.Task[None]] = set()
        self._group: asyncio.TaskGroup | None = None
        self._host: asyncio.Task[None] | None = None
        self._is_stopping = False
        #: Whether a loop has ended, so that the others are being ended.
        self._is_ending = False

    @property
    def is_running(self) -> bool:
        """Whether all loops are running."""
        return self._group is not None and not self.failed.is_set() and not self._is_stopping

    def on_failure(self, callback: Callable[[BaseException], None]) -> None:
        """Call a function with the cause when the service fails."""
        self._on_failure.append(callback)

    async def start(self) -> None:
        """Start the service; loops can be added afterwards."""
        ready = asyncio.Event()
        self._host = asyncio.create_task(self._hold(ready), name=self.name)
        await ready.wait()

    def loop(self, name: str, work: Callable[[], Work]) -> None:
        """Add a loop, which must run until the service is stopped."""
        self._add(name, self._guarded(name, work))

    def task(self, name: str, work: Work) -> asyncio.Task[None]:
        """Add a task that may end; if it raises, the service fails."""
        return self._add(name, work)

    def watch(self, other: Service) -> None:
        """Fail when another service fails."""
        self.loop(other.name, other.ended)

    async def ended(self) -> None:
        """Wait until a loop has ended, and raise the cause."""
        await self.failed.wait()
        assert self.cause is not None
        raise self.cause

    async def stop(self) -> None:
        """Stop all loops and wait for them. Idempotent."""
        self._is_stopping = True
        if self._host is not None and self._host is not asyncio.current_task():
            await cancelled([*self.tasks, self._host])

    def _add(self, name: str, work: Work) -> asyncio.Task[None]:
        if self._group is None or not self.is_running:
            work.close()
            raise LoopEndedError(f"{self.name} does not run")
        task = self._group.create_task(work, name=f"{self.name}: {name}")
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def _guarded(self, name: str, work: Callable[[], Work]) -> None:
        try:
            await work()
        except asyncio.CancelledError:
            if self._is_stopping or self._is_ending:
                raise
            raise LoopEndedError(f"the loop {name!r} was cancelled") from None
        except Exception as error:
            error.add_note(f"the loop {name!r} of {self.name} ended by it")
            raise
        else:
            raise LoopEndedError(f"the loop {name!r} ended by itself")
        finally:
            self._is_ending = True

    async def _hold(self, ready: asyncio.Event) -> None:
        try:
            self._group = group = await asyncio.TaskGroup().__aenter__()
            ready.set()
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                # Not 'async with': a loop that is dropped has nobody wait for anything.
                await group.__aexit__(*sys.exc_info())
                raise
        except BaseExceptionGroup as errors:
            if self._is_stopping:
                return
            self.cause = errors.exceptions[0]
            log.exception(logged.SERVICE_ENDED, {"service": self.name}, exc_info=self.cause)
            self.failed.set()
            for callback in self._on_failure:
                callback(self.cause)
        finally:
            self._group = None


class Errands:
    """Short background tasks, whose errors are logged.

    Args:
        name: what they are about, for the log.
        most: how many go on at once; further ones wait for their turn.
    """

    def __init__(self, name: str, limit: int = ERRANDS_MAX) -> None:
        self.name = name
        self._turns = asyncio.Semaphore(limit)
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Work) -> None:
        """Start a task."""
        task = asyncio.get_running_loop().create_task(self._in_turn(work), name=self.name)
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, work))

    async def _in_turn(self, work: Work) -> None:
        async with self._turns:
            await work

    def _ended(self, work: Work, task: asyncio.Task[None]) -> None:
        work.close()  # its turn never came, or the task was stopped before its first step
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        log.error(logged.ERRAND_FAILED, {"errand": self.name}, exc_info=error)

    async def finish(self, seconds: float | None = None) -> None:
        """Wait for all tasks; cancel those that exceed the time limit."""
        tasks = self._tasks - {asyncio.current_task()}
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=seconds)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)


async def cancelled(tasks: list[asyncio.Task[Any]]) -> None:
    """Cancel tasks, and wait until all of them have ended.

    A cancellation is lost where a library waits with a time limit, and what it waits for
    comes in the same turn of the loop; the task then waits for the next thing.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=AGAIN_SECONDS)
