"""The watchdog: interrupts a decision that does not end.

Decisions run without awaiting, on the thread that also renews the server's lease. One that
never ended would bring down the server, then the next owner, and so on. A second thread
watches and interrupts a hung decision by a signal, whose handler runs on the deciding thread
and first checks that the same decision is still running.

If that does not help because C code blocks the thread, the process prints its stacks to
standard error and exits: a process that hangs must not look alive.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import logging
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Final

from arcbook.logs import events as logged
from arcbook.owner.boundary import DecisionHungError
from arcbook.supervision import LoopEndedError, Service

CPU_SECONDS_MAX: Final = 2.0
"""Processor time that one decision may take; less than a server's lease."""

IDLE_SECONDS_MAX: Final = 1.5
"""Time one decision may spend without using the processor: it has nothing to wait for."""

POLL_SECONDS: Final = 0.1
"""Interval between two checks."""

LOOP_SECONDS_MAX: Final = 30.0
"""Time the event loop may be blocked before the process exits."""

_IDLE_US: Final = 1_000
"""Processor time between two checks below which a decision counts as idle, in microseconds."""

_SIGNAL: Final = signal.SIGVTALRM

log = logging.getLogger(__name__)


class Deciding:
    """The decision in progress; read by the watchdog's thread."""

    __slots__ = ("execution_id", "number")

    def __init__(self) -> None:
        #: The execution, or 0 between decisions.
        self.execution_id = 0
        #: Incremented with each decision.
        self.number = 0


class Watchdog:
    """Watches the decisions of one thread, which must be the main thread."""

    def __init__(self, deciding: Deciding) -> None:
        self._deciding = deciding
        self._thread_id = threading.main_thread().ident or 0
        self._stop = threading.Event()
        #: Number of the decision to interrupt, and the reason.
        self._interrupting = (0, "")

    @contextlib.contextmanager
    def watching(self, service: Service) -> Iterator[None]:
        """Watch during a with block on the main thread; the service ends if the watchdog does."""
        before = signal.signal(_SIGNAL, self._on_signal)
        thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        thread.start()
        feeding = service.task("watchdog", _feed(thread))
        try:
            yield
        finally:
            feeding.cancel()
            faulthandler.cancel_dump_traceback_later()
            self._stop.set()
            thread.join()
            signal.signal(_SIGNAL, before)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        number, reason = self._interrupting
        if self._deciding.execution_id and self._deciding.number == number:
            # Clear it first, so that a repeated signal does not interrupt anything else.
            self._deciding.execution_id = 0
            raise DecisionHungError(reason)

    def _watch(self) -> None:
        clock = time.pthread_getcpuclockid(self._thread_id)
        observed = began_cpu = last_cpu = 0
        moved_at = 0.0
        while not self._stop.wait(POLL_SECONDS):
            execution_id, number = self._deciding.execution_id, self._deciding.number
            cpu, now = time.clock_gettime_ns(clock) // 1000, time.monotonic()
            if not execution_id or number != observed:
                observed, began_cpu, moved_at = number, cpu, now
            elif cpu - last_cpu > _IDLE_US:
                moved_at = now
            last_cpu = cpu
            if not execution_id:
                continue
            if cpu - began_cpu > CPU_SECONDS_MAX * 1_000_000:
                self._interrupt(number, execution_id, f"it used {CPU_SECONDS_MAX:g} s of CPU")
            elif now - moved_at > IDLE_SECONDS_MAX:
                self._interrupt(number, execution_id, f"it hung for {IDLE_SECONDS_MAX:g} s")

    def _interrupt(self, number: int, execution_id: int, reason: str) -> None:
        log.error(logged.DECISION_BROKEN_OFF, {"execution": execution_id, "reason": reason})
        self._interrupting = (number, reason)
        signal.pthread_kill(self._thread_id, _SIGNAL)


async def _feed(thread: threading.Thread) -> None:
    """Postpone the process's exit for as long as the event loop runs.

    Raises:
        LoopEndedError: The watchdog's thread has ended.
    """
    while True:
        if not thread.is_alive():
            raise LoopEndedError("the watchdog's thread has ended")
        faulthandler.dump_traceback_later(LOOP_SECONDS_MAX, exit=True)
        await asyncio.sleep(LOOP_SECONDS_MAX / 6)
