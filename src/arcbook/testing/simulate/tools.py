"""Scripted tools: what they answer follows from the call alone, and every call is noted."""

from __future__ import annotations

import hashlib
import re
from typing import Final, Protocol

from arcbook.dsl.kinds import Kind
from arcbook.events.types import WaitKind
from arcbook.outcome import ErrorKind, Outcome, failed, ok
from arcbook.plugins import Plugin
from arcbook.testing.generate import ASK, KIND
from arcbook.testing.local import Handler, ScriptedTool
from arcbook.tools.api import Deferred, ToolCall
from arcbook.tools.registry import MODULES, Registry

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

    def claim(self, call: ToolCall, limit: int, *, together: bool | None = None) -> Outcome:
        """Claim some rows.

        Args:
            call: the claim.
            limit: maximum number of rows.
            together: whether one run of the body processes all rows; None if unknown.
        """
        command_id, _, attempt = call.idempotency_key.partition(":claim:")
        loop = command_id.rpartition(":")[0]
        if number_of(f"{self._seed}:{command_id.partition(':')[2]}:{attempt}") % 100 < 8:
            return failed(ErrorKind.SERVER_ERROR, "the queue is unkind", retryable=True)
        rows = self._claims.get(command_id)
        if rows is None:
            self._whole[loop] = together
            unclaimed = self._left.setdefault(loop, list(range(self.size(loop))))
            rows = self._claims[command_id] = unclaimed[:limit]
            del unclaimed[:limit]
        return ok({"rows": rows})

    def totals(self, loop: str) -> set[int]:
        """Return how many bodies a loop that ended may have run: for each row, or each claim."""
        if loop not in self._whole:
            return set()
        claims = [rows for key, rows in self._claims.items() if key.rpartition(":")[0] == loop]
        together, claimed = self._whole[loop], sum(bool(rows) for rows in claims)
        return (
            {claimed}
            if together
            else {self.size(loop)}
            if together is False
            else {self.size(loop), claimed}
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
            return self.queues.claim(call, int(rows), together=how == "whole")
        key = call.idempotency_key.partition(":")[2]
        if call.input.get("row"):
            key = _POSITION.sub("", key)  # which frame has a row, and where, is a matter of chance
        argument = call.input.get("n")
        # What a step yields may name its execution, which is another one in another run.
        shown_as = argument if isinstance(argument, int) else type(argument).__name__
        return _drawn(f"{self._seed}:{key}:{call.attempt}:{shown_as}")


class SimRegistry(Registry):
    """A registry that no process closes, and that no other package adds to."""

    def __init__(self) -> None:
        super().__init__({name: MODULES[name] for name in ("noop", "playbook")})

    async def close(self) -> None:
        """Do nothing: the tools go on for others."""

    def _search(self) -> dict[str, list[Plugin]]:
        """Find nothing."""
        return {}


def ask(call: ToolCall) -> Deferred:
    """Answer a call of the kind whose outcome comes from outside."""
    return Deferred(kind=WaitKind.CALLBACK, timeout_seconds=call.timeout_seconds)


ASKS: Final = Kind(name=ASK, open=True, waits=True)
"""What the language knows of the kind whose outcome comes from outside."""


def add_generated(registry: Registry, act: Handler, asked: Handler = ask) -> None:
    """Add the kinds that generated playbooks use."""
    registry.add(KIND, ScriptedTool(act), Kind(name=KIND, open=True, takes_auth=True))
    registry.add(ASK, ScriptedTool(asked), ASKS)
