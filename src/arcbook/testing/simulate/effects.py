"""The effects of a run's tools, which may complete at once, late or never."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

from arcbook.outcome import Outcome
from arcbook.testing.simulate.faults import Faults
from arcbook.testing.simulate.loop import CURRENT, Process
from arcbook.testing.simulate.tools import Answers, ask
from arcbook.tools.api import Deferred, ToolCall

DEAF_SECONDS: Final = 0.5
"""Interval at which a tool that ignores cancellation checks whether its execution has ended."""


class Effects:
    """The effects of tools by idempotency key; they survive the loss of a process.

    Args:
        answers: the answers of calls.
        faults: decides which faults happen.
        fail: called with the rule and the message if a rule is broken.
    """

    def __init__(self, answers: Answers, faults: Faults, fail: Callable[[str, str], None]) -> None:
        self._answers = answers
        self._faults = faults
        self._fail = fail
        #: Calls, by key and attempt.
        self.calls: Counter[tuple[str, int]] = Counter()
        #: Executions, steps, visits, iterations and labels of calls, as one text.
        self.called: set[str] = set()
        #: Executions with a call that exceeded its time limit.
        self.limited: set[int] = set()
        #: Calls in progress: execution, process and key.
        self._open: dict[int, tuple[int, Process, str]] = {}
        self._hanging: set[int] = set()
        self._number = 0
        #: Whether an execution has ended.
        self.is_over: Callable[[int], bool] = lambda _: False
        self.calm = asyncio.Event()

    def call(self, call: ToolCall) -> Any:
        """Make a call: at once, in a while, or for longer than anybody waits."""
        key = (call.idempotency_key, call.attempt)
        self.calls[key] += 1
        self.called.add(call.idempotency_key.rpartition(":")[0])
        if call.input.get("once") and self.calls[key] > 1:
            self._fail("once", f"{key} was performed again")
        answer = self._answers.answer(call)
        faults = self._faults
        if faults.strikes("hang", f"tool hangs for good: {call.idempotency_key}"):
            return self._later(call, answer, math.inf)
        if faults.strikes("tool", f"tool hangs: {call.idempotency_key}"):
            return self._later(call, answer, None)
        if faults.strikes("tool", f"tool is slow: {call.idempotency_key}"):
            return self._later(call, answer, 1 + 7 * faults.rng.random())
        if faults.strikes("long", f"tool takes long: {call.idempotency_key}"):
            return self._later(call, answer, 4 + 8 * faults.rng.random())
        if call.timeout_seconds is None and faults.strikes(
            "deaf", f"tool hears nothing: {call.idempotency_key}"
        ):
            return self._deaf(call, answer)
        if faults.rng.random() < 0.5:
            return answer
        return self._later(call, answer, faults.rng.random() ** 3 * 0.4)

    def ask(self, call: ToolCall) -> Deferred:
        """Have a call wait for the outside world."""
        self.called.add(call.idempotency_key.rpartition(":")[0])
        return ask(call)

    async def _later(self, call: ToolCall, answer: Outcome, seconds: float | None) -> Outcome:
        with self._being_made(call, for_good=seconds == math.inf):
            try:
                if seconds == math.inf:
                    await asyncio.get_running_loop().create_future()
                elif seconds is None:
                    await self.calm.wait()
                else:
                    await asyncio.sleep(seconds)
            except asyncio.CancelledError:
                if call.timeout_seconds is not None:
                    self.limited.add(call.execution_id)
                raise
        return answer

    @contextlib.contextmanager
    def _being_made(self, call: ToolCall, *, for_good: bool) -> Iterator[None]:
        """Note that a call is being made: by one delivery of its command in each process."""
        self._number += 1
        number = self._number
        effect, process = call.idempotency_key, CURRENT.get()
        if any(others[1:] == (process, effect) for others in self._open.values()):
            self._fail("twice", f"{process.name} performs {effect} twice at once")
        self._open[number] = (call.execution_id, process, effect)
        if for_good:
            self._hanging.add(number)
        try:
            yield
        finally:
            self._open.pop(number, None)

    async def _deaf(self, call: ToolCall, answer: Outcome) -> Outcome:
        """Go on for good, whoever wants it to stop, until its execution is over."""
        with self._being_made(call, for_good=True):
            while not self.is_over(call.execution_id):
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(DEAF_SECONDS)
        return answer

    def hanging(self) -> list[int]:
        """Return the executions of which a tool hangs that only a stop can end."""
        return sorted({self._open[n][0] for n in self._hanging & self._open.keys()})

    def running(self) -> list[int]:
        """Return the executions of which tools run, in processes that live."""
        return sorted(i for i, process, _ in self._open.values() if process.alive)
