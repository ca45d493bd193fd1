"""An event loop that owns time and order, and the processes that share it.

Each simulated process has its own queue of callbacks, first in, first out, as asyncio
promises. Which process runs next is the seed's choice, callback by callback. A process
that is halted runs nothing: that is a pause, and one that is never lifted is a crash.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import random
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any, Final, TypeVar

from arcbook.testing.clock import START_US, DeadlockError

T = TypeVar("T")


class EndlessError(RuntimeError):
    """A run goes on for longer than any that ends."""


FAULTS: Final = (
    DeadlockError,
    EndlessError,
    ArithmeticError,
    AssertionError,
    LookupError,
    TypeError,
    ValueError,
)
"""What a callback, or a run, may raise that does not go on."""

STEPS_MAX: Final = 1_000_000
"""Callbacks of one run; most runs take some ten thousand."""

CLOSING_STEPS_MAX: Final = 200_000
"""Callbacks that are run to end what is left of a run."""

CLOSING_ROUNDS: Final = 5
"""Times that a task is cancelled which goes on nevertheless."""


class Process:
    """A simulated operating-system process: a queue, a clock, a life."""

    def __init__(self, loop: SimLoop, name: str) -> None:
        self.loop = loop
        self.name = name
        self.ready: deque[Call] = deque()
        self.alive = True
        #: Nothing of it runs: it is paused, or dead.
        self.halted = False
        #: How far its wall clock is off, in microseconds.
        self.off_us = 0
        self.context: Context = copy_context()
        self.context.run(CURRENT.set, self)

    def now_us(self) -> int:
        """Return what its wall clock shows."""
        return self.monotonic_us() + self.off_us

    def monotonic_us(self) -> int:
        """Return the time that no jump touches."""
        return START_US + round(self.loop.time() * 1_000_000)

    def run(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run a coroutine as part of this process."""
        return self.loop.create_task(work, context=self.context.copy())

    def kill(self) -> None:
        """End it: nothing of it runs any more, no clean-up either."""
        self.alive = False
        self.halted = True
        self.loop.bury(self)


CURRENT: ContextVar[Process] = ContextVar("process")


class Call:
    """A callback that is due; what asyncio calls a handle, without what nobody asks of it."""

    __slots__ = ("args", "callback", "context", "is_cancelled", "when_")

    def __init__(
        self, callback: Callable[..., Any], args: tuple[Any, ...], context: Context | None
    ) -> None:
        self.callback = callback
        self.args = args
        self.context = copy_context() if context is None else context
        self.is_cancelled = False
        self.when_ = 0.0

    def cancel(self) -> None:
        """Do not call it."""
        self.is_cancelled = True

    def cancelled(self) -> bool:
        """Return whether it is not to be called."""
        return self.is_cancelled

    def when(self) -> float:
        """Return the time at which it is due."""
        return self.when_


