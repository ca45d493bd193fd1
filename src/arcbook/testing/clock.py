"""Virtual time for tests: a clock, and an event loop that skips waits."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

START_US: Final = 1_800_000_000_000_000
"""The start of fake time."""


class FakeClock:
    """A clock that only moves when a test advances it."""

    def __init__(self, start_us: int = START_US) -> None:
        self.at_us = start_us

    def now_us(self) -> int:
        return self.at_us

    def monotonic_us(self) -> int:
        return self.at_us

    def advance(self, seconds: float) -> None:
        """Advance the clock."""
        self.at_us += round(seconds * 1_000_000)


class DeadlockError(RuntimeError):
    """All tasks wait, and no timer is scheduled that could wake one."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next timer."""

    def __init__(self) -> None:
        super().__init__(_Selector())
        self.passed = 0.0
        selector: Any = self._selector  # type: ignore[attr-defined]  # set by the base class
        selector.loop = self

    def time(self) -> float:
        return self.passed

    def run_in_executor(  # type: ignore[override]  # at once: its time waits for no thread
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Call the function in the current thread."""

        async def call() -> T:
            return func(*args)

        return self.create_task(call())


class _Selector(selectors.SelectSelector):
    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise DeadlockError("every task waits, and no timer is set")
        self.loop.passed += timeout
        return ready


class LoopClock:
    """The clock of a :class:`VirtualLoop`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, start_us: int = START_US) -> None:
        self._loop = loop
        self._start_us = start_us

    def now_us(self) -> int:
        return self._start_us + round(self._loop.time() * 1_000_000)

    monotonic_us = now_us


def run_virtually(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)
