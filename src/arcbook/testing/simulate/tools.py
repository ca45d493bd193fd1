"""Scripted tools: what they answer follows from the call alone, and every call is noted."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from arcbook.dsl.kinds import Kind
from arcbook.outcome import ErrorKind, Outcome, failed, ok
from arcbook.testing.generate import KIND
from arcbook.testing.local import ScriptedTool
from arcbook.testing.simulate.loop import CURRENT, Process
from arcbook.tools.api import ToolCall
from arcbook.tools.registry import MODULES, Registry

if TYPE_CHECKING:
    from arcbook.testing.simulate.world import World


def answer_of(seed: int, call: ToolCall) -> Outcome:
    """Return what a call is answered: the same in every run, wherever it is made."""
    _, _, key = call.idempotency_key.partition(":")
    asked = f"{seed}:{key}:{call.attempt}:{call.input.get('n')}"
    drawn = int.from_bytes(hashlib.blake2b(asked.encode(), digest_size=4).digest())
    if drawn % 100 < 12:
        return failed(ErrorKind.SERVER_ERROR, "the tool is unkind", retryable=True)
    return ok({"n": drawn // 100 % 6})


class SimRegistry(Registry):
    """A registry that no process closes, and that no other package adds to."""

    async def close(self) -> None:
        """Do nothing: the tools go on for others."""

    def _search(self) -> None:
        """Find nothing."""


def registry_with(handler: Callable[[ToolCall], Any]) -> Registry:
    """Return the kinds that simulated playbooks use."""
    registry = SimRegistry({name: MODULES[name] for name in ("noop", "playbook")})
    registry.add(KIND, ScriptedTool(handler), Kind(name=KIND, open=True, takes_auth=True))
    return registry


class Effects:
    """What tools did, by idempotency key: the world that a lost process leaves behind."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._seed = world.scenario.seed
        #: Calls by key and try.
        self.calls: Counter[tuple[str, int]] = Counter()
        #: Executions, steps, visits, iterations and labels that were called, as one text.
        self.called: set[str] = set()
        #: Calls that are being made, and of which execution.
        self._open: dict[int, tuple[int, Process]] = {}
        self._number = 0
        self.calm = asyncio.Event()

    def call(self, call: ToolCall) -> Any:
        """Make a call: at once, in a while, or for longer than anybody waits."""
        key = (call.idempotency_key, call.attempt)
        self.calls[key] += 1
        self.called.add(call.idempotency_key.rpartition(":")[0])
        if call.input.get("once") and self.calls[key] > 1:
            self._world.checks.fail("once", f"{key} was performed again")
        answer = answer_of(self._seed, call)
        faults = self._world.faults
        if faults.strikes("tool", f"tool hangs: {call.idempotency_key}"):
            return self._later(call, answer, None)
        if faults.strikes("tool", f"tool is slow: {call.idempotency_key}"):
            return self._later(call, answer, 1 + 7 * faults.rng.random())
        if faults.rng.random() < 0.5:
            return answer
        return self._later(call, answer, faults.rng.random() ** 3 * 0.4)

    async def _later(self, call: ToolCall, answer: Outcome, seconds: float | None) -> Outcome:
        self._number += 1
        number = self._number
        self._open[number] = (call.execution_id, CURRENT.get())
        try:
            if seconds is None:
                await self.calm.wait()
            else:
                await asyncio.sleep(seconds)
        finally:
            self._open.pop(number, None)
        return answer

    def running(self) -> list[int]:
        """Return the executions of which tools run, in processes that live."""
        return sorted(i for i, process in self._open.values() if process.alive)
