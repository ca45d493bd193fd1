"""Events as earlier releases wrote them, brought to the form that they have now.

An event that lacks a new field reads as one with its default. Where the default is not what
was meant, a function here says what was: it looks at one type of event, and returns the event
as it would be written now. What it looks for must be what no present event has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from arcbook.events.types import AnyEvent, LoopResult, PlaybookStarted, StepExit, StepResult
from arcbook.outcome import OK

Result = TypeVar("Result", StepResult, LoopResult, StepResult | LoopResult)


def upcast(event: AnyEvent) -> AnyEvent:
    """Return an event in its present form; the same one if it has it."""
    change = _CHANGES.get(type(event))
    return event if change is None else change(event)


def _with_loops(event: PlaybookStarted) -> PlaybookStarted:
    """Have loops of another execution say how they ended; nothing tells that they failed."""
    results = {name: _of_status(result, OK) for name, result in event.results.items()}
    return msgspec.structs.replace(event, results=results) if results else event


def _with_loop(event: StepExit) -> StepExit:
    """Have a loop say how it ended: that was told by its step alone."""
    if event.loop is None or event.loop.status:
        return event
    return msgspec.structs.replace(event, loop=_of_status(event.loop, event.status))


def _of_status(result: Result, status: str) -> Result:
    if not isinstance(result, LoopResult) or result.status:
        return result
    return msgspec.structs.replace(result, status=status)


_CHANGES: Final[dict[type, Callable[[Any], AnyEvent]]] = {
    PlaybookStarted: _with_loops,
    StepExit: _with_loop,
}
