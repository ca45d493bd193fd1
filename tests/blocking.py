"""Fails a test in which a task of Arcbook's holds up the event loop for longer than 50 ms.

On a machine that tests share with other work, the same takes up to twice as long. What counts is
the work of the loop's own thread, without collections of garbage and imports, which come once: so
a machine that waits or is busy with something else changes nothing. A second thread looks on, and
keeps the stack of what takes too long.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any, Final

import pytest

BLOCKED_SECONDS: Final = 0.05
"""Work of one step of a task that holds up everything else on its loop ..."""

SHARED_FACTOR: Final = 2
"""... and how much longer it takes where a core's caches and threads serve others as well."""

FAILED_SECONDS: Final = BLOCKED_SECONDS * SHARED_FACTOR

LOOK_SECONDS: Final = 0.01
"""Time between two looks at what takes long."""

NOTICED_SHARE: Final = 0.6
"""What part of the limit a step takes before its stack is kept."""

STACK_LINES: Final = 12
"""Lines of the stack that are told, the innermost ones."""

SOURCE: Final = Path(__file__).resolve().parents[1] / "src" / "arcbook"

NOT_OURS: Final = (SOURCE / "testing", SOURCE / "cli")
"""What no server, worker or runtime runs."""


class Detector:
    """Measures the steps of all tasks in this process."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._thread = 0
        #: Number of the step that goes on, or 0; its work until it began.
        self._step = 0
        self._began = 0.0
        self._collecting = 0.0
        self._collected = 0.0
        self._stack: tuple[int, list[tuple[str, int, str]]] = (0, [])
        self._numbers = 0
        self._run = asyncio.events.Handle._run
        self._stop = threading.Event()

    def start(self) -> None:
        """Measure from now on."""
        detector, run = self, self._run

        def measured(handle: Any) -> Any:
            task = getattr(handle._callback, "__self__", None)
            if not isinstance(task, asyncio.Task) or detector._step:
                return run(handle)
            return detector._measure(handle, task)

        handles: Any = asyncio.events.Handle
        handles._run = measured
        gc.callbacks.append(self._on_collection)
        threading.Thread(target=self._look_on, name="blocking", daemon=True).start()

    def end(self) -> None:
        """Measure no more."""
        asyncio.events.Handle._run = self._run
        gc.callbacks.remove(self._on_collection)
        self._stop.set()

    def _measure(self, handle: Any, task: asyncio.Task[Any]) -> Any:
        self._thread = threading.get_ident()
        self._collected = 0.0
        self._began = time.thread_time()
        self._numbers += 1
        self._step = number = self._numbers
        try:
            return self._run(handle)
        finally:
            self._step = 0
            took = time.thread_time() - self._began - self._collected
            if took > FAILED_SECONDS:
                self._note(number, task, took)

    def _note(self, number: int, task: asyncio.Task[Any], took: float) -> None:
        code = getattr(task.get_coro(), "cr_code", None)
        place = Path(code.co_filename) if code is not None else Path()
        if not place.is_relative_to(SOURCE) or any(map(place.is_relative_to, NOT_OURS)):
            return
        seen, stack = self._stack
        if seen == number and not any(file.startswith("<frozen importlib") for file, *_ in stack):
            shown = "".join(f"  {file}:{line} {function}\n" for file, line, function in stack)
            self.found.append(f"{task.get_name()} worked for {took * 1e3:.0f} ms at:\n{shown}")

    def _on_collection(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._collecting = time.thread_time()
        else:
            self._collected += time.thread_time() - self._collecting

    def _look_on(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            number, began = self._step, self._began
            if number and self._stack[0] != number:
                self._look(number, began)

    def _look(self, number: int, began: float) -> None:
        """Keep the stack of a step that takes long; nothing of its frames outlives the look."""
        work = time.clock_gettime(time.pthread_getcpuclockid(self._thread))
        if work - began < FAILED_SECONDS * NOTICED_SHARE:
            return
        frame = sys._current_frames().get(self._thread)
        if frame is not None and self._step == number:
            # Not as text yet: reading files would give the step the time to end.
            self._stack = number, [*islice(_places(frame), STACK_LINES)]


def _places(frame: FrameType | None) -> Iterator[tuple[str, int, str]]:
    """Yield where a stack is, the innermost place first."""
    while frame is not None:
        yield frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name
        frame = frame.f_back


DETECTOR: Final = Detector()


def pytest_configure(config: pytest.Config) -> None:
    """Measure in the whole run."""
    config.addinivalue_line("markers", "blocks(why): holds up the loop, which says why")
    DETECTOR.start()
    config.add_cleanup(DETECTOR.end)


@pytest.hookimpl(hookwrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Any:
    """Fail what held up a loop, unless it failed already."""
    DETECTOR.found.clear()
    outcome = yield
    found, DETECTOR.found = DETECTOR.found, []
    if found and outcome.excinfo is None and pyfuncitem.get_closest_marker("blocks") is None:
        outcome.force_exception(AssertionError("the loop was held up:\n" + "\n".join(found)))
