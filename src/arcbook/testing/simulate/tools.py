"""Scripted tools: what they answer follows from the call alone, and every call is noted."""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, Protocol

from arcbook.dsl.kinds import Kind
from arcbook.outcome import ErrorKind, Outcome, failed, ok
from arcbook.testing.generate import ASK, KIND
from arcbook.testing.local import Handler, ScriptedTool
from arcbook.testing.simulate.loop import CURRENT, Process
from arcbook.tools.api import Deferred, ToolCall
from arcbook.tools.registry import MODULES, Registry

if TYPE_CHECKING:
    from arcbook.testing.simulate.world import World


QUEUE_ROWS_MAX: Final = 6
"""Rows of a queue that a cursor empties."""


def callback_of(seed: int, command_id: str, generation: int) -> Outcome:
    """Return what comes from outside for a command that waits for it."""
    return _drawn(f"{seed}:callback:{command_id.partition(':')[2]}:{generation}")


def _drawn(asked: str) -> Outcome:
    drawn = number_of(asked)
    if drawn % 100 < 12:
        return failed(ErrorKind.SERVER_ERROR, "the tool is unkind", retryable=True)
    return ok({"n": drawn // 100 % 6})


def number_of(asked: str) -> int:
    """Return a number that follows from a text, as if drawn."""
    return int.from_bytes(hashlib.blake2b(asked.encode(), digest_size=4).digest())


_POSITION: Final = re.compile(r":i\d+")


class Queues:
    """The tables that cursors claim rows from; a claim that is repeated yields the same rows."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        #: Rows that are left, by execution, step and visit as one text.
        self._left: dict[str, list[int]] = {}
        self._claims: dict[str, list[int]] = {}
        self._whole: dict[str, bool | None] = {}

    def claim(self, call: ToolCall, wanted: int, *, whole: bool | None = None) -> Outcome:
        """Claim some rows.

        Args:
            call: the claim.
            wanted: how many rows.
            whole: whether a body is run for all of them at once; nobody knows, if none.
        """
        command_id, _, attempt = call.idempotency_key.partition(":claim:")
        loop = command_id.rpartition(":")[0]
        if number_of(f"{self._seed}:{command_id.partition(':')[2]}:{attempt}") % 100 < 8:
            return failed(ErrorKind.SERVER_ERROR, "the queue is unkind", retryable=True)
        rows = self._claims.get(command_id)
        if rows is None:
            self._whole[loop] = whole
            left = self._left.setdefault(loop, list(range(self.size(loop))))
            rows = self._claims[command_id] = left[:wanted]
            del left[:wanted]
        return ok({"rows": rows})

    def totals(self, loop: str) -> set[int]:
        """Return how many bodies a loop that ended may have run: for each row, or each claim."""
        if loop not in self._whole:
            return set()
        claims = [rows for key, rows in self._claims.items() if key.rpartition(":")[0] == loop]
        whole, found = self._whole[loop], sum(bool(rows) for rows in claims)
        return (
            {found} if whole else {self.size(loop)} if whole is False else {self.size(loop), found}
        )

    def size(self, loop: str) -> int:
        """Return how many rows a loop finds: by execution, step and visit as one text."""
        return number_of(f"{self._seed}:{loop.partition(':')[2]}") % (QUEUE_ROWS_MAX + 1)


class Answers(Protocol):
    """What tools answer in one run."""

    queues: Queues

    def answer(self, call: ToolCall) -> Outcome:
        """Return what a call is answered: the same in every run, wherever it is made."""


class GeneratedAnswers:
    """What the tools of generated playbooks answer."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.queues = Queues(seed)

    def answer(self, call: ToolCall) -> Outcome:
        """Return what a call is answered."""
        if ":claim:" in call.idempotency_key:
            how, _, rows = str(call.config["command"]).rpartition(" ")
            return self.queues.claim(call, int(rows), whole=how == "whole")
        key = call.idempotency_key.partition(":")[2]
        if call.input.get("row"):
            key = _POSITION.sub("", key)  # which frame has a row, and where, is a matter of chance
        given = call.input.get("n")
        # What a step yields may name its execution, which is another one in another run.
        told = given if isinstance(given, int) else type(given).__name__
        return _drawn(f"{self._seed}:{key}:{call.attempt}:{told}")


class SimRegistry(Registry):
    """A registry that no process closes, and that no other package adds to."""

    def __init__(self) -> None:
        super().__init__({name: MODULES[name] for name in ("noop", "playbook")})

    async def close(self) -> None:
        """Do nothing: the tools go on for others."""

    def _search(self) -> None:
        """Find nothing."""


def ask(call: ToolCall) -> Deferred:
    """Answer a call of the kind whose outcome comes from outside."""
    return Deferred(kind="callback", timeout_seconds=call.timeout_seconds)


ASKS: Final = Kind(name=ASK, open=True, waits=True)
"""What the language knows of the kind whose outcome comes from outside."""


def add_generated(registry: Registry, act: Handler, asked: Handler = ask) -> None:
    """Add the kinds that generated playbooks use."""
    registry.add(KIND, ScriptedTool(act), Kind(name=KIND, open=True, takes_auth=True))
    registry.add(ASK, ScriptedTool(asked), ASKS)


class Effects:
    """What tools did, by idempotency key: the world that a lost process leaves behind."""

    def __init__(self, world: World) -> None:
        self._world = world
        #: Calls by key and try.
        self.calls: Counter[tuple[str, int]] = Counter()
        #: Executions, steps, visits, iterations and labels that were called, as one text.
        self.called: set[str] = set()
        #: Executions of which a call that has a time limit was cut off.
        self.limited: set[int] = set()
        #: Calls that are being made, and of which execution.
        self._open: dict[int, tuple[int, Process]] = {}
        self._hanging: set[int] = set()
        self._number = 0
        self.calm = asyncio.Event()

    def call(self, call: ToolCall) -> Any:
        """Make a call: at once, in a while, or for longer than anybody waits."""
        key = (call.idempotency_key, call.attempt)
        self.calls[key] += 1
        self.called.add(call.idempotency_key.rpartition(":")[0])
        if call.input.get("once") and self.calls[key] > 1:
            self._world.checks.fail("once", f"{key} was performed again")
        answer = self._world.answers.answer(call)
        faults = self._world.faults
        if faults.strikes("hang", f"tool hangs for good: {call.idempotency_key}"):
            return self._later(call, answer, math.inf)
        if faults.strikes("tool", f"tool hangs: {call.idempotency_key}"):
            return self._later(call, answer, None)
        if faults.strikes("tool", f"tool is slow: {call.idempotency_key}"):
            return self._later(call, answer, 1 + 7 * faults.rng.random())
        if faults.rng.random() < 0.5:
            return answer
        return self._later(call, answer, faults.rng.random() ** 3 * 0.4)

    def ask(self, call: ToolCall) -> Deferred:
        """Have a call wait for the outside world."""
        self.called.add(call.idempotency_key.rpartition(":")[0])
        return ask(call)

    async def _later(self, call: ToolCall, answer: Outcome, seconds: float | None) -> Outcome:
        self._number += 1
        number = self._number
        self._open[number] = (call.execution_id, CURRENT.get())
        if seconds == math.inf:
            self._hanging.add(number)
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
        finally:
            self._open.pop(number, None)
        return answer

    def hanging(self) -> list[int]:
        """Return the executions of which a tool hangs that only a stop can end."""
        return sorted({self._open[n][0] for n in self._hanging & self._open.keys()})

    def running(self) -> list[int]:
        """Return the executions of which tools run, in processes that live."""
        return sorted(i for i, process in self._open.values() if process.alive)
