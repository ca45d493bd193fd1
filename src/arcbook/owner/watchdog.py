"""Looks on while decisions are made, and breaks off one that does not end.

A decision is work without waiting, on the thread that also keeps the server's lease: one that
goes on for ever would take everything that the server owns with it, to the next server, and
to the one after that. So a thread looks on. It breaks a decision off by a signal, whose
handler runs on the deciding thread and looks once more whether it is still the same decision.

Where that is of no use either, because code in C holds everything up, the process ends with
its stacks on standard error: whatever stands still must not look alive.
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

WORK_SECONDS_MAX: Final = 2.0
"""Processor time that one decision may take; less than a server's lease."""

STILL_SECONDS_MAX: Final = 1.5
"""How long a decision may stand still without any processor time: it has nothing to wait for."""

LOOK_SECONDS: Final = 0.1
"""Time between two looks."""

LOOP_SECONDS_MAX: Final = 30.0
"""How long the event loop may stand still before the process ends."""

_STILL_US: Final = 1_000
"""Processor time between two looks below which a decision stands still, in microseconds."""

_SIGNAL: Final = signal.SIGVTALRM

log = logging.getLogger(__name__)


class Deciding:
    """The decision that is being made; read by another thread."""

    __slots__ = ("execution_id", "number")

    def __init__(self) -> None:
        #: The execution, or 0 between decisions.
        self.execution_id = 0
        #: Grows with each decision.
        self.number = 0


class Watchdog:
    """Watches the decisions of one thread, which must be the main thread."""

    def __init__(self, deciding: Deciding) -> None:
        self._deciding = deciding
        self._thread_id = threading.main_thread().ident or 0
        self._stop = threading.Event()
        #: Number of the decision that is to be broken off, and why.
        self._condemned = (0, "")

    @contextlib.contextmanager
    def watching(self, service: Service) -> Iterator[None]:
        """Watch, on the running event loop's thread; the service ends if nothing watches."""
        before = signal.signal(_SIGNAL, self._break_off)
        thread = threading.Thread(target=self._look_on, name="watchdog", daemon=True)
        thread.start()
        beating = service.task("watchdog", _beat(thread))
        try:
            yield
        finally:
            beating.cancel()
            faulthandler.cancel_dump_traceback_later()
            self._stop.set()
            thread.join()
            signal.signal(_SIGNAL, before)

    def _break_off(self, _number: int, _frame: FrameType | None) -> None:
        number, why = self._condemned
        if self._deciding.execution_id and self._deciding.number == number:
            # It ends here, wherever within it this finds it: nothing else is to be broken off.
            self._deciding.execution_id = 0
            raise DecisionHungError(why)

    def _look_on(self) -> None:
        clock = time.pthread_getcpuclockid(self._thread_id)
        seen = began_work = last_work = 0
        moved_at = 0.0
        while not self._stop.wait(LOOK_SECONDS):
            execution_id, number = self._deciding.execution_id, self._deciding.number
            work, now = time.clock_gettime_ns(clock) // 1000, time.monotonic()
            if not execution_id or number != seen:
                seen, began_work, moved_at = number, work, now
            elif work - last_work > _STILL_US:
                moved_at = now
            last_work = work
            if not execution_id:
                continue
            if work - began_work > WORK_SECONDS_MAX * 1_000_000:
                self._condemn(number, execution_id, f"it took {WORK_SECONDS_MAX:g} s of work")
            elif now - moved_at > STILL_SECONDS_MAX:
                self._condemn(number, execution_id, f"it stood still for {STILL_SECONDS_MAX:g} s")

    def _condemn(self, number: int, execution_id: int, why: str) -> None:
        log.error(logged.DECISION_BROKEN_OFF, {"execution": execution_id, "reason": why})
        self._condemned = (number, why)
        signal.pthread_kill(self._thread_id, _SIGNAL)


async def _beat(thread: threading.Thread) -> None:
    """Say again and again that the loop lives, to what would end the process.

    Raises:
        LoopEndedError: the thread that looks on has ended.
    """
    while True:
        if not thread.is_alive():
            raise LoopEndedError("the watchdog's thread has ended")
        faulthandler.dump_traceback_later(LOOP_SECONDS_MAX, exit=True)
        await asyncio.sleep(LOOP_SECONDS_MAX / 6)
