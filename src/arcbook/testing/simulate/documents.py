"""Simulate hand-written documents: every tool is scripted and returns the fields they read.

The course of a document depends on the answers of its tools. An answer has every name that
the document's templates mention, with values derived from the call, so that across seeds its
guards, loops and cycles take every path.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from arcbook.dsl.kinds import Kind
from arcbook.outcome import ErrorKind, Outcome, failed, ok
from arcbook.testing.local import Handler, ScriptedTool
from arcbook.testing.simulate.tools import Queues, number_of
from arcbook.tools.api import ToolCall
from arcbook.tools.registry import ABSENT, MODULES, Registry

VISITS_MAX: Final = 6
"""Visits of a step, and passes of a task, after which its tools fail, so that cycles end."""

NAMES_MAX: Final = 60
"""Maximum number of names in an answer."""

ROWS: Final = 2
"""Rows in one claim of a cursor."""

_REAL: Final = frozenset({"noop", "playbook", "task_sequence"})
"""Kinds without external effects."""

_TEMPLATE: Final = re.compile(r"\{\{(.*?)\}\}|\{%(.*?)%\}", re.DOTALL)
_FIELD: Final = re.compile(r"\.([A-Za-z_]\w*)|\[['\"]([A-Za-z_]\w*)['\"]\]")


def names_in(texts: Iterable[str]) -> list[str]:
    """Return the distinct names of fields that templates read, in order."""
    names: dict[str, None] = {}
    for text in texts:
        for template in _TEMPLATE.finditer(text):
            for field in _FIELD.finditer(template[1] or template[2]):
                names[field[1] or field[2]] = None
    return list(names)[:NAMES_MAX]


class DocumentAnswers:
    """The answers of the tools of some documents."""

    def __init__(self, seed: int, texts: Iterable[str]) -> None:
        self._seed = seed
        self._names = names_in(texts)
        self.queues = Queues(seed)

    def answer(self, call: ToolCall) -> Outcome:
        """Return what a call is answered: the same in every run, wherever it is made."""
        key = call.idempotency_key.partition(":")[2]
        if ":claim:" in call.idempotency_key:
            return self._claimed(call)
        passes = [int(part) for part in key.split(":") if part.isdigit()]
        if max(passes, default=0) > VISITS_MAX:
            return failed(ErrorKind.CLIENT_ERROR, "the tool has had enough")
        drawn = number_of(f"{self._seed}:{key}:{call.attempt}")
        if drawn % 100 < 6:
            return failed(ErrorKind.SERVER_ERROR, "the tool is unkind", retryable=True)
        return ok(self._fields(f"{drawn}", depth=2))

    def _claimed(self, call: ToolCall) -> Outcome:
        claimed = self.queues.claim(call, ROWS)
        if not claimed.is_ok:
            return claimed
        rows = [{"id": row, **self._fields(f"row:{row}", depth=0)} for row in claimed.data["rows"]]
        return ok({"rows": rows})

    def _fields(self, asked: str, *, depth: int) -> dict[str, Any]:
        return {name: self._value(f"{asked}:{name}", depth=depth) for name in self._names}

    def _value(self, asked: str, *, depth: int) -> Any:
        drawn = number_of(f"{self._seed}:{asked}")
        plain = (0, 1, 2, True, False, True, "some", "", None)
        choice = drawn % (len(plain) + (3 if depth else 0))
        if choice < len(plain):
            return plain[choice]
        few = self._names[drawn % 7 :: 7]
        inner = {n: self._value(f"{asked}.{n}", depth=depth - 1) for n in few}
        return ([], [inner, inner, inner], inner)[choice - len(plain)]


def add_scripted(registry: Registry, act: Handler) -> None:
    """Register every tool kind with one function that answers all calls."""
    real = Registry()
    for name in sorted({*MODULES, *ABSENT} - _REAL):
        known = None if name in ABSENT else real.kind(name)
        kind = known or Kind(name=name, open=True, takes_auth=True)
        registry.add(name, ScriptedTool(act), kind)