class SimLoop(asyncio.AbstractEventLoop):
    """Runs the callbacks of all processes in an order that a seed decides."""

    def __init__(self, rng: random.Random) -> None:
        self._random = rng.random
        #: Chooses who goes on, where several processes can.
        self.pick: Callable[[list[Process]], Process] = self._drawn
        self._now = 0.0
        #: What is due when: timers, and who pauses.
        self._later: list[tuple[float, int, Call | asyncio.Future[None]]] = []
        self._number = 0
        self._tasks: list[asyncio.Task[Any]] = []
        #: Those that live, and those that ended.
        self.processes: list[Process] = []
        self.dead: list[Process] = []
        #: Exceptions that nobody took, as asyncio reports them.
        self.complaints: list[dict[str, Any]] = []
        #: What is left of a run is being ended: what goes wrong now tells nothing of the run.
        self.closing = False
        self._is_closed = False
        self.main = self.process("world")

    def process(self, name: str) -> Process:
        """Add a process."""
        process = Process(self, name)
        self.processes.append(process)
        return process

    def bury(self, process: Process) -> None:
        """Take a process that ended out of those that may run."""
        if process in self.processes:
            self.processes.remove(process)
            self.dead.append(process)

    # -- running ----------------------------------------------------------------------

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end; then end what it started, however it ended itself."""
        asyncio._set_running_loop(self)  # what every event loop calls
        try:
            task = self.main.run(work)
            steps = 0
            while not task.done():
                self._step()
                steps += 1
                if steps > STEPS_MAX:
                    raise EndlessError(f"after {STEPS_MAX:,} steps the run has not ended")
            return task.result()
        finally:
            self._close()
            asyncio._set_running_loop(None)

    def _step(self) -> None:
        while True:
            able = [p for p in self.processes if p.ready and not p.halted]
            if able:
                break
            self._jump()
        process = self.pick(able) if len(able) > 1 else able[0]
        self._call(process.ready.popleft())

    def _call(self, due: Call) -> None:
        if due.is_cancelled:
            return
        try:
            due.context.run(due.callback, *due.args)
        except FAULTS as error:
            message = f"exception in callback {due.callback!r}"
            self.call_exception_handler({"message": message, "exception": error})

    def _drawn(self, able: list[Process]) -> Process:
        return able[int(self._random() * len(able))]

    def _jump(self) -> None:
        """Move on to the next moment at which something is due."""
        later = self._later
        while later and later[0][2].cancelled():
            heapq.heappop(later)
        if not later:
            raise DeadlockError("every task waits, and no timer is set")
        self._now = now = max(self._now, later[0][0])
        while later and later[0][0] <= now:
            due = heapq.heappop(later)[2]
            if due.cancelled():
                continue
            if isinstance(due, asyncio.Future):
                if not due.done():
                    due.set_result(None)
            else:
                self._queue(due)

    def _close(self) -> None:
        """Cancel everything, in processes that died as well, so that nothing is left over.

        A task that was never begun takes its first step here, and ends with it: otherwise its
        coroutine would be collected later, and complained of in whatever runs then.
        """
        self.closing = True
        for _ in range(CLOSING_ROUNDS):
            tasks = self._unfinished()
            if not tasks:
                break
            for task in tasks:
                task.cancel()
            self._finish()
        for task in self._unfinished():
            with contextlib.suppress(RuntimeError):  # it yields again, whatever is thrown into it
                task.get_coro().close()
        self.closing, self._is_closed = False, True

    def _unfinished(self) -> list[asyncio.Task[Any]]:
        return [task for task in self._tasks if not task.done()]

    def _finish(self) -> None:
        """Run what is due now, in every process."""
        for _ in range(CLOSING_STEPS_MAX):
            able = [process for process in self.processes + self.dead if process.ready]
            if not able:
                break
            for process in able:
                self._call(process.ready.popleft())

    # -- what asyncio asks of a loop --------------------------------------------------

    def time(self) -> float:
        return self._now

    def _queue(self, due: Call) -> None:
        due.context.get(CURRENT, self.main).ready.append(due)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """Call a function in this thread: there is no other."""

        async def call() -> Any:
            return func(*args)

        return self.create_task(call())

    def call_soon(
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Any:
        due = Call(callback, args, context)
        self._queue(due)
        return due

    def call_at(
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Any:
        due = Call(callback, args, context)
        due.when_ = when
        self._number += 1
        heapq.heappush(self._later, (when, self._number, due))
        return due

    def call_later(
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Any:
        return self.call_at(self._now + delay, callback, *args, context=context)

    async def pause(self, seconds: float) -> None:
        """Let time pass: a sleep without the handles of one, for ports, which do it all the time."""
        future: asyncio.Future[None] = asyncio.Future(loop=self)
        self._number += 1
        heapq.heappush(self._later, (self._now + seconds, self._number, future))
        await future

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Any, *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[Any]:
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks.append(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self.closing and not self._is_closed:
            self.complaints.append(context)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return self._is_closed


def sim_loop(rng: random.Random) -> SimLoop:
    """Return a new loop."""
    return SimLoop(rng)


__all__ = ["CURRENT", "Process", "SimLoop", "sim_loop"]
