"""What all connections to a bus share: handling what comes, and checking what goes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from functools import partial
from typing import Any, Final

from arcbook.bus.api import BusError, Listener
from arcbook.logs import events as logged

HANDLERS_MAX: Final = 1024
"""Requests of one subject that are handled at once; further ones wait for their turn."""

_log = logging.getLogger("arcbook.bus")


class Handling:
    """The requests of one subject that are being handled, each by a task of its own."""

    def __init__(self, subject: str) -> None:
        self._subject = subject
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(HANDLERS_MAX)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Handle a request beside the others."""
        task = asyncio.get_running_loop().create_task(self._run(work))
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, work))

    async def _run(self, work: Coroutine[Any, Any, None]) -> None:
        async with self._turns:
            await work

    def _ended(self, work: Coroutine[Any, Any, None], task: asyncio.Task[None]) -> None:
        work.close()  # its turn never came, or the task was stopped before its first step
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _log.error(logged.REQUEST_UNHANDLED, {"subject": self._subject}, exc_info=error)

    async def finish(self, seconds: float | None = None) -> None:
        """Wait for what is being handled; stop what takes longer than told."""
        tasks = self._tasks - {asyncio.current_task()}
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=seconds)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)


def covers(pattern: str, subject: str) -> bool:
    """Tell whether a subject is among those that are listened to."""
    if pattern.endswith(".*"):
        return subject.startswith(pattern[:-1])
    return subject == pattern


def hand_over(listener: Listener, body: bytes) -> None:
    """Tell a listener, in its turn; the loop notes what it raises, and the others go on."""
    asyncio.get_running_loop().call_soon(listener, body)


def check_size(size: int, most: int) -> None:
    """Refuse what the server would close the connection for.

    Raises:
        BusError: it is too big.
    """
    if size > most:
        raise BusError(f"{size} bytes are more than the bus takes ({most})")
